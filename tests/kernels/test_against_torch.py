"""The CPU kernels against PyTorch's: an independent check, also of the reference."""

import numpy as np
import pytest
from minires.kernels import cpu

from ..helpers import relative_error
from ..torch_oracle import (
    images_from_torch,
    images_to_torch,
    torch,
    weight_from_torch,
    weight_to_torch,
)

F = torch.nn.functional
CLOSE = {"rtol": 2e-5, "atol": 2e-5}  # both sides round: float32 sums of up to 600 terms
GRADS = {"rtol": 2e-5, "atol": 2e-3}  # sums over all pixels


def trained(array, convert=images_to_torch):
    return convert(array).requires_grad_()


@pytest.mark.parametrize(
    ("shape", "filters", "kernel", "stride", "padding"),
    [
        ((4, 32, 32, 3), 16, 3, 1, 1),
        ((4, 32, 32, 16), 16, 3, 1, 1),
        ((8, 8, 8, 64), 64, 3, 1, 1),
        ((4, 16, 16, 32), 64, 3, 2, 1),
        ((4, 16, 16, 32), 64, 1, 2, 0),
        ((1, 31, 29, 3), 24, 7, 2, 3),
    ],
)
def test_convolution(shape, filters, kernel, stride, padding, rng):
    x = rng.standard_normal(shape, np.float32)
    weight = rng.standard_normal((kernel, kernel, shape[3], filters), np.float32)
    tx, tw = trained(x), trained(weight, weight_to_torch)
    ty = F.conv2d(tx, tw, stride=stride, padding=padding)
    settings = {"stride": stride, "padding": padding}
    y = cpu.conv2d(x, weight, **settings)
    dy = rng.standard_normal(y.shape, np.float32)
    ty.backward(images_to_torch(dy))
    dx = cpu.conv2d_input_grad(dy, weight, x_shape=shape, **settings)
    dweight = cpu.conv2d_weight_grad(dy, x, kernel_size=(kernel, kernel), **settings)
    assert relative_error(y, images_from_torch(ty)) < 2e-5
    assert relative_error(dx, images_from_torch(tx.grad)) < 2e-5
    assert relative_error(dweight, weight_from_torch(tw.grad)) < 2e-5


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(training, rng):
    x, residual, dy = rng.standard_normal((3, 6, 7, 5, 20), np.float32)
    gamma, beta, mean = rng.standard_normal((3, 20), np.float32)
    var = rng.random(20, np.float32) + np.float32(0.5)
    tx, tr = trained(x), trained(residual)
    tg, tb = (torch.tensor(array, requires_grad=True) for array in (gamma, beta))
    running = torch.tensor(mean), torch.tensor(var)
    ty = F.relu(F.batch_norm(tx, *running, tg, tb, training, momentum=1.0, eps=1e-5) + tr)
    ty.backward(images_to_torch(dy))
    settings = {"residual": residual, "relu": True, "eps": 1e-5}
    if training:
        y, mean, var = cpu.batch_norm(x, gamma, beta, **settings)
        count = x[..., 0].size
        np.testing.assert_allclose(mean, running[0].numpy(), **CLOSE)
        np.testing.assert_allclose(var * count / (count - 1), running[1].numpy(), **CLOSE)
        grads = cpu.batch_norm_grad(dy, x, gamma, mean, var, eps=1e-5, y=y)
    else:
        y = cpu.batch_norm_eval(x, gamma, beta, mean, var, **settings)
        grads = cpu.batch_norm_eval_grad(dy, x, gamma, mean, var, eps=1e-5, y=y)
    np.testing.assert_allclose(y, images_from_torch(ty), **CLOSE)
    np.testing.assert_allclose(grads[0], images_from_torch(tx.grad), **CLOSE)
    np.testing.assert_allclose(grads[1], tg.grad.numpy(), **GRADS)
    np.testing.assert_allclose(grads[2], tb.grad.numpy(), **GRADS)
    np.testing.assert_allclose(grads[3], images_from_torch(tr.grad), **CLOSE)


@pytest.mark.parametrize(("size", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1)])
def test_pools(size, stride, padding, rng):
    x = rng.integers(-3, 4, (2, 9, 8, 11)).astype(np.float32)  # full of ties
    x[0, 3, 3] = np.nan
    settings = {"size": size, "stride": stride, "padding": padding}
    tx = trained(x)
    ty = F.max_pool2d(tx, size, stride, padding)
    y, argmax = cpu.max_pool(x, **settings)
    np.testing.assert_array_equal(y, images_from_torch(ty))
    dy = rng.integers(-9, 9, y.shape).astype(np.float32)
    ty.backward(images_to_torch(dy))
    dx = cpu.max_pool_grad(dy, argmax, x_shape=x.shape, **settings)
    np.testing.assert_array_equal(dx, images_from_torch(tx.grad))

    x = rng.standard_normal(x.shape, np.float32)
    tx = trained(x)
    ty = F.avg_pool2d(tx, size, stride, padding)
    ty.backward(images_to_torch(dy))
    np.testing.assert_allclose(cpu.avg_pool(x, **settings), images_from_torch(ty), **CLOSE)
    dx = cpu.avg_pool_grad(dy, x_shape=x.shape, **settings)
    np.testing.assert_allclose(dx, images_from_torch(tx.grad), **CLOSE)


@pytest.mark.parametrize("scale", [1, 1e3])
def test_cross_entropy(scale, rng):
    logits = (scale * rng.standard_normal((32, 10))).astype(np.float32)
    labels = rng.integers(0, 10, 32)
    tl = torch.tensor(logits, requires_grad=True)
    expected = F.cross_entropy(tl, torch.tensor(labels))
    expected.backward()
    loss, probabilities = cpu.softmax_cross_entropy(logits, labels)
    grad = cpu.softmax_cross_entropy_grad(probabilities, labels)
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-6)
    np.testing.assert_allclose(grad, tl.grad.numpy(), rtol=1e-4, atol=1e-8)


def test_sgd(rng):
    parameter, velocity = rng.standard_normal((3, 50), np.float32), np.zeros((3, 50), np.float32)
    tp = torch.tensor(parameter.copy(), requires_grad=True)
    optimiser = torch.optim.SGD([tp], lr=0.1, momentum=0.9, weight_decay=1e-2)
    for _ in range(5):
        grad = rng.standard_normal(parameter.shape, np.float32)
        tp.grad = torch.tensor(grad)
        optimiser.step()
        cpu.sgd_step(parameter, grad, velocity, lr=0.1, momentum=0.9, weight_decay=1e-2)
    np.testing.assert_allclose(parameter, tp.detach().numpy(), rtol=1e-5, atol=1e-6)
