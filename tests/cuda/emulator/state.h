// What the parts of the runtime share: threads, regions of memory, and the first mistake found.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime.h"

namespace emulator {

enum State : u32 { fresh, ready, at_barrier, at_warp, done };

struct Thread {
  State state;
  int line;  // where it waits
  Index index;
  u32 number;  // within the block
  u32 warp_epoch;  // how often its warp was synchronised
  u32 fences, fence_epoch;  // how often it did __threadfence(), and when last
  u32 fences_before;  // without those since the last barrier
  void* stack_pointer;
  char* stack;
  int value, any, all;  // of a barrier that counts
  // of a warp operation
  Warp operation;
  u32 mask;
  u64 deposit, result;
  const void* site;
  int argument, width;
};

// One access to memory, as the race check remembers it.
struct Access {
  const void* site;
  u32 serial;  // of the block for shared memory, 1 for global memory
  u32 block;
  u32 epoch, warp_epoch;
  uint16_t thread;
  uint16_t atomic;
  u32 fences;  // that the thread had done
};

struct Cell {
  Access write, read, other_read, foreign_read;
};

// An array that the kernel may touch. Python fills in those of the arguments.
struct Region {
  char* start;
  u64 size;
  u32 granule;  // bytes that are written together: the element's size, at most 4
  u32 writable;
  unsigned char* written;  // a byte each, 0 where nothing has been written yet; may be null
  Cell* cells;
  const char* declaration;  // of shared memory
  u32 element;
  u32 shared;
};

enum class Mistake : u32 {
  none,
  out_of_bounds,
  misaligned,
  race,
  uninitialised,
  read_only,
  other_stack,
  divergent_barrier,
  missed_barrier,
  warp_mismatch,
  warp_missing,
  warp_source,
  no_dynamic_shared,
  too_much_shared,
  block_too_large,
  language,
  crash,
  endless,
  out_of_memory,
  stale,
  not_converted,
  in_flight,
};

// The first mistake of a launch. Python makes a sentence of it.
struct Report {
  Mistake mistake;
  u32 write, size, atomic;
  const void *site, *other_site;
  const void* address;
  u32 thread, other_thread, block, other_block;
  int line, other_line, region, other_write;
  u32 mask, lane, state;
  char text[256];
};

struct Launch {
  void (*call)(void**);
  void** arguments;
  Index grid, block;
  u64 dynamic_shared;
  u64 seed;
  Region* regions;
  int region_count;
  int seconds;
  void* code_start;  // of the module: constants lie there
  void* code_end;
  u32 checked, traffic;
  u64 static_shared;  // result
  Report report;  // result
};

// What lies between an access of another block and the access in hand.
enum class Order : u32 { none, not_released, not_acquired, whole };

extern Launch* launch;
extern Thread* current;
extern Thread* threads;
extern u32 thread_count, block_number, epoch;
constexpr u32 most_threads = 1024;
constexpr size_t stack_size = 64 << 10;
constexpr size_t most_static = 48 << 10;   // bytes of shared memory: what a block may declare,
constexpr size_t arena_size = 227 << 10;  // and all together
extern char arena[];
size_t reachable_shared();  // bytes of it, in this launch

[[noreturn]] void stop(Mistake mistake);
void report_wait(const Thread& waits, const Thread& other);
void wait(State state, int line);
void meet(const void* site, int line, u32 mask, Warp operation, u64 deposit);
void multiply(Thread* warp);
void hand_out_matrices(Thread* warp);
void hand_out_turned_matrices(Thread* warp);
void begin_block_copies();
bool find_copy(const char* address, u32 size, u32& thread, const void*& site);
void check_copy(char* to, const char* from, u32 size, u32 bytes, bool past_l1, const void* site);
void check_landing(char* to, u32 size, const void* site);
void begin_checks();
void begin_block_checks();
void end_checks();
void share_region(Region region);
void begin_order();
void begin_block_order();
void pass_fence();
void pass_counter(const void* address);
Order order_of_blocks(const Access& before);
void record_traffic(const void* site, const void* address, u32 size, bool write, bool shared);
void begin_block_traffic();
void end_block_traffic();

}  // namespace emulator

// the shared arrays that the block in hand has declared; Python reads them for its sentences
extern "C" {
extern emulator::Region emulator_shared_regions[64];
extern int emulator_shared_count;
}
