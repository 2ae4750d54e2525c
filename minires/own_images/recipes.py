"""How networks are trained on a user's images: presets in epochs, for folders of any size."""

from __future__ import annotations

import math
from typing import NamedTuple

from ..common.expecting import COUNT, expects
from ..training.recipes import Recipe
from ..training.schedules import LinearDecay, LinearWarmUp

EVALUATIONS = 50  # at most, of a run


class Preset(NamedTuple):
    """A training as long as `epochs`, and at least as many iterations as `least`."""

    epochs: int
    least: int
    batch_size: int
    lr: float


PRESETS_OF_EPOCHS = {
    "toy": Preset(epochs=1, least=4, batch_size=8, lr=0.01),  # seconds: to see that it works
    "finetune": Preset(epochs=10, least=300, batch_size=32, lr=0.01),  # pretrained weights
    "scratch": Preset(epochs=60, least=2000, batch_size=64, lr=0.05),  # random weights
}


@expects(preset=str, images=COUNT, epochs=COUNT, batch_size=COUNT, lr=float)
def recipe_of(
    preset: str,
    images: int,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
) -> Recipe:
    """A preset's recipe for so many training images, or with other numbers.

    The rate rises to `lr` during the first twentieth, and falls to 0 in a straight line. The test
    images are looked at after each epoch, but at most 50 times.

    Raises: ValueError for another preset, or a rate that is not positive.
    """
    if preset not in PRESETS_OF_EPOCHS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS_OF_EPOCHS)}, not {preset!r}")
    if lr is not None and not 0 < lr < math.inf:
        raise ValueError(f"lr must be more than 0, but is {lr}")
    usual = PRESETS_OF_EPOCHS[preset]
    batch_size = batch_size or min(usual.batch_size, images)
    epoch = max(1, images // batch_size)
    iterations = max(2, epochs * epoch if epochs else max(usual.epochs * epoch, usual.least))
    warm_up = max(1, iterations // 20)
    return Recipe(
        name=preset,
        iterations=iterations,
        batch_size=batch_size,
        schedule=LinearWarmUp(
            warm_up, LinearDecay(peak=lr or usual.lr, start=warm_up, stop=iterations)
        ),
        record_every=max(1, iterations // 60),
        evaluate_every=max(epoch, -(-iterations // EVALUATIONS)),
        checkpoint_every=min(200, max(10, epoch)),
    )
