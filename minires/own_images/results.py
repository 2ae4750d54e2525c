"""What a training leaves: the network as a file, which classes it confuses, its worst mistakes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..autograd import Tensor, no_grad
from ..common.expecting import expects
from ..common.json_files import write_json
from ..common.pictures import save
from ..data import Photographs
from ..evaluation.predict import Probabilities, softmax
from ..kernels.devices import to_host
from ..models import made_as
from ..nn import Module, evaluating
from ..weights import save_torchvision
from ..weights.reading import CLASSES, IMAGE_SIZE, NETWORK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table

NAMED = 40  # classes up to which the picture names them
NUMBERED = 15  # and up to which it has numbers
SHOWN = 20  # mistakes in a picture
ROWS = 10  # classes in the terminal
LONG = 24  # characters of a name in a picture


@expects(model=Module, data=Photographs, path=Path)
def save_network(model: Module, data: Photographs, path: Path) -> Path:
    """Write torchvision's state dict with the names of the classes, and how images are seen."""
    ids, names = data.train.classes.ids, data.train.classes.names
    classes = list(names) if ids == names else list(zip(ids, names, strict=True))
    about = {CLASSES: json.dumps(classes), IMAGE_SIZE: str(data.size)}
    save_torchvision(model, path, about=about | {NETWORK: json.dumps(made_as(model))})
    return path


@dataclass(frozen=True, eq=False)
class Judgement:
    """The probabilities (N, K) that a network gives the test images of a data set."""

    data: Photographs
    probabilities: Probabilities

    @classmethod
    def of(cls, model: Module, data: Photographs) -> Judgement:
        """Let a network look at all test images."""
        place: dict[str, Any] = {"dtype": model.parameters()[0].dtype, "device": model.device}
        with no_grad(), evaluating(model):
            logits = [
                to_host(model(Tensor(images)).data)
                for images, _ in data.evaluation_batches("test", 250, **place)
            ]
        return cls(data, softmax(np.concatenate(logits).astype(np.float64)))

    @property
    def said(self) -> npt.NDArray[np.int64]:
        """The most likely class of each image."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def confusion(self) -> npt.NDArray[np.int64]:
        """(K, K): how many images of each class, by row, were taken for which."""
        counts = np.zeros((len(self.data.classes),) * 2, np.int64)
        np.add.at(counts, (self.data.test_labels, self.said), 1)
        return counts

    @cached_property
    def mistakes(self) -> list[dict[str, Any]]:
        """What was taken for something else, the most confident first."""
        names, said, sure = self.data.classes, self.said, self.probabilities.max(axis=1)
        wrong = np.flatnonzero(said != self.data.test_labels)
        return [
            {
                "image": self.data.test.title(number),
                "is": names[self.data.test.labels[number]],
                "said": names[said[number]],
                "probability": round(float(sure[number]), 4),
            }
            for number in wrong[np.argsort(-sure[wrong], kind="stable")]
        ]

    def sentences(self) -> list[str]:
        """What the matrix shows: which two classes are confused most."""
        off = self.confusion - np.diag(np.diag(self.confusion))
        total = int(self.confusion.sum())
        found = [f"{int(off.sum())} of {total} test images are wrong."]
        if off.any():
            true, taken = np.unravel_index(off.argmax(), off.shape)
            names = self.data.classes
            found.append(
                f"Most often {names[true]} is taken for {names[taken]}: {off[true, taken]} of "
                f"{self.confusion[true].sum()}."
            )
        return found

    def save(self, folder: Path) -> None:
        """Write the numbers, and the pictures that the report shows."""
        matrix = {"classes": list(self.data.classes), "confusion": self.confusion.tolist()}
        write_json(folder / "mistakes.json", matrix | {"mistakes": self.mistakes})
        picture = {
            "title": "What is taken for what",
            "what": "A row for each class, a column for each answer of the network; test images.",
            "found": self.sentences(),
        }
        keep(folder, "confusion", draw_confusion(self), picture)
        if self.mistakes:
            picture = {
                "title": "The most confident mistakes",
                "what": "Test images that the network is surest about, and wrong.",
                "look_for": "Is the label wrong, or would you confuse the picture, too? Wrong "
                "labels are worth correcting; of the others, more images help.",
            }
            keep(folder, "mistakes", draw_mistakes(self), picture)


def keep(folder: Path, name: str, figure: Figure, about: dict[str, Any]) -> None:
    """A picture with what is said about it, where reports look for them."""
    save(figure, folder / "probes" / f"{name}.png")
    write_json(folder / "probes" / f"{name}.json", about)


def draw_confusion(judgement: Judgement) -> Figure:
    """The matrix as shares of each row, with the counts where there are few classes."""
    from matplotlib.figure import Figure

    counts, names = judgement.confusion, [short(name) for name in judgement.data.classes]
    side = min(10.0, 3.5 + 0.35 * len(names))
    figure = Figure(figsize=(side, side), layout="constrained", dpi=150)
    axis = figure.subplots()
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.set(xlabel="the network says", ylabel="it is")
    if len(names) <= NAMED:
        axis.set_xticks(range(len(names)), names, rotation=90, parse_math=False)
        axis.set_yticks(range(len(names)), names, parse_math=False)
    if len(names) <= NUMBERED:
        number_cells(axis, counts, shares)
    return figure


def number_cells(axis: Axes, counts: npt.NDArray[np.int64], shares: Probabilities) -> None:
    """The counts, in a colour that can be read on the cell's."""
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        if count:
            axis.text(column, row, str(count), ha="center", va="center", color=colour)


def draw_mistakes(judgement: Judgement) -> Figure:
    """The images, each with its class and what the network says."""
    from matplotlib.figure import Figure

    mistakes = judgement.mistakes[:SHOWN]
    numbers = {judgement.data.test.title(n): n for n in range(len(judgement.data.test))}
    rows = -(-len(mistakes) // 5)
    figure = Figure(figsize=(10, 2.5 * rows), layout="constrained", dpi=130)
    axes = figure.subplots(rows, 5, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, mistake in zip(axes, mistakes, strict=False):
        axis.imshow(judgement.data.middle(judgement.data.test, numbers[mistake["image"]]))
        said = f"{short(mistake['said'])}, {mistake['probability']:.0%}"
        axis.set_title(f"{said}\nis {short(mistake['is'])}", fontsize=9, parse_math=False)
    return figure


def short(name: str) -> str:
    """A name that fits into a picture."""
    return name if len(name) <= LONG else name[: LONG - 1] + "…"


def worst_classes(judgement: Judgement) -> Table:
    """For the terminal: the classes with the largest errors, and what they are taken for."""
    from rich.table import Table
    from rich.text import Text

    counts, names = judgement.confusion, judgement.data.classes
    hits, images = np.diag(counts), counts.sum(axis=1)
    errors = 1 - hits / np.maximum(1, images)
    off = counts - np.diag(hits)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("class", "test images", "error", "most often taken for"):
        table.add_column(heading, justify="left" if heading[0] in "cm" else "right")
    for label in np.argsort(-errors, kind="stable")[:ROWS]:
        taken = names[off[label].argmax()] if off[label].any() else ""
        row = str(images[label]), f"{errors[label]:.1%}", Text(taken)
        table.add_row(Text(names[label]), *row)
    return table
