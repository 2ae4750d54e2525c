"""What an experiment gives: a table beside the paper's, and sentences about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..common.json_files import read_json, write_json

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Result:
    """A table, its title, and the text around it.

    `paper` says what the authors measured, `here` what we did instead, `findings` what our numbers
    say, `made` where they come from; `options` are those of the command that made it, where they
    are not the defaults.
    """

    key: str
    title: str
    paper: str
    here: str
    columns: list[str]
    rows: list[list[str]]
    findings: list[str] = field(default_factory=list)
    made: str = ""
    options: str = ""

    def table(self) -> Table:
        """For the terminal."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(title=self.title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for number, heading in enumerate(self.columns):
            justify: Literal["left", "right"] = "right" if number else "left"
            table.add_column(heading, justify=justify, overflow="fold", no_wrap=not number)
        for row in self.rows:
            table.add_row(*row)
        return table

    def text(self) -> str:
        """The sentences, for the terminal."""
        return "\n".join([f"Paper: {self.paper}", f"Here: {self.here}", *self.findings, self.made])

    def markdown(self) -> str:
        """A section of a document."""
        blocks = [
            f"## {self.title}",
            f"    python examples/experiments.py {self.key}{self.options}",
            f"*The paper:* {self.paper}",
            f"*Here:* {self.here}",
            markdown_table(self.columns, self.rows),
            *self.findings,
            self.made,
        ]
        return "\n\n".join(filter(None, blocks)) + "\n"

    def save(self, folder: Path) -> None:
        """Keep it beside the runs that it comes from."""
        write_json(result_path(folder, self.key), asdict(self))


def markdown_table(columns: list[str], rows: list[list[str]]) -> str:
    """A table of a document; all columns but the first to the right."""
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (columns, rule, *rows))


def load_result(folder: Path, key: str) -> Result | None:
    """An earlier result; None where there is none."""
    path = result_path(folder, key)
    return Result(**read_json(path, "run the experiment again")) if path.exists() else None


def result_path(folder: Path, key: str) -> Path:
    """Where an experiment's result lies in the folder of all."""
    return folder / f"{key}.json"
