"""im2col, the convolution's gradients, max pooling: written with loops over pixels."""

from . import wrongs

IM2COL = """
def im2col(x, kernel_size, stride, padding):
    n, h, w, c = x.shape
    kh, kw = kernel_size
    oh, ow = (h + 2 * padding - kh) // stride + 1, (w + 2 * padding - kw) // stride + 1
    padded = np.zeros((n, h + 2 * padding, w + 2 * padding, c))
    padded[:, padding:padding + h, padding:padding + w] = x
    rows = []
    for r in range(oh):
        for s in range(ow):
            window = padded[:, r * stride:r * stride + kh, s * stride:s * stride + kw]
            rows.append(WINDOW)
    return np.stack(rows, axis=1).reshape(n, oh, ow, kh * kw * c)
"""

COL2IM = """
def col2im(dcolumns, x_shape, kernel_size, stride, padding):
    n, h, w, c = x_shape
    kh, kw = kernel_size
    padded = np.zeros((n, h + 2 * padding, w + 2 * padding, c))
    for r in range(dcolumns.shape[1]):
        for s in range(dcolumns.shape[2]):
            window = dcolumns[:, r, s].READ
            padded[:, r * stride:r * stride + kh, s * stride:s * stride + kw] += window
    return padded[:, padding:h + padding, padding:w + padding]
"""

PLAIN_READ = "reshape(n, kh, kw, c)"


def im2col(window):
    """With another way to lay out a window."""
    return IM2COL.replace("WINDOW", window)


def col2im(old="", new="", read=PLAIN_READ):
    """With another way to read a window, or one more change."""
    return (
        COL2IM.replace(old, new, 1).replace("READ", read) if old else COL2IM.replace("READ", read)
    )


COLUMNS = wrongs(
    "im2col",
    ("columns", "channel_first", im2col("window.transpose(0, 3, 1, 2).reshape(n, -1)")),
    ("columns", "kernel_transposed", im2col("window.transpose(0, 2, 1, 3).reshape(n, -1)")),
    ("columns", "kernel_flipped", im2col("np.flip(window, (1, 2)).reshape(n, -1)")),
    (
        "columns",
        "neighbours",
        im2col("window.reshape(n, -1)").replace("r * stride", "r").replace("s * stride", "s"),
    ),
    (
        "columns",
        "padded_behind",
        im2col("window.reshape(n, -1)").replace(
            "padded[:, padding:padding + h, padding:padding + w] = x", "padded[:, :h, :w] = x"
        ),
    ),
    ("columns", "all_is_there_twice", im2col("2 * window.reshape(n, -1)")),
    ("columns", None, im2col("np.sort(window.reshape(n, -1), axis=1)")),
    ("dx", "assigned_by_window", col2im("+= window", "= window")),
    ("dx", "cut_at_the_end", col2im("padding:h + padding, padding:w + padding", ":h, :w")),
    ("dx", "read_channel_first", col2im(read="reshape(n, c, kh, kw).transpose(0, 2, 3, 1)")),
    ("dx", "read_transposed", col2im(read="reshape(n, kw, kh, c).transpose(0, 2, 1, 3)")),
    ("dx", "read_flipped", col2im(read="reshape(n, kh, kw, c)[:, ::-1, ::-1]")),
)

INPUT_GRAD = """
def conv2d_input_grad(dy, weight, x_shape, stride, padding):
    n, h, w, c = x_shape
    kh, kw = weight.shape[:2]
    padded = np.zeros((n, h + 2 * padding, w + 2 * padding, c))
    for r in range(dy.shape[1]):
        for s in range(dy.shape[2]):
            for i in range(kh):
                for j in range(kw):
                    padded[:, r * stride + i, s * stride + j] += dy[:, r, s] @ weight[i, j].T
    return padded[:, padding:h + padding, padding:w + padding]
"""


def input_grad(old, new):
    """With one change."""
    assert old in INPUT_GRAD
    return INPUT_GRAD.replace(old, new)


INPUT = wrongs(
    "conv2d_input_grad",
    ("dx", "kernel_flipped", input_grad("weight[i, j]", "weight[kh - 1 - i, kw - 1 - j]")),
    ("dx", "kernel_transposed", input_grad("weight[i, j]", "weight.reshape(kw, kh, c, -1)[j, i]")),
    ("dx", "assigned_by_window", input_grad("+=", "=")),
    ("dx", "cut_at_the_end", input_grad("padding:h + padding, padding:w + padding", ":h, :w")),
    (
        "dx",
        "last_row_dropped",
        input_grad(
            "    for r in",
            "    dy = dy[:, :-1] if (h + 2 * padding - kh) % stride else dy\n"
            "    dy = dy[:, :, :-1] if (w + 2 * padding - kw) % stride else dy\n    for r in",
        ),
    ),
    ("dx", "all_is_divided_by_N", input_grad("padded[:, padding:", "(padded / n)[:, padding:")),
    ("dx", "centre_alone", input_grad("range(kh)", "range(1)").replace("range(kw)", "range(1)")),
    ("dx", None, input_grad("weight[i, j].T", "np.abs(weight[i, j].T)")),
)

WEIGHT_GRAD = """
def conv2d_weight_grad(dy, x, kernel_size, stride, padding):
    kh, kw = kernel_size
    padded = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    dweight = np.zeros((kh, kw, x.shape[3], dy.shape[3]))
    for n in range(len(x)):
        for r in range(dy.shape[1]):
            for s in range(dy.shape[2]):
                window = padded[n, r * stride:r * stride + kh, s * stride:s * stride + kw]
                dweight += window[..., None] * dy[n, r, s]
    return dweight
"""


def weight_grad(old, new):
    """With one change."""
    assert old in WEIGHT_GRAD
    return WEIGHT_GRAD.replace(old, new)


WEIGHTS = wrongs(
    "conv2d_weight_grad",
    ("dweight", "first_image_alone", weight_grad("range(len(x))", "range(1)")),
    (
        "dweight",
        "last_image_alone",
        weight_grad("        for r in", "        dweight[...] = 0\n        for r in"),
    ),
    ("dweight", "all_is_divided_by_N", weight_grad("return dweight", "return dweight / len(x)")),
    (
        "dweight",
        "padding_forgotten",
        weight_grad(
            "[(0, 0), (padding, padding), (padding, padding), (0, 0)]",
            "[(0, 0), (0, 9), (0, 9), (0, 0)]",
        ),
    ),
    ("dweight", "stride_forgotten", weight_grad(" * stride", "")),
    ("dweight", "kernel_flipped", weight_grad("return dweight", "return np.flip(dweight, (0, 1))")),
    (
        "dweight",
        "kernel_transposed",
        weight_grad("return dweight", "return np.moveaxis(dweight, 0, 1).reshape(dweight.shape)"),
    ),
    ("dweight", "averaged", weight_grad("return dweight", "return dweight / dy[..., 0].size")),
    ("dweight", None, weight_grad("dy[n, r, s]", "dy[n].mean((0, 1))")),
)

POOL_GRAD = """
def max_pool_grad(dy, x, size, stride, padding):
    n, h, w, c = x.shape
    padded = np.full((n, h + 2 * padding, w + 2 * padding, c), -np.inf)
    padded[:, padding:padding + h, padding:padding + w] = x
    dpadded = np.zeros(padded.shape)
    for b, r, s, k in np.ndindex(dy.shape):
        window = padded[b, r * stride:r * stride + size, s * stride:s * stride + size, k]
        i, j = np.unravel_index(window.argmax(), window.shape)
        dpadded[b, r * stride + i, s * stride + j, k] += dy[b, r, s, k]
    return dpadded[:, padding:h + padding, padding:w + padding]
"""


def pool_grad(old, new):
    """With one change."""
    assert old in POOL_GRAD
    return POOL_GRAD.replace(old, new)


TO_TIES = """
        target = dpadded[b, r * stride:r * stride + size, s * stride:s * stride + size, k]
        target += dy[b, r, s, k] * (window == window.max())SHARE"""
TO_WINNER = """
        i, j = np.unravel_index(window.argmax(), window.shape)
        dpadded[b, r * stride + i, s * stride + j, k] += dy[b, r, s, k]"""

POOL = wrongs(
    "max_pool",
    ("dx", "overlaps_replaced", pool_grad("+=", "=")),
    ("dx", "all_ties", pool_grad(TO_WINNER, TO_TIES.replace("SHARE", ""))),
    (
        "dx",
        "ties_share",
        pool_grad(TO_WINNER, TO_TIES.replace("SHARE", " / (window == window.max()).sum()")),
    ),
    (
        "dx",
        "last_of_ties",
        pool_grad("window.argmax()", "size * size - 1 - window[::-1, ::-1].argmax()"),
    ),
    ("dx", "zeros_take", pool_grad("-np.inf", "0.0")),
    ("dx", "not_cropped_at_start", pool_grad("padding:h + padding, padding:w + padding", ":h, :w")),
    ("dx", "winner_times_dy", pool_grad("dy[b, r, s, k]\n", "dy[b, r, s, k] * window.max()\n")),
    ("dx", None, pool_grad("window.argmax()", "window.argmin()")),
    (
        "y",
        "zeros_win",
        """
        def max_pool(x, size, stride, padding):
            p = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
            rows = range(0, p.shape[1] - size + 1, stride)
            cols = range(0, p.shape[2] - size + 1, stride)
            y = [[p[:, r:r + size, s:s + size].max((1, 2)) for s in cols] for r in rows]
            return np.array(y).transpose(2, 0, 1, 3)
        """,
    ),
)

ALL = [*COLUMNS, *INPUT, *WEIGHTS, *POOL]
