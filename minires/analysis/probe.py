"""What a probe is: something to measure, a picture of it, and the words that belong to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..common.json_files import write_json
from ..common.pictures import save
from .lab import Lab

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Result = TypeVar("Result")


@dataclass(frozen=True)
class Probe(Generic[Result]):
    """One experiment.

    Attributes:
        name: of the command and the files.
        title: of the page's section.
        what: what is measured, on what, and in which mode.
        look_for: what to look at in the picture, and what others found.
        source: the paper.
        measure: runs the experiment; the result is a dataclass of arrays.
        draw: the picture of a result.
        tell: what the figures of a result say, a sentence each, computed from them.
    """

    name: str
    title: str
    what: str
    look_for: str
    source: str
    measure: Callable[[Lab], Result]
    draw: Callable[[Result], Figure]
    tell: Callable[[Result], list[str]]

    def run(self, lab: Lab) -> Path:
        """Measure, then write the picture and the words to the lab's folder.

        Files: `probes/NAME.png`, and `probes/NAME.json` with the keys title, what, look_for,
        source, and found, the list of what was measured here, in sentences. Reports show them.
        """
        result = self.measure(lab)
        picture = save(self.draw(result), lab.folder / "probes" / f"{self.name}.png")
        write_json(picture.with_suffix(".json"), self.words(result))
        return picture

    def words(self, result: Result) -> dict[str, Any]:
        """All that a reader of the picture needs."""
        texts = {key: getattr(self, key) for key in ("title", "what", "look_for", "source")}
        return texts | {"found": self.tell(result)}
