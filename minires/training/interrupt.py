"""Ctrl-C stops a training between two steps, when everything is consistent."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self


class InterruptedTraining(KeyboardInterrupt):
    """Training was stopped by the user and has been saved; the text says how to go on."""


class StopRequest:
    """Within `with StopRequest() as stop:` the first Ctrl-C sets `stop.requested`.

    So do SIGTERM and SIGUSR1. A second Ctrl-C interrupts at once, as usual. Outside the main
    thread it changes nothing.
    """

    NAMES = ("SIGINT", "SIGTERM", "SIGUSR1")  # the last is what batch systems send before the end
    SIGNALS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))

    def __init__(self) -> None:
        self.requested = False
        self.previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self.previous = {s: signal.signal(s, self.request) for s in self.SIGNALS}
        return self

    def request(self, number: int, frame: FrameType | None) -> None:
        """Note the request, and put the earlier handlers back."""
        self.requested = True
        self.restore()

    def restore(self) -> None:
        """Put the earlier handlers back."""
        while self.previous:
            signal.signal(*self.previous.popitem())

    def __exit__(self, *_: object) -> None:
        self.restore()
