"""Networks side by side as a picture, after He et al. 2015, fig. 3: one box for each layer.

What is drawn is what runs: one image goes through each network, and every convolution, pooling and
fully connected layer becomes a box as it is called. Layers whose maps have the same size stand on
the same level and have the same colour. A line past a block is a shortcut, dotted where it changes
the shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from ..autograd import Tensor, no_grad
from ..common.expecting import COUNT, SOME, TRIPLE, Each, expects
from ..common.files import atomic
from ..nn import (
    AvgPool2d,
    Conv2d,
    GlobalAvgPool,
    Identity,
    Linear,
    MaxPool2d,
    Module,
    evaluating,
    summary,
)
from ..nn.module import Hook

WIDTH, HEIGHT, GAP = 124, 20, 18  # of a box, and between boxes, in pixels
ARC, LABELS, HEAD, MARGIN, FOOT = 36, 104, 80, 26, 26
MOST = 8  # equal blocks in a row that are drawn one by one
PALE = ("#cfe3f3", "#f8d9c4", "#c9e9dd", "#f0d9e7", "#f9e6bd", "#d6eefa")
DARK = ("#0072B2", "#B84F00", "#007A59", "#A3568A", "#9A6A00", "#2B7DB0")
FILLS = {"pool": ("white", "#999999"), "fc": ("#eeeeee", "#666666")}
LEGEND = "⊕ adds a shortcut to a block: solid lines are identities, dotted ones change the shape"


@dataclass(frozen=True)
class Box:
    """One layer, or one row of the branches of an inception module."""

    texts: tuple[str, ...]
    size: int  # side of its map; 1 for a vector
    block: str = ""  # the residual block or inception module that it belongs to
    shortcut: str = ""  # of that block: "identity", "changed", or none
    kind: str = "conv"  # or "pool", "fc", "left out"


@expects(models=Each(Module, SOME), path=Path, input_shape=Each(COUNT, TRIPLE))
def draw_architectures(
    models: Sequence[Module], path: Path, input_shape: tuple[int, int, int] = (224, 224, 3)
) -> Path:
    """Draw networks side by side into an SVG file, for images of (H, W, C)."""
    with atomic(path) as temporary:
        temporary.write_text(svg(models, input_shape), encoding="utf-8")
    return path


# ------------------------------------------------------------------------ what there is to draw


def outline(model: Module, input_shape: tuple[int, int, int]) -> list[Box]:
    """The boxes of a network from top to bottom."""
    blocks = {name: block for name, block in model.named_modules() if hasattr(block, "downsample")}
    boxes: list[tuple[str, Box]] = []
    first = model.parameters()[0]
    with ExitStack() as undo, no_grad(), evaluating(model):
        for name, module in model.named_modules():
            if not list(module.named_children()) and "downsample" not in name:
                hook = recorder(name, blocks, boxes)
                undo.enter_context(module.register_forward_hook(hook))
        model(Tensor(np.zeros((1, *input_shape), first.dtype)).to(first.device))
    return list(shortened(in_rows(boxes)))


def recorder(name: str, blocks: dict[str, Any], boxes: list[tuple[str, Box]]) -> Hook:
    """A hook that adds a layer's box."""

    def record(module: Module, _: Any, y: Tensor) -> None:
        boxes.extend(boxed(name, module, y, blocks))

    return record


def boxed(
    name: str, module: Module, y: Tensor, blocks: dict[str, Any]
) -> Iterable[tuple[str, Box]]:
    """A layer's box with its name, if it gets one."""
    if (text := words(module)) is None:
        return
    size = y.shape[1] if y.ndim == 4 else 1
    kind = "conv" if isinstance(module, Conv2d) else "pool"
    kind = "fc" if isinstance(module, Linear) else kind
    block = next((path for path in blocks if name.startswith(f"{path}.")), "")
    shortcut = shortcut_of(blocks[block]) if block else ""
    yield name, Box((text,), size, block, shortcut, kind)


def words(module: Module) -> str | None:
    """What a layer's box says; None for layers that get none."""
    if isinstance(module, Conv2d):
        rows, columns, _, channels = module.weight.shape
        return f"{rows}×{columns} conv, {channels}" + stride_of(module)
    if isinstance(module, MaxPool2d | AvgPool2d):
        return ("max" if isinstance(module, MaxPool2d) else "avg") + " pool" + stride_of(module)
    if isinstance(module, GlobalAvgPool):
        return "avg pool"
    return f"fc, {module.weight.shape[1]}" if isinstance(module, Linear) else None


def stride_of(module: Conv2d | MaxPool2d | AvgPool2d) -> str:
    """ ", /2" where a layer halves the map."""
    stride = module.stride
    return f", /{stride}" if stride != 1 else ""


def shortcut_of(block: Any) -> str:
    """The kind of line past a block."""
    if block.downsample is None:
        return ""
    return "identity" if isinstance(block.downsample, Identity) else "changed"


def in_rows(boxes: list[tuple[str, Box]]) -> list[Box]:
    """Branches of an inception module side by side, in rows; everything else as it is."""
    rows: list[Box] = []
    for module, group in groupby(boxes, key=lambda item: item[0].partition(".branch")[::2][0]):
        items = list(group)
        if ".branch" not in items[0][0]:
            rows += [box for _, box in items]
            continue
        branches = [
            [box for _, box in branch]
            for _, branch in groupby(items, key=lambda item: item[0].split(".branch")[1][0])
        ]
        depth = max(map(len, branches))
        for row in range(depth):
            texts = tuple(short(b[row]) if row < len(b) else "" for b in branches)
            rows.append(Box(texts, branches[0][0].size, module))
    return rows


def short(box: Box) -> str:
    """A branch's box: it is small."""
    return box.texts[0].replace(" conv", "").replace("max pool", "pool")


def shortened(boxes: list[Box]) -> Iterable[Box]:
    """The first two and the last of many equal blocks in a row, and how many are left out."""
    blocks = [list(group) for _, group in groupby(boxes, key=lambda b: b.block or id(b))]
    for _, run in groupby(blocks, key=lambda block: [(b.texts, b.shortcut) for b in block]):
        equal = list(run)
        if len(equal) <= MOST:
            yield from (box for block in equal for box in block)
            continue
        yield from (box for block in equal[:2] for box in block)
        words = f"⋮  {len(equal) - 3} more blocks"
        yield Box((words,), equal[0][0].size, kind="left out")
        yield from equal[-1]


# --------------------------------------------------------------------------------- the picture


def svg(models: Sequence[Module], input_shape: tuple[int, int, int]) -> str:
    """The whole picture as text."""
    columns = [outline(model, input_shape) for model in models]
    sizes = sorted({box.size for column in columns for box in column}, reverse=True)
    tops, bottom = levels(columns, sizes)
    parts, x, drawn_shortcut = [], LABELS, False
    for model, boxes in zip(models, columns, strict=True):
        width = max(WIDTH if len(box.texts) == 1 else 4 * 74 for box in boxes)
        parts += title(model, input_shape, x + width / 2)
        parts += column(boxes, tops, x, width)
        drawn_shortcut |= any(box.shortcut for box in boxes)
        x += width + ARC + MARGIN
    labels = [level(size, tops[size], x) for size in sizes]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {x} {bottom}" width="{x}" '
        f'height="{bottom}" font-family="Helvetica, Arial, sans-serif" text-anchor="middle">'
    )
    arrow = (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" '
        'markerHeight="6" orient="auto"><path d="M0 0.5 8 4 0 7.5z" fill="#444"/></marker></defs>'
    )
    white = f'<rect width="{x}" height="{bottom}" fill="white"/>'
    parts += [note(LEGEND, bottom - 12)] if drawn_shortcut else []
    return "\n".join([head, arrow, white, *labels, *parts, "</svg>\n"])


def levels(columns: list[list[Box]], sizes: list[int]) -> tuple[dict[int, int], int]:
    """Where the maps of each size begin, and the bottom of the picture."""
    tops, y = {}, HEAD
    for size in sizes:
        tops[size] = y
        y += max(sum(box.size == size for box in boxes) for boxes in columns) * (HEIGHT + GAP) + 8
    return tops, y + FOOT


def title(model: Module, input_shape: tuple[int, int, int], x: float) -> list[str]:
    """A network's name, its multiply-adds and parameters."""
    cost = summary(model, input_shape)
    name = escape(getattr(model, "name", type(model).__name__))
    large = 16 if len(name) < 15 else 12
    lines = f"{amount(cost.multiply_adds)} multiply-adds", f"{amount(cost.parameters)} parameters"
    return [
        f'<text x="{x}" y="24" font-size="{large}" font-weight="bold">{name}</text>',
        *(
            f'<text x="{x}" y="{42 + 14 * i}" font-size="11" fill="#555">{line}</text>'
            for i, line in enumerate(lines)
        ),
    ]


def amount(number: int) -> str:
    """Three digits and a word."""
    for unit, word in ((1e9, " billion"), (1e6, " million")):
        if number >= unit:
            return f"{number / unit:.{1 if number / unit < 100 else 0}f}{word}"
    return f"{number:,}"


def level(size: int, top: int, right: int) -> str:
    """A thin line across, and the size of the maps below it."""
    y, text = top - 13, f"{size} × {size}" if size > 1 else "1 × 1"
    line = f'<path d="M10 {y} H{right - 10}" stroke="#ddd" stroke-dasharray="2 4"/>'
    return line + note(text, y + 17)


def note(text: str, y: int) -> str:
    """Small text at the left."""
    return f'<text x="12" y="{y}" font-size="11" fill="#555" text-anchor="start">{text}</text>'


def column(boxes: list[Box], tops: dict[int, int], x: int, width: int) -> list[str]:
    """The boxes of one network, arrows from each to the next, and its shortcuts."""
    places, seen = [], dict.fromkeys(tops, 0)
    for box in boxes:
        places.append(tops[box.size] + seen[box.size] * (HEIGHT + GAP))
        seen[box.size] += 1
    middle, parts = x + width / 2, []
    for above, below in pairwise(places):
        parts.append(
            f'<path d="M{middle} {above + HEIGHT} V{below - 1}" stroke="#444" '
            f'marker-end="url(#arrow)"/>'
        )
    for _, group in groupby(range(len(boxes)), key=lambda i: boxes[i].block or i):
        rows = list(group)
        if boxes[rows[0]].shortcut:
            start, end = places[rows[0]] - 7.5, places[rows[-1]] + HEIGHT + 6
            parts.append(arc(middle, x + width, start, end, boxes[rows[0]].shortcut))
        elif len(boxes[rows[0]].texts) > 1:
            parts.append(frame(x, places[rows[0]], width, places[rows[-1]] + HEIGHT))
    shades = {size: shade for shade, size in enumerate(tops)}
    parts += [one_box(b, shades, x, y, width) for b, y in zip(boxes, places, strict=True)]
    return parts


def frame(x: float, top: float, width: float, bottom: float) -> str:
    """A line around the branches of one module."""
    place = f'x="{x - 5}" y="{top - 5}" width="{width + 10}" height="{bottom - top + 10}"'
    return f'<rect {place} rx="6" fill="none" stroke="#bbb"/>'


def arc(middle: float, right: float, start: float, end: float, kind: str) -> str:
    """A shortcut, from the arrow into a block to where it is added to what comes out."""
    out = right + ARC
    dotted = ' stroke-dasharray="3 3"' if kind == "changed" else ""
    path = f"M{middle} {start} H{right} C{out} {start} {out} {end} {right} {end} H{middle + 5}"
    plus = f"M{middle - 4} {end} h8 M{middle} {end - 4} v8"
    return (
        f'<path d="{path}" fill="none" stroke="#222" stroke-width="1.3"{dotted} '
        f'marker-end="url(#arrow)"/><circle cx="{middle}" cy="{end}" r="4" fill="white" '
        f'stroke="#222"/><path d="{plus}" stroke="#222"/>'
    )


def one_box(box: Box, shades: dict[int, int], x: float, y: float, width: float) -> str:
    """A layer's rectangle and text; several, side by side, for branches."""
    if box.kind == "left out":
        return text_in(box.texts[0], x + width / 2, y, "#444")
    shade = shades[box.size] % len(PALE)
    fill, line = FILLS.get(box.kind, (PALE[shade], DARK[shade]))
    if len(box.texts) == 1:
        x, width = x + (width - WIDTH) / 2, WIDTH
    part = width / len(box.texts)
    return "".join(
        f'<rect x="{x + i * part + 1}" y="{y}" width="{part - 2}" height="{HEIGHT}" rx="3" '
        f'fill="{fill}" stroke="{line}"/>' + text_in(text, x + (i + 0.5) * part, y, "#111")
        for i, text in enumerate(box.texts)
        if text
    )


def text_in(text: str, x: float, y: float, colour: str) -> str:
    """Text in the middle of a box."""
    return f'<text x="{x}" y="{y + 14}" font-size="11" fill="{colour}">{escape(text)}</text>'
