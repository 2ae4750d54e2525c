"""SGD with momentum and weight decay: what the gradients are for.

One step changes a parameter and its velocity, an array of the same shape that remembers past
gradients and is zero at the start:

    new_velocity  = momentum * velocity  +  gradient  +  weight_decay * parameter
    new_parameter = parameter - lr * new_velocity

This is the convention of PyTorch, and of the paper's own code while lr does not change. Others
exist, and differ: (1 - momentum) before the gradient makes the effective learning rate ten times
smaller at momentum 0.9, and lr inside of the velocity gives other steps after lr has dropped.

Weight decay is the gradient of weight_decay / 2 * (parameter ** 2).sum(), so it belongs where the
gradient is: in the velocity.

The check takes several steps with changing lr, and does not let you change the arrays in place.
"""

import numpy as np


def sgd_step(parameter, grad, velocity, lr, momentum, weight_decay):
    """One step; parameter, grad and velocity are arrays of one shape, the rest are numbers.

    Returns (new_parameter, new_velocity).
    """
    # solution
    new_velocity = momentum * velocity + grad + weight_decay * parameter
    return parameter - lr * new_velocity, new_velocity
    # end
