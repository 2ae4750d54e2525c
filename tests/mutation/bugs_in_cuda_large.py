"""CUDA C of the large engines, and of what starts them."""

from .mutants import planted_in

LARGE = "tests/kernels/test_large.py::test_a_large_engine"
CONV2D, INPUT_GRAD, WEIGHT_GRAD = (
    f"{LARGE}[{kernel}-64-0]" for kernel in ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")
)
CHOICE = "tests/kernels/test_cuda.py::test_large_products_have_large_engines"
SHORTCUTS = "tests/nn/test_shortcut_grads.py"
WIDENED = (
    "tests/kernels/test_cuda_fused.py::test_channels_of_large_images_are_widened_to_whole_packs"
)

MUTANTS = [
    *planted_in(
        "kernels/cuda/large.cuh",
        CONV2D,
        {
            "large: the matrices of a left fragment come in another order": (
                "lane % 16][k + lane / 16 * 4]",
                "lane / 16 * 8 + lane % 8][k + lane / 8 % 2 * 4]",
            ),
            "large: four columns read at once are taken for neighbouring products": (
                "2 * j + second : j / 4 * 8 + second * 4 + j % 4",
                "2 * j + second : 2 * j + second",
            ),
            "large: a lane's columns lie by twos": (
                "in_group() * 8 + j % 8",
                "in_group() * 2 + j % 2 + j % 8 / 2 * 8",
            ),
            "large: the right side is not rounded": (
                "right[j + i][q] = to_tf32(four.at[i]);",
                "right[j + i][q] = __float_as_uint(four.at[i]);",
            ),
            "large: all warps make the first rows": (
                "return Base::warp_row() * WM;",
                "return 0 * WM;",
            ),
            "large: only the first eight terms of a tile are read on the left": (
                "read_rows<A>(a, k, first, left)",
                "read_rows<A>(a, 0, first, left)",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/product.cuh",
        CONV2D,
        {
            "large: both tiles lie at the same place": (
                "Right*>(memory + sizeof(Left) / sizeof(T))",
                "Right*>(memory)",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/large.cuh",
        INPUT_GRAD,
        {
            "large: the matrices of two right fragments are mixed": (
                "lane / 16 * 8 + lane % 8][k + lane / 8 % 2 * 4]",
                "lane / 8 % 2 * 8 + lane % 8][k + lane / 16 * 4]",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/large.cuh",
        WEIGHT_GRAD,
        {
            "large: rows read by fours are taken for those of one product": (
                "left[i / 2][2 * q + i % 2] = four.at[i]",
                "left[i % 2][2 * q + i / 2] = four.at[i]",
            ),
            "large: a lane's rows are adjacent by twos": (
                "i / 4 * 32 + group() * 4 + i % 4",
                "i / 2 * 16 + group() * 2 + i % 2",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/bfloat16.cuh",
        f"{LARGE}[conv2d-64-bfloat16-0]",
        {
            "large bfloat16: the matrices of a fragment come in another order": (
                "other_lines = lane / 8 % 2 * 8, other_k = lane / 16 * 8",
                "other_k = lane / 8 % 2 * 8, other_lines = lane / 16 * 8",
            ),
            "large bfloat16: two right fragments are mixed": (
                "right[j + i % 2][i / 2] = two[i]",
                "right[j + i / 2][i % 2] = two[i]",
            ),
            "large bfloat16: a tile with a line for each k is read as if it were turned": (
                "load_turned_matrices(fragments, ",
                "load_matrices(fragments, ",
            ),
            "large bfloat16: all warps make the first columns": (
                "first = threadIdx.x / 32 % Base::WARPS_ACROSS * WN",
                "first = threadIdx.x / 32 % Base::WARPS_ACROSS * 0",
            ),
            "large bfloat16: only the first terms of a tile are read on the left": (
                "read_fragments<A>(left[i], a, k, ",
                "read_fragments<A>(left[i], a, 0, ",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/convolution.py",
        f"{LARGE}[conv2d-64-bfloat16-0]",
        {
            "large bfloat16: weights are not rounded for it": (
                "weight.astype(x.dtype) if isinstance(engine, LargeBfloat16Cores) else weight",
                "weight",
            ),
            "large bfloat16: memory for what is pending is counted in halves": (
                "3 * x.shape[3] * computed(x).itemsize",
                "3 * x.shape[3] * x.dtype.itemsize",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/convolution.cu",
        CONV2D,
        {
            "tile: the grid is not turned": (
                "unsigned down() { return TURNED ?",
                "unsigned down() { return !TURNED ?",
            ),
            "large: the statistics that are pending lie among the tiles": (
                "dynamic_memory<T>() + E::TILE_VALUES",
                "dynamic_memory<T>()",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/launch.py",
        f"{LARGE}[conv2d-128-0]",
        {
            "launch: a kernel does not ask for its memory": (
                "        ready.max_dynamic_shared_size_bytes = tiles + MOST_BESIDE_TILES\n",
                "        pass\n",
            ),
            "launch: memory for tiles is forgotten": (
                "shared_mem=tiles + shared",
                "shared_mem=max(tiles, shared)",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/source.py",
        CHOICE,
        {
            "engines: a large one leaves multiprocessors idle": (
                "fits and tiles >= MULTIPROCESSORS",
                "fits",
            ),
            "engines: a grid is taller than CUDA allows": (
                " and engine.m <= lines <= engine.m * MOST_TILES_DOWN",
                " and engine.m <= lines",
            ),
            "engines: parts of a sum do not count": (
                " * max(1, terms // TERMS_OF_A_PART)",
                "",
            ),
        },
    ),
    *planted_in(
        "minires/autograd/backward.py",
        SHORTCUTS,
        {
            "backward: what was handed over is counted again": (
                "return self.sums.pop(node, (None, False))[0] if",
                "return self.sums.get(node, (None, False))[0] if",
            ),
            "backward: a gradient is handed over to another input": (
                "partial(sums.take, node.parents[0])",
                "partial(sums.take, node.parents[-1])",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/fused.py",
        SHORTCUTS,
        {
            "shortcut: its gradient is taken and forgotten": (
                "dx = grad_for(links.of_input, x, dz, layer, grad_so_far(links))",
                "grad_so_far(links)\n            dx = grad_for(links.of_input, x, dz, layer)",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/convolution.py",
        WIDENED,
        {
            "fours: channels that are filled up are not zero": (
                "wide = namespace(array).zeros(tuple(shape), array.dtype)",
                "wide = namespace(array).ones(tuple(shape), array.dtype)",
            ),
            "fours: the gradient does not go where it is wanted": (
                "        dweight[...] = wide[:, :, :channels]\n        return dweight\n",
                "        return wide[:, :, 1:]\n",
            ),
        },
    ),
]
