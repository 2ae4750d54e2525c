"""The ways in which a CPU computes with maps in bfloat16; each can be had on any machine."""

import pytest
from minires.kernels import dispatch
from minires.kernels.cpu import amx

NO_TILES = amx.why_not()  # here

WAYS = [
    pytest.param("tiles", marks=pytest.mark.skipif(bool(NO_TILES), reason=NO_TILES)),
    "widened",
    "reference",
]


def choose_way(way, monkeypatch):
    """From here on maps in bfloat16 are multiplied on tiles, in float32, or by the reference."""
    if way != "tiles":
        monkeypatch.setattr(amx, "why_not", lambda: "this processor has no AMX")
    if way == "reference":
        monkeypatch.setattr(dispatch, "cpu_module", lambda: None)
