"""What the report shows of a detector: boxes on test images, precision and recall, worst misses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..common.json_files import write_json
from ..common.pictures import COLOURS, new_figure, save
from .detections import Detections
from .network import FasterRCNN
from .overlaps import overlaps
from .sets import DetectionSet
from .training import detect_all
from .voc_metric import VocEvaluation, evaluate_voc, hits_and_misses

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN, MISSES, THRESHOLD = 6, 8, 0.5  # images; misses of either kind; least score that is shown
NAMED = 12  # classes whose curves are named
DASHES = ("-", "--", ":")  # each once through the colours, so that no two of them look alike


class Miss(NamedTuple):
    """A box that shows what went wrong: where, and in words."""

    image: int
    box: np.ndarray
    text: str


def keep_pages(model: FasterRCNN, data: DetectionSet, folder: Path) -> None:
    """Write the pictures of a trained detector where the report of its folder looks for them."""
    found = detect_all(model, data)
    likely = found.where(found.score >= THRESHOLD)
    evaluation = evaluate_voc(data.annotations, found)
    lost, false = missed(data, likely), false_alarms(data, likely)
    boxes = {
        "title": f"What the {model.name} finds",
        "what": f"The first test images. Solid: found, with a score of {THRESHOLD:.0%} and more. "
        "Dashed white: annotated.",
        "found": [
            f"Of {int(counting(data).sum()):,} objects {len(lost):,} are missed at this score, and "
            f"{len(false):,} of {len(likely):,} boxes are false alarms."
        ],
    }
    keep(folder, "boxes", draw_boxes(data, likely), boxes)
    curves = {
        "title": f"Precision and recall, {model.name}",
        "what": "From left to right, more and more of the objects are found, by boxes of falling "
        "score; upwards, the share of these boxes that are right (overlap of .5, VOC's rules).",
        "found": [f"mAP@.5 is {evaluation.mean:.1%}, the mean of the areas below the curves."],
        "look_for": "A curve that ends early: objects that no box finds at any score. A curve that "
        "begins low: boxes that are sure and wrong.",
    }
    keep(folder, "precision-recall", draw_curves(evaluation), curves)
    if lost or false:
        misses = {
            "title": f"The worst misses of the {model.name}",
            "what": "Above, the largest objects that it does not find; below, the surest boxes "
            "that are no object, or not of this class, or of an object found twice.",
            "look_for": "Objects that hide each other, or that are smaller than any anchor; "
            "annotations that are wrong themselves.",
        }
        keep(folder, "misses", draw_misses(data, lost[:MISSES], false[:MISSES]), misses)


def keep(folder: Path, name: str, figure: Figure, about: dict[str, Any]) -> None:
    """A picture with what is said about it."""
    save(figure, folder / "probes" / f"{name}.png")
    write_json(folder / "probes" / f"{name}.json", about)


def counting(data: DetectionSet) -> Any:
    """Which objects are to be found: not the difficult ones, nor crowds."""
    return ~(data.annotations.difficult | data.annotations.crowd)


def missed(data: DetectionSet, likely: Detections) -> list[Miss]:
    """Objects that no box of their class overlaps by .5, the largest first."""
    truth = data.annotations
    lost = counting(data)
    lost[overlaps(truth, likely, 0.5, crowds=False).object] = False
    places = np.flatnonzero(lost)
    places = places[np.argsort(-truth.box_area[places], kind="stable")]
    return [miss(data, truth, place, "not found") for place in places]


def false_alarms(data: DetectionSet, likely: Detections) -> list[Miss]:
    """Boxes that count as false, the surest first."""
    _, false = hits_and_misses(data.annotations, likely, counting(data), 0.5)
    places = np.flatnonzero(false)
    places = places[np.argsort(-likely.score[places], kind="stable")]
    return [miss(data, likely, place, f"{likely.score[place]:.0%}") for place in places]


def miss(data: DetectionSet, of: Any, place: Any, note: str) -> Miss:
    """Row `place` of annotations or detections."""
    name = data.annotations.classes[of.label[place] - 1]
    return Miss(int(of.image[place]), of.box[place], f"{name}: {note}")


def draw_boxes(data: DetectionSet, likely: Detections) -> Figure:
    """Test images with what is annotated and what is found."""
    count = min(SHOWN, len(data))
    height, width, _ = data.pixels(0).shape
    figure, axes = blank_panels(count, columns=min(3, count), width=2.6, ratio=height / width)
    truth = data.annotations
    for place, axis in enumerate(axes[:count]):
        axis.imshow(data.pixels(place))
        for box in truth.box[truth.of_image(place)]:
            rectangle(axis, box, "white", dashed=True)
        for row in np.flatnonzero(likely.image == place):
            label, colour = likely.label[row], COLOURS[(likely.label[row] - 1) % len(COLOURS)]
            rectangle(axis, likely.box[row], colour)
            text = f"{truth.classes[label - 1]} {likely.score[row]:.0%}"
            place_text(axis, likely.box[row], text, colour)
    return figure


def draw_curves(evaluation: VocEvaluation) -> Figure:
    """A curve a class, the one of most objects first."""
    figure, (axis,) = new_figure("Precision and recall at an overlap of .5", 1)
    axis.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    curves = [(p, *item) for p, item in enumerate(evaluation.curves.items()) if item[1].objects]
    for place, name, curve in sorted(curves, key=lambda item: -item[2].objects):
        label = f"{name} {curve.average_precision():.0%} of {curve.objects:,}"
        recall = np.concatenate([[0], curve.recall])
        precision = np.concatenate([curve.precision[:1], curve.precision])
        turn, number = divmod(place, len(COLOURS))
        colour, dashes = COLOURS[number], DASHES[turn % len(DASHES)]  # the colour of the boxes
        axis.plot(recall[: len(precision)], precision, dashes, color=colour, label=label)
    if len(curves) <= NAMED:
        axis.legend(fontsize=7, title="average precision", title_fontsize=7)
    return figure


def draw_misses(data: DetectionSet, lost: Sequence[Miss], false: Sequence[Miss]) -> Figure:
    """Parts of test images around misses, in two rows."""
    columns = max(len(lost), len(false))
    figure, axes = blank_panels(2 * columns, columns=columns, width=1.2, ratio=1.1)
    for row, (misses, colour) in enumerate([(lost, COLOURS[4]), (false, COLOURS[1])]):
        for axis, (image, box, text) in zip(axes[row * columns :], misses, strict=False):
            axis.imshow(data.pixels(image))
            rectangle(axis, box, colour)
            axis.set_title(text, fontsize=6)
            centre, reach = (box[:2] + box[2:]) / 2, max(*(box[2:] - box[:2]), 8)
            axis.set_xlim(centre[0] - reach, centre[0] + reach)
            axis.set_ylim(centre[1] + reach, centre[1] - reach)
    return figure


def blank_panels(count: int, *, columns: int, width: float, ratio: float) -> tuple[Figure, Any]:
    """Panels without axes, `width` inches wide and `ratio` times as high."""
    from matplotlib.figure import Figure

    rows = -(-count // columns)
    size = (width * columns, (width * ratio + 0.1) * rows)
    figure = Figure(figsize=size, layout="constrained", dpi=150)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    return figure, axes


def rectangle(axis: Axes, box: np.ndarray, colour: str, *, dashed: bool = False) -> None:
    """A box, whose pixel i reaches from i - .5 to i + .5 in a picture."""
    from matplotlib.patches import Rectangle

    x1, y1, x2, y2 = box - 0.5
    style: Any = {"linestyle": "--" if dashed else "-", "linewidth": 0.8 if dashed else 1.2}
    axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, **style))


def place_text(axis: Axes, box: np.ndarray, text: str, colour: str) -> None:
    """A name within the upper left corner of a box."""
    frame: Any = {"facecolor": colour, "edgecolor": "none", "pad": 0.6}
    x, y = box[:2]
    axis.text(x, y, text, fontsize=5, color="white", va="top", bbox=frame, clip_on=True)
