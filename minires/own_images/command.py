"""What `minires train` does: from a folder of images to a network, its report, and its file."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ..common.output import tell
from ..data import Photographs, find_photographs
from ..data.own_folders import class_weights, refuse_broken
from ..distributed import one_process_only
from ..evaluation.commands import progress
from ..evaluation.networks import about
from ..kernels.devices import choose
from ..nn import Module
from ..report import write_report
from ..training import DivergedError, run_all
from ..training.checkpoints import CHECKPOINT
from ..training.display import Display
from ..training.going_on import keep_command, refuse_changes
from ..weights import export_onnx, load_torchvision
from .options import TrainingOptions
from .recipes import recipe_of
from .results import Judgement, save_network, worst_classes
from .starting import begin, freeze_layers, usual_size
from .trainer import BEST, PhotographTrainer, evaluations

MODEL, ONNX = "model.safetensors", "model.onnx"
UNEVEN = 3  # how many times as many images a class may have before it is said


def train_on(
    console: Console,
    asked: TrainingOptions,
    *,
    out: Path | None = None,
    resume: Path | None = None,
    device: str = "auto",
) -> None:
    """Train as `asked`, or go on with the run in the folder `resume`; everything goes there.

    Raises: SystemExit(130) after Ctrl-C, when everything is saved; ValueError under a launcher.
    """
    one_process_only("minires train")
    folder, options = open_folder(asked, out, resume)
    command = ["minires", "train", "--resume", str(folder)]
    command += ["--device", device] if device != "auto" else []
    try:
        trainer = prepare(console, options, folder, choose(device))
        keep(folder, options, shlex.join(command))
        train(console, trainer, options)
    except KeyboardInterrupt as stopped:
        keep(folder, options, shlex.join(command))  # perhaps nobody has yet
        tell(
            console,
            f"{stopped}".lstrip() or "Stopped before training began.",
            f"To go on: {shlex.join(command)}",
        )
        raise SystemExit(130) from None
    except DivergedError as error:
        raise ValueError(str(error)) from None


def keep(folder: Path, options: TrainingOptions, command: str) -> None:
    """Write down what is needed to go on."""
    options.save(folder)
    keep_command(folder, command)


def open_folder(
    asked: TrainingOptions, out: Path | None, resume: Path | None
) -> tuple[Path, TrainingOptions]:
    """Where the results go, and the options that hold there."""
    if resume:
        kept = TrainingOptions.load(resume)
        refuse_changes(resume, asked, kept, TrainingOptions(data=""))
        if out:
            raise ValueError(f"--resume goes on in {resume}: leave out --out, or --resume")
        return resume, kept
    if not asked.data:
        raise ValueError("name the images with --data FOLDER, or an earlier run with --resume")
    folder = out or Path("runs") / time.strftime(f"{Path(asked.data).name}-%Y%m%d-%H%M%S")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(
            f"{folder} already holds something: go on with it by --resume {folder}, or choose "
            "another folder with --out"
        )
    return folder, asked


def prepare(
    console: Console, options: TrainingOptions, folder: Path, device: str
) -> PhotographTrainer:
    """Images, network and recipe; what they are is printed."""
    data = find_photographs(Path(options.data), share=options.share, seed=options.seed)
    weights = Path(options.weights) if options.weights else None
    begun = (folder / CHECKPOINT).exists()
    if begun:
        model: Any = load_torchvision(folder / CHECKPOINT).train()
    else:
        model = begin(options.network, weights, len(data.classes), options.seed)
    data = replace(data, size=options.image_size or size_for(model, weights))
    recipe = recipe_of(
        options.preset or ("finetune" if weights else "scratch"),
        len(data.train),
        epochs=options.epochs,
        batch_size=options.batch_size,
        lr=options.lr,
    )
    if options.balance:
        recipe = replace(recipe, class_weights=tuple(class_weights(data.train)))
    frozen = [name.strip() for name in options.freeze.split(",") if name.strip()]
    norm = freeze_layers(model, frozen, recipe.batch_size, weights is not None)
    trainer = PhotographTrainer(
        model,
        data,
        recipe,
        about={"frozen": frozen, "begun_from": weights.name if weights else "random weights"},
        folder=folder,
        seed=options.seed,
        name=model.name,
        device=device,
    )
    tell(console, *described(trainer, norm, options))
    if not begun:
        look_through(console, data)
    return trainer


def size_for(model: Module, weights: Path | None) -> int:
    """Pixels of the images that the weights say, or that the network was made for."""
    known = about(weights).preprocessing if weights else None
    return known.crop if known else usual_size(model)


def described(trainer: PhotographTrainer, norm: str, options: TrainingOptions) -> list[str]:
    """What is about to be trained, in a few lines."""
    data, recipe, known = trainer.dataset, trainer.recipe, trainer.identity
    lines = [
        f"Data: {data.name}, {len(data.train):,} training and {len(data.test):,} test images of "
        f"{len(data.classes)} classes, seen as {data.size} x {data.size} pixels.",
        f"Network: {trainer.name}, {known['parameters']:,} parameters, from "
        f"{known['begun_from']}; frozen: {', '.join(known['frozen']) or 'nothing'}; batch norm: "
        f"{norm}.",
        f"Recipe: {recipe.name}, {recipe.iterations:,} iterations of {recipe.batch_size} images on "
        f"the {trainer.model.device}; results in {trainer.folder}.",
    ]
    counts = Counter(data.train.labels).values()
    if max(counts) >= UNEVEN * min(counts) and not options.balance:
        lines.append(
            f"The classes have {min(counts):,} to {max(counts):,} images: --balance makes them "
            "count alike."
        )
    return lines


def look_through(console: Console, data: Photographs) -> None:
    """Decode every image once; see `refuse_broken`."""
    with progress(console) as bar:
        task = bar.add_task("looking through the images", total=len(data.train) + len(data.test))
        refuse_broken(data, lambda done: bar.update(task, completed=done))


def train(console: Console, trainer: PhotographTrainer, options: TrainingOptions) -> None:
    """Train to the end, then write files and pictures, and tell where they are."""
    with Display(console) as display:
        trainer.watch = display.watch
        display.add([trainer])
        run_all([trainer])
    path = save_network(trainer.model, trainer.dataset, trainer.folder / MODEL)
    judgement = Judgement.of(trainer.model, trainer.dataset)
    judgement.save(trainer.folder)
    report, notes = write_report([trainer.folder])
    console.print(worst_classes(judgement))
    best_step, best = min(evaluations(trainer.folder), key=lambda row: row[1])
    tell(
        console,
        *notes,
        f"Test error {1 - judgement.confusion.trace() / judgement.confusion.sum():.1%} at the end; "
        f"the least was {best:.1%}, after iteration {best_step:,} ({trainer.folder / BEST}).",
        f"Network: {path}",
    )
    if options.onnx:
        size = trainer.dataset.image_shape
        export_onnx(trainer.model.to("cpu"), trainer.folder / ONNX, size)
        tell(console, f"ONNX: {trainer.folder / ONNX}")
    tell(
        console,
        f"Report, to open in a browser: {report}",
        f"To use it: minires classify IMAGE --weights {path}",
    )
