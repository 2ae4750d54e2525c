import json

import numpy as np
import pytest
from rich.console import Console

from minires.report import (
    draw_error_curves,
    draw_gradient_norms,
    group_runs,
    load_runs,
    results_table,
    verdict,
)

LOSSES = {"plain-20": 1.6, "plain-56": 2.0, "ResNet-20": 1.4, "ResNet-56": 1.5}
ITERATIONS = 80


def write_run(folder, network, loss, seed=0, *, finished=True):
    """A run whose training loss falls to `loss` and stays there for the last eighth."""
    path = folder / f"{network}-seed{seed}"
    path.mkdir(parents=True)
    recipe = {"name": "quick", "iterations": ITERATIONS, "batch_size": 64}
    config = {"network": network, "parameters": 1000, "data": "made up", "seed": seed}
    config |= {"recipe": recipe, "test_images": 2000}
    (path / "config.json").write_text(json.dumps(config))
    lines = [gradients(0), *intervals(loss), gradients(ITERATIONS - 1)]
    lines += evaluations(ITERATIONS if finished else ITERATIONS // 2)
    (path / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def gradients(step):
    norms = {"conv1.weight": 1.0, "layer1.0.downsample.0.weight": 9.0, "fc.weight": 0.1}
    return {"kind": "gradients", "step": step, "norms": norms, "seconds": 0}


def intervals(loss):
    for step in range(5, ITERATIONS + 1, 5):
        late = step - ITERATIONS * 7 / 8  # the last eighth: two intervals, `loss` on average
        value = loss + 0.4 * (late > 5) - 0.4 * (0 < late <= 5) if late > 0 else 9.0
        yield {"kind": "interval", "step": step, "loss": value, "training_error": value / 4}


def evaluations(last):
    for step in range(20, last + 1, 20):
        yield {
            "kind": "evaluation",
            "step": step,
            "training_error": 0.5,
            "test_error": 0.6 - step / 1000 + 0.1 * (step == ITERATIONS),
            "seconds": step,
        }


@pytest.fixture
def make_groups(tmp_path):
    def make(losses=LOSSES, seeds=1, spread=0.0):
        for name, loss in losses.items():
            for seed in range(seeds):
                write_run(tmp_path, name, loss + spread * (seed - (seeds - 1) / 2), seed)
        return group_runs(load_runs(tmp_path))

    return make


def text_of(table):
    console = Console(width=140, record=True, file=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_results_are_means_over_the_last_eighth_and_the_last_test(make_groups):
    groups = make_groups()
    assert [group.name for group in groups] == list(LOSSES)
    results = groups[0].runs[0].results
    assert results["training_loss"] == pytest.approx(1.6)
    assert results["training_error"] == pytest.approx(0.4)
    assert results["test_error"] == pytest.approx(0.62)  # the last, not the best
    assert results["seconds"] == 80


def test_spread_is_the_standard_deviation_over_seeds(make_groups):
    group = make_groups(seeds=3, spread=0.1)[0]
    assert group.mean("training_loss") == pytest.approx(1.6)
    assert group.std("training_loss") == pytest.approx(0.1)


def test_runs_that_are_not_finished_do_not_count(tmp_path):
    write_run(tmp_path, "plain-20", 1.0, finished=False)
    with pytest.raises(FileNotFoundError, match="no finished runs"):
        load_runs(tmp_path)


def test_the_table_names_data_preset_and_spread(make_groups):
    text = text_of(results_table(make_groups(seeds=3, spread=0.1)))
    assert "made up, preset quick, mean ± standard deviation of 3 seeds" in text
    assert "1.60 ± 0.10" in text
    assert "2,000 images" in text


class TestVerdict:
    def test_degradation_and_cure(self, make_groups):
        text = verdict(make_groups())
        assert "Degradation: plain-56 (2.00) has a higher training loss than plain-20" in text
        assert "Cure: " in text
        assert "ResNet-56 (1.50) is ahead of plain-20 (1.60), and behind ResNet-20" in text
        assert "one seed, one draw" in text

    def test_no_degradation_is_said_too(self, make_groups):
        text = verdict(make_groups(LOSSES | {"plain-56": 1.5}))
        assert "No degradation seen: plain-56 (1.50) has a lower training loss" in text

    def test_no_cure_is_said_too(self, make_groups):
        text = verdict(make_groups(LOSSES | {"ResNet-56": 2.2}))
        assert "No cure seen: ResNet-56 (2.20) trains worse than plain-56" in text

    def test_a_difference_within_the_spread_of_the_seeds_is_none(self, make_groups):
        text = verdict(make_groups(seeds=3, spread=1.0))
        assert "No degradation seen: the training losses of plain-56 (2.00)" in text
        assert "one draw" not in text

    def test_a_small_difference_of_single_seeds_is_none(self, make_groups):
        text = verdict(make_groups(LOSSES | {"plain-56": 1.65}))
        assert "No degradation seen: the training losses" in text

    def test_depth_that_pays(self, make_groups):
        text = verdict(make_groups(LOSSES | {"ResNet-56": 1.2}))
        assert text.splitlines()[2].endswith("ahead of ResNet-20 (1.40).")

    def test_nothing_learned(self, make_groups):
        assert "Nothing has been learned" in verdict(make_groups(dict.fromkeys(LOSSES, 2.29)))

    def test_one_depth(self, make_groups):
        one = {name: loss for name, loss in LOSSES.items() if "20" in name}
        assert "compare at least two" in verdict(make_groups(one))


def test_pictures_are_drawn(make_groups, tmp_path):
    groups = make_groups(seeds=2, spread=0.1)
    for draw in (draw_error_curves, draw_gradient_norms):
        path = draw(groups, tmp_path / f"{draw.__name__}.png")
        assert path.read_bytes().startswith(b"\x89PNG")


def test_gradients_of_projections_are_left_out():
    from minires.report.figures import layer_norms
    from minires.report.runs import Run

    norms = layer_norms(Run({}, [gradients(0), gradients(79)]), -1)
    assert np.array_equal(norms, [1.0, 0.1])
