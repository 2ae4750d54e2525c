"""The paper's improvements of a detector at test time, each an option (He et al. 2015, app. B).

Box refinement with voting is in `refinement.py`, several scales in `scales.py`; global context is a
matter of the network, `context.py`. Several detectors are an ensemble: each proposes, each judges
the proposals of all, and their probabilities and boxes are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..autograd import no_grad
from ..common.expecting import COUNT, SOME, Each, expects
from ..nn import evaluating
from .boxes import Boxes
from .detecting import Pixels, pixels_of, refuse_broken
from .network import FasterRCNN
from .refinement import VOTE, likeliest_boxes, vote
from .regions import Found, Judged, best_of_each_class
from .scales import Observer

if TYPE_CHECKING:
    from PIL.Image import Image


@expects(refine=bool, scales=Each(COUNT), least_vote=float)
@dataclass(frozen=True)
class Improvements:
    """What is done at test time: refinement with voting; shorter sides, in pixels, rising.

    `least_vote` is the overlap above which boxes vote. Raises: ValueError for a single scale, or
    scales that do not rise.
    """

    refine: bool = False
    scales: tuple[int, ...] = ()
    least_vote: float = VOTE

    @property
    def any(self) -> bool:
        """Whether there is anything to do."""
        return self.refine or bool(self.scales)

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.scales, self.scales[1:], strict=False))
        if self.scales and not (len(self.scales) > 1 and rising and self.scales[0] >= 16):
            raise ValueError(
                f"scales must be two or more rising sides from 16 pixels on, not {self.scales}"
            )


@expects(models=Each(FasterRCNN, SOME), options=Improvements)
def detect_improved(
    models: Sequence[FasterRCNN], image: Image | Pixels, options: Improvements
) -> Found:
    """What one or several detectors find in an image, as `detect` says it.

    The numbers for suppression and selection are the first detector's. Raises: ValueError where
    detectors differ in their classes, or their numbers are broken.
    """
    refuse_other_classes(models)
    pixels = pixels_of(image)
    with no_grad(), ExitStack() as stack:
        for model in models:
            stack.enter_context(evaluating(model))
        observers = [Observer(model, pixels, options.scales) for model in models]
        rounds = [
            judge(observers, np.concatenate([observer.proposals() for observer in observers]))
        ]
        if options.refine:
            rounds.append(judge(observers, likeliest_boxes(rounds[0], pixels.shape[:2])))
    judged = Judged(*(np.concatenate(column) for column in zip(*rounds, strict=True)))
    found = judged.likely(pixels.shape[:2], models[0].numbers)
    kept = best_of_each_class(found, models[0].numbers)
    for model in models:
        refuse_broken(model, kept)
    return vote(kept, found, options.least_vote) if options.refine else kept


def judge(observers: Sequence[Observer], boxes: Boxes) -> Judged:
    """The mean of what all detectors say of regions (R, 4)."""
    scores, made = zip(*(observer.judge(boxes) for observer in observers), strict=True)
    return Judged(np.mean(scores, axis=0), np.mean(made, axis=0))


def refuse_other_classes(models: Sequence[FasterRCNN]) -> None:
    """Raises: ValueError where a detector has other classes than the first."""
    for model in models:
        if model.classes != models[0].classes:
            raise ValueError(
                f"detectors of an ensemble must have the same classes, but {models[0].name} has "
                f"{len(models[0].classes)} and {model.name} {len(model.classes)}, or others"
            )
