"""The contract of all kernels, by subject: what goes in, what comes out, what is refused.

    convolution.py   im2col, col2im, conv2d and its gradients
    batch_norm.py    by the batch's statistics or by given ones, and gradients; running statistics
    blocks.py        a convolution and its batch norm as one, and a residual block
    maps.py          relu, pooling, shortcut A, and the product of matrices
    training.py      loss, counting, step, augmentation

`minires.kernels` has all of them under their names. Each is a function whose text says what every
implementation does, and whose body checks the arguments (`../checks`) and names the arrays that
decide who implements it. `@kernel` (`../dispatch.py`) makes a kernel of that: it runs the body
first, then calls the implementation with the same arguments.
"""
