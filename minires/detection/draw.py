"""Annotated pictures: boxes with the names of their classes, a colour a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..common.files import atomic
from ..common.pictures import COLOURS
from ..data.images import open_image
from .annotations import Annotations
from .regions import Found

if TYPE_CHECKING:
    from PIL.Image import Image

INK = "white"


def draw_boxes(
    image: Image, boxes: np.ndarray, names: list[str], colours: list[str] | None = None
) -> Image:
    """A copy of an RGB image with boxes (N, 4) and what they are called, at their upper edge.

    A box that ends before it begins, or lies outside, is drawn as far as it can be seen.
    """
    from PIL import ImageDraw, ImageFont

    picture, unit = image.copy(), max(1, round(max(image.size) / 400))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=10 + 2 * unit)
    for box, name, colour in zip(boxes, names, colours or [COLOURS[0]] * len(names), strict=True):
        limits = np.array([*image.size, *image.size])
        x1, y1, x2, y2 = np.clip(np.round(box), -1, limits + 1).astype(int)
        left, top = min(x1, x2), min(y1, y2)
        corners = (left, top, max(x1, x2, left + 1) - 1, max(y1, y2, top + 1) - 1)
        draw.rectangle(corners, outline=colour, width=unit)
        place = (max(left, 0) + unit, max(top, 0) + unit)
        draw.rectangle(draw.textbbox(place, name, font=font), fill=colour)
        draw.text(place, name, fill=INK, font=font)
    return picture


def draw_annotations(annotations: Annotations, place: int, path: Path) -> Path:
    """Write image number `place` with its annotated boxes; difficult ones and crowds say so.

    Raises: BrokenImageError for an image that can't be read, ValueError where it has no file.
    """
    image = annotations.images[place]
    if image.path is None:
        raise ValueError(f"the file of {image.name} is missing: there is nothing to draw on")
    part = annotations.of_image(place)
    labels = annotations.label[part].tolist()
    marks = zip(labels, annotations.difficult[part], annotations.crowd[part], strict=True)
    names = [
        annotations.classes[label - 1] + " (difficult)" * bool(hard) + " (crowd)" * bool(crowd)
        for label, hard, crowd in marks
    ]
    picture = draw_boxes(open_image(image.path), annotations.box[part], names, colours_of(labels))
    return save_picture(picture, path)


def draw_found(image: Image, found: Found, classes: Sequence[str], path: Path) -> Path:
    """Write an image with what was found in it: names of classes and scores."""
    labels = found.labels.tolist()
    pairs = zip(labels, found.scores, strict=True)
    names = [f"{classes[label - 1]} {score:.0%}" for label, score in pairs]
    return save_picture(draw_boxes(image, found.boxes, names, colours_of(labels)), path)


def colours_of(labels: Sequence[int]) -> list[str]:
    """A colour for each label."""
    return [COLOURS[(label - 1) % len(COLOURS)] for label in labels]


def save_picture(picture: Image, path: Path) -> Path:
    """Write a picture, whole or not at all."""
    with atomic(path) as temporary:
        picture.save(temporary, format="PNG")
    return path
