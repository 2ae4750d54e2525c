"""The backward sweep: the chain rule, one operation after the other, each after its users.

A node of the graph is a Context, one recorded operation, or a leaf, which no operation made. Three
things matter here. The order: a node comes after everything that used its result, because only then
is its gradient complete; recursion ("ask each parent") would visit a node once per path,
which is exponential in a residual network's depth, and would overflow Python's stack. Ownership:
a skip connection hands one gradient *array* to two branches, so a sum may be written in place only
into an array that the sweep itself has made. And memory: a node lets go of its arrays as soon as
the sweep has passed it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..kernels.backward_link import nothing
from ..kernels.devices import as_array, namespace
from .function import Array, Context

if TYPE_CHECKING:
    from .tensor import Tensor


@np.errstate(under="ignore")  # a gradient that underflows is 0, whatever np.seterr says
def backward(tensor: Tensor, grad: Array, *, retain_graph: bool = False) -> None:
    """Add the gradients of `tensor`, weighted by `grad`, to its leaves; see Tensor.backward."""
    if not tensor.requires_grad:
        raise RuntimeError(
            "backward: nothing that this tensor was computed from requires a gradient: make a "
            "Tensor with requires_grad=True, and compute outside no_grad()"
        )
    sums = GradientSums()
    root = tensor.context or tensor
    sums.add(root, grad)
    for node in users_first(root):
        grad = sums.pop(node)
        node.hooks.call(grad)
        if not isinstance(node, Context):
            node.accumulate(grad)
            continue
        # a fused kernel may fetch what its first input has gathered so far, and add to it in one
        # pass (kernels/backward_link.py); all others ignore this
        node.take_grad_so_far = partial(sums.take, node.parents[0])
        for parent, parent_grad in gradients_of_inputs(node, grad):
            sums.add(parent, parent_grad)
        node.take_grad_so_far = nothing
        if not retain_graph:
            node.release()


def users_first(root: Context | Tensor) -> Iterator[Context | Tensor]:
    """Every node that gradients reach, each after all the nodes that used its result.

    Kahn's algorithm: linear in the number of nodes and edges. A node's parents are read before the
    node is yielded, so the sweep may release it.
    """
    uses_left = count_uses(root)
    ready = [root]
    while ready:
        node = ready.pop()
        parents = parents_of(node)
        yield node
        for parent in parents:
            uses_left[parent] -= 1
            if not uses_left[parent]:
                ready.append(parent)


def count_uses(root: Context | Tensor) -> Counter[Context | Tensor]:
    """How many times each node's result was used on the way to the root."""
    uses: Counter[Context | Tensor] = Counter()
    seen, to_visit = {root}, [root]
    while to_visit:
        parents = parents_of(to_visit.pop())
        uses.update(parents)
        for parent in parents:
            if parent not in seen:
                seen.add(parent)
                to_visit.append(parent)
    return uses


def parents_of(node: Context | Tensor) -> list[Context | Tensor]:
    """The nodes that gradients go to from here, once per use; none from a leaf."""
    if not isinstance(node, Context):
        return []
    if node.released:
        raise RuntimeError(
            f"backward: the graph has been freed at {node.function.__name__}, by an earlier "
            "backward(): compute the result anew, or call the first backward(retain_graph=True)"
        )
    return [parent for parent in node.parents if parent is not None]


def gradients_of_inputs(node: Context, grad: Array) -> Iterator[tuple[Context | Tensor, Array]]:
    """Run a node's backward; pairs of parent and gradient, checked for shape and dtype."""
    grads = node.function.backward(node, grad)
    grads = grads if isinstance(grads, tuple) else (grads,)
    name = node.function.__name__
    if len(grads) != len(node.parents):
        raise ValueError(
            f"{name}.backward returned {len(grads)} gradients for {len(node.parents)} inputs"
        )
    for position, (parent, parent_grad) in enumerate(zip(node.parents, grads, strict=True)):
        if parent is None:
            continue
        check_gradient(name, position, parent_grad, node.dtypes[position], node.shapes[position])
        yield parent, as_array(parent_grad)


def check_gradient(
    name: str, position: int, grad: Array | None, dtype: np.dtype, shape: tuple[int, ...] | None
) -> None:
    """A gradient has the shape and dtype of what it is the gradient of."""
    if grad is None or grad.shape != shape or grad.dtype != dtype:
        came = "None" if grad is None else f"{grad.shape} {grad.dtype}"
        raise ValueError(
            f"{name}.backward: the gradient of input {position} must be {shape} {dtype}, "
            f"but is {came}"
        )


class GradientSums:
    """The gradients gathered so far, each with whether its array is the sweep's own."""

    def __init__(self) -> None:
        self.sums: dict[Context | Tensor, tuple[Array, bool]] = {}

    def add(self, node: Context | Tensor, grad: Array) -> None:
        """Add one contribution; only an array made here is ever written into."""
        if node not in self.sums:
            self.sums[node] = (grad, False)
            return
        total, owned = self.sums[node]
        total = as_array(namespace(total).add(total, grad, out=total if owned else None))
        self.sums[node] = (total, True)

    def take(self, node: Context | Tensor | None) -> Array | None:
        """What a node has gathered so far, no longer kept here: the caller must add it to its own.

        For fused kernels alone; None if there is nothing yet, or the node wants no gradient.
        """
        return self.sums.pop(node, (None, False))[0] if node is not None else None

    def pop(self, node: Context | Tensor) -> Array:
        """The complete gradient of a node, no longer kept here."""
        return self.sums.pop(node)[0]
