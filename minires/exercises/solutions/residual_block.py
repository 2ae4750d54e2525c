"""The residual block: all that you have written, in one piece.

    z1 = conv2d(x, weight1)          a = relu(batch_norm(z1, gamma1, beta1))
    z2 = conv2d(a, weight2)          y = relu(batch_norm(z2, gamma2, beta2) + x)

He et al. 2015, fig. 2. Both convolutions are 3 x 3 with padding 1 and stride 1, from C channels to
C channels, so x can be added to the branch's result as it is. Note where the second ReLU stands:
after the addition. Batch norm is in training: it uses the batch's own mean and variance.

You wrote all the parts. Here you use the engine's, so that an old mistake does not count twice:

    conv2d(x, weight, padding=1)                             -> y
    conv2d_input_grad(dy, weight, x_shape=..., padding=1)    -> dx
    conv2d_weight_grad(dy, x, kernel_size=..., padding=1)    -> dweight
    batch_norm(x, gamma, beta, eps=...)                      -> y, mean, var
    batch_norm_grad(dy, x, gamma, mean, var, eps=...)        -> dx, dgamma, dbeta, _
    relu(x)                                                  -> y
    relu_grad(dy, y)                                         -> dx     (takes relu's *output*)

The way back: go through the lines from the last to the first. Wherever a value was used twice, add
the two gradients.
"""

import numpy as np

from minires.kernels import (
    batch_norm,
    batch_norm_grad,
    conv2d,
    conv2d_input_grad,
    conv2d_weight_grad,
    relu,
    relu_grad,
)


def residual_block(x, weight1, gamma1, beta1, weight2, gamma2, beta2, eps):
    """x (N, H, W, C); weights (3, 3, C, C); gammas and betas (C,).  Returns y (N, H, W, C)."""
    # solution
    z1 = conv2d(x, weight1, padding=1)
    a = relu(batch_norm(z1, gamma1, beta1, eps=eps)[0])
    z2 = conv2d(a, weight2, padding=1)
    return relu(batch_norm(z2, gamma2, beta2, eps=eps)[0] + x)
    # end


def residual_block_grad(dy, x, weight1, gamma1, beta1, weight2, gamma2, beta2, eps):
    """The gradients of residual_block, for dy (N, H, W, C).

    Returns (dx, dweight1, dgamma1, dbeta1, dweight2, dgamma2, dbeta2), shaped as the arguments.
    """
    # solution
    z1 = conv2d(x, weight1, padding=1)
    n1, mean1, var1 = batch_norm(z1, gamma1, beta1, eps=eps)
    a = relu(n1)
    z2 = conv2d(a, weight2, padding=1)
    n2, mean2, var2 = batch_norm(z2, gamma2, beta2, eps=eps)
    y = relu(n2 + x)

    dsum = relu_grad(dy, y)
    dz2, dgamma2, dbeta2, _ = batch_norm_grad(dsum, z2, gamma2, mean2, var2, eps=eps)
    dweight2 = conv2d_weight_grad(dz2, a, kernel_size=(3, 3), padding=1)
    da = conv2d_input_grad(dz2, weight2, x_shape=a.shape, padding=1)
    dn1 = relu_grad(da, a)
    dz1, dgamma1, dbeta1, _ = batch_norm_grad(dn1, z1, gamma1, mean1, var1, eps=eps)
    dweight1 = conv2d_weight_grad(dz1, x, kernel_size=(3, 3), padding=1)
    dx = conv2d_input_grad(dz1, weight1, x_shape=x.shape, padding=1) + dsum
    return dx, dweight1, dgamma1, dbeta1, dweight2, dgamma2, dbeta2
    # end
