"""Maps in bfloat16: what is rounded, where, how often, and what is packed in a register."""

from .mutants import planted_in

NUMBERS = "tests/kernels/test_bfloat16.py"
TILES = "tests/kernels/test_tiles.py"
TRAINING = "tests/training/test_bfloat16.py"
ROUNDED = f"{NUMBERS} -k nearest"
PRODUCTS = f"{TILES} -k Bfloat16Cores"
RESULT = f"{TILES}::test_convolution -k Bfloat16Cores"

MUTANTS = [
    *planted_in(
        "kernels/cuda/common.cuh",
        ROUNDED,
        {
            "bfloat16: halves are rounded up": ("0x7fff + (whole >> 16 & 1)", "0x8000"),
            "bfloat16: cut off instead of rounded": (
                "(whole + 0x7fff + (whole >> 16 & 1)) >> 16",
                "whole >> 16",
            ),
            "bfloat16: a NaN is rounded like a number": (
                "bits = x != x ? 0x7fff : (",
                "bits = (",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/bfloat16.cuh",
        RESULT,
        {
            "bfloat16: the two weights of a register are swapped": (
                "return pack_bf16(tile[k][side], tile[k + 1][side]);",
                "return pack_bf16(tile[k + 1][side], tile[k][side]);",
            ),
            "bfloat16: the second half of a fragment is the first again": (
                "pair_of<A>(a, k + pair + q / 2 * 8,",
                "pair_of<A>(a, k + pair,",
            ),
            "bfloat16: rows of a fragment are in the order of columns": (
                "q / 2 * 8, Base::row(2 * i + q % 2)",
                "q % 2 * 8, Base::row(2 * i + q / 2)",
            ),
            "bfloat16: every second step of 16 is left out": (
                "#pragma unroll 2\n        for (int k = 0; k < BK; k += 16)",
                "#pragma unroll 2\n        for (int k = 0; k < BK; k += 32)",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/bfloat16.cuh",
        f"{TILES}::test_weight_gradient -k Bfloat16Cores",
        {
            "bfloat16: the second pixel of a register is one too far": (
                "static_cast<unsigned>(tile[k + 1][side].bits)",
                "static_cast<unsigned>(tile[k + 2][side].bits)",
            ),
            "bfloat16: a register holds one pixel twice": (
                "static_cast<unsigned>(tile[k + 1][side].bits) << 16",
                "static_cast<unsigned>(tile[k][side].bits) << 16",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/bfloat16.cuh",
        f"{TILES}::test_input_gradient -k Bfloat16Cores",
        {
            "bfloat16: weights of the gradient are swapped": (
                "pack_bf16(both.at[0], both.at[1])",
                "pack_bf16(both.at[1], both.at[0])",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/loading.cuh",
        PRODUCTS,
        {
            "bfloat16: half of a pack of weights is copied": (
                "for (int v = 0; v < V; v += PIECE / sizeof(T))",
                "for (int v = 0; v < (V < 4 ? V : 4); v += PIECE / sizeof(T))",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/product.cuh",
        PRODUCTS,
        {
            "bfloat16: half of a pack of parts is added": (
                "i += E::THREADS * W) {",
                "i += E::THREADS * V) {",
            ),
            "bfloat16: moments of what is not yet rounded": (
                "sums[i][j] = static_cast<S>(sums[i][j]);",
                "sums[i][j] = sums[i][j];",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/convolution.cu",
        f"{TILES}::test_input_gradient -k Bfloat16Cores",
        {
            "bfloat16: sums of a gradient that is not yet rounded": (
                "            round_as_stored<S>(values);\n            if (!z) return;",
                "            if (!z) return;",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/launch.py",
        f"{NUMBERS} -k batch_norm",
        {
            "bfloat16: four of eight values are moved at once": (
                '"bfloat16": 8}  # values',
                '"bfloat16": 4}  # values',
            ),
            "bfloat16: statistics are kept in it": (
                "return FLOAT32 if is_bfloat16(array.dtype) else array.dtype",
                "return array.dtype",
            ),
        },
    ),
    *planted_in(
        "kernels/dispatch.py",
        f"{NUMBERS} -k sentence",
        {
            "bfloat16: any dtype will do for parameters": (
                "if parameters and (dtype := shared_dtype(parameters)) != FLOAT32:",
                "if parameters and (dtype := shared_dtype(parameters)) is None:",
            ),
        },
    ),
    *planted_in(
        "minires/nn/functional.py",
        TRAINING,
        {
            "bfloat16: the gradient of averages is a map of float32": (
                "        grad = grad.astype(ctx.dtypes[0], copy=False)\n",
                "",
            ),
            "bfloat16: a bias's gradient is one": (
                "grad.sum((0, 1, 2), dtype=weight.dtype)",
                "grad.sum((0, 1, 2))",
            ),
            "bfloat16: images stay float32": (
                "Convolve.apply(as_map(x), weight",
                "Convolve.apply(x, weight",
            ),
        },
    ),
    *planted_in(
        "minires/nn/fusing.py",
        TRAINING,
        {
            "bfloat16: images of a joined convolution stay float32": (
                "    x = as_map(x)\n    settings",
                "    settings",
            ),
        },
    ),
]
