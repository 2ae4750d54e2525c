"""What `minires check-boxes`, `evaluate-detector` and `detect` do: from files to tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ..common.json_files import write_json
from ..common.output import tell
from ..data import BrokenImageError, read_classes
from ..data.images import open_image
from ..evaluation.commands import picture_paths, progress
from .annotations import AnnotatedImage, Annotations
from .check import Check, Viewing, check
from .coco_metric import AREAS, CocoEvaluation, evaluate_coco
from .detections import read_detections
from .draw import draw_annotations, draw_found
from .improving import Improvements
from .looking import SUFFIXES, found_in_set, look
from .numbers import LARGEST_SIDE
from .reading import read_annotations
from .regions import Found
from .tables import anchor_lines, class_table, coco_table, detection_table, fault_lines, heading
from .voc_metric import VocEvaluation, evaluate_voc
from .weights import load_detector


def check_boxes(
    console: Console,
    data: Path,
    *,
    find: tuple[str | None, Path | None, Path | None],
    viewing: Viewing,
    pictures: Path | None,
    count: int,
) -> bool:
    """Print what is wrong with annotations, and whether anchors fit; True where nothing is wrong.

    `find` is the split, the folder of images and the file of classes.
    """
    split, images, classes = find
    names = read_classes(classes).names if classes else None
    annotations = read_annotations(data, split=split, images=images, classes=names)

    def watch(images: Iterable[AnnotatedImage]) -> Iterator[AnnotatedImage]:
        with progress(console) as bar:
            yield from bar.track(list(images), description="images")

    result = check(annotations, viewing, whole=split is None, watch=watch)
    show_check(console, result)
    if pictures:
        draw_some(console, annotations, pictures, count)
    return not result.wrong


def numbers(text: str) -> tuple[float, ...]:
    """Sides of anchors from a command line. Raises: ValueError."""
    try:
        sides = tuple(float(part) for part in text.split(","))
    except ValueError:
        sides = ()
    if not sides or not all(1 <= side <= 10_000 for side in sides):
        raise ValueError(f"sizes of anchors {text!r}: expected pixels such as 32,64,128")
    return sides


def sides(text: str, least: int = 1) -> tuple[int, ...]:
    """Shorter sides of images from a command line, none from "". Raises: ValueError."""
    parts = text.split(",") if text else []
    if not all(part.isdecimal() and least <= int(part) <= LARGEST_SIDE for part in parts):
        raise ValueError(
            f"scales {text!r}: expected whole pixels, {least} and more, such as 400,600,800"
        )
    return tuple(map(int, parts))


def show_check(console: Console, result: Check) -> None:
    """Counts, faults, the table of classes, anchors."""
    parts = [("wrong", result.wrong), ("worth a look", result.strange)]
    tell(console, heading(result.annotations))
    for title, faults in parts:
        if faults:
            tell(console, "", f"{title}:", *fault_lines(faults))
    console.print(class_table(result))
    tell(console, *anchor_lines(result), "")
    tell(console, f"{len(result.wrong):,} faults" if result.wrong else "nothing is wrong")


def draw_some(console: Console, annotations: Annotations, folder: Path, count: int) -> None:
    """Draw evenly chosen images of those with objects and a file; broken ones are named."""
    files = {p: path for p in np.unique(annotations.image) if (path := annotations.images[p].path)}
    there = list(files)
    chosen = [there[i * len(there) // count] for i in range(count)] if len(there) > count else there
    kept = [image.path for image in annotations.images if image.path]
    pictures = picture_paths(folder, [files[place] for place in chosen], kept=kept)
    for place in chosen:
        try:
            draw_annotations(annotations, int(place), pictures[files[place]])
        except BrokenImageError as error:
            tell(console, str(error))
    tell(console, f"{len(chosen)} pictures in {folder}")


def evaluate_detector(
    console: Console,
    data: Path,
    found: Sequence[Path],
    *,
    split: str | None,
    images: Path | None,
    classes: Path | None,
    options: Improvements,
    most: int,
    out: Path | None,
) -> None:
    """Print COCO's and VOC's figures of a file of detections, or of detectors' files of weights.

    `most` is COCO's maxDets. Raises: ValueError for several files of which one is no detector.
    """
    names = read_classes(classes).names if classes else None
    annotations = read_annotations(data, split=split, images=images, classes=names)
    annotations.refuse_faults()
    if all(path.suffix in SUFFIXES for path in found):
        detections = found_in_set(console, found, annotations, options)
    elif len(found) > 1 or options.any:
        raise ValueError(
            f"{found[0]}: expected weights of detectors ({', '.join(SUFFIXES)}) where there are "
            "several files or improvements, for detections in files are what they are"
        )
    else:
        detections = read_detections(found[0], annotations)
    coco = evaluate_coco(annotations, detections, sorted({min(n, most) for n in (1, 10, most)}))
    voc = evaluate_voc(annotations, detections)
    tell(console, heading(annotations), f"{len(detections):,} detections")
    if detections.left_out:
        tell(console, f"{detections.left_out:,} of classes without annotations were left out")
    console.print(detection_table(coco, voc))
    console.print(coco_table(coco))
    if out:
        write_json(out, as_json(coco, voc))


def as_json(coco: CocoEvaluation, voc: VocEvaluation) -> dict[str, Any]:
    """All figures as shares, 0 to 1; None where there are no objects."""
    classes = {
        name: {
            "objects": int(coco.objects[label - 1, 0]),
            "AP": some(coco.average_precision(label=label)),
            "AP50": some(coco.average_precision(iou=0.5, label=label)),
            "AP75": some(coco.average_precision(iou=0.75, label=label)),
            **{f"AP {a}": some(coco.average_precision(area=a, label=label)) for a in AREAS[1:]},
            "recall": some(coco.average_recall(label=label)),
            "VOC 2007": some(voc.curves[name].average_precision_11()),
            "VOC": some(voc.curves[name].average_precision()),
        }
        for label, name in enumerate(coco.classes, 1)
    }
    return {
        "COCO": {name: some(value) for name, value in coco.twelve.items()},
        "VOC 2007": some(voc.mean_11),
        "VOC": some(voc.mean),
        "classes": classes,
    }


def some(value: float) -> float | None:
    """A share, or None for what is not there (-1 or NaN)."""
    return value if value >= 0 else None


def detect_in(
    console: Console,
    images: Sequence[Path],
    weights: Sequence[Path],
    *,
    classes: Path | None,
    options: Improvements,
    threshold: float,
    picture: Path | None,
) -> None:
    """Print, and draw, what is found in images with a score of at least `threshold`."""
    names = read_classes(classes).names if classes else None
    pictures = picture_paths(picture, images) if picture else {}
    models = [load_detector(path, classes=names) for path in weights]
    for path in images:
        image = open_image(path, upright=True)
        found = likely(look(models, options, np.asarray(image)), threshold)
        known = models[0].classes
        tell(console, f"{path}: {len(found.boxes)} objects", *found_lines(found, known))
        if picture:
            tell(console, f"Picture: {draw_found(image, found, known, pictures[path])}")


def likely(found: Found, threshold: float) -> Found:
    """Those of at least this score."""
    chosen = found.scores >= threshold
    return Found(found.boxes[chosen], found.labels[chosen], found.scores[chosen])


def found_lines(found: Found, classes: Sequence[str]) -> list[str]:
    """A line for each object: its class, its score, and from where to where it reaches."""
    rows = zip(found.boxes.tolist(), found.labels, found.scores, strict=True)
    return [
        f"  {classes[label - 1]:20} {score:4.0%}  x {x1:.0f} to {x2:.0f}, y {y1:.0f} to {y2:.0f}"
        for (x1, y1, x2, y2), label, score in rows
    ]
