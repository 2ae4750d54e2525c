"""The search for the recipe by which depth pays, and the page about it."""

import os
import subprocess
import sys

import depth_page
import depth_recipes
import pytest

from minires.report import keep_runs, kept_runs, load_runs
from minires.training import PRESETS
from tests.benchmarks import BENCHMARKS
from tests.report.made_up import LOSSES, write_run

DEEP_PAYS = LOSSES | {"ResNet-56": 1.2}


def records(folder, preset, losses=DEEP_PAYS, name=None):
    """A file of made-up runs by a preset."""
    settings = PRESETS[preset](20, 50_000).settings()
    settings |= {"iterations": 80, "name": name or preset}  # made_up's rhythm
    for network, loss in losses.items():
        for seed in range(3):
            about = {"made with": {"machine": "a machine"}, "device": "cpu"}
            write_run(folder, network, loss + seed / 100, seed, recipe=settings, **about)
    runs = load_runs(folder)
    for run in runs:
        run.config["recipe"]["iterations"] = PRESETS[preset](20, 50_000).iterations
        for record in run.records:
            record["step"] *= run.config["recipe"]["iterations"] // 80
    return keep_runs(runs, folder.with_suffix(".json"))


@pytest.fixture
def made(tmp_path):
    files = [
        records(tmp_path / "search", "standard", name="line-0.1"),
        records(tmp_path / "drawings", "depth"),
    ]
    (tmp_path / "README.md").write_text(f"before\n{depth_page.BEGIN}\nold\n{depth_page.END}\nafter")
    depth_page.main(*files, tmp_path / "README.md", tmp_path)
    return tmp_path


def test_the_block_stands_between_its_marks(made):
    readme = (made / "README.md").read_text()
    assert readme.startswith(f"before\n{depth_page.BEGIN}\n\nThe same networks by the preset")
    assert readme.endswith(f"{depth_page.END}\nafter")
    assert "old" not in readme
    assert "| ResNet-56 | 1.210 ± 0.010 | 30.25% ± 0.25% |" in readme
    assert "ResNet-20 less ResNet-56: training loss 0.200 (standard error 0.008)" in readme
    assert "More depth pays here" in readme


def test_the_page_says_what_was_tried(made):
    page = (made / "depth.md").read_text()
    assert "| line-0.1 | 4,680 iterations of 128 images, learning rate in a straight" in page
    assert "| 1.400 / 1.200 |" in page  # of seed 0
    assert "1,920 iterations of 64 images" in page
    assert (made / "depth.png").exists()


def test_runs_by_another_recipe_are_not_the_presets(tmp_path):
    runs = kept_runs(records(tmp_path / "search", "standard"))
    for run in runs:
        run.config["recipe"]["schedule"] = "StepDecay(peak=0.1, drops=(1,), factor=0.1)"
    with pytest.raises(ValueError, match="no run was trained as the preset 'standard' says"):
        depth_page.by_preset(runs, "standard")


def test_candidates_have_the_presets_rhythm():
    for one in depth_recipes.CANDIDATES.values():
        assert one.iterations % one.evaluate_every == 0
        assert one.schedule(0) < one.schedule(one.iterations // 5)
    settings = PRESETS["standard"](20, 50_000).settings()
    known = [one.settings() for one in depth_recipes.CANDIDATES.values()]
    assert any(all(one[name] == settings[name] for name in depth_page.SAME) for one in known)


@pytest.mark.slow
def test_a_search_ends_with_all_seeds_of_the_best(tmp_path):
    options = ["--data", "builtin", "--depths", "8,14", "--iterations", "2", "--seeds", "2"]
    options += ["--recipes", "line-0.1,steps-0.1", "--device", "cpu"]
    command = [sys.executable, BENCHMARKS / "depth_recipes.py", tmp_path / "runs", *options]
    command += ["--json", tmp_path / "kept.json"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    best = done.stdout.split("With all seeds and the plain networks: ")[1].split()[0]
    runs = kept_runs(tmp_path / "kept.json")
    of_the_best = [run.config for run in runs if run.config["recipe"]["name"] == best]
    found = {(config["network"], config["seed"]) for config in of_the_best}
    names = ("plain-8", "plain-14", "ResNet-8", "ResNet-14")
    assert found == {(name, seed) for name in names for seed in (0, 1)}
    assert len(runs) == 8 + 2
    assert "ResNet-8 less ResNet-14: training loss" in done.stdout
