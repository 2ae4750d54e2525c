"""Every layer forward and backward against PyTorch's, in float64 and float32."""

import numpy as np
import pytest

from minires import Tensor
from minires import nn as ours
from minires.nn.functional import cross_entropy
from tests.helpers import leaf, relative_error
from tests.torch_oracle import (
    images_from_torch,
    images_to_torch,
    nn,
    to_torch,
    torch,
    weight_from_torch,
    weight_to_torch,
)

SHAPE = (3, 7, 6, 4)  # images that are not square: strides leave a row over, but no column


def conv(*args, bias=False, **geometry):
    return (
        lambda rng, dtype: ours.Conv2d(4, *args, bias=bias, rng=rng, dtype=dtype, **geometry),
        lambda: nn.Conv2d(4, *args, bias=bias, **geometry),
    )


def without_parameters(layer, theirs):
    return lambda rng, dtype: layer, lambda: theirs


LAYERS = {
    "3x3 convolution": conv(5, 3, padding=1),
    "3x3 convolution of stride 2": conv(5, 3, padding=1, stride=2),
    "1x1 convolution of stride 2": conv(8, 1, stride=2),
    "5x5 convolution with a bias": conv(2, 5, bias=True),
    "2x2 convolution of stride 3": conv(3, 2, stride=3, padding=1),
    "1x3 convolution of stride 2": conv(5, (1, 3), padding=1, stride=2, bias=True),
    "5x2 convolution": conv(6, (5, 2), padding=2),
    "stride and padding of rows and columns": conv(5, (1, 3), stride=(1, 2), padding=(0, 1)),
    "strides with a common factor": conv(3, (3, 5), stride=(4, 2), padding=(2, 1), bias=True),
    "rows alone stride": conv(3, 1, stride=(3, 1)),
    "dilation": conv(5, 3, dilation=2, padding=2, bias=True),
    "dilation of columns": conv(5, (2, 3), dilation=(1, 2), stride=2, padding=1),
    "two groups": conv(6, 3, groups=2, padding=1, stride=2),
    "a group for each channel": conv(8, 3, groups=4, padding=1, bias=True),
    "everything": conv(
        6, (3, 2), stride=(2, 3), padding=(1, 2), dilation=(2, 1), groups=2, bias=True
    ),
    "batch norm": (
        lambda rng, dtype: ours.BatchNorm2d(4, dtype=dtype),
        lambda: nn.BatchNorm2d(4),
    ),
    "batch norm in evaluation": (
        lambda rng, dtype: ours.BatchNorm2d(4, dtype=dtype).eval(),
        lambda: nn.BatchNorm2d(4).eval(),
    ),
    "relu": without_parameters(ours.ReLU(), nn.ReLU()),
    "max pool": without_parameters(ours.MaxPool2d(2), nn.MaxPool2d(2)),
    "overlapping max pool": without_parameters(
        ours.MaxPool2d(3, stride=2, padding=1), nn.MaxPool2d(3, 2, 1)
    ),
    "average pool": without_parameters(ours.AvgPool2d(2), nn.AvgPool2d(2)),
    "overlapping average pool": without_parameters(
        ours.AvgPool2d(3, stride=2, padding=1), nn.AvgPool2d(3, 2, 1)
    ),
}


def run_ours(layer, x, dy_from):
    """Output, the gradients of input and parameters, and the buffers afterwards."""
    x = leaf(x, dtype=x.dtype)
    y = layer(x)
    y.backward(dy_from(y.shape).astype(y.dtype))
    grads = {f"gradient of {name}": p.grad for name, p in layer.named_parameters()}
    return {"output": y.data, "gradient of x": x.grad} | grads | dict(layer.named_buffers())


def run_theirs(layer, x, dy_from):
    x = images_to_torch(x).requires_grad_()
    y = layer(x)
    dy = dy_from(images_from_torch(y).shape)
    y.backward(images_to_torch(dy).to(y.dtype))
    grads = {f"gradient of {n}": weight_from_torch(p.grad) for n, p in layer.named_parameters()}
    buffers = {n: b.numpy() for n, b in layer.named_buffers() if b.ndim}
    outputs = {"output": images_from_torch(y), "gradient of x": images_from_torch(x.grad)}
    return outputs | grads | buffers


def both(layers, dtype):
    """All arrays of a forward and a backward pass of both layers, with equal random state."""
    make_ours, make_theirs = layers
    rng = np.random.default_rng(1)
    mine, theirs = make_ours(rng, dtype), make_theirs()
    state = {
        name: rng.uniform(0.5, 1.5, a.shape).astype(dtype) for name, a in mine.state_dict().items()
    }
    mine.load_state_dict(state)
    theirs.to(getattr(torch, np.dtype(dtype).name))
    theirs.load_state_dict({n: weight_to_torch(a) for n, a in state.items()}, strict=False)
    x = rng.standard_normal(SHAPE).astype(dtype)

    def dy_from(shape):
        return np.random.default_rng(2).standard_normal(shape)

    return run_ours(mine, x, dy_from), run_theirs(theirs, x, dy_from)


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS.keys())
def test_in_float64_all_arrays_agree_to_rounding(layers):
    mine, theirs = both(layers, np.float64)
    assert mine.keys() == theirs.keys()
    for name, array in mine.items():
        assert relative_error(array, theirs[name]) < 1e-12, name


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS.keys())
def test_in_float32_all_arrays_agree_to_rounding(layers):
    """Sums of up to 126 products (the positions of a map, three images) of values near 1, each
    rounded to 6e-8: a few parts in a million of the largest, whatever the order of summation."""
    mine, theirs = both(layers, np.float32)
    for name, array in mine.items():
        assert array.dtype == np.float32
        assert relative_error(array, theirs[name]) < 5e-6, name


def test_a_linear_layer_agrees():
    rng = np.random.default_rng(0)
    mine, theirs = ours.Linear(5, 3, rng=rng, dtype=np.float64), nn.Linear(5, 3).double()
    mine.bias += rng.standard_normal(3)
    theirs.load_state_dict({n: weight_to_torch(a) for n, a in mine.state_dict().items()})
    x, dy = leaf(rng.standard_normal((4, 5))), rng.standard_normal((4, 3))
    x_torch = to_torch(x.data).requires_grad_()
    y, y_torch = mine(x), theirs(x_torch)
    y.backward(dy)
    y_torch.backward(to_torch(dy))
    assert relative_error(y.data, y_torch.detach()) < 1e-14
    assert relative_error(x.grad, x_torch.grad) < 1e-14
    assert relative_error(mine.weight.grad, weight_from_torch(theirs.weight.grad)) < 1e-14
    assert relative_error(mine.bias.grad, theirs.bias.grad) < 1e-14


def test_global_average_pooling_agrees(rng):
    x = leaf(rng.standard_normal(SHAPE))
    x_torch = images_to_torch(x.data).requires_grad_()
    y, y_torch = ours.GlobalAvgPool()(x), x_torch.mean((2, 3))
    dy = rng.standard_normal(y.shape)
    y.backward(dy)
    y_torch.backward(to_torch(dy))
    assert relative_error(y.data, y_torch.detach()) < 1e-14
    assert relative_error(x.grad, images_from_torch(x_torch.grad)) < 1e-14


def test_flatten_keeps_the_order_of_rows_columns_and_channels(rng):
    x = rng.standard_normal(SHAPE)
    np.testing.assert_array_equal(ours.Flatten()(Tensor(x)).data, x.reshape(3, -1))


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_the_loss_agrees(scale, rng):
    logits, labels = leaf(scale * rng.standard_normal((6, 10))), rng.integers(0, 10, 6)
    logits_torch = to_torch(logits.data).requires_grad_()
    loss = cross_entropy(logits, labels)
    loss_torch = nn.functional.cross_entropy(logits_torch, to_torch(labels))
    loss.backward()
    loss_torch.backward()
    assert loss.item() == pytest.approx(loss_torch.item(), rel=1e-13)
    assert relative_error(logits.grad, logits_torch.grad) < 1e-13


def test_running_statistics_follow_pytorchs_over_several_batches(rng):
    mine, theirs = (
        ours.BatchNorm2d(4, momentum=0.3, dtype=np.float64),
        nn.BatchNorm2d(4, momentum=0.3).double(),
    )
    for _ in range(5):
        x = 3 * rng.standard_normal(SHAPE) + 2
        mine(Tensor(x))
        theirs(images_to_torch(x))
    assert relative_error(mine.running_mean, theirs.running_mean) < 1e-13
    assert relative_error(mine.running_var, theirs.running_var) < 1e-13
