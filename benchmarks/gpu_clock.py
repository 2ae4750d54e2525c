"""How long steps take on a GPU; and the ceilings of the machine.

"Whole" is the time of many steps that are queued and then waited for once, divided by their number:
what training takes. "Step by step" is from an idle GPU to an idle GPU, so that launching and
computing come one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from gpu_steps import PRECISIONS, Step, Way, allow_tf32, why_no_torch
from minires.kernels import devices

from minires import kernels

Say = Callable[[str], None]
ROUND = 0.1  # seconds that a way takes in a round
CALLS = (3, 200)  # steps of a round, at least and at most
COPIED_MIB = 1024
PRODUCT_SIDE = 8192


def attempt(what: str, say: Say, work: Callable[..., Any], *arguments: Any) -> bool:
    """Whether the work was done; what fails is told in a sentence, and stops nothing else."""
    try:
        work(*arguments)
    except Exception as error:  # of drivers, compilers, libraries: anything
        say(f"{what}: {type(error).__name__}: {devices.first_line(error)[:300]}")
        return False
    return True


def wait() -> None:
    """Until the GPU has done everything, of both engines."""
    devices.cupy().cuda.Device().synchronize()


def seconds_of(step: Step, calls: int) -> float:
    """Of a step, when as many are queued and waited for once."""
    wait()
    started = time.perf_counter()
    for _ in range(calls):
        step()
    wait()
    return (time.perf_counter() - started) / calls


def calls_of(step: Step) -> int:
    """How many steps make a round."""
    least, most = CALLS
    return int(np.clip(ROUND / seconds_of(step, least), least, most))


def take_turns(steps: dict[Way, Step], rounds: int, say: Say) -> dict[Way, dict[str, Any]]:
    """Each way's whole time, and step by step where it is called eagerly; milliseconds.

    A way that fails is left out from then on.
    """
    calls: dict[Way, int] = {}
    times: dict[Way, dict[str, list[float]]] = {way: {"whole": [], "step": []} for way in steps}

    def count(way: Way) -> None:
        calls[way] = calls_of(steps[way])

    def turn(way: Way) -> None:
        times[way]["whole"].append(1e3 * seconds_of(steps[way], calls[way]))
        if way.mode == "eager":
            times[way]["step"] += [1e3 * seconds_of(steps[way], 1) for _ in range(2)]

    for work in [count] + [turn] * rounds:
        for way in list(steps):
            if not attempt(str(way), say, work, way):
                del steps[way]
    return {way: statistics(times[way]) | {"calls": calls[way]} for way in steps}


def statistics(times: dict[str, list[float]]) -> dict[str, Any]:
    """Medians and quartiles."""
    row: dict[str, Any] = {}
    for name, values in times.items():
        if values:
            low, row[f"{name}_ms"], high = np.percentile(values, (25, 50, 75)).tolist()
            row[f"{name}_ms_quartiles"] = [low, high]
    return row


# ------------------------------------------------------------------- ceilings


def gpu_milliseconds(step: Step, calls: int = 5) -> float:
    """Of a call, between two events on the GPU; the best of three."""
    cuda = devices.cupy().cuda
    step()
    best = np.inf
    for _ in range(3):
        begin, end = cuda.Event(), cuda.Event()
        begin.record()
        for _ in range(calls):
            step()
        end.record()
        end.synchronize()
        best = min(best, cuda.get_elapsed_time(begin, end) / calls)
    return float(best)


def ceilings(say: Say) -> dict[str, float]:
    """GB/s of a copy (reading counts, and so does writing), TFLOP/s of products by precision."""
    found = {}

    def copy() -> None:
        found["copy"] = copy_rate()

    def measure(precision: str) -> None:
        if product := large_product(precision):
            found[precision] = 2 * PRODUCT_SIDE**3 / gpu_milliseconds(product) / 1e9

    attempt("copying", say, copy)
    for precision in PRECISIONS:
        attempt(f"a large product in {precision}", say, measure, precision)
    return found


def copy_rate() -> float:
    """GB/s from one array to another."""
    cupy = devices.cupy()
    a, b = (cupy.zeros(COPIED_MIB << 18, np.float32) for _ in range(2))

    def copy() -> None:
        b[...] = a

    return 2 * a.nbytes / gpu_milliseconds(copy) / 1e6


def large_product(precision: str) -> Step | None:
    """A matrix product: PyTorch's (cuBLAS), or ours, which is in float32."""
    shape = (PRODUCT_SIDE, PRODUCT_SIDE)
    if why_no_torch():
        ones = devices.cupy().full(shape, 1, np.float32)
        return (lambda: kernels.matmul(ones, ones)) if precision == "float32" else None
    import gpu_steps
    import torch

    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    a = torch.randn(shape, dtype=dtype, device=gpu_steps.DEVICE)

    def product() -> Any:
        allow_tf32(precision != "float32")
        return a @ a

    return product
