// What the lanes of a warp do together: shuffles, votes, __syncwarp, products on tensor cores. A lane
// waits until all lanes of its mask have come; the last one does the work for all.

#include "state.h"

namespace emulator {

namespace {

// The lane that `lane` reads from; itself where the source lies outside its segment.
u32 source_of(u32 lane, const Thread& thread) {
  int width = thread.width, argument = thread.argument;
  int in_segment = int(lane) % width, segment = int(lane) - in_segment;
  int source = in_segment;
  switch (thread.operation) {
    case Warp::shuffle: source = argument & (width - 1); break;
    case Warp::shuffle_up: source = in_segment - argument; break;
    case Warp::shuffle_down: source = in_segment + argument; break;
    case Warp::shuffle_xor: source = in_segment ^ argument; break;
    default: break;
  }
  return u32(segment + (source >= 0 && source < width ? source : in_segment));
}

u64 ballot_of(const Thread* warp, u32 mask) {
  u64 votes = 0;
  for (u32 lane = 0; lane < 32; lane++)
    if (mask >> lane & 1) votes |= (warp[lane].deposit & 1) << lane;
  return votes;
}

u64 shuffled(const Thread* warp, u32 lane, u32 mask) {
  u32 source = source_of(lane, warp[lane]);
  if (!(mask >> source & 1)) {
    report_wait(warp[lane], warp[lane]);
    launch->report.lane = source, launch->report.mask = mask;
    stop(Mistake::warp_source);
  }
  return warp[source].deposit;
}

void finish_lane(Thread* warp, u32 lane, u32 mask) {
  Thread& thread = warp[lane];
  switch (thread.operation) {
    case Warp::sync: thread.warp_epoch++; break;
    case Warp::ballot: thread.result = ballot_of(warp, mask); break;
    default: thread.result = shuffled(warp, lane, mask);
  }
}

void finish_exchange(Thread* warp, u32 mask, Warp operation) {
  if (operation == Warp::tf32 || operation == Warp::bf16)
    multiply(warp);
  else if (operation == Warp::matrices)
    hand_out_matrices(warp);
  else if (operation == Warp::turned_matrices)
    hand_out_turned_matrices(warp);
  else
    for (u32 lane = 0; lane < 32; lane++)
      if (mask >> lane & 1) finish_lane(warp, lane, mask);
  for (u32 lane = 0; lane < 32; lane++)
    if (mask >> lane & 1) warp[lane].state = ready;
}

// Looks at the neighbours first: mostly one of them has not come yet.
bool all_arrived(const Thread* warp, u32 mask, const Thread& last) {
  for (u32 i = 1; i < 32; i++) {
    u32 lane = (last.number + (i % 2 ? i / 2 + 1 : 32 - i / 2)) % 32;
    if (mask >> lane & 1 &&
        (warp[lane].state != at_warp || warp[lane].mask != mask ||
         warp[lane].operation != last.operation))
      return false;
  }
  return true;
}

void demand_lanes(const Thread* warp, u32 mask) {
  u32 existing = thread_count - u32(warp - threads);
  if (existing >= 32 || mask >> existing == 0) return;
  launch->report.lane = existing + u32(__builtin_ctz(mask >> existing));
  launch->report.state = ~0u;
  stop(Mistake::warp_missing);
}

void demand_caller(u32 mask, u32 lane) {
  if (mask >> lane & 1) return;
  launch->report.lane = lane;
  stop(Mistake::warp_source);
}

}  // namespace

void meet(const void* site, int line, u32 mask, Warp operation, u64 deposit) {
  u32 lane = current->number % 32;
  Thread* warp = current - lane;
  Report& report = launch->report;
  report.site = site, report.line = line, report.mask = mask;
  demand_lanes(warp, mask);
  demand_caller(mask, lane);
  report.site = nullptr;
  current->operation = operation, current->mask = mask, current->deposit = deposit;
  current->site = site, current->line = line, current->state = at_warp;
  if (all_arrived(warp, mask, *current)) finish_exchange(warp, mask, operation);
  if (current->state == at_warp) wait(at_warp, line);
  current->site = nullptr;
}

}  // namespace emulator

using namespace emulator;

extern "C" u64 emulator_exchange(int line, u32 mask, Warp operation, u64 value, int argument,
                                 int width) {
  current->argument = argument, current->width = width;
  meet(nullptr, line, mask, operation, value);
  return current->result;
}
