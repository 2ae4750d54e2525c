"""The paper's improvements of a detector one after the other, on the built-in scenes: its table 9.

    python benchmarks/detection_improvements.py FOLDER --seeds 0,1,2 --json FILE

trains for each seed a small detector and one with global context, evaluates both with and without
box refinement and several scales, then all seeds' detectors together, and prints the table beside
the paper's rows. What FOLDER holds is not made anew; a folder of
`examples/detection_resnet_vs_vgg.py --out FOLDER` has the first ones already.

On a GPU the seeds can run side by side, each with `--only SEED` in a process of its own; the same
command without `--only` then makes the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from minires.kernels.devices import choose
from rich.console import Console
from rich.table import Table

from minires.common.json_files import read_json, write_json
from minires.common.output import escape_what_cannot_be_printed
from minires.detection import DetectorTrainer, FasterRCNN, load_detector, scenes, train_detector
from minires.detection.improving import Improvements, detect_improved
from minires.detection.own_data import recipe_of
from minires.detection.sets import DetectionData
from minires.detection.small import SMALL
from minires.detection.training import DETECTION_PRESETS, SCENES, found_by, precisions
from minires.environment import environment
from minires.training.display import Display

Record = dict[str, Any]
Preset = Enum("Preset", {name: name for name in DETECTION_PRESETS}, type=str)
Network = Enum("Network", {name: name for name in SMALL}, type=str)
PAPER = {  # ResNet-101 on COCO, mAP@.5 and mAP@[.5,.95]; the ensemble on another part of it
    "baseline": (0.484, 0.272),
    "+ box refinement": (0.499, 0.299),
    "+ context": (0.511, 0.300),
    "+ multi-scale testing": (0.538, 0.325),
    "ensemble": (0.590, 0.374),
}
console = Console()


@dataclass(frozen=True)
class Job:
    """What is trained and tested, and where it is kept."""

    folder: Path
    data: DetectionData
    network: str
    preset: str
    iterations: int | None
    scales: tuple[int, ...]
    device: str

    def rows(self) -> dict[str, tuple[bool, Improvements]]:
        """For each row whether the detector has context, and what is done at test time."""
        refined = Improvements(refine=True)
        scaled = Improvements(refine=True, scales=self.scales)
        settings = (False, Improvements()), (False, refined), (True, refined), (True, scaled)
        return dict(zip(PAPER, settings, strict=False))

    def detector(self, seed: int, context: bool) -> FasterRCNN:
        """The detector of a seed, trained unless it has been."""
        name = f"{self.network}{'-context' if context else ''}-seed{seed}"
        path = self.folder / name / "detector.safetensors"
        if not path.exists():
            self.train(path.parent, seed, context)
        return load_detector(path).to(self.device)

    def train(self, place: Path, seed: int, context: bool) -> None:
        """Train one detector to its end."""
        model = SMALL[self.network](self.data.classes, context=context, seed=seed)
        recipe = recipe_of(self.preset, self.iterations, None)
        with Display(console) as display:
            options: dict[str, Any] = {"folder": place, "seed": seed, "name": model.name}
            options |= {"device": self.device, "watch": display.watch}
            trainer = DetectorTrainer(model, self.data, recipe, **options)
            display.add([trainer])
            train_detector(trainer)

    def measured(self, models: Sequence[FasterRCNN], options: Improvements) -> Record:
        """Both mean average precisions."""
        look = partial(detect_improved, models, options=options)
        return precisions(self.data.test, found_by(look, self.data.test))

    def of_seed(self, seed: int) -> Record:
        """Each row of one seed, kept in a file."""
        path = self.folder / f"{self.network}-improvements-seed{seed}.json"
        if not path.exists():
            models = {context: self.detector(seed, context) for context in (False, True)}
            rows = self.rows().items()
            write_json(path, {n: self.measured([models[c]], options) for n, (c, options) in rows})
        return read_json(path, "delete it to measure anew")

    def of_all(self, seeds: Sequence[int]) -> Record:
        """The seeds' detectors with context as an ensemble."""
        models = [self.detector(seed, True) for seed in seeds]
        return self.measured(models, self.rows()["+ multi-scale testing"][1])


def main(
    folder: Annotated[Path, typer.Argument(help="of detectors and figures")],
    seeds: Annotated[str, typer.Option(help="with commas")] = "0,1,2",
    network: Annotated[Network, typer.Option()] = Network["resnet"],
    preset: Annotated[Preset, typer.Option(help="seconds, or minutes")] = Preset["quick"],
    iterations: Annotated[int | None, typer.Option(min=1, help="instead of the preset's")] = None,
    test_images: Annotated[int | None, typer.Option(min=1, help="scenes, of the preset's")] = None,
    scales: Annotated[str, typer.Option(help="sides of the scenes in pixels")] = "64,96,128,176",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "cpu",
    only: Annotated[int | None, typer.Option(help="a seed: its figures alone, no table")] = None,
    json: Annotated[Path | None, typer.Option(help="also write the figures")] = None,
) -> None:
    """Train, evaluate, print the table."""
    numbers = [int(seed) for seed in seeds.split(",")]
    train, test = SCENES[preset.value]
    data = scenes(train=train, test=test_images or test)
    sides = tuple(int(side) for side in scales.split(","))
    made = (network.value, preset.value, iterations, sides, choose(device))
    job = Job(folder, data, *made)
    if only is not None:
        job.of_seed(only)
        return
    record = {
        "network": network.value,
        "iterations": recipe_of(preset.value, iterations, None).iterations,
        "scenes": [len(data.train), len(data.test)],
        "scales": sides,
        "device": job.device,
        "made with": environment(),
        "seeds": {str(seed): job.of_seed(seed) for seed in numbers},
        "ensemble": job.of_all(numbers) if len(numbers) > 1 else None,
    }
    if json:
        write_json(json, record)
    console.print(table(record))


def table(record: Record) -> Table:
    """Our rows beside the paper's, and what each adds to the one above."""
    title = f"Built-in scenes, {record['iterations']:,} iterations, {len(record['seeds'])} seeds"
    heads = "", "@.5", "change", "@[.5,.95]", "change", "paper", "paper"
    caption = "mAP@.5 and mAP@[.5,.95]; change: from the row above, ± its standard error"
    made, above = Table(*heads, title=title, caption=caption, padding=0), None
    for name, paper in PAPER.items():
        rows = [rows[name] for rows in record["seeds"].values() if name in rows]
        rows = rows or ([record["ensemble"]] if record["ensemble"] else [])
        if rows:
            cells = []
            for figure in ("mAP50", "mAP"):
                ours = [row[figure] for row in rows]
                cells += [spread(ours), change(above and [row[figure] for row in above], ours)]
            made.add_row(name, *cells, *(f"{100 * figure:.1f}" for figure in paper))
        above = rows
    return made


def spread(figures: Sequence[float]) -> str:
    """Mean ± standard deviation in percent; of one the figure alone."""
    mean = f"{100 * np.mean(figures):.1f}"
    return mean if len(figures) < 2 else f"{mean} ± {100 * np.std(figures, ddof=1):.1f}"


def change(before: Sequence[float] | None, after: Sequence[float]) -> str:
    """The mean of seeds' differences in points ± its standard error; nothing without pairs."""
    if not before or len(before) != len(after):
        return ""
    differences = 100 * np.subtract(after, before)
    mean = f"{differences.mean():+.1f}"
    count = len(differences)
    return mean if count < 2 else f"{mean} ± {differences.std(ddof=1) / count**0.5:.1f}"


if __name__ == "__main__":
    escape_what_cannot_be_printed()
    typer.run(main)
