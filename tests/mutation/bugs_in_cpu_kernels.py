"""The compiled kernels. Tests are narrow here, since every kernel they call is compiled anew."""

from .mutants import planted_in

CONTRACT, CONVOLUTION = "tests/kernels/test_contract.py", "tests/kernels/test_convolution.py"
MANY_BLOCKS = f"{CONVOLUTION}::test_many_blocks_give_what_one_gives"
WIDE_TILES = f"{CONVOLUTION}::test_wide_tiles_give_what_narrow_ones_give"
MISFORTUNES = "tests/kernels/test_misfortunes.py"
PROCESSES, FUSED = "tests/kernels/test_processes.py", "tests/kernels/test_fused.py"
NAN = f"{CONTRACT}::test_relu_of_a_nan_is_a_nan[cpu]"

MUTANTS = [
    *planted_in(
        "kernels/cpu/dealing.py",
        "tests/kernels/test_dealing.py",
        {
            "chunks: the last one is nobody's": (
                "(thread + 1) * chunks // threads",
                "(thread + 1) * chunks // threads - thread",
            ),
            "chunks: a thread that is done waits for the others": (
                "for turn in range(len(work))",
                "for turn in range(1)",
            ),
            "chunks: a share's first is done twice": (
                "yield chunk\n",
                "yield max(chunk - 1, 0)\n",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/compiling.py",
        f"{PROCESSES}::test_a_change_in_any_file_gives_the_machine_code_another_folder",
        {
            "cache: a rung's is not named after what it calls": (
                "sorted({package, Path(__file__).parent})",
                "sorted({package})",
            ),
            "cache: named after one file alone": (
                'sorted(folder.glob("*.py"))',
                "[Path(__file__)]",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/compiling.py",
        f"{PROCESSES}::test_of_two_processes_that_start_together_one_compiles",
        {
            "cache: all processes compile": (
                "            if (found := self.read(*what)) is not None:",
                "            if found is not None:",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/compiling.py",
        f"{MISFORTUNES}::test_after_compiling_the_lock_is_free_whether_or_not_it_succeeded",
        {
            "cache: who has compiled keeps the lock": (
                "            super().save_overload(*what)\n        self.turn.close()\n",
                "            super().save_overload(*what)\n",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/compiling.py",
        f"{MISFORTUNES}::test_where_nothing_can_be_locked_code_is_kept_all_the_same",
        {
            "cache: a disk without locks ends the program": (
                "suppress(ImportError, OSError):\n        import fcntl",
                "suppress(ImportError):\n        import fcntl",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/window.py",
        f"{CONTRACT}::test_im2col_and_col2im[cpu]",
        {
            "col2im: overlaps are assigned instead of added": (
                "old = load_lanes(target, j + k, lanes)",
                "old = broadcast(np.float32(0))",
            ),
            "im2col: the last column of the images counts as padding": (
                "min(w.kernel_cols, w.width - x)",
                "min(w.kernel_cols, w.width - x - 1)",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/im2col.py",
        WIDE_TILES,
        {
            "im2col: the last part of a deep window replaces the sum": (
                "write_wide(tile, y, at, channels, last - p, channels - c, start > 0, spare)",
                "write_wide(tile, y, at, channels, last - p, channels - c, False, spare)",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/tile.py",
        WIDE_TILES,
        {
            "tile: the second panel of a wide one is the first again": (
                "[index, builder.add(index, gap)]",
                "[index, index]",
            ),
            "tile: after a wide one comes the row after a narrow one": (
                "return WIDE_ROWS if wide else ROWS",
                "return ROWS",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/im2col.py",
        f"{MANY_BLOCKS}[im2col-shape9]",
        {
            "im2col: the last group of channels is cut off at whole panels": (
                "min(size, (i + 1) * units // count * unit)",
                "min(size - size % unit, (i + 1) * units // count * unit)",
            ),
            "im2col: every slice of the window reads the first one's columns": (
                "copy_windows(x, w, first, last, begin, end, columns",
                "copy_windows(x, w, first, last, 0, end - begin, columns",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/partial_sums.py",
        f"{MANY_BLOCKS}[im2col-shape2]",
        {
            "weight gradient: the last of its partial sums": (
                "total += load(pointer(parts)",
                "total = load(pointer(parts)",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/packing.py",
        f"{MANY_BLOCKS}[im2col-shape0]",
        {
            "input gradient: the kernel is not turned": (
                "reversed(range(rows * cols))",
                "range(9)",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/direct.py",
        f"{MANY_BLOCKS}[direct-shape4]",
        {
            "direct: no zeros left of an image": ("fill_zero(strip, at, border)", "pass"),
            "direct: every strip is the first of its image": (
                "first = i * strip_rows(w, channels)",
                "first = 0 * strip_rows(w, channels)",
            ),
            "direct: dW of a window's first row only": (
                "a, b = (row * w.stride + i) * size + k",
                "a, b = row * w.stride * size + k",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/transforms.py",
        f"{CONVOLUTION}::test_winograd",
        {
            "winograd: a wrong number in B": (
                "broadcast(np.float32(-5))\n    even",
                "broadcast(np.float32(-4))\n    even",
            ),
            "winograd: a tile at the right edge reads the next row": (
                "across = 0 <= col + j < w.width",
                "across = True",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/transforms.py",
        f"{MANY_BLOCKS}[winograd-shape6]",
        {
            "winograd: overlapping tiles of dx replace each other": (
                "store(old[0] + values[0], array, at)",
                "store(values[0], array, at)",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/transforms.py",
        f"{CONVOLUTION}::test_winograd_weight_grad",
        {
            "winograd: dW counts what lies beyond the right edge of dy": (
                "factor_of_grad(grad, terms, here, lanes, j < cols)",
                "factor_of_grad(grad, terms, here, lanes, True)",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/winograd.py",
        f"{FUSED}::test_many_chunks_give_what_one_gives[winograd-case1]",
        {
            "fused: sums over rows that other tiles still add to": (
                "row = np.minimum(np.maximum(strip * TILE - w.padding, 0), w.height)",
                "row = np.minimum(strip * TILE, w.height)",
            ),
            "fused: all blocks of images give the first one's sums": (
                "block = i * ((len(starts) - 1) // count) + (tile - begin) // BLOCK",
                "block = (tile - begin) // BLOCK",
            ),
            "fused: the moments of a chunk leave out its last strip": (
                "pixels = first_pixel(w, first), first_pixel(w, last)",
                "pixels = first_pixel(w, first), first_pixel(w, last - 1)",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/winograd.py",
        f"{MANY_BLOCKS}[winograd-shape6]",
        {
            "winograd: dx is cleared without the rows that two strips share": (
                "rows = strip * TILE - w.padding + EDGE - TILE if strip > 0 else 0",
                "rows = strip * TILE - w.padding if strip > 0 else 0",
            ),
            "winograd: every block's dU replaces the others'": ("tile == begin,", "True,"),
        },
    ),
    *planted_in(
        "kernels/cpu/im2col.py",
        f"{MANY_BLOCKS}[im2col-shape1]",
        {"im2col: dW of the last block alone": ("b == block,", "True,")},
    ),
    *planted_in(
        "kernels/cpu/convolution.py",
        f"{FUSED}::test_many_chunks_give_what_one_gives[winograd-case4]",
        {
            "fused: the gradient of a shortcut to more channels is taken for one of x": (
                "all_alike = from_shortcut is None or from_shortcut.shape == x_shape",
                "all_alike = True",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/packing.py",
        f"{CONVOLUTION}::test_a_weight_that_may_change_is_read_anew",
        {
            "packing: what a weight was is kept": (
                "if not isinstance(weight.base, bytes):",
                "if False:",
            ),
            "packing: what another's view was is kept": (
                "if not isinstance(weight.base, bytes):",
                "if weight.flags.writeable:",
            ),
            "packing: the flag of a weight is believed": (
                "if not isinstance(weight.base, bytes):",
                "if weight.flags.writeable or not weight.flags.owndata:",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/shortcut.py",
        f"{CONTRACT}::test_subsample_and_pad[cpu]",
        {
            "shortcut A: the rows one after the other": (
                "row * w.stride) * w.width",
                "row) * w.width",
            ),
            "shortcut A: the new channels hold what was in memory": (
                "fill_zero(pointer(y), at + w.channels, channels - w.channels)",
                "pass",
            ),
            "shortcut A: the gradient begins with ones": ("np.zeros(x_shape", "np.ones(x_shape"),
        },
    ),
    *planted_in(
        "kernels/cpu/operands.py",
        f"{FUSED}::test_basic_block[winograd]",
        {
            "fused: the map between two convolutions passes no ReLU": (
                "value = cut_below_zero(fma(value - mean, scale, beta))",
                "value = fma(value - mean, scale, beta)",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/fused.py",
        f"{FUSED}::test_basic_block[im2col]",
        {
            "fused: the shortcut's gradient is lost": (
                "from_shortcut = dz.dy if hands_on else None",
                "from_shortcut = None",
            ),
            "fused: the gradient between two convolutions passes the ReLU unmasked": (
                "gathered_or_summed(inner, masked(dbetween, between),",
                "gathered_or_summed(inner, OutputGrad(dbetween),",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/convolution.py",
        "tests/nn/test_backward_link.py",
        {
            "link: sums are gathered where their bits would differ": (
                "link if needs_dx and cuts_alike(x_shape, weight.shape, padding) else None",
                "link if needs_dx else None",
            ),
        },
    ),
    *planted_in(
        "kernels/backward_link.py",
        "tests/nn/test_backward_link.py",
        {
            "link: the sums are taken for another gradient": (
                "return sums if masked_dy is dy else None",
                "return sums",
            ),
            "link: what was gathered stays": (
                "(masked_dy, sums), self.gathered = self.gathered, (None, None)",
                "masked_dy, sums = self.gathered",
            ),
        },
    ),
    *planted_in(
        "minires/nn/fused.py",
        "tests/nn/test_backward_link.py",
        {
            "link: a gradient that somebody watches is masked": (
                "if not isinstance(maker, Context) or maker.hooks:",
                "if not isinstance(maker, Context):",
            ),
            "link: a convolution has none": (
                "link = BackwardLink(saved.z, saved.mean) if relu else None",
                "link = None",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/winograd.py",
        "tests/nn/test_backward_link.py",
        {
            "link: a block of tiles that is not there counts": (
                "sums = np.zeros((2, len(starts) if link",
                "sums = np.ones((2, len(starts) if link",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/batch_norm.py",
        "tests/nn/test_backward_link.py",
        {
            "link: the gradient is summed, not masked": (
                "chunk_grad_sums(grad, mask.z, mask.mean, channels, first, last, c, True, dx,",
                "chunk_grad_sums(grad, mask.z, mask.mean, channels, first, last, c, False, dx,",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/per_channel.py",
        f"{CONTRACT}::test_variance_far_from_zero",
        {
            "batch norm on the cpu: the variance between chunks is forgotten": (
                "squares[i, c] + (starts[i + 1] - starts[i]) * (means[i, c] - middle) ** 2",
                "squares[i, c]",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/per_channel.py",
        f"{CONTRACT}::test_update_running_statistics[cpu]",
        {
            "batch norm on the cpu: the running variance is the biased one": (
                "momentum * (batch[c] * factor)",
                "momentum * batch[c]",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/batch_norm.py",
        f"{CONTRACT}::test_variance_far_from_zero",
        {
            "batch norm on the cpu: the mean's own rounding is not corrected": (
                "lane(square, i) - correction * correction / count",
                "lane(square, i)",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/operands.py",
        f"{CONTRACT}::test_batch_norm_grad[batch_norm_grad-cpu]",
        {
            "batch norm on the cpu: no gradient through the variance": (
                "rest = fma(slope, load_lanes(grad.z, at, lanes) - mean, shift)",
                "rest = shift",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/simd.py",
        f"{CONTRACT}::test_batch_norm_grad[batch_norm_grad-cpu]",
        {
            "batch norm on the cpu: the gradient passes where the ReLU gave zero": (
                'fcmp_ordered(">", condition',
                'fcmp_ordered(">=", condition',
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/elementwise.py",
        NAN,
        {
            "relu on the cpu: hides a NaN": (
                "cut_below_zero(load_lanes(pointer(x), i, last - i))",
                "where_positive(load_lanes(pointer(x), i, last - i), "
                "load_lanes(pointer(x), i, last - i))",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/elementwise.py",
        f"{CONTRACT}::test_sgd_step[cpu]",
        {
            "sgd on the cpu: no weight decay": (
                "fma(broadcast(weight_decay), old, load_lanes(pointer(grad), i, last - i))",
                "load_lanes(pointer(grad), i, last - i)",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/batch_norm.py",
        f"{CONTRACT}::test_batch_norm[cpu]",
        {
            "batch norm on the cpu: the mean leaves out pixels that are left over": (
                "        s0 += settled(sums, x, at, lanes)\n    return",
                "        s0 += broadcast(np.float32(0))\n    return",
            ),
            "batch norm on the cpu: the variance leaves out pixels that are left over": (
                "load_lanes(x, at, lanes) - mean)\n    return",
                "mean - mean)\n    return",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/batch_norm.py",
        f"{CONTRACT}::test_batch_norm_grad[batch_norm_grad-cpu]",
        {
            "batch norm on the cpu: a pixel in four counts twice in the gradient's sums": (
                "terms, at + 3 * step, *place)",
                "terms, at + 2 * step, *place)",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/pooling.py",
        f"{CONTRACT}::test_max_pool[cpu]",
        {
            "max pool on the cpu: the last of equals wins": ("value > old or", "value >= old or"),
            "max pool on the cpu: a NaN never wins": (
                " or (value != value and old == old)",
                "",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/loss.py",
        f"{CONTRACT}::test_softmax_cross_entropy[1000-cpu]",
        {
            "softmax on the cpu: exponentials overflow": (
                "largest = max(largest, logit)",
                "largest = 0.0",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/augment.py",
        f"{CONTRACT}::test_crop_flip[cpu]",
        {
            "crops on the cpu: a mirrored image is off by a pixel": (
                "width - 1 - col if",
                "width - col if",
            ),
            "crops on the cpu: row and column offsets are exchanged": (
                "row + offsets[n, 0] - padding",
                "row + offsets[n, 1] - padding",
            ),
        },
    ),
]
