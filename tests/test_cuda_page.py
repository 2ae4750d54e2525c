"""What docs/cuda.md shows runs."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.device import gpu

PAGE = Path(__file__).parents[1] / "docs/cuda.md"


@pytest.mark.cuda
def test_the_loop_that_is_replayed(capsys):
    programs = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    (loop,) = (program for program in programs if "minires.graph" in program)
    for large, little in (("128", "4"), ("32, 32", "8, 8"), ("resnet(20)", "resnet(8)")):
        loop = loop.replace(large, little)
    with gpu():
        exec(loop, {})
    assert np.isfinite(float(capsys.readouterr().out))
