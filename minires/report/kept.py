"""Finished runs in one small JSON file: what tables, verdicts and error curves are made from.

A run keeps its configuration, its results and its evaluations, rounded to four digits behind the
point; a run of the paper's 64,000 iterations takes some 10 kB.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..common.expecting import SOME, Each, expects
from ..common.files import atomic
from ..common.json_files import read_json
from .runs import REQUIRED, Run, lacking

CURVE = ("step", "training_error", "test_error")
ADVICE = "make the file anew from the runs"


@expects(runs=Each(Run, SOME), path=Path)
def keep_runs(runs: Iterable[Run], path: Path) -> Path:
    """Write finished runs into a file, a line each."""
    lines = [json.dumps(kept(run)) for run in runs]
    with atomic(path) as temporary:
        temporary.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    return path


def kept(run: Run) -> dict[str, Any]:
    """One run as JSON can hold it."""
    evaluations = [record for record in run.records if record["kind"] == "evaluation"]
    return {
        "config": run.config,
        "results": run.results,
        "evaluations": [[round(record[name], 4) for name in CURVE] for record in evaluations],
    }


@expects(path=Path)
def kept_runs(path: Path) -> list[Run]:
    """The runs of such a file.

    Raises: FileNotFoundError, or ValueError for a file that is damaged or of another kind.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of kept runs {path}")
    try:
        runs = [restored(run) for run in read_json(path, ADVICE)]
    except (AttributeError, IndexError, KeyError, TypeError):
        runs = []
    if not runs or any(lacking(run.config, REQUIRED) for run in runs):
        raise ValueError(f"{path} holds no kept runs: {ADVICE}")
    return runs


def restored(run: dict[str, Any]) -> Run:
    """A run whose results and curves are those that were kept."""
    results, last = run["results"], run["config"]["recipe"]["iterations"]
    late = {"loss": results["training_loss"], "training_error": results["training_error"]}
    evaluations = [
        {"kind": "evaluation", **dict(zip(CURVE, row, strict=True))} for row in run["evaluations"]
    ]
    evaluations[-1] |= {"test_error": results["test_error"], "seconds": results["seconds"]}
    return Run(run["config"], [{"kind": "interval", "step": last, **late}, *evaluations])
