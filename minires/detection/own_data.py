"""`minires train-detector`: a detector of one's own annotated images, or of the built-in scenes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ..common.output import tell
from ..data import read_classes
from ..kernels.devices import choose
from ..kernels.precision import precision as in_precision
from ..training.display import Display
from ..training.recipes import Recipe
from ..training.records import read_records
from ..training.trainer import Trainer, run_all
from ..weights import load_torchvision
from .annotations import Annotations
from .backbones import NAMES as PRETRAINED
from .backbones import faster_rcnn
from .check import Viewing, check, image_sizes, refuse_unseen
from .commands import likely, numbers, show_check, sides
from .detecting import detect
from .draw import draw_found
from .network import FasterRCNN
from .pages import keep_pages
from .pretraining import pretraining
from .reading import read_annotations
from .saved import NAMES as SMALL_NAMES
from .saved import make_detector, save_detector, take_over
from .sets import DetectionData, DetectionSet, first
from .settings import Settings
from .small import SETTINGS
from .training import DETECTION_PRESETS, PRECISIONS, DetectorTrainer

BACKBONES = (*SMALL_NAMES, *PRETRAINED)
SMALLEST_SIDE = 32  # in pixels, that an image may be scaled to


def train_on(
    console: Console,
    data: Path,
    *,
    splits: tuple[str | None, str | None],
    test: Path | None,
    classes: Path | None,
    backbone: str,
    weights: Path | None,
    pretrain: int = 0,
    sizes: str | None,
    view: tuple[int | None, int | None],
    scales: str = "",
    recipe: Recipe,
    seed: int,
    folder: Path,
    device: str = "auto",
    precision: str = "float32",
) -> None:
    """Check the boxes, train, evaluate; the detector is a file in `folder`.

    `view` are the shorter and the longer side that the network sees, `scales` shorter sides to draw
    from in training. `pretrain` are iterations on the built-in drawings before.
    """
    if pretrain:
        refuse_pretraining(backbone, weights)
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
    place, drawn_from = choose(device), sides(scales, least=SMALLEST_SIDE)
    settings = settings_of(backbone, sizes, view)
    seen = Viewing(settings.sizes[0], settings.shorter, settings.longer, stride_of(backbone))
    train, tested = checked(console, data, splits, test, classes, seen)
    model = begin(backbone, train, settings, weights)
    sets = DetectionData(train.name, DetectionSet(train), DetectionSet(tested))
    with in_precision(precision):
        options: dict[str, Any] = {"seed": seed, "device": place}
        if pretrain:
            drawings = pretraining(model, pretrain, folder=folder / "pretraining", **options)
            finish(console, drawings)
        options["scales"] = drawn_from
        trainer = DetectorTrainer(model, sets, recipe, folder=folder, name=model.name, **options)
        finish(console, trainer)
    path = save_detector(model, folder / "detector.safetensors")
    keep_pages(model, first(sets.test, recipe.test_images), folder)
    picture = draw_first(model, sets.test, folder / "test-image.png")
    tell(console, *last_words(trainer), f"Picture: {picture}", f"Detector: {path}")
    tell(console, f"To use it: minires detect IMAGE --weights {path}")


def checked(
    console: Console,
    data: Path,
    splits: tuple[str | None, str | None],
    test: Path | None,
    classes: Path | None,
    seen: Viewing,
) -> tuple[Annotations, Annotations]:
    """Training and test set, whose boxes and images have been looked at.

    Without a test set the images that it is trained on are the test, and that is said.
    """
    names = read_classes(classes).names if classes else None
    train = read_annotations(data, split=splits[0], classes=names)
    train.refuse_faults()
    result = check(train, seen, whole=False)
    show_check(console, result)
    refuse_unseen(train.name, result.wrong)
    held_out = test or (data if splits[1] else None)
    if held_out is None:
        tell(console, "There is no test set: what follows is measured on the training images.")
        return train, train
    tested = read_annotations(held_out, split=splits[1], classes=list(train.classes))
    tested.refuse_faults()
    refuse_unseen(tested.name, image_sizes(tested, iter)[1])
    both = {i.path for i in train.images if i.path} & {i.path for i in tested.images if i.path}
    if both:
        tell(console, f"{len(both):,} of the test images are training images, too.")
    return train, tested


def finish(console: Console, trainer: Trainer) -> None:
    """Train to the end, and show how far it is."""
    with Display(console) as display:
        trainer.watch = display.watch
        display.add([trainer])
        run_all([trainer])


def last_words(trainer: DetectorTrainer) -> list[str]:
    """What the last evaluation said, and how long the training took."""
    lines = [r for r in read_records(trainer.folder / "records.jsonl") if r["kind"] == "detection"]
    last, images = lines[-1], len(first(trainer.dataset.test, trainer.recipe.test_images))
    figures = f"mAP@.5 {last['mAP50']:.1%}, mAP@[.5,.95] {last['mAP']:.1%}"
    took = f"{trainer.step:,} iterations in {trainer.seconds:,.0f} s on the {trainer.model.device}"
    return [f"On {images:,} test images: {figures}", f"Trained: {took}"]


def draw_first(model: FasterRCNN, data: DetectionSet, path: Path) -> Path:
    """The first test image, with what is found in it with a score of .5 and more."""
    from PIL import Image

    pixels = data.pixels(0)
    found = likely(detect(model, pixels), 0.5)
    return draw_found(Image.fromarray(pixels), found, model.classes, path)


def refuse_pretraining(backbone: str, weights: Path | None) -> None:
    """Raises: ValueError for detectors that begin with weights already."""
    if backbone not in SMALL_NAMES or weights:
        raise ValueError(
            f"--pretrain is for {' and '.join(SMALL_NAMES)} without --weights: others begin with "
            "the weights that they are given"
        )


def settings_of(backbone: str, sizes: str | None, view: tuple[int | None, int | None]) -> Settings:
    """The numbers of a backbone's detector, with what was asked for."""
    settings = SETTINGS if backbone in SMALL_NAMES else Settings()
    settings = replace(settings, sizes=(numbers(sizes),)) if sizes else settings
    shorter, longer = view
    return replace(settings, shorter=shorter or settings.shorter, longer=longer or settings.longer)


def stride_of(backbone: str) -> int:
    """Pixels between two places of the trunk's map."""
    return 8 if backbone in SMALL_NAMES else 16


def begin(
    backbone: str, train: Annotations, settings: Settings, weights: Path | None
) -> FasterRCNN:
    """The detector before training. Raises: ValueError for another backbone, or other weights."""
    if backbone not in BACKBONES:
        raise ValueError(f"backbone must be one of {', '.join(BACKBONES)}, but is {backbone!r}")
    if backbone in SMALL_NAMES:
        model = make_detector({"backbone": backbone}, list(train.classes), settings)
        return take_over(model, weights) if weights else model
    if weights is None:
        raise ValueError(
            f"{backbone} begins with the weights of a classifier, whose batch norm is held: give "
            f"--weights {backbone}.pth, or take --backbone {SMALL_NAMES[0]}"
        )
    network: Any = load_torchvision(weights)
    return faster_rcnn(backbone, train.classes, network=network, settings=settings)


def recipe_of(preset: str, iterations: int | None, batch_size: int | None) -> Recipe:
    """A preset's recipe, shorter or longer; where the rate drops moves along."""
    if preset not in DETECTION_PRESETS:
        raise ValueError(f"preset must be one of {', '.join(DETECTION_PRESETS)}, not {preset!r}")
    recipe = DETECTION_PRESETS[preset](iterations)
    return recipe if batch_size is None else replace(recipe, batch_size=batch_size)
