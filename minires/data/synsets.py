"""ILSVRC's own numbers of classes, 1 to 1000, which are in no order that networks use."""

from __future__ import annotations

import re
from pathlib import Path

from ..common.files import read_text

TEXT, MATLAB = "map_clsloc.txt", "meta.mat"


def synsets_by_number(folder: Path) -> dict[str, str]:
    """The identifier of WordNet, `n01440764`, of every ILSVRC number.

    From `map_clsloc.txt` (lines `n02119789 1 kit_fox`) or `meta.mat` (read with scipy), whichever
    lies in the folder of the development kit.

    Raises: FileNotFoundError where there is neither, ValueError where scipy is missing.
    """
    if (folder / TEXT).is_file():
        return from_text(folder / TEXT)
    if (folder / MATLAB).is_file():
        return from_matlab(folder / MATLAB)
    raise FileNotFoundError(
        f"there is neither {TEXT} nor {MATLAB} in {folder}: the numbers of the ground truth are "
        "ILSVRC's own, and one of these files of the development kit says which classes they are"
    )


def from_text(path: Path) -> dict[str, str]:
    """Lines `n02119789 1 kit_fox`."""
    found = re.findall(r"^(n\d{8})\s+(\d+)\b", read_text(path), re.MULTILINE)
    if not found:
        raise ValueError(f"{path}: expected lines such as 'n02119789 1 kit_fox'")
    numbers = [number for _, number in found]
    if twice := next((number for number in numbers if numbers.count(number) > 1), None):
        raise ValueError(f"{path} has the number {twice} twice: get the file again")
    return {number: synset for synset, number in found}


def from_matlab(path: Path) -> dict[str, str]:
    """The table of synsets in a MATLAB file; inner nodes of the tree have numbers above 1000."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise ValueError(
            f"{path} is a MATLAB file: to read it, pip install scipy; or put {TEXT} beside it"
        ) from None
    try:
        synsets = loadmat(path, squeeze_me=True)["synsets"]
        columns = synsets["ILSVRC2012_ID"], synsets["WNID"]
        return {str(int(number)): str(synset) for number, synset in zip(*columns, strict=True)}
    except Exception as error:  # scipy raises what comes: each format has errors of its own
        raise ValueError(
            f"{path} can't be read as the table `synsets` of the development kit "
            f"({type(error).__name__}: {error}): put {TEXT} beside it"
        ) from None
