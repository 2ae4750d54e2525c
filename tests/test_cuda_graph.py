"""A step that is replayed does what it did, and one that can't be says so in a sentence."""

import gc

import numpy as np
import pytest

import minires
from minires import GraphError, Tensor, no_grad
from minires.models import cifar_resnet
from minires.nn import functional as F
from minires.optim import SGD
from tests.cuda import fake_cupy
from tests.cuda.fake_cupy import Misuse
from tests.device import gpu, is_real

cuda = pytest.mark.cuda
counted = pytest.mark.skipif(is_real(), reason="only the stand-in counts, and sees such mistakes")


class Loop:
    """A training loop by hand: images and labels are filled in place."""

    def __init__(self, cupy):
        self.model = cifar_resnet(8, seed=1).to("cuda")
        self.optimizer = SGD(self.model.parameters(), lr=0.1)
        self.x = Tensor(np.zeros((4, 8, 8, 3), np.float32)).to("cuda")
        self.labels = cupy.zeros(4, np.int64)
        self.rng = np.random.default_rng(0)

    def fill(self):
        self.x.data.set(self.rng.standard_normal((4, 8, 8, 3), np.float32))
        self.labels.set(self.rng.integers(0, 10, 4))

    def step(self):
        loss = F.cross_entropy(self.model(self.x), self.labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def run(self, step, steps=6):
        losses = []
        for number in range(steps):
            self.optimizer.lr = 0.1 / (number + 1)
            self.fill()
            losses.append(step().item())
        return {"losses": losses} | self.model.state_dict() | self.optimizer.state_dict()


@pytest.fixture
def cupy():
    with gpu() as module:
        yield module


def assert_same(ours, expected):
    for name, array in expected.items():
        np.testing.assert_array_equal(ours[name], array, err_msg=name)


@cuda
def test_a_training_loop_gives_the_same_bits(cupy):
    expected, loop = Loop(cupy), Loop(cupy)
    assert_same(loop.run(minires.graph(loop.step)), expected.run(expected.step))


@cuda
@counted
def test_from_the_third_call_on_a_step_is_one_launch(cupy):
    loop = Loop(cupy)
    graphed = minires.graph(loop.step)
    for call in range(5):
        fake_cupy.machine.counts = counts = fake_cupy.Counts()
        graphed()
        assert counts.graph_launches == (call >= 2)
        assert bool(counts.launches) == (call <= 2)
        assert counts.synchronisations == counts.copies_to_device == 0


@cuda
def test_inference_returns_the_same_tensor_filled_anew(cupy, rng):
    model = cifar_resnet(8).to("cuda").eval()
    x = Tensor(np.zeros((2, 8, 8, 3), np.float32)).to("cuda")

    def predict():
        with no_grad():
            return model(x), x.data.sum()

    graphed, results = minires.graph(predict), []
    for _ in range(5):
        x.data.set(rng.standard_normal((2, 8, 8, 3), np.float32))
        logits, total = graphed()
        expected_logits, expected_total = predict()
        np.testing.assert_array_equal(logits.data.get(), expected_logits.data.get())
        assert float(total) == float(expected_total)
        results.append((logits, total))
    assert all(result[0] is results[2][0] and result[1] is results[2][1] for result in results[2:])


@cuda
def test_a_gradient_that_no_optimiser_has_a_buffer_for(cupy):
    w = Tensor(np.ones(3, np.float32)).to("cuda")
    w.requires_grad = True

    def step():
        w.grad = None
        (w * w).sum().backward()
        return w.grad

    graphed = minires.graph(step)
    for value in (1.0, 2.0, 3.0, 4.0, 5.0):
        w[...] = value
        np.testing.assert_array_equal(graphed().get(), np.full(3, 2 * value))


@cuda
def test_arrays_of_others_never_get_its_memory(cupy):
    loop, kept = Loop(cupy), []
    graphed = minires.graph(loop.step)
    for _ in range(4):
        loop.fill()
        graphed()
        cupy.get_default_memory_pool().free_all_blocks()
        kept += [cupy.full(n, 7, np.float32) for n in (10, 64, 8 * 8 * 16 * 4)]
    assert all((array.get() == 7).all() for array in kept)


def test_on_the_cpu_every_call_just_calls(rng):
    calls = []
    graphed = minires.graph(lambda: calls.append(1) or len(calls))
    assert [graphed() for _ in range(4)] == [1, 2, 3, 4]


@cuda
def test_with_a_gpu_at_hand_work_of_the_cpu_stays_there(cupy):
    x = Tensor(np.ones(3, np.float32))
    graphed = minires.graph(lambda: (x + 1).data.sum())
    for value in (1.0, 2.0, 3.0, 4.0):
        x[...] = value
        assert graphed() == 3 * value + 3


def test_with_cupy_but_no_gpu_it_just_calls():
    with fake_cupy.installed(fault="no driver"):
        graphed = minires.graph(lambda: 7)
        assert [graphed() for _ in range(4)] == [7] * 4


# ------------------------------------------------------------------ what can't be recorded


def item(cupy, x):
    (x * x).sum().item()


def as_a_condition(cupy, x):
    if (x * x).data.sum() > 0:
        pass


def copy(cupy, x):
    x * Tensor(np.ones(3, np.float32)).to("cuda")


def labels_of_the_host(cupy, x):
    F.cross_entropy((x * x).reshape(1, 3), np.array([1]))


def fill(cupy, x):
    (x * x).data.set(np.ones(3, np.float32))


def wait(cupy, x):
    (x * x)
    cupy.cuda.get_current_stream().synchronize()


@cuda
@pytest.mark.parametrize(
    ("deed", "what", "advice"),
    [
        (item, r"reads a value from the GPU", "return the tensor, and read it after the call"),
        (as_a_condition, r"reads a value from the GPU", "return the tensor"),
        (copy, r"copies from the host", "make that array before"),
        (labels_of_the_host, r"copies from the host", "make that array before"),
        (fill, r"copies from the host", "fill it between two calls"),
        (wait, r"waits for the GPU", "do that between two calls"),
    ],
)
def test_a_step_that_cannot_be_recorded_is_told_so(deed, what, advice, cupy):
    """What it did, where in the user's own file, and what to do; then all goes on as before."""
    x = Tensor(np.ones(3, np.float32)).to("cuda")
    graphed = minires.graph(lambda: deed(cupy, x))
    for _ in range(2):
        graphed()
    for _ in range(2):
        with pytest.raises(GraphError, match=rf"^graph: the step {what}, .*{advice}") as error:
            graphed()
        assert "test_cuda_graph.py, line" in str(error.value)
        assert "devices.py" not in str(error.value)
    assert (x + x).data.sum().item() == 6
    assert minires.graph(lambda: x + x)().data.sum().item() == 6


@cuda
@counted
def test_a_step_that_is_recorded_on_another_stream_is_no_graph(cupy):
    """The stand-in says so; a GPU would do the work at once, and never again."""
    x = Tensor(np.ones(3, np.float32)).to("cuda")
    other = cupy.cuda.Stream(non_blocking=True)

    def step():
        with other:
            x.data.fill(2)
        return x + x

    graphed = minires.graph(step)
    graphed()
    graphed()
    with pytest.raises(Misuse, match="another stream than the one that is recorded"):
        graphed()


@cuda
def test_other_errors_pass_through_and_leave_nothing_behind(cupy):
    x, calls = Tensor(np.ones(3, np.float32)).to("cuda"), []

    def step():
        calls.append(1)
        if len(calls) == 3:
            raise ZeroDivisionError
        return x + x

    graphed = minires.graph(step)
    graphed()
    graphed()
    with pytest.raises(ZeroDivisionError):
        graphed()
    assert graphed().data.sum().item() == 6


@cuda
@counted
def test_what_the_graph_works_with_must_stay(cupy):
    """The stand-in says so; a GPU would write into somebody else's memory."""
    loop = Loop(cupy)
    graphed = minires.graph(loop.step)
    for _ in range(3):
        graphed()
    loop.model.conv1.weight.data = loop.model.conv1.weight.data.copy()
    graphed()  # the optimiser still holds it
    loop.x.data = loop.x.data.copy()
    gc.collect()
    with pytest.raises(Misuse, match="has been freed since its capture"):
        graphed()
