"""Convolution: the gradient of the input.

    y[n, r, c, k] = sum over i, j, c_in of
                    padded[n, stride * r + i, stride * c + j, c_in] * weight[i, j, c_in, k]

x (N, H, W, C_in), weight (kh, kw, C_in, C_out), y (N, OH, OW, C_out). As everywhere in deep
learning, the kernel is not flipped. The forward pass is given below: im2col, then one product of
matrices.

You may use im2col and col2im of the engine, as the forward pass does, or do without.

The question to ask: to which elements of y does one pixel of x contribute, and with which weight?
dx does not depend on x itself, for y is linear in x. So you are given x's shape only.
"""

import numpy as np

from minires.kernels import col2im, im2col


def conv2d(x, weight, stride, padding):
    """The forward pass, given: x (N, H, W, C_in) -> y (N, OH, OW, C_out)."""
    columns = im2col(x, kernel_size=weight.shape[:2], stride=stride, padding=padding)
    return columns @ weight.reshape(-1, weight.shape[3])


def conv2d_input_grad(dy, weight, x_shape, stride, padding):
    """The gradient of conv2d with respect to x.

    dy (N, OH, OW, C_out), weight (kh, kw, C_in, C_out).  Returns dx, of shape x_shape.

    col2im(dcolumns, x_shape=..., kernel_size=..., stride=..., padding=...) adds windows back.
    """
    # solution
    dcolumns = dy @ weight.reshape(-1, weight.shape[3]).T
    kernel_size = weight.shape[:2]
    return col2im(
        dcolumns, x_shape=x_shape, kernel_size=kernel_size, stride=stride, padding=padding
    )
    # end
