"""Work that threads do ahead, while the user of the results is busy with something else."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Prefetch(Generic[Result]):
    """`work(0)`, `work(1)`, ... in this order, each computed by a thread before it is asked for.

    At most `ahead` results lie ready or are being computed, so that memory stays bounded. Decoders
    release Python's lock, so threads use all cores. What `work` raises is raised to the user, in
    its turn. `waited` is the time, in seconds, that the user has waited for results that were not
    ready: almost none, if the threads keep up.
    """

    def __init__(
        self, work: Callable[[int], Result], count: int, *, workers: int = 2, ahead: int = 64
    ) -> None:
        for name, number in (("workers", workers), ("ahead", ahead)):
            if number < 1:
                raise ValueError(f"{name} must be 1 or more, but is {number}")
        self.work, self.count, self.workers, self.ahead = work, count, workers, ahead
        self.waited = 0.0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Result]:
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="prefetch")
        try:
            numbers, pending = iter(range(self.count)), deque[Future[Result]]()
            for number in numbers:
                pending.append(pool.submit(self.work, number))
                if len(pending) == self.ahead:
                    yield self.taken(pending)
            while pending:
                yield self.taken(pending)
        finally:  # waits for no thread: the garbage collector may come here while it starts one
            pool.shutdown(wait=False, cancel_futures=True)

    def taken(self, pending: deque[Future[Result]]) -> Result:
        """The oldest result; the time until it is there is counted."""
        started = time.perf_counter()
        try:
            return pending.popleft().result()
        finally:
            self.waited += time.perf_counter() - started
