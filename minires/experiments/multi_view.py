"""What more views of a test image are worth: single crop, 10-crop, several scales. Sec. 3.4."""

from __future__ import annotations

import numpy as np

from ..data import LabelledImages
from ..data.photographs import preprocessing_of
from ..distributed import world
from ..evaluation import MultiScale, SingleCrop, TenCrop, evaluate
from ..evaluation.protocols import SCALES, Protocol
from ..report.tables import over_seeds
from ..training import Trainer
from .catalogue import AT_MANY_SCALES, AT_ONE_SCALE
from .network_comparison import budget, groups_of
from .origin import made
from .result import Result
from .setting import MANY_SCALES, SEEN, STRIDE, Setting, in_proportion

KEY = "test-time"
IMAGES = 500
PREPROCESSING = preprocessing_of(SEEN)
OURS = tuple(map(in_proportion, SCALES))
PROTOCOLS: dict[str, Protocol] = {
    "single crop": SingleCrop(),
    "10-crop": TenCrop(),
    "multi-scale": MultiScale(OURS),
    **{f"{side} alone": MultiScale((side,)) for side in (*OURS, OURS[0] + 1)},
}
# Errors in percent, top-1: single crop from the authors' repository, 10-crop from table 3,
# multi-scale from table 4; the 34 layers are with shortcuts B
PAPER = {
    "paper: ResNet-34 (B)": ["-", "24.52", "21.84"],
    "paper: ResNet-50 (B)": ["24.7", "22.85", "20.74"],
    "paper: ResNet-101 (B)": ["23.6", "21.75", "19.87"],
}
Errors = dict[str, list[float]]  # by network: of each seed


def run(setting: Setting) -> Result:
    """Evaluate a network that was trained at one scale, and one at many, as the paper's are."""
    trainers = AT_ONE_SCALE.train(setting) + AT_MANY_SCALES.train(setting)
    images = setting.at_scales(MANY_SCALES).test.first(IMAGES)
    errors = {name: errors_of(trainers, images, way) for name, way in PROTOCOLS.items()}
    group = groups_of(trainers)[0]
    return Result(
        key=KEY,
        title="10-crop and multi-scale testing",
        paper=(
            "top-1 error on ImageNet: 10-crop from table 3, multi-scale from table 4; every "
            "further view of the test image helps. The errors of a single crop are not the "
            "paper's, but from its authors' repository (KaimingHe/deep-residual-networks)."
        ),
        here=(
            f"all lengths are about a seventh of the paper's: networks see {SEEN} pixels for its "
            "224. In training these are a random part of the image, whose shorter side is "
            f"{MANY_SCALES[0]} (one scale), or anything from there to {MANY_SCALES[1]} "
            f"(many scales), as the paper's are 256 to 480: {budget(group)}, {over_seeds(group)}. "
            f"Errors in percent on {len(images):,} test images: single crop and 10-crop at a "
            f"shorter side of {PREPROCESSING.resize}; multi-scale, fully convolutional, at "
            f"{', '.join(map(str, OURS))}, and at each of them alone. These are multiples of "
            f"{STRIDE}, the network's stride, as the paper's are of 32; {OURS[0] + 1} is not."
        ),
        columns=["network", *PROTOCOLS],
        rows=[padded([name, *figures]) for name, figures in PAPER.items()] + rows_of(errors),
        findings=[gains(errors)],
        made=made(groups_of(trainers)),
    )


def errors_of(trainers: list[Trainer], images: LabelledImages, protocol: Protocol) -> Errors:
    """The errors of trained networks in a way of testing."""
    errors: Errors = {}
    for trainer in trainers:
        result = evaluate(
            {trainer.name: trainer.model},
            images,
            protocol=protocol,
            preprocessing=PREPROCESSING,
            batch_size=100,
            world=world(),
        )
        errors.setdefault(trainer.name, []).append(result.scores[trainer.name].top1_error)
    return errors


def padded(row: list[str]) -> list[str]:
    """A row of the paper's, which has no column for single scales."""
    return row + ["-"] * (1 + len(PROTOCOLS) - len(row))


def rows_of(errors: dict[str, Errors]) -> list[list[str]]:
    """A row for each network, a column for each way of testing."""
    names = list(errors["single crop"])
    return [[name, *(in_percent(some[name]) for some in errors.values())] for name in names]


def in_percent(errors: list[float]) -> str:
    """In percent, with the standard deviation of several seeds."""
    mean = f"{100 * np.mean(errors):.1f}"
    return mean if len(errors) == 1 else f"{mean} ± {100 * np.std(errors, ddof=1):.1f}"


def gains(errors: dict[str, Errors]) -> str:
    """What each network gains or loses beside a single crop, in points, seed by seed."""
    sentences = []
    for way in ("10-crop", "multi-scale"):
        changes = [
            f"{name} {points(np.subtract(errors[way][name], single))}"
            for name, single in errors["single crop"].items()
        ]
        sentences.append(
            f"{way} changes the error of a single crop by so many points: {', '.join(changes)}."
        )
    return " ".join(sentences)


def points(changes: np.ndarray) -> str:
    """Differences of errors, in points, with the standard error of several seeds."""
    mean = f"{100 * np.mean(changes):+.1f}"
    if len(changes) == 1:
        return mean
    return f"{mean} (standard error {100 * np.std(changes, ddof=1) / len(changes) ** 0.5:.1f})"
