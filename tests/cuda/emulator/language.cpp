// What C++ leaves undefined, found by -fsanitize=undefined; its callbacks are ours.

#include <cstdio>

#include "state.h"

using namespace emulator;

namespace {

struct Source {
  const char* file;
  u32 line, column;
};

struct Type {
  uint16_t kind, info;  // kind 0: an integer, whose lowest bit of info says that it is signed
  char name[1];
};

long long value_of(const Type* type, u64 value) {
  int bits = 1 << (type->info >> 1);
  if (bits >= 64 || !(type->info & 1)) return (long long)value;
  return (long long)(value << (64 - bits)) >> (64 - bits);
}

struct BoundsData {
  Source source;
  const Type *array, *index;
};

struct OverflowData {
  Source source;
  const Type* type;
};

[[noreturn]] void refuse(const Source& source) {
  launch->report.line = int(source.line);
  stop(Mistake::language);
}

template <typename... Arguments>
void say(const char* format, Arguments... arguments) {
  snprintf(launch->report.text, sizeof launch->report.text, format, arguments...);
}

void overflow(OverflowData* data, const char* sign, u64 left, u64 right) {
  if (!launch) return;
  say("%lld %s %lld does not fit into %s", value_of(data->type, left), sign,
      value_of(data->type, right), data->type->name);
  refuse(data->source);
}

}  // namespace

extern "C" {

void __ubsan_handle_out_of_bounds(BoundsData* data, u64 index) {
  if (!launch) return;
  say("index %lld is outside an array of type %s", value_of(data->index, index),
      data->array->name);
  refuse(data->source);
}

void __ubsan_handle_add_overflow(OverflowData* d, u64 l, u64 r) { overflow(d, "+", l, r); }
void __ubsan_handle_sub_overflow(OverflowData* d, u64 l, u64 r) { overflow(d, "-", l, r); }
void __ubsan_handle_mul_overflow(OverflowData* d, u64 l, u64 r) { overflow(d, "*", l, r); }
void __ubsan_handle_divrem_overflow(OverflowData* d, u64 l, u64 r) { overflow(d, "/", l, r); }

void __ubsan_handle_negate_overflow(OverflowData* data, u64 value) {
  if (!launch) return;
  say("the negative of %lld does not fit into %s", value_of(data->type, value),
      data->type->name);
  refuse(data->source);
}

void __ubsan_handle_shift_out_of_bounds(BoundsData* data, u64 left, u64 right) {
  if (!launch) return;
  say("shift of %lld by %lld bits", value_of(data->array, left), value_of(data->index, right));
  refuse(data->source);
}

void __ubsan_handle_float_cast_overflow(OverflowData* data, u64) {
  if (!launch) return;
  say("a floating-point number that is converted to an integer does not fit into it");
  refuse(data->source);
}
}
