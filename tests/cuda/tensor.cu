// Kernels on tensor cores, for test_tensor.py: right ones, and with one MISTAKE each. The text of
// tensor.cuh stands before this one.

// One product of each warp, of registers as they are.
template <bool BF16>
__global__ void fragments(const unsigned* a, const unsigned* b, const float* c, float* d) {
  int i = threadIdx.x;
  const unsigned left[4] = {a[i * 4], a[i * 4 + 1], a[i * 4 + 2], a[i * 4 + 3]};
  const unsigned right[2] = {b[i * 2], b[i * 2 + 1]};
  float sums[4];
  for (int j = 0; j < 4; j++) sums[j] = c[i * 4 + j];
  if (BF16)
    mma_bf16(sums, left, right);
  else
    mma_tf32(sums, left, right);
  for (int j = 0; j < 4; j++) d[i * 4 + j] = sums[j];
}

// there and back: tf32, then the lower and the upper half of a pair of bf16
extern "C" __global__ void rounded(const float* x, float* y) {
  int i = threadIdx.x, n = blockDim.x;
  y[i] = from_tf32(to_tf32(x[i]));
  unsigned pair = pack_bf16(x[i], x[n - 1 - i]);
  y[n + i] = low_of_bf16(pair);
  y[2 * n + i] = high_of_bf16(pair);
}

// Four matrices of 8 rows, each of 4 numbers, PITCH numbers apart; lane `absent` does not come.
template <int PITCH>
__global__ void matrices(const float* x, float* y, int absent) {
  extern __shared__ __align__(16) float rows[];
  int i = threadIdx.x;
  for (int j = 0; j < 4; j++) rows[i * PITCH + j] = x[i * 4 + j];
  __syncwarp();
  float values[4];
  if (i != absent) load_matrices(values, &rows[i * PITCH]);
  for (int j = 0; j < 4; j++) y[i * 4 + j] = values[j];
}

// The same of numbers of 16 bits, in pairs, transposed or not.
template <bool TURNED>
__global__ void pairs(const unsigned short* x, unsigned* y) {
  __shared__ alignas(16) unsigned short rows[32][8];
  int i = threadIdx.x;
  for (int j = 0; j < 8; j++) rows[i][j] = x[i * 8 + j];
  __syncwarp();
  unsigned registers[4];
  if (TURNED)
    load_turned_matrices(registers, rows[i]);
  else
    load_matrices(registers, rows[i]);
  for (int j = 0; j < 4; j++) y[i * 4 + j] = registers[j];
}

enum Mistake {
  NONE,
  SWAPPED,          // two registers of a fragment
  LANE_MISSING,     // has ended
  UNCONVERTED,      // floats for tf32
  NO_WAIT,          // for copies
  WAIT_TOO_SHORT,   // one group too few
  NO_COMMIT,        // so that the wait does not know of the copies
  NO_BARRIER,       // behind the wait
  NO_LAST_BARRIER,  // before the next copies to the same place
  WRONG_STAGE,      // the one that is being filled
  OVERWRITTEN,      // while a copy is on its way
  COPIED_TWICE,     // to the same place
  ALL_EXIST,        // though some lie behind the end
  MISALIGNED,       // 16 bytes to an address that is no multiple
};

// d(32, 8) = a(32, size) * b(size, 8), by two warps; `size` is a multiple of 4. While one stage is
// multiplied, copies fill the other.
template <int MISTAKE>
__global__ void staged(const float* a, const float* b, float* d, int size) {
  __shared__ alignas(16) float a_tile[2][32][12];
  __shared__ alignas(16) float b_tile[2][8][9];
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, first = threadIdx.x / 32 * 16;
  auto fetch = [&](int stage, int k) {
    int row = threadIdx.x / 2, column = threadIdx.x % 2 * 4;
    float* to = &a_tile[stage][row][column] + (MISTAKE == MISALIGNED ? 2 : 0);
    bool exists = k + column < size || MISTAKE == ALL_EXIST;
    copy_async<16>(to, a + row * size + k + column, exists);
    if (MISTAKE == COPIED_TWICE) copy_async<16>(to, a + row * size, true);
    if (MISTAKE == OVERWRITTEN) *to = 0;
    row = threadIdx.x / 8, column = threadIdx.x % 8;
    copy_async<4>(&b_tile[stage][row][column], b + (k + row) * 8 + column, k + row < size);
    if (MISTAKE != NO_COMMIT) commit_copies();
  };
  float sums[4] = {};
  fetch(0, 0);
  for (int k = 0, stage = 0; k < size; k += 8, stage ^= 1) {
    if (k + 8 < size)
      fetch(stage ^ 1, k + 8);
    else
      commit_copies();
    if (MISTAKE == WAIT_TOO_SHORT)
      wait_for_copies<2>();
    else if (MISTAKE != NO_WAIT)
      wait_for_copies<1>();
    if (MISTAKE != NO_BARRIER) __syncthreads();
    auto& left = a_tile[MISTAKE == WRONG_STAGE ? stage ^ 1 : stage];
    auto& right = b_tile[stage];
    unsigned a_part[4], b_part[2];
    for (int i = 0; i < 4; i++) {
      int j = MISTAKE == SWAPPED && i % 3 ? 3 - i : i;
      float value = left[first + g + j % 2 * 8][t + j / 2 * 4];
      a_part[i] = MISTAKE == UNCONVERTED ? __float_as_uint(value) : to_tf32(value);
    }
    for (int i = 0; i < 2; i++) b_part[i] = to_tf32(right[t + i * 4][g]);
    if (MISTAKE == LANE_MISSING && threadIdx.x == 5) return;
    mma_tf32(sums[0], sums[1], sums[2], sums[3], a_part, b_part);
    if (MISTAKE != NO_LAST_BARRIER) __syncthreads();
  }
  for (int i = 0; i < 4; i++) d[(first + g + i / 2 * 8) * 8 + t * 2 + i % 2] = sums[i];
}

// Odd threads read what their neighbours have copied: these waited, but no barrier followed.
extern "C" __global__ void barrier_before_the_wait(const float* x, float* y) {
  __shared__ float row[64];
  int i = threadIdx.x;
  copy_async<4>(&row[i], x + i, true);
  commit_copies();
  __syncthreads();
  wait_for_copies<0>();
  y[i] = row[i];
  if (i % 2) y[i] += row[i - 1];
}
