"""`minires train-detector`: a detector of one's own annotated images, or of the built-in scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ..common.output import tell
from ..data import read_classes
from ..distributed import one_process_only
from ..kernels.devices import choose
from ..kernels.precision import precision as in_precision
from ..training.display import Display
from ..training.divergence import DivergedError
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
    one_process_only("minires train-detector")
    if pretrain:
        refuse_pretraining(backbone, weights)
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
    place, drawn_from = choose(device), sides(scales, least=SMALLEST_SIDE)
    settings = settings_of(backbone, sizes, view)
    seen = viewing_of(backbone, settings)
    sets = checked(console, data, splits, test, classes, seen)
    model = begin(backbone, sets.classes, settings, weights)
    with in_precision(precision):
        options: dict[str, Any] = {"seed": seed, "device": place}
        if pretrain:
            drawings = pretraining(model, pretrain, folder=folder / "pretraining", **options)
            finish(console, drawings)
        options |= {"scales": drawn_from, "conditions": conditions(weights, pretrain, sizes, view)}
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
) -> DetectionData:
    """Training and test set, whose boxes and images have been looked at.

    Without a test set the images that it is trained on are the test, and that is said.
    """
    names = read_classes(classes).names if classes else None
    train = read_annotations(data, split=splits[0], classes=names)
    train.refuse_faults()
    result = check(train, seen, whole=False)
    show_check(console, result)
    refuse_unseen(train.name, result.wrong)
    refuse_nothing(train)
    held_out = test or (data if splits[1] else None)
    if held_out is None:
        tell(console, "There is no test set: what follows is measured on the training images.")
        return DetectionData(train.name, DetectionSet(train), DetectionSet(train))
    tested = read_annotations(held_out, split=splits[1], classes=list(train.classes))
    tested.refuse_faults()
    refuse_unseen(tested.name, image_sizes(tested, iter)[1])
    refuse_nothing(tested)
    both = {i.path for i in train.images if i.path} & {i.path for i in tested.images if i.path}
    if both:
        tell(console, f"{len(both):,} of the test images are training images, too.")
    return DetectionData(train.name, DetectionSet(train), DetectionSet(tested))


def refuse_nothing(annotations: Annotations) -> None:
    """Raises: ValueError where there is nothing to find: mAP would be no number."""
    if not (~annotations.difficult & ~annotations.crowd).any():
        raise ValueError(
            f"{annotations.name} has no object that counts (all are difficult or crowds, or there "
            "is none): there is nothing to learn from it, nor to measure"
        )


def conditions(
    weights: Path | None, pretrain: int, sizes: str | None, view: tuple[int | None, int | None]
) -> dict[str, Any]:
    """What makes a run another one beside its recipe: what it begins with, and what it sees."""
    begins = weights.name if weights else f"{pretrain} iterations on drawings" if pretrain else None
    return {"begins with": begins, "anchors": sizes, "sides": list(view) if any(view) else None}


def finish(
    console: Console,
    *trainers: Trainer,
    train: Callable[[Any], object] = run_all,
    again: str = "the same command once more",
) -> None:
    """Train to the end, and show how far it is; `again` says what goes on after Ctrl-C.

    Raises: ValueError where training diverges, SystemExit(130) after Ctrl-C.
    """
    try:
        with Display(console) as display:
            for trainer in trainers:
                trainer.watch = display.watch
            display.add(trainers)
            train(trainers)
    except KeyboardInterrupt as stopped:
        tell(console, f"{stopped}".strip() or "Stopped.", f"To go on: {again}")
        raise SystemExit(130) from None
    except DivergedError as error:
        raise ValueError(str(error)) from None


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
    """The numbers of a backbone's detector, with what was asked for.

    Raises: ValueError where the longer side would be the shorter one.
    """
    settings = SETTINGS if backbone in SMALL_NAMES else Settings()
    settings = replace(settings, sizes=(numbers(sizes),)) if sizes else settings
    shorter, longer = view
    shorter, longer = shorter or settings.shorter, longer or settings.longer
    if longer < shorter:
        raise ValueError(
            f"images of {shorter} pixels on the shorter side and at most {longer} on the longer: "
            "give --shorter and --longer, and not less for the latter"
        )
    return replace(settings, shorter=shorter, longer=longer)


def viewing_of(backbone: str, settings: Settings) -> Viewing:
    """How the trunk sees images; its stride are pixels between two places of its map."""
    stride = 8 if backbone in SMALL_NAMES else 16
    sides = settings.sizes[0], settings.shorter, settings.longer
    return Viewing(*sides, stride, settings.border)


def begin(
    backbone: str,
    classes: Sequence[str],
    settings: Settings,
    weights: Path | None,
    seed: int = 0,
) -> FasterRCNN:
    """The detector before training; `seed` is that of new weights.

    Raises: ValueError for another backbone, or other weights.
    """
    if backbone not in BACKBONES:
        raise ValueError(f"backbone must be one of {', '.join(BACKBONES)}, but is {backbone!r}")
    if backbone in SMALL_NAMES:
        made_as = {"backbone": backbone, "seed": seed}
        model = make_detector(made_as, list(classes), settings)
        return take_over(model, weights) if weights else model
    if weights is None:
        raise ValueError(
            f"{backbone} begins with the weights of a classifier, whose batch norm is held: give "
            f"--weights {backbone}.pth, or take --backbone {SMALL_NAMES[0]}"
        )
    network: Any = load_torchvision(weights)
    return faster_rcnn(backbone, classes, network=network, settings=settings, seed=seed)


def recipe_of(preset: str, iterations: int | None, batch_size: int | None) -> Recipe:
    """A preset's recipe, shorter or longer; where the rate drops moves along."""
    if preset not in DETECTION_PRESETS:
        raise ValueError(f"preset must be one of {', '.join(DETECTION_PRESETS)}, not {preset!r}")
    recipe = DETECTION_PRESETS[preset](iterations)
    return recipe if batch_size is None else replace(recipe, batch_size=batch_size)
