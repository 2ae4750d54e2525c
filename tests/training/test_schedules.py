import pytest

from minires.training import (
    PRESETS,
    ConstantWarmUp,
    LinearDecay,
    LinearWarmUp,
    Recipe,
    StepDecay,
)
from minires.training.recipes import paper

PINNED = {0: 0.1, 399: 0.1, 400: 0.1, 31_999: 0.1, 32_000: 0.01, 47_999: 0.01, 48_000: 0.001}


@pytest.mark.parametrize("depth", [20, 32, 44, 56])
def test_the_papers_schedule(depth):
    recipe = PRESETS["paper"](depth, 50_000)
    assert {step: recipe.schedule(step) for step in PINNED} == pytest.approx(PINNED)
    assert (recipe.iterations, recipe.batch_size) == (64_000, 128)
    assert (recipe.momentum, recipe.weight_decay) == (0.9, 1e-4)


@pytest.mark.parametrize("depth", [110, 1202])
def test_the_papers_warm_up_is_undone_after_400_iterations(depth):
    schedule = PRESETS["paper"](depth, 50_000).schedule
    warm = {step: schedule(step) for step in (0, 399)}
    assert warm == pytest.approx({0: 0.01, 399: 0.01})
    later = {step: rate for step, rate in PINNED.items() if step >= 400}
    assert {step: schedule(step) for step in later} == pytest.approx(later)


def test_the_quick_preset_goes_up_and_down_in_straight_lines():
    schedule = PRESETS["quick"](20, 50_000).schedule
    rates = [schedule(step) for step in (0, 47, 95, 96, 288, 479)]
    assert rates == pytest.approx([0.05 / 96, 0.025, 0.05, 0.05, 0.025, 0.05 / 384])


@pytest.mark.parametrize(
    ("preset", "rise", "iterations", "peak"),
    [("depth", 384, 1920, 0.05), ("standard", 468, 4680, 0.2)],
)
def test_presets_longer_than_quick_go_up_and_down_in_straight_lines(preset, rise, iterations, peak):
    recipe = PRESETS[preset](20, 50_000)
    assert recipe.iterations == iterations
    middle = (rise + iterations) // 2
    rates = [recipe.schedule(step) for step in (0, rise - 1, rise, middle, iterations - 1)]
    assert rates == pytest.approx([peak / rise, peak, peak, peak / 2, peak / (iterations - rise)])


@pytest.mark.parametrize("depth", [20, 110])
def test_the_papers_recipe_shortened(depth):
    recipe = paper(depth, 50_000, 8000)
    steps = (400, 3999, 4000, 5999, 6000)
    assert [recipe.schedule(step) for step in steps] == pytest.approx([0.1, 0.1, 0.01, 0.01, 1e-3])
    assert recipe.schedule(0) == pytest.approx(0.01 if depth == 110 else 0.1)
    assert (recipe.iterations, recipe.batch_size) == (8000, 128)
    assert recipe.name != "paper"


def test_schedules_compose():
    after = StepDecay(peak=1.0, drops=(2,), factor=0.5)
    assert [LinearWarmUp(2, after)(t) for t in range(4)] == [0.5, 1.0, 0.5, 0.5]
    assert [ConstantWarmUp(1, 0.1, after)(t) for t in range(3)] == [0.1, 1.0, 0.5]
    assert [LinearDecay(1.0, start=1, stop=3)(t) for t in range(5)] == [1.0, 1.0, 0.5, 0.0, 0.0]


COUNTS = (
    "iterations",
    "batch_size",
    "record_every",
    "evaluate_every",
    "checkpoint_every",
    "test_images",
)


@pytest.mark.parametrize("field", COUNTS)
def test_a_recipe_refuses_a_count_of_0(field):
    counts = dict.fromkeys(COUNTS, 1) | {field: 0}
    with pytest.raises(ValueError, match=f"recipe: {field} must be at least 1, not 0"):
        Recipe("x", schedule=StepDecay(0.1, ()), **counts)


@pytest.mark.parametrize("stop", [8, 7])
def test_a_decay_that_ends_before_it_begins_gets_a_sentence(stop):
    with pytest.raises(ValueError, match=f"stop must come after start, 8, but is {stop}"):
        LinearDecay(0.1, start=8, stop=stop)


def test_a_warm_up_of_no_steps_gets_a_sentence():
    with pytest.raises(ValueError, match="steps must be at least 1, not 0: without a warm-up"):
        LinearWarmUp(0, StepDecay(0.1, ()))
