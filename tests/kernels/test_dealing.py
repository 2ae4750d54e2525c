"""Chunks are dealt to threads: each once, whoever comes first."""

import numba
import numpy as np
import pytest
from minires.kernels.cpu.dealing import dealt, divided
from numba import njit


@njit
def takers(chunks, order):
    """For each chunk who took it, and how often it was taken; threads come one after the other."""
    work = divided(chunks)
    who, times = np.full(chunks, -1), np.zeros(chunks, np.int64)
    for thread in order:
        for chunk in dealt(work, thread):
            who[chunk] = thread
            times[chunk] += 1
    return who, times


@pytest.mark.parametrize("chunks", [0, 1, 2, 3, 64, 65])
def test_each_chunk_is_dealt_once(chunks):
    threads = numba.get_num_threads()
    _, times = takers(chunks, np.arange(threads)[::-1].copy())
    assert (times == 1).all()


def test_a_thread_goes_on_with_what_others_have_not_begun():
    who, _ = takers(64, np.zeros(1, np.int64))
    assert (who == 0).all()
