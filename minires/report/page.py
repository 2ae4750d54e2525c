"""Runs as one HTML page that needs nothing but itself: no network, no server, no other file.

The charts are drawn by plotly.js, which the page carries compressed. Without it (scripts switched
off, a preview in a mail program, an old browser) the page shows still pictures in their place.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.expecting import SOME, Each, expects
from ..common.files import atomic
from ..environment import version
from .figures import error_curves, gradient_norms
from .paper import counted
from .probes import picture_uri, read_pictures
from .provenance import commands, facts, run_row
from .runs import Run, find_runs
from .sections import Section, differences, make_sections
from .tables import GRADIENT_HEADINGS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GENERATOR = '<meta name="generator" content="minires report">'
FILE_NAME = "report.html"
PARTS = ("style.css", "charts.js", "page.js")  # beside the template, and written into the page


@dataclass(frozen=True)
class Report:
    """A page, and a sentence for everything that was left out of it."""

    html: str
    notes: list[str]


@expects(folders=Each(Path, SOME), path=Path)
def write_report(folders: Sequence[Path], path: Path | None = None) -> tuple[Path, list[str]]:
    """Write the page about all runs in these folders; returns where, and what was left out.

    By default it goes into the folder, if there is one alone, else into the working directory. An
    earlier report is replaced; any other file is not.

    Raises: FileNotFoundError for a folder without runs, FileExistsError for a file in the way,
    ValueError if all runs are damaged.
    """
    place = path or (folders[0] if len(folders) == 1 else Path()) / FILE_NAME
    refuse_replacing(place)
    report = make_report(folders)
    with atomic(place) as temporary:
        temporary.write_text(report.html, encoding="utf-8")
    return place, report.notes


def refuse_replacing(path: Path) -> None:
    """Raise FileExistsError unless what is there is an earlier report."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file, such as {path / FILE_NAME}")
    if path.exists() and GENERATOR.encode() not in path.read_bytes()[:1000]:
        raise FileExistsError(
            f"{path} is there already and is no report of minires: choose another name with --out"
        )


def make_report(folders: Sequence[Path]) -> Report:
    """The page about all runs in these folders."""
    runs, notes = find_runs(folders)
    if not runs:
        raise ValueError("there is no run that can be read:\n  " + "\n  ".join(notes))
    places = [*folders, *(run.folder for run in runs if run.folder)]
    probes, about_probes = read_pictures({place.resolve() for place in places})
    made_by, about_commands = commands(folders)
    sections, notes = make_sections(runs), [*notes, *about_probes, *about_commands]
    html = render(
        title=title_of(runs),
        headline=headline(sections),
        sections=sections,
        mixed=differences(sections),
        data=embedded(sections),
        compared=any(section.comparisons for section in sections),
        stills=[stills(section) for section in sections],
        gradient_headings=GRADIENT_HEADINGS,
        probes=probes,
        notes=notes,
        facts=facts(runs),
        runs=[run_row(run) for run in runs],
        commands=made_by,
        made=f"{time.strftime('%Y-%m-%d %H:%M')} by minires {version('minires-dl')}",
    )
    return Report(html, notes)


def render(**values: Any) -> str:
    """Fill the template; every value is escaped but the three parts of the page itself."""
    from importlib.resources import files

    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("minires.report", "assets"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    folder = files("minires.report") / "assets"
    parts = {name: (folder / name).read_text(encoding="utf-8") for name in PARTS}
    environment.filters["list_values"] = lambda row: list(row.values())
    environment.filters["thousands"] = counted
    return environment.get_template("page.html").render(
        generator=GENERATOR,
        parts=parts,
        plotly=packed_plotly(),
        **values,
    )


@cache
def packed_plotly() -> str:
    """plotly.js as its Python package ships it: gzip, then base64, 2.0 MB instead of 4.8."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def embedded(sections: list[Section]) -> str:
    """The numbers of the charts as JSON that is safe inside a script element."""
    lines = [{"section": i, **line} for i, one in enumerate(sections) for line in one.lines()]
    text = json.dumps({"lines": lines}, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def stills(section: Section) -> list[str]:
    """Pictures for readers without scripts; none before a run is finished."""
    drawings = [error_curves] if section.groups else []
    drawings += [gradient_norms] if section.gradient_rows else []
    return [as_uri(draw(section.groups)) for draw in drawings]


def as_uri(figure: Figure) -> str:
    """A figure as an address that holds it; 64 colours are enough for lines."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    return picture_uri(drawn.getvalue(), colours=64)


def title_of(runs: list[Run]) -> str:
    """What the page is about."""
    networks = list(dict.fromkeys(run.config["network"] for run in runs))
    shown = networks if len(networks) < 5 else [*networks[:4], f"{len(networks) - 4} more"]
    return ", ".join(shown)


def headline(sections: list[Section]) -> str:
    """The question, where the runs can answer it; else what was trained."""
    groups = [group for section in sections for group in section.groups]
    plain = {group.depth for group in groups if group.is_plain}
    residual = {group.depth for group in groups if group.is_residual}
    if min(len(plain), len(residual)) > 1:
        return "Do deeper networks train worse?"
    return "Training of " + title_of([run for section in sections for run in section.runs])
