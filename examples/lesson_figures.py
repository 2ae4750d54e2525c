"""Make all pictures of the lesson, docs/lesson/, and the figures that its text quotes.

    python examples/lesson_figures.py --data-dir FOLDER     (FOLDER holds CIFAR-10)

trains the four networks of the main job, runs every probe on them, and climbs the ladder of page 7.
Without `--data-dir` it downloads CIFAR-10. What the folder `--out` already holds is not made again:
delete it to start afresh.

    python examples/lesson_figures.py --ladder

makes the pictures and lists of page 7 alone, which show this machine: let nothing else run on it.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from rich.console import Console

from minires.analysis import PROBES, Lab
from minires.common.files import atomic
from minires.common.json_files import read_json
from minires.common.output import errors_as_sentences
from minires.report import draw_error_curves, group_runs, load_runs
from minires.training import DivergedError
from minires.training.display import plain_lines

LESSON = Path(__file__).parents[1] / "docs" / "lesson"


def main(
    data_dir: Annotated[Path | None, typer.Option(help="folder that holds CIFAR-10")] = None,
    out: Annotated[Path, typer.Option(help="folder of the networks and measurements")] = Path(
        "runs/lesson"
    ),
    pages: Annotated[Path, typer.Option(help="where the lesson's pictures go")] = LESSON,
    ladder: Annotated[bool, typer.Option("--ladder", help="page 7 alone; needs no data")] = False,
) -> None:
    """Train what is missing, measure what is missing, and bring the pictures to the lesson."""
    if not ladder:
        experiments(data_dir, out, pages)
    kernels(out, pages)
    for page in pages.glob("*.md"):
        page.write_text(with_measurements(page), encoding="utf-8")


def experiments(data_dir: Path | None, out: Path, pages: Path) -> None:
    """The networks of the main job, and every probe."""
    lab = Lab.like(out, data="cifar10", data_dir=data_dir, watch=plain_lines(Console()))
    for depth in (20, 56):
        for shortcut in (None, "A"):
            lab.trained(depth, shortcut)
    groups = group_runs(load_runs(out))
    shrink(draw_error_curves(groups, out / "error.png"), pages / "error.png")
    for probe in PROBES.values():
        picture = out / "probes" / f"{probe.name}.png"
        if not picture.with_suffix(".json").exists():
            print(f"{probe.title} ...", flush=True)
            probe.run(lab)
        bring(picture, pages)


def kernels(out: Path, pages: Path) -> None:
    """Every ladder."""
    from ladder import SIZES, climb, picture_of

    for name, size in SIZES.items():
        if not picture_of(name, out).exists():
            climb(name, size, size[3], out)
        bring(picture_of(name, out), pages)


def bring(picture: Path, pages: Path) -> None:
    """A picture, and what was measured, to the lesson."""
    shrink(picture, pages / picture.name)
    shutil.copy(picture.with_suffix(".json"), pages)


def shrink(source: Path, target: Path) -> None:
    """A picture of few colours: a third of the bytes, and looks the same."""
    with Image.open(source) as image, atomic(target) as temporary:
        image.convert("RGB").quantize(96, dither=Image.Dither.NONE).save(
            temporary, format="PNG", optimize=True
        )


def with_measurements(page: Path) -> str:
    """The page's text, with what was measured between its marks `measured: NAME` and `end`."""

    def sentences(mark: re.Match) -> str:
        found = read_json(page.with_name(f"{mark['name']}.json"))["found"]
        return mark["start"] + "".join(f"- {sentence}\n" for sentence in found) + "<!-- end -->"

    marks = r"(?P<start><!-- measured: (?P<name>[\w-]+) -->\n).*?<!-- end -->"
    return re.sub(marks, sentences, page.read_text(encoding="utf-8"), flags=re.DOTALL)


def run() -> None:
    """Turn expected failures into one sentence each."""
    try:
        with errors_as_sentences(DivergedError):
            typer.run(main)
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on with what is missing.")
        raise SystemExit(130) from None


if __name__ == "__main__":
    run()
