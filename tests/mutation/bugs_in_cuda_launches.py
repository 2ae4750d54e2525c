"""The Python that launches CUDA kernels: what CuPy would pass on without a word."""

from .bugs_in_cuda_kernels import CONV2D, NORM, WEIGHT_GRAD, on_gpu
from .mutants import planted_in

RELU, MATMUL = on_gpu("test_relu"), on_gpu("test_matmul")

ONE_STEP = "tests/training/test_on_gpu.py::test_a_step_makes_the_same_launches_and_copies_nothing"

MUTANTS = [
    *planted_in(
        "kernels/cuda/launch.py",
        RELU,
        {
            "launch: packs are moved wherever an array starts": (
                "all(a.data.ptr % 16 == 0 for a in given)",
                "given",
            ),
            "launch: the last block is left out": (
                "    return -(-count // each)",
                "    return max(1, count // each)",
            ),
            "launch: kernels of float get doubles": (
                "    return TYPE_NAMES[array.dtype.char]",
                '    return "float"',
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/launch.py",
        on_gpu("test_im2col_and_col2im"),
        {
            "launch: packs cross the ends of the channels": (
                "fits = all(size % 4 == 0 for size in sizes) and all(",
                "fits = all(",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/launch.py",
        NORM,
        {
            "launch: a Python number for a float": (
                "    return array.dtype.type(value)",
                "    return value",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/convolution.py",
        CONV2D,
        {
            "conv2d: the grid's axes are swapped": (
                "(blocks(pixels, tile.m), blocks(filters, tile.n)),",
                "(blocks(filters, tile.n), blocks(pixels, tile.m)),",
            ),
            "conv2d: a block has more threads than its tile": (
                "        threads=tile.threads,\n    )\n    return y",
                "        threads=2 * tile.threads,\n    )\n    return y",
            ),
            "conv2d: height and width of the result are swapped": (
                "*(x, weight, y, pixels, *x.shape[1:], *size, filters,",
                "*(x, weight, y, pixels, *x.shape[1:], *size[::-1], filters,",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/convolution.py",
        WEIGHT_GRAD,
        {
            "conv2d_weight_grad: all parts go to the same place": (
                "target = dweight if parts == 1 else empty((parts, *dweight.shape), x)",
                "target = dweight",
            ),
            "conv2d_weight_grad: the parts are never added": (
                "return dweight if parts == 1 else sum_parts(target, dweight)",
                "return dweight",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/batch_norm.py",
        NORM,
        {
            "batch_norm: channels beyond a block's width are left out": (
                'launch("batch_norm", f"moments<{name}>", (len(parts), across),',
                'launch("batch_norm", f"moments<{name}>", (len(parts), 1),',
            ),
            "batch_norm: the width is no power of two": (
                "    return min(WARP, 1 << (slots - 1).bit_length())",
                "    return min(WARP, slots)",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/matmul.py",
        MATMUL,
        {
            "matmul: a transposed matrix is passed by its strides": (
                "return x.swapaxes(-1, -2), True",
                "return x, True",
            ),
            "matmul: a matrix that all share counts as a stack": (
                "a_step, b_step = (0 if len(x) == 1 else x[0].size for x in (a, b))",
                "a_step, b_step = (x[0].size for x in (a, b))",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/loss.py",
        on_gpu("test_softmax_cross_entropy"),
        {
            "loss: labels are half as wide as the kernel reads them": (
                'labels.astype("int64", copy=False)',
                'labels.astype("int32", copy=False)',
            ),
            "loss: a count too few": (
                "arrays = (probabilities, whole(labels), grad)",
                "arrays = (probabilities, whole(labels))",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/pooling.py",
        on_gpu("test_max_pool"),
        {
            "max_pool: argmax is wider than the kernel writes it": (
                'empty(y.shape, "int32")',
                'empty(y.shape, "int64")',
            ),
            "max_pool_grad: dx and argmax are swapped": (
                "        dy,\n        argmax,\n        dx,\n",
                "        dy,\n        dx,\n        argmax,\n",
            ),
        },
    ),
    *planted_in(
        "kernels/devices.py",
        "tests/test_devices.py::TestMixtures",
        {
            "devices: arrays of two devices pass": ("if len(found) > 1:", "if len(found) > 2:"),
        },
    ),
    *planted_in(
        "kernels/devices.py",
        "tests/test_devices.py::test_several_arrays_go_over_in_one_copy",
        {
            "devices: a batch goes over in several copies": (
                "    together = cupy().asarray(packed)\n",
                "    return tuple(cupy().asarray(array) for array in arrays)\n"
                "    together = cupy().asarray(packed)\n",
            ),
        },
    ),
    *planted_in(
        "minires/training/trainer.py",
        ONE_STEP,
        {
            "trainer: every iteration waits for its loss": (
                "return not self.on_gpu or self.step == 0 or",
                "return True or",
            ),
        },
    ),
    *planted_in(
        "minires/optim.py",
        ONE_STEP,
        {
            "SGD: a launch for every parameter": (
                "if self.flat and self.flat.is_whole():",
                "if self.flat and False:",
            ),
            "SGD: gradients are copied to the host": (
                "            self.move(self.flat.data, self.flat.grad, self.flat.velocity)\n",
                "            copy_to_host(self.flat.grad)\n"
                "            self.move(self.flat.data, self.flat.grad, self.flat.velocity)\n",
            ),
        },
    ),
]
