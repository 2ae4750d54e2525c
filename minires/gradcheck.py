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

from .autograd import Tensor, no_grad

STEP = 1e-5  # near the cube root of float64's epsilon: truncation and rounding both about 1e-10


class GradcheckError(AssertionError):
    """A derivative does not agree with the function; the text names the input and the element."""


class KinkError(ValueError):
    """The function is not differentiable at the given point, so nothing can be checked there."""


@dataclass(frozen=True)
class Comparison:
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

    comparisons: tuple[Comparison, ...]

    @property
    def worst(self) -> dict[str, Comparison]:
        """The comparison with the largest error, by input."""
        ordered = sorted(self.comparisons, key=lambda c: np.nan_to_num(c.error, nan=np.inf))
        return {c.name: c for c in ordered}

    @property
    def wrong(self) -> list[Comparison]:
        """Comparisons that do not agree; NaN never does."""
        return [c for c in self.comparisons if not c.error <= 1]

    def __str__(self) -> str:
        return "\n".join(f"{'ok ' if c.error <= 1 else 'BAD'} {c}" for c in self.worst.values())


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
            mean square derivative (rounding of the differences is allowed for besides).
        max_elements: how many elements of each input are compared one by one.

    Raises:
        GradcheckError: a derivative is wrong; the text is the report.
        KinkError: `f` has a kink at the given point.
        TypeError: an input is not float64.
    """
    tensors = [as_leaf(value, name) for value, name in zip(inputs, names(f, inputs), strict=True)]
    check = Check(f, tensors, rng, tolerance)
    comparisons = [c for tensor in tensors for c in check.compare(tensor, max_elements)]
    report = GradcheckReport(tuple(comparisons))
    if report.wrong:
        raise GradcheckError(f"the gradient is wrong:\n{report}")
    return report


def names(f: Callable[..., Tensor], inputs: tuple[Any, ...]) -> list[str]:
    """What to call each input: its own name, else the parameter of `f`, else its number."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    known = [p.name for p in parameters if p.kind != p.VAR_POSITIONAL]
    numbered = [f"input {i}" for i in range(len(known), len(inputs))]
    by_position = (known + numbered)[: len(inputs)]
    return [getattr(x, "name", "") or n for x, n in zip(inputs, by_position, strict=True)]


def as_leaf(value: Tensor | np.ndarray, name: str) -> Tensor:
    """A float64 tensor that collects a gradient."""
    tensor = value if isinstance(value, Tensor) else Tensor(np.array(value))
    if tensor.dtype != np.float64:
        raise TypeError(
            f"gradcheck: input '{name}' is {tensor.dtype}, but differences need float64: "
            "convert with .astype(np.float64)"
        )
    tensor.requires_grad, tensor.name, tensor.grad = True, name, None
    return tensor


class Check:
    """L = sum(c * f(inputs)) with its gradient, ready to be probed."""

    def __init__(
        self,
        f: Callable[..., Tensor],
        tensors: list[Tensor],
        rng: np.random.Generator,
        tolerance: float,
    ) -> None:
        self.f, self.tensors, self.rng, self.tolerance = f, tensors, rng, tolerance
        result = f(*tensors)
        self.cotangent = rng.standard_normal(result.shape)
        weighted = np.abs(self.cotangent * result.data).sum()
        self.rounding = 64 * np.finfo(np.float64).eps * (1 + weighted) / STEP
        result.backward(self.cotangent)

    def compare(self, tensor: Tensor, max_elements: int) -> list[Comparison]:
        """Some elements of one input, then the whole of it along a random direction."""
        grad = np.zeros(tensor.shape) if tensor.grad is None else tensor.grad
        scale = np.sqrt(np.mean(grad**2)) if grad.size else 0.0
        chosen = self.rng.permutation(grad.size)[:max_elements]
        comparisons = []
        for index in (np.unravel_index(i, grad.shape) for i in np.sort(chosen)):
            direction = np.zeros(grad.shape)
            direction[index] = 1.0
            place = tuple(map(int, index))
            comparisons.append(self.along(tensor, direction, place, float(grad[index]), scale))
        direction = self.rng.standard_normal(grad.shape) / np.sqrt(max(grad.size, 1))
        slope = float((grad * direction).sum())
        return [*comparisons, self.along(tensor, direction, "random direction", slope, scale)]

    def along(
        self, tensor: Tensor, direction: np.ndarray, place: Any, analytic: float, scale: float
    ) -> Comparison:
        """Both derivatives along a direction; raises KinkError if that is why they differ."""
        numeric = (self.shifted(tensor, direction, 1) - self.shifted(tensor, direction, -1)) / (
            2 * STEP
        )
        size = max(abs(numeric), abs(analytic), scale)
        allowed = self.tolerance * size + self.rounding
        comparison = Comparison(tensor.name, place, float(analytic), numeric, float(allowed))
        if comparison.error > 1 and self.has_kink(tensor, direction, allowed):
            raise KinkError(
                f"{comparison}. But the function itself has a kink within {STEP:g} of there, so it "
                "has no derivative: move the inputs away from it (a ReLU's from 0, a pool's from "
                "ties)"
            )
        return comparison

    def shifted(self, tensor: Tensor, direction: np.ndarray, steps: float) -> float:
        """L with one input moved along a direction."""
        original = tensor.data
        tensor.data = original + steps * STEP * direction
        try:
            with no_grad():
                return float((self.cotangent * self.f(*self.tensors).data).sum())
        finally:
            tensor.data = original

    def has_kink(self, tensor: Tensor, direction: np.ndarray, allowed: float) -> bool:
        """Whether the slopes left and right of the point differ by more than curvature explains.

        Between the two sides a smooth function's slope changes in proportion to the step, a kink's
        by a jump: so a smooth function doubles its change when the step doubles.
        """

        def change(steps: float) -> float:
            left, right = (self.shifted(tensor, direction, side * steps) for side in (-1, 1))
            middle = self.shifted(tensor, direction, 0)
            return abs(right - 2 * middle + left) / (steps * STEP)

        changes = [change(steps) for steps in (1, 2, 4)]
        smooth = all(1.8 * a < b < 2.2 * a for a, b in itertools.pairwise(changes))
        return changes[0] > allowed and not smooth
