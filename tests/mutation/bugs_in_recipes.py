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

CHOICES_TEST = "tests/training/test_choices.py"

CHOICES = [
    *planted_in(
        "minires/training/choices.py",
        f"{CHOICES_TEST}::test_twenty_iterations_are_pytorchs",
        {
            "choices: nothing decays": (
                "decays = zip(parts, (decay, 0.0), strict=True)",
                "decays = zip(parts, (0.0, 0.0), strict=True)",
            ),
            "choices: nesterov is left out": (
                ', "nesterov": recipe.nesterov}',
                "}",
            ),
        },
    ),
    *planted_in(
        "minires/training/choices.py",
        f"{CHOICES_TEST}::test_twenty_iterations_are_pytorchs",
        {
            "choices: mixup is the same in each iteration": (
                "2, trainer.step])",
                "2])",
            ),
        },
    ),
    *planted_in(
        "minires/training/trainer.py",
        f"{CHOICES_TEST}::test_twenty_iterations_are_pytorchs",
        {
            "choices: the average lags a step behind": (
                "        self.optimizer.step()\n"
                "        if self.average:\n"
                "            self.average.update()\n",
                "        if self.average:\n"
                "            self.average.update()\n"
                "        self.optimizer.step()\n",
            ),
        },
    ),
    *planted_in(
        "minires/training/checkpoints.py",
        f"{CHOICES_TEST}::test_resumed_is_uninterrupted_bit_for_bit",
        {
            "checkpoint: the average is not restored": (
                "    if trainer.average:\n",
                "    if False:\n",
            ),
        },
    ),
    *planted_in(
        "minires/training/checkpoints.py",
        f"{CHOICES_TEST}::test_other_changes_are_refused_even_if_asked_for",
        {
            "resuming: any change of the recipe may be meant": (".keys() <= CHANGEABLE", ".keys()"),
        },
    ),
    *planted_in(
        "minires/nn/averaging.py",
        f"{CHOICES_TEST}::test_an_average_by_hand_and_only_within",
        {
            "average: decay for 1 - decay": ("(1 - self.decay) *", "self.decay *"),
            "average: the weights are lost": (
                "= average, now",
                "= average, average",
            ),
        },
    ),
    *planted_in(
        "minires/data/mixing.py",
        f"{CHOICES_TEST}::test_mixed_images_lie_between_two_of_the_batch_and_labels_with_them",
        {
            "mixup: labels stay as they are": (
                "for part in (images, truth))",
                "for part in (images, images))",
            ),
            "mixup: the shares are exchanged": (
                "share * part + (1 - share) * part[order]",
                "(1 - share) * part + share * part[order]",
            ),
        },
    ),
    *planted_in(
        "minires/training/schedules.py",
        f"{CHOICES_TEST}::test_half_a_wave_of_the_cosine_is_pytorchs",
        {"schedule: a whole wave of the cosine": ("math.cos(math.pi *", "math.cos(2 * math.pi *")},
    ),
]

OTHER_CONVOLUTIONS = [
    *planted_in(
        "minires/nn/general_convolution.py",
        "tests/nn/test_gradients.py::test_convolutions_of_other_kinds",
        {
            "groups: the first one's weight for all": (
                "contiguous(array[..., g * size : (g + 1) * size])",
                "contiguous(array[..., :size])",
            ),
            "dilation: rows and columns are exchanged in the gradient": (
                "dweight[::rows, ::columns]",
                "dweight[::columns, ::rows]",
            ),
            "strides: the gradient of skipped pixels lies at the end": (
                "whole[:, :: plan.skip[0], :: plan.skip[1]] = grad",
                "whole[:, : grad.shape[1], : grad.shape[2]] = grad",
            ),
            "padding: the border keeps its gradient": (
                "return contiguous(within_view(y, border)) if any(border) else y",
                "return contiguous(y[:, : y.shape[1] - 2 * border[0],"
                " : y.shape[2] - 2 * border[1]])",
            ),
        },
    ),
    *planted_in(
        "minires/nn/fusing.py",
        "tests/nn/test_fusing.py::test_other_convolutions_run_for_themselves",
        {
            "fusing: groups are forgotten": (
                "return is_just(layer, Conv2d) and layer.is_plain",
                "return is_just(layer, Conv2d)",
            ),
        },
    ),
    *planted_in(
        "minires/models/imagenet.py",
        "tests/models/test_imagenet.py::test_other_widths_have_torchvisions_counts",
        {
            "resnext: all stages are as wide as the first": (
                '{"width": filters * width_per_group // 64 * groups,',
                '{"width": width_per_group * groups,',
            ),
        },
    ),
]

MUTANTS = [*LOSSES, *OPTIMISERS, *CHOICES, *OTHER_CONVOLUTIONS]
