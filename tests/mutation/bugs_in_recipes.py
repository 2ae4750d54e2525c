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

OPTIMISERS = [
    *planted_in(
        "minires/optim.py",
        "tests/optim/test_optimisers.py",
        {
            "nesterov: looks ahead without the gradient": (
                "* (grad + momentum * velocity)",
                "* momentum * velocity",
            ),
            "adamw: the decay goes through the averages": (
                "        mean, square, steps = memory\n",
                "        mean, square, steps = memory\n"
                "        grad = grad + self.weight_decay * parameter\n",
            ),
            "adamw: the start at zero is never undone": (
                "in_dtype(1 - beta**steps, parameter)",
                "in_dtype(1 - beta ** (steps + 999), parameter)",
            ),
            "adamw: eps within the root": (
                "np.sqrt(square / seen[1]) + self.eps",
                "np.sqrt(square / seen[1] + self.eps)",
            ),
            "groups: all get the rate of the first": ("value * share", "value"),
            "groups: only the first moves": (
                "        for group in self.groups:\n            group.step()",
                "        self.groups[0].step()",
            ),
            "clipping: each gradient by its own norm": (
                "parameter.grad = grad * in_dtype(scale, grad)",
                "parameter.grad = grad * min(1.0, max_norm / np.sqrt(np.square(grad).sum()))",
            ),
            "clipping: small gradients grow": (
                "np.minimum(max_norm / (norm + 1e-6), 1.0)",
                "max_norm / (norm + 1e-6)",
            ),
            "clipping: a shared gradient is scaled twice": (
                "parameter.grad = grad * in_dtype",
                "grad *= in_dtype",
            ),
        },
    ),
]

MUTANTS = [*LOSSES, *OPTIMISERS]
