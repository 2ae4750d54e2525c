"""Where figures come from: machine, versions, precision, dates and time of runs, as a sentence."""

from __future__ import annotations

from ..report import Group
from ..training.pace import duration

FACTS = {"machine": "machine", "python": "Python", "numpy": "NumPy"}
ON_GPU = {"kernels for cuda": "GPU"}


def made(groups: list[Group]) -> str:
    """Machine, precision, date, versions, time."""
    runs = [run for group in groups for run in group.runs]
    configs = [run.config for run in runs]
    places = {config.get("device", "not recorded") for config in configs}
    facts = [
        f"{name}: {' or '.join(dict.fromkeys(c['made with'][key] for c in configs))}"
        for key, name in (FACTS | (ON_GPU if places == {"cuda"} else {})).items()
        if all(key in c.get("made with", {}) for c in configs)
    ]
    for key, name in {"device": "trained on", "precision": "precision", "begun": "begun"}.items():
        values = sorted({str(c.get(key, "not recorded")) for c in configs})
        facts.append(f"{name}: {values[0]}" + (f" to {values[-1]}" if len(values) > 1 else ""))
    seconds = sum(run.results["seconds"] for run in runs)
    facts.append(f"{len(runs)} trainings took {duration(seconds)} together")
    return "; ".join(facts) + "."
