"""What a step launches on a GPU: each kernel of minires, with the work that its arrays tell.

A kernel's bytes are those of its arrays, each once: what any program must move. The operations of
products are counted as for the direct convolution.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from minires.kernels.cuda import launch as launching

Arrays = list[Any]


class Launch(NamedTuple):
    """A kernel that was started."""

    kernel: str  # its name expression, such as relu<float, 4>
    shape: tuple[int, ...]  # of the largest of its arrays
    operations: int  # multiplications and additions of a product, else 0
    bytes: int


@contextlib.contextmanager
def watched(dry: bool = False) -> Iterator[list[Launch]]:
    """Collects what is launched meanwhile; `dry` launches nothing, so that results are garbage."""
    seen: list[Launch] = []
    real = launching.function

    def function(cupy: Any, module: str, kernel: str) -> Callable[..., None]:
        run = None if dry else real(cupy, module, kernel)

        def start(grid: tuple[int, ...], block: tuple[int, ...], arguments: Any, **more: Any):
            seen.append(describe(kernel, [a for a in arguments if hasattr(a, "nbytes")]))
            if run:
                run(grid, block, arguments, **more)

        return start

    launching.function = function
    try:
        yield seen
    finally:
        launching.function = real


def describe(kernel: str, arguments: Arrays) -> Launch:
    """A launch; NumPy's scalars have a size too, but no shape."""
    arrays = [a for a in arguments if a.shape]
    touched = [a for a in arrays if a.dtype != COUNTERS]
    shape = max((a.shape for a in touched), key=math.prod, default=())
    return Launch(kernel, shape, operations(kernel, arrays), sum(a.nbytes for a in touched))


def operations(kernel: str, arrays: Arrays) -> int:
    """Twice the multiplications of a product; 0 for a kernel that is none, or is not known."""
    for name, count in PRODUCTS.items():
        if kernel.startswith(name):
            try:
                return 2 * count(*(a.shape for a in arrays[:3]))
            except (IndexError, TypeError, ValueError):  # arguments that this file does not know
                return 0
    return 0


def of_weight_grad(dy: Any, _: Any, target: Any) -> int:
    """Every pixel of dy meets a window."""
    return math.prod(dy) * math.prod(target[:3])


def of_gemm(a: Any, _: Any, c: Any) -> int:
    """All of m x k, for each of the n columns."""
    return math.prod(a) * c[-1]


COUNTERS = "uint32"  # of arrivals: there are many, of which a kernel uses a few
PRODUCTS: dict[str, Callable[..., int]] = {  # by how a kernel's name begins; the longest first
    "conv2d_weight_grad": of_weight_grad,
    "conv2d_input_grad": lambda dy, weight, *_: math.prod(dy) * math.prod(weight[:3]),
    "conv2d": lambda x, weight, y: math.prod(y) * math.prod(weight[:3]),
    "conv3x3_weight_grad": of_weight_grad,
    "conv3x3_input_grad": lambda dy, weight, *_: math.prod(dy) * math.prod(weight[:3]),
    "conv3x3": lambda x, weight, y: math.prod(y) * math.prod(weight[:3]),
    "gemm": of_gemm,
}
