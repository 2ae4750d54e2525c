"""Networks on a GPU: gradients against differences, results against those of the CPU."""

import numpy as np
import pytest

from minires import Tensor, concatenate, gradcheck, pad, recompute, stack, where
from minires.models import cifar_resnet
from minires.nn import (
    AdaptiveAvgPool2d,
    BasicBlock,
    Conv2d,
    Dropout,
    Linear,
    MaxPool2d,
    PReLU,
    Sequential,
    fusing,
)
from minires.nn import functional as F
from minires.nn.fused import ConvolveAdd
from tests.device import gpu
from tests.helpers import away_from_zero, distinct, randomise

pytestmark = pytest.mark.cuda


@pytest.fixture(autouse=True)
def cuda():
    with gpu():
        yield


def check(f, *arrays, rng, **settings):
    """Gradcheck with inputs on the GPU."""
    inputs = [Tensor(array).to("cuda") for array in arrays]
    return gradcheck(f, *inputs, rng=rng, **({"max_elements": 8} | settings))


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "stride", "padding"),
    [
        ((2, 5, 4, 2), (3, 3, 2, 3), 1, 1),
        ((2, 6, 5, 2), (3, 3, 2, 3), 2, 1),
        ((2, 5, 7, 1), (1, 1, 1, 2), 2, 0),
        ((3, 7, 4, 2), (3, 1, 2, 2), 3, 2),
    ],
    ids=str,
)
def test_convolution(x_shape, weight_shape, stride, padding, rng):
    check(
        lambda x, weight: F.conv2d(x, weight, stride=stride, padding=padding),
        rng.standard_normal(x_shape),
        rng.standard_normal(weight_shape),
        rng=rng,
    )


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "options"),
    [
        ((1, 5, 6, 2), (2, 3, 2, 3), {"stride": (4, 2), "padding": (2, 1)}),
        ((1, 6, 5, 4), (3, 2, 2, 4), {"dilation": (1, 3), "padding": 1, "groups": 2}),
    ],
    ids=str,
)
def test_convolutions_of_other_kinds(x_shape, weight_shape, options, rng):
    arrays = rng.standard_normal(x_shape), rng.standard_normal(weight_shape)
    check(lambda x, weight: F.conv2d(x, weight, **options), *arrays, rng=rng)
    on_gpu = F.conv2d(*(Tensor(array).to("cuda") for array in arrays), **options).data.get()
    np.testing.assert_allclose(on_gpu, F.conv2d(*map(Tensor, arrays), **options).data, rtol=1e-12)


def test_batch_norm(rng):
    arrays = rng.standard_normal((3, 2, 3, 5)), rng.uniform(0.5, 2, 5), rng.standard_normal(5)
    check(lambda x, gamma, beta: F.batch_norm(x, gamma, beta)[0], *arrays, rng=rng)
    moments = {"mean": rng.standard_normal(5), "var": rng.uniform(0.5, 2, 5)}
    moments = {name: Tensor(array).to("cuda").data for name, array in moments.items()}
    check(lambda x, gamma, beta: F.batch_norm_eval(x, gamma, beta, **moments), *arrays, rng=rng)


@pytest.mark.parametrize("training", [True, False])
def test_fused_convolution_and_batch_norm(training, rng):
    block = BasicBlock(3, 4, stride=2, shortcut="B", rng=rng, shortcut_rng=rng, dtype=np.float64)
    randomise(block, rng)
    block.train(training).to("cuda")
    x = Tensor(rng.standard_normal((2, 5, 6, 3))).to("cuda")
    gradcheck(lambda x, *_: block(x), x, *block.parameters(), rng=rng, max_elements=4)


@pytest.mark.parametrize("shortcut", ["A", None])
def test_block_as_one_operation(shortcut, rng):
    block = BasicBlock(4, 4, shortcut=shortcut, rng=rng, shortcut_rng=rng, dtype=np.float64)
    randomise(block, rng)
    block.to("cuda")
    assert fusing.is_as_built(block)
    assert fusing.is_one_operation(block)
    x = Tensor(rng.standard_normal((2, 3, 4, 4))).to("cuda")
    gradcheck(lambda x, *_: block(x), x, *block.parameters(), rng=rng, max_elements=4)


def test_relu_and_pools(rng):
    check(F.relu, away_from_zero(rng, (2, 3, 3, 2)), rng=rng)
    x = distinct(rng, (2, 5, 4, 3))
    check(lambda x: F.max_pool(x, size=3, stride=2, padding=1), x, rng=rng)
    check(lambda x: F.avg_pool(x, size=2, stride=1, padding=1), x, rng=rng)
    check(F.global_avg_pool, x, rng=rng)
    check(lambda x: F.subsample_and_pad(x, channels=5, stride=2), x, rng=rng)


def test_calculus(rng):
    a, b = rng.uniform(0.5, 2, (3, 4)), rng.uniform(0.5, 2, (4,))
    check(lambda a, b: (a / b - a.exp() * 2 + b.log() ** 2).sum(1), a, b, rng=rng)
    check(lambda a, b: a.transpose() @ (a * b) + 1 - b, a, b, rng=rng)
    check(lambda a: a.reshape(2, 6).mean(0, keepdims=True), a, rng=rng)


FURTHER = {
    "sqrt": lambda x: (x * x).sqrt(),
    "abs": lambda x: x.abs(),
    "tanh": lambda x: x.tanh(),
    "sigmoid": lambda x: x.sigmoid(),
    "clip": lambda x: x.clip(-0.7, 0.9),
    "max": lambda x: x.max(1, keepdims=True),
    "max of all": lambda x: x.max(),
    "where": lambda x: where(x > 0, x * 2, 3.0),
    "stack": lambda x: stack([x, x], 1),
    "pad": lambda x: pad(x, ((0, 0), (2, 1)), 0.5),
    "log_softmax": F.log_softmax,
}


@pytest.mark.parametrize("f", FURTHER.values(), ids=FURTHER.keys())
def test_further_operations(f, rng):
    x = distinct(rng, (3, 4), gap=0.17) - 0.96  # clear of the kinks
    check(f, x, rng=rng)
    on_gpu = f(Tensor(x).to("cuda"))
    np.testing.assert_allclose(on_gpu.to("cpu").data, f(Tensor(x)).data, rtol=1e-12, atol=1e-14)


def test_a_tensor_on_a_gpu_is_no_numpy_array(rng):
    x = Tensor([1.0, 2.0]).to("cuda")
    for use in (np.asarray, lambda x: x.numpy()):
        with pytest.raises(TypeError, match=r'this tensor is on "cuda": write x\.to\("cpu"\)'):
            use(x)
    assert repr(x) == "<Tensor (2,) float32: [1. 2.]>"
    assert (float(x.sum()), f"{x.max():.1f}") == (3, "2.0")


@pytest.mark.parametrize(
    "layer",
    [PReLU(3), Dropout(0.5), MaxPool2d(2, ceil=True), AdaptiveAvgPool2d(2)],
    ids=lambda layer: type(layer).__name__,
)
def test_other_layers_give_what_they_give_on_the_cpu(layer, rng):
    x, dy = distinct(rng, (2, 5, 7, 3)).astype(np.float32) - 1, None
    results = []
    for device in ("cpu", "cuda"):
        layer.to(device)
        if isinstance(layer, Dropout):
            layer.batches[:] = 0
        leaf = Tensor(x, requires_grad=True)
        y = layer(leaf.to(device)).to("cpu")
        dy = rng.standard_normal(y.shape, np.float32) if dy is None else dy
        y.backward(dy)
        results.append((y.data, leaf.grad))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_concatenation_and_convolution_with_a_bias_and_relu_as_one(rng):
    a, b = rng.standard_normal((2, 3, 3, 2)), rng.standard_normal((2, 3, 3, 3))
    check(lambda a, b: concatenate([a, b], axis=-1), a, b, rng=rng)
    weight, bias = rng.standard_normal((3, 3, 2, 3)), rng.standard_normal(3)

    def f(x, weight, bias, residual):
        return ConvolveAdd.apply(x, weight, bias, residual, stride=1, padding=1, relu=True)

    check(f, a, weight, bias, b, rng=rng)


def test_loss(rng):
    labels = rng.integers(0, 5, 4)
    logits, weighted = rng.standard_normal((4, 5)), {"weight": np.arange(1.0, 6.0)}
    for target, options in [
        (labels, {}),
        (labels, weighted | {"label_smoothing": 0.1}),
        (rng.dirichlet(np.ones(5), 4), weighted),
    ]:
        check(lambda x, t=target, o=options: F.cross_entropy(x, t, **o), logits, rng=rng)
        ours = F.cross_entropy(Tensor(logits).to("cuda"), target, **options).item()
        assert ours == pytest.approx(F.cross_entropy(Tensor(logits), target, **options).item())


def test_a_label_that_is_no_class_gives_nan_on_a_gpu():
    """Looking at the labels would mean waiting."""
    logits = Tensor(np.zeros((2, 3))).to("cuda")
    for options in ({}, {"label_smoothing": 0.1}):
        assert np.isnan(F.cross_entropy(logits, np.array([0, 3]), **options).item())


def test_layers_with_a_bias(rng):
    layers = Sequential(
        Conv2d(2, 3, 3, rng=rng, bias=True, padding=1, dtype=np.float64),
    ).to("cuda")
    linear = Linear(3, 4, rng=rng, dtype=np.float64).to("cuda")
    x = Tensor(rng.standard_normal((2, 4, 3, 2))).to("cuda")
    parameters = [*layers.parameters(), *linear.parameters()]
    gradcheck(lambda x, *_: linear(F.global_avg_pool(layers(x))), x, *parameters, rng=rng)


def test_gradients_come_back_to_where_a_tensor_was(rng):
    x = Tensor(rng.standard_normal((2, 3)), requires_grad=True)
    y = x.to("cuda") * 2
    assert (x.device, y.device) == ("cpu", "cuda")
    y.to("cpu").backward(np.ones((2, 3)))
    np.testing.assert_array_equal(x.grad, np.full((2, 3), 2.0))


def test_recomputation_gives_the_same_bits(rng):
    images, labels = rng.standard_normal((2, 8, 8, 3), np.float32), np.array([1, 2])

    def gradients(recompute_blocks):
        model = cifar_resnet(8, recompute=recompute_blocks).to("cuda")
        loss = F.cross_entropy(model(Tensor(images).to("cuda")), labels)
        loss.backward()
        return [p.grad.get() for p in model.parameters()]

    for kept, recomputed in zip(gradients(False), gradients(True), strict=True):
        np.testing.assert_array_equal(kept, recomputed)
    x = Tensor(images, requires_grad=True).to("cuda")
    np.testing.assert_array_equal(recompute(F.relu, x).data.get(), np.maximum(images, 0))


def test_evaluation_agrees_with_the_cpu(rng):
    model = cifar_resnet(8, shortcut="B").eval()
    randomise(model, rng)
    x = rng.standard_normal((2, 9, 8, 3), np.float32)
    expected = model(Tensor(x)).data
    actual = model.to("cuda")(Tensor(x).to("cuda")).data.get()
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)
