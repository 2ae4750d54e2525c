"""Work dealt out to threads as they become free, so that none waits for one that was held up.

`prange` alone gives each thread an equal part at the start. On a machine with other busy programs
the system takes a core away from one of them for a while, and the others wait at the end of every
kernel. So each thread has a *share* of the chunks, the same as `prange` would give it, and goes on
with what is left of the others' shares when it is done:

    work = divided(chunks)
    for thread in prange(len(work)):
        for chunk in dealt(work, thread):
            ...

On a quiet machine each thread keeps its own share, whose numbers lie side by side in memory. Who
computes a chunk changes no bit: chunks are cut by shape, and never write to the same place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compiling import helper

LINE = 8  # numbers in a line of the cache: threads that count at once must not share one
NEXT, END = 0, 1

numba.get_num_threads()  # starts the threads: compiled code finds their number only then

Work = npt.NDArray[np.int64]  # (threads, LINE): each share's next chunk, and where the share ends


@intrinsic
def take_next(typing: Any, work: Any, owner: Any) -> Any:
    """The next chunk of a share, which is then taken: one atomic addition."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, values[0])
        place = cgutils.get_item_pointer2(
            context,
            builder,
            array.data,
            cgutils.unpack_tuple(builder, array.shape),
            cgutils.unpack_tuple(builder, array.strides),
            signature.args[0].layout,
            [values[1], ir.Constant(values[1].type, NEXT)],
        )
        return builder.atomic_rmw("add", place, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(work, types.intp), generate


@intrinsic
def thread_count(typing: Any) -> Any:
    """How many threads share a loop; a kernel that calls Numba's function for it is not cached."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(64), [])
        return builder.call(
            cgutils.get_or_insert_function(builder.module, kind, "get_num_threads"), []
        )

    return types.intp(), generate


@helper
def divided(chunks: int) -> Work:
    """Equal parts of 0 .. chunks - 1, one a thread."""
    threads = thread_count()
    work = np.empty((threads, LINE), np.int64)
    for thread in range(threads):
        work[thread, NEXT] = thread * chunks // threads
        work[thread, END] = (thread + 1) * chunks // threads
    return work


@helper
def dealt(work: Work, thread: int) -> Iterator[int]:
    """Chunks for a thread: its own share, then what others have not yet begun."""
    for turn in range(len(work)):
        owner = (thread + turn) % len(work)
        end = work[owner, END]
        chunk = take_next(work, owner)
        while chunk < end:
            yield chunk
            chunk = take_next(work, owner)
