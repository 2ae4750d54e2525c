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

typedef u32 Word __attribute__((may_alias));
typedef float Row __attribute__((vector_size(N * sizeof(float))));
typedef double WideRow __attribute__((vector_size(N * sizeof(double))));
typedef long long Bits __attribute__((vector_size(N * sizeof(double))));

// Row by row; the operands as bits of floats.
struct Matrices {
  alignas(64) Word a[M][most_k], b[most_k][N];
  alignas(64) float sums[M][N];
};

// What a lane brings, and takes away.
struct Fragments {
  float* sums;  // 4
  u32 a[4], b[2];
};

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
  for (u32 i = 0; i < 4; i++) all.a[g + i % 2 * 8][t + i / 2 * 4] = lane.a[i] & kept;
  for (u32 i = 0; i < 2; i++) all.b[t + i * 4][g] = lane.b[i] & kept;
}

// the same places, but each is a pair along k, at twice the column or row
void take_bf16(const Thread&, const Fragments& lane, u32 g, u32 t, Matrices& all) {
  for (u32 i = 0; i < 4; i++) {
    Word* pair = &all.a[g + i % 2 * 8][(t + i / 2 * 4) * 2];
    pair[0] = lane.a[i] << 16, pair[1] = lane.a[i] & 0xffff0000;
  }
  for (u32 i = 0; i < 2; i++) {
    u32 k = (t + i * 4) * 2;
    all.b[k][g] = lane.b[i] << 16, all.b[k + 1][g] = lane.b[i] & 0xffff0000;
  }
}

WideRow widened(const void* row) {
  Row narrow;
  memcpy(&narrow, row, sizeof narrow);
  return __builtin_convertvector(narrow, WideRow);
}

// Without the 29 bits of a double's fraction that a float does not have, the conversion is exact.
Row rounded_toward_zero(WideRow sum) {
  Bits bits;
  memcpy(&bits, &sum, sizeof sum);
  bits &= ~((1ll << 29) - 1);
  memcpy(&sum, &bits, sizeof sum);
  return __builtin_convertvector(sum, Row);
}

template <u32 K>
void add_products(Matrices& all) {
  WideRow b[K];
  for (u32 k = 0; k < K; k++) b[k] = widened(all.b[k]);
  for (u32 i = 0; i < M; i++) {
    WideRow sum = widened(all.sums[i]), a[K / N];
    for (u32 k = 0; k < K; k += N) a[k / N] = widened(&all.a[i][k]);
    for (u32 k = 0; k < K; k++) sum += a[k / N][k % N] * b[k];
    Row rounded = rounded_toward_zero(sum);
    memcpy(all.sums[i], &rounded, sizeof rounded);
  }
}

// a lane's sums lie in two pairs: (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1)
float* pair_of_sums(Matrices& all, u32 lane, u32 pair) {
  return &all.sums[lane / 4 + pair * 8][lane % 4 * 2];
}

template <u32 K, void take(const Thread&, const Fragments&, u32, u32, Matrices&)>
void multiply_as(Thread* warp) {
  Matrices all;
  auto fragments = [&](u32 lane) { return reinterpret_cast<const Fragments*>(warp[lane].deposit); };
  for (u32 lane = 0; lane < 32; lane++) {
    take(warp[lane], *fragments(lane), lane / 4, lane % 4, all);
    for (u32 i = 0; i < 2; i++) memcpy(pair_of_sums(all, lane, i), fragments(lane)->sums + i * 2, 8);
  }
  add_products<K>(all);
  for (u32 lane = 0; lane < 32; lane++)
    for (u32 i = 0; i < 2; i++) memcpy(fragments(lane)->sums + i * 2, pair_of_sums(all, lane, i), 8);
}

}  // namespace

void multiply(Thread* warp) {
  if (warp->operation == Warp::tf32)
    multiply_as<8, take_tf32>(warp);
  else
    multiply_as<16, take_bf16>(warp);
}

// ldmatrix (9.7.14.5.15): lane 8 i + n has brought row n of matrix i; register i of a lane gets word
// lane % 4 of row lane / 4.
template <class Word>
void hand_out(Thread* warp, Word word) {
  MatrixRow rows[32];
  auto own = [&](u32 lane) { return reinterpret_cast<MatrixRow*>(warp[lane].deposit); };
  for (u32 lane = 0; lane < 32; lane++) rows[lane] = *own(lane);
  for (u32 lane = 0; lane < 32; lane++)
    for (u32 i = 0; i < 4; i++) own(lane)->at[i] = word(rows + 8 * i, lane / 4, lane % 4);
}

void hand_out_matrices(Thread* warp) {
  hand_out(warp, [](const MatrixRow* rows, u32 g, u32 t) { return rows[g].at[t]; });
}

// .trans: the numbers g of rows 2 t and 2 t + 1
void hand_out_turned_matrices(Thread* warp) {
  hand_out(warp, [](const MatrixRow* rows, u32 g, u32 t) {
    auto number = [&](u32 row) { return rows[row].at[g / 2] >> g % 2 * 16 & 0xffff; };
    return number(2 * t) | number(2 * t + 1) << 16;
  });
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

extern "C" const void* emulator_shared_pointer(u32 address) { return arena + address; }

extern "C" MatrixRow emulator_load_matrices(MatrixRow own, Warp operation) {
  const void* site = __builtin_return_address(0);
  meet(site, 0, 0xffffffff, operation, reinterpret_cast<u64>(&own));
  return own;
}
