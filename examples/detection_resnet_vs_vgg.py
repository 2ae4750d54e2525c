"""Does a residual trunk detect better? ResNet against VGG, trained under the same conditions.

    python examples/detection_resnet_vs_vgg.py

trains Faster R-CNN with a small ResNet and a small VGG on the built-in scenes, in the same order,
and prints what came out beside the paper's rows (He et al. 2015, table 8). Both begin with random
weights and have batch norm, which is trained: this is no repetition of the paper's experiment. It
comes nearer with `--pretrain 2000`: trunks and heads first learn to tell the built-in drawings
apart, as the paper's did with ImageNet. `--data` takes one's own images. So

    python examples/detection_resnet_vs_vgg.py --data VOC2007 --split trainval --test-split test \\
        --backbones resnet101,vgg16 --weights resnet101.pth --weights vgg16.pth

is the paper's experiment, shortened, with torchvision's files of both classifiers. With the `--out`
of a run that was stopped the same command goes on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from minires.kernels.devices import DEVICES, choose
from rich.console import Console
from rich.table import Table

import minires
from minires.common.output import errors_as_sentences
from minires.detection import DetectorTrainer, FasterRCNN, detect, own_data, scenes, train_detectors
from minires.detection.commands import likely
from minires.detection.draw import draw_found
from minires.detection.pages import keep_pages
from minires.detection.pretraining import DRAWINGS, pretraining
from minires.detection.sets import DetectionData, first
from minires.detection.tables import plain_table
from minires.detection.training import DETECTION_PRESETS, PRECISIONS, SCENES
from minires.distributed import silence_other_ranks, world
from minires.report import write_report
from minires.training.records import read_records

Preset = Enum("Preset", {name: name for name in DETECTION_PRESETS}, type=str)
Device = Enum("Device", {name: name for name in ("auto", *DEVICES)}, type=str)
Precision = Enum("Precision", {name: name for name in PRECISIONS}, type=str)
FIGURES = {"mAP50": "mAP@.5", "mAP": "mAP@[.5,.95]"}
FIGURES |= {f"mAP {size}": size for size in ("small", "medium", "large")}
PAPER = {  # on COCO's validation set
    "paper: VGG-16, COCO": {"mAP50": 0.415, "mAP": 0.212},
    "paper: ResNet-101, COCO": {"mAP50": 0.484, "mAP": 0.272},
}
PICTURES, LARGE = 4, 512  # how many, and the side up to which small images are enlarged
Figures = dict[str, float]  # shares, by the names in FIGURES
Results = dict[str, list[Figures]]  # by network, of each seed
console = Console()


class Run(NamedTuple):
    """A detector before it is trained."""

    folder: Path
    seed: int
    model: FasterRCNN
    conditions: dict[str, Any]


@dataclass(frozen=True)
class Job:
    """What the runs have in common, and the weights that each backbone begins with, if any."""

    backbones: dict[str, Path | None]
    preset: str
    pretrain: int
    sizes: str | None
    view: tuple[int | None, int | None]
    device: str
    folder: Path

    def runs(self, classes: Sequence[str], seeds: range) -> Iterator[Run]:
        """Both detectors of each seed."""
        for seed in seeds:
            for backbone, weights in self.backbones.items():
                settings = own_data.settings_of(backbone, self.sizes, self.view)
                model = own_data.begin(backbone, classes, settings, weights, seed)
                name = f"{backbone.removeprefix('small-')}-seed{seed}"
                what = own_data.conditions(weights, self.pretrain, self.sizes, self.view)
                yield Run(self.folder / name, seed, model, what)

    def drawings(self, run: Run) -> Any:
        """The trainer that teaches trunk and head the built-in drawings."""
        options: dict[str, Any] = {"seed": run.seed, "device": self.device}
        options |= {"folder": run.folder / "pretraining", "drawings": DRAWINGS[self.preset]}
        return pretraining(run.model, self.pretrain, **options)

    def trainer(self, run: Run, data: DetectionData) -> DetectorTrainer:
        """The trainer of a detector."""
        options: dict[str, Any] = {"folder": run.folder, "seed": run.seed, "name": run.model.name}
        options |= {"device": self.device, "conditions": run.conditions}
        return DetectorTrainer(run.model, data, DETECTION_PRESETS[self.preset](None), **options)

    def train(self, data: DetectionData, seeds: range) -> list[DetectorTrainer]:
        """All runs to their ends, seed by seed."""
        runs, again = list(self.runs(data.classes, seeds)), f"the same, with --out {self.folder}"
        if self.pretrain:
            own_data.finish(console, *map(self.drawings, runs), again=again)
        trainers = [self.trainer(run, data) for run in runs]
        own_data.finish(console, *trainers, train=train_detectors, again=again)
        return trainers


def main(
    preset: Annotated[Preset, typer.Option(help="seconds, or minutes")] = Preset["quick"],
    seed: Annotated[int, typer.Option(min=0, help="of weights, order, flips and samples")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="how many, counted from --seed")] = 1,
    backbones: Annotated[
        str, typer.Option(help="two of those that minires train-detector has")
    ] = "small-resnet,small-vgg",
    weights: Annotated[
        list[Path] | None, typer.Option(help="what they begin with: once for each, in their order")
    ] = None,
    pretrain: Annotated[
        int, typer.Option(min=0, help="iterations on drawings before, of small backbones")
    ] = 0,
    data: Annotated[
        Path | None, typer.Option(help="own images: a folder in VOC's layout, or COCO's JSON")
    ] = None,
    split: Annotated[str | None, typer.Option(help="of a VOC folder, such as trainval")] = None,
    test_split: Annotated[str | None, typer.Option(help="the same of the test set")] = None,
    test: Annotated[Path | None, typer.Option(help="the test set, if elsewhere")] = None,
    sizes: Annotated[str | None, typer.Option(help="sides of the anchors, pixels")] = None,
    shorter: Annotated[int | None, typer.Option(min=32, help="pixels images are scaled to")] = None,
    longer: Annotated[int | None, typer.Option(min=32, help="at most, longer side")] = None,
    device: Annotated[
        Device, typer.Option(help="auto: a GPU (cuda) if there is one that can be used")
    ] = Device["auto"],
    precision: Annotated[Precision, typer.Option(help="of products; tf32: on a GPU")] = Precision[
        "float32"
    ],
    out: Annotated[Path | None, typer.Option(help="folder; runs in it are gone on with")] = None,
) -> None:
    """Train both detectors, once a seed; print a table and a verdict; draw what they find."""
    ranks, place = world(), choose(device.value)
    pair = pair_of(backbones, weights or [], pretrain)
    name = time.strftime(f"detection-{preset.value}-%Y%m%d-%H%M%S")
    folder = ranks.share(lambda: out or Path("runs") / name)
    job = Job(pair, preset.value, pretrain, sizes, (shorter, longer), place, folder)
    images = own_images(job, data, (split, test_split), test) if data else built_in(job)
    with minires.precision(precision.value):
        trainers = job.train(images, range(seed, seed + seeds))
    if ranks.rank == 0:
        show(trainers, images, folder)


def pair_of(backbones: str, weights: Sequence[Path], pretrain: int) -> dict[str, Path | None]:
    """Two backbones and their files. Raises: ValueError for other numbers of them."""
    names = [name.strip() for name in backbones.split(",")]
    if len(set(names)) != 2 or len(names) != 2:
        raise ValueError(f"--backbones: expected two that differ, with a comma, not {backbones!r}")
    if len(weights) not in (0, 2):
        raise ValueError(f"--weights: expected none, or one for each of {backbones}, in this order")
    pair = dict(zip(names, weights or (None, None), strict=True))
    if pretrain:
        for name, file in pair.items():
            own_data.refuse_pretraining(name, file)
    return pair


def built_in(job: Job) -> DetectionData:
    """The built-in scenes."""
    train, test = SCENES[job.preset]
    return scenes(train=train, test=test)


def own_images(
    job: Job, data: Path, splits: tuple[str | None, str | None], test: Path | None
) -> DetectionData:
    """Somebody's own, after a check of their boxes as the first backbone sees them."""
    backbone = next(iter(job.backbones))
    seen = own_data.viewing_of(backbone, own_data.settings_of(backbone, job.sizes, job.view))
    return own_data.checked(console, data, splits, test, None, seen)


def show(trainers: Sequence[DetectorTrainer], data: DetectionData, folder: Path) -> None:
    """Table, verdict and pictures."""
    results: Results = {}
    for trainer in trainers:
        results.setdefault(trainer.name, []).append(last_figures(trainer.folder))
    for trainer in trainers[-2:]:
        keep_pages(trainer.model, first(data.test, trainer.recipe.test_images), trainer.folder)
    page, _ = write_report([trainer.folder for trainer in trainers], folder / "report.html")
    draw_some(trainers[-2:], data, folder)
    console.print(table(results, data.name))
    console.print(verdict(results))
    console.print(f"Report: {page}\nRuns and pictures: {folder}", markup=False, soft_wrap=True)


def last_figures(folder: Path) -> Figures:
    """What the last evaluation of a run says."""
    lines = [r for r in read_records(folder / "records.jsonl") if r["kind"] == "detection"]
    return {name: lines[-1][name] for name in FIGURES if name in lines[-1]}


def table(results: Results, data: str) -> Table:
    """Mean and spread over the seeds, and the paper's rows."""
    made = plain_table("detector", *FIGURES.values())
    made.title = f"{data}: %, at the last iteration"
    for name, runs in results.items():
        made.add_row(name, *(spread([run.get(figure) for run in runs]) for figure in FIGURES))
    for name, figures in PAPER.items():
        made.add_row(name, *(spread([figures.get(figure)]) for figure in FIGURES), style="dim")
    return made


def spread(figures: Sequence[float | None]) -> str:
    """Mean ± standard deviation in percent; of one seed the figure alone, of none a dash."""
    known = [100 * figure for figure in figures if figure is not None]
    mean = f"{np.mean(known):.1f}" if known else "-"
    return f"{mean} ± {np.std(known, ddof=1):.1f}" if len(known) > 1 else mean


def verdict(results: Results) -> str:
    """Which is ahead, and whether that is more than the spread of seeds."""
    first, second = ([run["mAP50"] for run in runs] for runs in results.values())
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
    """What each detector finds in the first test images, with a score of .5 and more."""
    from PIL import Image

    for trainer in trainers:
        for place in range(min(PICTURES, len(data.test))):
            image = Image.fromarray(data.test.pixels(place))
            found = likely(detect(trainer.model, image), 0.5)
            times = max(1, LARGE // max(image.size))
            large = image.resize(
                (image.width * times, image.height * times), Image.Resampling.NEAREST
            )
            bigger = found._replace(boxes=found.boxes * times)
            path = folder / f"{trainer.folder.name}-image{place}.png"
            draw_found(large, bigger, data.classes, path)


if __name__ == "__main__":
    silence_other_ranks()
    with errors_as_sentences():
        typer.run(main)
