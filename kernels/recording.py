"""Work of a GPU that is recorded as a CUDA graph, in memory of its own.

A graph repeats its launches with the very addresses that they were recorded with. So what they
write to must never be given to anybody else: a Recorder has a pool of memory that only its own work
takes from, and that lives as long as the graphs. And it has a stream of its own, since the default
one can't be recorded; work is done there first, so that what kernels keep per stream is there.
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
    """A stream and a pool of memory, for work that is done there once or twice, then recorded."""

    def __init__(self) -> None:
        self.cupy = devices.cupy()
        self.cupy.get_default_memory_pool().free_all_blocks()  # this pool can't take from that one
        self.stream = self.cupy.cuda.Stream(non_blocking=True)
        self.pool = self.cupy.cuda.MemoryPool()

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Within, work is done on the recorder's stream, in its turn, and in its memory."""
        current = self.cupy.cuda.get_current_stream()
        self.stream.wait_event(current.record())
        try:
            with self.stream, self.cupy.cuda.using_allocator(self.pool.malloc):
                yield
        finally:
            current.wait_event(self.stream.record())

    def has_worked(self) -> bool:
        """Whether any work has taken memory here: else it was none of the GPU's."""
        return self.pool.total_bytes() > 0

    def record(self, work: Callable[[], Result]) -> tuple[Recording, Result]:
        """What `work` launches, which is not done now, and what it returns.

        Raises: NotRecordedError if it did something that only the host can do, such as waiting.
        """
        with self.at_work():
            self.stream.begin_capture()
            try:
                result = work()
            except BaseException as error:
                with contextlib.suppress(Exception):  # what is wrong is known already
                    self.stream.end_capture()
                if is_about_capture(error):
                    raise NotRecordedError(devices.first_line(error)) from error
                raise
            try:
                return Recording(self.stream.end_capture(), self), result
            except RuntimeError as error:
                raise NotRecordedError(devices.first_line(error)) from error


class Recording:
    """A CUDA graph, and the memory that it works in."""

    def __init__(self, graph: Any, recorder: Recorder) -> None:
        self.graph, self.recorder = graph, recorder

    def launch(self) -> None:
        """Do all of the work again, on the current stream; returns at once."""
        self.graph.launch()


def is_about_capture(error: BaseException) -> bool:
    """Whether an error of CuPy's says that something is not allowed while work is recorded."""
    return isinstance(error, RuntimeError) and bool(re.search("captur", str(error), re.IGNORECASE))
