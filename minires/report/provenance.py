"""Where the numbers of a page come from: commands, runs, configurations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..training.comparison import Options
from .runs import Run
from .sections import duration

OF_EACH_RUN = ("network", "seed", "begun")  # in the list of runs, and not among the facts


def run_row(run: Run) -> dict[str, str]:
    """One line of the list of runs."""
    results = run.results if run.is_finished else {}
    return {
        "run": run.folder.name if run.folder else "",
        "network": str(run.config["network"]),
        "seed": str(run.config["seed"]),
        "begun": str(run.config.get("begun", "not recorded")),
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
    return [(key, differing(key, flat, runs)) for key in keys if key not in OF_EACH_RUN]


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
    if not Options.path(folder).exists():
        return None
    options = Options.load(folder)
    depths = ",".join(map(str, options.depths))
    place = " --data-dir FOLDER" if options.data_dir else ""
    return (
        f"python examples/cifar_plain_vs_resnet.py --preset {options.preset} "
        f"--data {options.data}{place} --depths {depths} --seed {options.seeds[0]} "
        f"--seeds {len(options.seeds)}"
    )


def commands(folders: Sequence[Path]) -> tuple[list[str], list[str]]:
    """The commands that made these folders, and a sentence for damaged options."""
    found, notes = [], []
    for folder in folders:
        try:
            found.append(command(folder))
        except ValueError as error:
            notes.append(f"Left out: {error}")
    return [line for line in dict.fromkeys(found) if line], notes
