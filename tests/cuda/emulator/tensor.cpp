// Products on tensor cores: mma.sync of a warp, with the fragments of the PTX ISA (9.7.14.5).
//
// What the hardware computes inside is not specified. Here products are exact and their sum is one
// of doubles, rounded toward zero to float, as Fasi et al. 2021 ("Numerical behavior of NVIDIA
// tensor cores") found tensor cores to do; these keep fewer bits on the way.

#include <cstring>

#include "state.h"

namespace emulator {

namespace {

constexpr u32 M = 16, N = 8, most_k = 16;

typedef double Row __attribute__((vector_size(N * sizeof(double))));
typedef long long Bits __attribute__((vector_size(N * sizeof(double))));

struct Matrices {
  double a[M][most_k];
  Row b[most_k], sums[M];
};

// What a lane brings, and takes away.
struct Fragments {
  float* sums;  // 4
  u32 a[4], b[2];
};

double number(u32 bits) {
  float value;
  memcpy(&value, &bits, 4);
  return double(value);
}

[[noreturn]] void refuse_operand(const Thread& thread, const char* which, u32 i) {
  report_wait(thread, thread);
  launch->report.lane = i;
  strcpy(launch->report.text, which);
  stop(Mistake::not_converted);
}

void demand_tf32(const Thread& thread, const char* which, const u32* operand, u32 count) {
  for (u32 i = 0; i < count; i++)
    if (operand[i] & 0x1fff) refuse_operand(thread, which, i);
}

// a0 (g, t), a1 (g + 8, t), a2 (g, t + 4), a3 (g + 8, t + 4); b0 (t, g), b1 (t + 4, g)
void take_tf32(const Thread& thread, const Fragments& lane, u32 g, u32 t, Matrices& all) {
  constexpr u32 kept = 0xffffe000;  // the hardware reads no more
  if (launch->checked) {
    demand_tf32(thread, "a", lane.a, 4);
    demand_tf32(thread, "b", lane.b, 2);
  }
  for (u32 i = 0; i < 4; i++) all.a[g + i % 2 * 8][t + i / 2 * 4] = number(lane.a[i] & kept);
  for (u32 i = 0; i < 2; i++) all.b[t + i * 4][g] = number(lane.b[i] & kept);
}

// the same places, but each is a pair along k, at twice the column or row
void take_bf16(const Thread&, const Fragments& lane, u32 g, u32 t, Matrices& all) {
  for (u32 i = 0; i < 4; i++) {
    double* pair = &all.a[g + i % 2 * 8][(t + i / 2 * 4) * 2];
    pair[0] = number(lane.a[i] << 16), pair[1] = number(lane.a[i] & 0xffff0000);
  }
  for (u32 i = 0; i < 2; i++) {
    Row* pair = &all.b[(t + i * 4) * 2];
    pair[0][g] = number(lane.b[i] << 16), pair[1][g] = number(lane.b[i] & 0xffff0000);
  }
}

template <u32 K>
void add_products(Matrices& all) {
  for (u32 i = 0; i < M; i++) {
    Row sum = all.sums[i];
    for (u32 k = 0; k < K; k++) sum += all.a[i][k] * all.b[k];
    all.sums[i] = sum;
  }
}

// Without the 29 bits of a double's fraction that a float does not have, the conversion is exact.
void round_toward_zero(Matrices& all) {
  for (Row& row : all.sums) {
    Bits bits;
    memcpy(&bits, &row, sizeof row);
    bits &= ~((1ll << 29) - 1);
    memcpy(&row, &bits, sizeof row);
  }
}

template <u32 K, void take(const Thread&, const Fragments&, u32, u32, Matrices&)>
void multiply_as(Thread* warp) {
  Matrices all;
  for (u32 lane = 0; lane < 32; lane++) {
    const Fragments& mine = *reinterpret_cast<const Fragments*>(warp[lane].deposit);
    u32 g = lane / 4, t = lane % 4;
    take(warp[lane], mine, g, t, all);
    for (u32 i = 0; i < 4; i++) all.sums[g + i / 2 * 8][t * 2 + i % 2] = double(mine.sums[i]);
  }
  add_products<K>(all);
  round_toward_zero(all);
  for (u32 lane = 0; lane < 32; lane++) {
    float* sums = reinterpret_cast<const Fragments*>(warp[lane].deposit)->sums;
    for (u32 i = 0; i < 4; i++) sums[i] = float(all.sums[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2]);
  }
}

}  // namespace

void multiply(Thread* warp) {
  if (warp->operation == Warp::tf32)
    multiply_as<8, take_tf32>(warp);
  else
    multiply_as<16, take_bf16>(warp);
}

}  // namespace emulator

using namespace emulator;

extern "C" Sums emulator_multiply(float d0, float d1, float d2, float d3, u32 a0, u32 a1, u32 a2,
                                  u32 a3, u32 b0, u32 b1, Warp operation) {
  Sums sums = {{d0, d1, d2, d3}};
  const void* site = __builtin_return_address(0);
  Fragments mine = {sums.at, {a0, a1, a2, a3}, {b0, b1}};
  meet(site, 0, 0xffffffff, operation, reinterpret_cast<u64>(&mine));
  return sums;
}
