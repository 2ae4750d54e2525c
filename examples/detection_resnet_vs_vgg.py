"""Does a residual trunk detect better? A small ResNet against a small VGG, on the built-in scenes.

    python examples/detection_resnet_vs_vgg.py

trains Faster R-CNN with both from random weights, on the same scenes in the same order, and prints
what came out beside the paper's rows (He et al. 2015, table 8). Both have batch norm, which is
trained: this is no repetition of the paper's experiment, whose networks were pretrained.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from minires.kernels.devices import DEVICES, choose
from rich.console import Console
from rich.table import Table

import minires
from minires.common.output import errors_as_sentences
from minires.detection import DetectorTrainer, detect, scenes, train_detectors
from minires.detection.commands import likely
from minires.detection.draw import draw_found
from minires.detection.pages import keep_pages
from minires.detection.sets import DetectionData, first
from minires.detection.small import SMALL
from minires.detection.training import DETECTION_PRESETS, PRECISIONS, SCENES
from minires.distributed import silence_other_ranks, world
from minires.report import write_report
from minires.training.display import Display
from minires.training.records import read_records

Preset = Enum("Preset", {name: name for name in DETECTION_PRESETS}, type=str)
Device = Enum("Device", {name: name for name in ("auto", *DEVICES)}, type=str)
Precision = Enum("Precision", {name: name for name in PRECISIONS}, type=str)
PAPER = (  # on COCO's validation set, mAP@.5 and mAP@[.5,.95]
    ("the paper's VGG-16, COCO", 0.415, 0.212),
    ("the paper's ResNet-101, COCO", 0.484, 0.272),
)
PICTURES = 4
Results = dict[str, list[tuple[float, float]]]  # by network: mAP@.5, mAP@[.5,.95] of each seed
console = Console()


def main(
    preset: Annotated[Preset, typer.Option(help="seconds, or minutes")] = Preset["quick"],
    seed: Annotated[int, typer.Option(min=0, help="of weights, order, flips and samples")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="how many, counted from --seed")] = 1,
    device: Annotated[
        Device, typer.Option(help="auto: a GPU (cuda) if there is one that can be used")
    ] = Device["auto"],
    precision: Annotated[Precision, typer.Option(help="of products; tf32: on a GPU")] = Precision[
        "float32"
    ],
    out: Annotated[Path | None, typer.Option(help="folder; runs in it are gone on with")] = None,
) -> None:
    """Train both detectors, once a seed; print a table and a verdict; draw what they find."""
    ranks = world()
    name = time.strftime(f"detection-{preset.value}-%Y%m%d-%H%M%S")
    folder = ranks.share(lambda: out or Path("runs") / name)
    train, test = SCENES[preset.value]
    data, place = scenes(train=train, test=test), choose(device.value)
    with Display(console) as display, minires.precision(precision.value):
        trainers = [
            make_trainer(kind, data, preset.value, number, folder, display, place)
            for number in range(seed, seed + seeds)
            for kind in SMALL
        ]
        display.add(trainers)
        train_detectors(trainers)
    if ranks.rank == 0:
        show(trainers, data, folder)


def show(trainers: Sequence[DetectorTrainer], data: DetectionData, folder: Path) -> None:
    """Table, verdict and pictures."""
    results: Results = {}
    for trainer in trainers:
        results.setdefault(trainer.name, []).append(last_figures(trainer.folder))
    for trainer in trainers[-len(SMALL) :]:
        keep_pages(trainer.model, first(data.test, trainer.recipe.test_images), trainer.folder)
    page, _ = write_report([folder])
    draw_some(trainers[-len(SMALL) :], data, folder)
    console.print(table(results))
    console.print(verdict(results))
    console.print(f"Report: {page}\nRuns and pictures: {folder}", markup=False, soft_wrap=True)


def make_trainer(
    kind: str,
    data: DetectionData,
    preset: str,
    seed: int,
    folder: Path,
    display: Display,
    device: str,
) -> DetectorTrainer:
    """The trainer of one detector with one seed."""
    model = SMALL[kind](data.classes, seed=seed)
    name, place = model.name, folder / f"{kind}-seed{seed}"
    recipe = DETECTION_PRESETS[preset](None)
    options = {"folder": place, "seed": seed, "name": name, "device": device}
    return DetectorTrainer(model, data, recipe, watch=display.watch, **options)


def last_figures(folder: Path) -> tuple[float, float]:
    """What the last evaluation of a run says."""
    lines = [r for r in read_records(folder / "records.jsonl") if r["kind"] == "detection"]
    return lines[-1]["mAP50"], lines[-1]["mAP"]


def table(results: Results) -> Table:
    """Mean and spread over the seeds, and the paper's rows."""
    made = Table(
        "detector", "mAP@.5", "mAP@[.5,.95]", title="Built-in scenes, at the last iteration"
    )
    for name, figures in results.items():
        made.add_row(name, *(spread(column) for column in zip(*figures, strict=True)))
    for name, *figures in PAPER:
        made.add_row(name, *(f"{100 * figure:.1f} %" for figure in figures), style="dim")
    return made


def spread(figures: Sequence[float]) -> str:
    """Mean ± standard deviation in percent; of one seed the figure alone."""
    mean = f"{100 * np.mean(figures):.1f}"
    return f"{mean} %" if len(figures) < 2 else f"{mean} ± {100 * np.std(figures, ddof=1):.1f} %"


def verdict(results: Results) -> str:
    """Which is ahead, and whether that is more than the spread of seeds."""
    (first, *_), (second, *_) = (list(zip(*f, strict=True)) for f in results.values())
    ahead, names = float(np.mean(first) - np.mean(second)), list(results)
    if len(first) < 2:
        return f"{names[0]} is {100 * ahead:+.1f} points from {names[1]}: one seed says little."
    error = np.sqrt((np.var(first, ddof=1) + np.var(second, ddof=1)) / len(first))
    clear = "beyond" if abs(ahead) > 2 * error else "within"
    return (
        f"{names[0]} is {100 * ahead:+.1f} points of mAP@.5 from {names[1]}, {clear} two standard "
        f"errors of {100 * error:.1f} points."
    )


def draw_some(trainers: Sequence[DetectorTrainer], data: DetectionData, folder: Path) -> None:
    """What each detector finds in the first test scenes, with a score of .5 and more."""
    from PIL import Image

    for trainer in trainers:
        for place in range(min(PICTURES, len(data.test))):
            image = Image.fromarray(data.test.pixels(place))
            found = likely(detect(trainer.model, image), 0.5)
            path = folder / f"{trainer.folder.name}-scene{place}.png"
            large = image.resize((512, 512), Image.Resampling.NEAREST)
            bigger = found._replace(boxes=found.boxes * (512 / image.width))
            draw_found(large, bigger, data.classes, path)


if __name__ == "__main__":
    silence_other_ranks()
    with errors_as_sentences():
        typer.run(main)
