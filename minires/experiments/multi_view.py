"""What more views of a test image are worth: single crop, 10-crop, several scales. Sec. 3.4."""

from __future__ import annotations

import numpy as np

from ..data import Dataset, DatasetImages, Preprocessing
from ..distributed import world
from ..evaluation import MultiScale, Score, SingleCrop, TenCrop, evaluate
from ..evaluation.protocols import SCALES, Protocol
from ..report.tables import over_seeds
from ..training import Trainer
from .catalogue import DRAWINGS, MANY_SCALES
from .network_comparison import budget, groups_of
from .origin import made
from .result import Result
from .setting import SIDES, Setting

KEY = "test-time"
IMAGES = 500
# Errors in percent, top-1: single crop from the authors' repository, 10-crop from table 3,
# multi-scale from table 4; the 34 layers are with shortcuts B
PAPER = [
    ["paper: ResNet-34 (B)", "-", "24.52", "21.84"],
    ["paper: ResNet-50 (B)", "24.7", "22.85", "20.74"],
    ["paper: ResNet-101 (B)", "23.6", "21.75", "19.87"],
]


def protocols(size: int) -> list[Protocol]:
    """The paper's three, for networks that see so many pixels.

    The paper's see 224; it tests at shorter sides of 224, 256, 384, 480 and 640.
    """
    scales = (round(size * side / 224) for side in SCALES)
    return [SingleCrop(), TenCrop(), MultiScale(tuple(scales))]


def run(setting: Setting) -> Result:
    """Evaluate residual networks that were trained at one size, and others at many."""
    at_one_size = [t for t in DRAWINGS.train(setting) if t.model.shortcut is not None]
    trainers = at_one_size + MANY_SCALES.train(setting)
    dataset = trainers[0].dataset
    size = dataset.train_images.shape[1]
    protocol_list, limit = protocols(size), 8 if setting.size == "toy" else IMAGES
    names = list(dict.fromkeys(trainer.name for trainer in trainers))
    errors = {
        name: [
            [measure(t, dataset, protocol, limit).top1_error for t in trainers if t.name == name]
            for protocol in protocol_list
        ]
        for name in names
    }
    scales = protocol_list[2].scales  # type: ignore[attr-defined]
    groups = groups_of(trainers)
    return Result(
        key=KEY,
        title="10-crop and multi-scale testing",
        paper=(
            "top-1 error on ImageNet: 10-crop from table 3, multi-scale from table 4; every "
            "further view of the test image helps. The errors of a single crop are not the "
            "paper's, but from its authors' repository (KaimingHe/deep-residual-networks)."
        ),
        here=(
            f"the residual networks of `{DRAWINGS.key}`, trained at one size, and the same "
            f"trained at shorter sides of {SIDES[0]} to {SIDES[1]} (many scales), as the "
            f"paper's are at 256 to 480: {budget(groups[0])}, {over_seeds(groups[0])}. Errors in "
            f"percent on {limit:,} test images: resized to {resized(size)}, crops of {size}; fully "
            f"convolutional at shorter sides of {', '.join(map(str, scales))}. The last map is "
            f"{last_map(size)} in training, and up to {last_map(scales[-1])} in the test."
        ),
        columns=["network", *(protocol.name for protocol in protocol_list)],
        rows=[*PAPER, *([name, *map(in_percent, errors[name])] for name in names)],
        findings=[gains(protocol_list, errors)],
        made=made(groups),
    )


def measure(trainer: Trainer, dataset: Dataset, protocol: Protocol, limit: int) -> Score:
    """The error of one trained network."""
    images = DatasetImages(dataset, limit=limit)
    preprocessing = Preprocessing.of(dataset, resize=resized(dataset.train_images.shape[1]))
    models = {trainer.name: trainer.model}
    options = {"protocol": protocol, "preprocessing": preprocessing, "batch_size": 100}
    options["world"] = world()
    return evaluate(models, images, **options).scores[trainer.name]  # type: ignore[arg-type]


def last_map(side: int) -> str:
    """The size of the last map, a 32nd of the image's."""
    return f"{-(-side // 32)} x {-(-side // 32)}"


def resized(crop: int) -> int:
    """The shorter side of which a crop is 7/8, as 224 is of 256."""
    return round(crop * 256 / 224)


def in_percent(errors: list[float]) -> str:
    """In percent, with the standard deviation of several seeds."""
    mean = f"{100 * np.mean(errors):.1f}"
    return mean if len(errors) == 1 else f"{mean} ± {100 * np.std(errors, ddof=1):.1f}"


def gains(protocol_list: list[Protocol], errors: dict[str, list[list[float]]]) -> str:
    """What each network gains or loses beside a single crop, in points, by protocol."""
    sentences = []
    for number, protocol in enumerate(protocol_list[1:], 1):
        changes = [
            f"{name} {100 * (np.mean(by_protocol[number]) - np.mean(by_protocol[0])):+.1f}"
            for name, by_protocol in errors.items()
        ]
        sentences.append(
            f"{protocol.name} changes the error of a single crop by so many points: "
            f"{', '.join(changes)}."
        )
    return " ".join(sentences)
