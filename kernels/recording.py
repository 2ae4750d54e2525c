"""GPU work that is recorded as a CUDA graph, in its own memory.

A graph repeats its launches with the addresses they were recorded with. So the memory that they
write to must never be given to other work: a Recorder has a memory pool that only its own work uses
and that lives as long as the graphs. It also has its own stream, since the default one can't be
recorded. The work runs there before it is recorded, so that what kernels keep per stream exists.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from . import devices

Result = TypeVar("Result")


class NotRecordedError(RuntimeError):
    """The GPU can't record what was done; the cause is CuPy's error."""


class Recorder:
    """A stream and a memory pool, for work that runs there once or twice, then is recorded."""

    def __init__(self) -> None:
        self.cupy = devices.cupy()
        self.cupy.get_default_memory_pool().free_all_blocks()  # the new pool can't use its blocks
        self.stream = self.cupy.cuda.Stream(non_blocking=True)
        self.pool = self.cupy.cuda.MemoryPool()

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """A context in which work runs on the recorder's stream, in order, and in its memory."""
        current = self.cupy.cuda.get_current_stream()
        self.stream.wait_event(current.record())
        try:
            with self.stream, self.cupy.cuda.using_allocator(self.pool.malloc):
                yield
        finally:
            current.wait_event(self.stream.record())

    def has_worked(self) -> bool:
        """Whether any work has taken memory here; if not, it did not run on the GPU."""
        return self.pool.total_bytes() > 0

    def record(self, work: Callable[[], Result]) -> tuple[Recording, Result]:
        """Record what `work` launches, without running it; the recording, and what `work` returns.

        Raises: NotRecordedError if it did something that only the host can do, such as waiting.
        """
        with self.at_work():
            self.stream.begin_capture()
            try:
                result = work()
            except BaseException as error:
                with contextlib.suppress(Exception):  # `error` says what is wrong
                    self.stream.end_capture()
                if is_about_capture(error):
                    raise NotRecordedError(devices.first_line(error)) from error
                raise
            try:
                return Recording(self.stream.end_capture(), self), result
            except RuntimeError as error:
                raise NotRecordedError(devices.first_line(error)) from error


class Recording:
    """A CUDA graph and the memory that it uses."""

    def __init__(self, graph: Any, recorder: Recorder) -> None:
        self.graph, self.recorder = graph, recorder

    def launch(self) -> None:
        """Run all of the work again, on the current stream; returns at once."""
        self.graph.launch()


def is_about_capture(error: BaseException) -> bool:
    """Whether CuPy's error says that something is not allowed while work is recorded."""
    return isinstance(error, RuntimeError) and bool(re.search("captur", str(error), re.IGNORECASE))
