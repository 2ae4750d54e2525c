// The mathematics of device code, on the C library. A GPU's results differ in their last bits.
#pragma once

#define ONE(name)                                                     \
  inline float name##f(float x) { return __builtin_##name##f(x); }    \
  inline double name(double x) { return __builtin_##name(x); }        \
  inline float name(float x) { return __builtin_##name##f(x); }

#define TWO(name)                                                                    \
  inline float name##f(float x, float y) { return __builtin_##name##f(x, y); }       \
  inline double name(double x, double y) { return __builtin_##name(x, y); }          \
  inline float name(float x, float y) { return __builtin_##name##f(x, y); }

ONE(exp) ONE(exp2) ONE(exp10) ONE(log) ONE(log2) ONE(log10) ONE(log1p) ONE(expm1) ONE(sqrt)
ONE(cbrt) ONE(sin) ONE(cos) ONE(tan) ONE(sinh) ONE(cosh) ONE(tanh) ONE(asin) ONE(acos) ONE(atan)
ONE(erf) ONE(erfc) ONE(floor) ONE(ceil) ONE(trunc) ONE(round) ONE(rint) ONE(fabs)
TWO(pow) TWO(fmod) TWO(fmax) TWO(fmin) TWO(atan2) TWO(copysign) TWO(hypot) TWO(fdim)

#undef ONE
#undef TWO

inline float rsqrtf(float x) { return 1.0f / __builtin_sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / __builtin_sqrt(x); }
inline float fmaf(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
inline double fma(double x, double y, double z) { return __builtin_fma(x, y, z); }
inline float fma(float x, float y, float z) { return __builtin_fmaf(x, y, z); }

inline bool isnan(double x) { return __builtin_isnan(x); }
inline bool isinf(double x) { return __builtin_isinf(x); }
inline bool isfinite(double x) { return __builtin_isfinite(x); }
inline bool signbit(double x) { return __builtin_signbit(x); }

// nvcc's names for faster, less exact ones
inline float __expf(float x) { return __builtin_expf(x); }
inline float __exp10f(float x) { return __builtin_exp10f(x); }
inline float __logf(float x) { return __builtin_logf(x); }
inline float __log2f(float x) { return __builtin_log2f(x); }
inline float __powf(float x, float y) { return __builtin_powf(x, y); }
inline float __sinf(float x) { return __builtin_sinf(x); }
inline float __cosf(float x) { return __builtin_cosf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1) : 0; }

// with the rounding named: these are never fused into a multiply-add
__attribute__((noinline)) inline float __fmul_rn(float x, float y) { return x * y; }
__attribute__((noinline)) inline float __fadd_rn(float x, float y) { return x + y; }
__attribute__((noinline)) inline float __fsub_rn(float x, float y) { return x - y; }
__attribute__((noinline)) inline float __fdiv_rn(float x, float y) { return x / y; }
__attribute__((noinline)) inline double __dmul_rn(double x, double y) { return x * y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return __builtin_sqrtf(x); }
inline float __frsqrt_rn(float x) { return 1.0f / __builtin_sqrtf(x); }
inline float __fmaf_rn(float x, float y, float z) { return __builtin_fmaf(x, y, z); }

inline int __float2int_rn(float x) { return int(__builtin_rintf(x)); }
inline int __float2int_rd(float x) { return int(__builtin_floorf(x)); }
inline int __float2int_ru(float x) { return int(__builtin_ceilf(x)); }
inline int __float2int_rz(float x) { return int(x); }
inline float __int2float_rn(int x) { return float(x); }

#define BITS(name, To, From)                 \
  inline To name(From value) {               \
    To result;                               \
    __builtin_memcpy(&result, &value, sizeof(To)); \
    return result;                           \
  }
BITS(__float_as_int, int, float)
BITS(__float_as_uint, unsigned, float)
BITS(__int_as_float, float, int)
BITS(__uint_as_float, float, unsigned)
BITS(__double_as_longlong, long long, double)
BITS(__longlong_as_double, double, long long)
#undef BITS

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __mul24(int x, int y) { return x * y; }
inline unsigned __umulhi(unsigned x, unsigned y) {
  return unsigned((unsigned long long)x * y >> 32);
}
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  return (unsigned long long)((unsigned __int128)x * y >> 64);
}

#define MIN_MAX(T)                                        \
  inline T min(T x, T y) { return y < x ? y : x; }        \
  inline T max(T x, T y) { return x < y ? y : x; }
MIN_MAX(int) MIN_MAX(unsigned) MIN_MAX(long) MIN_MAX(unsigned long)
MIN_MAX(long long) MIN_MAX(unsigned long long)
#undef MIN_MAX
inline float min(float x, float y) { return __builtin_fminf(x, y); }
inline float max(float x, float y) { return __builtin_fmaxf(x, y); }
inline double min(double x, double y) { return __builtin_fmin(x, y); }
inline double max(double x, double y) { return __builtin_fmax(x, y); }
inline unsigned min(unsigned x, int y) { return min(x, unsigned(y)); }
inline unsigned min(int x, unsigned y) { return min(unsigned(x), y); }
inline unsigned max(unsigned x, int y) { return max(x, unsigned(y)); }
inline unsigned max(int x, unsigned y) { return max(unsigned(x), y); }
inline long long min(long long x, int y) { return min(x, (long long)y); }
inline long long min(int x, long long y) { return min((long long)x, y); }
inline long long max(long long x, int y) { return max(x, (long long)y); }
inline long long max(int x, long long y) { return max((long long)x, y); }

inline int abs(int x) { return x < 0 ? -x : x; }
inline long long abs(long long x) { return x < 0 ? -x : x; }
inline float abs(float x) { return __builtin_fabsf(x); }
inline double abs(double x) { return __builtin_fabs(x); }

typedef __SIZE_TYPE__ size_t;
typedef __PTRDIFF_TYPE__ ptrdiff_t;
extern "C" int printf(const char*, ...);
