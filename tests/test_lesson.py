"""The lesson: pictures exist, commands work, programs run, and its numbers were measured."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from minires.kernels.ladder import BATCH_NORMS, CONVOLUTIONS
from minires.kernels.ladder.cuda import CUDA
from PIL import Image

from minires.analysis import PROBES
from minires.detection.small import SMALL
from minires.training import PRESETS

ROOT = Path(__file__).parents[1]
LESSON = ROOT / "docs" / "lesson"
PAGES = sorted(LESSON.glob("*.md"))
DETECTION = {f"detection-{name}" for name in ("proposals", "judges", "errors", "depth")}
LADDERS = {"ladder-conv": CONVOLUTIONS, "ladder-batch-norm": BATCH_NORMS, "ladder-cuda": CUDA}
pages = pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])


def lesson_figures():
    spec = importlib.util.spec_from_file_location("figures", ROOT / "examples/lesson_figures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pages
def test_pictures_and_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


@pages
def test_its_lists_are_what_was_measured(page):
    assert lesson_figures().with_measurements(page) == page.read_text()


@pytest.mark.parametrize("probe", PROBES.values(), ids=list(PROBES))
def test_its_lists_hold_the_words_of_todays_probes(probe):
    kept = json.loads((LESSON / f"{probe.name}.json").read_text())
    assert kept.pop("found")
    assert kept == {key: getattr(probe, key) for key in ("title", "what", "look_for", "source")}


@pages
def test_its_programs_run(page):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    if not blocks:
        return
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if "1-gradients" in page.name:
        assert done.stdout.startswith("[6.]\n")
    if "4-residual" in page.name:
        assert done.stdout == "True\n"


def test_page_8_says_in_todays_words_what_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    import detection_figures

    record = json.loads((LESSON / "detection.json").read_text())
    figures = (record["seeds"], record["convolutions"], record["about"])
    made = detection_figures.sentences(*figures)
    assert made.keys() == DETECTION
    for name, found in made.items():
        assert json.loads((LESSON / f"{name}.json").read_text())["found"] == found
    ends = {
        kind: [count for _, count in detection_figures.depths(build(["a"]).trunk)]
        for kind, build in SMALL.items()
    }
    assert record["convolutions"] == ends == {"resnet": [1, 5, 9, 13], "vgg": [2, 4, 7, 10]}


def test_every_probe_is_in_the_lesson_and_no_other():
    text = "".join(page.read_text() for page in PAGES)
    assert set(re.findall(r"measured: ([\w-]+)", text)) == {*PROBES, *LADDERS, *DETECTION}
    named = re.findall(r"^    python examples/probes.py ([\w-]+)", text, re.M)
    assert set(named) - {"all", "lists"} == set(PROBES)


@pytest.mark.parametrize("name", LADDERS)
def test_page_7_names_every_rung_and_its_file(name):
    text = (LESSON / "7-why-is-it-fast.md").read_text()
    found = json.loads((LESSON / f"{name}.json").read_text())["found"]
    for rung in LADDERS[name]:
        assert f"kernels/ladder/{rung.file}." in text
        assert any(sentence.startswith(f"{rung.name}: ") for sentence in found)


def test_pictures_are_large_enough_to_project_and_small_enough_to_keep():
    pictures = list(LESSON.glob("*.png"))
    assert {path.stem for path in pictures} == {*PROBES, *LADDERS, "error", "detection"}
    for path in pictures:
        with Image.open(path) as image:
            assert image.width >= 1000, path.name
    assert sum(path.stat().st_size for path in ROOT.glob("docs/**/*.png")) < 2_000_000


def test_the_warm_up_begins_as_page_2_says():
    assert PRESETS["quick"](56, 50_000).schedule(0) == pytest.approx(0.05 / 96)
    assert "0.05 / 96" in (LESSON / "2-batch-norm.md").read_text()


def test_its_script_says_in_a_sentence_what_is_wrong(tmp_path):
    script = [sys.executable, "examples/lesson_figures.py", "--pages", str(tmp_path)]
    done = subprocess.run(
        [*script, "--data-dir", "nowhere", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: data_dir nowhere is not there")
    assert not done.stdout


def test_no_title_blames_the_vanishing_gradient_for_plain_networks_with_batch_norm():
    for page in PAGES:
        for title in re.findall(r"^#.*|^!\[.*?\]", page.read_text(), re.M):
            assert not re.search("plain.*vanish|fix.*vanish|vanish.*plain", title), title
