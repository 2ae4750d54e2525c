"""Nobody waits for ever: a rank that fails, leaves or hangs ends all of them, with a sentence.

MPI itself lets the others wait. So an exception that nobody catches aborts the job. A rank that
comes to its end says so, and whoever waits for it in a call aborts. A thread of every rank looks at
how long its call takes, and asks the others what they do: so it can name the one to blame.
"""

from __future__ import annotations

import atexit
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

TICK = 0.25  # seconds between two looks of the thread
GRACE = 2  # seconds until a call that waits for a rank that has left is given up
PATIENCE = 60  # seconds in a call after which it is said
GONE, QUESTION = "gone", "what do you do?"  # an answer is the call, or nothing
LIMIT = 1800  # seconds in a call after which all is ended; MINIRES_TIMEOUT changes it


class Watch:
    """What this rank waits for, and what it knows of the others.

    `comm` is a communicator for the watch alone, `mpi` the module mpi4py.MPI.
    """

    def __init__(self, comm: Any, mpi: Any) -> None:
        self.comm, self.mpi = comm, mpi
        self.call: tuple[str, float, bool] | None = None  # name, beginning, patiently
        self.gone: set[int] = set()
        self.states: dict[int, str] = {}
        self.asked = 0.0  # when the others were, in this call
        self.told = self.over = False
        self.limit = seconds_of(os.environ.get("MINIRES_TIMEOUT", ""))
        self.sent: list[Any] = []
        self.thread = threading.Thread(target=self.look_on, daemon=True, name="watch")
        sys.excepthook = self.fail
        atexit.register(self.leave)
        if mpi.Query_thread() == mpi.THREAD_MULTIPLE:
            self.thread.start()

    @contextmanager
    def waiting(self, name: str, *, patiently: bool = False) -> Iterator[None]:
        """A call that ends when the others make it, too; `patiently`: however long it takes."""
        self.asked, self.told = 0.0, False
        self.call = (name, time.monotonic(), patiently)
        try:
            yield
        finally:
            self.call = None

    # -- the end of this rank --------------------------------------------------------------

    def fail(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        """Show an exception that nobody has caught, and end all ranks."""
        time.sleep(min(self.comm.rank, 3))  # where several fail alike, the first one tells it
        text = "".join(traceback.format_exception(kind, error, trace))
        self.abort(f"{text}minires: rank {self.comm.rank} of {self.comm.size} has failed")

    def abort(self, text: str) -> None:
        """Say why, and end all ranks."""
        print(text, file=sys.__stderr__, flush=True)
        self.comm.Abort(1)

    def leave(self) -> None:
        """At the end of the process: tell the others, and wait until all have come as far."""
        self.tell_all(GONE)
        request = self.comm.Ibarrier()
        while not request.Test():
            time.sleep(TICK / 10)
        self.over = True
        if self.thread.is_alive():
            self.thread.join()

    def tell_all(self, message: str) -> None:
        """Send a message to every watch; it is kept until it has arrived."""
        self.sent = [self.comm.isend(message, rank) for rank in range(self.comm.size)]

    # -- the thread ------------------------------------------------------------------------

    def look_on(self) -> None:
        """Look, again and again, at the messages of the others and at the own call."""
        while not self.over:
            time.sleep(TICK)
            self.read()
            if call := self.call:
                self.judge(*call)

    def read(self) -> None:
        """Take in what other watches have sent."""
        status = self.mpi.Status()
        while self.comm.Iprobe(status=status):
            rank, message = status.source, self.comm.recv(source=status.source)
            if message == GONE:
                self.gone.add(rank)
            elif message == QUESTION:
                self.comm.send(self.call[0] if self.call else "", rank)
            else:
                self.states[rank] = message

    def judge(self, name: str, begun: float, patiently: bool) -> None:
        """Warn of a call that takes long; end all ranks where it can't end, or takes too long."""
        seconds = time.monotonic() - begun
        left = self.gone - {self.comm.rank}
        if left and seconds > GRACE:
            self.abort(
                f"minires: rank {min(left)} has ended, but rank {self.comm.rank} waits for it in "
                f"{name}; all ranks are ended"
            )
        if patiently or seconds < min(PATIENCE, self.limit / 2):
            return
        if not self.asked:
            self.states, self.asked = {}, time.monotonic()
            self.tell_all(QUESTION)
        elif not self.told and time.monotonic() - self.asked > 4 * TICK:
            self.told = True
            self.blame(name, seconds)
        if seconds > self.limit:
            self.abort(f"minires: a call took more than {self.limit:g} s (MINIRES_TIMEOUT)")

    def blame(self, name: str, seconds: float) -> None:
        """Say who has not come to the call; the first of those that wait does so."""
        waiting = [rank for rank, call in self.states.items() if call]
        if min(waiting, default=self.comm.rank) == self.comm.rank:
            late = sorted(set(range(self.comm.size)) - set(waiting))
            doing = {r: "is busy" if r in self.states else "does not answer" for r in late}
            text = ", ".join(f"rank {rank} {what}" for rank, what in doing.items())
            print(
                f"minires: rank {self.comm.rank} has waited {seconds:.0f} s in {name}: "
                f"{text or 'all ranks wait, not all in the same call'}",
                file=sys.__stderr__,
                flush=True,
            )


def seconds_of(text: str) -> float:
    """What MINIRES_TIMEOUT says, or the usual. Raises: ValueError for what is no time."""
    if not re.fullmatch(r"\d*\.?\d+|", text):
        raise ValueError(f"MINIRES_TIMEOUT must be a number of seconds, but is {text!r}")
    return float(text or LIMIT)
