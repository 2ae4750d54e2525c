"""Is a derivative right? Compare it with differences of the function itself.

The result of `f` is weighted by a random cotangent c, so that what is differentiated is
L = sum(c * f(x)). The weights must be random: with ones, batch norm's true gradient is exactly
zero (the sum of normalised values is constant) and every wrong derivative of it passes. For each
input, elements are compared one by one, and the whole input along one random direction. Central
differences in float64 are good to about nine digits, except where f has a kink within reach (a
ReLU at 0): there no derivative exists, and that is what the error says.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..common.expecting import expects
from ..kernels.devices import as_array, move, to_host
from .accepting import array_of
from .function import no_grad
from .tensor import Tensor

STEP = 1e-5  # near the cube root of float64's epsilon: truncation and rounding both about 1e-10
SHARP = 1e-3  # slopes left and right that differ by this part of their size look like a kink's


class GradcheckError(AssertionError):
    """A derivative does not agree with the function; the text names the input and the element."""


class KinkError(ValueError):
    """The function is not differentiable at the given point, so nothing can be checked there."""


@dataclass(frozen=True)
class DerivativeComparison:
    """One derivative, both ways. `place` is an index into the input, or "random direction"."""

    name: str
    place: Any
    analytic: float
    numeric: float
    tolerance: float

    @property
    def error(self) -> float:
        """Distance of the two derivatives, in units of what is tolerated."""
        return abs(self.analytic - self.numeric) / self.tolerance

    def __str__(self) -> str:
        return (
            f"input '{self.name}' at {self.place}: backward says {self.analytic:.10g}, "
            f"differences say {self.numeric:.10g}"
        )


@dataclass(frozen=True)
class GradcheckReport:
    """All comparisons of one check; `print(report)` shows the worst of each input."""

    comparisons: tuple[DerivativeComparison, ...]

    @property
    def worst(self) -> dict[str, DerivativeComparison]:
        """The comparison with the largest error, by input."""
        ordered = sorted(self.comparisons, key=lambda c: np.nan_to_num(c.error, nan=np.inf))
        by_name = {c.name: c for c in ordered}
        return {name: by_name[name] for name in dict.fromkeys(c.name for c in self.comparisons)}

    @property
    def wrong(self) -> list[DerivativeComparison]:
        """Comparisons that do not agree; NaN never does."""
        return [c for c in self.comparisons if not c.error <= 1]

    def __str__(self) -> str:
        return "\n".join(f"{'ok ' if c.error <= 1 else 'BAD'} {c}" for c in self.worst.values())


@expects(f=Callable, rng=np.random.Generator)
def gradcheck(
    f: Callable[..., Tensor],
    *inputs: Tensor | np.ndarray,
    rng: np.random.Generator,
    tolerance: float = 1e-6,
    max_elements: int = 50,
) -> GradcheckReport:
    """Compare the backward pass of `f` with differences, for every input.

    Args:
        f: takes tensors, returns a tensor of any shape; must be the same function at each call.
        inputs: float64 arrays or tensors (tensors are used as they are, so parameters of a model
            that `f` closes over may be given too).
        rng: draws the cotangent, the directions and, in large inputs, the elements.
        tolerance: allowed error, relative to the larger of the derivative and the input's root
            mean square derivative; rounding of the differences is allowed on top.
        max_elements: how many elements of each input are compared one by one.

    Raises:
        GradcheckError: a derivative is wrong; the text is the report.
        KinkError: `f` has a kink at the given point.
        TypeError: an input is not float64, or `f` returns something else than a tensor.
        ValueError: an input was computed from other tensors, or `f` gives another result each time.

    Gradients of tensors that are given, and whether they want one, are afterwards as before.
    """
    tensors = [x for x in inputs if isinstance(x, Tensor)]
    before = [(t.requires_grad, t.grad) for t in tensors]
    try:
        return compared(f, inputs, rng, tolerance, max_elements)
    finally:
        for tensor, (wants_one, grad) in zip(tensors, before, strict=True):
            tensor.requires_grad, tensor.grad = wants_one, grad


def compared(
    f: Callable[..., Tensor],
    inputs: tuple[Tensor | np.ndarray, ...],
    rng: np.random.Generator,
    tolerance: float,
    max_elements: int,
) -> GradcheckReport:
    """See `gradcheck`."""
    leaves = {
        name: as_leaf(value, name) for value, name in zip(inputs, names(f, inputs), strict=True)
    }
    check = WeightedSum(f, leaves, rng, tolerance)
    comparisons = [c for name in leaves for c in check.compare(name, max_elements)]
    report = GradcheckReport(tuple(comparisons))
    if report.wrong:
        raise GradcheckError(f"the gradient is wrong:\n{report}")
    return report


def names(f: Callable[..., Tensor], inputs: tuple[Any, ...]) -> list[str]:
    """What to call each input: its own name, else the parameter of `f`, else its number.

    No two are alike.
    """
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    known = [p.name for p in parameters if p.kind != p.VAR_POSITIONAL]
    numbered = [f"input {i}" for i in range(len(known), len(inputs))]
    by_position = (known + numbered)[: len(inputs)]
    own = [getattr(x, "name", "") or n for x, n in zip(inputs, by_position, strict=True)]
    return [n if own.count(n) == 1 else f"{n} (input {i})" for i, n in enumerate(own)]


def as_leaf(value: Tensor | np.ndarray, name: str) -> Tensor:
    """A float64 tensor that collects a gradient."""
    tensor = value if isinstance(value, Tensor) else Tensor(array_of(value).copy())
    if tensor.dtype != np.float64:
        raise TypeError(
            f"gradcheck: input '{name}' is {tensor.dtype}, but differences need float64: "
            "convert with .astype(np.float64)"
        )
    if tensor.context is not None:
        raise ValueError(
            f"gradcheck: input '{name}' was computed from other tensors, so it collects no "
            "gradient: pass .detach() of it"
        )
    tensor.requires_grad, tensor.grad = True, None
    return tensor


class WeightedSum:
    """L = sum(c * f(inputs)) with its gradient, ready to be probed."""

    def __init__(
        self,
        f: Callable[..., Tensor],
        leaves: dict[str, Tensor],
        rng: np.random.Generator,
        tolerance: float,
    ) -> None:
        self.f, self.leaves, self.rng, self.tolerance = f, leaves, rng, tolerance
        result = self.same_each_time()
        self.cotangent = rng.standard_normal(result.shape)
        weighted = self.cotangent * to_host(result.data)
        self.value = float(weighted.sum())
        self.rounding = 64 * np.finfo(np.float64).eps * (1 + np.abs(weighted).sum()) / STEP
        result.backward(move(self.cotangent, result.device))

    def same_each_time(self) -> Tensor:
        """The result of `f`, once it is known that it is a tensor and no random one."""
        result = self.f(*self.leaves.values())
        if not isinstance(result, Tensor):
            raise TypeError(
                f"gradcheck: f must return a Tensor, but returned {type(result).__name__}"
                + (": return one of them" if isinstance(result, tuple) else "")
            )
        with no_grad():
            again = self.f(*self.leaves.values())
        if not np.array_equal(to_host(result.data), to_host(again.data), equal_nan=True):
            raise ValueError(
                "gradcheck: f gives another result each time, so differences say nothing: "
                "draw random numbers outside of it, and leave dropout in evaluation"
            )
        return result

    def compare(self, name: str, max_elements: int) -> list[DerivativeComparison]:
        """Some elements of one input, then the whole of it along a random direction."""
        shape, grad = self.leaves[name].shape, self.leaves[name].grad
        grad = np.zeros(shape) if grad is None else to_host(grad)
        chosen = np.sort(self.rng.permutation(grad.size)[:max_elements])
        directions: list[tuple[Any, np.ndarray]] = [
            (tuple(map(int, np.unravel_index(i, shape))), one_at(i, shape)) for i in chosen
        ]
        random = self.rng.standard_normal(shape) / np.sqrt(max(grad.size, 1))
        directions.append(("random direction", random))
        scale = np.sqrt(np.mean(grad**2)) if grad.size else 0.0
        return [
            self.along(name, direction, place, float((grad * direction).sum()), scale)
            for place, direction in directions
        ]

    def along(
        self, name: str, direction: np.ndarray, place: Any, analytic: float, scale: float
    ) -> DerivativeComparison:
        """Both derivatives along a direction; raises KinkError if there is none."""
        left, right = (self.shifted(name, direction, side) for side in (-1, 1))
        numeric = (right - left) / (2 * STEP)
        size = max(abs(numeric), abs(analytic), scale)
        allowed = self.tolerance * size + self.rounding
        comparison = DerivativeComparison(name, place, analytic, numeric, float(allowed))
        bend = abs(right - 2 * self.value + left) / STEP
        suspicious = comparison.error > 1 or bend > SHARP * size
        if suspicious and self.has_kink(name, direction, allowed):
            raise KinkError(
                f"{comparison}. But the function itself has a kink within {STEP:g} of there, so it "
                "has no derivative: move the inputs away from it (a ReLU's from 0, a pool's from "
                "ties)"
            )
        return comparison

    def shifted(self, name: str, direction: np.ndarray, steps: float) -> float:
        """L with one input moved along a direction."""
        tensor = self.leaves[name]
        original = tensor.data
        tensor.data = as_array(original + move(steps * STEP * direction, tensor.device))
        try:
            with no_grad():
                result = to_host(self.f(*self.leaves.values()).data)
                return float((self.cotangent * result).sum())
        finally:
            tensor.data = original

    def has_kink(self, name: str, direction: np.ndarray, allowed: float) -> bool:
        """Whether the slopes left and right of the point differ by more than curvature explains.

        Between the two sides a smooth function's slope changes in proportion to the step, a kink's
        by a jump: so a smooth function doubles its change when the step doubles.
        """

        def change(steps: float) -> float:
            left, right = (self.shifted(name, direction, side * steps) for side in (-1, 1))
            return abs(right - 2 * self.value + left) / (steps * STEP)

        changes = [change(steps) for steps in (1, 2, 4)]
        smooth = all(1.8 * a < b < 2.2 * a for a, b in itertools.pairwise(changes))
        return changes[0] > allowed and not smooth


def one_at(index: int, shape: tuple[int, ...]) -> np.ndarray:
    """Zeros with a single 1."""
    direction = np.zeros(shape)
    direction.flat[index] = 1.0
    return direction
