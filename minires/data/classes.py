"""The classes of a network in the order of its outputs, and how files name them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..common.expecting import expects
from ..common.files import read_text

Key = str | int  # how a file names a class: by its identifier or name, or by its place


@dataclass(frozen=True)
class Classes:
    """What the outputs of a network mean: `ids` as folders are called, `names` to show."""

    ids: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def called(cls, names: Iterable[str]) -> Classes:
        """Classes whose folders are called by their names."""
        names = tuple(names)
        return cls(names, names)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _places(self) -> dict[str, int]:
        by_name = {name: place for place, name in enumerate(self.names)}
        return by_name | {name: place for place, name in enumerate(self.ids)}

    def index(self, key: Key) -> int:
        """The output that stands for a class, given its identifier, its name or its place.

        Raises: ValueError where there is no such class, or more than one.
        """
        if isinstance(key, int):
            if 0 <= key < len(self):
                return key
            raise ValueError(
                f"class {key}: expected 0 .. {len(self) - 1}, for there are {len(self)} classes"
            )
        if key not in self._places:
            raise ValueError(
                f"class {key!r} is none of the {len(self)} known ones ({self.ids[0]!r} .. "
                f"{self.ids[-1]!r}): name a file with the classes of the network, in the order of "
                "its outputs"
            )
        count = self.ids.count(key) or self.names.count(key)
        if count > 1:
            raise ValueError(
                f"class {key!r} stands for {count} outputs of the network: name a file of classes "
                "with identifiers, and call classes by these"
            )
        return self._places[key]


@expects(path=Path)
def read_classes(path: Path) -> Classes:
    """Read the classes of a network from a file, in the order of its outputs.

    A `.json` file holds a list of names, a list of [identifier, name], or either as an object with
    the keys "0", "1", ... So does a text that begins with a bracket, which may be Python's instead:
    `{0: 'tench', 1: ...}`. Any other file has one class a line: `n01440764 tench, Tinca tinca` (an
    identifier of WordNet first, as in `LOC_synset_mapping.txt`) or just a name.

    Raises: FileNotFoundError, or ValueError for anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path} with names of classes")
    text = read_text(path)
    nested = path.suffix.lower() == ".json" or text.lstrip()[:1] in ("[", "{")
    return json_classes(path, text) if nested else named(path, line_entries(text))


def json_classes(path: Path, text: str) -> Classes:
    """The classes in a JSON text, which came from the file `path`; see `read_classes`."""
    return named(path, json_entries(path, text))


def named(path: Path, entries: list[tuple[str, str]]) -> Classes:
    """Classes with these identifiers and names, at least one."""
    if not entries:
        raise ValueError(f"{path} names no class")
    return Classes(*zip(*entries, strict=True))


def line_entries(text: str) -> list[tuple[str, str]]:
    """(identifier, name) of every line."""
    return [entry(line.strip()) for line in text.splitlines() if line.strip()]


def entry(line: str) -> tuple[str, str]:
    """An identifier of WordNet and a name, or a name for both."""
    synset = re.match(r"(n\d{8})\s+(.+)", line)
    return (synset[1], synset[2]) if synset else (line, line)


def json_entries(path: Path, text: str) -> list[tuple[str, str]]:
    """(identifier, name) of every class of a JSON text, or of one of Python's."""
    value = as_python(text) or as_json(path, text)
    if isinstance(value, Pairs):
        value = in_order(path, value)
    if not isinstance(value, list):
        raise ValueError(f"{path}: expected a list of names or an object of them")
    return [json_entry(path, item) for item in value]


class Pairs(list[tuple[Any, Any]]):
    """A JSON object or a dictionary, with keys that come twice."""


def as_json(path: Path, text: str) -> Any:
    """What a JSON text holds."""
    try:
        return json.loads(text, object_pairs_hook=Pairs)
    except (ValueError, RecursionError) as error:  # the latter for deeply nested lists
        raise ValueError(f"{path} is not valid JSON: {error}") from None


def as_python(text: str) -> Pairs | None:
    """A dictionary of Python, `{0: 'tench'}`, whose keys JSON does not know; None for others."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        if isinstance(tree, ast.Dict) and all(map(is_number, tree.keys)):
            keys = [str(ast.literal_eval(key)) for key in tree.keys if key]
            values = [listed(ast.literal_eval(value)) for value in tree.values]
            return Pairs(zip(keys, values, strict=True))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        pass  # not Python's
    return None


def is_number(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int


def listed(value: Any) -> Any:
    """A tuple as JSON would have it."""
    return list(value) if isinstance(value, tuple) else value


def in_order(path: Path, pairs: Pairs) -> list[Any]:
    """The values of an object whose keys are the places."""
    by_place, places = dict(pairs), [str(place) for place in range(len(pairs))]
    if set(by_place) != set(places):
        raise ValueError(
            f'{path}: expected the keys "0" .. "{len(pairs) - 1}", one a class, each once'
        )
    return [by_place[place] for place in places]


def json_entry(path: Path, item: Any) -> tuple[str, str]:
    """One class of a JSON file."""
    if isinstance(item, str):
        return item, item
    if isinstance(item, list) and len(item) == 2 and all(isinstance(part, str) for part in item):
        return item[0], item[1]
    raise ValueError(f"{path}: expected a name or [identifier, name] for a class, but got {item!r}")
