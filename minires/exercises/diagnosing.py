"""Which mistake makes these numbers?

First the known mistakes are tried: wrong programs that make the same wrong numbers. Then the output
is taken apart: fitted by least squares as a sum of the right terms, each times a number. A term
times 0 is missing, times -1 it has the wrong sign, times 1/N somebody divided by the batch size.
Every statement holds for all cases that were tried, not for one by accident.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .comparing import close
from .task import Case, Task

ROUNDING = 1e-5  # of a fitted number


@dataclass(frozen=True)
class Answer:
    """One output of one call: the student's, and the right one."""

    case: Case
    got: Any
    right: Any


def diagnose(task: Task, output: str, answers: list[Answer]) -> tuple[str, str]:
    """Name and text of the mistake that explains all answers; empty if none does."""
    for mistake in task.mistakes.get(output, ()):
        if all(makes(mistake, answer) for answer in answers):
            return mistake.__name__, one_line(mistake.__doc__)
    if isinstance(answers[0].right, str):
        return "", ""
    return diagnose_terms(task, output, answers)


def makes(mistake: Callable[..., Any], answer: Answer) -> bool:
    """Whether a wrong program gives the student's numbers; it may fail on odd shapes."""
    try:
        with np.errstate(all="ignore"):
            wrong = mistake(*answer.case.arguments.values())
    except (ValueError, IndexError, TypeError):
        return False
    return wrong == answer.got if isinstance(wrong, str) else same_numbers(answer.got, wrong)


def same_numbers(got: Any, wrong: Any) -> bool:
    """Whether the numbers agree, and NaN and infinity stand at the same places."""
    if np.shape(got) != np.shape(wrong) or np.asarray(got).dtype.kind not in "fiub":
        return False
    finite = np.isfinite(got)
    if not np.array_equal(finite, np.isfinite(wrong)):
        return False
    return close(np.where(finite, got, 0.0), np.where(finite, wrong, 0.0))


def one_line(docstring: str | None) -> str:
    return " ".join((docstring or "").split())


# ------------------------------------------------------------------ an output as a sum of terms


def diagnose_terms(task: Task, output: str, answers: list[Answer]) -> tuple[str, str]:
    """Say which terms carry which wrong factor, if that explains every answer."""
    if not all(np.shape(a.got) == np.shape(a.right) for a in answers):
        return "", ""
    fits = [fit for a in answers if (fit := fit_terms(task, output, a)) is not None]
    if not fits or not all(fit.exact for fit in fits):
        return "", ""
    names = list(fits[0].factors)
    verdicts = {
        name: common_verdict([(fit.factors[name], fit.sizes) for fit in fits]) for name in names
    }
    if None in verdicts.values():
        return "", ""
    return verdicts_in_words(output, {name: str(text) for name, text in verdicts.items()})


@dataclass(frozen=True)
class Fit:
    """The factor of each term in one answer, and whether the terms explain it."""

    factors: dict[str, float]
    exact: bool
    sizes: dict[str, float]


def fit_terms(task: Task, output: str, answer: Answer) -> Fit | None:
    """Least squares; None where the terms can't be told apart."""
    make = task.terms.get(output)
    terms = make(*answer.case.arguments.values()) if make else {"": answer.right}
    matrix = np.stack([np.ravel(term) for term in terms.values()], axis=1).astype(float)
    scales = np.sqrt((matrix**2).mean(0))
    if scales.min() <= ROUNDING * scales.max():
        return None
    if np.linalg.matrix_rank(matrix / scales, ROUNDING) < len(terms):
        return None
    factors = np.linalg.lstsq(matrix / scales, np.ravel(answer.got).astype(float), rcond=None)[0]
    factors = factors / scales
    exact = close((matrix @ factors).reshape(np.shape(answer.got)), answer.got)
    sizes = sizes_of(answer.case.arguments)
    return Fit(dict(zip(terms, map(float, factors), strict=True)), exact, sizes)


def common_verdict(factors: list[tuple[float, dict[str, float]]]) -> str | None:
    """What a term's factors have in common over all cases: "" if they are 1."""
    for text, expected in CANDIDATES:
        if all(near(factor, expected) for factor, _ in factors):
            return text
    shared = set.intersection(*(set(sizes) for _, sizes in factors))
    for name in sorted(shared, key=list(factors[0][1]).index):
        if all(near(factor, 1 / sizes[name]) for factor, sizes in factors):
            return f"is divided by {name}"
        if all(near(factor, sizes[name]) for factor, sizes in factors):
            return f"is multiplied by {name}"
    first = factors[0][0]
    return f"is multiplied by {first:.4g}" if all(near(f, first) for f, _ in factors) else None


CANDIDATES = (
    ("", 1.0),
    ("is missing", 0.0),
    ("has the wrong sign", -1.0),
    ("is there twice", 2.0),
    ("is halved", 0.5),
)


def near(a: float, b: float) -> bool:
    """Whether two factors are the same number, rounding aside."""
    return abs(a - b) <= ROUNDING * max(1.0, abs(b))


def sizes_of(arguments: dict[str, Any]) -> dict[str, float]:
    """Numbers of a call that a student may have multiplied or divided by, by name."""
    arrays = [a for a in arguments.values() if isinstance(a, np.ndarray) and a.ndim > 1]
    main = arguments.get("x", arguments.get("logits", arrays[0] if arrays else None))
    shape = np.shape(main) if main is not None else arguments.get("x_shape", ())
    sizes = dict(named_sizes(arguments.get("x_shape", shape)))
    settings = {n: v for n, v in arguments.items() if isinstance(v, float) and v}
    complements = {f"(1 - {n})": 1 - v for n, v in settings.items() if 0 < v < 1}
    return sizes | settings | complements


def named_sizes(shape: tuple[int, ...]) -> Iterable[tuple[str, float]]:
    """Products of axes that sums run over."""
    if len(shape) == 4:
        n, height, width, channels = shape
        yield from {
            "N (the number of images)": n,
            "N * H * W": n * height * width,
            "H * W": height * width,
            "C (the number of channels)": channels,
            "H": height,
            "W": width,
            "N * C": n * channels,
            "H * W * C": height * width * channels,
        }.items()
    if len(shape) == 2:
        yield from {
            "N (the batch size)": shape[0],
            "the number of columns": shape[1],
            "N twice": shape[0] ** 2,
        }.items()


def verdicts_in_words(output: str, verdicts: dict[str, str]) -> tuple[str, str]:
    """A sentence on the terms that are not right, with a name for machines."""
    bad = {name: text for name, text in verdicts.items() if text}
    if not bad:
        return "", ""
    if len(set(verdicts.values())) == 1:
        text = next(iter(bad.values()))
        return machine_name("all", text), whole(output, text)
    parts = " and ".join(f"{name}, which {text}" for name, text in bad.items())
    names = "+".join(machine_name(name, text) for name, text in bad.items())
    return names, f"Everything is right except {parts}."


def whole(output: str, text: str) -> str:
    """A sentence on an output whose terms all have the same wrong factor."""
    if text == "is missing":
        return f"{output} is all zeros."
    if text == "is there twice":
        return f"{output} is twice what it should be; else it is right."
    return f"{output} {text}; else it is right."


def machine_name(term: str, text: str) -> str:
    """A stable name such as `variance_is_missing`."""
    words = f"{term.split(' (')[0]} {text.split(' (')[0]}"
    return "_".join("".join(c if c.isalnum() else " " for c in words).split())
