"""The ladder's rungs on the CPU, and the script that shows them."""

from .mutants import Bugs, Mutant, planted_in

LADDER, TESTS = "kernels/ladder/", "tests/kernels/test_ladder.py::"
TILES, CHUNKS = (
    TESTS + "test_a_convolution_of_several_tiles",
    TESTS + "test_a_batch_norm_of_several_chunks",
)


def in_rung(file: str, bugs: Bugs) -> list[Mutant]:
    """The mutants of a rung, which its own tests find."""
    tests = CHUNKS if file.startswith("norm") else TILES
    return planted_in(f"{LADDER}{file}.py", f"{tests} -k {file}", bugs)


MUTANTS = [
    *in_rung(
        "conv1_seven_loops",
        {
            "ladder: seven loops leave the last row of the window out": (
                "min(3, height + 1 - r)",
                "min(2, height + 1 - r)",
            ),
            "ladder: seven loops turn the kernel round": (
                "total += x[n, r + i - 1, c + j - 1, k] * weight[i, j, k, f]",
                "total += x[n, r + i - 1, c + j - 1, k] * weight[2 - i, 2 - j, k, f]",
            ),
        },
    ),
    *in_rung(
        "conv2_im2col",
        {
            "ladder: im2col takes the last column for padding": (
                "0 <= c + j - 1 < width",
                "0 <= c + j - 1 < width - 1",
            ),
            "ladder: im2col leaves what lies outside as it was": (
                "columns[c, k : k + channels] = 0",
                "columns[c, k : k + channels] = x[n, r, c]",
            ),
            "ladder: the product adds to what was there": ("    y[:] = 0\n", "    y[:] = 1\n"),
        },
    ),
    *in_rung(
        "conv3_blocks",
        {
            "ladder: blocks of another image": (
                "copy_windows(x, row // x.shape[1], row % x.shape[1], columns)",
                "copy_windows(x, row % x.shape[0], row % x.shape[1], columns)",
            ),
        },
    ),
    *in_rung(
        "conv4_register_tile",
        {
            "ladder: the tile's last row is the third again": (
                "broadcast(a[i + 3 * a_step + k])",
                "broadcast(a[i + 2 * a_step + k])",
            ),
            "ladder: the tile's second vector is the first again": (
                "load(b, j + k * b_step + LANES)",
                "load(b, j + k * b_step)",
            ),
            "ladder: a tile's row goes to the one before": (
                "store_row(y20, y21, y, at + 2 * y_step)",
                "store_row(y20, y21, y, at + y_step)",
            ),
        },
    ),
    *in_rung(
        "conv5_panels",
        {
            "ladder: every panel is the first": ("b, f * depth, FILTERS", "b, 0, FILTERS"),
            "ladder: filters are packed as rows": (
                "np.moveaxis(whole.reshape(*more, depth, -1, FILTERS), -2, -3)",
                "whole.reshape(*more, -1, depth, FILTERS)",
            ),
        },
    ),
    *in_rung(
        "conv6_winograd",
        {
            "ladder: Winograd's third sum of the filter has the wrong sign": (
                "(g0 - g1 + g2) / 2, g2",
                "(g0 - g1 - g2) / 2, g2",
            ),
            "ladder: Winograd's squares of inputs do not overlap": (
                "at = 2 * s * depth + k",
                "at = 4 * s % (d.shape[1] - 3) * depth + k",
            ),
            "ladder: Winograd's second result lacks a product": (
                "return m0 + m1 + m2, m1 - m2 - m3",
                "return m0 + m1 + m2, m1 - m2",
            ),
            "ladder: a strip reads the row above the image": (
                "range(max(0, 1 - r), min(4, height + 1 - r))",
                "range(min(4, height + 1 - r))",
            ),
        },
    ),
    *in_rung(
        "norm1_three_passes",
        {
            "ladder: pixels behind the last four are left out": (
                "            total[c] += x[p, c]\n",
                "            total[c] += 0 * x[p, c]\n",
            ),
            "ladder: eps is added to the standard deviation": (
                "gamma / np.sqrt(var + eps)",
                "gamma / (np.sqrt(var) + eps)",
            ),
            "ladder: the ReLU lets small negative numbers through": (
                "if y[p, c] <= 0 else",
                "if y[p, c] <= -0.1 else",
            ),
        },
    ),
    *in_rung(
        "norm2_two_passes",
        {
            "ladder: chunks' means are averaged as if all were whole": (
                "(n * means.astype(np.float64)).sum(0) / len(pixels)",
                "means.mean(0, dtype=np.float64)",
            ),
            "ladder: the variance lacks the chunks' distance": (
                "(squares + n * (means - mean) ** 2)",
                "(squares + 0 * n * (means - mean) ** 2)",
            ),
        },
    ),
    *in_rung(
        "norm3_fused",
        {
            "ladder: the fused ReLU cuts at beta": (
                "if value <= 0 else value",
                "if value <= beta[c] else value",
            )
        },
    ),
    *planted_in(
        "kernels/ladder/norm3_fused.py",
        f"{TESTS}test_what_is_not_a_number_is_not_hidden_by_the_relu",
        {
            "ladder: the fused ReLU hides NaN": (
                "np.float32(0) if value <= 0 else value",
                "max(np.float32(0), value)",
            )
        },
    ),
    *planted_in(
        "kernels/ladder/__init__.py",
        f"{TESTS}test_only_the_columns_in_memory_move_many_bytes",
        {"ladder: columns in memory are counted once": ("columns=2 * 9", "columns=9")},
    ),
]
