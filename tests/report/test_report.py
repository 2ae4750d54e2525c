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
from minires.report.curves import layer_gradients
from minires.report.runs import Run
from minires.report.tables import gradient_rows, gradients_table
from tests.report.made_up import LOSSES, gradients, read_records, write_records, write_run


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
        assert text.splitlines()[2].endswith(
            "ahead of ResNet-20 (1.40). More depth pays here, where there are shortcuts."
        )

    def test_depth_that_pays_within_the_spread_does_not(self, make_groups):
        text = verdict(make_groups(LOSSES | {"ResNet-56": 1.2}, seeds=3, spread=1.0))
        assert "More depth does not pay here" in text

    @pytest.mark.parametrize(("loss", "pays"), [(1.33, False), (1.30, True)])
    def test_one_seed_must_differ_by_twice_the_spread_of_quick(self, loss, pays, make_groups):
        text = verdict(make_groups(LOSSES | {"ResNet-56": loss}))
        assert ("More depth pays here" in text) == pays
        assert "only differences above 6% were counted" in text

    def test_nothing_learned(self, make_groups):
        text = verdict(make_groups(dict.fromkeys(LOSSES, 2.29)))
        assert "Nothing has been learned yet: no training loss is clearly below 2.30" in text

    @pytest.mark.parametrize(("loss", "learned"), [(4.5, False), (4.0, True)])
    def test_a_guess_is_worse_among_a_hundred_classes(self, loss, learned, tmp_path):
        for name in LOSSES:
            write_run(tmp_path, name, loss, classes=100)
        text = verdict(group_runs(load_runs(tmp_path)))
        assert ("clearly below 4.61" in text) == (not learned)

    def test_where_the_classes_are_not_recorded_nothing_is_said_of_guesses(self, tmp_path):
        for name in LOSSES:
            write_run(tmp_path, name, 2.29, classes=None)
        assert "Nothing has been learned" not in verdict(group_runs(load_runs(tmp_path)))

    def test_variants_are_not_what_the_question_is_about(self, make_groups):
        text = verdict(make_groups(LOSSES | {"ResNet-56 (B)": 0.5, "VGG-16": 0.4}))
        assert "ResNet-56 (1.50) trains better" in text
        assert "0.5" not in text

    def test_same_parameters_are_only_claimed_where_they_are_the_same(self, tmp_path):
        for name, loss in LOSSES.items():
            write_run(tmp_path, name, loss, parameters=len(name))
        assert "Cure: with shortcuts, ResNet-56" in verdict(group_runs(load_runs(tmp_path)))

    def test_one_depth(self, make_groups):
        one = {name: loss for name, loss in LOSSES.items() if "20" in name}
        assert "compare at least two" in verdict(make_groups(one))


def test_pictures_are_drawn(make_groups, tmp_path):
    groups = make_groups(seeds=2, spread=0.1)
    for draw in (draw_error_curves, draw_gradient_norms):
        path = draw(groups, tmp_path / f"{draw.__name__}.png")
        assert path.read_bytes().startswith(b"\x89PNG")


def test_the_table_of_gradients_compares_ends_and_extremes(tmp_path):
    """Of convolutions: neither the classifier nor projections count."""
    path = write_run(tmp_path, "ResNet-14", 1.5)
    lines = [r for r in read_records(path) if r["kind"] != "gradients"]
    for step, norms in ((0, (6.0, 9.0, 0.003)), (79, (1.0, 0.5, 4.0))):
        names = ("conv1.weight", "layer1.0.conv1.weight", "layer1.0.conv2.weight")
        others = {"layer2.0.downsample.0.weight": 1e6, "fc.weight": 1e-6}
        norms = dict(zip(names, norms, strict=True)) | others
        lines.append({"kind": "gradients", "step": step, "norms": norms})
    write_records(path, lines)
    groups = group_runs(load_runs(tmp_path))
    assert gradient_rows(groups) == [["ResNet-14", "2,000", "0.25", "3,000", "8"]]
    assert "3,000" in text_of(gradients_table(groups))


def test_gradients_of_projections_are_left_out():
    run = Run({}, [gradients(0), gradients(79)])
    recorded = layer_gradients([run, run])
    assert [g.step for g in recorded] == [0, 79]
    assert recorded[0].layers == ["conv1", "layer1.0.conv1", "fc"]
    assert np.array_equal(recorded[1].values, [[80.0, 0.5, 0.1]] * 2)
    assert recorded[1].first_to_last == 160
