// Asynchronous copies to shared memory: cp.async. A copy is made only when its thread waits for it. So a
// thread that does not wait reads the old contents. In mode check no thread may access the place in the
// meantime; after the wait the thread itself may, and others after a barrier.

#include <cstring>
#include <deque>

#include "state.h"

namespace emulator {

namespace {

struct Copy {
  char* to;
  const char* from;
  u32 size, bytes;  // bytes: how many are copied; zeros follow
  u32 group;
  const void* site;
};

// Of one thread; groups are counted from 1 when the next is committed.
struct Queue {
  std::deque<Copy> copies;
  u32 committed;
};

Queue queues[most_threads];
bool any_copies;
uint16_t in_flight[arena_size];  // for each byte of shared memory: the thread that copies, plus 1

void mark(const Copy& copy, u32 thread_plus_1) {
  for (u32 i = 0; i < copy.size; i++) in_flight[copy.to - arena + i] = uint16_t(thread_plus_1);
}

void land(const Copy& copy) {
  mark(copy, 0);
  memcpy(copy.to, copy.from, copy.bytes);
  memset(copy.to + copy.bytes, 0, copy.size - copy.bytes);
  if (launch->checked) check_landing(copy.to, copy.size, copy.site);
}

void land_until(Queue& queue, u32 group) {
  while (!queue.copies.empty() && queue.copies.front().group <= group) {
    Copy copy = queue.copies.front();
    queue.copies.pop_front();
    land(copy);
  }
}

}  // namespace

void begin_block_copies() {
  if (!any_copies) return;
  for (Queue& queue : queues) queue.copies.clear(), queue.committed = 0;
  memset(in_flight, 0, sizeof in_flight);
  any_copies = false;
}

bool find_copy(const char* address, u32 size, u32& thread, const void*& site) {
  if (!any_copies) return false;
  for (u32 i = 0; i < size; i++) {
    const char* place = address + i;
    u32 owner = in_flight[place - arena];
    if (!owner) continue;
    thread = owner - 1;
    for (const Copy& copy : queues[thread].copies)
      if (place >= copy.to && place < copy.to + copy.size) site = copy.site;
    return true;
  }
  return false;
}

}  // namespace emulator

using namespace emulator;

extern "C" {

u64 emulator_shared_address(const void* pointer, int line) {
  u64 offset = u64(static_cast<const char*>(pointer) - arena);
  if (offset >= arena_size) emulator_trap(line, "the pointer does not point to shared memory");
  return offset;
}

void emulator_copy(u32 to, const void* from, int size, u32 bytes, int past_l1, const void* site) {
  Copy copy = {arena + to, static_cast<const char*>(from), u32(size), bytes, 0, site};
  if (bytes > copy.size) copy.bytes = copy.size;
  if (to + copy.size > arena_size) emulator_trap(0, "an asynchronous copy leaves shared memory");
  if (launch->checked) check_copy(copy.to, copy.from, copy.size, copy.bytes, past_l1, site);
  Queue& queue = queues[current->number];
  copy.group = queue.committed + 1;
  queue.copies.push_back(copy);
  mark(copy, current->number + 1);
  any_copies = true;
}

void emulator_commit_copies() { queues[current->number].committed++; }

void emulator_wait_for_copies(u32 pending) {
  Queue& queue = queues[current->number];
  if (queue.committed > pending) land_until(queue, queue.committed - pending);
}
}
