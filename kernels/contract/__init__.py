"""The contract of all kernels, by subject: what goes in, what comes out, what is refused.

    convolution.py   im2col, col2im, conv2d and its gradients
    batch_norm.py    with the batch's statistics or given ones, and gradients; running statistics
    blocks.py        a convolution and its batch norm as one, and a residual block
    maps.py          relu, pooling, shortcut A, and the matrix product
    regions.py       RoI align, RoI max pooling, suppression of boxes
    training.py      loss, counting, step, augmentation

`minires.kernels` exports all of them. Each is a function whose text says what every implementation
does. Its body checks the arguments (`../checks`) and names the arrays that decide which module
implements it. `@kernel` (`../dispatch.py`) makes a kernel of it: it runs the body first, then calls
the implementation with the same arguments.
"""
