"""What more views of a test image are worth: single crop, 10-crop, several scales. Sec. 3.4."""

from __future__ import annotations

import numpy as np

from ..data import Dataset, DatasetImages, Preprocessing
from ..evaluation import MultiScale, Score, SingleCrop, TenCrop, evaluate
from ..evaluation.protocols import Protocol
from ..training import Trainer
from .catalogue import DRAWINGS
from .result import Result
from .setting import Setting

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
    """The paper's three, for networks trained on images of this size.

    The paper trains at shorter sides of 256 to 480 and tests from 7/8 of the smallest to 4/3 of the
    largest; here there is one training size.
    """
    scales = (7 / 8, 1, 9 / 8, 5 / 4, 4 / 3)
    return [SingleCrop(), TenCrop(), MultiScale(tuple(round(size * scale) for scale in scales))]


def run(setting: Setting) -> Result:
    """Evaluate the residual networks of `drawings`, trained first where they are not yet."""
    trainers = [t for t in DRAWINGS.train(setting) if t.model.shortcut is not None]
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
    scales = ", ".join(map(str, protocol_list[2].scales))  # type: ignore[attr-defined]
    return Result(
        key=KEY,
        title="10-crop and multi-scale testing",
        paper=(
            "top-1 error on ImageNet: 10-crop from table 3, multi-scale from table 4; every "
            "further view of the test image helps. The errors of a single crop are not the "
            "paper's, but from its authors' repository (KaimingHe/deep-residual-networks)."
        ),
        here=(
            f"the residual networks of `{DRAWINGS.key}` on {limit:,} test images of "
            f"{dataset.name}: resized to {resized(size)}, crops of {size}; fully convolutional at "
            f"shorter sides of {scales}. They were trained at one size, the paper's at many."
        ),
        columns=["network", *(protocol.name for protocol in protocol_list)],
        rows=[*PAPER, *([name, *map(in_percent, errors[name])] for name in names)],
        findings=[gains(protocol_list, errors)],
    )


def measure(trainer: Trainer, dataset: Dataset, protocol: Protocol, limit: int) -> Score:
    """The error of one trained network."""
    images = DatasetImages(dataset, limit=limit)
    preprocessing = Preprocessing.of(dataset, resize=resized(dataset.train_images.shape[1]))
    models = {trainer.name: trainer.model}
    options = {"protocol": protocol, "preprocessing": preprocessing, "batch_size": 100}
    return evaluate(models, images, **options).scores[trainer.name]  # type: ignore[arg-type]


def resized(crop: int) -> int:
    """The shorter side of which a crop is 7/8, as 224 is of 256."""
    return round(crop * 256 / 224)


def in_percent(errors: list[float]) -> str:
    """In percent, with the standard deviation of several seeds."""
    mean = f"{100 * np.mean(errors):.1f}"
    return mean if len(errors) == 1 else f"{mean} ± {100 * np.std(errors, ddof=1):.1f}"


def gains(protocol_list: list[Protocol], errors: dict[str, list[list[float]]]) -> str:
    """How much lower the error is than that of a single crop, in points, over all networks."""
    means = np.array([[np.mean(seeds) for seeds in by_protocol] for by_protocol in errors.values()])
    sentences = []
    for number, protocol in enumerate(protocol_list[1:], 1):
        change = 100 * (means[:, number] - means[:, 0])
        better = int((change < 0).sum())
        sentences.append(
            f"{protocol.name} changes the error of a single crop by {change.mean():+.1f} points on "
            f"average and lowers it for {better} of {len(change)} networks."
        )
    return " ".join(sentences)
