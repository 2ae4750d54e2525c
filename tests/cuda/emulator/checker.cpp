// Looks at every access to memory. Kernels of mode `check` are compiled with -fsanitize=thread,
// which makes the compiler call __tsan_read4 and its like before each access; these are ours.
//
// An access must hit an array argument, shared memory, or the thread's own stack. Two accesses
// race where one of them writes, not both are atomic, and nothing orders them: they come from two
// threads of one block in the same interval between barriers, or from different blocks without a
// counter between them (between.cpp).

#include <cstdlib>
#include <cstring>

#include "state.h"

emulator::Region emulator_shared_regions[64];
int emulator_shared_count;

namespace emulator {


namespace {

u32 block_serial;
unsigned char shared_written[arena_size];
Cell* shared_cells;

bool holds(const Region& region, const char* address, u32 size) {
  return address >= region.start && address + size <= region.start + region.size;
}

Region* region_of(const char* address, u32 size) {
  static Region* last;  // most accesses go where the one before went
  for (int i = 0; i < emulator_shared_count; i++)
    if (holds(emulator_shared_regions[i], address, size)) return &emulator_shared_regions[i];
  Region *begin = launch->regions, *end = begin + launch->region_count;
  if (last >= begin && last < end && holds(*last, address, size)) return last;
  for (Region* region = begin; region != end; region++)
    if (holds(*region, address, size)) return last = region;
  return nullptr;
}

bool ordered(const Access& before, const Access& now) {
  if (before.site == nullptr || before.serial != now.serial) return true;
  if (before.block != now.block) return order_of_blocks(before) == Order::whole;
  if (before.thread == now.thread || before.epoch != now.epoch) return true;
  bool same_warp = before.thread / 32 == now.thread / 32;
  return same_warp && before.warp_epoch != now.warp_epoch;
}

struct Place {
  const void* address;
  const void* site;
  u32 size;
  bool write, atomic, coherent;  // coherent: not through the L1 cache
};

[[noreturn]] void refuse(Mistake mistake, const Place& place, const Region* region) {
  Report& report = launch->report;
  report.address = place.address, report.site = place.site;
  report.size = place.size, report.write = place.write, report.atomic = place.atomic;
  report.region = -1;
  if (region) report.region = region->shared ? -2 - int(region - emulator_shared_regions)
                                             : int(region - launch->regions);
  stop(mistake);
}

[[noreturn]] void refuse_pair(Mistake mistake, const Access& before, bool before_writes,
                              const Place& place, const Region& region) {
  Report& report = launch->report;
  report.other_site = before.site, report.other_write = before_writes;
  report.other_thread = before.thread, report.other_block = before.block;
  refuse(mistake, place, &region);
}

void demand_order(const Access& before, bool before_writes, const Access& now, const Place& place,
                  const Region& region) {
  if (ordered(before, now) || (before.atomic && now.atomic)) return;
  launch->report.state = u32(order_of_blocks(before));
  refuse_pair(Mistake::race, before, before_writes, place, region);
}

// A load may find in the L1 cache what was there before another block wrote.
void demand_fresh(const Access& write, const Access& now, const Place& place,
                  const Region& region) {
  if (place.coherent || !write.site || write.block == now.block || region.shared) return;
  refuse_pair(Mistake::stale, write, true, place, region);
}

void remember_read(Cell& cell, const Access& now) {
  if (cell.read.site && cell.read.serial == now.serial) {
    if (cell.read.block != now.block)
      cell.foreign_read = cell.read;
    else if (cell.read.thread != now.thread)
      cell.other_read = cell.read;
  }
  cell.read = now;
}

void check_cell(Cell& cell, const Access& now, const Place& place, const Region& region) {
  demand_order(cell.write, true, now, place, region);
  if (!place.write) {
    demand_fresh(cell.write, now, place, region);
    return remember_read(cell, now);
  }
  demand_order(cell.read, false, now, place, region);
  demand_order(cell.other_read, false, now, place, region);
  demand_order(cell.foreign_read, false, now, place, region);
  cell.write = now;
}

void check_races(const Place& place, const Region& region) {
  Access now = {};
  now.site = place.site;
  now.serial = region.shared ? block_serial : 1;
  now.block = block_number, now.epoch = epoch, now.warp_epoch = current->warp_epoch;
  now.thread = uint16_t(current->number), now.atomic = place.atomic;
  now.fences = current->fences;
  u64 offset = u64(static_cast<const char*>(place.address) - region.start);
  u64 last = (offset + place.size - 1) / region.granule;
  for (u64 i = offset / region.granule; i <= last; i++)
    check_cell(region.cells[i], now, place, region);
}

void check_written(const Place& place, const Region& region) {
  unsigned char* written =
      region.written + (static_cast<const char*>(place.address) - region.start);
  if (!place.write || place.atomic)
    for (u32 i = 0; i < place.size; i++)
      if (!written[i]) refuse(Mistake::uninitialised, place, &region);
  if (place.write) memset(written, 1, place.size);
}

bool inside(const char* address, const void* start, const void* end) {
  return address >= static_cast<const char*>(start) && address < static_cast<const char*>(end);
}

// Memory of the runtime, constants of the module: no array, but no mistake either.
bool is_known(const Place& place) {
  const char* address = static_cast<const char*>(place.address);
  if (inside(address, &emulator_builtins, &emulator_builtins + 1)) return !place.write;
  return inside(address, launch->code_start, launch->code_end) && !place.write;
}

void check_other_stacks(const Place& place) {
  for (u32 i = 0; i < thread_count; i++) {
    const Thread& thread = threads[i];
    if (!thread.stack) continue;
    if (inside(static_cast<const char*>(place.address), thread.stack, thread.stack + stack_size)) {
      launch->report.other_thread = i;
      refuse(Mistake::other_stack, place, nullptr);
    }
  }
}

// No asynchronous copy is on its way to there.
void demand_landed(const Place& place, const Region& region) {
  Report& report = launch->report;
  if (find_copy(static_cast<const char*>(place.address), place.size, report.other_thread,
                report.other_site))
    refuse(Mistake::in_flight, place, &region);
}

void check(const Place& place) {
  if (!current) return;
  const char* address = static_cast<const char*>(place.address);
  if (inside(address, current->stack, current->stack + stack_size)) return;
  Region* region = region_of(address, place.size);
  if (!region) {
    if (is_known(place)) return;
    check_other_stacks(place);
    refuse(Mistake::out_of_bounds, place, nullptr);
  }
  if (reinterpret_cast<uintptr_t>(address) % place.size)
    refuse(Mistake::misaligned, place, region);
  if (region->shared) demand_landed(place, *region);
  if (place.write && !region->writable) refuse(Mistake::read_only, place, region);
  if (region->written) check_written(place, *region);
  check_races(place, *region);
  if (place.atomic && !region->shared) pass_counter(address);
  if (launch->traffic)
    record_traffic(place.site, address, place.size, place.write, region->shared);
}

}  // namespace

void begin_checks() {
  begin_order();
  if (!shared_cells) shared_cells = static_cast<Cell*>(calloc(arena_size, sizeof(Cell)));
  for (int i = 0; i < launch->region_count; i++) {
    Region& region = launch->regions[i];
    u64 cells = region.size / region.granule + 1;
    region.cells = static_cast<Cell*>(calloc(cells, sizeof(Cell)));
    if (!region.cells) stop(Mistake::out_of_memory);
  }
}

void end_checks() {
  for (int i = 0; i < launch->region_count; i++) free(launch->regions[i].cells);
}

void check_copy(char* to, const char* from, u32 size, u32 bytes, bool past_l1, const void* site) {
  if (bytes == size) check({from, site, size, false, false, past_l1});
  if (bytes < size)
    for (u32 i = 0; i < bytes; i++) check({from + i, site, 1, false, false, past_l1});
  check({to, site, size, true, false, false});
}

// It is written anew: a barrier must follow the wait.
void check_landing(char* to, u32 size, const void* site) {
  u32 traffic = launch->traffic;
  launch->traffic = 0;
  check({to, site, size, true, false, false});
  launch->traffic = traffic;
}

void begin_block_checks() {
  begin_block_order();
  block_serial++;
  emulator_shared_count = 0;
  memset(shared_written, 0, reachable_shared());
}

void share_region(Region region) {
  for (int i = 0; i < emulator_shared_count; i++)
    if (emulator_shared_regions[i].start == region.start) return;
  u64 offset = u64(region.start - arena);
  region.granule = region.element < 4 ? region.element : 4;
  region.written = shared_written + offset;
  region.cells = shared_cells + offset;  // sparse: a cell for each byte
  emulator_shared_regions[emulator_shared_count++] = region;
}

}  // namespace emulator

using namespace emulator;

#define SITE __builtin_return_address(0)
#define ACCESS(size)                                                                        \
  void __tsan_read##size(void* p) { check({p, SITE, size, false, false, false}); }          \
  void __tsan_write##size(void* p) { check({p, SITE, size, true, false, false}); }          \
  void __tsan_unaligned_read##size(void* p) { check({p, SITE, size, false, false, false}); } \
  void __tsan_unaligned_write##size(void* p) { check({p, SITE, size, true, false, false}); } \
  void __tsan_volatile_read##size(void* p) { check({p, SITE, size, false, false, true}); }  \
  void __tsan_volatile_write##size(void* p) { check({p, SITE, size, true, false, true}); }

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
ACCESS(1) ACCESS(2) ACCESS(4) ACCESS(8) ACCESS(16)

// structures of other sizes, byte by byte in the largest steps that their alignment allows
static void range(void* start, u64 size, bool write, const void* site) {
  u32 step = size % 4 ? 1 : 4;
  for (u64 i = 0; i < size; i += step)
    check({static_cast<char*>(start) + i, site, step, write, false, false});
}
void __tsan_read_range(void* p, u64 size) { range(p, size, false, SITE); }
void __tsan_write_range(void* p, u64 size) { range(p, size, true, SITE); }

void emulator_atomic(const void* address, int size, const void* site) {
  if (launch->checked) check({address, site, u32(size), true, true, true});
}

void emulator_past_l1(const void* address, int size, int write, const void* site) {
  if (launch->checked) check({address, site, u32(size), write != 0, false, true});
}

void emulator_fence() {
  if (launch->checked) pass_fence();
}
}
