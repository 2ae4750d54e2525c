"""Linked backward passes, where a gradient comes masked and summed: nobody sees a difference."""

import numpy as np
import pytest
from minires.kernels import cpu
from minires.kernels.backward_link import BackwardLink, Links
from minires.kernels.records import ConvNorm, SavedNorm

from minires import Tensor, kernels
from minires.models import cifar_resnet
from minires.nn import BasicBlock, BatchNorm2d, Conv2d, ReLU, Sequential
from minires.nn import functional as F

SHAPE = (8, 12, 12, 16)  # 72 tiles: enough for Winograd's algorithm, which is the one that sums


@pytest.fixture
def taken(monkeypatch):
    """What every `take` gave, in order."""
    results, take = [], BackwardLink.take

    def noting(self, dy):
        results.append(take(self, dy))
        return results[-1]

    monkeypatch.setattr(BackwardLink, "take", noting)
    return results


def blocks(dtype, shortcut="A", count=3):
    rng, shortcut_rng = np.random.default_rng(0), np.random.default_rng(1)
    options = {"rng": rng, "shortcut_rng": shortcut_rng, "shortcut": shortcut, "dtype": dtype}
    return [BasicBlock(16, 16, **options) for _ in range(count)]


def gradients(chain, x, dy, watch=None):
    """Of x and every parameter; `watch` is called with each block's result and its number."""
    y = x = Tensor(x, requires_grad=True)
    for i, block in enumerate(chain):
        y = block(y)
        if watch:
            watch(i, y)
    y.backward(dy)
    return [x.grad, *(p.grad for block in chain for p in block.parameters())]


def assert_alike(ours, exact):
    for a, b in zip(ours, exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-4 * max(1, np.abs(b).max()))


@pytest.mark.parametrize("shortcut", ["A", None])
def test_a_chain_of_blocks_has_the_gradients_of_the_reference(shortcut, rng, taken):
    x, dy = rng.standard_normal((2, *SHAPE)).astype(np.float32)
    ours = gradients(blocks(np.float32, shortcut), x, dy)
    gathered = [sums is not None for sums in taken]
    assert gathered == [False, *5 * [True]]  # last block; within it; then everywhere
    exact = gradients(blocks(np.float64, shortcut), x.astype(float), dy.astype(float))
    assert_alike(ours, exact)


def test_a_hook_on_a_gradient_sees_the_whole_of_it(rng, taken):
    """A hook gets what is not masked, also where the result is zero, and does not change a bit."""
    x, dy = rng.standard_normal((2, *SHAPE)).astype(np.float32)
    seen, results = {}, {}

    def watch(i, y):
        results[i] = y.data
        y.register_hook(lambda grad: seen.update({i: grad.copy()}))

    watched = gradients(blocks(np.float32), x, dy, watch)
    assert [sums is not None for sums in taken] == 3 * [False, True]  # only within each block
    ours = dict(seen)
    exact = gradients(blocks(np.float64), x.astype(float), dy.astype(float), watch)
    for i in (0, 1):
        assert np.abs(ours[i][results[i] == 0]).max() > 0.1
        np.testing.assert_allclose(ours[i], seen[i], rtol=0, atol=2e-4 * np.abs(seen[i]).max())
    assert_alike(watched, exact)
    for a, b in zip(watched, gradients(blocks(np.float32), x, dy), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("shape", "channels", "padding"),
    [((16, 16, 16, 16), 16, 1), ((16, 16, 16, 16), 160, 1), ((9, 17, 13, 24), 24, 0)],
)
def test_a_hook_does_not_change_a_bit_of_a_chain_of_convolutions(shape, channels, padding, rng):
    """Also where the second convolution would divide its gradient into other chunks."""
    x = rng.standard_normal(shape).astype(np.float32)

    def all_gradients(watched):
        weights = np.random.default_rng(0)
        first = Conv2d(shape[3], shape[3], 3, padding=1, rng=weights), BatchNorm2d(shape[3])
        second = Conv2d(shape[3], channels, 3, padding=padding, rng=weights), BatchNorm2d(channels)
        chain = Sequential(Sequential(*first, ReLU()), Sequential(*second, ReLU()))
        y = chain[0](Tensor(x, requires_grad=True))
        if watched:
            y.register_hook(lambda _: None)
        z = chain[1](y)
        z.backward(np.random.default_rng(1).standard_normal(z.shape).astype(np.float32))
        return [p.grad for p in chain.parameters()]

    for a, b in zip(all_gradients(True), all_gradients(False), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_link_to_another_map_is_refused(rng):
    x, z = rng.standard_normal((2, *SHAPE)).astype(np.float32)
    weight, one = np.ones((3, 3, 16, 16), np.float32), np.ones(16, np.float32)
    arrays = (z, x, ConvNorm(weight, one, one, 1e-5, padding=1), SavedNorm(z, one, one))
    for wrong in (BackwardLink(z[:1], one), BackwardLink(z, one[:3])):
        with pytest.raises(ValueError, match="conv2d_batch_norm_grad"):
            kernels.conv2d_batch_norm_grad(*arrays, links=Links(of_input=wrong))
    wrong = BackwardLink(z.astype(float), one)
    with pytest.raises(TypeError, match="share a dtype"):
        kernels.conv2d_batch_norm_grad(*arrays, links=Links(of_input=wrong))


def test_a_result_that_is_used_twice(rng, taken):
    """Only one of two gradients comes masked; their sum is masked and summed by the operation."""
    x, dy = rng.standard_normal((2, *SHAPE)).astype(np.float32)

    def both(dtype):
        first, second, third = blocks(dtype)
        leaf = Tensor(x.astype(dtype), requires_grad=True)
        y = first(leaf)
        (second(y) + third(y) + y).backward(dy.astype(dtype))
        return [leaf.grad, *(p.grad for b in (first, second, third) for p in b.parameters())]

    ours = both(np.float32)
    assert [sums is not None for sums in taken] == 3 * [False, True]
    assert_alike(ours, both(np.float64))


def test_a_graph_that_is_kept_gives_the_same_again(rng):
    x, dy = rng.standard_normal((2, *SHAPE)).astype(np.float32)
    leaf, chain = Tensor(x, requires_grad=True), blocks(np.float32)
    y = chain[2](chain[1](chain[0](leaf)))
    y.backward(dy, retain_graph=True)
    once = leaf.grad.copy()
    y.backward(dy)
    np.testing.assert_array_equal(leaf.grad, once + once)


def test_the_gradient_that_backward_was_given_is_left_alone(rng):
    x, dy = rng.standard_normal((2, *SHAPE)).astype(np.float32)
    before = dy.copy()
    gradients(blocks(np.float32), x, dy)
    np.testing.assert_array_equal(dy, before)


def test_a_whole_network_is_linked_wherever_one_operation_alone_uses_a_result(rng, taken):
    """All but the last block's result, which is averaged, and the two that are used twice."""
    network = cifar_resnet(20)
    logits = network(Tensor(rng.standard_normal((64, 32, 32, 3)).astype(np.float32)))
    F.cross_entropy(logits, rng.integers(0, 10, 64)).backward()
    within_blocks, between_operations = 7, 12
    assert len(taken) == within_blocks + between_operations
    assert sum(sums is None for sums in taken) == 3


def test_gathered_sums_are_taken_once_and_only_for_the_same_array(rng):
    dz, sums = rng.standard_normal((2, 3, 4))
    link = BackwardLink(dz, sums)
    assert link.take(dz) is None
    link.put(dz, sums)
    assert link.take(dz.copy()) is None
    assert link.take(dz) is None
    link.put(dz, sums)
    assert link.take(dz) is sums
    assert link.take(dz) is None


@pytest.mark.parametrize("shape", [(9, 11, 13, 16), (4, 33, 17, 24), (9, 33, 17, 16)])
def test_the_sums_are_of_the_masked_gradient(shape, rng):
    """Against plain sums, over blocks and ranges of images with remainders."""
    z, result, dy = rng.standard_normal((3, *shape)).astype(np.float32)
    x, mean = np.maximum(z, 0), rng.standard_normal(shape[3]).astype(np.float32)
    weight = rng.standard_normal((3, 3, shape[3], shape[3])).astype(np.float32)
    one = np.ones(shape[3], np.float32)
    layer = ConvNorm(weight, one, one, 1e-5, padding=1)
    arrays, settings = (dy, x, layer, SavedNorm(result, mean, one)), {"needs_dresidual": False}
    whole, *_ = cpu.conv2d_batch_norm_grad(*arrays, **settings)
    link = BackwardLink(z, mean)
    dx, *_ = cpu.conv2d_batch_norm_grad(*arrays, **settings, links=Links(of_input=link))
    np.testing.assert_array_equal(dx, np.where(x > 0, whole, 0))
    terms = dx.astype(float), dx.astype(float) * (z - mean)
    for ours, values in zip(link.take(dx), terms, strict=True):
        exact, size = values.sum((0, 1, 2)), np.abs(values).sum((0, 1, 2))
        assert np.all(np.abs(ours - exact) <= 1e-6 * size)
