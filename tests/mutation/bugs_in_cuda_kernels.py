"""CUDA C except products. In the emulator a race or a wrong address is an error by itself."""

from .mutants import planted_in

CONTRACT = "tests/kernels/test_contract.py"


def on_gpu(*tests: str) -> str:
    """The variants of these tests that run CUDA kernels; a bare name stands in test_contract.py."""
    paths = [t if t.startswith("tests/") else f"{CONTRACT}::{t}" for t in tests]
    return " ".join((*paths, "-k", "cuda"))


NORM = on_gpu("test_batch_norm", "test_batch_norm_eval")
NORM_GRAD = on_gpu("test_batch_norm_grad")

MUTANTS = [
    *planted_in(
        "kernels/cuda/columns.cu",
        on_gpu("test_im2col_and_col2im"),
        {
            "im2col: the left padding is read": ("w >= 0 && w < width", "w < width"),
            "col2im: windows beyond the last are added": (
                "            if (row >= rows || column >= columns) continue;\n",
                "",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/batch_norm.cu",
        NORM,
        {
            "batch_norm: sums of warps are read before they are there": (
                "threadIdx.x % 32] = own;\n    __syncthreads();",
                "threadIdx.x % 32] = own;",
            ),
            "batch_norm: a warp leaves its last merge out": ("offset >= width;", "offset > width;"),
            "batch_norm: half of a warp takes no part": (
                "ALL_LANES = 0xffffffff",
                "ALL_LANES = 0x0000ffff",
            ),
            "batch_norm: the distance of two means is forgotten": (
                "squares += other.squares + distance * distance * (count * share);",
                "squares += other.squares;",
            ),
            "batch_norm: channels beyond the last are normalised": (
                "    if (channel >= channels) return;\n    T scale[V], shift[V], centre[V];",
                "    T scale[V], shift[V], centre[V];",
            ),
            "batch_norm: negative results are always cut off": (
                "relu ? positive_part(z) : z",
                "positive_part(z)",
            ),
            "batch_norm: the origin is added twice": (
                "own.add(x[pixel * channels + channel] - origin)",
                "own.add(x[pixel * channels + channel])",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/batch_norm.cu",
        on_gpu("tests/kernels/test_cuda.py::test_variance_far_from_zero"),
        {
            "batch_norm: the variance is E[x^2] - E[x]^2": (
                "            own.add(x[pixel * channels + channel] - origin);\n"
                "    own = over_pixels(own, width);",
                "            own.add(x[pixel * channels + channel] - origin);\n"
                "    T count = 0, sum = 0, squares = 0;\n"
                "    if (channel < channels)\n"
                "        for (index_t i = begin + threadIdx.x / width; i < end; i += down) {\n"
                "            const T value = x[i * channels + channel];\n"
                "            count += 1;\n"
                "            sum += value;\n"
                "            squares += value * value;\n"
                "        }\n"
                "    if (count > 0) own.squares = squares - sum * sum / count;\n"
                "    own = over_pixels(own, width);",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/batch_norm.cu",
        NORM_GRAD,
        {
            "batch_norm_grad: the mean's gradient is forgotten": (
                "(dz.at[v] - average[v] - ",
                "(dz.at[v] - ",
            ),
            "batch_norm_grad: what the ReLU cut off comes back": (
                "                if (!(results.at[v] > T(0))) dz.at[v] = T(0);",
                "                if (results.at[v] < T(0)) dz.at[v] = T(0);",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/common.cuh",
        on_gpu("test_update_running_statistics"),
        {
            "running variance: it stays biased": ("(var * unbiased)", "var"),
            "running mean: the momentum is that of the batch": (
                "*running_mean = (T(1) - momentum) * *running_mean + momentum * mean",
                "*running_mean = momentum * *running_mean + (T(1) - momentum) * mean",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/elementwise.cu",
        on_gpu("test_relu", "test_sgd_step"),
        {
            "relu: a pack crosses the end of the array": (
                "relu(const S* __restrict__ x, S* __restrict__ y, index_t size) {\n"
                "    index_t i = thread_index() * V;\n    if (i + V <= size) {",
                "relu(const S* __restrict__ x, S* __restrict__ y, index_t size) {\n"
                "    index_t i = thread_index() * V;\n    if (i < size) {",
            ),
            "sgd_step: the velocity is not kept": (
                "        store<V>(velocity + i, speeds);\n",
                "",
            ),
            "sgd_step: weight decay is forgotten": (
                "(grad + weight_decay * parameter);\n    parameter",
                "grad;\n    parameter",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/common.cuh",
        on_gpu("test_relu_of_a_nan_is_a_nan"),
        {"relu: a NaN becomes zero": ("x < T(0) ? T(0) : x", "x > T(0) ? x : T(0)")},
    ),
    *planted_in(
        "kernels/cuda/loss.cu",
        on_gpu("test_softmax_cross_entropy", "test_tally", "tests/kernels/test_cuda.py"),
        {
            "loss: sums of warps are read before they are there": (
                "by_warp[threadIdx.x / 32] = value;\n    __syncthreads();",
                "by_warp[threadIdx.x / 32] = value;",
            ),
            "loss: every lane subtracts a largest logit of its own": (
                "        largest = warp_max(largest);\n",
                "",
            ),
            "loss: the lanes' sums are not all added": (
                "for (int offset = 16; offset > 0; offset /= 2) value +=",
                "for (int offset = 16; offset > 1; offset /= 2) value +=",
            ),
            "loss: the gradient is that of the sum": (
                "(probabilities[i] - truth) / static_cast<T>(images)",
                "probabilities[i] - truth",
            ),
            "tally: a tie counts as wrong": ("(a == b && i < j)", "a == b"),
            "tally: a label that is no class is followed into memory": (
                "bool beaten = label < 0 || label >= classes;",
                "bool beaten = false;",
            ),
            "tally: images are counted by every warp": (
                "for (index_t image = threadIdx.x / 32; image < images; image += WARPS) {\n"
                "        const index_t label = labels[image];\n        bool",
                "for (index_t image = 0; image < images; image += 1) {\n"
                "        const index_t label = labels[image];\n        bool",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/pooling.cu",
        on_gpu("test_max_pool", "test_avg_pool", "test_global_avg_pool"),
        {
            "max_pool: the last of equals wins": (
                "value > best.at[v] ||",
                "value >= best.at[v] ||",
            ),
            "max_pool: argmax counts by the stride": (
                "(h - top) * static_cast<int>(size)",
                "(h - top) * static_cast<int>(stride)",
            ),
            "pooling: gradients come from windows that are not there": (
                "if (row < rows && column < columns)",
                "if (row < rows)",
            ),
            "global_avg_pool: the last pixel is left out": (
                "for (index_t pixel = 0; pixel < pixels; ++pixel)",
                "for (index_t pixel = 0; pixel < pixels - 1; ++pixel)",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/augment.cu",
        on_gpu("test_crop_flip"),
        {
            "crop_flip: the mirror is off by one": ("width - 1 - column", "width - column"),
            "crop_flip: rows below the image are read": (
                "h < 0 || h >= height ||",
                "h < 0 ||",
            ),
            "crop_flip: the mean of the first pixel for all": (
                "grey - mean[pixel]",
                "grey - mean[channel]",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/pooling.cu",
        "tests/kernels/test_cuda.py::test_max_pool_of_packs",
        {
            "max_pool_grad: a pack's channels all go by the winner of the first": (
                "winners.at[v] == place",
                "winners.at[0] == place",
            ),
            "max_pool: a pack has one winner": (
                "winner.at[v] = (h - top)",
                "winner.at[0] = (h - top)",
            ),
        },
    ),
]
