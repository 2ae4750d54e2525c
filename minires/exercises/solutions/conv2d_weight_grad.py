"""Convolution: the gradient of the weight.

    y[n, r, c, k] = sum over i, j, c_in of
                    padded[n, stride * r + i, stride * c + j, c_in] * weight[i, j, c_in, k]

x (N, H, W, C_in), weight (kh, kw, C_in, C_out), y (N, OH, OW, C_out). The forward pass is given
below.

One element of the weight is used at every pixel of every image: its gradient is a long sum. With
im2col the convolution is the linear layer that you have already differentiated, of a matrix with
one row for each output pixel.
"""

import numpy as np

from minires.kernels import im2col


def conv2d(x, weight, stride, padding):
    """The forward pass, given: x (N, H, W, C_in) -> y (N, OH, OW, C_out)."""
    columns = im2col(x, kernel_size=weight.shape[:2], stride=stride, padding=padding)
    return columns @ weight.reshape(-1, weight.shape[3])


def conv2d_weight_grad(dy, x, kernel_size, stride, padding):
    """The gradient of conv2d with respect to weight.

    dy (N, OH, OW, C_out), x (N, H, W, C_in).  Returns dweight (kh, kw, C_in, C_out).
    """
    # solution
    columns = im2col(x, kernel_size=kernel_size, stride=stride, padding=padding)
    matrix, dmatrix = columns.reshape(-1, columns.shape[3]), dy.reshape(-1, dy.shape[3])
    return (matrix.T @ dmatrix).reshape(*kernel_size, x.shape[3], dy.shape[3])
    # end
