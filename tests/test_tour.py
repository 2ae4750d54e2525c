"""examples/tour.ipynb: its cells run, say what the page shows, and may be run twice."""

import contextlib
import io
import json
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "examples" / "tour.ipynb"
CELLS = json.loads(PAGE.read_text(encoding="utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]
QUICK = ("steps=150", "steps=12")


def printed(cell):
    return "".join("".join(o["text"]) for o in cell["outputs"] if o["output_type"] == "stream")


def words(text):
    """Text without numbers, which may differ from machine to machine."""
    text = re.sub(r"-?\d+(\.\d+)?", "#", text)
    return re.sub(r"at (\(#, #\)|random direction)", "at #", text)  # by rounding, which differs


def run(cell, names):
    """What a cell prints."""
    source = "".join(cell["source"]).replace(*QUICK)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(source, names)
    return out.getvalue()


@pytest.fixture
def names(monkeypatch, tmp_path):
    import matplotlib

    matplotlib.use("Agg")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    return {"__name__": "__main__"}


def test_every_cell_says_what_the_page_shows_and_may_be_run_twice(names):
    for cell in CODE:
        assert words(run(cell, names)) == words(printed(cell))
        assert words(run(cell, names)) == words(printed(cell))


def test_the_page_was_made_in_one_run_and_shows_no_machine():
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    outputs = [output for cell in CODE for output in cell["outputs"]]
    assert not any(o["output_type"] == "error" or o.get("name") == "stderr" for o in outputs)
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    text = "\n".join(str(o.get("text", o.get("data", {}).get("text/plain"))) for o in outputs)
    assert not re.search(r"[/\\](home|root|tmp|work|Users|var)\b", text)
    assert PAGE.stat().st_size < 300_000


def test_the_lesson_is_measured():
    """The residual network's loss is the lower one, on the page."""
    last = {
        name: float(loss)
        for cell in CODE
        for name, loss in re.findall(r"(\w+): loss .* (\S+) at the end", printed(cell))
    }
    assert last["residual"] < last["plain"]


def test_its_links_lead_somewhere():
    text = "".join("".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "markdown")
    links = re.findall(r"\]\((\S+?)\)", text)
    assert links
    assert all((PAGE.parent / link).exists() for link in links)
