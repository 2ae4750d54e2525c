"""Does reading keep up with the networks? 10,000 JPEG files, evaluated while they are decoded.

    python benchmarks/images.py [--images 10000] [--network resnet18] [--protocol single]

writes synthetic JPEG files the size of ImageNet's into a temporary folder, and prints images a
second and the share of the time that the network waits for images: evaluated as `minires evaluate`
does, with threads that read ahead; the same without them, each image decoded when it is its turn;
and reading alone.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from minires import models
from minires.data import ImageFiles, Prefetch, Preprocessing, find_images
from minires.data.builtin import CLASSES, generate
from minires.evaluation import PROTOCOLS, Evaluation, evaluate
from minires.evaluation.evaluate import Preparation
from minires.evaluation.protocols import Protocol

SIZES = ((500, 375), (500, 333), (375, 500), (500, 500), (400, 300))  # the commonest of ImageNet
QUALITY = 90

console = Console()


@dataclass(frozen=True)
class Row:
    """One way of doing it: seconds of wall clock, of waiting, of all cores together."""

    name: str
    images: int
    seconds: float
    waited: float
    busy: float

    def cells(self) -> tuple[str, ...]:
        return (
            self.name,
            f"{self.images / self.seconds:.1f}",
            f"{self.waited / self.seconds:.1%}",
            f"{self.busy / self.seconds:.2f}",
        )


def main(
    images: Annotated[int, typer.Option(min=1)] = 10_000,
    network: Annotated[str, typer.Option(help="a function of minires.models")] = "resnet18",
    protocol: Annotated[str, typer.Option(help=", ".join(PROTOCOLS))] = "single",
    workers: Annotated[int, typer.Option(min=1, help="threads that read ahead")] = 2,
) -> None:
    """Measure reading and evaluation, alone and together."""
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), images)
        files = find_images(Path(folder))
        console.print(f"{len(files):,} files, {megabytes(files):,.0f} MB")
        rows = measure(files, getattr(models, network)(classes=10), PROTOCOLS[protocol], workers)
    show(rows, network, protocol, workers)


def write_images(folder: Path, count: int) -> None:
    """Drawings, scaled up and with grain, so that their files are about as large as ImageNet's."""
    data, rng = generate(train=count, test=1, size=64), np.random.default_rng(0)
    grain = rng.normal(0, 14, (1000, 1000, 3)).astype(np.float32)
    for name in CLASSES:
        (folder / name).mkdir()

    def write(number: int) -> None:
        width, height = SIZES[number % len(SIZES)]
        drawing = Image.fromarray(data.train_images[number]).resize((width, height))
        noise = grain[number % 500 :, number % 400 :][:height, :width]
        pixels = np.clip(np.asarray(drawing) + noise, 0, 255).astype(np.uint8)
        path = folder / CLASSES[data.train_labels[number]] / f"{number:06}.jpg"
        Image.fromarray(pixels).save(path, quality=QUALITY)

    with ThreadPoolExecutor() as pool:
        list(track(pool.map(write, range(count)), "writing", total=count, transient=True))


def megabytes(files: ImageFiles) -> float:
    return sum(path.stat().st_size for path in files.paths) / 1e6


def measure(files: ImageFiles, model: models.ResNet, protocol: Protocol, workers: int) -> list[Row]:
    """Together, one after the other, and reading alone."""

    def run(images: ImageFiles) -> Evaluation:
        return evaluate({"network": model}, images, protocol=protocol, workers=workers)

    run(files.first(64))  # compiles the kernels
    few = files.first(max(1, len(files) // 10))
    return [
        timed("reading ahead", files, lambda: run(files).waited),
        timed("each in its turn", few, lambda: in_turn(few, model, protocol)),
        timed("reading alone", few, lambda: read(few, protocol, workers)),
    ]


def timed(name: str, files: ImageFiles, work: Callable[[], float]) -> Row:
    """Wall clock and processor time of some work, which says how long it waited."""
    wall, busy = time.perf_counter(), time.process_time()
    waited = work()
    return Row(name, len(files), time.perf_counter() - wall, waited, time.process_time() - busy)


def in_turn(files: ImageFiles, model: models.ResNet, protocol: Protocol) -> float:
    """Without reading ahead: a batch is decoded, then classified."""
    from minires.evaluation import predict

    prepare, waited = Preparation(files, protocol, Preprocessing(), "refuse"), 0.0
    for start in range(0, len(files), 32):
        before = time.perf_counter()
        numbers = range(start, min(start + 32, len(files)))
        views = [view for number in numbers for view in prepare(number).views]
        waited += time.perf_counter() - before
        predict(model, views, fully_convolutional=protocol.fully_convolutional)
    return waited


def read(files: ImageFiles, protocol: Protocol, workers: int) -> float:
    """Decoding, resizing and cropping by themselves."""
    prepare = Preparation(files, protocol, Preprocessing(), "refuse")
    reading = Prefetch(prepare, len(files), workers=workers)
    for _ in reading:
        pass
    return reading.waited


def show(rows: list[Row], network: str, protocol: str, workers: int) -> None:
    table = Table(title=f"{network}, {PROTOCOLS[protocol].name}, {workers} threads")
    for heading in ("", "images/s", "time spent waiting", "cores busy"):
        table.add_column(heading, justify="right" if heading else "left")
    for row in rows:
        table.add_row(*row.cells())
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
