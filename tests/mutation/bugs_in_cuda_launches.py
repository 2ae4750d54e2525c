"""The Python that launches CUDA kernels: what CuPy would pass on without a word."""

from .bugs_in_cuda_kernels import NORM, on_gpu
from .bugs_in_cuda_products import CONV2D, FUSED, MASKED_AND_SUMMED
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
                "fits = all(size % pack == 0 for size in sizes) and all(",
                "fits = all(",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/launch.py",
        NORM,
        {
            "launch: a Python number for a float": (
                "    return computed(array).type(value)",
                "    return value",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/convolution.py",
        CONV2D,
        {
            "conv2d: the grid's axes are swapped": (
                "tiles = blocks(pixels, engine.m), blocks(filters, engine.n)\n    parts",
                "tiles = blocks(filters, engine.n), blocks(pixels, engine.m)\n    parts",
            ),
            "conv2d: a block has more threads than its tile": (
                "        threads=engine.threads,\n        shared",
                "        threads=2 * engine.threads,\n        shared",
            ),
            "conv2d: height and width of the result are swapped": (
                "*(pixels, *x.shape[1:], *size, filters,",
                "*(pixels, *x.shape[1:], *size[::-1], filters,",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/convolution.py",
        f"{FUSED}::test_a_pending_batch_norm_is_as_good_as_one_before",
        {
            "pending: too little shared memory for its statistics": (
                "shared=3 * x.shape[3] * computed(x).itemsize",
                "shared=2 * x.shape[3] * computed(x).itemsize",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/convolution.py",
        f"{FUSED}::test_a_batch_of_no_images",
        {
            "conv2d_weight_grad: no images leave the weight's gradient as it was": (
                "        dweight.fill(0)\n",
                "        pass\n",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/convolution.py",
        MASKED_AND_SUMMED,
        {
            "mask: too few parts where a convolution strides": (
                "count = grid[0] * grid[2]",
                "count = grid[0]",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/matmul.py",
        f"{FUSED}::test_a_weights_gradient_in_so_many_parts",
        {
            "conv2d_weight_grad: all parts go to the same place": (
                "return empty((parts, *total.shape), total), counters",
                "return total, counters",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/launch.py",
        f"{FUSED} -k counters",
        {
            "counters: all streams have the same": (
                "cupy.cuda.get_current_stream().ptr)",
                "0)",
            ),
            "counters: more sums than there are counters": (
                "sums * (1 + blocks(parts, group))) > COUNTERS",
                "sums) > COUNTERS",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/fused.py",
        f"{FUSED}::test_sums_are_gathered_where_the_convolution_does_not_stride",
        {
            "link: sums are gathered by a convolution that strides": (
                "link is None or layer.stride != 1 or",
                "link is None or",
            ),
            "link: the sums are those of another array": (
                "link.put(dx, mask.sums)",
                "link.put(dz, mask.sums)",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/fused.py",
        "tests/nn/test_backward_link_on_gpu.py::test_a_hook_sees_the_whole_gradient_and_changes_no_bit",
        {
            "link: sums are gathered where they would have another order": (
                " or filters_do_not_fit:",
                ":",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/fused.py",
        on_gpu("tests/kernels/test_cuda.py::test_shortcut_of_a_block_that_strides"),
        {
            "basic_block: a shortcut that strides is read as one that does not": (
                "residual=residual, stride=first.stride, relu=True",
                "residual=residual, relu=True",
            ),
            "basic_block_grad: nor is its gradient put where it was read": (
                "ShortcutGrad(dresidual, first.stride)",
                "ShortcutGrad(dresidual, 1)",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/fused.py",
        f"{FUSED}::test_large_kernels_with_batch_norm -k cuda",
        {
            "conv2d_batch_norm: a large kernel has a mask, too": (
                '    if by_columns("conv2d_batch_norm", "auto", layer.weight.shape[:2]):',
                "    if False:",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/fused.py",
        f"{FUSED}::test_gradients_are_written_in_place",
        {
            "gradients in place: two share a buffer": (
                '"grad_buffers": buffers[1:3]',
                '"grad_buffers": (buffers[1], buffers[1])',
            ),
            "gradients in place: buffers of the two batch norms are swapped": (
                "= buffers[4:]",
                "= buffers[1:3]",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/batch_norm.py",
        f"{FUSED}::test_running_statistics_move -k cuda",
        {
            "running variance: it stays biased where the moments are taken": (
                "factor = unbiased(pixels) if running else 0",
                "factor = 1 if running else 0",
            ),
        },
    ),
    *planted_in(
        "minires/nn/grad_buffer.py",
        "tests/nn/test_backward_link_on_gpu.py::test_a_parameter_that_is_used_twice_gets_the_sum",
        {
            "gradients in place: a buffer is lent twice": (
                "        if self.buffer_is_lent or self.grad",
                "        if self.grad",
            ),
        },
    ),
    *planted_in(
        "minires/nn/grad_buffer.py",
        "tests/nn/test_backward_link_on_gpu.py::test_gradients_add_up_over_two_backward_passes",
        {
            "gradients in place: a buffer is lent though a gradient lies there": (
                "if self.buffer_is_lent or self.grad is not None or",
                "if self.buffer_is_lent or",
            ),
        },
    ),
    *planted_in(
        "kernels/cuda/batch_norm.py",
        NORM,
        {
            "batch_norm: channels beyond a block's width are left out": (
                "        (count, across),\n",
                "        (count, 1),\n",
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
        "kernels/cuda/pooling.py",
        "tests/kernels/test_cuda.py::test_max_pool_of_packs",
        {
            "max_pool: packs run over the end of a pixel": (
                "vector(x, y, argmax, sizes=(x.shape[3],))",
                "vector(x, y, argmax)",
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
                "return not on_gpu or self.step == 0 or",
                "return True or",
            ),
        },
    ),
    *planted_in(
        "minires/optim.py",
        ONE_STEP,
        {
            "SGD: a launch for every parameter": (
                "if self.flat and self.flat.is_whole():\n            for",
                "if self.flat and False:\n            for",
            ),
            "SGD: gradients are copied to the host": (
                "            self.move(self.flat.data, self.flat.grad, self.flat.velocity)\n",
                "            copy_to_host(self.flat.grad)\n"
                "            self.move(self.flat.data, self.flat.grad, self.flat.velocity)\n",
            ),
        },
    ),
]
