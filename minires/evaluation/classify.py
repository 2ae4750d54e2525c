"""What a network sees in one image: its most likely classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..common.expecting import COUNT, SOME, Each, expects, must_be
from ..data import Classes, Preprocessing
from ..data.images import as_rgb
from ..nn import Module
from .evaluate import refuse_nan, refuse_none
from .predict import Probabilities, predict
from .protocols import Protocol, SingleCrop

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Guess:
    """A class with its probability."""

    name: str
    probability: float


@expects(
    models=Sequence, classes=Classes, top=COUNT, protocol=Protocol, preprocessing=Preprocessing
)
def classify(
    models: Sequence[Module],
    image: Image,
    classes: Classes | None = None,
    *,
    top: int = 5,
    protocol: Protocol | None = None,
    preprocessing: Preprocessing | None = None,
) -> list[Guess]:
    """The most likely classes of an image, by one network or the mean of several.

    Without `classes` the outputs are called by their numbers. Raises ValueError where outputs and
    classes, or the outputs of several networks, differ in number, and for broken weights.
    """
    from PIL.Image import Image

    refuse_none(models)
    must_be(Image, image, "classify: the image")
    protocol = protocol or SingleCrop()
    image = image if image.mode == "RGB" else as_rgb(image, image.format)
    views = protocol.views(image, preprocessing or Preprocessing())
    dense = protocol.fully_convolutional
    outputs = [predict(model, views, fully_convolutional=dense).mean(axis=0) for model in models]
    refuse_mixture(models, outputs)
    probabilities = np.mean(outputs, axis=0)
    if classes is None:
        classes = Classes.called(f"class {number}" for number in range(len(probabilities)))
    if len(classes) != len(probabilities):
        raise ValueError(
            f"the network has {len(probabilities)} outputs, but {len(classes)} classes are named"
        )
    best = np.argsort(-probabilities, kind="stable")[:top]
    return [Guess(classes.names[place], float(probabilities[place])) for place in best]


def refuse_mixture(models: Sequence[Module], outputs: Sequence[Probabilities]) -> None:
    """Networks that can't be averaged, or whose weights are broken."""
    names = [getattr(model, "name", type(model).__name__) for model in models]
    counts = [len(probabilities) for probabilities in outputs]
    if len(set(counts)) > 1:
        each = ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))
        raise ValueError(
            f"the networks have different numbers of outputs ({each}): only those for the same "
            "classes can be averaged"
        )
    for name, probabilities in zip(names, outputs, strict=True):
        refuse_nan(name, probabilities)


@expects(guesses=Each(Guess, SOME), path=Path)
def draw_guesses(image: Image, guesses: list[Guess], path: Path) -> Path:
    """A picture of the image beside the bars of its most likely classes."""
    from matplotlib.figure import Figure
    from PIL.Image import Image

    from ..common.pictures import save

    must_be(Image, image, "draw_guesses: the image")
    figure = Figure(figsize=(9, 3.6), layout="constrained", dpi=150)
    photo, chart = figure.subplots(1, 2, width_ratios=(1, 1.4))
    photo.imshow(image)
    photo.axis("off")
    names = [guess.name.split(",")[0] for guess in guesses][::-1]
    shares = [100 * guess.probability for guess in guesses][::-1]
    drawn = chart.barh(range(len(names)), shares, color="#0072B2", height=0.6)
    chart.bar_label(drawn, labels=[f"{share:.1f} %" for share in shares], padding=4)
    chart.set_yticks(range(len(names)), names, parse_math=False)
    chart.set(xlim=(0, 115), xlabel="probability, %")
    chart.set_xticks([0, 25, 50, 75, 100])
    chart.spines[["top", "right"]].set_visible(False)
    return save(figure, path)
