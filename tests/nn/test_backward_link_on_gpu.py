"""Gradients that come masked and summed, or are written in place, on a GPU: the same ones."""

import numpy as np
import pytest

from minires import Tensor
from minires.models import cifar_resnet
from minires.nn import functional as F
from minires.nn.blocks import BasicBlock
from minires.optim import SGD
from tests.device import gpu, products_on

from .test_backward_link import gradients, taken

pytestmark = pytest.mark.cuda
__all__ = ["taken"]
SHAPE = (2, 6, 5, 8)


@pytest.fixture(autouse=True)
def cupy():
    with gpu() as cupy:
        yield cupy


def chain_of(settings, dtype, device):
    """Blocks, each `(channels in, channels out, stride)`."""
    rng, shortcut_rng = np.random.default_rng(0), np.random.default_rng(1)
    options = {"rng": rng, "shortcut_rng": shortcut_rng, "dtype": dtype}
    chain = [BasicBlock(a, b, stride=s, shortcut=kind, **options) for a, b, s, kind in settings]
    return [block.to(device) for block in chain]


def on(device, settings, dtype, x, dy, watch=None):
    """Gradients of a chain there, as NumPy's arrays."""
    chain = chain_of(settings, dtype, device)
    x, dy = (Tensor(a.astype(dtype)).to(device).data for a in (x, dy))
    return [Tensor(g).to("cpu").data for g in gradients(chain, x, dy, watch)]


CHAINS = {
    "two": ([(8, 8, 1, "A"), (8, 8, 1, "A")], [False, True]),
    "two plain ones": ([(8, 8, 1, None), (8, 8, 1, None)], [False, True]),
    "the second strides": ([(8, 8, 1, "A"), (8, 16, 2, "A")], [False, False]),
    "the first strides": ([(8, 16, 2, "A"), (16, 16, 1, "A")], [False, True]),
    "wider, without a stride": ([(8, 8, 1, "A"), (8, 12, 1, "A")], [False, True]),
    "packs of four, then none": ([(20, 20, 1, "A"), (20, 22, 1, "A")], [False, False]),
    "a result that is used twice": ([(8, 8, 1, "A"), (8, 8, 1, "C")], [False, True, True]),
}
chains = pytest.mark.parametrize(("settings", "gathered"), CHAINS.values(), ids=CHAINS)


def result_shape(settings):
    n, height, width, _ = SHAPE
    for *_, stride, _ in settings:
        height, width = -(-height // stride), -(-width // stride)
    return n, height, width, settings[-1][1]


def image_shape(settings):
    return *SHAPE[:3], settings[0][0]


@chains
def test_a_chain_has_the_gradients_of_the_reference(settings, gathered, rng, taken):
    x, dy = rng.standard_normal(image_shape(settings)), rng.standard_normal(result_shape(settings))
    ours = on("cuda", settings, np.float64, x, dy)
    assert [sums is not None for sums in taken] == gathered
    exact = on("cpu", settings, np.float64, x, dy)
    for a, b in zip(ours, exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11 * max(1, np.abs(b).max()))


@pytest.mark.parametrize("tensor_cores", [True, False])
@chains
def test_a_hook_sees_the_whole_gradient_and_changes_no_bit(
    settings, gathered, tensor_cores, rng, taken
):
    x, dy = rng.standard_normal(image_shape(settings)), rng.standard_normal(result_shape(settings))
    seen, results = [], []

    def watch(i, y):
        if i == 0:
            results.append(y.data.get())
            y.register_hook(lambda grad: seen.append(grad.get()))

    with products_on(tensor_cores):
        watched = on("cuda", settings, np.float32, x, dy, watch)
        assert taken[-1] is None
        plain = on("cuda", settings, np.float32, x, dy)
    assert np.abs(seen[0][results[0] == 0]).max() > 0.01
    for a, b in zip(watched, plain, strict=True):
        np.testing.assert_array_equal(a, b)


# ------------------------------------------------------------------------ written in place


def network(rng):
    model = cifar_resnet(8, seed=1).to("cuda")
    images = Tensor(rng.standard_normal((2, 8, 8, 3), np.float32)).to("cuda")
    return model, lambda: F.cross_entropy(model(images), np.array([1, 2]))


def copies(model):
    return [p.grad.get() for p in model.parameters()]


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def arrives_at(parameter, note):
    """Call note(whether it lies in its buffer) with the gradient."""

    def hook(grad):
        note(grad is parameter.grad_buffer)

    parameter.register_hook(hook)


def test_gradients_are_written_into_the_optimisers_array(rng):
    """The kernels write them where they can: a block's gradients are not copied."""
    model, loss = network(rng)
    loss().backward()
    without = copies(model)
    for parameter in model.parameters():
        parameter.grad = None
    optimizer = SGD(model.parameters(), lr=0.1)
    copied = []
    for name, parameter in model.named_parameters():
        arrives_at(parameter, lambda in_place, name=name: in_place or copied.append(name))
    loss().backward()
    assert optimizer.flat.is_whole()
    assert_same(copies(model), without)
    assert set(copied) == {"fc.weight", "fc.bias"}


def test_gradients_add_up_over_two_backward_passes(rng):
    """Of different images: the second must not be written over the first."""
    model, loss = network(rng)
    images = Tensor(rng.standard_normal((2, 8, 8, 3), np.float32)).to("cuda")
    losses = loss, lambda: F.cross_entropy(model(images), np.array([3, 4]))
    alone = []
    for one in losses:
        one().backward()
        alone.append(copies(model))
        for parameter in model.parameters():
            parameter.grad = None
    SGD(model.parameters(), lr=0.1)
    for one in losses:
        one().backward()
    assert_same(copies(model), [a + b for a, b in zip(*alone, strict=True)])


def test_a_parameter_that_is_used_twice_gets_the_sum(rng):
    """Its buffer is lent to one of the two uses; the other's share is added."""
    settings = [(8, 8, 1, "A")]
    x, dy = rng.standard_normal((2, *SHAPE))
    sums = []
    for device in ("cpu", "cuda"):
        (block,) = chain_of(settings, np.float64, device)
        if device == "cuda":
            SGD(block.parameters(), lr=0.1)
        y = block(block(Tensor(x).to(device)))
        y.backward(Tensor(dy).to(device).data)
        sums.append([Tensor(p.grad).to("cpu").data for p in block.parameters()])
        if device == "cuda":
            assert all(p.grad is p.grad_buffer for p in block.parameters())
    for exact, ours in zip(*sums, strict=True):
        np.testing.assert_allclose(ours, exact, rtol=0, atol=1e-11 * np.abs(exact).max())


@pytest.mark.parametrize("when", ["early", "late"])
def test_an_exception_midway_leaves_nothing_wrong(when, rng):
    """Buffers that are still lent are not lent again, but what comes later is copied there."""
    model, loss = network(rng)
    SGD(model.parameters(), lr=0.1)
    loss().backward()
    right = copies(model)
    for parameter in model.parameters():
        parameter.grad = None

    def fail(_):
        raise ZeroDivisionError

    first = loss()
    layer = model.fc if when == "early" else model.conv1
    handle = layer.weight.register_hook(fail)
    with pytest.raises(ZeroDivisionError):
        first.backward()
    handle.remove()
    for parameter in model.parameters():
        parameter.grad = None
    for _ in range(2):
        loss().backward()
        assert_same(copies(model), right)
        for parameter in model.parameters():
            parameter.grad = None


def test_a_graph_that_is_kept_gives_the_same_again(rng):
    model, loss = network(rng)
    SGD(model.parameters(), lr=0.1)
    kept = loss()
    kept.backward(retain_graph=True)
    once = copies(model)
    kept.backward()
    assert_same(copies(model), [2 * g for g in once])
