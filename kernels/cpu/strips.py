"""Strips of maps in bfloat16: what a chunk of a convolution on tiles reads; see `amx.py`.

A strip is a copy of some images, or of some rows of one, as values that a tile can load: what is
pending is applied, and borders are zeros. Two lines share the border between them, and so do two
images. A line is `pitch` pixels long, `padding` zeros and the row, so the zeros at the end of a row
are those at the beginning of the next one.

With a stride the lines lie in *phases*: kernel row i reads the lines of phase i % stride, and there
line r + i // stride for output row r. Within a line, positions are `stride` pixels apart. So the
place of tap (i, j) is the same for all positions but for a constant.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .amx import DEPTH
from .compiling import LANES, helper
from .operands import grad_terms, input_terms, load_grad, load_input
from .simd import copy_elements, store_lanes
from .tile import round_up
from .window import Window, by_shape, fill_zero

LIMIT = 1 << 16  # the most elements of a strip, unless a row has more: 128 KB, so L2 holds it
TASKS = 32  # the fewest chunks, if the shape allows: then no thread waits long for another
SLACK = 96  # elements behind the last pixel that tiles may load, besides 32 pixels


class Strip(NamedTuple):
    """How a map is cut into strips, and what lies where in one."""

    images: int  # of a chunk
    parts: int  # chunks of an image
    rows: int  # output rows of an image in a chunk
    lines: int  # of an image: its rows, and those of the border
    pitch: int  # pixels of a line
    size: int  # elements of a phase


@by_shape
def strip(w: Window, images: int = 0) -> Strip:
    """The strips under a window; with `images` so many whole images in each."""
    pitch, lines, rows, parts = pitch_of(w), lines_of(w), w.rows, 1
    one = lines * w.stride * pitch * w.channels
    if not images:
        images = images_of_chunk(w.images, one)
        if one > 2 * LIMIT:
            parts = -(-one // LIMIT)
            rows = -(-w.rows // min(parts, w.rows))
            parts, lines = -(-w.rows // rows), rows
    size = (images * lines + (w.kernel_rows - 1) // w.stride + 1) * pitch * w.channels
    slack = (DEPTH * w.stride + w.kernel_cols) * w.channels + SLACK
    return Strip(images, parts, rows, lines, pitch, round_up.py_func(size + slack, SLACK // 3))


def pitch_of(w: Window) -> int:
    return int(round_up.py_func(w.width + w.padding, w.stride))


def lines_of(w: Window) -> int:
    return int(round_up.py_func(w.height + w.padding, w.stride)) // w.stride


def images_of_chunk(images: int, elements: int) -> int:
    """Images of so many elements that fit into a strip, but no more than leave TASKS chunks."""
    return max(1, min(LIMIT // max(1, elements), images // TASKS))


def number_of_chunks(w: Window, s: Strip) -> int:
    return w.images * s.parts if s.parts > 1 else -(-w.images // s.images)


def first_pixels(w: Window, s: Strip) -> np.ndarray:
    """The output pixel that each chunk starts at, and one past the last."""
    chunk = np.arange(number_of_chunks(w, s))
    line = chunk // s.parts * s.images * w.rows + chunk % s.parts * s.rows
    return np.append(line, w.images * w.rows) * w.cols


@helper
def chunk_place(w, s, chunk):
    """`(image, images, row, rows)`: the first image and output row of a chunk, and how many."""
    image, part = divmod(chunk, s.parts)
    image, row = image * s.images, part * s.rows
    return image, min(s.images, w.images - image), row, min(s.rows, w.rows - row)


@helper
def steps(w):
    """Tiles of a run: the taps of a kernel row."""
    return (w.kernel_cols * w.channels + DEPTH - 1) // DEPTH


@helper
def run_start(w, s, i, p):
    """Where a tile from position p on reads kernel row i."""
    line = i // w.stride * s.pitch
    return i % w.stride * s.size + (line + p * w.stride) * w.channels


@helper
def phases(w):
    return min(w.stride, w.kernel_rows)


def filler(copy_line):
    """A function that fills a strip, by one that copies a line of the map."""

    @helper
    def fill(source, w, s, image, images, row, strip):
        line = s.pitch * w.channels
        border, inside = w.padding * w.channels, w.width * w.channels
        extra = (w.kernel_rows - 1) // w.stride + 1
        for phase in range(phases(w)):
            at, end = phase * s.size, (phase + 1) * s.size
            for m in range(images):
                for t in range(s.lines + (extra if m == images - 1 else 0)):
                    y = (row + t) * w.stride + phase - w.padding
                    if 0 <= y < w.height:
                        fill_zero(strip, at, border)
                        start = ((image + m) * w.height + y) * inside
                        copy_line(source, start, w.width, w.channels, strip, at + border)
                        fill_zero(strip, at + border + inside, line - border - inside)
                    else:
                        fill_zero(strip, at, line)
                    at += line
            fill_zero(strip, at, end - at)

    return fill


@helper
def copy_input_line(source, start, width, channels, strip, to):
    """A line of an input, from its first element."""
    if not source.norm_pending:
        copy_elements(source.x, start, strip, to, width * channels)
        return
    for c in range(0, channels, LANES):
        lanes = channels - c
        terms = input_terms(source, c, lanes)
        for at in range(c, width * channels, channels):
            store_lanes(load_input(source, terms, start + at, lanes, True), strip, to + at, lanes)


@helper
def copy_grad_line(grad, start, width, channels, strip, to):
    """A line of a gradient, from its first element."""
    if not (grad.mask_pending or grad.norm_pending):
        copy_elements(grad.dy, start, strip, to, width * channels)
        return
    for c in range(0, channels, LANES):
        lanes = channels - c
        terms = grad_terms(grad, c, lanes)
        for at in range(c, width * channels, channels):
            store_lanes(load_grad(grad, terms, start + at, lanes, True), strip, to + at, lanes)


fill_with_input = filler(copy_input_line)
fill_with_grad = filler(copy_grad_line)
