"""Bad input is met with a sentence: what was expected, what came and, if possible, a way out.

Files, checkpoints, data sets and command-line options have such tests beside their own.
"""

import numpy as np
import pytest
from minires.kernels.records import ConvNorm

from minires import Tensor, cli, gradcheck, kernels, nn
from minires.models import cifar_resnet
from minires.nn import functional as F
from minires.optim import SGD


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


x, weight, gamma = ones(2, 6, 5, 3), ones(3, 3, 3, 4), ones(3)
images, labels = np.zeros((2, 6, 5, 3), np.uint8), np.array([0, 1])
offsets, flips = np.zeros((2, 2), np.int64), np.zeros(2, bool)
rng = np.random.default_rng(0)


def block_layer(stride=1, padding=0):
    return ConvNorm(ones(3, 3, 3, 3), gamma, gamma, 1e-5, stride, padding)


KERNELS = {
    "channels that differ": (
        lambda: kernels.conv2d(x, ones(3, 3, 16, 16)),
        "x has 3 channels (2, 6, 5, 3) but weight (3, 3, 16, 16) expects 16",
    ),
    "one image instead of a batch": (
        lambda: kernels.conv2d(x[0], weight),
        "x must be images (N, H, W, C), but has shape (6, 5, 3)",
    ),
    "a matrix for a weight": (
        lambda: kernels.conv2d(x, ones(3, 4)),
        "weight must be (kh, kw, C_in, C_out), but has shape (3, 4)",
    ),
    "no stride": (lambda: kernels.conv2d(x, weight, stride=0), "stride must be at least 1"),
    "half a stride": (
        lambda: kernels.conv2d(x, weight, stride=0.5),
        "stride must be a whole number, but is 0.5",
    ),
    "negative padding": (
        lambda: kernels.conv2d(x, weight, padding=-1),
        "padding must be at least 0, but is -1",
    ),
    "a kernel larger than the image": (
        lambda: kernels.conv2d(x, ones(7, 7, 3, 4)),
        "a 7 x 7 kernel does not fit into 6 x 5 images with padding 0: use a smaller kernel",
    ),
    "mixed dtypes": (
        lambda: kernels.conv2d(x, weight.astype(np.float64)),
        "must share a dtype, but have float32, float64",
    ),
    "whole numbers": (
        lambda: kernels.relu(np.arange(3)),
        "a kernel takes float32 or float64, but got int64: convert with .astype(np.float32)",
    ),
    "a list": (lambda: kernels.relu([1.0, 2.0]), "takes NumPy or CuPy arrays, but got list"),
    "a list (weight)": (
        lambda: kernels.conv2d(x, [[1.0]]),
        "takes NumPy or CuPy arrays, but got list",
    ),
    "a block that shrinks the map": (
        lambda: kernels.basic_block(x, block_layer(padding=0), block_layer(padding=1), skip=True),
        "basic_block: a block's convolutions have padding 1, and the second one stride 1, but",
    ),
    "a block that strides twice": (
        lambda: kernels.basic_block(x, block_layer(padding=1), block_layer(2, 1), skip=True),
        "are (1, 2, 1)",
    ),
    "a transposed view": (
        lambda: kernels.conv2d(x.transpose(0, 2, 1, 3), weight),
        "x (2, 5, 6, 3) is not C-contiguous (a strided or transposed view?): pass np.ascontig",
    ),
    "a view (relu)": (lambda: kernels.relu(x[:, ::2]), "relu: x (2, 3, 5, 3) is not C-contiguous"),
    "a view (max pool)": (
        lambda: kernels.max_pool(x[:, ::2], size=2, stride=1),
        "max_pool: x (2, 3, 5, 3) is not C-contiguous",
    ),
    "a view (average pool)": (
        lambda: kernels.avg_pool(x[:, ::2], size=2, stride=1),
        "avg_pool: x (2, 3, 5, 3) is not C-contiguous",
    ),
    "a view (weight gradient)": (
        lambda: kernels.conv2d_weight_grad(ones(1, 4, 3, 4), x[:1, :, ::-1], kernel_size=(3, 3)),
        "conv2d_weight_grad: x (1, 6, 5, 3) is not C-contiguous",
    ),
    "a view (input gradient)": (
        lambda: kernels.conv2d_input_grad(ones(2, 4, 3, 4), weight[::-1], x_shape=x.shape),
        "conv2d_input_grad: weight (3, 3, 3, 4) is not C-contiguous",
    ),
    "a view (labels)": (
        lambda: kernels.softmax_cross_entropy(ones(2, 10), labels[::-1]),
        "softmax_cross_entropy: labels (2,) is not C-contiguous",
    ),
    "a view (labels that are counted)": (
        lambda: kernels.tally(np.zeros(2), ones(), ones(2, 10), labels[::-1]),
        "tally: labels (2,) is not C-contiguous",
    ),
    "a gradient of another shape (input)": (
        lambda: kernels.conv2d_input_grad(ones(2, 6, 5, 4), weight, x_shape=x.shape),
        "dy must have shape (2, 4, 3, 4), but has (2, 6, 5, 4)",
    ),
    "a gradient of another shape (weight)": (
        lambda: kernels.conv2d_weight_grad(ones(2, 6, 5, 4), x, kernel_size=(3, 3)),
        "dy must have shape (2, 4, 3, 4), but has (2, 6, 5, 4)",
    ),
    "columns of another shape": (
        lambda: kernels.col2im(ones(2, 4, 3, 9), x_shape=x.shape, kernel_size=(3, 3)),
        "columns for images (2, 6, 5, 3) must have shape (2, 4, 3, 27), but have (2, 4, 3, 9)",
    ),
    "batch norm for other channels": (
        lambda: kernels.batch_norm(x, ones(4), ones(4), eps=1e-5),
        "x has 3 channels (2, 6, 5, 3), so gamma, beta, mean and var must have shape (3,)",
    ),
    "a batch of one value per channel": (
        lambda: kernels.batch_norm(ones(1, 1, 1, 3), gamma, gamma, eps=1e-5),
        "which has no variance: train with a larger batch (drop a last batch of one), or call",
    ),
    "a residual of another shape": (
        lambda: kernels.batch_norm(x, gamma, gamma, eps=1e-5, residual=ones(2, 3, 3, 3)),
        "shapes must be equal, but are x (2, 6, 5, 3), residual (2, 3, 3, 3)",
    ),
    "pooling nothing but padding": (
        lambda: kernels.max_pool(x, size=2, stride=2, padding=2),
        "padding must be at most half of size 2, but is 2",
    ),
    "a pooled gradient of another shape": (
        lambda: kernels.avg_pool_grad(x, x_shape=x.shape, size=2, stride=2),
        "dy must have shape (2, 3, 2, 3), but has (2, 6, 5, 3)",
    ),
    "a class that the model does not have": (
        lambda: kernels.softmax_cross_entropy(ones(2, 10), np.array([0, 10])),
        "labels must lie in 0 .. 9, but range over 0 .. 10: does the model have enough classes?",
    ),
    "labels that are not whole numbers": (
        lambda: kernels.softmax_cross_entropy(ones(2, 10), ones(2)),
        "labels must be whole numbers, but are float32",
    ),
    "too few labels": (
        lambda: kernels.softmax_cross_entropy(ones(3, 10), labels),
        "expected logits (N, K) and labels (N,), but got (3, 10) and (2,)",
    ),
    "an empty batch": (
        lambda: kernels.softmax_cross_entropy(ones(0, 10), labels[:0]),
        "the batch is empty",
    ),
    "a velocity of another shape": (
        lambda: kernels.sgd_step(ones(3), ones(3), ones(4), lr=1, momentum=0, weight_decay=0),
        "shapes must be equal, but are parameter (3,), grad (3,), velocity (4,)",
    ),
    "images that are not bytes": (
        lambda: kernels.crop_flip(x, offsets, flips, x[0], gamma, padding=4),
        "images must be uint8, but are float32",
    ),
    "a crop outside of the padded image": (
        lambda: kernels.crop_flip(images, offsets + 9, flips, x[0], gamma, padding=4),
        "offsets must lie in 0 .. 8 (twice the padding)",
    ),
    "a mean of another size": (
        lambda: kernels.crop_flip(images, offsets, flips, ones(32, 32, 3), gamma, padding=4),
        "mean must have shape (6, 5, 3), but has (32, 32, 3)",
    ),
}

TENSORS = {
    "a tensor of whole numbers": (
        lambda: Tensor(np.arange(3)),
        "holds float32 or float64, but got int64",
    ),
    "a tensor of a tensor": (lambda: Tensor(Tensor([1.0])), "use it as it is"),
    "float32 plus float64": (
        lambda: Tensor(ones(2)) + Tensor(ones(2, dtype=np.float64)),
        "all tensors must share a dtype, but have float32, float64",
    ),
    "a vector in a matrix product": (
        lambda: Tensor(ones(2, 3)) @ Tensor(ones(3)),
        "matmul takes matrices, but got shapes (2, 3) and (3,)",
    ),
    "backward from many values": (
        lambda: Tensor(ones(3), requires_grad=True).backward(),
        "needs a scalar, but this tensor has shape (3,)",
    ),
    "backward from a constant": (
        lambda: Tensor(1.0).backward(),
        "nothing that this tensor was computed from requires a gradient",
    ),
    "a gradient check in float32": (
        lambda: gradcheck(lambda x: x, ones(2), rng=rng),
        "input 'x' is float32, but differences need float64",
    ),
}

NETWORKS = {
    "a depth that is not 6n + 2": (
        lambda: cifar_resnet(18),
        "(20, 32, 44, 56, 110, ...), but is 18: the nearest is 20",
    ),
    "a shortcut that does not exist": (
        lambda: cifar_resnet(20, shortcut="D"),
        "shortcut must be 'A', 'B', 'C' or None (plain), but is 'D'",
    ),
    "a state of another network": (
        lambda: cifar_resnet(8).load_state_dict(cifar_resnet(14).state_dict()),
        "this state does not fit the CifarResNet:\n  unexpected: layer1.1.bn1.bias (16,)",
    ),
    "images into a linear layer": (
        lambda: nn.Linear(3, 10, rng=rng)(Tensor(x)),
        "x must be (N, 3), but has shape (2, 6, 5, 3): images need GlobalAvgPool or Flatten",
    ),
    "a forgotten super().__init__()": (
        lambda: type("Net", (nn.Module,), {"__init__": lambda self: setattr(self, "a", 1)})(),
        "Net: call super().__init__() before assigning 'a'",
    ),
    "an attribute that is not there": (
        lambda: nn.ReLU().mode,
        "ReLU has no attribute 'mode'",
    ),
    "an array in a parameter's place": (
        lambda: setattr(nn.Linear(3, 10, rng=rng), "weight", ones(3, 10)),
        "Linear.weight is a Parameter and can't be replaced by a ndarray",
    ),
    "an optimiser of nothing": (
        lambda: SGD(nn.ReLU().parameters(), lr=0.1),
        "there are no parameters to train",
    ),
    "a negative learning rate": (
        lambda: SGD(nn.Linear(3, 1, rng=rng).parameters(), lr=-1),
        "lr must be at least 0, but is -1",
    ),
    "training a batch of one": (
        lambda: nn.BatchNorm2d(3)(Tensor(ones(1, 1, 1, 3))),
        "holds one value per channel",
    ),
    "labels of a larger data set": (
        lambda: F.cross_entropy(Tensor(ones(1, 10)), [99]),
        "labels must lie in 0 .. 9",
    ),
}

CASES = KERNELS | TENSORS | NETWORKS


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_met_with_a_sentence(name):
    call, sentence = CASES[name]
    with pytest.raises((TypeError, ValueError, RuntimeError, AttributeError)) as caught:
        call()
    assert sentence in str(caught.value)


def run_minires(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["minires", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


@pytest.mark.parametrize("command", ["summary", "draw"])
def test_a_negative_size_gets_a_sentence(command, monkeypatch, capsys):
    assert run_minires(monkeypatch, command, "resnet20", "--size", "-3") == 2
    assert "greater than or equal to 0" in capsys.readouterr().err


def test_too_little_memory_gets_a_sentence(monkeypatch, capsys):
    def fail(*_):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr(nn, "summary", fail)
    assert run_minires(monkeypatch, "summary", "resnet20", "--size", "900000") == 1
    text = " ".join(capsys.readouterr().err.split())
    assert text.startswith("Error: there is not enough memory: use smaller images or fewer at once")
    assert text.endswith("Unable to allocate 9 TiB")
