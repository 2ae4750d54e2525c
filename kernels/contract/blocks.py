"""A convolution and its batch norm as one operation, and a residual block."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .. import checks
from ..backward_link import NO_LINKS, Links
from ..dispatch import implementation_for, kernel
from ..records import ConvNorm, SavedNorm
from ..running import Running

Array = npt.NDArray[np.floating]


@kernel
def conv2d_batch_norm(
    x: Array,
    layer: ConvNorm,
    *,
    residual: Array | None = None,
    relu: bool = False,
    running: Running | None = None,
) -> tuple[Array, SavedNorm]:
    """`batch_norm` of `conv2d` in fewer passes over memory: `(y, saved)`.

    y is (N, OH, OW, C_out), `residual` is shaped as y; `saved` is what the gradient needs. It
    includes y if `relu` is set.
    """
    shape = checks.conv2d_batch_norm(x, layer, residual=residual)
    checks.several_values(shape)
    checks.running(layer.gamma, running)
    return implementation_for(x, residual, parameters=layer.arrays)


@kernel
def conv2d_batch_norm_grad(
    dy: Array,
    x: Array,
    layer: ConvNorm,
    saved: SavedNorm,
    *,
    needs_dx: bool = True,
    needs_dresidual: bool = True,
    links: Links = NO_LINKS,
) -> tuple[Array | None, Array, Array, Array, Array | None]:
    """Gradients of `conv2d_batch_norm`: `(dx, dweight, dgamma, dbeta, dresidual)`.

    What is not needed is None. With a link to the next operation, dy may come masked and with its
    sums gathered, and its array is reused. With a link to the operation before, dx may be made in
    that way. See `backward_link.py`. An implementation may ignore all links.
    """
    z, mean, var, y = saved
    checks.conv2d_batch_norm(x, layer, mean, var, dy=dy, y=y, z=z)
    linked = checks.link_of_input(x, links.of_input)
    maps, statistics = (dy, x, z, y, *linked[:1]), (mean, var, *linked[1:])
    return implementation_for(*maps, parameters=(*layer.arrays, *statistics))


@kernel
def conv2d_batch_norm_eval(
    x: Array,
    layer: ConvNorm,
    mean: Array,
    var: Array,
    *,
    residual: Array | None = None,
    relu: bool = False,
) -> Array:
    """`batch_norm_eval` of `conv2d` in one pass over memory: the result y alone."""
    checks.conv2d_batch_norm(x, layer, mean, var, residual=residual)
    return implementation_for(x, residual, parameters=(*layer.arrays, mean, var))


@kernel
def basic_block(
    x: Array,
    first: ConvNorm,
    second: ConvNorm,
    *,
    skip: bool,
    running: tuple[Running | None, Running | None] = (None, None),
) -> tuple[Array, tuple[SavedNorm, SavedNorm]]:
    """Two 3 x 3 convolutions with batch norm and ReLU, padding 1, the first one with a stride.

    y = relu(norm2(conv2(relu(norm1(conv1(x))))) + shortcut(x)), where the shortcut is x itself or,
    if the shape changes, `subsample_and_pad` of x: shortcut A. If `skip` is False, there is no
    shortcut: the plain twin. Returns `(y, saved)`; `saved` holds what the gradient needs, for each
    convolution. The `running` statistics, if given, move. He et al. 2015, fig. 2 and sec. 3.3.
    """
    checks.basic_block(x, first, second, skip)
    checks.running(first.gamma, *running)
    return implementation_for(x, parameters=(*first.arrays, *second.arrays))


@kernel
def basic_block_grad(
    dy: Array,
    x: Array,
    first: ConvNorm,
    second: ConvNorm,
    saved: tuple[SavedNorm, SavedNorm],
    *,
    skip: bool,
    needs_dx: bool = True,
    links: Links = NO_LINKS,
) -> tuple[Array | None, Array, Array, Array, Array, Array, Array]:
    """Gradients of `basic_block`, from what it saved.

    `(dx, dweight1, dgamma1, dbeta1, dweight2, dgamma2, dbeta2)`; dx is None if not needed. `links`
    as in `conv2d_batch_norm_grad`.
    """
    (z1, mean1, var1, _), (z2, mean2, var2, y) = saved
    checks.basic_block(x, first, second, skip, dy=dy, y=y, z1=z1, z2=z2)
    checks.channels("the block's result", y.shape, mean1, var1, mean2, var2)
    linked = checks.link_of_input(x, links.of_input)
    maps, statistics = (dy, x, z1, z2, y, *linked[:1]), (mean1, var1, mean2, var2, *linked[1:])
    parameters = (*first.arrays, *second.arrays, *statistics)
    return implementation_for(*maps, parameters=parameters)
