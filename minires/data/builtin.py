"""The built-in data set: ten kinds of drawn objects in their surroundings, from a seed.

Every example, test and exercise can run on it with no network. It is made to be learned the way
photographs are: colours and surroundings give a hint that is learned early (five sailboats in six
are at sea; by surroundings alone 15 images in 100 would be taken for another class), and what is
left needs the object's parts and how they are put together, at any place, size and tilt, under
noise and in front of clutter. Mirroring an image left to right never changes its class.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .dataset import Dataset, Images
from .drawing import RGB, SIZE, Canvas, box, disc, ellipse, polygon, smooth_noise

NAME = "built-in drawings"


def generate(*, train: int = 12_000, test: int = 2_000, seed: int = 0, size: int = SIZE) -> Dataset:
    """Draw `train` and `test` images, (N, size, size, 3), the ten classes in equal parts.

    The same seed and size give the same images, and the training images do not depend on `test`.
    Raises ValueError for fewer than 16 pixels, too few to draw in.
    """
    if size < 16:
        raise ValueError(f"size must be at least 16 pixels, but is {size}")
    train_images, train_labels = _split(train, (seed, 0), size)
    test_images, test_labels = _split(test, (seed, 1), size)
    name = NAME if size == SIZE else f"{NAME}, {size} x {size}"
    return Dataset(name, train_images, train_labels, test_images, test_labels, CLASSES)


def _split(count: int, seed: tuple[int, int], size: int) -> tuple[Images, npt.NDArray[np.uint8]]:
    """Draw 100 images of a class at a time, on all cores, each hundred from a seed of its own."""
    labels = np.random.default_rng(seed).permutation(np.arange(count) % 10).astype(np.uint8)
    images = np.empty((count, size, size, 3), np.uint8)

    def draw(label: int, start: int) -> None:
        some = np.flatnonzero(labels == label)[start : start + 100]
        rng = np.random.default_rng((*seed, label, start))
        images[some] = _draw(CLASSES[label], Canvas(len(some), rng, size))

    with ThreadPoolExecutor() as pool:
        starts = range(0, -(-count // 10), 100)
        tasks = [pool.submit(draw, label, start) for label in range(10) for start in starts]
    for task in tasks:
        task.result()  # raises what the task has raised
    return images, labels


def _draw(name: str, canvas: Canvas) -> Images:
    """Images of one class: surroundings, clutter, the object, a bar before it, light and grain."""
    paint, scene = OBJECTS[name]
    _surroundings(canvas, SCENES.index(scene))
    _blob(canvas)
    _blob(canvas)
    _bar(canvas)
    canvas.place(scale=(0.35, 0.85), tilt=0.4, reach=0.3, stretch=(0.75, 1.3))
    paint(canvas)
    _bar(canvas)
    return canvas.developed()


def _surroundings(canvas: Canvas, own: int) -> None:
    """Two colours and a texture: the object's own scene for five in six, for the others any."""
    any_scene = canvas.rng.integers(len(SCENES), size=canvas.count)
    numbers = np.where(canvas.rng.random(canvas.count) < 5 / 6, own, any_scene)
    colours = np.array([(scene.upper, scene.lower) for scene in SCENES], np.float32)[numbers]
    colours += canvas.rng.normal(0, 0.08, colours.shape).astype(np.float32)
    upper, lower = colours[:, 0, :, None, None], colours[:, 1, :, None, None]
    horizon, sharpness = canvas.uniform(-0.4, 0.6), canvas.uniform(1, 8)
    below = np.clip((canvas.y - horizon) * sharpness + 0.5, 0, 1)[:, None]
    canvas.images[:] = upper + below * (lower - upper)
    for number, scene in enumerate(SCENES):
        chosen = np.flatnonzero(numbers == number)
        hills = smooth_noise(len(chosen), scene.cells, canvas.rng, canvas.size)
        canvas.images[chosen] += scene.roughness * hills[:, None]


def _bar(canvas: Canvas) -> None:
    """Clutter: a bar anywhere, in any colour."""
    canvas.place(scale=(0.15, 0.5), tilt=3.2, reach=1)
    bar = box(canvas.u, canvas.v, left=-2, right=2, top=-0.2, bottom=0.2)
    canvas.paint(bar, canvas.colour(GREEN, BROWN))


def _blob(canvas: Canvas) -> None:
    """Clutter: an ellipse anywhere, in any colour."""
    canvas.place(scale=(0.1, 0.3), tilt=3.2, reach=1)
    canvas.paint(ellipse(canvas.u, canvas.v, r=(1, 0.6)), canvas.colour(STREET, WHITE))


# ------------------------------------------------------------------------------- the ten objects

SKY, SEA, BLUE = (0.5, 0.7, 0.95), (0.1, 0.35, 0.6), (0.2, 0.3, 0.8)
GRASS, GREEN, BROWN = (0.35, 0.6, 0.25), (0.1, 0.45, 0.15), (0.4, 0.25, 0.1)
SAND, STREET, BRICK = (0.85, 0.75, 0.5), (0.5, 0.5, 0.52), (0.7, 0.6, 0.5)
RED, PINK, ORANGE, YELLOW = (0.8, 0.15, 0.1), (0.9, 0.5, 0.7), (0.9, 0.5, 0.1), (0.95, 0.85, 0.2)
WHITE, BLACK, SNOW, FOG = (0.95, 0.95, 0.95), (0.1, 0.1, 0.1), (0.88, 0.9, 0.95), (0.75, 0.75, 0.75)
EVENING, DUSK = (0.9, 0.65, 0.5), (0.45, 0.35, 0.6)


def house(c: Canvas) -> None:
    """Walls, a wide roof with a chimney, a door and a window."""
    c.paint(box(c.u, c.v, left=0.35, right=0.6, top=-0.9, bottom=-0.1), c.colour(BRICK, BROWN))
    c.paint(box(c.u, c.v, left=-0.7, right=0.7, top=-0.1, bottom=0.9), c.colour(WHITE, SAND, BRICK))
    c.paint(polygon(c.u, c.v, (0, -0.9), (0.95, -0.05), (-0.95, -0.05)), c.colour(RED, BROWN))
    dark = c.colour(BROWN, BLACK)
    c.paint(box(c.u, c.v, left=0.1, right=0.45, top=0.25, bottom=0.9), dark)
    c.paint(box(c.u, c.v, left=-0.5, right=-0.1, top=0.15, bottom=0.5), dark)


def church(c: Canvas) -> None:
    """Walls and a roof beside a tower with a spire, a door and a window."""
    walls, roof = c.colour(WHITE, SAND, BRICK), c.colour(RED, BROWN)
    c.paint(box(c.u, c.v, left=-0.4, right=0.9, top=0.15, bottom=0.9), walls)
    c.paint(polygon(c.u, c.v, (0.2, -0.4), (1, 0.2), (-0.6, 0.2)), roof)
    c.paint(box(c.u, c.v, left=-0.85, right=-0.35, top=-0.35, bottom=0.9), walls)
    c.paint(polygon(c.u, c.v, (-0.6, -1.1), (-0.25, -0.3), (-0.95, -0.3)), roof)
    dark = c.colour(BROWN, BLACK)
    c.paint(box(c.u, c.v, left=-0.7, right=-0.5, top=-0.15, bottom=0.2), dark)
    c.paint(box(c.u, c.v, left=0.15, right=0.45, top=0.4, bottom=0.9), dark)


def car(c: Canvas) -> None:
    """A low body, a cabin with glass in the middle and two wheels."""
    body = c.colour(RED, BLUE, YELLOW, BLACK)
    c.paint(box(c.u, c.v, left=-0.95, right=0.95, top=-0.1, bottom=0.4), body)
    c.paint(polygon(c.u, c.v, (-0.4, -0.55), (0.3, -0.55), (0.6, -0.05), (-0.6, -0.05)), body)
    glass = box(c.u, c.v, left=-0.35, right=0.25, top=-0.42, bottom=-0.12)
    c.paint(glass, c.colour(SKY, WHITE))
    _wheels(c)


def truck(c: Canvas) -> None:
    """A tall load, a cab with glass at the front and two wheels."""
    c.paint(
        box(c.u, c.v, left=-0.95, right=0.25, top=-0.7, bottom=0.4), c.colour(RED, BLUE, YELLOW)
    )
    c.paint(box(c.u, c.v, left=0.3, right=0.95, top=-0.35, bottom=0.4), c.colour(RED, BLUE, BLACK))
    c.paint(box(c.u, c.v, left=0.55, right=0.85, top=-0.22, bottom=0.05), c.colour(SKY, WHITE))
    _wheels(c)


def _wheels(c: Canvas) -> None:
    wheels = c.colour(BLACK)
    for at in (-0.52, 0.52):
        c.paint(disc(c.u, c.v, at=(at, 0.4), r=0.24), wheels)


def sailboat(c: Canvas) -> None:
    """A hull, a mast and two sails."""
    _hull(c)
    c.paint(box(c.u, c.v, left=-0.06, right=0.06, top=-1, bottom=0.45), c.colour(BROWN, BLACK))
    sails = c.colour(WHITE, SAND)
    c.paint(polygon(c.u, c.v, (0.12, -0.95), (0.85, 0.3), (0.12, 0.3)), sails)
    c.paint(polygon(c.u, c.v, (-0.12, -0.6), (-0.12, 0.3), (-0.65, 0.3)), sails)


def steamer(c: Canvas) -> None:
    """A hull, two decks and a funnel with a band."""
    _hull(c)
    funnel, decks = c.colour(BLACK, RED), c.colour(WHITE, SAND)
    c.paint(box(c.u, c.v, left=-0.15, right=0.2, top=-0.95, bottom=0), funnel)
    c.paint(box(c.u, c.v, left=-0.15, right=0.2, top=-0.7, bottom=-0.5), decks)
    c.paint(box(c.u, c.v, left=-0.4, right=0.5, top=-0.25, bottom=0.1), decks)
    c.paint(box(c.u, c.v, left=-0.65, right=0.7, top=0.15, bottom=0.45), decks)


def _hull(c: Canvas) -> None:
    hull = polygon(c.u, c.v, (-0.95, 0.45), (0.95, 0.45), (0.6, 0.9), (-0.6, 0.9))
    c.paint(hull, c.colour(BROWN, RED, BLUE))


def tree(c: Canvas) -> None:
    """A trunk and three round masses of leaves."""
    c.paint(box(c.u, c.v, left=-0.15, right=0.15, top=0.1, bottom=1), c.colour(BROWN))
    leaves = c.colour(GREEN, GRASS)
    c.paint(disc(c.u, c.v, at=(0, -0.5), r=0.5), leaves)
    for side in (-0.4, 0.4):
        c.paint(disc(c.u, c.v, at=(side, -0.05), r=0.42), leaves)


def fir(c: Canvas) -> None:
    """A trunk and three pointed tiers of branches, wider further down."""
    c.paint(box(c.u, c.v, left=-0.15, right=0.15, top=0.5, bottom=1), c.colour(BROWN))
    needles = c.colour(GREEN, GRASS)
    for top, width in ((-0.1, 0.8), (-0.55, 0.62), (-1.0, 0.45)):
        tier = polygon(c.u, c.v, (0, top), (width, top + 0.75), (-width, top + 0.75))
        c.paint(tier, needles)


def flower(c: Canvas) -> None:
    """A stem, five petals and a middle."""
    c.paint(box(c.u, c.v, left=-0.09, right=0.09, top=0, bottom=1), c.colour(WHITE, GREEN))
    petals = c.colour(RED, PINK, ORANGE)
    for angle in np.arange(5) * (2 * np.pi / 5):
        at = (0.4 * np.sin(angle), -0.35 - 0.4 * np.cos(angle))
        c.paint(disc(c.u, c.v, at=at, r=0.27), petals)
    c.paint(disc(c.u, c.v, at=(0, -0.35), r=0.24), c.colour(WHITE, YELLOW))


def mushroom(c: Canvas) -> None:
    """A thick stem and a cap with dots."""
    c.paint(box(c.u, c.v, left=-0.2, right=0.2, top=0, bottom=0.9), c.colour(WHITE, GREEN))
    cap = np.maximum(disc(c.u, c.v, at=(0, 0.1), r=0.95), c.v - np.float32(0.1))
    c.paint(cap, c.colour(RED, PINK, ORANGE))
    dots = c.colour(WHITE, YELLOW)
    for at in ((-0.5, -0.25), (0.05, -0.5), (0.5, -0.15)):
        c.paint(disc(c.u, c.v, at=at, r=0.15), dots)


@dataclass(frozen=True)
class Scene:
    """What surrounds an object: a colour above, one below, and a texture."""

    upper: RGB
    lower: RGB
    cells: int  # of the texture, across the image: many are fine, few are coarse
    roughness: float  # of the texture, its standard deviation in brightness 0 .. 1


OBJECTS = {
    "house": (house, Scene(SKY, STREET, cells=4, roughness=0.05)),
    "church": (church, Scene(DUSK, GRASS, cells=10, roughness=0.08)),
    "car": (car, Scene(BRICK, STREET, cells=16, roughness=0.12)),
    "truck": (truck, Scene(EVENING, SAND, cells=3, roughness=0.05)),
    "sailboat": (sailboat, Scene(SKY, SEA, cells=8, roughness=0.1)),
    "steamer": (steamer, Scene(FOG, SEA, cells=5, roughness=0.06)),
    "tree": (tree, Scene(SKY, GRASS, cells=16, roughness=0.12)),
    "fir": (fir, Scene(BLUE, SNOW, cells=6, roughness=0.06)),
    "flower": (flower, Scene(GRASS, GREEN, cells=12, roughness=0.16)),
    "mushroom": (mushroom, Scene(GREEN, BROWN, cells=16, roughness=0.16)),
}
SCENES = tuple(scene for _, scene in OBJECTS.values())
CLASSES = tuple(OBJECTS)
