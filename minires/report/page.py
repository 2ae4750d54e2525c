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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import atomic
from ..info import version
from ..training.files import read_json
from .blocks import Block, differences, duration, make_blocks
from .figures import error_curves, gradient_norms
from .paper import counted
from .probes import picture_uri, read_probes
from .runs import Run, find_runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GENERATOR = '<meta name="generator" content="minires report">'
FILE_NAME = "report.html"


@dataclass(frozen=True)
class Report:
    """A page, and a sentence for everything that was left out of it."""

    html: str
    notes: list[str]


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
    """Only a report of ours may be written over."""
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
    places = {
        folder.resolve(): folder for folder in (*folders, *(r.folder for r in runs if r.folder))
    }
    probes, more_notes = read_probes(places.values())
    made_by, yet_more_notes = commands(folders)
    blocks, notes = make_blocks(runs), [*notes, *more_notes, *yet_more_notes]
    html = render(
        title=title_of(runs),
        headline=headline(blocks),
        blocks=blocks,
        mixed=differences(blocks),
        data=embedded(blocks),
        stills=[stills(block) for block in blocks],
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
        loader=PackageLoader("minires.report", "page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    parts = {
        name: (files("minires.report") / "page" / name).read_text(encoding="utf-8")
        for name in ("style.css", "charts.js")
    }
    environment.filters["list_values"] = lambda row: list(row.values())
    environment.filters["thousands"] = counted
    return environment.get_template("page.html").render(
        generator=GENERATOR,
        style=parts["style.css"],
        script=parts["charts.js"],
        plotly=packed_plotly(),
        **values,
    )


@cache
def packed_plotly() -> str:
    """plotly.js as its Python package ships it: gzip, then base64, 2.0 MB instead of 4.8."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def embedded(blocks: list[Block]) -> str:
    """The numbers of the charts as JSON that is safe inside a script element."""
    lines = [{"block": i, **line} for i, block in enumerate(blocks) for line in block.lines()]
    text = json.dumps({"lines": lines}, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def stills(block: Block) -> list[str]:
    """Pictures for readers without scripts; none before a run is finished."""
    drawings = [error_curves] if block.groups else []
    drawings += [gradient_norms] if block.gradient_rows else []
    return [as_uri(draw(block.groups)) for draw in drawings]


def as_uri(figure: Figure) -> str:
    """A figure as an address that holds it, in the 64 colours that lines need."""
    from PIL import Image

    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    Image.open(drawn).convert("RGB").quantize(64).save(small, "PNG", optimize=True)
    return picture_uri(small.getvalue())


def title_of(runs: list[Run]) -> str:
    """What the page is about."""
    networks = list(dict.fromkeys(run.config["network"] for run in runs))
    shown = networks if len(networks) < 5 else [*networks[:4], f"{len(networks) - 4} more"]
    return ", ".join(shown)


def headline(blocks: list[Block]) -> str:
    """The question, where the runs can answer it; else what was trained."""
    kinds = [(g.is_plain, g.depth) for block in blocks for g in block.groups]
    if (
        len({d for plain, d in kinds if plain}) > 1
        and len({d for plain, d in kinds if not plain}) > 1
    ):
        return "Do deeper networks train worse?"
    return "Training of " + title_of([run for block in blocks for run in block.runs])


def run_row(run: Run) -> dict[str, str]:
    """One line of the list of runs."""
    results = run.results if run.is_finished else {}
    return {
        "run": run.folder.name if run.folder else "",
        "network": str(run.config["network"]),
        "seed": str(run.config["seed"]),
        "state": run.state,
        "training loss": f"{results['training_loss']:.3f}" if results else "",
        "training error": f"{results['training_error']:.1%}" if results else "",
        "test error": f"{results['test_error']:.1%}" if results else "",
        "time": duration(results["seconds"]) if results else "",
    }


def facts(runs: list[Run]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The configurations: each key with its values, and who has which where they differ."""
    flat = [dict(flatten(run.config)) for run in runs]
    keys = list(dict.fromkeys(key for config in flat for key in config))
    return [(key, differing(key, flat, runs)) for key in keys if key not in ("network", "seed")]


def flatten(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested keys joined by a colon, values as text."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}: ")
        else:
            yield f"{prefix}{key}", f"{value:,}" if type(value) is int else str(value)


def differing(key: str, flat: list[dict[str, str]], runs: list[Run]) -> list[tuple[str, str]]:
    """Pairs of a value and the networks that have it; one pair without names if all agree."""
    owners: dict[str, list[str]] = {}
    for config, run in zip(flat, runs, strict=True):
        owners.setdefault(config.get(key, "not recorded"), []).append(run.config["network"])
    if len(owners) == 1:
        return [(value, "") for value in owners]
    return [(value, ", ".join(dict.fromkeys(names))) for value, names in owners.items()]


def command(folder: Path) -> str | None:
    """The command that made a folder, where the main job left its options; without its paths.

    Raises: ValueError for damaged options.
    """
    path = folder / "options.json"
    if not path.exists():
        return None
    options = read_json(path)
    try:
        seeds, depths = options["seeds"], ",".join(map(str, options["depths"]))
        place = " --data-dir FOLDER" if options["data_dir"] else ""
        return (
            f"python examples/cifar_plain_vs_resnet.py --preset {options['preset']} "
            f"--data {options['data']}{place} --depths {depths} --seed {seeds[0]} "
            f"--seeds {len(seeds)}"
        )
    except (TypeError, LookupError):
        raise ValueError(f"{path} does not hold the options of the main job") from None


def commands(folders: Sequence[Path]) -> tuple[list[str], list[str]]:
    """The commands that made these folders, and a sentence for damaged options."""
    found, notes = [], []
    for folder in folders:
        try:
            found.append(command(folder))
        except ValueError as error:
            notes.append(f"Left out: {error}")
    return [line for line in dict.fromkeys(found) if line], notes
