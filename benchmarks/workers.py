"""One engine in one process, which does one kind of work each time it is asked to.

    python benchmarks/workers.py ENGINE[:MODE...] THREADS

answers lines of JSON by lines of JSON. A line that describes work, {"kind": "train", ...}, prepares
it and does it twice, so that everything is compiled; {"calls": 3} does it three times and tells the
milliseconds that each took; {} asks for the peak of resident memory. `turns.py` is the other end.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from types import ModuleType
from typing import Any

from engines import Step

WARM_UPS = 2  # the second call of tinygrad's TinyJit captures the graph
ONE_SIZE = (
    "NPROC",
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
)


def tie_to_cores(threads: int) -> None:
    """Let this process use so many cores and no more, before any engine looks at them."""
    os.environ.update(dict.fromkeys(ONE_SIZE, str(threads)))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def prepare(engine: ModuleType, kind: str, **description: Any) -> Step:
    """The step of this work, warm; networks, images and shapes are made here."""
    if "network" in description:
        from networks import initial_weights, random_batch

        network, batch = description["network"], description.pop("batch")
        images, labels = random_batch(network, batch)
        description |= {"weights": initial_weights(network), "images": images}
        description |= {"labels": labels} if kind == "train" else {}
    if "shape" in description:
        from shapes import Convolution

        description["shape"] = Convolution(*description["shape"])
    step = getattr(engine, kind)(**description)
    for _ in range(WARM_UPS):
        step()
    return step


def clock(step: Step, calls: int) -> dict[str, float]:
    """Milliseconds of a call, and how many cores were busy with it."""
    busy, started = time.process_time(), time.perf_counter()
    for _ in range(calls):
        step()
    seconds = time.perf_counter() - started
    return {"ms": 1000 * seconds / calls, "cores": (time.process_time() - busy) / seconds}


def peak_memory() -> dict[str, float]:
    """The most memory that this process ever held, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return {"mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20}


def main() -> None:
    """Answer until the input ends."""
    (name, *modes), threads = sys.argv[1].split(":"), int(sys.argv[2])
    tie_to_cores(threads)
    engine, step = importlib.import_module(f"engines.{name}"), None
    engine.use_threads(threads)
    for mode in modes:
        engine.use_mode(mode)
    for line in sys.stdin:
        request = json.loads(line)
        if "kind" in request:
            step = prepare(engine, **request)
            answer = {"version": engine.version(), "threads": engine.threads()}
        elif step and "calls" in request:
            answer = clock(step, **request)
        else:
            answer = peak_memory()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
