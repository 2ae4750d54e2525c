"""Top-1 and top-5 error of networks, and of their ensemble, on a folder of images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import astuple, dataclass, field, replace
from itertools import islice
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ..common.expecting import COUNT, expects, must_be
from ..data import BrokenImageError, LabelledImages, Prefetch, Preprocessing
from ..data.images import View
from ..distributed import ALONE, Alone
from ..nn import Module
from .predict import Probabilities, predict
from .protocols import Protocol, SingleCrop

Broken = Literal["skip", "refuse"]
ENSEMBLE = "ensemble"


@dataclass
class Score:
    """How often a network was wrong."""

    images: int = 0
    top1_wrong: int = 0
    top5_wrong: int = 0

    def add(self, probabilities: npt.NDArray[np.floating], labels: npt.NDArray[np.int64]) -> None:
        """Count images with probabilities (N, K) and true classes (N,)."""
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
        hits = best == labels[:, None]
        self.images += len(labels)
        self.top1_wrong += int((~hits[:, 0]).sum())
        self.top5_wrong += int((~hits.any(axis=1)).sum())

    @property
    def top1_error(self) -> float:
        """Share of images whose most likely class is not the true one, 0 to 1."""
        return self.top1_wrong / self.images

    @property
    def top5_error(self) -> float:
        """Share of images whose true class is not among the five most likely ones, 0 to 1."""
        return self.top5_wrong / self.images


@dataclass
class Evaluation:
    """The result: scores by network, with that of the ensemble last where there are several.

    `seconds` is the time it took, `waited` the part of it in which the networks had to wait for
    images, `broken` a line for each image that was left out.
    """

    data: str
    protocol: str
    classes: int
    scores: dict[str, Score]
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0
    waited: float = 0.0

    @property
    def images(self) -> int:
        """How many images were classified."""
        return next(iter(self.scores.values())).images


@dataclass(frozen=True)
class Example:
    """One image, ready for the networks; without views where it is broken."""

    number: int
    label: int
    views: list[View]
    fault: str = ""


@dataclass(frozen=True)
class ViewPreparation:
    """From an image's number to what the networks see: the work of the threads."""

    images: LabelledImages
    protocol: Protocol
    preprocessing: Preprocessing
    broken: Broken

    def __call__(self, number: int) -> Example:
        label = int(self.images.labels[number])
        try:
            views = self.protocol.views(self.images.open(number), self.preprocessing)
        except BrokenImageError as error:
            if self.broken == "refuse":
                raise
            return Example(number, label, [], str(error))
        return Example(number, label, views)


@expects(
    models=Mapping,
    protocol=Protocol,
    preprocessing=Preprocessing,
    batch_size=COUNT,
    workers=COUNT,
    broken=str,
    watch=Callable,
    world=Alone,
)
def evaluate(
    models: Mapping[str, Module],
    images: LabelledImages,
    *,
    protocol: Protocol | None = None,
    preprocessing: Preprocessing | None = None,
    batch_size: int = 32,
    workers: int = 2,
    broken: Broken = "skip",
    watch: Callable[[Evaluation], None] | None = None,
    world: Alone = ALONE,
) -> Evaluation:
    """Classify all images by each network and by their ensemble.

    Threads decode and prepare images while the networks run. The ensemble's probabilities are the
    mean of its members'. Several ranks share the batches, and all get the same result.

    Args:
        models: networks by name, with as many outputs as there are classes.
        images: see `minires.data.find_images`.
        protocol: single crop, unless another is given.
        preprocessing: that of torchvision's ImageNet networks, unless another is given.
        batch_size: how many crops a network sees at once; as many pixels of other views.
        workers: number of threads that prepare images.
        broken: "skip" leaves files out that can't be used, and names them; "refuse" raises.
        watch: called after each batch with the results so far of this rank, for a progress bar.
        world: the ranks that share the work.

    Raises: ValueError where outputs and classes differ in number, or no image could be read;
        BrokenImageError.
    """
    refuse_none(models)
    must_be(LabelledImages, images, "evaluate: images")
    if broken not in get_args(Broken):
        raise ValueError(f"broken must be one of {', '.join(get_args(Broken))}, not {broken!r}")
    protocol, preprocessing = protocol or SingleCrop(), preprocessing or Preprocessing()
    for model in models.values():
        must_be(Module, model, "evaluate: each network")
    names = [*models, ENSEMBLE] if len(models) > 1 else list(models)
    scores = {name: Score() for name in names}
    result = Evaluation(images.name, protocol.name, len(images.classes), scores)
    prepare = ViewPreparation(images, protocol, preprocessing, broken)
    chunk = max(1, batch_size // protocol.views_per_image)
    own = [n for n in range(len(images)) if n // chunk % world.size == world.rank]
    ahead = 2 * chunk + workers
    examples = Prefetch(lambda n: prepare(own[n]), len(own), workers=workers, ahead=ahead)
    batch_pixels = batch_size * preprocessing.crop**2

    def count_some(whole: list[Example]) -> None:
        count(result, models, whole, protocol, batch_pixels)

    found = together(world.each(lambda: classify(examples, chunk, count_some, result, watch)))
    if not found.images:
        raise ValueError(f"{images.name}: none of the {len(images)} images could be read")
    return found


def classify(
    examples: Prefetch[Example],
    chunk: int,
    count_some: Callable[[list[Example]], None],
    result: Evaluation,
    watch: Callable[[Evaluation], None] | None,
) -> tuple[Evaluation, dict[int, str]]:
    """Count a rank's images, so many at a time; what is wrong with others, by their numbers."""
    started = time.perf_counter()
    faults: dict[int, str] = {}
    for some in in_chunks(examples, chunk):
        faults |= {example.number: example.fault for example in some if example.fault}
        result.broken = list(faults.values())
        if whole := [example for example in some if not example.fault]:
            count_some(whole)
        result.seconds, result.waited = time.perf_counter() - started, examples.waited
        if watch:
            watch(result)
    return result, faults


def together(parts: list[tuple[Evaluation, dict[int, str]]]) -> Evaluation:
    """What several ranks have found, as one would have; times are those of the slowest."""
    results = [result for result, _ in parts]
    faults: dict[int, str] = {}
    for _, some in parts:
        faults |= some
    return replace(
        results[0],
        scores={name: total([r.scores[name] for r in results]) for name in results[0].scores},
        broken=[faults[number] for number in sorted(faults)],
        seconds=max(result.seconds for result in results),
        waited=max(result.waited for result in results),
    )


def total(scores: list[Score]) -> Score:
    """The sums of all counts."""
    return Score(*(sum(column) for column in zip(*map(astuple, scores), strict=True)))


def refuse_none(models: Sized) -> None:
    """At least one network is needed, and a name for each."""
    if not len(models):
        raise ValueError("there is no network to evaluate: name at least one")


def count(
    result: Evaluation,
    models: Mapping[str, Module],
    examples: list[Example],
    protocol: Protocol,
    batch_pixels: int,
) -> None:
    """Add some images to the scores of all networks and of the ensemble."""
    labels = np.array([example.label for example in examples])
    views = [view for example in examples for view in example.views]
    dense = protocol.fully_convolutional
    members = []
    for name, model in models.items():
        by_view = predict(model, views, fully_convolutional=dense, batch_pixels=batch_pixels)
        refuse_misfit(name, by_view, result.classes)
        members.append(by_view.reshape(len(examples), -1, result.classes).mean(axis=1))
        result.scores[name].add(members[-1], labels)
    if ENSEMBLE in result.scores:
        result.scores[ENSEMBLE].add(np.mean(members, axis=0), labels)


def refuse_misfit(name: str, probabilities: Probabilities, classes: int) -> None:
    """A network with other outputs than the data has classes, or with broken weights."""
    outputs = probabilities.shape[1]
    if outputs != classes:
        raise ValueError(
            f"{name} has {outputs} outputs but the data {classes} classes: name a file with the "
            f"network's {outputs} classes, in the order of its outputs"
        )
    refuse_nan(name, probabilities)


def refuse_nan(name: str, probabilities: Probabilities) -> None:
    if not np.isfinite(probabilities).all():
        raise ValueError(f"{name} gives NaN or infinity: are these weights whole?")


def in_chunks(examples: Iterable[Example], size: int) -> Iterator[list[Example]]:
    """Lists of so many examples; the last may be shorter."""
    rest = iter(examples)
    while some := list(islice(rest, size)):
        yield some
