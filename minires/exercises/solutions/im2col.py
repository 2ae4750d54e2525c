"""im2col: a convolution becomes a product of matrices.

Slide a window of kh x kw pixels over an image, `stride` pixels at a time. Under each place lie
kh * kw * C numbers: im2col copies them into a row. A convolution is then  rows @ weights, and
a processor does nothing as fast as a product of matrices.

    x (N, H, W, C)  ->  columns (N, OH, OW, kh * kw * C)
    OH = (H + 2 * padding - kh) // stride + 1        OW likewise, with W and kw

Padding adds `padding` rows and columns of zeros on every side of the image. Within a row of the
result the order is (kernel row, kernel column, channel), so

    columns.reshape(N, OH, OW, kh, kw, C)[n, r, c, i, j]
        = padded[n, stride * r + i, stride * c + j]

Where the stride does not divide H + 2 * padding - kh, the last rows of the image are not read:
that happens in every ResNet for CIFAR (32 + 2 - 3 = 31 is odd).

col2im is the gradient. im2col only copies; a pixel that was copied nine times gets the sum of nine
gradients. The padding was no input, so its gradients are dropped.

Two loops, over kernel rows and kernel columns, are fine. Loops over pixels are right, but slow.
"""

import numpy as np


def im2col(x, kernel_size, stride, padding):
    """x (N, H, W, C), kernel_size (kh, kw).  Returns columns (N, OH, OW, kh * kw * C)."""
    # solution
    n, height, width, channels = x.shape
    kh, kw = kernel_size
    rows = (height + 2 * padding - kh) // stride + 1
    cols = (width + 2 * padding - kw) // stride + 1
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    columns = np.empty((n, rows, cols, kh, kw, channels), x.dtype)
    for i in range(kh):
        for j in range(kw):
            end_row, end_col = i + stride * rows, j + stride * cols
            columns[:, :, :, i, j] = padded[:, i:end_row:stride, j:end_col:stride]
    return columns.reshape(n, rows, cols, -1)
    # end


def col2im(dcolumns, x_shape, kernel_size, stride, padding):
    """The gradient of im2col.

    dcolumns (N, OH, OW, kh * kw * C), x_shape = (N, H, W, C).  Returns dx, of shape x_shape.
    """
    # solution
    n, height, width, channels = x_shape
    kh, kw = kernel_size
    rows, cols = dcolumns.shape[1:3]
    places = dcolumns.reshape(n, rows, cols, kh, kw, channels)
    padded = np.zeros((n, height + 2 * padding, width + 2 * padding, channels), dcolumns.dtype)
    for i in range(kh):
        for j in range(kw):
            end_row, end_col = i + stride * rows, j + stride * cols
            padded[:, i:end_row:stride, j:end_col:stride] += places[:, :, :, i, j]
    return padded[:, padding : padding + height, padding : padding + width]
    # end
