"""The stand-in computes as CuPy does, refuses what CuPy refuses, and counts what happens."""

import gc
import importlib
import sys
from contextlib import contextmanager

import numpy as np
import pytest

from . import fake_cupy
from .fake_cupy import Misuse, machine


@pytest.fixture
def cp():
    with fake_cupy.installed() as cupy:
        yield cupy


@pytest.fixture
def x(cp):
    return cp.asarray(np.arange(12, dtype=np.float32).reshape(3, 4) - 5)


def on_host(x):
    return np.arange(12, dtype=np.float32).reshape(3, 4) - 5


# --------------------------------------------------------------------------- installation


def test_it_takes_the_place_of_cupy_and_leaves_it():
    before = sys.modules.get("cupy")
    with fake_cupy.installed() as cupy:
        assert importlib.import_module("cupy") is cupy
        assert importlib.import_module("cupy.cuda").runtime.getDeviceCount() == 1
    assert sys.modules.get("cupy") is before


def test_it_leaves_the_place_after_an_error_as_well():
    with pytest.raises(ZeroDivisionError), fake_cupy.installed():
        1 / 0  # noqa: B018
    assert "cupy" not in sys.modules or not isinstance(
        sys.modules["cupy"], fake_cupy.modules.Namespace
    )


@pytest.mark.parametrize("name", ["random", "fft", "linalg", "einsum", "float8"])
def test_what_it_does_not_know_is_an_error_that_says_so(cp, name):
    with pytest.raises(AttributeError, match=rf"has no cupy.{name}: .* add it"):
        getattr(cp, name)


def test_an_unknown_method_is_an_error_that_says_so(x):
    with pytest.raises(AttributeError, match="ndarray has no 'nonzero'"):
        x.nonzero()


@pytest.mark.parametrize(
    ("fault", "message"),
    [("no driver", "cudaErrorInsufficientDriver"), ("no device", "cudaErrorNoDevice")],
)
def test_a_machine_without_a_driver_or_a_device(fault, message):
    with fake_cupy.installed(fault=fault) as cp:
        assert not cp.cuda.is_available()
        for call in (cp.cuda.runtime.getDeviceCount, lambda: cp.zeros(3), cp.cuda.Stream):
            with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match=message):
                call()


def test_a_machine_without_nvrtc():
    with fake_cupy.installed(fault="no nvrtc") as cp, pytest.raises(RuntimeError, match="nvrtc"):
        cp.cuda.nvrtc.getVersion()


# -------------------------------------------------------------------------------- arrays


def test_creation(cp):
    for made, value in (
        (cp.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)),
        (cp.ones(3), np.ones(3)),
        (cp.full((2,), 7, np.int32), np.full(2, 7, np.int32)),
        (cp.arange(5), np.arange(5)),
        (cp.zeros_like(cp.ones((2, 2), np.float32)), np.zeros((2, 2), np.float32)),
        (cp.array([1.5, 2.5]), np.array([1.5, 2.5])),
    ):
        assert made.dtype == value.dtype
        np.testing.assert_array_equal(cp.asnumpy(made), value)


def test_fresh_memory_is_poisoned(cp):
    assert np.isnan(cp.empty(5, np.float32).get()).all()
    assert (cp.empty(5, np.int32).get() == -1).all()
    assert cp.empty(5).data.ptr % 256 == 0


def test_arithmetic_is_numpys(cp, x):
    host = on_host(x)
    for ours, theirs in (
        (x + x, host + host),
        (2 * x - 1, 2 * host - 1),
        (1 / (x + 10), 1 / (host + 10)),
        (x > 0, host > 0),
        (-abs(x), -abs(host)),
        (cp.exp(x), np.exp(host)),
        (np.exp(x), np.exp(host)),
        (cp.maximum(x, 0), np.maximum(host, 0)),
        (x.sum(axis=0), host.sum(axis=0)),
        (x.mean(), host.mean()),
        (np.sum(x), host.sum()),
        (x.argmax(axis=1), host.argmax(axis=1)),
        (cp.where(x > 0, x, 0), np.where(host > 0, host, 0)),
        (cp.concatenate([x, x], axis=1), np.concatenate([host, host], axis=1)),
        (x.T.copy(), host.T.copy()),
        (x[1:, ::2], host[1:, ::2]),
        (x.reshape(-1), host.reshape(-1)),
        (x.astype(np.float64), host.astype(np.float64)),
        (x.clip(-1, 1), host.clip(-1, 1)),
        (x * np.float32(2), host * np.float32(2)),
    ):
        assert isinstance(ours, cp.ndarray)
        assert ours.dtype == theirs.dtype
        assert ours.shape == np.shape(theirs)
        np.testing.assert_array_equal(ours.get(), theirs)


def test_changes_in_place(cp, x):
    host = on_host(x)
    alias = x
    x += 1
    x[0] = 0
    x[1, 2:] = x[2, :2]
    cp.multiply(x, 2, out=x)
    x[:, 3].fill(9)
    host += 1
    host[0] = 0
    host[1, 2:] = host[2, :2]
    host *= 2
    host[:, 3] = 9
    assert alias is x
    np.testing.assert_array_equal(x.get(), host)


def test_views_share_memory_and_copies_do_not(x):
    x.reshape(2, 6)[0] = 7
    x.flatten().fill(8)
    x.copy().fill(9)
    assert (x.get().ravel()[:6] == 7).all()
    assert (x.get().ravel()[6:] == on_host(x).ravel()[6:]).all()


def test_elements_stay_on_the_device_until_they_are_asked_for(cp, x):
    assert isinstance(x[1, 2], cp.ndarray)
    assert float(x[1, 2]) == x.item(6) == 1
    assert x[1].tolist() == [-1, 0, 1, 2]
    assert bool(x[2, 2] > 0)


@pytest.mark.parametrize(
    "mix",
    [
        lambda cp, x, host: x + host,
        lambda cp, x, host: host + x,
        lambda cp, x, host: cp.add(x, host),
        lambda cp, x, host: np.add(x, host),
        lambda cp, x, host: np.add(host, x),
        lambda cp, x, host: x.__iadd__(host),
        lambda cp, x, host: x[host.astype(int)],
        lambda cp, x, host: x * [1, 2, 3, 4],
        lambda cp, x, host: cp.subtract([1, 2, 3, 4], x),
        lambda cp, x, host: cp.sum(host),
        lambda cp, x, host: cp.where(host > 0, x, x),
        lambda cp, x, host: cp.concatenate([x, host]),
        lambda cp, x, host: np.concatenate([x, host]),
        lambda cp, x, host: np.asarray(x),
        lambda cp, x, host: np.array(x),
        lambda cp, x, host: host.__setitem__(..., x),
        lambda cp, x, host: np.copyto(host, x),
        lambda cp, x, host: x.set([1.0]),
        lambda cp, x, host: x.set(host.astype(np.float64)),
        lambda cp, x, host: np.linalg.norm(x),
        lambda cp, x, host: cp.sum(x, initial=0),
        lambda cp, x, host: cp.add(x, x, out=x.astype(np.int32)),
    ],
)
def test_what_real_cupy_refuses_with_a_type_error(cp, x, mix):
    with pytest.raises(TypeError):
        mix(cp, x, on_host(x))


@pytest.mark.parametrize(
    "mix",
    [
        lambda cp, x, host: x.__setitem__(..., host),
        lambda cp, x, host: x.fill(host),
        lambda cp, x, host: x.set(host[:2]),
        lambda cp, x, host: bool(x),
        lambda cp, x, host: cp.add(x, x, out=cp.empty((2, 2), np.float32)),
        lambda cp, x, host: cp.asarray(np.array(["text"])),
    ],
)
def test_what_real_cupy_refuses_with_a_value_error(cp, x, mix):
    with pytest.raises(ValueError, match=r"\w"):
        mix(cp, x, on_host(x))


def test_an_index_out_of_range_would_wrap_around(cp, x):
    with pytest.raises(Misuse, match="wraps"):
        x[cp.asarray(np.array([0, 3]))]


def test_matmul_needs_cublas(cp, x):
    with pytest.raises(RuntimeError, match="cublas"):
        x @ x.T
    with fake_cupy.installed(cublas=True) as cupy:
        y = cupy.asarray(on_host(x))
        np.testing.assert_array_equal((y @ y.T).get(), on_host(x) @ on_host(x).T)


# -------------------------------------------------------------------------------- counts


def test_copies_launches_and_synchronisations_are_counted(cp):
    x = cp.asarray(np.ones(100, np.float32))
    y = cp.exp(x + 1)
    float(y.sum())
    cp.asnumpy(y)
    counts = machine.counts
    assert (counts.copies_to_device, counts.bytes_to_device) == (1, 400)
    assert (counts.copies_to_host, counts.bytes_to_host) == (2, 404)
    assert counts.synchronisations == 2
    assert counts.library_launches == {"add": 1, "exp": 1, "sum": 1}
    assert counts.allocations == 4


def test_living_bytes(cp):
    gc.collect()
    before = machine.live_bytes
    x = cp.empty((10, 10), np.float32)
    view = x[2:]
    assert machine.live_bytes - before == 400
    del x
    assert machine.live_bytes - before == 400
    del view
    assert machine.live_bytes == before
    pool = cp.get_default_memory_pool()
    assert pool.used_bytes() == before
    assert pool.total_bytes() >= 400


def test_a_limit_of_memory(cp):
    cp.get_default_memory_pool().set_limit(size=1000)
    with pytest.raises(cp.cuda.memory.OutOfMemoryError, match="limit set to: 1,000"):
        cp.empty(2000, np.uint8)


def test_a_write_beside_an_array_is_found(cp):
    x = cp.empty(4, np.float32)
    start = x.data.ptr - x._allocation.block.raw.ctypes.data
    wider = np.ndarray(5, np.float32, x._allocation.block.raw.data, offset=start)
    machine.check_canaries("nobody")
    wider[4] = 1
    with pytest.raises(Misuse, match="somebody wrote behind an array of 16 bytes"):
        machine.check_canaries("somebody")
    wider[4:].view(np.uint8)[:] = 0xA5


# --------------------------------------------------------------------- streams and graphs


def test_a_graph_repeats_its_work_on_the_same_arrays(cp):
    x = cp.zeros(4, np.float32)
    with cp.cuda.Stream(non_blocking=True) as stream:
        stream.begin_capture()
        x += 1
        x *= 2
        graph = stream.end_capture()
        assert (x.get() == 0).all()
        graph.launch()
        graph.launch()
    assert (x.get() == 6).all()
    assert machine.counts.graph_launches == 2


@pytest.mark.parametrize(
    "act",
    [
        lambda cp, x: cp.empty(3),
        lambda cp, x: x + 1,
        lambda cp, x: x.get(),
        lambda cp, x: float(x[0]),
        lambda cp, x: x.set(np.zeros(4, np.float32)),
        lambda cp, x: cp.asarray(np.zeros(4)),
        lambda cp, x: cp.cuda.Device().synchronize(),
        lambda cp, x: cp.cuda.get_current_stream().synchronize(),
        lambda cp, x: cp.cuda.get_current_stream().done,
        lambda cp, x: cp.cuda.get_current_stream().record().done,
        lambda cp, x: cp.cuda.get_current_stream().record().synchronize(),
    ],
)
def test_what_a_graph_cannot_hold(cp, act):
    x = cp.zeros(4, np.float32)
    with cp.cuda.Stream() as stream:
        stream.begin_capture()
        with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="capturing"):
            act(cp, x)
        stream.end_capture()


@pytest.fixture
def private(cp):
    """Streams and a pool of one's own, to capture in."""
    pool, stream = cp.cuda.MemoryPool(), cp.cuda.Stream(non_blocking=True)

    @contextmanager
    def within():
        with stream, cp.cuda.using_allocator(pool.malloc):
            yield stream

    within.pool = pool
    return within


def captured(private, work):
    """The graph of some work, and its result."""
    with private() as stream:
        stream.begin_capture()
        result = work()
        return stream.end_capture(), result


def test_a_private_pool_keeps_what_arrays_leave(cp, private):
    with private():
        x = cp.ones(100, np.float32)
    start = x.data.ptr
    assert private.pool.used_bytes() == private.pool.total_bytes() == 400
    del x
    assert (private.pool.used_bytes(), private.pool.total_bytes()) == (0, 400)
    assert private.pool.n_free_blocks() == 1
    with private():
        again = cp.empty(100, np.float32)
    assert again.data.ptr == start
    assert np.isnan(again.get()).all()
    assert cp.empty(100, np.float32).data.ptr != start
    del again
    private.pool.free_all_blocks()
    gc.collect()
    assert private.pool.total_bytes() == 0


def test_a_graph_may_make_arrays_in_a_private_pool(cp, private):
    x = cp.ones(4, np.float32)
    graph, y = captured(private, lambda: (x + 1) * (x + 2))
    for value in (1, 2):
        x.fill(value)
        graph.launch()
        assert (y.get() == (value + 1) * (value + 2)).all()


def test_what_a_graph_has_left_is_no_input_of_its_next_launch(cp, private):
    """Memory that is written later in the graph than it is read holds anything."""
    x = cp.ones(4, np.float32)

    def work():
        y = cp.empty(4, np.float32)
        z = y + x
        y += x
        return z

    graph, z = captured(private, work)
    for _ in range(2):
        graph.launch()
        assert np.isnan(z.get()).all()


def test_memory_of_a_graph_that_somebody_else_has_got(cp, private):
    x = cp.ones(4, np.float32)
    graph, _y = captured(private, lambda: (x + 1) * 2)
    graph.launch()
    with private():
        other = cp.zeros(4, np.float32)
    with pytest.raises(Misuse, match="has been given to another array"):
        graph.launch()
    del other
    graph.launch()


def test_memory_of_a_graph_that_is_gone(cp, private):
    x = cp.ones(4, np.float32)
    graph, _y = captured(private, lambda: (x + 1) * 2)
    private.pool.free_all_blocks()
    gc.collect()
    with pytest.raises(Misuse, match="memory of this graph has been freed"):
        graph.launch()


def test_work_beside_a_capture_is_not_in_the_graph(cp, private):
    x = cp.ones(4, np.float32)
    with private() as stream:
        stream.begin_capture()
        with cp.cuda.Stream(), pytest.raises(Misuse, match="not in the graph"):
            x += 1
        stream.end_capture()


def test_captures_belong_to_the_current_stream_and_not_to_the_default_one(cp):
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="default stream"):
        cp.cuda.Stream.null.begin_capture()
    with pytest.raises(Misuse, match="not current"):
        cp.cuda.Stream().begin_capture()


def test_events_and_devices(cp):
    with cp.cuda.Device(0) as device:
        start, end = cp.cuda.Event(), cp.cuda.Event()
        start.record()
        end.record()
        end.synchronize()
        assert cp.cuda.get_elapsed_time(start, end) >= 0
        assert device == cp.zeros(1).device
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="InvalidDevice"):
        cp.cuda.Device(1).use()
