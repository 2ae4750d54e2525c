// Kernels with one mistake each, for test_emulator.py: `here` says where.
// They are launched with 64 threads a block, on arrays of 64 numbers.

extern "C" {

__global__ void reads_behind(const float* x, float* y) {
  int i = threadIdx.x;
  y[i] = x[i + 1];  // here
}

__global__ void writes_before(const float* x, float* y) {
  int i = threadIdx.x;
  y[i - 1] = x[i];  // here
}

__global__ void reads_null(const float* x, float* y) {
  const float* nothing = x[0] < 1e30f ? nullptr : x;
  y[threadIdx.x] = nothing[threadIdx.x];  // here
}

__global__ void leaves_shared(const float* x, float* y) {
  __shared__ float tile[32];
  float* place = tile;
  place[threadIdx.x] = x[threadIdx.x];  // here
  __syncthreads();
  y[threadIdx.x] = tile[threadIdx.x % 32];
}

__global__ void leaves_row(const float* x, float* y) {
  __shared__ float tile[8][9];
  int i = threadIdx.x;
  tile[i / 9][i % 9] = x[i];
  __syncthreads();
  y[i] = tile[0][i % 8 + 2];  // here
}

__global__ void writes_const(const float* x, float* y) {
  const_cast<float*>(x)[threadIdx.x] = y[threadIdx.x];  // here
}

__global__ void misaligned(const float* x, float* y) {
  float4 v = *reinterpret_cast<const float4*>(x + 1);  // here
  y[threadIdx.x] = v.x;
}

__global__ void no_barrier(const float* x, float* y) {
  __shared__ float row[64];
  row[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = row[63 - threadIdx.x];  // here
}

__global__ void no_second_barrier(const float* x, float* y) {
  __shared__ float row[64];
  float sum = 0;
  for (int k = 0; k < 3; k++) {
    row[threadIdx.x] = x[threadIdx.x] + k;  // here, or ...
    __syncthreads();
    sum += row[63 - threadIdx.x];  // here
  }
  y[threadIdx.x] = sum;
}

__global__ void two_write_one(const float* x, float* y) {
  y[threadIdx.x / 2] = x[threadIdx.x];  // here
}

__global__ void blocks_add(const float* x, float* y) {
  if (threadIdx.x == 0) y[0] += x[blockIdx.x];  // here
}

__global__ void block_reads_other(const float* x, float* y) {
  if (threadIdx.x == 0) y[blockIdx.x] = x[0];  // or here
  if (threadIdx.x == 1) y[32 + blockIdx.x] = y[(blockIdx.x + 1) % gridDim.x];  // here
}

__global__ void half_atomic(const float* x, float* y) {
  atomicAdd(y, x[threadIdx.x]);  // or here
  if (threadIdx.x == 5) y[1] = y[0];  // here
}

__global__ void trusts_the_warp(const float* x, float* y) {
  __shared__ float row[64];
  row[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = row[threadIdx.x ^ 1];  // here: no __syncwarp
}

__global__ void reads_fresh_shared(const float* x, float* y) {
  __shared__ float row[64];
  if (threadIdx.x < 63) row[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = row[threadIdx.x];  // here
}

__global__ void two_barriers(const float* x, float* y) {
  if (threadIdx.x < 32)
    __syncthreads();  // here
  else
    __syncthreads();  // or here
  y[threadIdx.x] = x[threadIdx.x];
}

__global__ void leaves_early(const float* x, float* y) {
  if (threadIdx.x >= 60) return;
  __syncthreads();  // here
  y[threadIdx.x] = x[threadIdx.x];
}

__global__ void lane_has_ended(const float* x, float* y) {
  if (threadIdx.x == 7) return;
  y[threadIdx.x] = __shfl_xor_sync(0xffffffff, x[threadIdx.x], 1);  // here
}

__global__ void lane_does_not_exist(const float* x, float* y) {
  y[threadIdx.x] = __shfl_xor_sync(0xffffffff, x[threadIdx.x], 1);  // here, with 48 threads
}

__global__ void mask_without_caller(const float* x, float* y) {
  y[threadIdx.x] = __shfl_xor_sync(0x0000ffff, x[threadIdx.x], 1);  // here
}

__global__ void source_outside_mask(const float* x, float* y) {
  if (threadIdx.x < 16) y[threadIdx.x] = __shfl_sync(0x0000ffff, x[threadIdx.x], 20);  // here
}

__global__ void two_operations(const float* x, float* y) {
  float v = x[threadIdx.x];
  if (threadIdx.x % 2) v = __shfl_xor_sync(0xffffffff, v, 1);  // here
  else __syncwarp();  // or here
  y[threadIdx.x] = v;
}

__global__ void lane_at_barrier(const float* x, float* y) {
  float v = x[threadIdx.x];
  if (threadIdx.x == 3) __syncthreads();
  else v = __shfl_xor_sync(0xffffffff, v, 1);  // here
  y[threadIdx.x] = v;
}

__global__ void wants_dynamic(const float* x, float* y) {
  extern __shared__ float row[];  // here
  row[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = row[threadIdx.x];
}

__global__ void wants_too_much(const float* x, float* y) {
  __shared__ double row[6200];  // here
  row[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = row[threadIdx.x];
}

__global__ void __launch_bounds__(32) small_blocks(const float* x, float* y) {
  y[threadIdx.x] = x[threadIdx.x];
}

__global__ void overflows(const float* x, float* y) {
  int large = 1 << 20;
  y[threadIdx.x] = x[large * (int)(2048 + threadIdx.x) == 0];  // here
}

__global__ void divides_by_zero(const float* x, float* y) {
  int zero = (int)threadIdx.x - 5;
  y[threadIdx.x] = x[7 / zero & 1];  // here
}

__global__ void shifts_too_far(const float* x, float* y) {
  y[threadIdx.x] = x[(1 << (threadIdx.x + 8)) & 1];  // here
}

__global__ void casts_nan(const float* x, float* y) {
  y[threadIdx.x] = x[(int)(x[threadIdx.x] / 0.0f) & 1];  // here
}

__global__ void reads_other_stack(const float* x, float* y) {
  __shared__ float* place;
  float mine[2] = {x[threadIdx.x], 1};
  if (threadIdx.x == 0) place = mine;
  __syncthreads();
  y[threadIdx.x] = *place;  // here
  __syncthreads();
}

__global__ void never_ends(const float* x, float* y) {
  while (*(volatile const float*)x < 1e30f) {}  // here
  y[threadIdx.x] = 0;
}

__global__ void asserts(const float* x, float* y) {
  assert(threadIdx.x < 63);  // here
  y[threadIdx.x] = x[threadIdx.x];
}
// ------------------------------------------------ blocks that count themselves
// 16 threads of each block leave a part in y, which the last block reads; y[63] counts.

__device__ bool is_last(float* y) {
  __shared__ bool last;
  if (threadIdx.x == 0) last = atomicAdd((int*)y + 63, 1) == gridDim.x - 1;
  __syncthreads();
  return last;
}

__device__ void leave_part(const float* x, float* y) {
  if (threadIdx.x < 16) y[blockIdx.x * 16 + threadIdx.x] = x[threadIdx.x];
}

__device__ int other_part() { return (blockIdx.x + 1) % gridDim.x * 16 + threadIdx.x % 16; }

__device__ void keep(float* y, float value) {
  if (threadIdx.x == 0) y[48] = value;
}

__global__ void block_without_fence(const float* x, float* y) {
  leave_part(x, y);
  __syncthreads();
  if (!is_last(y)) return;
  __threadfence();
  keep(y, __ldcg(y + other_part()));  // here
}

__global__ void block_fences_for_itself(const float* x, float* y) {
  leave_part(x, y);
  __threadfence_block();
  __syncthreads();
  if (!is_last(y)) return;
  __threadfence();
  keep(y, __ldcg(y + other_part()));  // here
}

__global__ void block_fences_before(const float* x, float* y) {
  __threadfence();
  leave_part(x, y);
  __syncthreads();
  if (!is_last(y)) return;
  __threadfence();
  keep(y, __ldcg(y + other_part()));  // here
}

__global__ void block_counts_too_soon(const float* x, float* y) {
  leave_part(x, y);
  __threadfence();
  if (!is_last(y)) return;  // no barrier before its atomic operation
  __threadfence();
  keep(y, __ldcg(y + other_part()));  // here
}

__global__ void block_trusts_the_count(const float* x, float* y) {
  leave_part(x, y);
  __threadfence();
  __syncthreads();
  if (!is_last(y)) return;
  keep(y, __ldcg(y + other_part()));  // here
}

__global__ void block_reads_too_soon(const float* x, float* y) {
  leave_part(x, y);
  __threadfence();
  __syncthreads();
  int before = 0;
  if (threadIdx.x == 0) before = atomicAdd((int*)y + 63, 1);
  before = __shfl_sync(0xffffffff, before, 0);  // no barrier
  __threadfence();
  if (before == gridDim.x - 1) keep(y, __ldcg(y + other_part()));  // here
}

__global__ void block_fences_elsewhere(const float* x, float* y) {
  __shared__ bool last;
  leave_part(x, y);
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last = atomicAdd((int*)y + 63, 1) == gridDim.x - 1;
  if (threadIdx.x == 1) __threadfence();  // not by thread 0
  __syncthreads();
  if (last) keep(y, __ldcg(y + other_part()));  // here
}

__global__ void block_counts_plainly(const float* x, float* y) {
  __shared__ bool last;
  leave_part(x, y);
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    int before = __ldcg((int*)y + 63);  // here
    __stcg((int*)y + 63, before + 1);
    last = before == gridDim.x - 1;
  }
  __syncthreads();
  if (!last) return;
  __threadfence();
  keep(y, __ldcg(y + other_part()));
}

__global__ void block_resets_too_soon(const float* x, float* y) {
  leave_part(x, y);
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0 && atomicAdd((int*)y + 63, 1) == 1) y[63] = 0;  // here
}

__global__ void block_reads_through_l1(const float* x, float* y) {
  leave_part(x, y);
  __threadfence();
  __syncthreads();
  if (!is_last(y)) return;
  __threadfence();
  keep(y, y[other_part()]);  // here
}
}
