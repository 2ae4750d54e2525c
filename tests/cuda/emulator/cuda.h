// The CUDA language as far as it is a matter of names: keywords, built-in variables, barriers,
// shared memory, warp operations and atomics. The text of a kernel follows this file.
#pragma once

#include "runtime.h"
#include "vectors.h"
#include "mathematics.h"
#include "describe.h"
#include "tensor.h"

#define __global__ __attribute__((noinline))
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) alignas(n)
#define __launch_bounds__(...)
#define __grid_constant__

#define threadIdx (emulator_builtins.thread)
#define blockIdx (emulator_builtins.block)
#define blockDim (emulator_builtins.block_size)
#define gridDim (emulator_builtins.grid_size)
#define warpSize 32

#define HERE int line = __builtin_LINE()

// ------------------------------------------------------------------ barriers

inline void __syncthreads(HERE) {
  int any, all;
  emulator_barrier(line, 0, &any, &all);
}

inline int __syncthreads_count(int predicate, HERE) {
  int any, all;
  return emulator_barrier(line, predicate != 0, &any, &all);
}

inline int __syncthreads_or(int predicate, HERE) {
  int any, all;
  emulator_barrier(line, predicate != 0, &any, &all);
  return any;
}

inline int __syncthreads_and(int predicate, HERE) {
  int any, all;
  emulator_barrier(line, predicate != 0, &any, &all);
  return all;
}

inline void __threadfence() { emulator_fence(); }
inline void __threadfence_block() {}

// ------------------------------------------------------------- shared memory

namespace emulator {

template <typename T>
struct Element {
  static constexpr int size = sizeof(T);
};
template <typename T, unsigned long n>
struct Element<T[n]> : Element<T> {};

template <typename Array>
inline Array& shared(const char* function, int number, int alignment, const char* declaration) {
  if (alignment < int(alignof(Array))) alignment = alignof(Array);
  return *static_cast<Array*>(emulator_shared(function, number, sizeof(Array), alignment,
                                              Element<Array>::size, declaration));
}

}  // namespace emulator

// ----------------------------------------------------------- warp operations

namespace emulator {

template <typename T>
inline T exchange(int line, u32 mask, Warp operation, T value, int argument, int width) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles take values of 4 or 8 bytes");
  u64 bits = 0;
  __builtin_memcpy(&bits, &value, sizeof(T));
  bits = emulator_exchange(line, mask, operation, bits, argument, width);
  __builtin_memcpy(&value, &bits, sizeof(T));
  return value;
}

inline u32 ballot(int line, u32 mask, int predicate) {
  return u32(emulator_exchange(line, mask, Warp::ballot, predicate != 0, 0, 32));
}

}  // namespace emulator

template <typename T>
inline T __shfl_sync(unsigned mask, T value, int lane, int width = 32, HERE) {
  return emulator::exchange(line, mask, emulator::Warp::shuffle, value, lane, width);
}

template <typename T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, HERE) {
  return emulator::exchange(line, mask, emulator::Warp::shuffle_up, value, int(delta), width);
}

template <typename T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, HERE) {
  return emulator::exchange(line, mask, emulator::Warp::shuffle_down, value, int(delta), width);
}

template <typename T>
inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, HERE) {
  return emulator::exchange(line, mask, emulator::Warp::shuffle_xor, value, lanes, width);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, HERE) {
  return emulator::ballot(line, mask, predicate);
}

inline int __any_sync(unsigned mask, int predicate, HERE) {
  return emulator::ballot(line, mask, predicate) != 0;
}

inline int __all_sync(unsigned mask, int predicate, HERE) {
  return emulator::ballot(line, mask, predicate) == mask;
}

inline void __syncwarp(unsigned mask = 0xffffffffu, HERE) {
  emulator_exchange(line, mask, emulator::Warp::sync, 0, 0, 32);
}

#undef HERE

// ------------------------------------------------------------------- atomics

#define NO_CALLBACK __attribute__((noinline, no_sanitize("thread", "undefined")))

namespace emulator {

// Fibers do not preempt each other, so that a plain update is an atomic one.
template <typename T, typename Update>
NO_CALLBACK inline T atomic(T* address, Update update, const void* site) {
  emulator_atomic(address, sizeof(T), site);
  T old = *address;
  *address = update(old);
  return old;
}

template <typename T>
struct Same {
  typedef T type;
};

}  // namespace emulator

#define ATOMIC(name, expression)                                                      \
  template <typename T>                                                               \
  NO_CALLBACK inline T name(T* address, typename emulator::Same<T>::type value) {     \
    return emulator::atomic(                                                          \
        address, [value](T old) NO_CALLBACK { return T(expression); },                \
        __builtin_return_address(0));                                                 \
  }

ATOMIC(atomicAdd, old + value)
ATOMIC(atomicSub, old - value)
ATOMIC(atomicExch, (void(old), value))
ATOMIC(atomicMin, old < value ? old : value)
ATOMIC(atomicMax, old > value ? old : value)
ATOMIC(atomicAnd, old & value)
ATOMIC(atomicOr, old | value)
ATOMIC(atomicXor, old ^ value)
ATOMIC(atomicInc, old >= value ? 0 : old + 1)
ATOMIC(atomicDec, old == 0 || old > value ? value : old - 1)

template <typename T>
NO_CALLBACK inline T atomicCAS(T* address, typename emulator::Same<T>::type compare,
                               typename emulator::Same<T>::type value) {
  return emulator::atomic(
      address, [=](T old) NO_CALLBACK { return old == compare ? value : old; },
      __builtin_return_address(0));
}

#undef ATOMIC

// ------------------------------------------------- loads and stores by their way

template <typename T>
inline T __ldg(const T* address) {
  return *address;
}

// past the L1 cache, which does not hear of what other blocks write
template <typename T>
NO_CALLBACK inline T __ldcg(const T* address) {
  emulator_past_l1(address, sizeof(T), false, __builtin_return_address(0));
  T value;  // not by its copy constructor, whose read would count as one by way of L1
  __builtin_memcpy(&value, address, sizeof(T));
  return value;
}

template <typename T>
NO_CALLBACK inline void __stcg(T* address, typename emulator::Same<T>::type value) {
  emulator_past_l1(address, sizeof(T), true, __builtin_return_address(0));
  __builtin_memcpy(address, &value, sizeof(T));
}

#define assert(condition) \
  ((condition) ? void(0) : emulator_trap(__LINE__, "assertion failed: " #condition))
inline void __trap() { emulator_trap(__builtin_LINE(), "__trap()"); }
