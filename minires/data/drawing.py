"""Drawing many small images at once: a canvas, and parts given as signed distances.

A part is `d(u, v)`, negative inside, positive outside, in the object's own units: the object fills
about -1 .. 1, u points right and v points down. Its edge is one pixel wide and smooth.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SIZE = 32  # of an image in pixels, unless another is asked for

Array = npt.NDArray[np.float32]
Colour = Array  # (n, 3), red, green and blue in 0 .. 1, one for each image
Point = tuple[float, float]
RGB = tuple[float, float, float]


class Canvas:
    """`count` images, as planes (n, 3, size, size), and the pose of what is drawn next in each."""

    def __init__(self, count: int, rng: np.random.Generator, size: int = SIZE) -> None:
        self.count, self.rng, self.size = count, rng, size
        self.images = np.zeros((count, 3, size, size), np.float32)
        axis = (np.arange(size, dtype=np.float32) + 0.5) / (size / 2) - 1
        self.x, self.y = axis[None, None, :], axis[None, :, None]
        self.place(scale=(1, 1), tilt=0, reach=0)

    def uniform(self, low: float, high: float) -> Array:
        """One number for each image, (n, 1, 1)."""
        return self.rng.uniform(low, high, (self.count, 1, 1)).astype(np.float32)

    def place(self, *, scale: Point, tilt: float, reach: float, stretch: Point = (1, 1)) -> None:
        """A new pose: size (1 fills the image), angle within +-tilt radians, shift, and mirroring.

        Sets `u` and `v`, the pixels' places in the object's units, (n, size, size).
        """
        self.scale = self.uniform(*scale)
        angle = self.uniform(-tilt, tilt)
        x = (self.x - self.uniform(-reach, reach)) / self.scale
        y = (self.y - self.uniform(-reach, reach)) / self.scale
        across = np.sign(self.uniform(-1, 1)) / self.uniform(*stretch)
        self.u = across * np.cos(angle) * x + across * np.sin(angle) * y
        self.v = np.cos(angle) * y - np.sin(angle) * x

    def paint(self, distance: Array, colour: Colour) -> None:
        """Cover the inside of a part, (n, size, size), with a colour."""
        self.lay(self.cover(distance), colour)

    def lay(self, cover: Array, colour: Colour) -> None:
        """Lay a colour over these shares of all pixels."""
        change = colour[:, :, None, None] - self.images
        change *= cover[:, None]
        self.images += change

    def cover(self, distance: Array) -> Array:
        """The share of each pixel that a part covers, (n, size, size)."""
        cover = distance * (self.scale * np.float32(-self.size / 2))
        cover += 0.5
        return np.clip(cover, 0, 1, out=cover)

    def colour(self, *palette: RGB, faithful: float = 0.5) -> Colour:
        """A colour near one of the palette, or with probability 1 - faithful any at all."""
        near = np.array(palette, np.float32)[self.rng.integers(len(palette), size=self.count)]
        near += self.rng.normal(0, 0.1, near.shape).astype(np.float32)
        anything = self.rng.random(near.shape, np.float32)
        return np.clip(np.where(self.uniform(0, 1)[:, 0] < faithful, near, anything), 0, 1)

    def developed(self) -> npt.NDArray[np.uint8]:
        """The images under changed contrast and light and with grain, (n, size, size, 3), uint8."""
        contrast, grain = self.uniform(0.6, 1.1)[..., None], self.uniform(0.02, 0.1)[..., None]
        light = self.rng.uniform(0.4, 0.6, (self.count, 3, 1, 1)).astype(np.float32)
        images = self.rng.standard_normal(self.images.shape, np.float32)
        images *= 255 * grain
        images += 255 * contrast * self.images
        images += 255 * (light - 0.5 * contrast) + 0.5
        return np.clip(images, 0, 255, out=images).astype(np.uint8).transpose(0, 2, 3, 1)


def smooth_noise(count: int, cells: int, rng: np.random.Generator, size: int = SIZE) -> Array:
    """Random hills and valleys of unit height, (n, size, size), about size / cells pixels wide."""
    at = np.linspace(0, cells, size, dtype=np.float32)[:, None]
    weights = np.maximum(0, 1 - np.abs(at - np.arange(cells + 1, dtype=np.float32)))
    grid = rng.standard_normal((count, cells + 1, cells + 1), np.float32)
    return np.asarray(weights @ grid @ weights.T)


def disc(u: Array, v: Array, *, at: Point = (0, 0), r: float) -> Array:
    """A disc of radius r."""
    return _length(u - np.float32(at[0]), v - np.float32(at[1])) - np.float32(r)


def ellipse(u: Array, v: Array, *, at: Point = (0, 0), r: Point) -> Array:
    """An ellipse with half axes r; the distance is exact only at the edge's four ends."""
    a, b = np.float32(r[0]), np.float32(r[1])
    return (_length((u - np.float32(at[0])) / a, (v - np.float32(at[1])) / b) - 1) * min(a, b)


def _length(u: Array, v: Array) -> Array:
    return np.sqrt(u * u + v * v)  # several times as fast as np.hypot, which avoids overflow


def box(u: Array, v: Array, *, left: float, right: float, top: float, bottom: float) -> Array:
    """An upright rectangle."""
    across = np.abs(u - np.float32((left + right) / 2)) - np.float32((right - left) / 2)
    down = np.abs(v - np.float32((top + bottom) / 2)) - np.float32((bottom - top) / 2)
    return np.maximum(across, down)


def polygon(u: Array, v: Array, *corners: Point) -> Array:
    """A convex polygon; its corners run clockwise as seen in the image."""
    distance = np.full_like(u, -np.inf)
    for (u0, v0), (u1, v1) in zip(corners, corners[1:] + corners[:1], strict=True):
        length = np.float32(np.hypot(u1 - u0, v1 - v0))
        edge = (u - np.float32(u0)) * np.float32(v1 - v0) - (v - np.float32(v0)) * np.float32(
            u1 - u0
        )
        distance = np.maximum(distance, edge / length)
    return distance
