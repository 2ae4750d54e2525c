"""CUDA C of products and convolutions, what these do on the way, and sums over blocks."""

from .bugs_in_cuda_kernels import NORM, on_gpu
from .mutants import planted_in

CONVOLUTION, TILES = "tests/kernels/test_convolution.py", "tests/kernels/test_tiles.py"
FUSED = "tests/kernels/test_cuda_fused.py"
CONV2D = on_gpu(f"{CONVOLUTION}::test_conv2d")
INPUT_GRAD = on_gpu(f"{CONVOLUTION}::test_conv2d_input_grad")
WEIGHT_GRAD = on_gpu(f"{CONVOLUTION}::test_conv2d_weight_grad")
ON_TENSOR_CORES = f"{TILES}::test_matmul -k TensorCores"
MANY_TILES = f"{FUSED}::test_moments_of_many_tiles_far_from_zero"
MASKED_AND_SUMMED = f"{FUSED}::test_a_gradient_is_masked_and_summed"

MUTANTS = [
    *planted_in(
        "kernels/cuda/product.cuh",
        on_gpu("test_matmul"),
        {
            "product: tiles are read before all threads have stored them": (
                "        right.store(b_tile);\n        __syncthreads();",
                "        right.store(b_tile);",
            ),
            "product: tiles are overwritten while others still read them": (
                "(a_tile, b_tile, sums);\n        __syncthreads();",
                "(a_tile, b_tile, sums);",
            ),
            "product: lines of a matrix are read beyond its last": (
                " && Share::line(number) < lines;\n            visit(number, next",
                ";\n            visit(number, next",
            ),
            "product: a line is read beyond its end": (
                "inside(first + Share::slot() < width)",
                "inside(true)",
            ),
            "product: results below the last line are written": (
                "if (m >= rows || n >= columns) continue;\n            Pack<T, TOGETHER>",
                "if (n >= columns) continue;\n            Pack<T, TOGETHER>",
            ),
            "product: the last tile replaces the sum": (
                "sums[i][j] += left",
                "sums[i][j] = left",
            ),
            "product: a thread's rows are not TM apart": (
                "threadIdx.x / ACROSS * TM + i",
                "threadIdx.x / ACROSS + i",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/loading.cuh",
        f"{TILES}::test_input_gradient",
        {
            "product: a tile's lines are stored beyond it": (
                "            if (!Loader::holds(number)) continue;\n",
                "",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/product.cuh",
        ON_TENSOR_CORES,
        {
            "tensor cores: the left fragment's rows and columns are swapped": (
                "k + lane + q / 2 * 4, row(2 * i + q % 2)",
                "k + lane + q % 2 * 4, row(2 * i + q / 2)",
            ),
            "tensor cores: the right fragment's places along k lie side by side": (
                "k + lane + 4 * q, n + 8 * j",
                "k + 2 * lane + q, n + 8 * j",
            ),
            "tensor cores: the left side's low parts are forgotten": (
                "        add_products<1, 0>(left, right, parts);\n",
                "",
            ),
            "tensor cores: the right side's low parts are forgotten": (
                "        add_products<0, 1>(left, right, parts);\n",
                "",
            ),
            "tensor cores: a number is not cut to what they read": (
                "x * 1.00048828125f) & BITS",
                "x * 1.00048828125f)",
            ),
            "tensor cores: the last eight terms replace the sum": (
                "sums[i][j] += parts[i][j]",
                "sums[i][j] = parts[i][j]",
            ),
            "copies: nobody waits for them": (
                "        wait_for_copies<AHEAD - 1>();\n",
                "",
            ),
            "copies: the oldest may still be on its way": (
                "wait_for_copies<AHEAD - 1>()",
                "wait_for_copies<AHEAD>()",
            ),
            "copies: those of other threads are not waited for": (
                "        left.finish(a, a_tiles[stage]);\n        __syncthreads();",
                "        left.finish(a, a_tiles[stage]);",
            ),
            "copies: the last ones are counted as too few groups": (
                "            left.copy_nothing();\n",
                "            left.copy_nothing();\n            return;\n",
            ),
            "copies: a tile is overwritten while it is multiplied": (
                "copy(stage == 0 ? AHEAD : stage - 1, k",
                "copy(stage, k",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/loading.cuh",
        ON_TENSOR_CORES,
        {
            "copies: what does not exist is not made zero": (
                "                copy_async<PIECE>(to + v, from + v, exists);",
                "                if (exists) copy_async<PIECE>(to + v, from + v, true);",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/product.cuh",
        f"{TILES}::test_a_product_of_one_term -k TensorCores",
        {
            "tensor cores: a number is not rounded before it is split": (
                "x * 1.00048828125f) & BITS",
                "x) & BITS",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/product.cuh",
        f"{TILES}::test_convolution -k TensorCores",
        {
            "pending: the last tiles go by what the one before had": (
                "            left.copy_nothing();\n",
                "",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/loading.cuh",
        f"{TILES}::test_convolution -k TensorCores",
        {
            "pending: padding is normalised as well": (
                "if (!(existing >> ((AHEAD - 1) * COUNT + number) & 1)) continue;",
                "if (!Loader::holds(number)) continue;",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/product.cuh",
        f"{FUSED}::test_a_weights_gradient_in_so_many_parts",
        {
            "parts: they are never added": (
                "    if (count == 1) return;\n    combine_parts",
                "    return;\n    combine_parts",
            ),
            "parts: all tiles count their arrivals together": (
                "counters + tile * counters_for<GROUP_OF_PARTS>(count)",
                "counters",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/arrival.cuh",
        f"{FUSED}::test_a_weights_gradient_in_so_many_parts",
        {
            "parts: only as many as a thread reads at once are added": (
                "begin < number; begin += GROUP_OF_PARTS",
                "begin < 1; begin += GROUP_OF_PARTS",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/gemm.cu",
        on_gpu("test_matmul"),
        {
            "gemm: all products of a stack read the first b": (
                "        b += blockIdx.z * b_step;\n",
                "",
            ),
            "gemm: all products of a stack go to the same place": (
                "        c += blockIdx.z * m * n;\n",
                "",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/arrival.cuh",
        MANY_TILES,
        {
            "arrival: what was written is not fenced before": (
                "__threadfence();  // this block's writes become visible before its arrival\n",
                "\n",
            ),
            "arrival: it is not fenced behind": (
                "__threadfence();  // the arrivals precede the reads after",
                "// the arrivals precede the reads after",
            ),
            "arrival: a block arrives before all its threads have": (
                "    __shared__ bool is_last;\n    __syncthreads();\n",
                "    __shared__ bool is_last;\n",
            ),
            "arrival: the flag is read before it is there": (
                "    __syncthreads();\n    const bool result = is_last;\n",
                "    const bool result = is_last;\n",
            ),
            "arrival: the last but one adds": ("arrived + 1 == count", "arrived + 2 == count"),
            "arrival: the first one adds": ("arrived + 1 == count", "arrived == 0"),
            "arrival: the counter is left as it is": (
                "        if (is_last) atomicExch(counter, 0u);\n",
                "",
            ),
            "arrival: the last group has as many members as the others": (
                "min(static_cast<index_t>(GROUP), count - first)",
                "static_cast<index_t>(GROUP)",
            ),
            "arrival: the groups' sums are looked for side by side": (
                "add(index_t(0), index_t(GROUP), groups, true)",
                "add(index_t(0), index_t(1), groups, true)",
            ),
            "arrival: a group's sum goes to who added it": (
                "parts.put(first, c, parts.pair(sums, origin))",
                "parts.put(part, c, parts.pair(sums, origin))",
            ),
            "arrival: parts are read by way of L1": (
                "const T distance = __ldcg(from) - origin;",
                "const T distance = *from - origin;",
            ),
            "arrival: threads' shares are read before they are there": (
                "shared[kind][threadIdx.x] = sums[kind];\n            __syncthreads();",
                "shared[kind][threadIdx.x] = sums[kind];",
            ),
            "moments of parts: distances are those from zero": (
                "const T origin = c < end ? __ldcg(parts.place(first, c)) : T(0);",
                "const T origin = T(0);",
            ),
            "moments of parts: the last one counts as a full one": (
                "static_cast<T>(min(chunk * step, pixels - part * chunk))",
                "static_cast<T>(chunk * step)",
            ),
            "moments of parts: the distance of two means is forgotten": (
                "__ldcg(from + this->channels) + count * distance * distance",
                "__ldcg(from + this->channels)",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/convolution.cu",
        CONV2D,
        {
            "conv2d: the window runs over the right edge": (
                "taps_inside(left, width, kernel_width, 1)",
                "taps_inside(left, width + 1, kernel_width, 1)",
            ),
            "conv2d: height and width are swapped": (
                "left = take(image, static_cast<int>(columns)) * stride - padding;\n"
                "        const int top = take(image, static_cast<int>(rows))",
                "left = take(image, static_cast<int>(rows)) * stride - padding;\n"
                "        const int top = take(image, static_cast<int>(columns))",
            ),
            "conv2d: places are read before they are there": (
                "    __syncthreads();\n    Windows<E, V, 1>",
                "    Windows<E, V, 1>",
            ),
            "conv2d: pixels beyond the last are read": (
                "taps[m] = m < lines ? down | across << HALF : 0;",
                "taps[m] = down | across << HALF;",
            ),
            "conv2d: a tap's row does not follow its columns": (
                "                across = 0;\n                ++down;",
                "                across = 0;",
            ),
            "conv2d: every block begins in the first image": (
                "    x += first_image * height * width * channels;\n",
                "",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/loading.cuh",
        CONV2D,
        {
            "conv2d: padding keeps what the tile before held": (
                "            packs[number] = {};\n            if (!exists) return;",
                "            if (!exists) return;",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/convolution.cu",
        INPUT_GRAD,
        {
            "conv2d_input_grad: the kernel is not turned round": (
                "Windows<E, V, -1> left_side",
                "Windows<E, V, 1> left_side",
            ),
            "conv2d_input_grad: padding does not move the classes of a stride": (
                "first_row = (class_row + padding) % stride",
                "first_row = class_row % stride",
            ),
            "conv2d_input_grad: a class has the size of all pixels": (
                "down = (height - class_row + stride - 1) / stride",
                "down = (height + stride - 1) / stride",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/convolution.cu",
        WEIGHT_GRAD,
        {
            "conv2d_weight_grad: the last part runs over the last pixel": (
                "end = min(begin + part, pixels)",
                "end = begin + part",
            ),
            "conv2d_weight_grad: a pixel behind the end of a row stays in it": (
                "column[number] -= columns;\n            ++row[number];",
                "column[number] -= columns;",
            ),
            "conv2d_weight_grad: the stride is forgotten": (
                "row[number] * stride + down",
                "row[number] + down",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/convolution.cu",
        f"{FUSED}::test_a_pending_batch_norm_is_as_good_as_one_before",
        {
            "pending: the scales of the first channels for all": (
                "scale = load<V>(from + channels)",
                "scale = load<V>(norm + channels)",
            ),
            "pending: the next tap is normalised as the first channels": (
                "{ next_norm.move_on(E::K, channels, taps_across); }",
                "{}",
            ),
            "pending: the weight's gradient takes the scales of the first channels": (
                "scale.at[v] = scale_of(gamma[channel + v], var[channel + v], eps)",
                "scale.at[v] = scale_of(gamma[v], var[v], eps)",
            ),
            "pending: the statistics are read before they are there": (
                "    __syncthreads();\n    Windows<E, V, 1> left_side(",
                "    Windows<E, V, 1> left_side(",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/sums.cuh",
        MANY_TILES,
        {
            "moments: distances are those from zero": (
                "origin[E::column(j)] = values[0][j]",
                "origin[E::column(j)] = T(0)",
            ),
            "moments: the last tile counts as a full one": (
                "const T rows = static_cast<T>(max(number, 1));",
                "const T rows = static_cast<T>(E::M);",
            ),
            "moments: rows below the last pixel count": (
                "counts(E::row(i)) ? values[i][j] - origin[E::column(j)] : T(0)",
                "values[i][j] - origin[E::column(j)]",
            ),
            "moments: a warp leaves its last lanes out": (
                "offset >= E::ACROSS; offset /= 2",
                "offset > E::ACROSS; offset /= 2",
            ),
            "moments: warps' sums are read before they are there": (
                "by_warp[kind][E::warp_row()][E::column(j)] = value;\n        }\n"
                "    __syncthreads();",
                "by_warp[kind][E::warp_row()][E::column(j)] = value;\n        }\n",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/sums.cuh",
        MASKED_AND_SUMMED,
        {
            "mask: a result of zero lets through": (
                "if (!(results.at[v] > T(0))) grads.at[v] = T(0);",
                "if (!(results.at[v] >= T(0))) grads.at[v] = T(0);",
            ),
            "mask: what the mask stops counts in the sums": (
                "        if (!(results.at[v] > T(0))) grads.at[v] = T(0);\n"
                "        sums[v].at[0] += grads.at[v];\n",
                "        sums[v].at[0] += grads.at[v];\n"
                "        if (!(results.at[v] > T(0))) grads.at[v] = T(0);\n",
            ),
            "mask: products are those with z": ("z.at[v] - mean[v], sums", "z.at[v], sums"),
            "mask: all tiles of channels count their arrivals together": (
                "counters + first_n / E::N * counters_for(count)",
                "counters",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/convolution.cu",
        MASKED_AND_SUMMED,
        {
            "mask: the scales of the first channels for all": (
                "scale[n] = scale_of(gamma[first_n + n], var[first_n + n], eps)",
                "scale[n] = scale_of(gamma[n], var[n], eps)",
            ),
            "mask: a shortcut's share is added behind it": (
                "            if (addend && from >= 0) {\n",
                "            if (addend && from >= 0 && !z) {\n",
            ),
            "mask: the classes of a stride share their parts": (
                "part = blockIdx.z * Tile<E>::all_down() + Tile<E>::down()",
                "part = Tile<E>::down()",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/convolution.cu",
        f"{FUSED}::test_a_shortcuts_gradient_is_added",
        {
            "addend: its stride is ignored": (
                "addend_row * addend_stride == row && addend_column * addend_stride == column;",
                "true;",
            ),
            "addend: it has as many channels as x": (
                "+ addend_column) * addend_channels :",
                "+ addend_column) * channels :",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/sums.cuh",
        f"{FUSED}::test_a_nan_behind_a_relu_lets_nothing_through",
        {
            "mask: a NaN lets through": (
                "if (!(results.at[v] > T(0))) grads.at[v] = T(0);",
                "if (results.at[v] <= T(0)) grads.at[v] = T(0);",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/arrival.cuh",
        NORM,
        {
            "batch_norm: the last chunk counts as a full one": (
                "static_cast<T>(min(chunk * step, pixels - part * chunk))",
                "static_cast<T>(chunk * step)",
            ),
        },
    ),
]
