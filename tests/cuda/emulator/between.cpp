// What orders different blocks: a counter in global memory, as in "the last block to arrive adds up
// what all have left". A block *releases* what its threads did before a __threadfence() by an atomic
// operation that follows the fence; another block *acquires* it by an atomic operation on the same
// place, later, which a fence follows. Inside a block, the thread's own sequence or a barrier must
// lie between one step and the next; what was acquired is released along with the rest.

#include <deque>
#include <unordered_map>
#include <vector>

#include "state.h"

namespace emulator {

namespace {

struct Release;

// What the operations on one place have released, in their sequence.
typedef std::deque<Release> Log;

struct Acquired {
  const Log* log;
  size_t length;  // how much of it was there
};

struct Release {
  u32 block, thread;
  u32 own_fences;                // of the thread that did the atomic operation
  std::vector<u32> fences;       // of each thread, before the last barrier
  u32 epoch;                     // accesses before it lie before a fence after a barrier
  std::vector<Acquired> passed;  // what the block had acquired itself
};

typedef std::unordered_map<u32, std::vector<const Release*>> ByBlock;

// An atomic operation of the block in hand.
struct Acquisition {
  Acquired from;
  u32 thread, fences, epoch;  // when it was done
  u32 fenced;  // in which epoch the first fence followed; 0: in none so far
  ByBlock found;
};

std::unordered_map<const void*, Log> logs;
std::vector<Acquisition> acquisitions;
u32 block_fenced, block_fenced_before;  // the last fence's epoch, and that of the one in an earlier

bool any_fence() { return block_fenced != 0; }

u32 fences_before_barrier(const Thread& thread) {
  return thread.fence_epoch == epoch ? thread.fences_before : thread.fences;
}

bool is_fenced(const Acquisition& it) {
  if (current->number == it.thread && current->fences > it.fences) return true;
  return current->fence_epoch > it.epoch || (it.fenced && it.fenced < epoch);
}

bool covers(const Release& release, const Access& before) {
  if (before.epoch < release.epoch) return true;
  bool own = before.thread == release.thread;
  return before.fences < (own ? release.own_fences : release.fences[before.thread]);
}

void gather(const Acquired& from, ByBlock& found, std::unordered_map<const Log*, size_t>& seen) {
  size_t& start = seen[from.log];
  size_t first = start;
  if (start < from.length) start = from.length;
  for (size_t i = first; i < from.length; i++) {
    const Release& release = (*from.log)[i];
    found[release.block].push_back(&release);
    for (const Acquired& passed : release.passed) gather(passed, found, seen);
  }
}

bool holds(Acquisition& it, const Access& before) {
  if (it.found.empty()) {
    std::unordered_map<const Log*, size_t> seen;
    gather(it.from, it.found, seen);
  }
  auto entry = it.found.find(before.block);
  if (entry == it.found.end()) return false;
  for (const Release* release : entry->second)
    if (covers(*release, before)) return true;
  return false;
}

void acquire(const Log& log) {
  if (log.empty()) return;
  Acquisition it = {};
  it.from = {&log, log.size()};
  it.thread = current->number, it.fences = current->fences, it.epoch = epoch;
  acquisitions.push_back(it);
}

void release(Log& log) {
  Release it = {};
  it.block = block_number, it.thread = current->number, it.own_fences = current->fences;
  for (u32 i = 0; i < thread_count; i++) it.fences.push_back(fences_before_barrier(threads[i]));
  it.epoch = block_fenced == epoch ? block_fenced_before : block_fenced;
  if (current->fence_epoch > it.epoch) it.epoch = current->fence_epoch;
  for (const Acquisition& acquisition : acquisitions)
    if (is_fenced(acquisition)) it.passed.push_back(acquisition.from);
  log.push_back(it);
}

}  // namespace

void begin_order() { logs.clear(); }

void begin_block_order() {
  acquisitions.clear();
  block_fenced = block_fenced_before = 0;
}

void pass_fence() {
  if (current->fence_epoch != epoch) {
    current->fences_before = current->fences;
    current->fence_epoch = epoch;
  }
  current->fences++;
  if (block_fenced != epoch) block_fenced_before = block_fenced, block_fenced = epoch;
  for (Acquisition& it : acquisitions)
    if (!it.fenced && (it.thread == current->number || it.epoch < epoch)) it.fenced = epoch;
}

void pass_counter(const void* address) {
  if (!any_fence() && logs.empty()) return;
  Log& log = logs[address];
  acquire(log);
  if (any_fence()) release(log);
}

Order order_of_blocks(const Access& before) {
  Order order = Order::none;
  for (Acquisition& it : acquisitions) {
    bool released = holds(it, before);
    if (released && is_fenced(it)) return Order::whole;
    if (released) order = Order::not_acquired;
    if (!released && order == Order::none && it.found.count(before.block))
      order = Order::not_released;
  }
  return order;
}

}  // namespace emulator
