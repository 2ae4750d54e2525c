// What the translated kernels and the runtime tell each other.
#pragma once

namespace emulator {

typedef unsigned int u32;
typedef unsigned long long u64;

struct Index {
  u32 x, y, z;
};

// threadIdx and its like of the thread that runs now; the scheduler sets them at every switch.
struct Builtins {
  Index thread, block, block_size, grid_size;
};

enum class Warp : u32 {
  shuffle, shuffle_up, shuffle_down, shuffle_xor, ballot, sync, tf32, bf16, matrices, turned_matrices
};

// A lane's share of the sums on a tensor core.
struct Sums {
  float at[4];
};

// A row of 8 x 8 numbers of 16 bits, or what a lane gets of four such matrices.
struct alignas(16) MatrixRow {
  u32 at[4];
};

// One kernel of a module: what the compiler knows of it.
struct Kernel {
  const char* name;
  const char* signature;  // a code an argument, as in "pf4,Pf4,i4" (see describe.h)
  void (*call)(void** arguments);
};

}  // namespace emulator

extern "C" {
extern emulator::Builtins emulator_builtins;

void emulator_enter(int largest_block);
int emulator_barrier(int line, int value, int* any, int* all);
emulator::u64 emulator_exchange(int line, emulator::u32 mask, emulator::Warp operation,
                                emulator::u64 value, int argument, int width);
void* emulator_shared(const char* function, int number, emulator::u64 size, int alignment,
                      int element, const char* declaration);
void* emulator_dynamic_shared(int element, const char* declaration);
void emulator_atomic(const void* address, int size, const void* site);
void emulator_past_l1(const void* address, int size, int write, const void* site);
void emulator_fence();
emulator::Sums emulator_multiply(float d0, float d1, float d2, float d3, emulator::u32 a0,
                                 emulator::u32 a1, emulator::u32 a2, emulator::u32 a3,
                                 emulator::u32 b0, emulator::u32 b1, emulator::Warp operation);
emulator::MatrixRow emulator_load_matrices(emulator::MatrixRow own, emulator::Warp operation);
const void* emulator_shared_pointer(emulator::u32 address);
emulator::u64 emulator_shared_address(const void* pointer, int line);
void emulator_copy(emulator::u32 to, const void* from, int size, emulator::u32 bytes, int past_l1,
                   const void* site);
void emulator_commit_copies();
void emulator_wait_for_copies(emulator::u32 pending);
void emulator_trap(int line, const char* text);
}
