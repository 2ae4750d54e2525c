"""Layers that run as one operation give what they give one by one, and do so only unwatched."""

import hashlib
import os
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import minires
from minires import Tensor, fusing, no_grad
from minires.autograd.trace import trace
from minires.models import cifar_resnet
from minires.nn import (
    BasicBlock,
    BatchNorm2d,
    Bottleneck,
    Conv2d,
    Identity,
    Module,
    Parameter,
    ReLU,
    Sequential,
    SubsampleAndPad,
    fold_batch_norm,
)
from minires.nn.functional import cross_entropy
from minires.optim import SGD
from tests.helpers import leaf, randomise, relative_error

FUSED = {"RunBasicBlock", "ConvolveAdd", "ConvolveNormalise", "ConvolveNormaliseEval"}
NETWORKS = {
    **{f"shortcut {kind}": {"depth": 8, "shortcut": kind} for kind in ("A", "B", "C")},
    "plain": {"depth": 8, "shortcut": None},
    "recomputed": {"depth": 8, "recompute": True},
    "bottleneck": {"depth": 11, "block": "bottleneck", "shortcut": "B"},
    "v2": {"depth": 8, "version": "v2", "shortcut": "B"},
    "v2 bottleneck, recomputed": {
        "depth": 11,
        "block": "bottleneck",
        "version": "v2",
        "recompute": True,
    },
}
networks = pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS.keys())


def operations(model, x):
    """The names of what runs."""
    with no_grad(), trace() as steps:
        model(x)
    return [step.function.__name__ for step in steps]


def trained(options, dtype, *, steps=3):
    """Losses, parameters, statistics, and the answers in evaluation."""
    rng = np.random.default_rng(0)
    model = cifar_resnet(**options, dtype=dtype)
    optimiser, losses = SGD(model.parameters(), lr=0.05), []
    for _ in range(steps):
        images, labels = rng.standard_normal((4, 12, 12, 3)).astype(dtype), rng.integers(0, 10, 4)
        loss = cross_entropy(model(Tensor(images)), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    with no_grad():
        answers = model.eval()(Tensor(images)).data
    return {"losses": np.array(losses), **model.state_dict(), "answers": answers}


@networks
def test_a_network_trains_to_the_same_figures_without(options):
    one = trained(options, np.float64)
    with fusing(False):
        other = trained(options, np.float64)
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert relative_error(other[name], array) < 1e-9, name


@networks
def test_in_float32_neither_is_farther_from_float64(options):
    """Neither is more than twice as far as the other: they differ by rounding alone."""
    exact = trained(options, np.float64, steps=1)
    ours = trained(options, np.float32, steps=1)
    with fusing(False):
        plain = trained(options, np.float32, steps=1)
    far, near = (distance(run, exact) for run in (ours, plain))
    assert 0 < far < 2 * near < 4 * far


def distance(run, exact):
    """Root of the mean square of all relative errors."""
    return np.sqrt(np.mean([relative_error(run[name], exact[name]) ** 2 for name in exact]))


@networks
@pytest.mark.parametrize("mode", ["training", "evaluation", "folded"])
def test_what_runs(options, mode):
    """Fused operations as they are wanted, none where they are not, and none of ReLU if fused."""
    model, x = cifar_resnet(**options), Tensor(np.ones((2, 8, 8, 3), np.float32))
    model = fold_batch_norm(model) if mode == "folded" else model.train(mode == "training")
    assert FUSED & set(operations(model, x))
    if options.get("version") != "v2":
        assert not {"BatchNormalise", "BatchNormaliseEval", "Rectify"} & set(operations(model, x))
    with fusing(False):
        assert not FUSED & set(operations(model, x))


def test_a_folded_network_answers_alike_without(rng):
    model = cifar_resnet(11, block="bottleneck", shortcut="C", dtype=np.float64)
    randomise(model, rng)
    folded, x = fold_batch_norm(model), Tensor(rng.standard_normal((2, 8, 8, 3)))
    with fusing(False):
        expected = folded(x).data
    assert relative_error(folded(x).data, expected) < 1e-12


def test_what_was_in_force_is_in_force_again():
    model, x = cifar_resnet(8), Tensor(np.ones((1, 8, 8, 3), np.float32))
    is_on = lambda: bool(FUSED & set(operations(model, x)))  # noqa: E731
    with fusing(False):
        with fusing(True):
            assert is_on()
            with fusing(False):
                assert not is_on()
            assert is_on()
        with pytest.raises(RuntimeError), fusing(True):
            raise RuntimeError
        assert not is_on()
        assert "off: each layer runs for itself" in minires.info()
    assert is_on()


WITHOUT = """
from minires.nn import fused
from tests.nn.test_fusing import FUSED, NETWORKS, trained
import hashlib, minires, numpy as np

for name in FUSED:
    setattr(getattr(fused, name), "apply", None)  # nobody may call it
state = trained(NETWORKS["shortcut B"], np.float64)
print(hashlib.sha256(b"".join(array.tobytes() for array in state.values())).hexdigest())
print(minires.info())
"""


def in_a_process(code, setting):
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"MINIRES_FUSING": setting},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_environment_switches_it_off():
    """The fused operations can't be called there, and the network trains: by the layers' bits."""
    done = in_a_process(WITHOUT, "0")
    with fusing(False):
        state = trained(NETWORKS["shortcut B"], np.float64)
    digest = hashlib.sha256(b"".join(array.tobytes() for array in state.values())).hexdigest()
    assert done.stdout.startswith(digest), done.stderr
    assert "off: each layer runs for itself" in done.stdout


def test_another_setting_is_refused():
    done = in_a_process("import minires", "no")
    assert "MINIRES_FUSING must be 0 (each layer for itself) or 1, but is 'no'" in done.stderr


# ------------------------------------------------------------------------- layers of one's own


class OtherReLU(ReLU):
    """May compute something else."""


def layers(*kinds, bias=False):
    rng = np.random.default_rng(0)
    make = {
        "conv": partial(Conv2d, 3, 3, 3, padding=1, bias=bias, rng=rng, dtype=np.float64),
        "bn": partial(BatchNorm2d, 3, dtype=np.float64),
        "relu": ReLU,
        "other relu": OtherReLU,
        "identity": Identity,
        "scale": partial(SubsampleAndPad, 3, stride=2),
    }
    model = Sequential(*(make[kind]() for kind in kinds))
    randomise(model, np.random.default_rng(1))
    return model


STACKS = {  # layers, and what runs in training
    ("conv", "bn", "relu"): ["ConvolveNormalise"],
    ("conv", "bn"): ["ConvolveNormalise"],
    ("conv", "relu"): ["ConvolveAdd"],
    ("conv",): ["Convolve"],
    ("bn", "relu", "conv"): ["BatchNormalise", "Rectify", "Convolve"],
    ("conv", "relu", "bn"): ["ConvolveAdd", "BatchNormalise"],
    ("conv", "bn", "relu", "scale", "conv", "bn", "conv"): [
        "ConvolveNormalise",
        "PickAndPad",
        "ConvolveNormalise",
        "Convolve",
    ],
    ("conv", "identity", "relu"): ["ConvolveAdd"],
    ("conv", "bn", "other relu"): ["ConvolveNormalise", "Rectify"],
    ("conv", "scale", "relu"): ["Convolve", "PickAndPad", "Rectify"],
}


@pytest.mark.parametrize(("kinds", "expected"), STACKS.items(), ids=" ".join)
@pytest.mark.parametrize("training", [True, False])
def test_a_sequential_of_ones_own(kinds, expected, training, rng):
    stack, x = layers(*kinds).train(training), Tensor(rng.standard_normal((2, 6, 5, 3)))
    suffix = "" if training else "Eval"
    expected = [name + suffix if "Normalise" in name else name for name in expected]
    assert operations(stack, x) == expected
    with fusing(False):
        plain = stack(x).data
    np.testing.assert_allclose(stack(x).data, plain, rtol=1e-9, atol=1e-12)


def test_other_convolutions_run_for_themselves(rng):
    """What is fused knows neither groups nor dilation."""
    layers = [BatchNorm2d(4), ReLU()]
    model = Sequential(Conv2d(4, 4, 3, padding=2, dilation=2, groups=2, rng=rng), *layers)
    block = Bottleneck(8, 8, groups=2, rng=rng, shortcut_rng=rng)
    for module, channels in ((model, 4), (block, 8)):
        x = Tensor(rng.standard_normal((2, 5, 5, channels)).astype(np.float32))
        with fusing(False):
            expected = module(x).data
        assert module(x).shape == (2, 5, 5, channels)
        assert relative_error(module(x).data, expected) < 1e-5


def test_batch_norm_behind_a_bias_runs_for_itself(rng):
    stack, x = layers("conv", "bn", "relu", bias=True), Tensor(rng.standard_normal((2, 4, 4, 3)))
    assert operations(stack, x) == ["Convolve", "BatchNormalise", "Rectify"]
    assert operations(layers("conv", "relu", bias=True), x) == ["ConvolveAdd"]


def test_a_forward_of_ones_own_is_used(rng):
    stack, x = layers("conv", "bn", "relu"), Tensor(rng.standard_normal((2, 4, 4, 3)))
    stack[2].forward = lambda x: x * 2.0
    assert operations(stack, x) == ["ConvolveNormalise", "Multiply"]


@pytest.mark.parametrize("watched", range(6))
def test_a_hook_on_a_layer_sees_plain_values(watched, rng):
    stack, x = layers(*2 * ["conv", "bn", "relu"]), Tensor(rng.standard_normal((2, 4, 4, 3)))
    values = seen_by_hooks(stack[watched])
    assert not FUSED & set(operations(stack, x))
    values.clear()
    y = stack(x)
    with fusing(False):
        plain = stack(x)
    assert len(values) == 2
    assert np.array_equal(*values)
    assert np.array_equal(y.data, plain.data)


def seen_by_hooks(module):
    """A list that gets each result of a module from now on."""
    seen = []
    module.register_forward_hook(lambda _, inputs, y: seen.append(y.data))
    return seen


# -------------------------------------------------------------------------------- blocks


def make_block(kind, shortcut="A", in_channels=4, stride=1, **options):
    rng = np.random.default_rng(0)
    options = {"rng": rng, "shortcut_rng": rng, "dtype": np.float64, "shortcut": shortcut} | options
    block = kind(in_channels, 4, stride=stride, **options)
    randomise(block, rng)
    return block


PARTS = ["conv1", "bn1", "conv2", "bn2", "relu", "downsample"]
PARTS_OF_BLOCKS = [
    *((BasicBlock, part) for part in PARTS),
    *((Bottleneck, part) for part in [*PARTS, "conv3", "bn3", "downsample.1"]),
]


@pytest.mark.parametrize(("kind", "part"), PARTS_OF_BLOCKS)
@pytest.mark.parametrize("shortcut", ["A", "C"])
@pytest.mark.parametrize("training", [True, False])
def test_a_hook_on_a_part_makes_the_block_plain(kind, part, shortcut, training, rng):
    block, x = make_block(kind, shortcut).train(training), Tensor(rng.standard_normal((2, 5, 4, 4)))
    before = operations(block, x)
    with ExitStack() as hook:
        values = []
        note = lambda _, inputs, y: values.append(y.data)  # noqa: E731
        watched = dict(block.named_modules()).get(part, block.downsample)  # A has no parts
        hook.enter_context(watched.register_forward_hook(note))
        fused = [name for name in operations(block, x) if name in FUSED]
        assert len(fused) == (shortcut == "C" and part != "downsample.1")  # the projection
        values.clear()
        y, half = block(x).data, len(values)
        with fusing(False):
            plain = block(x).data
    assert half > 0
    assert np.array_equal(y, plain)
    assert all(map(np.array_equal, values[:half], values[half:]))
    assert operations(block, x) == before
    assert FUSED & set(before)


class Longer(BasicBlock):
    """A block with one more convolution behind it."""

    def __init__(self, **options):
        super().__init__(4, 4, **options)
        self.conv3 = Conv2d(4, 4, 1, rng=options["rng"], dtype=np.float64)
        self.bn3 = BatchNorm2d(4, dtype=np.float64)

    def forward(self, x):
        return self.bn3(self.conv3(super().forward(x)))


def test_a_block_that_is_built_on_another_computes_what_it_says(rng):
    block = Longer(rng=rng, shortcut_rng=rng, dtype=np.float64)
    x = Tensor(rng.standard_normal((2, 5, 4, 4)))
    assert operations(block, x) == ["RunBasicBlock", "Convolve", "BatchNormalise"]
    with fusing(False):
        plain = block(x).data
    np.testing.assert_allclose(block(x).data, plain, rtol=1e-9, atol=1e-12)


class Halve(Module):
    """Not batch norm, nor ReLU."""

    def forward(self, x):
        return x * 0.5


class Average(Module):
    """A shortcut whose result must be broadcast."""

    def forward(self, x):
        return x.mean((1, 2), keepdims=True)


class Reorder(Module):
    """A shortcut whose result lies in another order."""

    def forward(self, x):
        return Tensor(np.asfortranarray(x.data))


def widen(block):
    """Between its first two convolutions."""
    size = block.conv1.weight.shape[0]
    options = {"padding": size // 2, "rng": np.random.default_rng(1), "dtype": np.float64}
    block.conv1, block.bn1 = Conv2d(4, 6, size, **options), BatchNorm2d(6, dtype=np.float64)
    size = block.conv2.weight.shape[0]
    block.conv2 = Conv2d(6, 4, size, **options | {"padding": size // 2})


CHANGES = {
    "evaluation": lambda block: block.eval(),
    "one norm in evaluation": lambda block: block.bn1.eval(),
    "another eps": lambda block: setattr(block.bn2, "eps", 0.1),
    "stride": lambda block: (
        setattr(block.conv1, "stride", 2)
        or setattr(block, "downsample", SubsampleAndPad(4, stride=2))
    ),
    "no ReLU": lambda block: setattr(block, "relu", Identity()),
    "another ReLU": lambda block: setattr(block, "relu", Halve()),
    "another norm": lambda block: setattr(block, "bn2", Halve()),
    "a ReLU for a norm": lambda block: setattr(block, "bn1", ReLU()),
    "a norm for a convolution": lambda block: setattr(block, "conv2", BatchNorm2d(4, dtype=float)),
    "a bias": lambda block: setattr(block.conv1, "bias", Parameter(np.ones(4))),
    "no norm": lambda block: setattr(block, "bn1", Identity()),
    "a frozen weight": lambda block: setattr(block.conv1.weight, "requires_grad", False),
    "a forward of its own": lambda block: setattr(block.relu, "forward", lambda x: x * 3.0),
    "a shortcut with a forward of its own": lambda block: setattr(
        block.downsample, "forward", lambda x: x * 3.0
    ),
    "another shortcut": lambda block: setattr(block, "downsample", Halve()),
    "a broadcast shortcut": lambda block: setattr(block, "downsample", Average()),
    "a shortcut in another order": lambda block: setattr(block, "downsample", Reorder()),
    "another width": widen,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("kind", [BasicBlock, Bottleneck])
def test_what_has_changed_since_is_seen(change, kind, rng):
    """Nothing is remembered of the call before."""
    block, x = make_block(kind), rng.standard_normal((3, 5, 4, 4))
    if kind is Bottleneck:  # as wide as the block, so that the same changes fit
        for i, size in ((1, 1), (2, 3), (3, 1)):
            conv = Conv2d(4, 4, size, padding=size // 2, rng=rng, dtype=np.float64)
            setattr(block, f"conv{i}", conv)
            setattr(block, f"bn{i}", BatchNorm2d(4, dtype=np.float64))
    block(Tensor(x))
    change(block)
    results = []
    for on in (True, False):
        with fusing(on):
            block.zero_grad()
            inputs = leaf(x)
            y = block(inputs)
            y.backward(np.cos(np.arange(y.data.size)).reshape(y.shape))
        grads = {name: p.grad for name, p in block.named_parameters()}
        results.append({"y": y.data, "dx": inputs.grad} | grads)
    for name, array in results[0].items():
        if array is None:
            assert results[1][name] is None
        else:
            np.testing.assert_allclose(array, results[1][name], rtol=1e-9, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("first", [True, False])
def test_a_recomputed_block_runs_both_times_alike(first, rng):
    """Its gradients have the same bits, even where fusing is switched on or off in between."""
    x = rng.standard_normal((2, 6, 6, 4)).astype(np.float32)
    results = []
    for again in (True, False):
        block = make_block(BasicBlock, recompute=again, dtype=np.float32)
        inputs = leaf(x, dtype=np.float32)
        with fusing(first):
            y = block(inputs)
        with fusing(not first), trace() as steps:
            y.backward(np.cos(np.arange(y.data.size, dtype=np.float32)).reshape(y.shape))
        assert any(step.function.__name__ in FUSED for step in steps) == (again and first)
        results.append([inputs.grad, *(p.grad for p in block.parameters())])
    assert all(map(np.array_equal, *results))


def test_a_plain_block_of_several_widths_runs_layer_by_layer(rng):
    block, x = make_block(BasicBlock, shortcut=None), Tensor(rng.standard_normal((2, 5, 4, 4)))
    widen(block)
    fused = block(x).data
    with fusing(False):
        np.testing.assert_allclose(fused, block(x).data, rtol=1e-9, atol=1e-11)


def test_a_recomputed_block_runs_both_times_alike_if_a_hook_has_gone(rng):
    block = make_block(BasicBlock, recompute=True, dtype=np.float32)
    inputs = leaf(rng.standard_normal((4, 8, 8, 4)).astype(np.float32), dtype=np.float32)
    handle = block.bn1.register_forward_hook(lambda *_: None)
    y = block(inputs)
    handle.remove()
    with trace() as steps:
        y.backward(np.ones(y.shape, np.float32))
    assert not any(step.function.__name__ in FUSED for step in steps)
