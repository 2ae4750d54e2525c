"""The stand-in for `cupy.cuda.nccl` computes what NCCL does, and refuses what NCCL lets pass."""

import gc
from types import SimpleNamespace

import numpy as np
import pytest

from . import fake_cupy
from .fake_cupy import Misuse, nccl

F4 = nccl.NCCL_FLOAT32


@pytest.fixture
def one():
    """A communicator of one rank, and two arrays."""
    with fake_cupy.installed() as cupy:
        comm = nccl.NcclCommunicator(1, nccl.get_unique_id(), 0)
        a, b = cupy.ones(4, np.float32), cupy.zeros(4, np.float32)
        yield SimpleNamespace(cupy=cupy, comm=comm, a=a, b=b)
        nccl._group = None


def gather(one, a=None, b=None, count=4, datatype=F4, stream=0):
    a, b = one.a if a is None else a, one.b if b is None else b
    one.comm.allGather(a.data.ptr, b.data.ptr, count, datatype, stream)


def exchange(one, peer=0, count=4):
    nccl.groupStart()
    one.comm.send(one.a.data.ptr, 4, F4, peer, 0)
    one.comm.recv(one.b.data.ptr, count, F4, peer, 0)
    nccl.groupEnd()


@pytest.mark.parametrize("call", [gather, exchange])
def test_one_rank_gets_what_it_sends(call, one):
    call(one)
    assert one.b.get().tolist() == [1, 1, 1, 1]


def on_another_stream(one):
    gather(one, stream=one.cupy.cuda.Stream().ptr)


def freed(one):
    place = SimpleNamespace(data=SimpleNamespace(ptr=one.cupy.ones(4, np.float32).data.ptr))
    gc.collect()
    gather(one, a=place)


def after(end):
    def call(one):
        end(one.comm)
        gather(one)

    return call


def group_in_group(one):
    nccl.groupStart()
    nccl.groupStart()


def twice_the_id(one):
    made = nccl.get_unique_id()
    for _ in range(2):
        nccl.NcclCommunicator(1, made, 0)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda one: gather(one, datatype=nccl.NCCL_INT32), "the array is float32, the call says"),
        (lambda one: gather(one, count=5), "lie in no living array"),
        (
            lambda one: gather(one, a=one.cupy.empty(4, np.float32)),
            "sends what nothing has written",
        ),
        (freed, "lie in no living array"),
        (on_another_stream, "on another stream than the current one"),
        (after(lambda comm: comm.destroy()), "the communicator has been destroyed"),
        (after(lambda comm: comm.abort()), "the communicator has been aborted"),
        (lambda one: one.comm.send(one.a.data.ptr, 4, F4, 0, 0), "outside of a group"),
        (lambda one: exchange(one, peer=1), "rank 1 of 1"),
        (lambda one: exchange(one, count=3), r"sends rank 0 \[\(4, .*\], which receives \[\(3,"),
        (group_in_group, "no group within a group"),
        (twice_the_id, "serves one communicator"),
    ],
)
def test_misuse_has_a_sentence(call, sentence, one):
    with pytest.raises(Misuse, match=sentence):
        call(one)


def test_nccls_own_errors(one):
    with pytest.raises(nccl.NcclError, match="INVALID_USAGE: groupEnd without groupStart"):
        nccl.groupEnd()
    with pytest.raises(nccl.NcclError, match="INVALID_ARGUMENT"):
        gather(one, datatype=99)
    with pytest.raises(TypeError, match="an integer is required, not float"):
        gather(one, count=4.0)


def captured(one, *, first=True):
    """A graph with one call."""
    stream = one.cupy.cuda.Stream(non_blocking=True)
    with stream:
        if first:
            gather(one, stream=stream.ptr)
        stream.begin_capture()
        gather(one, stream=stream.ptr)
        return stream.end_capture()


def test_a_graph_repeats_its_calls(one):
    graph = captured(one)
    one.a.fill(3)
    graph.launch()
    assert one.b.get().tolist() == [3, 3, 3, 3]


def test_the_first_call_can_not_be_recorded(one):
    with pytest.raises(Misuse, match="connects ranks, which can't be recorded"):
        captured(one, first=False)


def test_a_graph_must_be_gone_before_its_communicator(one):
    graph = captured(one)
    with pytest.raises(Misuse, match=r"destroy\(\) waits for ever: a graph"):
        one.comm.destroy()
    one.comm.abort()
    with pytest.raises(Misuse, match="aborted"):
        graph.launch()


def test_a_graph_that_is_gone_lets_go(one):
    graph = captured(one)
    del graph
    one.comm.destroy()
