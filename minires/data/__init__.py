"""Data sets and batches: CIFAR, the built-in drawings, augmentation, folders of images."""

from __future__ import annotations

from pathlib import Path

from ..common.expecting import expects
from . import cifar10, cifar100
from .batches import Batches, evaluation_batches
from .builtin import generate
from .cifar_files import refuse_other_files
from .classes import Classes, read_classes
from .dataset import Dataset
from .folders import DatasetImages, ImageFiles, LabelledImages, find_images
from .images import BrokenImageError, Preprocessing, open_image
from .mixing import mixup
from .own_folders import find_photographs
from .photographs import Photographs
from .prefetch import Prefetch
from .resident import training_batches

__all__ = [
    "Batches",
    "BrokenImageError",
    "Classes",
    "Dataset",
    "DatasetImages",
    "ImageFiles",
    "LabelledImages",
    "Photographs",
    "Prefetch",
    "Preprocessing",
    "evaluation_batches",
    "find_images",
    "find_photographs",
    "how_to_get_cifar10",
    "load",
    "mixup",
    "open_image",
    "read_classes",
    "training_batches",
]

NAMES = ("auto", "cifar10", "cifar100", "cifar100-coarse", "builtin")


@expects(name=str, data_dir=Path)
def load(name: str = "auto", *, data_dir: Path | str | None = None) -> Dataset:
    """Load a data set, as uint8 in memory.

    - "auto": CIFAR-10 where it lies in `data_dir` or in the cache, otherwise the built-in
      drawings, at once: nothing is downloaded.
    - "cifar10": the same, but downloaded where it is in neither, to `data_dir` or else the cache.
    - "cifar100": CIFAR-100 with its 100 classes, found or downloaded in the same way.
    - "cifar100-coarse": the same images, with the 20 superclasses as labels.
    - "builtin": the built-in drawings, 12,000 for training and 2,000 for testing.

    `data_dir` may be a folder with an official archive (`cifar-10-binary.tar.gz` or
    `cifar-10-python.tar.gz`, the same with 100), the archive itself, or the folder that it unpacks
    to; "auto" then takes nothing else. The cache is the user's cache folder for minires, or
    $MINIRES_DATA. Raises ValueError for another name or damaged files, FileNotFoundError for a
    `data_dir` that is not there or holds something else, ConnectionError where the download fails.
    """
    if name not in NAMES:
        raise ValueError(f"data set {name!r}: expected {', '.join(map(repr, NAMES))}")
    given = [] if data_dir is None else [Path(data_dir).expanduser()]
    if given and not given[0].exists():
        raise FileNotFoundError(f"data_dir {data_dir} is not there: check the path or create it")
    if name == "builtin":
        if given:
            raise ValueError(
                f"data_dir {data_dir}: the built-in drawings lie in none, leave it out"
            )
        return generate()
    source = cifar100 if name.startswith("cifar100") else cifar10
    roots = [*given, cifar10.cache_dir()]
    place = source.find(*given)
    if given and place is None:
        refuse_other_files(source.LAYOUTS, given[0], must_be_there=name == "auto")
    place = place or source.find(cifar10.cache_dir())
    if place is None and name != "auto":
        from .download import download

        place = download(roots[0], source.BINARY)
    if place is None:
        return generate()
    return (
        cifar100.read(place, coarse=name != "cifar100")
        if source is cifar100
        else cifar10.read(place)
    )


def how_to_get_cifar10() -> str:
    """One line for those who see the built-in drawings and want the real images."""
    return (
        f"For real images, put {cifar10.BINARY.archive} in {cifar10.cache_dir()} or choose the "
        f"data set cifar10, which downloads it"
    )
