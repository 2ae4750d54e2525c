"""How a network is trained: the presets `toy`, `quick`, `depth`, `standard` and `paper`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from ..common.expecting import expects
from ..distributed.shards import refuse_what_does_not_fit
from .schedules import ConstantWarmUp, LinearDecay, LinearWarmUp, Schedule, StepDecay

OF_THE_PAPER = 64_000  # iterations


@expects(
    name=str,
    iterations=int,
    batch_size=int,
    schedule=Callable,
    record_every=int,
    evaluate_every=int,
    checkpoint_every=int,
    clip_norm=float,
    label_smoothing=float,
    mixup=float,
    average=float,
)
@dataclass(frozen=True)
class Recipe:
    """Everything about a training but the network, the data and the seed.

    `record_every`, `evaluate_every` and `checkpoint_every` count iterations; `test_images` limits
    an evaluation to the first so many images of the test set (None: all of them). A batch is cut
    into `shards`, each normalised by its own statistics: see `distributed/shards.py`.

    The rest is for recipes of one's own. `optimizer` "adamw" makes no use of `momentum`. Without
    `decay_norms` weights alone decay, not batch norm's parameters and biases. Gradients longer than
    `clip_norm` are scaled to it; records hold the norm before. `label_smoothing` and
    `class_weights` are those of `nn.functional.cross_entropy`, for the training loss only. `mixup`
    is alpha: see `data.mixup`; the training error then counts the images' own labels. With
    `average`, a decay such as 0.999, evaluations and checkpoints have the weights' moving average
    as well: see `nn.WeightAverage`.
    """

    name: str
    iterations: int
    batch_size: int
    schedule: Schedule
    record_every: int
    evaluate_every: int
    checkpoint_every: int
    test_images: int | None = None
    momentum: float = 0.9
    weight_decay: float = 1e-4
    shards: int = 1
    optimizer: Literal["sgd", "adamw"] = "sgd"
    nesterov: bool = False
    decay_norms: bool = True
    clip_norm: float | None = None
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None
    mixup: float = 0.0
    average: float = 0.0

    def __post_init__(self) -> None:
        rhythms = "record_every", "evaluate_every", "checkpoint_every"
        for field in ("iterations", "batch_size", *rhythms, "test_images", "shards"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise ValueError(f"recipe: {field} must be at least 1, not {value}")
        if self.optimizer not in ("sgd", "adamw"):
            raise ValueError(f"recipe: optimizer must be 'sgd' or 'adamw', not {self.optimizer!r}")
        if self.shards > 1:
            refuse_what_does_not_fit(self.shards, self.batch_size)
        if self.mixup and self.shards > 1:
            raise ValueError("recipe: mixup mixes whole batches, so that shards must be 1")

    def due(self, step: int) -> set[str]:
        """What is due after `step` iterations; everything is after the last one."""
        rhythms = {
            "record": self.record_every,
            "evaluation": self.evaluate_every,
            "checkpoint": self.checkpoint_every,
        }
        last = step == self.iterations
        return {what for what, every in rhythms.items() if last or step % every == 0}

    def settings(self) -> dict[str, Any]:
        """The recipe as JSON can hold it; from `shards` on, only what is not the default."""
        settings = asdict(self) | {"schedule": repr(self.schedule)}
        if self.class_weights is not None:
            settings["class_weights"] = [float(weight) for weight in self.class_weights]
        names = [field.name for field in fields(self)]
        seldom = {f.name: f.default for f in fields(self)[names.index("shards") :]}
        return {k: v for k, v in settings.items() if k not in seldom or v != seldom[k]}


# the presets: functions of a network's layers (`depth`) and the number of training images


def toy(depth: int, training_images: int) -> Recipe:
    """Seconds: 16 iterations that show that everything works, and teach the network nothing."""
    return Recipe(
        name="toy",
        iterations=16,
        batch_size=16,
        schedule=LinearDecay(peak=0.05, start=8, stop=16),
        record_every=2,
        evaluate_every=8,
        checkpoint_every=8,
        test_images=100,
    )


def quick(depth: int, training_images: int) -> Recipe:
    """Minutes on two cores: 480 iterations of 64 images; the rate rises to 0.05 and falls to 0."""
    return Recipe(
        name="quick",
        iterations=480,
        batch_size=64,
        schedule=LinearWarmUp(96, LinearDecay(peak=0.05, start=96, stop=480)),
        record_every=10,
        evaluate_every=60,
        checkpoint_every=60,
        test_images=2000,
    )


def depth(depth: int, training_images: int) -> Recipe:
    """Some thirteen minutes: `quick` four times as long; ResNet-56 catches up on drawings."""
    return Recipe(
        name="depth",
        iterations=1920,
        batch_size=64,
        schedule=LinearWarmUp(384, LinearDecay(peak=0.05, start=384, stop=1920)),
        record_every=40,
        evaluate_every=240,
        checkpoint_every=120,
        test_images=2000,
    )


def standard(depth: int, training_images: int) -> Recipe:
    """About an hour for four networks: 12 epochs of CIFAR-10, by which more depth pays there."""
    return Recipe(
        name="standard",
        iterations=4680,
        batch_size=128,
        schedule=LinearWarmUp(468, LinearDecay(peak=0.2, start=468, stop=4680)),
        record_every=39,
        evaluate_every=468,
        checkpoint_every=234,
    )


def paper(depth: int, training_images: int, iterations: int = OF_THE_PAPER) -> Recipe:
    """He et al. 2015, sec. 4.2: 64,000 iterations of 128 images, lr 0.1, /10 at 32k and 48k.

    110 layers and more start with 400 iterations at 0.01, as the paper's 110-layer network does.
    With other `iterations` the drops stay at a half and three quarters of them.
    """
    schedule: Schedule = StepDecay(peak=0.1, drops=(iterations // 2, iterations * 3 // 4))
    if depth >= 110:
        schedule = ConstantWarmUp(steps=400, lr=0.01, then=schedule)
    return Recipe(
        name="paper" if iterations == OF_THE_PAPER else "paper, shortened",
        iterations=iterations,
        batch_size=128,
        schedule=schedule,
        record_every=100,
        evaluate_every=max(1, training_images // 128),
        checkpoint_every=500,
    )


PRESETS: dict[str, Callable[[int, int], Recipe]] = {
    "toy": toy,
    "quick": quick,
    "depth": depth,
    "standard": standard,
    "paper": paper,
}
