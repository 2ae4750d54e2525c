"""README's tour runs as it stands there, and prints what it says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_tour_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len(blocks) >= 5
    namespace = {}
    for block in blocks:
        exec(block, namespace)
    text = capsys.readouterr().out
    assert "[6. 8.]" in text
    assert "853,018" in text
    assert "125,485,696" in text
    assert text.count("iteration ") == 10
    assert (tmp_path / "runs/first/checkpoint.safetensors").exists()
