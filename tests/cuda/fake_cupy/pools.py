"""`cupy.cuda`, continued: pools of memory. Arrays come from the common one, or from a private one.

A private pool keeps what its arrays leave, block by block, and gives it to the next array of just
that size. So an array can be made while a graph is captured, if one like it has been freed before.
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from contextlib import contextmanager

from .machine import TOTAL_MEMORY, Block, Misuse, machine


class MemoryPool:
    """A private pool; arrays come from it within `using_allocator(pool.malloc)`."""

    def __init__(self, allocator=None):
        self._blocks: weakref.WeakSet[Block] = weakref.WeakSet()
        self._kept: defaultdict[int, list[Block]] = defaultdict(list)

    def _take(self, nbytes: int) -> Block:
        """A block of this size that lies ready, or a new one."""
        if self._kept[nbytes]:
            return self._kept[nbytes].pop()
        block = machine.new_block(nbytes)
        self._blocks.add(block)
        return block

    def _give_back(self, block: Block) -> None:
        """Keep a block for the next array of its size."""
        self._kept[block.nbytes].append(block)

    def used_bytes(self):
        """Bytes of living arrays."""
        return self.total_bytes() - self.free_bytes()

    def total_bytes(self):
        """Bytes that the pool has."""
        machine.demand_driver()
        return sum(block.nbytes for block in self._blocks)

    def free_bytes(self):
        """Bytes that the pool keeps for later."""
        return sum(nbytes * len(blocks) for nbytes, blocks in self._kept.items())

    def n_free_blocks(self):
        """Pieces kept for later."""
        return sum(map(len, self._kept.values()))

    def free_all_blocks(self, stream=None):
        """Give back what is kept for later."""
        self._kept.clear()

    def set_limit(self, size=None, fraction=None):
        """Refuse to grow above this."""
        machine.limit = int(size if size is not None else fraction * TOTAL_MEMORY)

    def get_limit(self):
        """The limit, 0 for none."""
        return machine.limit

    def malloc(self, size):
        """Not for arrays."""
        raise Misuse("the stand-in allocates through cupy.empty only")


class _CommonPool(MemoryPool):
    """Where all other arrays come from: it keeps nothing, so that each lies in fresh memory."""

    def used_bytes(self):
        machine.demand_driver()
        return machine.live_bytes

    def total_bytes(self):
        machine.demand_driver()
        return machine.peak_bytes

    def free_bytes(self):
        return self.total_bytes() - self.used_bytes()

    def n_free_blocks(self):
        return int(self.free_bytes() > 0)

    def free_all_blocks(self, stream=None):
        machine.peak_bytes = machine.live_bytes


class PinnedMemoryPool:
    """Memory of the host."""

    def free_all_blocks(self):
        """Give it back."""

    def n_free_blocks(self):
        """Pieces kept for later."""
        return 0


POOL, PINNED_POOL = _CommonPool(), PinnedMemoryPool()


def set_allocator(allocator=None):
    """Where arrays get memory from; the stand-in keeps its own."""


@contextmanager
def using_allocator(allocator=None):
    """Within, arrays get memory from a pool of one's own."""
    pool = getattr(allocator, "__self__", None)
    if not isinstance(pool, MemoryPool):
        raise Misuse("the stand-in takes the method malloc of a MemoryPool as an allocator")
    machine.pools.append(pool)
    try:
        yield
    finally:
        machine.pools.pop()
