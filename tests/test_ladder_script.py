"""examples/ladder.py: what it prints and leaves, and how it refuses."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest
from minires.kernels.ladder import BATCH_NORMS, CONVOLUTIONS
from minires.kernels.ladder.cuda import CUDA
from PIL import Image

from minires.analysis.roofline import Ceilings, Point
from tests.device import is_real

SCRIPT = Path(__file__).parents[1] / "examples" / "ladder.py"
RUNGS = {"conv": CONVOLUTIONS, "batch_norm": BATCH_NORMS, "cuda": CUDA}


@pytest.fixture
def ladder(monkeypatch):
    """The script, on a machine whose ceilings are known."""
    monkeypatch.setattr(sys, "path", sys.path.copy())
    spec = importlib.util.spec_from_file_location("ladder_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "ladder_script", module)  # dataclasses look there
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "measured_ceilings", lambda: Ceilings(100.0, 10.0))
    monkeypatch.setattr(module, "REPEATS", 3)
    monkeypatch.setattr(module, "COUNTED", (1, 4, 4, 8))
    return module


@pytest.mark.parametrize(
    "name", ["conv", "batch_norm", pytest.param("cuda", marks=pytest.mark.cuda)]
)
def test_every_rung_is_checked_timed_and_drawn(name, ladder, tmp_path, capsys):
    if name == "cuda" and is_real():
        pytest.skip("counts on the stand-in")
    picture = ladder.climb(name, (2, 6, 5, 8), 16, tmp_path)
    text = " ".join(capsys.readouterr().out.split())
    found = json.loads(picture.with_suffix(".json").read_text())["found"]
    for rung in RUNGS[name]:
        assert rung.name in text
        assert any(sentence.startswith(f"{rung.name}: ") for sentence in found)
    assert found[-1].startswith(ladder.ENGINE)
    assert str(picture) in text.replace(" ", "")
    with Image.open(picture) as image:
        assert image.width >= 1000


@pytest.mark.parametrize("name", ["conv", "batch_norm"])
def test_a_wrong_rung_is_refused(name, ladder, tmp_path, monkeypatch):
    rung = RUNGS[name][1]
    right = rung.kernel()

    def wrong(*arrays, **settings):
        y = right(*arrays, **settings)
        (y[0] if isinstance(y, tuple) else y)[-1, -1, -1, -1] += 0.01
        return y

    monkeypatch.setattr(type(rung), "kernel", lambda _: wrong)
    with pytest.raises(ValueError, match=r"is wrong at 1 of \d+ values"):
        ladder.climb(name, (2, 6, 5, 8), 16, tmp_path)


def test_sentences_say_what_pays_and_what_does_not(ladder):
    points = [
        Point(*row) for row in (("a", 100, 10, 4.0), ("b", 100, 20, 2.0), ("c", 100, 20, 2.1))
    ]
    first, second, third = ladder.sentences(points, Ceilings(5.0, 2.0))
    assert "the ceilings are 5 GFLOP/s and 2.0 GB/s" in first
    assert "b: 2.0 times as fast, 2 times the bytes" in second
    assert "c: does not pay here (0.95)" in third


@pytest.mark.parametrize("size", ["32x32", "1x2x3x0", "axbxcxd", "1x2x3x4x5"])
def test_a_wrong_size_gets_a_sentence(size, ladder):
    with pytest.raises(ValueError, match=re.escape(f"32x32x32x64, but is {size!r}")):
        ladder.parse(size)


def test_a_roof_is_the_lower_of_two():
    roof = Ceilings(100.0, 10.0).roof
    assert [roof(intensity) for intensity in (1, 9, 10, 50)] == [10, 90, 100, 100]
