// Runs a kernel's blocks one after the other, each thread of a block as a fiber with a stack of its
// own. A fiber gives way at barriers and warp operations only, so between them a thread is never
// interrupted: the order in which threads run is the launch's `seed`, not chance.

#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "state.h"

emulator::Builtins emulator_builtins;

namespace emulator {

Launch* launch;
Thread* current;
Thread* threads;
u32 thread_count, block_number, epoch;
alignas(256) char arena[arena_size + 256];

size_t reachable_shared() {
  size_t reachable = most_static + launch->dynamic_shared;
  return reachable < arena_size ? reachable : arena_size;
}

// ---------------------------------------------------------------------- fibers

namespace {

Thread thread_storage[most_threads];
char* spare_stacks[most_threads];
u32 spare_count;
sigjmp_buf escape;  // from a mistake back to emulator_launch

char* take_stack() {
  if (spare_count) return spare_stacks[--spare_count];
  void* stack = mmap(nullptr, stack_size + 4096, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stack == MAP_FAILED) stop(Mistake::out_of_memory);
  mprotect(stack, 4096, PROT_NONE);  // an overflow is a crash, which is reported
  return static_cast<char*>(stack) + 4096;
}

void give_back(Thread& thread) {
  if (thread.stack) spare_stacks[spare_count++] = thread.stack;
  thread.stack = nullptr;
}

[[noreturn]] void fiber_main();

}  // namespace

#if defined(__x86_64__)

extern "C" void emulator_switch(void** save, void* load);
asm(R"(
.text
.globl emulator_switch
.hidden emulator_switch
.type emulator_switch, @function
emulator_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
.size emulator_switch, .-emulator_switch
)");

namespace {

void* scheduler;

void prepare(Thread& thread) {
  thread.stack = take_stack();
  // stacks lie 17 pages apart: without the shift, their tops would share few lines of the cache
  char* end = thread.stack + stack_size - thread.number % 32 * 448;
  void** top = reinterpret_cast<void**>(end) - 2;  // ret leaves rsp + 8
  *top = reinterpret_cast<void*>(fiber_main);
  thread.stack_pointer = top - 6;
  memset(thread.stack_pointer, 0, 6 * sizeof(void*));
}

void to_thread(Thread& thread) { emulator_switch(&scheduler, thread.stack_pointer); }
void to_scheduler() { emulator_switch(&current->stack_pointer, scheduler); }
void from_to(Thread& from, Thread& to) { emulator_switch(&from.stack_pointer, to.stack_pointer); }

}  // namespace

#else  // any other processor: slower, but it works everywhere

namespace {

ucontext_t scheduler, contexts[most_threads];

void prepare(Thread& thread) {
  thread.stack = take_stack();
  ucontext_t& context = contexts[thread.number];
  getcontext(&context);
  context.uc_stack.ss_sp = thread.stack;
  context.uc_stack.ss_size = stack_size;
  context.uc_link = &scheduler;
  makecontext(&context, reinterpret_cast<void (*)()>(fiber_main), 0);
}

void to_thread(Thread& thread) { swapcontext(&scheduler, &contexts[thread.number]); }
void to_scheduler() { swapcontext(&contexts[current->number], &scheduler); }
void from_to(Thread& from, Thread& to) {
  swapcontext(&contexts[from.number], &contexts[to.number]);
}

}  // namespace

#endif

namespace {

void fiber_main() {
  launch->call(launch->arguments);
  current->state = done;
  to_scheduler();
  abort();
}

void enter(Thread& thread) {
  current = &thread;
  emulator_builtins.thread = thread.index;
  if (thread.state == fresh) prepare(thread);
  thread.state = ready;
}

struct Order {
  u32 places[most_threads];

  // 0: forward, 1: backward, else shuffled by a linear congruential generator
  void arrange(u32 count, u64 seed) {
    for (u32 i = 0; i < count; i++) places[i] = seed == 1 ? count - 1 - i : i;
    if (seed < 2) return;
    u64 state = seed * 0x9E3779B97F4A7C15ull + block_number;
    for (u32 i = count; i > 1; i--) {
      state = state * 6364136223846793005ull + 1442695040888963407ull;
      u32 j = u32((state >> 33) % i), held = places[i - 1];
      places[i - 1] = places[j], places[j] = held;
    }
  }
} order;

u32 turn;  // whose in the order it is

// The next thread in the order that can go on, or null at the end of the round.
Thread* next_thread() {
  for (; turn < thread_count; turn++) {
    Thread& thread = threads[order.places[turn]];
    if (thread.state == fresh || thread.state == ready) return turn++, &thread;
  }
  return nullptr;
}

// Runs until a round has ended, or a thread has.
void resume(Thread& thread) {
  enter(thread);
  to_thread(thread);
  if (current->state == done) give_back(*current);
  current = nullptr;
}

}  // namespace

// Threads that wait at the same place are switched without the scheduler, since the processor then
// predicts all returns.
void wait(State state, int line) {
  Thread* self = current;
  self->line = line;
  self->state = state;
  Thread* next = next_thread();
  if (!next) return to_scheduler();
  enter(*next);
  from_to(*self, *next);
}

// -------------------------------------------------------------------- mistakes

void stop(Mistake mistake) {
  Report& report = launch->report;
  report.mistake = mistake;
  report.block = block_number;
  if (current) report.thread = current->number;
  siglongjmp(escape, 1);
}

void report_wait(const Thread& waits, const Thread& other) {
  Report& report = launch->report;
  report.site = waits.site;
  report.line = waits.line;
  report.other_line = other.line;
  report.other_thread = other.number;
  report.state = other.state;
  current = const_cast<Thread*>(&waits);
}

namespace {

void on_signal(int signal, siginfo_t* info, void* context) {
  launch->report.address = info->si_addr;
#if defined(__x86_64__)
  auto* machine = &static_cast<ucontext_t*>(context)->uc_mcontext;
  launch->report.site = reinterpret_cast<void*>(machine->gregs[REG_RIP] + 1);
#endif
  stop(signal == SIGVTALRM ? Mistake::endless : Mistake::crash);
}

// Faults inside a kernel become reports, on a stack of their own; outside, what was set before.
class Guard {
  static constexpr int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGVTALRM};
  struct sigaction before[5];
  stack_t stack_before;
  char* stack;

 public:
  explicit Guard(int seconds) : stack(static_cast<char*>(malloc(64 << 10))) {
    stack_t mine = {};
    mine.ss_sp = stack;
    mine.ss_size = 64 << 10;
    sigaltstack(&mine, &stack_before);
    struct sigaction action = {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (int i = 0; i < 5; i++) sigaction(signals[i], &action, &before[i]);
    limit(seconds);
  }
  ~Guard() {
    limit(0);
    for (int i = 0; i < 5; i++) sigaction(signals[i], &before[i], nullptr);
    sigaltstack(&stack_before, nullptr);
    free(stack);
  }

 private:
  static void limit(int seconds) {
    itimerval timer = {{0, 0}, {seconds, 0}};
    setitimer(ITIMER_VIRTUAL, &timer, nullptr);
  }
};

// ------------------------------------------------------------------- barriers

// All threads wait or have ended. Let them through a barrier that all have reached.
void release_barrier() {
  const Thread* waits = nullptr;
  for (u32 i = 0; i < thread_count && !waits; i++)
    if (threads[i].state == at_warp || threads[i].state == at_barrier) waits = &threads[i];
  for (u32 i = 0; i < thread_count; i++)
    if (threads[i].state == at_warp) {
      const Thread& thread = threads[i];
      u32 first = thread.number / 32 * 32;
      for (u32 lane = 0; lane < 32; lane++) {
        if (!(thread.mask >> lane & 1)) continue;
        const Thread& other = threads[first + lane];
        if (other.state == at_warp && other.mask == thread.mask &&
            other.operation == thread.operation)
          continue;
        report_wait(thread, other);
        launch->report.lane = lane;
        launch->report.mask = thread.mask;
        stop(other.state == at_warp ? Mistake::warp_mismatch : Mistake::warp_missing);
      }
    }
  int any = 0, all = 1, count = 0;
  for (u32 i = 0; i < thread_count; i++) {
    const Thread& other = threads[i];
    if (other.state != at_barrier || other.line != waits->line) {
      report_wait(*waits, other);
      stop(other.state == done ? Mistake::missed_barrier : Mistake::divergent_barrier);
    }
    any |= other.value, all &= other.value, count += other.value;
  }
  epoch++;
  for (u32 i = 0; i < thread_count; i++) {
    Thread& thread = threads[i];
    thread.any = any, thread.all = all, thread.value = count;
    thread.state = ready;
  }
}

// --------------------------------------------------------------------- blocks

struct Shared {
  const char* function;
  int number;
  u64 offset, size;
};
Shared shared_table[64];
int shared_entries;
u64 shared_used;

void begin_block(u32 number) {
  block_number = number;
  epoch++;
  Index grid = launch->grid, size = launch->block;
  emulator_builtins.block = {number % grid.x, number / grid.x % grid.y, number / grid.x / grid.y};
  for (u32 i = 0; i < thread_count; i++) {
    Thread& thread = threads[i];
    thread = {};
    thread.number = i;
    thread.index = {i % size.x, i / size.x % size.y, i / size.x / size.y};
  }
  shared_entries = 0;
  shared_used = (launch->dynamic_shared + 15) / 16 * 16;
  memset(arena, 0xff, reachable_shared());  // NaN
  begin_block_copies();
  if (launch->checked) begin_block_checks();
  if (launch->traffic) begin_block_traffic();
}

void run_round() {
  turn = 0;
  while (Thread* thread = next_thread()) resume(*thread);
}

bool all_done() {
  for (u32 i = 0; i < thread_count; i++)
    if (threads[i].state != done) return false;
  return true;
}

void run_block(u32 number) {
  begin_block(number);
  order.arrange(thread_count, launch->seed);
  while (run_round(), !all_done()) {
    bool waiting = true;
    for (u32 i = 0; i < thread_count && waiting; i++)
      waiting = threads[i].state != ready && threads[i].state != fresh;
    if (waiting) release_barrier();
  }
  if (shared_used > launch->static_shared) launch->static_shared = shared_used;
  if (launch->traffic) end_block_traffic();
}

u64 common_divisor(u64 a, u64 b) { return b ? common_divisor(b, a % b) : a; }

// 0: forward, 1: backward, else in steps that meet every block once, from a start by the seed
void run_grid() {
  u64 blocks = u64(launch->grid.x) * launch->grid.y * launch->grid.z, seed = launch->seed;
  u64 step = seed < 2 ? 1 : (seed * 0x9E3779B97F4A7C15ull >> 33) % blocks + 1;
  while (common_divisor(step, blocks) != 1) step++;
  u64 start = seed < 2 ? 0 : seed % blocks;
  for (u64 i = 0; i < blocks; i++) {
    u64 number = (start + i * step) % blocks;
    run_block(u32(seed == 1 ? blocks - 1 - number : number));
  }
}

}  // namespace
}  // namespace emulator

using namespace emulator;

extern "C" {

void emulator_launch(Launch* request) {
  launch = request;
  threads = thread_storage;
  thread_count = request->block.x * request->block.y * request->block.z;
  emulator_builtins.block_size = request->block;
  emulator_builtins.grid_size = request->grid;
  if (request->checked) begin_checks();
  {
    Guard guard(request->seconds);
#if defined(__x86_64__)
    unsigned control = _mm_getcsr();
    _mm_setcsr(control | 0x8040);  // CuPy compiles with -ftz=true: denormals are zero
#endif
    if (!sigsetjmp(escape, 1)) run_grid();
#if defined(__x86_64__)
    _mm_setcsr(control);
#endif
  }
  current = nullptr;
  for (u32 i = 0; i < thread_count; i++) give_back(threads[i]);
  if (request->checked) end_checks();
  launch = nullptr;
}

void emulator_enter(int largest_block) {
  if (int(thread_count) <= largest_block) return;
  launch->report.lane = u32(largest_block);
  stop(Mistake::block_too_large);
}

int emulator_barrier(int line, int value, int* any, int* all) {
  current->value = value;
  wait(at_barrier, line);
  *any = current->any, *all = current->all;
  return current->value;
}

void* emulator_shared(const char* function, int number, u64 size, int alignment, int element,
                      const char* declaration) {
  for (int i = 0; i < shared_entries; i++) {
    const Shared& entry = shared_table[i];
    if (entry.function == function && entry.number == number) return arena + entry.offset;
  }
  u64 start = (shared_used + u64(alignment) - 1) / u64(alignment) * u64(alignment);
  if (start + size > reachable_shared() || shared_entries == 64) {
    launch->report.size = u32(start + size);
    stop(Mistake::too_much_shared);
  }
  shared_table[shared_entries++] = {function, number, start, size};
  shared_used = start + size;
  if (launch->checked) {
    Region region = {arena + start, size, 0, 1, nullptr, nullptr, declaration, u32(element), 1};
    share_region(region);
  }
  return arena + start;
}

void* emulator_dynamic_shared(int element, const char* declaration) {
  if (launch->dynamic_shared == 0) stop(Mistake::no_dynamic_shared);
  if (launch->checked) {
    Region region = {arena, launch->dynamic_shared, 0, 1, nullptr, nullptr, declaration,
                     u32(element), 1};
    share_region(region);
  }
  return arena;
}

void emulator_trap(int line, const char* text) {
  launch->report.line = line;
  snprintf(launch->report.text, sizeof launch->report.text, "%s", text);
  stop(Mistake::language);
}
}
