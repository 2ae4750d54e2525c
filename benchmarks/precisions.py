"""Does a network learn the same in every precision? The main job's networks on an NVIDIA GPU.

    python benchmarks/precisions.py [--precisions float32,tf32] [--preset quick] [--seeds 3]
        [--data auto] [--data-dir FOLDER] [--json FILE] [--write docs/cuda.md]
    python benchmarks/precisions.py --from FILE --write docs/cuda.md

trains plain-20, plain-56, ResNet-20 and ResNet-56 from the same initial weights on the same batches
in each precision, and compares means over seeds with those of the first precision. Rounding alone
sends two trainings of one seed apart, as another seed does. So a difference counts if it is larger
than twice its own standard error, which comes from the spread of the seeds.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import gpu_page
import typer
from gpu import facts
from gpu_page import NAMES, line, table
from minires.kernels import devices

import minires
from minires.data import Dataset, load
from minires.report import group_runs, load_runs
from minires.training import run_all
from minires.training.main_job import make_trainer, plain_and_residual

Record = dict[str, Any]
MAKER = "benchmarks/precisions.py"
RESULTS = {"training_loss": "training loss", "test_error": "test error, %"}
DIGITS = {"training_loss": 3, "test_error": 1}
SCALES = {"training_loss": 1, "test_error": 100}  # from the results of a run


def train(
    precisions: list[str],
    preset: str,
    seeds: int,
    dataset: Dataset,
    keep: Callable[[Record], None],
) -> Record:
    """Every network in every precision with every seed; the figures of each run.

    After each precision `keep` gets what there is: a GPU that is taken away takes no more with it.
    """
    rows: list[Record] = []
    record = {"facts": facts(), "data": dataset.name, "preset": preset, "rows": rows}
    for precision in precisions:
        with minires.precision(precision), tempfile.TemporaryDirectory() as kept:
            run_all(
                make_trainer(entry, dataset, preset=preset, folder=Path(kept), device="cuda")
                for entry in plain_and_residual((20, 56), range(seeds))
            )
            for group in group_runs(load_runs(Path(kept))):
                rows += [figures(precision, group.name, run) for run in group.runs]
        keep(record)
    return record


def figures(precision: str, network: str, run: Any) -> Record:
    """What a run's end says: training means over the last eighth, the last test."""
    named = {"precision": precision, "network": network, "seed": run.config["seed"]}
    return named | {name: scale * run.results[name] for name, scale in SCALES.items()}


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """Mean over seeds and the standard error of that mean; NaN for one seed."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, math.nan
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, math.sqrt(variance / len(values))


def by_network(record: Record) -> dict[str, dict[str, list[Record]]]:
    """The rows of each network, of each precision."""
    found: dict[str, dict[str, list[Record]]] = {}
    for row in record["rows"]:
        found.setdefault(row["network"], {}).setdefault(row["precision"], []).append(row)
    return found


def page(record: Record) -> str:
    """Where it was measured, the table, and what it says."""
    card, seeds = record["facts"], len({row["seed"] for row in record["rows"]})
    lines = table(["network", "precision", *RESULTS.values(), "difference in loss"], numbers=3)
    apart, compared = [], 0
    for network, of in by_network(record).items():
        first, *others = of
        lines.append(line(network, NAMES[first], *cells(of[first]), ""))
        for precision in others:
            difference, error = difference_of(of[precision], of[first], "training_loss")
            lines.append(
                line(network, NAMES[precision], *cells(of[precision]), both(difference, error))
            )
            compared += 1
            if abs(difference) > 2 * error:
                apart.append(f"{network} in {NAMES[precision]}")
    return (
        f"Measured on {card['date']} by `{MAKER}` on {card['card']}: preset `{record['preset']}`, "
        f"{record['data']}, {seeds} seeds; means ± standard deviations, differences ± their "
        "standard errors.\n\n" + "\n".join(lines) + f"\n\n{verdict(apart, compared, seeds)}\n"
    )


def cells(rows: list[Record]) -> list[str]:
    """Mean ± standard deviation of each result."""
    found = ((name, *mean_and_error([row[name] for row in rows])) for name in RESULTS)
    return [both(mean, error * math.sqrt(len(rows)), DIGITS[name]) for name, mean, error in found]


def difference_of(rows: list[Record], first: list[Record], name: str) -> tuple[float, float]:
    """The difference of two means, and its standard error."""
    (mean, error), (other, other_error) = (
        mean_and_error([row[name] for row in some]) for some in (rows, first)
    )
    return mean - other, math.hypot(error, other_error)


def both(value: float, spread: float, digits: int = 3) -> str:
    """A value with its spread, to so many digits behind the point."""
    return f"{value:.{digits}f}" + ("" if math.isnan(spread) else f" ± {spread:.{digits}f}")


def verdict(apart: list[str], compared: int, seeds: int) -> str:
    """What the differences in training loss say."""
    if seeds < 2:
        return "With one seed there is no spread to compare a difference with."
    if not apart:
        return f"None of {compared} differences is larger than twice its standard error."
    return (
        f"Of {compared} differences these are larger than twice their standard errors: "
        f"{', '.join(apart)}. By chance alone about one in twenty is, and more where seeds are few."
    )


def keep(file: Path | None, record: Record) -> None:
    """Write the record, if a file is wanted."""
    if file:
        file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> Record:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        page(record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"{path} is no file of --json: {type(error).__name__}: {error}"
        raise typer.BadParameter(problem) from None
    return record


def main(
    precisions: Annotated[str, typer.Option(help="the first is compared with")] = "float32,tf32",
    preset: Annotated[str, typer.Option(help="of the main job")] = "quick",
    seeds: Annotated[int, typer.Option(min=1, help="how many, from 0 on")] = 3,
    data: Annotated[str, typer.Option(help="auto, cifar10 or builtin")] = "auto",
    data_dir: Annotated[Path | None, typer.Option(help="folder that holds CIFAR-10")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="keep everything here")] = None,
    write: Annotated[Path | None, typer.Option("--write", help="put the table here")] = None,
    kept: Annotated[Path | None, typer.Option("--from", help="table of this --json")] = None,
) -> None:
    """Train in several precisions and compare."""
    try:
        if kept:
            record = read(kept)
        else:
            devices.choose("cuda")
            dataset = load(data, data_dir=data_dir)
            record = train(precisions.split(","), preset, seeds, dataset, partial(keep, json_file))
        print(page(record))
        if write:
            gpu_page.put(write, page(record), MAKER)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error)) from None


if __name__ == "__main__":
    typer.run(main)
