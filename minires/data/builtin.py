"""The built-in data set: ten kinds of drawn objects in their surroundings, from a seed.

Every example, test and exercise can run on it with no network. It is made to be learned the way
photographs are: colours and surroundings give a hint that is learned early (a sailboat is on
water more often than not), and what is left needs the object's parts and how they are put
together, at any place, size and tilt, under noise and in front of clutter. Mirroring an image
left to right never changes its class.

Objects are drawn as signed distances: `d(u, v)` is negative inside a part, positive outside, in
object units (the object fills about -1 .. 1; u points right, v points down). A part's edge is
one pixel wide and smooth.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .dataset import Dataset

Array = npt.NDArray[np.float32]
Colour = Array  # (n, 3), red, green and blue in 0 .. 1

SIZE = 32
NAME = "built-in drawings"


def generate(*, train: int = 12_000, test: int = 2_000, seed: int = 0) -> Dataset:
    """Draw the data set: `train` and `test` images (N, 32, 32, 3), ten classes in equal parts.

    The same seed gives the same images. The training images do not depend on `test`.
    """
    train_images, train_labels = _split(train, np.random.default_rng([seed, 0]))
    test_images, test_labels = _split(test, np.random.default_rng([seed, 1]))
    return Dataset(NAME, train_images, train_labels, test_images, test_labels, tuple(OBJECTS))


def _split(
    count: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    labels = rng.permutation(np.arange(count, dtype=np.uint8) % len(OBJECTS))
    images = np.empty((count, SIZE, SIZE, 3), np.uint8)
    for label, name in enumerate(OBJECTS):
        chosen = np.flatnonzero(labels == label)
        images[chosen] = _draw(name, len(chosen), rng)
    return images, labels


def _draw(name: str, count: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """`count` images of one class: surroundings, clutter, the object, then light and noise."""
    canvas = Canvas(count, rng)
    paint, scene = OBJECTS[name]
    _surroundings(canvas, scene)
    _clutter(canvas)
    canvas.place(scale=(0.55, 0.85), tilt=0.3, reach=0.25)
    paint(canvas)
    return canvas.developed()


class Canvas:
    """`n` images (n, 32, 32, 3) drawn at once, and the pose of the object in each."""

    def __init__(self, count: int, rng: np.random.Generator) -> None:
        self.rng = rng
        self.count = count
        self.images = np.zeros((count, SIZE, SIZE, 3), np.float32)
        axis = (np.arange(SIZE, dtype=np.float32) + 0.5) / (SIZE / 2) - 1
        self.x, self.y = axis[None, None, :], axis[None, :, None]
        self.place(scale=(1, 1), tilt=0, reach=0)

    def place(self, *, scale: tuple[float, float], tilt: float, reach: float) -> None:
        """Draw a new pose: size, angle up to `tilt` radians, shift up to `reach` of the image."""
        self.scale = self.uniform(*scale)[:, None, None]
        angle = self.uniform(-tilt, tilt)[:, None, None]
        x = (self.x - self.uniform(-reach, reach)[:, None, None]) / self.scale
        y = (self.y - self.uniform(-reach, reach)[:, None, None]) / self.scale
        side = np.where(self.uniform(0, 1) < 0.5, -1, 1)[:, None, None].astype(np.float32)
        self.u = side * (np.cos(angle) * x + np.sin(angle) * y)
        self.v = np.cos(angle) * y - np.sin(angle) * x

    def uniform(self, low: float, high: float) -> Array:
        """One number for each image, (n,)."""
        return self.rng.uniform(low, high, self.count).astype(np.float32)

    def paint(self, distance: Array, colour: Colour, opacity: float | Array = 1) -> None:
        """Cover the inside of a part (n, 32, 32) with a colour."""
        cover = opacity * np.clip(0.5 - distance * self.scale * (SIZE / 2), 0, 1)
        self.images += cover[..., None] * (colour[:, None, None, :] - self.images)

    def colour(self, *palette: tuple[float, float, float], faithful: float = 0.6) -> Colour:
        """A colour for each image: near one of the palette, or (1 - faithful) any at all."""
        near = np.array(palette, np.float32)[self.rng.integers(len(palette), size=self.count)]
        near += self.rng.normal(0, 0.1, near.shape).astype(np.float32)
        anything = self.rng.random(near.shape, np.float32)
        keep = self.uniform(0, 1) < faithful
        return np.clip(np.where(keep[:, None], near, anything), 0, 1)

    def smooth_noise(self, cells: int) -> Array:
        """Random hills of about unit height, (n, 32, 32): `cells` + 1 grid points, interpolated."""
        at = np.linspace(0, cells, SIZE, dtype=np.float32)[:, None]
        weights = np.maximum(0, 1 - np.abs(at - np.arange(cells + 1, dtype=np.float32)))
        grid = self.rng.standard_normal((self.count, cells + 1, cells + 1), np.float32)
        return np.asarray(weights @ grid @ weights.T)

    def developed(self) -> npt.NDArray[np.uint8]:
        """Change light and contrast, add noise, and round to uint8."""
        contrast = self.uniform(0.5, 1.1)[:, None, None, None]
        light = self.rng.uniform(0.35, 0.65, (self.count, 1, 1, 3)).astype(np.float32)
        grain = self.uniform(0.02, 0.12)[:, None, None, None]
        noise = self.rng.standard_normal(self.images.shape, np.float32)
        images = (self.images - 0.5) * contrast + light + grain * noise
        return (np.clip(images, 0, 1) * 255 + 0.5).astype(np.uint8)


# ------------------------------------------------------------------- parts, as signed distances


def disc(u: Array, v: Array, *, at: tuple[float, float] = (0, 0), r: float) -> Array:
    """A disc of radius r around `at`."""
    return np.hypot(u - np.float32(at[0]), v - np.float32(at[1])) - np.float32(r)


def ellipse(
    u: Array, v: Array, *, at: tuple[float, float] = (0, 0), r: tuple[float, float]
) -> Array:
    """An ellipse with half axes r; the distance is exact only at the edge's four ends."""
    a, b = np.float32(r[0]), np.float32(r[1])
    return (np.hypot((u - np.float32(at[0])) / a, (v - np.float32(at[1])) / b) - 1) * min(a, b)


def box(u: Array, v: Array, *, left: float, right: float, top: float, bottom: float) -> Array:
    """An upright rectangle."""
    across = np.abs(u - np.float32((left + right) / 2)) - np.float32((right - left) / 2)
    down = np.abs(v - np.float32((top + bottom) / 2)) - np.float32((bottom - top) / 2)
    return np.maximum(across, down)


def polygon(u: Array, v: Array, *corners: tuple[float, float]) -> Array:
    """A convex polygon, corners clockwise as seen (v points down)."""
    inside: Array | None = None
    for (u0, v0), (u1, v1) in zip(corners, corners[1:] + corners[:1], strict=True):
        length = np.hypot(u1 - u0, v1 - v0)
        normal = np.float32((v1 - v0) / length), np.float32(-(u1 - u0) / length)
        edge = (u - np.float32(u0)) * normal[0] + (v - np.float32(v0)) * normal[1]
        inside = edge if inside is None else np.maximum(inside, edge)
    assert inside is not None
    return inside


# ----------------------------------------------------------------------------- ten objects

SKY, GRASS, SEA, NIGHT = (0.5, 0.7, 0.95), (0.35, 0.6, 0.25), (0.1, 0.35, 0.6), (0.1, 0.1, 0.25)
SNOW, SAND, STREET, WALL = (0.9, 0.92, 0.95), (0.85, 0.75, 0.5), (0.5, 0.5, 0.52), (0.7, 0.6, 0.5)
RED, ORANGE, YELLOW, PINK = (0.8, 0.15, 0.1), (0.9, 0.5, 0.1), (0.95, 0.85, 0.2), (0.9, 0.5, 0.7)
GREEN, BROWN, WHITE, BLACK = (
    (0.1, 0.45, 0.15),
    (0.4, 0.25, 0.1),
    (0.95, 0.95, 0.95),
    (0.1, 0.1, 0.1),
)
BLUE, VIOLET = (0.2, 0.3, 0.8), (0.5, 0.2, 0.6)


def house(c: Canvas) -> None:
    c.paint(box(c.u, c.v, left=-0.7, right=0.7, top=-0.1, bottom=0.9), c.colour(WHITE, SAND, WALL))
    c.paint(polygon(c.u, c.v, (0, -0.9), (0.95, -0.05), (-0.95, -0.05)), c.colour(RED, BROWN))
    dark = c.colour(BROWN, BLACK)
    c.paint(box(c.u, c.v, left=0.1, right=0.45, top=0.25, bottom=0.9), dark)
    c.paint(box(c.u, c.v, left=-0.5, right=-0.1, top=0.15, bottom=0.5), dark)


def tree(c: Canvas) -> None:
    c.paint(box(c.u, c.v, left=-0.15, right=0.15, top=0.1, bottom=1), c.colour(BROWN))
    leaves = c.colour(GREEN, GRASS)
    for at, r in (((0, -0.5), 0.5), ((-0.4, -0.05), 0.42), ((0.4, -0.05), 0.42)):
        c.paint(disc(c.u, c.v, at=at, r=r), leaves)


def sailboat(c: Canvas) -> None:
    hull = polygon(c.u, c.v, (-0.95, 0.45), (0.95, 0.45), (0.6, 0.9), (-0.6, 0.9))
    c.paint(hull, c.colour(BROWN, RED, BLUE))
    c.paint(box(c.u, c.v, left=-0.06, right=0.06, top=-1, bottom=0.45), c.colour(BROWN, BLACK))
    sail = c.colour(WHITE, SAND)
    c.paint(polygon(c.u, c.v, (0.12, -0.95), (0.85, 0.3), (0.12, 0.3)), sail)
    c.paint(polygon(c.u, c.v, (-0.12, -0.6), (-0.12, 0.3), (-0.65, 0.3)), sail)


def fish(c: Canvas) -> None:
    body = c.colour(ORANGE, YELLOW, BLUE)
    c.paint(polygon(c.u, c.v, (-1, -0.5), (-0.35, 0), (-1, 0.5)), body)
    c.paint(ellipse(c.u, c.v, at=(0.2, 0), r=(0.75, 0.45)), body)
    c.paint(disc(c.u, c.v, at=(0.6, -0.1), r=0.12), c.colour(BLACK))
    stripe = box(c.u, c.v, left=-0.05, right=0.15, top=-0.36, bottom=0.36)
    c.paint(stripe, c.colour(WHITE, RED))


def flower(c: Canvas) -> None:
    c.paint(box(c.u, c.v, left=-0.07, right=0.07, top=0, bottom=1), c.colour(GREEN))
    petals = c.colour(PINK, RED, WHITE, VIOLET)
    for angle in np.arange(5) * 2 * np.pi / 5:
        at = 0.4 * np.sin(angle), -0.35 - 0.4 * np.cos(angle)
        c.paint(disc(c.u, c.v, at=at, r=0.27), petals)
    c.paint(disc(c.u, c.v, at=(0, -0.35), r=0.24), c.colour(YELLOW))


def mushroom(c: Canvas) -> None:
    c.paint(box(c.u, c.v, left=-0.22, right=0.22, top=0, bottom=0.9), c.colour(WHITE, SAND))
    cap = np.maximum(ellipse(c.u, c.v, at=(0, 0.1), r=(0.95, 0.95)), c.v - np.float32(0.1))
    c.paint(cap, c.colour(RED, BROWN))
    dots = c.colour(WHITE)
    for at in ((-0.5, -0.25), (0.05, -0.5), (0.5, -0.15)):
        c.paint(disc(c.u, c.v, at=at, r=0.15), dots)


def car(c: Canvas) -> None:
    body = c.colour(RED, BLUE, YELLOW, BLACK)
    c.paint(box(c.u, c.v, left=-0.95, right=0.95, top=-0.1, bottom=0.4), body)
    c.paint(polygon(c.u, c.v, (-0.4, -0.55), (0.3, -0.55), (0.6, -0.05), (-0.6, -0.05)), body)
    glass = box(c.u, c.v, left=-0.35, right=0.25, top=-0.42, bottom=-0.12)
    c.paint(glass, c.colour(SKY, WHITE))
    wheel = c.colour(BLACK)
    for at in (-0.5, 0.5):
        c.paint(disc(c.u, c.v, at=(at, 0.4), r=0.24), wheel)


def balloon(c: Canvas) -> None:
    c.paint(box(c.u, c.v, left=-0.03, right=0.03, top=0.3, bottom=0.7), c.colour(BLACK))
    c.paint(disc(c.u, c.v, at=(0, -0.3), r=0.68), c.colour(RED, ORANGE, VIOLET))
    middle = ellipse(c.u, c.v, at=(0, -0.3), r=(0.25, 0.66))
    c.paint(middle, c.colour(WHITE, YELLOW))
    c.paint(box(c.u, c.v, left=-0.22, right=0.22, top=0.6, bottom=0.95), c.colour(BROWN))


def butterfly(c: Canvas) -> None:
    upper, lower = c.colour(ORANGE, VIOLET, BLUE), c.colour(YELLOW, ORANGE, PINK)
    for side in (-1, 1):
        c.paint(disc(c.u, c.v, at=(side * 0.5, -0.35), r=0.47), upper)
        c.paint(disc(c.u, c.v, at=(side * 0.4, 0.45), r=0.36), lower)
    c.paint(ellipse(c.u, c.v, r=(0.12, 0.75)), c.colour(BLACK, BROWN))


def snowman(c: Canvas) -> None:
    snow = c.colour(WHITE, SNOW)
    c.paint(disc(c.u, c.v, at=(0, 0.45), r=0.53), snow)
    c.paint(disc(c.u, c.v, at=(0, -0.3), r=0.36), snow)
    dark = c.colour(BLACK)
    c.paint(box(c.u, c.v, left=-0.3, right=0.3, top=-1, bottom=-0.55), dark)
    for at in (0.25, 0.55):
        c.paint(disc(c.u, c.v, at=(0, at), r=0.09), dark)
    c.paint(disc(c.u, c.v, at=(0.08, -0.25), r=0.1), c.colour(ORANGE))


# Scenes: (upper colour, lower colour, texture: cells across, strength)
Scene = tuple[tuple[float, float, float], tuple[float, float, float], int, float]
OBJECTS: dict[str, tuple[Callable[[Canvas], None], Scene]] = {
    "house": (house, (SKY, STREET, 4, 0.05)),
    "tree": (tree, (SKY, GRASS, 16, 0.1)),
    "sailboat": (sailboat, (SKY, SEA, 8, 0.1)),
    "fish": (fish, (SEA, SEA, 6, 0.1)),
    "flower": (flower, (GRASS, GREEN, 16, 0.15)),
    "mushroom": (mushroom, (GREEN, BROWN, 12, 0.12)),
    "car": (car, (WALL, STREET, 3, 0.05)),
    "balloon": (balloon, (SKY, SKY, 3, 0.05)),
    "butterfly": (butterfly, (YELLOW, GRASS, 8, 0.12)),
    "snowman": (snowman, (NIGHT, SNOW, 5, 0.06)),
}


def _surroundings(canvas: Canvas, scene: Scene) -> None:
    """A horizon between two colours and a texture: the class's own, or those of another."""
    scenes = [scene for _, scene in OBJECTS.values()]
    faithful = canvas.uniform(0, 1) < 0.5
    other = canvas.rng.integers(len(scenes), size=canvas.count)
    which = np.where(faithful, scenes.index(scene), other)
    table = np.array([(*s[0], *s[1], s[3]) for s in scenes], np.float32)[which]
    horizon = canvas.uniform(-0.4, 0.6)[:, None, None]
    blur = canvas.uniform(1, 8)[:, None, None]
    below = np.clip((canvas.y - horizon) * blur + 0.5, 0, 1)[..., None]
    jitter = canvas.rng.normal(0, 0.08, (2, canvas.count, 1, 1, 3)).astype(np.float32)
    upper = table[:, None, None, 0:3] + jitter[0]
    lower = table[:, None, None, 3:6] + jitter[1]
    canvas.images[:] = upper + below * (lower - upper)
    for number, (_, _, cells, strength) in enumerate(scenes):
        chosen = np.flatnonzero(which == number)
        canvas.images[chosen] += strength * canvas.smooth_noise(cells)[chosen, :, :, None]


def _clutter(canvas: Canvas) -> None:
    """Things that mean nothing: a bar and two blobs of any colour, anywhere."""
    canvas.place(scale=(0.15, 0.5), tilt=3.2, reach=1)
    canvas.paint(
        box(canvas.u, canvas.v, left=-2, right=2, top=-0.2, bottom=0.2), canvas.colour(GREEN)
    )
    for _ in range(2):
        canvas.place(scale=(0.1, 0.3), tilt=3.2, reach=1)
        canvas.paint(ellipse(canvas.u, canvas.v, r=(1, 0.6)), canvas.colour(WALL))
