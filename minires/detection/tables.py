"""What was checked and evaluated, as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .anchors import RATIOS
from .annotations import Annotations, Fault
from .check import Check, share
from .coco_metric import AREAS, CocoEvaluation
from .voc_metric import VocEvaluation

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 5  # faults of a kind


def heading(annotations: Annotations) -> str:
    """How many of everything there are."""
    return (
        f"{annotations.name}: {len(annotations.images):,} images, {len(annotations):,} objects of "
        f"{len(annotations.classes)} classes ({int(annotations.difficult.sum()):,} difficult, "
        f"{int(annotations.crowd.sum()):,} crowds)"
    )


def fault_lines(faults: Iterable[Fault]) -> list[str]:
    """Each kind with its number and its first few."""
    kinds: dict[str, list[str]] = {}
    for fault in faults:
        kinds.setdefault(fault.kind, []).append(fault.text)
    lines = []
    for kind, texts in kinds.items():
        lines.append(f"  {len(texts):,} {kind}")
        lines += [f"      {text}" for text in texts[:SHOWN]]
        if len(texts) > SHOWN:
            lines.append(f"      and {len(texts) - SHOWN:,} more")
    return lines


def plain_table(*columns: str) -> Table:
    """A table whose first column is text, the others figures."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=0)
    table.add_column(columns[0], overflow="fold")
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


def class_table(result: Check) -> Table:
    """For each class: objects, their side as the network sees them, the share with an anchor."""
    from rich.text import Text

    columns = ("class", "objects", "images", "difficult", "side, px", "IoU >= .5", "IoU >= .7")
    table, a = plain_table(*columns), result.annotations
    overlap, labels = result.overlap(), a.label[result.usable]
    for name, label in [*zip(a.classes, range(1, len(a.classes) + 1), strict=True), ("all", None)]:
        them = np.ones(len(a), bool) if label is None else a.label == label
        seen = np.ones(len(labels), bool) if label is None else labels == label
        side = f"{np.median(result.sides[seen]):.0f}" if seen.any() else "-"
        shares = [
            f"{share(overlap[seen] >= least):.0%}" if seen.any() else "-" for least in (0.5, 0.7)
        ]
        counts = (them.sum(), len(np.unique(a.image[them])), a.difficult[them].sum())
        table.add_row(Text(name), *(f"{int(count):,}" for count in counts), side, *shares)
    return table


def anchor_lines(result: Check) -> list[str]:
    """What the last columns of the table are, and which anchors would fit better."""
    view, sides = result.viewing, result.sides
    lines = [
        f"side: median of sqrt(width x height), images scaled to {view.shorter} pixels, at most "
        f"{view.longer}",
        f"IoU: share of the objects with such an anchor, of {with_commas(view.sizes)} pixels x "
        f"{len(RATIOS)} ratios every {view.stride}{'' if view.border else ', inside the image'}",
    ]
    if len(sides):
        low, high = np.percentile(sides, (5, 95))
        lines.append(f"nine of ten objects have sides from {low:.0f} to {high:.0f} pixels")
    if better := result.better_sizes():
        sizes, fitting = better
        lines.append(
            f"anchors of {with_commas(sizes)} fit better: {fitting:.0%} of the objects at .5"
        )
    return lines


def with_commas(sizes: Sequence[float]) -> str:
    """Sizes with commas."""
    return ",".join(f"{size:g}" for size in sizes)


def percent(value: float) -> str:
    """A share as percent, without the sign; "-" for what is not there (-1 or NaN)."""
    return f"{100 * value:.1f}" if value >= 0 else "-"


def detection_table(coco: CocoEvaluation, voc: VocEvaluation) -> Table:
    """For each class, by COCO's rules: AP, of each size too, and recall; by VOC's: both AP."""
    from rich.text import Text

    columns = ("class", "count", "AP", "AP50", "AP75", *AREAS[1:], "AR", "VOC07", "VOC")
    table = plain_table(*columns)
    for label, name in enumerate(coco.classes, 1):
        curve = voc.curves[name]
        figures = (curve.average_precision_11(), curve.average_precision())
        row = (*coco_figures(coco, label), *figures)
        table.add_row(Text(name), f"{coco.objects[label - 1, 0]:,}", *map(percent, row))
    table.add_section()
    row = (*coco_figures(coco, None), voc.mean_11, voc.mean)
    table.add_row("all", f"{coco.objects[:, 0].sum():,}", *map(percent, row))
    table.add_row("count", *[""] * 4, *(f"{n:,}" for n in coco.objects[:, 1:].sum(axis=0)))
    return table


def coco_figures(coco: CocoEvaluation, label: int | None) -> tuple[float, ...]:
    """AP, AP50, AP75, AP of the three sizes, and recall."""
    return (
        coco.average_precision(label=label),
        coco.average_precision(iou=0.5, label=label),
        coco.average_precision(iou=0.75, label=label),
        *(coco.average_precision(area=area, label=label) for area in AREAS[1:]),
        coco.average_recall(label=label),
    )


def coco_table(coco: CocoEvaluation) -> Table:
    """COCO's twelve numbers."""
    table = plain_table("COCO", "%")
    for name, value in coco.twelve.items():
        table.add_row(name, percent(value))
    return table
