"""Runs kept in one small file say what the runs themselves say."""

import json

import numpy as np
import pytest

from minires.report import group_runs, keep_runs, kept_runs, load_runs, results_table, verdict
from minires.report.curves import common_curve
from tests.report.made_up import LOSSES, write_run
from tests.report.test_report import text_of


@pytest.fixture
def runs(tmp_path):
    for name, loss in LOSSES.items():
        for seed in range(2):
            write_run(tmp_path, name, loss + seed / 10, seed)
    return load_runs(tmp_path)


def test_table_verdict_and_curves_are_the_same(runs, tmp_path):
    again = kept_runs(keep_runs(runs, tmp_path / "kept.json"))
    assert [run.results for run in again] == [run.results for run in runs]
    assert [run.config for run in again] == [run.config for run in runs]
    groups, others = group_runs(again), group_runs(runs)
    assert text_of(results_table(groups)) == text_of(results_table(others))
    assert verdict(groups) == verdict(others)
    for value in ("training_error", "test_error"):
        curves = [common_curve(g[0].runs, "evaluation", value) for g in (groups, others)]
        np.testing.assert_array_equal(curves[0].steps, curves[1].steps)
        np.testing.assert_allclose(curves[0].values, curves[1].values, atol=1e-4)


def test_the_file_is_small(runs, tmp_path):
    sizes = [len(json.dumps(run.records)) for run in runs]
    config = [len(json.dumps(run.config)) for run in runs]
    file = keep_runs(runs, tmp_path / "kept.json")
    assert file.stat().st_size - sum(config) < sum(sizes) / 3


@pytest.mark.parametrize("text", ["{", "{}", "[]", "[1]", '[{"config": {}}]'])
def test_another_file_gets_a_sentence(text, tmp_path):
    (tmp_path / "kept.json").write_text(text)
    with pytest.raises(ValueError, match="make the file anew from the runs"):
        kept_runs(tmp_path / "kept.json")
