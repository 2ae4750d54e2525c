// Kernels without a mistake, for test_emulator.py: what the emulator must run, in every order.

constexpr int SIDE = 16;

template <typename T, int ROWS>
__global__ void __launch_bounds__(SIDE * ROWS)
transpose(const T* __restrict__ x, T* __restrict__ y, int height, int width) {
  __shared__ T tile[SIDE][SIDE + 1];
  int column = blockIdx.x * SIDE + threadIdx.x;
  for (int r = threadIdx.y; r < SIDE; r += ROWS) {
    int row = blockIdx.y * SIDE + r;
    if (row < height && column < width) tile[r][threadIdx.x] = x[row * width + column];
  }
  __syncthreads();
  int row = blockIdx.y * SIDE + threadIdx.x;
  for (int c = threadIdx.y; c < SIDE; c += ROWS) {
    column = blockIdx.x * SIDE + c;
    if (row < height && column < width) y[column * height + row] = tile[threadIdx.x][c];
  }
}

__device__ float sum_of_warp(float value) {
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffff, value, lanes);
  return value;
}

extern "C" __global__ void sum(const float4* x, float* total, int packs) {
  extern __shared__ float sums[];
  float value = 0;
  for (int i = threadIdx.x; i < packs; i += blockDim.x) {
    float4 v = x[i];
    value += v.x + v.y + v.z + v.w;
  }
  value = sum_of_warp(value);
  if (threadIdx.x % warpSize == 0) sums[threadIdx.x / warpSize] = value;
  __syncthreads();
  if (threadIdx.x >= warpSize) return;
  value = threadIdx.x < blockDim.x / warpSize ? sums[threadIdx.x] : 0;
  value = sum_of_warp(value);
  if (threadIdx.x == 0) *total = value;
}

extern "C" __global__ void histogram(const int* x, int* counts, int n, int bins) {
  extern __shared__ int mine[];
  for (int i = threadIdx.x; i < bins; i += blockDim.x) mine[i] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    atomicAdd(&mine[x[i]], 1);
  __syncthreads();
  for (int i = threadIdx.x; i < bins; i += blockDim.x) atomicAdd(&counts[i], mine[i]);
}

__constant__ float WEIGHTS[3] = {0.25f, 0.5f, 0.25f};

extern "C" __global__ void smooth(const float* x, double* y, long long n) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i < 1 || i >= n - 1) return;
  double value = 0;
#pragma unroll
  for (int k = 0; k < 3; k++) value += WEIGHTS[k] * x[i + k - 1];
  y[i] = value;
}

// every lane's number after each warp operation; 8 results a thread
extern "C" __global__ void lanes(int* y) {
  int lane = threadIdx.x % 32, *mine = y + threadIdx.x * 8;
  mine[0] = __shfl_sync(0xffffffff, lane, 5);
  mine[1] = __shfl_up_sync(0xffffffff, lane, 3);
  mine[2] = __shfl_down_sync(0xffffffff, lane, 3, 8);
  mine[3] = __shfl_xor_sync(0xffffffff, lane, 9);
  mine[4] = __ballot_sync(0xffffffff, lane % 3 == 0);
  mine[5] = __any_sync(0xffffffff, lane == 4) + 2 * __all_sync(0xffffffff, lane >= 0);
  mine[6] = -1;
  if (lane < 8) mine[6] = __shfl_xor_sync(0xff, lane, 1);
  mine[7] = __syncthreads_count(lane < 7);
}

extern "C" __global__ void predicates(int* y) {
  int any = __syncthreads_or(threadIdx.x == 3), all = __syncthreads_and(threadIdx.x != 3);
  y[threadIdx.x] = any + 2 * all;
}

extern "C" __global__ void neighbours(const float* x, float* y) {
  __shared__ float row[64];
  row[threadIdx.x] = x[threadIdx.x];
  __syncwarp();
  y[threadIdx.x] = row[threadIdx.x ^ 1];
}

extern "C" __global__ void places(int* y) {
  int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  int size = blockDim.x * blockDim.y * blockDim.z;
  y[block * size + thread] = block * 1000 + thread;
}

extern "C" __global__ void bytes(const unsigned char* x, unsigned char* y, bool invert) {
  y[threadIdx.x] = invert ? 255 - x[threadIdx.x] : x[threadIdx.x];
}

extern "C" __global__ void tiny(const float* x, float* y) {
  y[threadIdx.x] = x[threadIdx.x] * 1e-30f;
}

// ------------------------------------------------ the last block to arrive works on

__device__ bool is_last(int* counter, int count) {
  __shared__ bool last;
  if (threadIdx.x == 0) last = atomicAdd(counter, 1) == count - 1;
  __syncthreads();
  return last;
}

// x[i] summed over blocks; every thread fences what it wrote itself
extern "C" __global__ void last_block_adds(const float* x, float* parts, int* counter, float* y) {
  int i = threadIdx.x, n = blockDim.x;
  __stcg(&parts[blockIdx.x * n + i], x[blockIdx.x * n + i]);
  __threadfence();
  __syncthreads();
  if (!is_last(counter, gridDim.x)) return;
  __threadfence();
  float sum = 0;  // read by others than wrote it
  for (int block = 0; block < gridDim.x; block++) sum += __ldcg(&parts[block * n + n - 1 - i]);
  y[n - 1 - i] = sum;
  if (i == 0) *counter = 0;
}

// one thread fences for all, before it counts and after
extern "C" __global__ void one_thread_fences(
    const float* x, float* parts, int* counter, float* y
) {
  __shared__ bool last;
  int i = threadIdx.x, n = blockDim.x;
  parts[blockIdx.x * n + i] = x[blockIdx.x * n + i];
  __syncthreads();
  if (i == 0) {
    __threadfence();
    last = atomicInc((unsigned*)counter, gridDim.x - 1) == gridDim.x - 1;  // counts itself to 0
    __threadfence();
  }
  __syncthreads();
  if (!last) return;
  const volatile float* all = parts;
  float sum = 0;
  for (int block = 0; block < gridDim.x; block++) sum += all[block * n + n - 1 - i];
  y[n - 1 - i] = sum;
}

// The last of each group adds up the group, over the first part, and the last of these the groups.
// Every counter is left at 0.
extern "C" __global__ void last_group_adds(
    const float* x, float* parts, int* counters, float* y, int group
) {
  int i = threadIdx.x, n = blockDim.x, first = blockIdx.x / group * group;
  parts[blockIdx.x * n + i] = x[blockIdx.x * n + i];
  __threadfence();
  __syncthreads();
  if (!is_last(&counters[1 + blockIdx.x / group], group)) return;
  __threadfence();
  float sum = 0;
  for (int block = first; block < first + group; block++) sum += __ldcg(&parts[block * n + i]);
  parts[first * n + i] = sum;
  if (i == 0) atomicExch(&counters[1 + blockIdx.x / group], 0);
  __threadfence();
  __syncthreads();
  if (!is_last(counters, gridDim.x / group)) return;
  __threadfence();
  sum = 0;
  for (int block = 0; block < gridDim.x; block += group) sum += __ldcg(&parts[block * n + n - 1 - i]);
  y[n - 1 - i] = sum;
  if (i == 0) *counters = 0;
}

template <int V>
struct alignas(V * 4) Pack {
  float at[V];
};

template <int V>
__global__ void packs(const float* x, float* y) {
  Pack<V> values = reinterpret_cast<const Pack<V>*>(x)[threadIdx.x];
  for (int v = 0; v < V; v++) values.at[v] += 1;
  reinterpret_cast<Pack<V>*>(y)[threadIdx.x] = values;
}
