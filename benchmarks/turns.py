"""Engines in processes of their own that take turns, so that what slows one slows the other."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import numpy as np

WORKERS = Path(__file__).with_name("workers.py")
REST = 0.02  # seconds: threads that wait for work in a loop give up in this time
TRIALS = 3  # calls that tell how long the work is
PATIENCE = 10  # seconds that a process gets to end by itself
SHORT = 30.0  # milliseconds: shorter work is repeated within a turn, until it takes that long


class Worker:
    """A process that does a piece of work when asked to; see `workers.py`."""

    def __init__(self, engine: str, threads: int) -> None:
        self.engine, self.threads = engine, threads
        self.process = subprocess.Popen(
            [sys.executable, WORKERS, engine, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request, wait for its answer."""
        assert self.process.stdin
        assert self.process.stdout
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the {self.engine} process ended early: see its message above")
        return json.loads(line)

    def prepare(self, kind: str, **description: Any) -> dict[str, Any]:
        """Get ready for work; the engine's version and threads. RuntimeError for other threads."""
        facts = self.ask(kind=kind, **description)
        if facts["threads"] != self.threads:
            raise RuntimeError(
                f"{self.engine} uses {facts['threads']} threads, not {self.threads}: "
                "the comparison would not be fair"
            )
        return facts

    def turn(self, calls: int = 1) -> dict[str, float]:
        """Milliseconds of a call, and the number of cores that were busy."""
        time.sleep(REST)
        return self.ask(calls=calls)

    def peak_memory(self) -> float:
        """MiB, from the start of the process until now."""
        return self.ask()["mib"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def calls_a_turn(worker: Worker) -> int:
    """One, or as many as a turn has room for where the work is short."""
    return max(1, round(SHORT / min(worker.turn()["ms"] for _ in range(TRIALS))))


def take_turns(workers: list[Worker], repeats: int, seconds: float) -> tuple[np.ndarray, ...]:
    """Milliseconds and busy cores, (turns, workers): `repeats` turns, or what `seconds` allow.

    There are at least three turns.
    """
    calls = [calls_a_turn(worker) for worker in workers]
    started, turns = time.perf_counter(), []
    while len(turns) < repeats and (len(turns) < 3 or time.perf_counter() - started < seconds):
        turns.append([worker.turn(n) for worker, n in zip(workers, calls, strict=True)])
    return tuple(np.array([[t[key] for t in turn] for turn in turns]) for key in ("ms", "cores"))


def compare(workers: list[Worker], repeats: int, seconds: float) -> dict[str, Any]:
    """Medians and quartiles of minires, the first worker, and a peer, the second."""
    times, cores = take_turns(workers, repeats, seconds)
    row: dict[str, Any] = {"turns": len(times)}
    for name, values in (
        ("ours_ms", times[:, 0]),
        ("peer_ms", times[:, 1]),
        ("ratio", times[:, 1] / times[:, 0]),
    ):
        low, row[name], high = np.percentile(values, (25, 50, 75)).tolist()
        row[f"{name}_quartiles"] = [low, high]
    row["ours_cores"], row["peer_cores"] = np.median(cores, axis=0).tolist()
    return row
