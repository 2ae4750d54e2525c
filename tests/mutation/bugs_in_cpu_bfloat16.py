"""Maps in bfloat16 on the CPU: rounding, tiles, dots, strips, and what is added where."""

from .mutants import planted_in

ON_CPU = "tests/kernels/test_bfloat16_on_cpu.py"
STRIPS, DOTS = (
    " ".join(
        f"{ON_CPU}::test_many_strips[{shape}-{way}]"
        for shape in ("images", "parts", "stride", "stem", "pointwise")
    )
    for way in ("tiles", "dots")
)
ROUNDING = f"{ON_CPU}::test_rounding_by_the_instruction_and_by_whole_numbers"
MOMENTS = f"{ON_CPU}::test_moments_are_those_of_the_stored_map[tiles-shape3-8-3-1]"
WIDENED = f"{ON_CPU}::test_without_pairs_it_is_float32_rounded"
SUMS = f"{ON_CPU}::test_gathered_sums_have_the_bits_of_a_pass_of_their_own"
BLOCK = "tests/kernels/test_bfloat16.py::test_a_block_rounds_where_its_parts_do"

MUTANTS = [
    *planted_in(
        "kernels/cpu/rounding.py",
        ROUNDING,
        {
            "bfloat16 on the cpu: halves are rounded up": (
                "builder.add(odd, words(0x7FFF))",
                "words(0x8000)",
            ),
            "bfloat16 on the cpu: a NaN is rounded like a number": (
                "rounded = builder.select(is_number",
                "builder.select(is_number",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/strips.py",
        STRIPS,
        {
            "strips: the border above an image holds what was in memory": (
                "                        fill_zero(strip, at, line)\n",
                "                        fill_zero(strip, at, 0)\n",
            ),
            "strips: lines are apart by what is in them": (
                "round_up.py_func(w.width + w.padding, w.stride)",
                "round_up.py_func(w.width, w.stride)",
            ),
            "strips: a tap below reads its phase's first line": (
                "line = i // w.stride * s.pitch",
                "line = 0 * s.pitch",
            ),
            "strips: a phase begins a line too low": (
                "(row + t) * w.stride + phase - w.padding",
                "(row + t) * w.stride + phase - w.padding + 1",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/amx.py",
        STRIPS,
        {
            "tiles: pairs of a weight are interleaved the other way round": (
                "builder.or_(low, builder.shl(high, words(16)))",
                "builder.or_(high, builder.shl(low, words(16)))",
            ),
            "tiles: the fourth tile adds to the third one's sums": ("(3, 4, 7)", "(2, 4, 7)"),
            "tiles: rows of a transposed tile are a row too short": ("r * DEPTH", "r * EDGE"),
            "tiles: two by two, the last product is of the first pixels": (
                "(3, 5, 7)",
                "(3, 4, 7)",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/simd.py",
        DOTS,
        {
            "dots: a word is multiplied by itself": ("[c, b, a])", "[c, a, a])"),
        },
    ),
    *planted_in(
        "kernels/cpu/tile.py",
        DOTS,
        {
            "dots: a tile's pairs are one element apart": (
                "at = builder.add(i, builder.mul(step, ir.Constant(COUNT, row)))\n        place",
                "at = builder.add(i, ir.Constant(COUNT, row))\n        place",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/dots.py",
        DOTS,
        {
            "dots: of 16 channels a pair's weights are half as far apart": (
                "tile = add_outer_product(tile, strip, run + k, step, packed, at + k * EDGE)",
                "tile = add_outer_product(tile, strip, run + k, step, packed, at + k * EDGE // 2)",
            ),
            "dots: of 32 channels a kernel row meets the one before's weights": (
                "packed, at + k * EDGE, gap)\n        at += steps(w) * PAIRS",
                "packed, at + k * EDGE, gap)\n        at += (steps(w) - 1) * PAIRS",
            ),
            "dots: of 32 channels positions are one pixel apart at any stride": (
                'elements further."""\n    tile, step = zero_tile(), w.stride * w.channels',
                'elements further."""\n    tile, step = zero_tile(), w.channels',
            ),
            "dots: of 32 channels' sums the second 16 positions' overwrite others": (
                "(q // EDGE * EDGE + q) * EDGE",
                "q * EDGE",
            ),
            "dots: positions that fill no eight are left out": (
                "range(0, count, WIDE_ROWS)",
                "range(0, count - count % WIDE_ROWS, WIDE_ROWS)",
            ),
            "dots: both halves of 32 channels meet the first one's weights": (
                "packed, at + k * EDGE, gap)",
                "packed, at + k * EDGE, 0)",
            ),
            "dots: a gradient's blocks of x are half as far apart": (
                "(block * DEPTH + k) * width",
                "(block * EDGE + k) * width",
            ),
            "dots: a strip's gradient overwrites those before": (
                "tile = load_tile(total, to, EDGE)",
                "tile = zero_tile()",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/amx_gradients.py",
        DOTS,
        {
            "dots: units of a gradient are added to the first one's sums": (
                "total, to + k * SUMS)",
                "total, to)",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/dots.py",
        f"{ON_CPU}::test_dots_are_used_for_these_layers",
        {
            "dots: many channels are multiplied by them in any case": (
                "return not possible or",
                "return possible or",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/dots.py",
        f"{ON_CPU}::test_dots_are_used_where_they_are_fast",
        {
            "dots: every processor that has them uses them": (
                'wish == "1" or',
                'wish != "1" or',
            ),
        },
    ),
    *planted_in(
        "kernels/dispatch.py",
        f"{ON_CPU}::test_info_says_which_products_run",
        {
            "dots: info takes them for float32": ("if not no_dots:", "if no_dots:"),
        },
    ),
    *planted_in(
        "kernels/cpu/amx_convolution.py",
        STRIPS,
        {
            "tiles: a border has a position too many": (
                "count = min(EDGE - k, pitch - col)",
                "count = min(EDGE - k, pitch - col + 1)",
            ),
            "tiles: two by two, both weights are the first channels'": (
                "load7(packed, at + tile, DEPTH)",
                "load7(packed, at, DEPTH)",
            ),
            "tiles: two by two, sums change places": (
                "p + t // wide * EDGE, c + t % wide * EDGE",
                "p + t % wide * EDGE, c + t // wide * EDGE",
            ),
            "tiles: the last pixels of a block are left out": (
                "end = min(start + BLOCK, positions)",
                "end = min(start + BLOCK, positions) - EDGE",
            ),
            "tiles: the weight of the input gradient is not turned": (
                "weight[::-1, ::-1].transpose",
                "weight.transpose",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/simd.py",
        STRIPS,
        {
            "half of a strip's line is copied": (
                "raw_memcpy(builder, *places, count, size)",
                "raw_memcpy(builder, *places, count, size // 2)",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/finish.py",
        f"{ON_CPU}::test_given_statistics_are_applied_before_the_only_rounding",
        {
            "bfloat16 on the cpu: sums are normalised without their mean": (
                "fma(value - terms[0], terms[1]",
                "fma(value, terms[1]",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/amx_convolution.py",
        MOMENTS,
        {
            "tiles: moments of a strip's first image alone": (
                "last = first + images * rows * w.cols",
                "last = first + rows * w.cols",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/amx_gradients.py",
        STRIPS,
        {
            "tiles: a tap that is moved by an odd number reads even pairs": (
                "position % 2 * b_size",
                "0 * b_size",
            ),
            "tiles: dy begins in the border": (
                "first = w.padding * (s.pitch + 1)",
                "first = w.padding * s.pitch",
            ),
            "tiles: partial sums are not cleared": (
                "fill_zero(to, 0, parts.shape[1])",
                "fill_zero(to, 0, 0)",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/batch_norm.py",
        SUMS,
        {
            "bfloat16 on the cpu: a linked gradient is summed but not masked": (
                "first, last, c, True, dx",
                "first, last, c, False, dx",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/packing.py",
        WIDENED,
        {
            "bfloat16 on the cpu: weights are not rounded": (
                "    if not is_bfloat16(dtype):\n        return weight\n",
                "    return weight\n",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/winograd.py",
        WIDENED,
        {
            "bfloat16 on the cpu: sums that a block leaves unfinished are lost": (
                "move(so_far, last, reached(w, min(tile + BLOCK, end)), pointer(room))",
                "move(so_far, last, last, pointer(room))",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/sums.py",
        f"{ON_CPU}::test_a_shortcuts_gradient_is_added_before_the_only_rounding",
        {
            "bfloat16 on the cpu: a shortcut's gradient is overwritten": (
                "value += load_lanes(y, i, last - i)",
                "value += broadcast(np.float32(0))",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/operands.py",
        f"{ON_CPU}::test_what_is_pending_is_multiplied_as_if_it_were_a_map",
        {
            "bfloat16 on the cpu: a pending input is multiplied with all digits": (
                "return as_stored(value, source.x) if source.norm_pending else value",
                "return value",
            ),
            "bfloat16 on the cpu: a pending gradient is multiplied with all digits": (
                "return as_stored(value, grad.dy) if grad.norm_pending else value",
                "return value",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/simd.py",
        f"{ON_CPU}::test_parts_of_a_vector",
        {
            "bfloat16 on the cpu: the lanes of a part begin at the first": (
                "return builder.gep(start, [low]), builder",
                "return builder.gep(start, [NONE]), builder",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/batch_norm.py",
        f"{ON_CPU}::test_gathered_moments_have_the_bits_of_a_pass_of_their_own",
        {
            "bfloat16 on the cpu: moments are those of sums before their rounding": (
                "        value = as_stored(value, x)\n",
                "",
            ),
        },
    ),
    *planted_in(
        "kernels/cpu/by_dtype.py",
        SUMS,
        {
            "bfloat16 on the cpu: nothing is linked": (
                "if not sums_in_strips(x):",
                "if not is_bfloat16(x.dtype):",
            ),
        },
    ),
    *planted_in(
        "kernels/reference_bfloat16.py",
        BLOCK,
        {
            "bfloat16 in the reference: dx is rounded before the shortcut's is added": (
                "dx = reference.conv2d_input_grad(*wide(dz1), weight, **settings)",
                "dx = wide(conv2d_input_grad(dz1, first.weight, **settings))[0]",
            ),
        },
    ),
]
