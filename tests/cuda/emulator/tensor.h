// The instructions of PTX that translate.py lets through, as functions: what `asm` becomes.
#pragma once

#include "runtime.h"

namespace emulator {

// ------------------------------------------------------------------ tensor cores

#define MULTIPLY(name, operation)                                                               \
  __attribute__((always_inline)) inline void name(                                              \
      float& d0, float& d1, float& d2, float& d3, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) { \
    Sums d = emulator_multiply(d0, d1, d2, d3, a0, a1, a2, a3, b0, b1, operation);              \
    d0 = d.at[0], d1 = d.at[1], d2 = d.at[2], d3 = d.at[3];                                     \
  }
MULTIPLY(mma_tf32, Warp::tf32)
MULTIPLY(mma_bf16, Warp::bf16)
#undef MULTIPLY

inline u32 float_bits(float value) {
  u32 bits;
  __builtin_memcpy(&bits, &value, 4);
  return bits;
}

// cvt.rna: to the nearest, halves away from zero
inline void cvt_rna_tf32(u32& result, float value) {
  u32 bits = float_bits(value);
  bool is_nan = (bits & 0x7fffffff) > 0x7f800000;
  result = is_nan ? 0x7fffe000 : (bits + 0x1000) & 0xffffe000;
}

// cvt.rn: to the nearest, halves to even
inline u32 bf16(float value) {
  u32 bits = float_bits(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

inline void cvt_rn_bf16x2(u32& result, float high, float low) {
  result = bf16(high) << 16 | bf16(low);
}

// Each lane reads a row: as of itself, so that its access is checked like any other.
#define LOAD_MATRICES(name, operation)                                                          \
  __attribute__((always_inline)) inline void name(u32& r0, u32& r1, u32& r2, u32& r3,             \
                                                  u32 address) {                                  \
    MatrixRow own = *static_cast<const MatrixRow*>(emulator_shared_pointer(address));             \
    MatrixRow result = emulator_load_matrices(own, operation);                                    \
    r0 = result.at[0], r1 = result.at[1], r2 = result.at[2], r3 = result.at[3];                    \
  }
LOAD_MATRICES(ldmatrix_x4, Warp::matrices)
LOAD_MATRICES(ldmatrix_x4_trans, Warp::turned_matrices)
#undef LOAD_MATRICES

// ------------------------------------------------------------ asynchronous copies

#define FROM_HERE __attribute__((noinline, no_sanitize("thread", "undefined"))) inline

FROM_HERE void cp_async_ca(u32 to, const void* from, int size, u32 bytes) {
  emulator_copy(to, from, size, bytes, false, __builtin_return_address(0));
}

FROM_HERE void cp_async_cg(u32 to, const void* from, int size, u32 bytes) {
  emulator_copy(to, from, size, bytes, true, __builtin_return_address(0));
}

inline void cp_async_commit_group() { emulator_commit_copies(); }
inline void cp_async_wait_group(u32 pending) { emulator_wait_for_copies(pending); }

#undef FROM_HERE

}  // namespace emulator

inline size_t __cvta_generic_to_shared(const void* pointer, int line = __builtin_LINE()) {
  return emulator_shared_address(pointer, line);
}
