// Tensor cores and asynchronous copies, which need inline PTX in CUDA C. They exist from compute
// capability 8.0 on. For older GPUs this file compiles, but traps in the kernel that calls it.
//
// A product adds a(16, K) * b(K, 8) to d(16, 8). The matrices are spread over the 32 lanes of a warp.
// With g = lane / 4 and t = lane % 4 a lane holds (PTX ISA, "Matrix Fragments for mma"):
//
//     d    (g, 2t)  (g, 2t + 1)  (g + 8, 2t)  (g + 8, 2t + 1)
//     a    (g, t)   (g + 8, t)   (g, t + 4)   (g + 8, t + 4)
//     b    (t, g)   (t + 4, g)
//
// tf32: K = 8. bf16: K = 16, and each place along k in this table is a pair, k = 2t and 2t + 1, or
// 2t + 8 and 2t + 9: the first in the lower half of the register.

#if __CUDA_ARCH__ >= 800
#define PTX(...) asm volatile(__VA_ARGS__)
#define PTX_VALUE(...) asm(__VA_ARGS__)
#else
#define PTX(...) __trap()
#define PTX_VALUE(...) __trap()
#endif

__device__ __forceinline__ void mma_tf32(
    float& d0, float& d1, float& d2, float& d3, const unsigned (&a)[4], const unsigned (&b)[2]
) {
    PTX("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d0), "+f"(d1), "+f"(d2), "+f"(d3)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void mma_bf16(
    float& d0, float& d1, float& d2, float& d3, const unsigned (&a)[4], const unsigned (&b)[2]
) {
    PTX("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d0), "+f"(d1), "+f"(d2), "+f"(d3)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void mma_tf32(
    float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]
) {
    mma_tf32(d[0], d[1], d[2], d[3], a, b);
}

__device__ __forceinline__ void mma_bf16(
    float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]
) {
    mma_bf16(d[0], d[1], d[2], d[3], a, b);
}

// Round to the nearest number with 10 mantissa bits, as mma_tf32 expects.
__device__ __forceinline__ unsigned to_tf32(float value) {
    unsigned bits = 0;
    PTX_VALUE("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
    return bits;
}

__device__ __forceinline__ float from_tf32(unsigned bits) { return __uint_as_float(bits); }

// Two numbers with 7 mantissa bits in one register, each the upper half of its float.
__device__ __forceinline__ unsigned pack_bf16(float low, float high) {
    unsigned pair = 0;
    PTX_VALUE("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

__device__ __forceinline__ float low_of_bf16(unsigned pair) { return __uint_as_float(pair << 16); }

__device__ __forceinline__ float high_of_bf16(unsigned pair) {
    return __uint_as_float(pair & 0xffff0000u);
}

// Copy 4, 8 or 16 bytes from global to shared memory past the registers; zeros unless it `exists`, and
// then `global` is not read. The call returns at once. The thread may use the copy after
// wait_for_copies, other threads after the next barrier.
template <int BYTES>
__device__ __forceinline__ void copy_async(void* shared, const void* global, bool exists) {
    static_assert(BYTES == 4 || BYTES == 8 || BYTES == 16, "4, 8 or 16 bytes");
    if constexpr (BYTES == 16)
        PTX("cp.async.cg.shared.global [%0], [%1], %2, %3;" ::"r"(
                static_cast<unsigned>(__cvta_generic_to_shared(shared))),
            "l"(global), "n"(BYTES), "r"(exists ? BYTES : 0)
            : "memory");
    else
        PTX("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(
                static_cast<unsigned>(__cvta_generic_to_shared(shared))),
            "l"(global), "n"(BYTES), "r"(exists ? BYTES : 0)
            : "memory");
}

// The copies since the last call become a group.
__device__ __forceinline__ void commit_copies() { PTX("cp.async.commit_group;" ::: "memory"); }

// Wait until at most the N latest groups are incomplete.
template <int N>
__device__ __forceinline__ void wait_for_copies() {
    PTX("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// Each register i gets lane / 4's row and lane % 4's value of the matrix of 8 x 4 values whose row n lies
// at the `row` of lane 8 i + n: that is the layout of the fragments of mma_tf32. A row is a multiple of
// 16 bytes from the beginning of shared memory. (ldmatrix, which says: 8 x 8 values of 16 bits.)
__device__ __forceinline__ void load_matrices(float (&values)[4], const float* row) {
    unsigned bits[4] = {};
    PTX("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
        : "=r"(bits[0]), "=r"(bits[1]), "=r"(bits[2]), "=r"(bits[3])
        : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
        : "memory");
#pragma unroll
    for (int i = 0; i < 4; ++i) values[i] = __uint_as_float(bits[i]);
}

// The same of numbers of 16 bits: matrices of 8 x 8, two adjacent values of a row in a register.
__device__ __forceinline__ void load_matrices(unsigned (&pairs)[4], const void* row) {
    PTX("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
        : "=r"(pairs[0]), "=r"(pairs[1]), "=r"(pairs[2]), "=r"(pairs[3])
        : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
        : "memory");
}

// Transposed: the pairs lie in two adjacent rows of memory.
__device__ __forceinline__ void load_turned_matrices(unsigned (&pairs)[4], const void* row) {
    PTX("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
        : "=r"(pairs[0]), "=r"(pairs[1]), "=r"(pairs[2]), "=r"(pairs[3])
        : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
        : "memory");
}

#undef PTX
#undef PTX_VALUE
