"""What He et al. 2015, sec. 4.2, did and found on CIFAR-10, beside what a run did."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from .runs import Group, Run

# Table 6 (shortcuts A). For 110 layers the best of five runs; their mean and spread beside it.
# The paper prints no numbers for its plain networks, only the curves of its Fig. 6.
TEST_ERROR = {
    20: "8.75%",
    32: "7.51%",
    44: "7.17%",
    56: "6.97%",
    110: "6.43% (6.61 ± 0.16)",
    1202: "7.93%",
}
PARAMETERS = {20: "0.27M", 32: "0.46M", 44: "0.66M", 56: "0.85M", 110: "1.7M", 1202: "19.4M"}

STEP_DECAY = "StepDecay(peak=0.1, drops=(32000, 48000), factor=0.1)"
SCHEDULES = (STEP_DECAY, f"ConstantWarmUp(steps=400, lr=0.01, then={STEP_DECAY})")
NOT_RECORDED = "not recorded"


def printed_test_error(group: Group) -> str:
    """The paper's test error for this network, or why there is none."""
    if group.is_variant or group.depth not in TEST_ERROR:
        return "none"
    return "a curve only (Fig. 6)" if group.is_plain else TEST_ERROR[group.depth]


def printed_parameters(group: Group) -> str:
    """The paper's number of parameters for this network, plain or residual."""
    return "none" if group.is_variant else PARAMETERS.get(group.depth, "none")


@dataclass(frozen=True)
class PaperComparison:
    """One thing that the paper did, and what was done here: "same", "differs" or "open".

    "open" means that the paper does not say.
    """

    what: str
    paper: str
    here: str
    status: str


def compared(what: str, paper: str, here: str, *, same: bool) -> PaperComparison:
    """A comparison with something that the paper states."""
    return PaperComparison(what, paper, here, "same" if same else "differs")


def comparisons(runs: list[Run]) -> list[PaperComparison]:
    """Everything that runs under the same conditions share with the paper, or do not."""
    config = runs[0].config
    return [
        *about_data(config),
        *about_recipe(runs),
        *about_networks(runs),
        *about_measures(),
    ]


def about_data(config: dict[str, Any]) -> list[PaperComparison]:
    """Images, and how many."""
    train, test = config.get("training_images"), config.get("test_images")
    return [
        compared("images", "CIFAR-10", config["data"], same=config["data"] == "CIFAR-10"),
        compared(
            "training images",
            "50,000; the schedule was chosen on a split of 45,000 and 5,000",
            counted(train),
            same=train == 50_000,
        ),
        compared("test images", "10,000", counted(test), same=test == 10_000),
        PaperComparison(
            "input",
            "the mean image is subtracted",
            "the mean image is subtracted, then each channel is divided by its standard deviation",
            "differs",
        ),
        PaperComparison(
            "augmentation",
            "4 pixels of padding, a random 32x32 crop, a random mirroring; "
            "before or after the mean is subtracted is not said",
            "the same; images are normalised first, so that the border is the mean image",
            "open",
        ),
    ]


def about_recipe(runs: list[Run]) -> list[PaperComparison]:
    """Iterations, batches, learning rates."""
    recipe = runs[0].config["recipe"]
    batch, momentum, decay = (recipe.get(k) for k in ("batch_size", "momentum", "weight_decay"))
    schedules = list(dict.fromkeys(r.config["recipe"].get("schedule") for r in runs))
    return [
        compared(
            "iterations",
            "64,000",
            counted(recipe["iterations"]),
            same=recipe["iterations"] == 64_000,
        ),
        compared("batch", "128 images, on two GPUs", counted(batch), same=batch == 128),
        compared(
            "learning rate",
            "0.1, divided by 10 at 32,000 and 48,000; 110 layers start at 0.01 until the training "
            "error is below 80% (about 400 iterations)",
            "; or ".join(map(schedule_in_words, schedules)),
            same=set(schedules) <= set(SCHEDULES),
        ),
        compared("momentum", "0.9", counted(momentum), same=momentum == 0.9),
        compared("weight decay", "0.0001", counted(decay), same=decay == 1e-4),
    ]


def about_networks(runs: list[Run]) -> list[PaperComparison]:
    """Layers, shortcuts, initial weights, batch norm."""
    variants = dict.fromkeys(
        r.config["network"] for r in runs if Group(r.config["network"], []).is_variant
    )
    return [
        compared(
            "networks",
            "plain, and with shortcuts without parameters (option A) around pairs of 3x3 layers",
            f"others as well: {', '.join(variants)}" if variants else "the same",
            same=not variants,
        ),
        PaperComparison(
            "initial weights", "He et al. 2015 (rectifiers)", "the same, normal", "same"
        ),
        PaperComparison(
            "batch norm",
            "after each convolution; over how many of the 128 images is not said",
            "after each convolution, over the whole batch",
            "open",
        ),
    ]


def about_measures() -> list[PaperComparison]:
    """What the figures are."""
    return [
        PaperComparison(
            "training error",
            "how it was measured is not said",
            "on the augmented batches, while the network learns; in the table the mean over the "
            "last eighth of the iterations",
            "open",
        ),
        PaperComparison(
            "test error",
            "the single view of the original image; after which iteration is not said; for 110 "
            "layers the best of five runs",
            "the single view of the original image, after the last iteration; mean over the seeds",
            "open",
        ),
    ]


def counted(value: Any) -> str:
    """A number with its thousands, or that it was not recorded."""
    return NOT_RECORDED if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def schedule_in_words(schedule: str | None) -> str:
    """A schedule as `Recipe.settings` writes it down, in words; as it is if it is not known."""
    if schedule is None:
        return NOT_RECORDED
    try:
        return describe(ast.parse(schedule, mode="eval").body)
    except (SyntaxError, ValueError, KeyError, AttributeError):
        return schedule


def describe(call: Any) -> str:
    """Words for one schedule; raises KeyError or AttributeError for what is none of ours."""
    given = {word.arg: word.value for word in call.keywords}
    then = describe(given.pop("then")) if "then" in given else ""
    numbers = {name: ast.literal_eval(node) for name, node in given.items()}
    words = WORDS[call.func.id].format(then=then, **numbers)
    return words.replace("(", "").replace(")", "")


WORDS = {
    "StepDecay": "{peak}, times {factor} at iterations {drops}",
    "LinearDecay": "{peak}; from iteration {start} on in a straight line to 0 at {stop}",
    "LinearWarmUp": "in a straight line up during {steps} iterations to {then}",
    "ConstantWarmUp": "{lr} during {steps} iterations; {then}",
}
