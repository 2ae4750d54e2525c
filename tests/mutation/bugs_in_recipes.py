"""What a recipe may choose: losses, optimisers, schedules, averages, other convolutions."""

from .mutants import planted_in

LOSSES = [
    *planted_in(
        "minires/nn/functional.py",
        "tests/nn/test_losses.py",
        {
            "loss: weights are averaged over the batch": (
                "else (truth * weights).sum()",
                "else len(labels)",
            ),
            "loss: probabilities are averaged by their weights": (
                "total = len(labels) if labels.ndim == 2 else (truth",
                "total = (truth",
            ),
            "loss: the smoothed truth is divided among the other classes": (
                "+ smoothing / classes",
                "+ smoothing / (classes - 1)",
            ),
            "loss: the smoothed part has no weights": (
                "smooth = truth * (1 - smoothing) + smoothing / classes\n",
                "smooth = truth * (1 - smoothing) + smoothing / classes / weights.mean()\n",
            ),
        },
    ),
]

MUTANTS = [*LOSSES]
