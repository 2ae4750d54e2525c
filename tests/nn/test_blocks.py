"""The residual block: its gradient, what its shortcut does, and its plain twin."""

import numpy as np
import pytest

from minires import Tensor
from minires.autograd.trace import trace
from minires.nn import SHORTCUTS, BasicBlock, Conv2d, Module, SubsampleAndPad
from tests.helpers import gradcheck_where_smooth, leaf, randomise

GEOMETRIES = {"same shape": (3, 3, 1), "half the map, more channels": (2, 3, 2)}


def make_block(shortcut, in_channels=3, channels=3, stride=1, dtype=np.float64):
    rng, shortcut_rng = np.random.default_rng(0).spawn(2)
    return BasicBlock(
        in_channels,
        channels,
        stride=stride,
        shortcut=shortcut,
        rng=rng,
        shortcut_rng=shortcut_rng,
        dtype=dtype,
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())
@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_the_gradient_of_a_whole_block(shortcut, geometry, training, rng):
    in_channels, channels, stride = geometry
    block = make_block(shortcut, in_channels, channels, stride).train(training)
    randomise(block, rng)

    def draw():
        return rng.standard_normal((2, 5, 4, in_channels)), *block.parameters()

    gradcheck_where_smooth(lambda x, *_: block(x), draw, rng=rng, max_elements=12)


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())
@pytest.mark.parametrize("shortcut", ["A", "B", "C"])
def test_a_block_adds_its_shortcut_to_its_plain_twin(shortcut, geometry, rng):
    """Where the last ReLU passes everything, output and gradient are sums of two paths."""
    in_channels, channels, stride = geometry
    block, plain = (make_block(kind, in_channels, channels, stride) for kind in (shortcut, None))
    for each in (block, plain):
        each.bn2.bias += 100.0
    x = rng.standard_normal((2, 4, 4, in_channels))
    inputs = [leaf(x) for _ in range(3)]
    outputs = [f(x) for f, x in zip((block, plain, block.downsample), inputs, strict=True)]
    dy = rng.standard_normal(outputs[0].shape)
    for output in outputs:
        output.backward(dy)
    np.testing.assert_allclose(outputs[0].data, outputs[1].data + outputs[2].data, rtol=1e-13)
    np.testing.assert_allclose(
        inputs[0].grad, inputs[1].grad + inputs[2].grad, rtol=1e-12, atol=1e-13
    )


def test_with_a_silent_branch_the_gradient_passes_whole_through_the_shortcut():
    block, x = make_block("A"), leaf(np.full((2, 4, 4, 3), 0.5))
    block.bn2.weight *= 0.0
    dy = np.arange(96.0).reshape(2, 4, 4, 3)
    y = block(x)
    y.backward(dy)
    np.testing.assert_array_equal(y.data, x.data)
    np.testing.assert_array_equal(x.grad, dy)


def test_with_a_silent_branch_a_plain_block_passes_nothing():
    block, x = make_block(None), leaf(np.full((2, 4, 4, 3), 0.5))
    block.bn2.weight *= 0.0
    block(x).backward(np.ones((2, 4, 4, 3)))
    assert not x.grad.any()


def test_a_block_leaves_its_input_alone(rng):
    """The shortcut hands the input on as it is: nothing may be written into it."""
    x = rng.standard_normal((2, 4, 4, 3))
    before = x.copy()
    make_block("A")(Tensor(x, requires_grad=True)).sum().backward()
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())
def test_blocks_have_the_same_branch_whatever_their_shortcut(geometry):
    in_channels, channels, stride = geometry
    states = {
        kind: make_block(kind, in_channels, channels, stride).state_dict() for kind in SHORTCUTS
    }
    assert list(states["A"]) == list(states[None])
    for state in states.values():
        for name, array in states[None].items():
            np.testing.assert_array_equal(state[name], array)


PROJECTION = ["downsample.0.weight", "downsample.1.weight", "downsample.1.bias"]


@pytest.mark.parametrize(
    ("shortcut", "same_shape", "half"),
    [("A", [], []), ("B", [], PROJECTION), ("C", PROJECTION, PROJECTION), (None, [], [])],
)
def test_which_shortcuts_have_parameters(shortcut, same_shape, half):
    for geometry, expected in zip(GEOMETRIES.values(), (same_shape, half), strict=True):
        names = [name for name, _ in make_block(shortcut, *geometry).named_parameters()]
        assert [name for name in names if name.startswith("downsample")] == expected


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_the_stride_halves_the_map_rounding_up(shortcut):
    block = make_block(shortcut, 2, 3, 2)
    assert block(Tensor(np.ones((1, 7, 4, 2)))).shape == (1, 4, 2, 3)


def test_an_unknown_shortcut_is_refused():
    with pytest.raises(ValueError, match=r"'A', 'B', 'C' or None \(plain\), but is 'identity'"):
        make_block("identity")


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())
@pytest.mark.parametrize("shortcut", SHORTCUTS)
@pytest.mark.parametrize("part", ["conv1", "bn1", "conv2", "bn2", "relu"])
def test_a_watched_block_computes_the_same_step_by_step(part, shortcut, geometry, training, rng):
    """One operation where nobody looks; with a hook on any part, one after the other."""
    in_channels, channels, stride = geometry
    blocks = [make_block(shortcut, in_channels, channels, stride).train(training) for _ in range(2)]
    data = rng.standard_normal((2, 5, 4, in_channels))
    randomise(blocks[0], rng)
    blocks[1].load_state_dict(blocks[0].state_dict())
    seen, results = [], []
    getattr(blocks[1], part).register_forward_hook(lambda *arguments: seen.append(arguments))
    for block in blocks:
        x = leaf(data)
        y = block(x)
        y.backward(np.cos(np.arange(y.data.size)).reshape(y.shape))
        grads = {name: p.grad for name, p in block.named_parameters()}
        results.append({"y": y.data, "dx": x.grad, **grads, **dict(block.named_buffers())})
    assert len(seen) == (2 if part == "relu" else 1)
    for name, array in results[0].items():
        np.testing.assert_allclose(array, results[1][name], rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())
def test_which_blocks_are_one_operation(geometry):
    """With shortcut A or none; B and C have another convolution."""
    blocks = {kind: make_block(kind, *geometry) for kind in SHORTCUTS}
    in_channels, channels, _ = geometry
    expected = {"A": True, "B": in_channels == channels, "C": False, None: True}
    assert {kind: runs_whole(block) for kind, block in blocks.items()} == expected
    assert not any(runs_whole(block.eval()) for block in blocks.values())


def runs_whole(block):
    with trace() as steps:
        block(Tensor(np.ones((2, 3, 3, block.conv1.weight.shape[2]))))
    return [step.function.__name__ for step in steps] == ["RunBasicBlock"]


OTHER_CONVOLUTIONS = {
    "of another size": ("conv2", (3, 3, 5), {"padding": 2}),
    "with more padding": ("conv1", (2, 3, 3), {"stride": 2, "padding": 2}),
    "the second one with a stride": ("conv2", (3, 3, 3), {"stride": 2, "padding": 1}),
}


@pytest.mark.parametrize("case", OTHER_CONVOLUTIONS.values(), ids=OTHER_CONVOLUTIONS)
def test_a_convolution_of_another_geometry_is_used(case, rng):
    name, sizes, geometry = case
    block = make_block(None, 2, 3, 2)
    setattr(block, name, Conv2d(*sizes, rng=rng, dtype=np.float64, **geometry))
    x = Tensor(rng.standard_normal((2, 6, 5, 2)))
    between = block.relu(block.bn1(block.conv1(x)))
    expected = block.relu(block.bn2(block.conv2(between)))
    np.testing.assert_allclose(block(x).data, expected.data, rtol=1e-9)


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())
def test_a_shortcut_of_another_geometry_is_used(geometry):
    """Here it does not fit, which the addition notices; nobody falls back on shortcut A."""
    in_channels, channels, stride = geometry
    block = make_block("A", in_channels, channels, stride)
    block.downsample = SubsampleAndPad(channels, stride=3)
    with pytest.raises(ValueError, match=r"shape|broadcast"):
        block(Tensor(np.ones((2, 8, 8, in_channels))))


class Double(Module):
    """Not a ReLU."""

    def forward(self, x):
        return x * 2.0


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())
def test_a_replaced_part_is_used(geometry, rng):
    in_channels, channels, stride = geometry
    block = make_block("A", in_channels, channels, stride)
    x = Tensor(rng.standard_normal((2, 5, 4, in_channels)))
    block.relu = Double()
    between = block.relu(block.bn1(block.conv1(x)))
    expected = block.relu(block.bn2(block.conv2(between)) + block.downsample(x))
    np.testing.assert_allclose(block(x).data, expected.data, rtol=1e-9)


def test_a_batch_norm_may_be_replaced(rng):
    block = make_block("A", 3, 3, 1)
    block.bn1, block.bn2 = Double(), Double()
    x = Tensor(rng.standard_normal((2, 5, 4, 3)))
    between = block.relu(block.conv1(x) * 2.0)
    expected = block.relu(block.conv2(between) * 2.0 + x)
    np.testing.assert_allclose(block(x).data, expected.data, rtol=1e-9)


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())
def test_a_kept_graph_gives_the_same_gradient_twice(geometry, rng):
    """In float32, on the fast kernels: none of them may write into what backward reads."""
    in_channels, channels, stride = geometry
    block = make_block("A", in_channels, channels, stride, dtype=np.float32)
    x = Tensor(rng.standard_normal((2, 5, 4, in_channels), np.float32), requires_grad=True)
    y = block(x)
    grad = rng.standard_normal(y.shape).astype(np.float32)
    before, gradients = grad.copy(), []
    for _ in range(2):
        x.grad = None
        block.zero_grad()
        y.backward(grad, retain_graph=True)
        gradients.append([x.grad, *(p.grad for p in block.parameters())])
    assert np.array_equal(grad, before)
    assert all(np.array_equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())
@pytest.mark.parametrize("name", ["conv1.weight", "bn1.weight", "conv2.weight", "bn2.weight"])
def test_a_parameter_changed_before_backward_is_noticed(name, geometry, rng):
    in_channels, channels, stride = geometry
    block = make_block("A", in_channels, channels, stride)
    y = block(leaf(rng.standard_normal((2, 5, 4, in_channels))))
    parameter = dict(block.named_parameters())[name]
    parameter += 1.0
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward(np.ones(y.shape))
