"""Six networks of different depth, and the mean of their probabilities. Table 5."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..data import DatasetImages, Preprocessing
from ..distributed import world
from ..evaluation import ENSEMBLE, Evaluation, evaluate
from ..training import Trainer
from .catalogue import SIX
from .network_comparison import budget, groups_of
from .origin import made
from .result import Result
from .setting import Setting


def run(setting: Setting) -> Result:
    """Train the six, then evaluate each and all together on the whole test set."""
    trainers = SIX.train(replace(setting, seeds=1))
    dataset = trainers[0].dataset
    models = {f"{t.name}, seed {t.batches.seed}": t.model for t in trainers}
    images, preprocessing = DatasetImages(dataset), Preprocessing.of(dataset)
    result = evaluate(models, images, preprocessing=preprocessing, batch_size=250, world=world())
    rows = [
        ["paper: best single network", "4.49", "-", "-"],
        *([name, "-", *errors(result, name)] for name in models),
        ["all six", "3.57", *errors(result, ENSEMBLE)],
    ]
    return Result(
        key=SIX.key,
        title=SIX.title,
        paper=SIX.paper,
        here=what_we_did_here(trainers[0], result),
        columns=["network", SIX.heading, "top-1 error", "top-5 error"],
        rows=rows,
        findings=[finding(result)],
        made=made(groups_of(trainers)),
    )


def what_we_did_here(trainer: Trainer, result: Evaluation) -> str:
    """Data, scale and budget: each network is trained once."""
    return (
        f"{budget(*groups_of([trainer]))}; errors on all {result.images:,} test images after the "
        "last iteration, a single view of "
        "each. Every network is trained once; where two have the same depth, with the seeds 0 and "
        "1. Compare the rows with each other, not with the paper's figures."
    )


def best(result: Evaluation) -> str:
    """The member with the lowest top-1 error."""
    members = [name for name in result.scores if name != ENSEMBLE]
    return min(members, key=lambda name: result.scores[name].top1_error)


def errors(result: Evaluation, name: str) -> list[str]:
    """Both errors as text."""
    score = result.scores[name]
    return [f"{score.top1_error:.1%}", f"{score.top5_error:.1%}"]


def finding(result: Evaluation) -> str:
    """The ensemble beside its members."""
    members = [score.top1_error for name, score in result.scores.items() if name != ENSEMBLE]
    together, alone = result.scores[ENSEMBLE].top1_error, result.scores[best(result)].top1_error
    relation = "better than" if together < alone else "no better than"
    return (
        f"Together they have a top-1 error of {together:.1%}: {relation} the best of them "
        f"({best(result)}, {alone:.1%}); the members' mean is {np.mean(members):.1%}."
    )
