"""What the numbers say, in plain words. Every sentence is chosen by the measurement.

The question of He et al. 2015 is about *training*: a deeper plain network could copy a shallower
one and add identities, so a higher training loss means that it was not found, not that it does not
exist. Whether two networks differ is judged by the spread over seeds: the difference of means must
exceed twice its standard error. With one seed there is no spread to judge by. Then a difference
counts above 6%, twice the largest spread (3%) that the residual networks of `quick` have over three
seeds; and the text says that one seed is one draw.
"""

from __future__ import annotations

import math

from ..common.expecting import SOME, Each, expects
from .runs import Group
from .tables import precision_of

WITHOUT_SPREAD = 0.06


@expects(groups=Each(Group, SOME))
def verdict(groups: list[Group]) -> str:
    """A few sentences about degradation and its cure, for the shallowest and deepest networks.

    The paper's networks are judged; variants of them only where there is nothing else.
    """
    groups = [group for group in groups if not group.is_variant] or groups
    plain = sorted((g for g in groups if g.is_plain), key=lambda g: g.depth)
    residual = sorted((g for g in groups if g.is_residual), key=lambda g: g.depth)
    if nothing := nothing_learned(groups):
        return nothing
    if len(plain) < 2 or len(residual) < 2:
        return "One depth alone shows no degradation: compare at least two, as in --depths 20,56."
    shallow, deep, shallow_res = plain[0], plain[-1], residual[0]
    deep_res = next((g for g in residual if g.depth == deep.depth), residual[-1])
    sentences = [
        about_degradation(shallow, deep),
        about_cure(deep, deep_res),
        about_depth(shallow, shallow_res, deep_res),
    ]
    if len(deep.runs) == 1:
        sentences.append(
            f"This is one seed, one draw: only differences above {WITHOUT_SPREAD:.0%} were "
            "counted, twice the spread of `quick`. --seeds 3 shows the spread of these networks."
        )
    return "\n".join(sentences)


def own_verdict(groups: list[Group]) -> str:
    """How networks do on a user's own images, of which the paper says nothing."""
    return "\n".join(nothing_learned([group]) or about_error(group) for group in groups)


def about_error(group: Group) -> str:
    """The error on new images beside that of training, and the best one on the way."""
    steps, errors = group.runs[0].curve("evaluation", "test_error")
    best = errors.argmin()
    return (
        f"{group.name}: {group.mean('test_error'):.1%} of the test images are wrong at the end, "
        f"{group.mean('training_error'):.1%} of the training images, as they are cut; the least "
        f"test error of the first run was {errors[best]:.1%}, after iteration {steps[best]:,}."
    )


def about_detector(group: Group) -> str:
    """What a detector finds at the end."""
    return (
        f"{group.name}: {precision_of(group, 'mAP50')} mAP@.5 and {precision_of(group, 'mAP')} "
        "mAP@[.5,.95] on the test images."
    )


def nothing_learned(groups: list[Group]) -> str:
    """A sentence if no network is better than a guess; "" if one is, or if that isn't known."""
    classes = groups[0].config.get("classes")
    guess = math.log(classes) if isinstance(classes, int) else math.inf
    if min(group.mean("training_loss") for group in groups) <= 0.95 * guess:
        return ""
    return (
        f"Nothing has been learned yet: no training loss is clearly below {guess:.2f}, that of a "
        "guess."
    )


def compare(a: Group, b: Group) -> int:
    """1 if the training loss of `a` is higher than that of `b`, -1 if lower, 0 if alike."""
    difference = a.mean("training_loss") - b.mean("training_loss")
    if min(len(a.runs), len(b.runs)) > 1:
        variances = [g.std("training_loss") ** 2 / len(g.runs) for g in (a, b)]
        bound = 2 * math.sqrt(sum(variances))
    else:
        bound = WITHOUT_SPREAD * max(a.mean("training_loss"), b.mean("training_loss"))
    return 0 if abs(difference) <= bound else int(math.copysign(1, difference))


def loss(group: Group) -> str:
    """A network with its training loss."""
    return f"{group.name} ({group.mean('training_loss'):.2f})"


def about_degradation(shallow: Group, deep: Group) -> str:
    """Does depth hurt the plain network?"""
    return {
        1: f"Degradation: {loss(deep)} has a higher training loss than {loss(shallow)}. It has "
        "more layers and parameters and could do at least as well, so this is not overfitting: "
        "it is harder to train.",
        0: f"No degradation seen: the training losses of {loss(deep)} and {loss(shallow)} are "
        "alike.",
        -1: f"No degradation seen: {loss(deep)} has a lower training loss than {loss(shallow)}.",
    }[compare(deep, shallow)]


def about_cure(deep: Group, deep_res: Group) -> str:
    """Do shortcuts help the deep network?"""
    parameters = [group.config.get("parameters") for group in (deep, deep_res)]
    alike = " and the very same parameters" if parameters[0] == parameters[1] else ""
    return {
        1: f"Cure: with shortcuts{alike}, {loss(deep_res)} trains better than {loss(deep)}.",
        0: f"No cure seen: {loss(deep_res)} and {loss(deep)} are alike.",
        -1: f"No cure seen: {loss(deep_res)} trains worse than {loss(deep)}.",
    }[compare(deep, deep_res)]


def about_depth(shallow: Group, shallow_res: Group, deep_res: Group) -> str:
    """Where does the deep residual network stand among the shallow ones?"""
    place = {1: "ahead of", 0: "level with", -1: "behind"}
    against_residual = compare(shallow_res, deep_res)
    text = (
        f"{loss(deep_res)} is {place[compare(shallow, deep_res)]} {loss(shallow)}, and "
        f"{place[against_residual]} {loss(shallow_res)}."
    )
    if against_residual == 1:
        text += " More depth pays here, where there are shortcuts."
    else:
        text += (
            " More depth does not pay here; in the paper, after 64,000 iterations, the deeper "
            "residual network has the lower error."
        )
    return text
