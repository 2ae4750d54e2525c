"""The ladder's rungs in CUDA C."""

from .mutants import planted_in

LADDER, TESTS = "kernels/ladder/", "tests/kernels/test_ladder_cuda.py::"
TILES, BYTES = (
    TESTS + "test_several_tiles",
    TESTS + "test_each_rung_moves_fewer_bytes_than_the_one_below",
)

MUTANTS = [
    *planted_in(
        LADDER + "cuda_window.cuh",
        TILES,
        {"ladder: a window reads beyond the right border": (" || column >= width", "")},
    ),
    *planted_in(
        LADDER + "cuda1_thread.cu",
        TILES,
        {"ladder: a thread beyond the last pixel computes": (" || pixel >= pixels", "")},
    ),
    *planted_in(
        LADDER + "cuda2_shared.cu",
        TILES,
        {
            "ladder: shared memory is read before it is there": (
                "        __syncthreads();\n        for (int i = 0; i < 16; ++i) sum",
                "        for (int i = 0; i < 16; ++i) sum",
            ),
            "ladder: shared memory is written before all have read": (
                "sum += a[p][i] * b[i][f];\n        __syncthreads();",
                "sum += a[p][i] * b[i][f];",
            ),
        },
    ),
    *planted_in(
        LADDER + "cuda3_register_tile.cu",
        TILES,
        {
            "ladder: the weight's last rows are read beyond the end": (
                "filter < filters && k + p < depth",
                "filter < filters",
            ),
            "ladder: a thread's four rows are one": (
                "left[i] = a[p + 16 * i][n]",
                "left[i] = a[p][n]",
            ),
        },
    ),
    *planted_in(
        LADDER + "cuda3_register_tile.cu",
        BYTES,
        {
            "ladder: each thread reads its number of b again for every row": (
                "sums[i][j] += left[i] * right[j]",
                "sums[i][j] += left[i] * b[n][f + 16 * j]",
            ),
        },
    ),
]
