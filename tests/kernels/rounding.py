"""The reference with maps and weights rounded to bfloat16 where the kernels of the GPU round."""

from minires.kernels import reference
from minires.kernels.dtypes import bfloat16

exact_input_grad = reference.conv2d_input_grad


def rounded(x):
    return x.astype(bfloat16()).astype(x.dtype)


def batch_norm_grad(f):
    """The residual's gradient is the given one, masked: it is rounded already."""

    def rounding(*arrays, **settings):
        dx, *others = f(*arrays, **settings)
        return rounded(dx), *others

    return rounding


def basic_block_grad(_):
    """The sum of the gradients of branch and shortcut is rounded once."""

    def rounding(dy, x, first, second, saved, *, skip, needs_dx=True, links=None):
        (z1, mean1, var1, _), (z2, mean2, var2, y) = saved
        norm1, norm2 = (z1, first.gamma, mean1, var1), (z2, second.gamma, mean2, var2)
        dz2, *affine2, dresidual = reference.batch_norm_grad(dy, *norm2, eps=second.eps, y=y)
        settings = {"eps": first.eps, "relu": True}
        between = reference.batch_norm_eval(*norm1[:2], first.beta, mean1, var1, **settings)
        shape = between.shape
        dbetween = reference.conv2d_input_grad(dz2, second.weight, x_shape=shape, padding=1)
        dz1, *affine1, _ = reference.batch_norm_grad(dbetween, *norm1, eps=first.eps, y=between)
        dx = exact_input_grad(dz1, rounded(first.weight), x_shape=x.shape, **first.geometry)
        if skip:
            dx += reference.subsample_and_pad_grad(dresidual, x_shape=x.shape, stride=first.stride)
        size = {"kernel_size": (3, 3)}
        dweight1 = reference.conv2d_weight_grad(dz1, x, **size, **first.geometry)
        dweight2 = reference.conv2d_weight_grad(dz2, between, **size, padding=1)
        return rounded(dx), dweight1, *affine1, dweight2, *affine2

    return rounding


ROUNDING = {
    "conv2d": lambda f: lambda x, w, **s: rounded(f(rounded(x), rounded(w), **s)),
    "conv2d_input_grad": lambda f: lambda dy, w, **s: rounded(f(dy, rounded(w), **s)),
    "conv2d_weight_grad": lambda f: lambda dy, x, **s: f(dy, rounded(x), **s),
    "batch_norm_eval": lambda f: lambda *a, **s: rounded(f(*a, **s)),
    "batch_norm_grad": batch_norm_grad,
    "basic_block_grad": basic_block_grad,
    "global_avg_pool_grad": lambda f: lambda dy, **s: rounded(f(rounded(dy), **s)),
}


def rounding_reference(monkeypatch):
    """From here on the reference rounds; it calls its own functions, so each rounds in turn."""
    for name, wrap in ROUNDING.items():
        monkeypatch.setattr(reference, name, wrap(getattr(reference, name)))
