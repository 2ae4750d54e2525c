"""CIFAR-100: 60,000 images of 32 x 32 pixels in 100 classes, or in their 20 superclasses.

Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html. 500 training images a class.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from . import cifar_files
from .cifar_files import Layout
from .dataset import Dataset

NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""
CLASSES = tuple(NAMES.split())
SUPERCLASSES = (
    "aquatic mammals",
    "fish",
    "flowers",
    "food containers",
    "fruit and vegetables",
    "household electrical devices",
    "household furniture",
    "insects",
    "large carnivores",
    "large man-made outdoor things",
    "large natural outdoor scenes",
    "large omnivores and herbivores",
    "medium-sized mammals",
    "non-insect invertebrates",
    "people",
    "reptiles",
    "small mammals",
    "trees",
    "vehicles 1",
    "vehicles 2",
)

BINARY = Layout(
    dataset="CIFAR-100",
    archive="cifar-100-binary.tar.gz",
    size=168_513_733,
    md5="03b5dce01913d631647c71ecec9e9cb8",
    folder="cifar-100-binary",
    train_files=("train.bin",),
    test_file="test.bin",
    parse=partial(cifar_files.parse_records, labels=2),  # first the superclass
)
PYTHON = Layout(
    dataset="CIFAR-100",
    archive="cifar-100-python.tar.gz",
    size=169_001_437,
    md5="eb9058c3a382ffc7106e4002c42a8d85",
    folder="cifar-100-python",
    train_files=("train",),
    test_file="test",
    parse=cifar_files.parse_pickle,
)
LAYOUTS: tuple[Layout, ...] = (BINARY, PYTHON)


def find(*roots: Path) -> Path | None:
    """The first CIFAR-100 in the `roots`: an archive, an unpacked one, or a folder with one."""
    return cifar_files.find(LAYOUTS, roots)


def read(place: Path, *, coarse: bool = False) -> Dataset:
    """Read what `find` found, with the 100 classes or with the 20 superclasses as labels.

    The data set's name says where the images are not from the official archive. Raises ValueError
    for a file that is truncated, damaged or not what its name says.
    """
    layout, files = cifar_files.files_at(LAYOUTS, place)
    names = (*layout.train_files, layout.test_file)
    if missing := [name for name in names if name not in files]:
        raise ValueError(f"{place}: {missing[0]} is missing; unpack the official archive again")
    classes = SUPERCLASSES if coarse else CLASSES
    binary = layout.train_files == BINARY.train_files
    wanted: dict[str, Any] = {"which": 0 if coarse else 1} if binary else {"key": KEYS[coarse]}
    train, test = (
        cifar_files.parsed(
            place / name,
            files[name],
            partial(layout.parse, **wanted),
            dataset="CIFAR-100",
            classes=len(classes),
        )
        for name in names
    )
    name = "CIFAR-100, 20 superclasses" if coarse else "CIFAR-100"
    return Dataset(name + origin(place, files), *train, *test, classes)


KEYS = {False: "fine_labels", True: "coarse_labels"}


def origin(place: Path, files: dict[str, bytes]) -> str:
    """What the name adds where the images are not from an archive whose md5 has been checked."""
    if place.is_file():
        return ""
    about = files.get("about.txt", b"").decode(errors="replace").strip().partition("\n")[0]
    return f" ({about.strip() or 'origin not checked'})"
