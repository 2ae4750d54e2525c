"""Every experiment at toy size, and what it prints beside the paper's rows."""

import re
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from minires.experiments import EXPERIMENTS, Setting, load_result
from minires.experiments.catalogue import BOTTLENECK, DEPTHS, DRAWINGS, SHORTCUTS, SIX
from minires.experiments.depths import peak_memory, what_losses_show
from minires.experiments.network_comparison import Member, NetworkComparison, ranking
from minires.experiments.result import Result
from minires.nn import summary
from minires.report import Group, Run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return Setting(tmp_path_factory.mktemp("experiments"), size="toy", seeds=1)


@pytest.fixture(scope="module")
def results(setting):
    return {name: run(setting) for name, run in EXPERIMENTS.items()}


@pytest.mark.slow
class TestToySize:
    def test_every_experiment_has_a_row_for_each_network(self, results):
        assert {name: len(result.rows) for name, result in results.items()} == {
            "shortcuts": 4,
            "bottleneck": 2,
            "depths": 5,
            "drawings": 4,
            "test-time": 5,  # three of the paper, two of ours
            "ensemble": 8,  # one of the paper, six of ours, and those together
        }
        for result in results.values():
            assert all(len(row) == len(result.columns) for row in result.rows)

    def test_every_result_says_what_differs_from_the_paper(self, results):
        for result in results.values():
            assert "built-in drawings" in result.here
            assert len(result.paper) > 30
            assert result.findings

    def test_results_can_be_read_again(self, results, setting):
        for name, result in results.items():
            result.save(setting.folder)
            assert load_result(setting.folder, name) == result
        assert load_result(setting.folder, "nothing") is None

    def test_networks_are_trained_once_however_many_experiments_use_them(self, results, setting):
        names = sorted(path.name for path in (setting.folder / "small-images").iterdir())
        assert len([name for name in names if name.startswith("ResNet-32-seed0")]) == 1
        assert len(names) == 4 + 1 + 4 + 2  # shortcuts, bottleneck, depths, the ensemble's seeds

    def test_1202_layers_run(self, results):
        [_, deepest] = results["depths"].findings
        assert "19,421,274 parameters" in deepest
        loss = re.search(r"the losses were ([\d.]+)\. So few", deepest)
        assert 0 < float(loss[1]) < 1000

    def test_documents_show_tables(self, results):
        text = results["shortcuts"].markdown()
        assert "| network | paper (34 layers) |" in text
        assert "| plain-32 | 28.54 / 10.02 |" in text
        assert text.count("\n| ") == 6


@pytest.mark.parametrize(
    ("losses", "rises"),
    [([15.5, 23.4, 45.3, 51.2], True), ([2.3, 2.5, 2.2], False), ([3.0], False)],
)
def test_a_rising_loss_is_not_kept_back(losses, rises):
    text = what_losses_show(losses)
    assert f"(here {len(losses)}) show that it runs, not that it learns" in text
    assert ("rises" in text) == rises


def test_memory_is_left_out_where_python_cannot_tell_it(monkeypatch):
    assert "MiB" in peak_memory()
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert peak_memory() == ""


def test_a_page_names_the_command_that_made_it(tmp_path):
    setting = Setting(tmp_path, seeds=1, data="cifar10", data_dir=tmp_path)
    assert setting.options == " --seeds 1 --data cifar10 --data-dir FOLDER"
    assert Setting(tmp_path).options == ""
    result = Result("depths", "t", "p", "h", ["network"], [], options=setting.options)
    command = "python examples/experiments.py depths --seeds 1 --data cifar10 --data-dir FOLDER"
    assert f"\n    {command}\n" in result.markdown()
    script = runpy.run_path(str(ROOT / "examples" / "experiments.py"))
    result.save(tmp_path)
    script["write_document"](tmp_path, tmp_path / "page.md")
    assert command in (tmp_path / "page.md").read_text()


@pytest.mark.slow
def test_the_papers_single_network_has_a_row_of_its_own(results):
    first, *ours, together = results["ensemble"].rows
    assert first == ["paper: best single network", "4.49", "-", "-"]
    assert [row[1] for row in ours] == ["-"] * 6
    assert together[:2] == ["all six", "3.57"]
    assert "seeds 0 and 1" in results["ensemble"].here
    assert "one seed" not in results["ensemble"].here


def networks(comparison: NetworkComparison):
    return [member.build(seed=0, classes=10) for member in comparison.members]


def test_the_two_kinds_of_blocks_cost_the_same():
    basic, bottleneck = (summary(model).multiply_adds for model in networks(BOTTLENECK))
    assert abs(bottleneck / basic - 1) < 0.1


def test_shortcuts_are_compared_on_one_network():
    assert [model.shortcut for model in networks(SHORTCUTS)] == [None, "A", "B", "C"]
    assert {model.depth for model in networks(SHORTCUTS)} == {32}


def test_plain_and_residual_drawings_have_the_same_parameters():
    sizes = [sum(p.data.size for p in model.parameters()) for model in networks(DRAWINGS)]
    assert sizes[0] == sizes[2]
    assert sizes[1] == sizes[3]


def test_the_ensemble_is_of_six_with_two_of_a_kind_from_other_seeds():
    kinds = [(m.build.args[0], m.seed_offset) for m in SIX.members]
    assert len(set(kinds)) == 6


def test_the_papers_rows():
    """He et al. 2015, tables 2, 3 and 6."""
    assert [m.paper for m in DEPTHS.members[:4]] == ["8.75", "7.51", "7.17", "6.97"]
    assert [m.paper for m in DRAWINGS.members] == ["27.94", "28.54", "27.88", "25.03"]
    assert SHORTCUTS.members[3].paper == "24.19 / 7.40"


def group(name, *losses):
    config = {"recipe": {"iterations": 8}, "classes": 10}
    runs = [
        Run(
            config,
            [
                {"kind": "interval", "step": 8, "loss": x, "training_error": 0.5},
                {"kind": "evaluation", "step": 8, "test_error": 0.5, "seconds": 1},
            ],
        )
        for x in losses
    ]
    return Group(name, runs)


class TestRanking:
    def test_with_seeds_the_spread_decides(self):
        groups = [group("b", 1.2, 1.22), group("a", 1.0, 1.01), group("c", 1.1, 1.4)]
        text = ranking(groups)
        assert text.startswith("By training loss: a < b ≈ c")
        assert "twice its standard error" in text

    def test_with_one_seed_a_twentieth_decides(self):
        assert ranking([group("a", 1.0), group("b", 1.04), group("c", 1.2)]).startswith(
            "By training loss: a ≈ b < c"
        )

    def test_of_networks_that_learned_nothing_nothing_is_said(self):
        assert ranking([group("a", 2.3), group("b", 2.6)]).startswith("Nothing has been learned")


def test_a_seed_offset_makes_another_network(setting):
    one, other = (Member(SHORTCUTS.members[1].build, seed_offset=n) for n in (0, 1))
    pair = replace(SHORTCUTS, members=(one, other))
    dataset = pair.dataset(setting)

    class NoDisplay:
        watch = None

    trainers = [pair.trainer(m, 0, dataset, setting, NoDisplay()) for m in pair.members]
    assert [t.folder.name for t in trainers] == ["ResNet-32-seed0", "ResNet-32-seed1"]
    assert (
        trainers[0].model.conv1.weight.data[0, 0, 0, 0]
        != (trainers[1].model.conv1.weight.data[0, 0, 0, 0])
    )


def test_a_result_fits_a_terminal_of_80_columns():
    from rich.console import Console

    columns = ["network", "paper (34 layers)", "multiply-adds", "parameters", "training loss"]
    columns += ["training error", "test error"]
    row = [
        "ResNet-32 (C)",
        "24.19 / 7.40",
        "72.5 M",
        "0.49 M",
        "1.30 ± 0.02",
        *["47.6% ± 1.2%"] * 2,
    ]
    result = Result("k", "t", "p", "h", columns, [row])
    console = Console(width=80)
    with console.capture() as capture:
        console.print(result.table())
    assert "…" not in capture.get()
    assert "ResNet-32 (C)" in capture.get()
