"""The ways in which a CPU computes with maps in bfloat16; each can be had on any machine."""

import contextlib

import llvmlite.binding as llvm
import pytest
from minires.kernels import dispatch
from minires.kernels.cpu import amx, dots
from minires.kernels.cpu.compiling import LANES


def where(why_not, way):
    """A way that is skipped where it can't be had."""
    return pytest.param(way, marks=pytest.mark.skipif(bool(why_not), reason=why_not))


HAS_DOTS = llvm.get_host_cpu_features().get("avx512bf16") and LANES == 16
NO_DOTS = "" if HAS_DOTS else "this processor has no AVX512-BF16"
PAIRS = [where(amx.why_not(), "tiles"), where(NO_DOTS, "dots")]
WAYS = [*PAIRS, "widened", "reference"]


def choose_way(way, monkeypatch):
    """From here on maps in bfloat16 are multiplied on tiles, by dots, in float32, or by NumPy.

    By dots also where they are not the fastest.
    """
    if way != "tiles":
        monkeypatch.setattr(amx, "why_not", lambda: "this processor has no AMX")
    reason = "" if way == "dots" else "this processor has no AVX512-BF16"
    monkeypatch.setattr(dots, "why_not", lambda: reason)
    monkeypatch.setattr(dots, "are_fastest", lambda *_: True)
    if way == "reference":
        monkeypatch.setattr(dispatch, "cpu_module", lambda: None)


@contextlib.contextmanager
def by(way):
    """A context in which that is the way."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        choose_way(way, monkeypatch)
        yield
