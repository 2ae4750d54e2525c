"""Addition, and with it the skip connection.

    y = a + b

A sum looks too simple for an exercise. But it is the operation that makes a network residual, and
the one where programs that are right on paper go wrong: through arrays that are shared.

Part 1. Write the sum and its gradients. Code that receives da may add to it in place, and db and dy
must not change with it: so da, db and dy must be three arrays, not three names for one.

Part 2. A residual block computes

    y = F(x) + x

where F is the branch, some layers. x is used twice, so its gradient has two parts, which add up.
You are given branch_grad, the gradient of F: branch_grad(dy) returns dy times the derivative of F.
It saves memory by working in place: it may overwrite the array that you hand it.
"""

import numpy as np


def add(a, b):
    """The sum of two arrays of the same shape, as a new array."""
    # solution
    return a + b
    # end


def add_grad(dy):
    """The gradients of add.

    dy: dL/dy.  Returns (da, db), two arrays of dy's shape that share no memory.
    """
    # solution
    return dy.copy(), dy.copy()
    # end


def skip_grad(dy, branch_grad):
    """The gradient of y = F(x) + x.

    dy: dL/dy;  branch_grad: a function, see above.  Returns dx, of the same shape.
    """
    # solution
    return branch_grad(dy.copy()) + dy
    # end
