// float4 and its like. A whole vector is read or written by one access, as on a GPU: so that the
// checker sees one access of 16 bytes, and its alignment.
#pragma once

namespace emulator {

typedef unsigned short Word2 __attribute__((may_alias));
typedef unsigned int Word4 __attribute__((may_alias));
typedef unsigned long long Word8 __attribute__((may_alias));
typedef float Word16 __attribute__((vector_size(16), may_alias));

}  // namespace emulator

#define VECTOR2(name, T, Word)                                                             \
  struct alignas(2 * sizeof(T)) name {                                                     \
    T x, y;                                                                                \
    name() = default;                                                                      \
    name(T x, T y) : x(x), y(y) {}                                                         \
    name(const name& other) { *(emulator::Word*)this = *(const emulator::Word*)&other; }   \
    name& operator=(const name& other) {                                                   \
      *(emulator::Word*)this = *(const emulator::Word*)&other;                             \
      return *this;                                                                        \
    }                                                                                      \
  };                                                                                       \
  inline name make_##name(T x, T y) { return name(x, y); }

#define VECTOR3(name, T)      \
  struct name {               \
    T x, y, z;                \
  };                          \
  inline name make_##name(T x, T y, T z) { return name{x, y, z}; }

#define VECTOR4(name, T, Word)                                                             \
  struct alignas(4 * sizeof(T)) name {                                                     \
    T x, y, z, w;                                                                          \
    name() = default;                                                                      \
    name(T x, T y, T z, T w) : x(x), y(y), z(z), w(w) {}                                   \
    name(const name& other) { *(emulator::Word*)this = *(const emulator::Word*)&other; }   \
    name& operator=(const name& other) {                                                   \
      *(emulator::Word*)this = *(const emulator::Word*)&other;                             \
      return *this;                                                                        \
    }                                                                                      \
  };                                                                                       \
  inline name make_##name(T x, T y, T z, T w) { return name(x, y, z, w); }

VECTOR2(float2, float, Word8)
VECTOR3(float3, float)
VECTOR4(float4, float, Word16)
VECTOR2(double2, double, Word16)
VECTOR2(int2, int, Word8)
VECTOR3(int3, int)
VECTOR4(int4, int, Word16)
VECTOR2(uint2, unsigned int, Word8)
VECTOR4(uint4, unsigned int, Word16)
VECTOR2(char2, signed char, Word2)
VECTOR4(char4, signed char, Word4)
VECTOR2(uchar2, unsigned char, Word2)
VECTOR4(uchar4, unsigned char, Word4)

#undef VECTOR2
#undef VECTOR3
#undef VECTOR4

typedef emulator::Index uint3;

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
