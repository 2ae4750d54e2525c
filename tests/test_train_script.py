"""A network and a loop of one's own, as examples/train.py has them."""

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "examples" / "train.py"


@pytest.mark.slow
def test_it_learns_and_says_so(capsys):
    error = runpy.run_path(str(SCRIPT))["main"](iterations=150)
    text = capsys.readouterr().out
    assert text.count("iteration") == 3
    assert f"{error:.1%} wrong" in text
    assert error < 0.7  # of ten classes


def test_it_fits_on_a_page():
    assert len(SCRIPT.read_text().splitlines()) < 70
