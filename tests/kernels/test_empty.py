"""A batch without images: every implementation gives an empty result, or the same sentence."""

import numpy as np
import pytest
from minires.kernels.records import ConvNorm

from minires import Tensor, fusing, kernels, nn
from minires.models import cifar_resnet

from .suite import IMPLEMENTATIONS

SHAPE, POOL = (0, 6, 5, 16), {"size": 2, "stride": 2, "padding": 1}


def calls(dtype):
    """Each kernel's name, its arguments, and the shapes of its results."""
    x, weight, small = np.ones(SHAPE, dtype), np.ones((3, 3, 16, 16), dtype), np.ones(16, dtype)
    y = np.ones((0, 3, 3, 16), dtype)
    pooled, window = np.ones((0, 4, 3, 16), dtype), {"stride": 2, "padding": 1}
    layer = ConvNorm(weight, small, small, 1e-5, 1, 1)
    moments = (small, small)
    back = {"x_shape": SHAPE}
    return {
        "conv2d": ((x, weight), window, (y.shape,)),
        "conv2d_input_grad": ((y, weight), window | back, (SHAPE,)),
        "conv2d_weight_grad": ((y, x), window | {"kernel_size": (3, 3)}, (weight.shape,)),
        "im2col": ((x,), {"kernel_size": (3, 3), **window}, ((0, 3, 3, 144),)),
        "relu": ((x,), {}, (SHAPE,)),
        "relu_grad": ((x, x), {}, (SHAPE,)),
        "max_pool_grad": ((pooled, np.zeros(pooled.shape, np.uint8)), POOL | back, (SHAPE,)),
        "avg_pool": ((x,), POOL, (pooled.shape,)),
        "avg_pool_grad": ((pooled,), POOL | back, (SHAPE,)),
        "global_avg_pool": ((x,), {}, ((0, 16),)),
        "global_avg_pool_grad": ((np.ones((0, 16), dtype),), back, (SHAPE,)),
        "batch_norm_eval": ((x, small, small, *moments), {"eps": 1e-5}, (SHAPE,)),
        "conv2d_batch_norm_eval": ((x, layer, *moments), {}, (SHAPE,)),
        "matmul": ((np.ones((0, 16), dtype), np.ones((16, 3), dtype)), {}, ((0, 3),)),
    }


@pytest.mark.parametrize(("backend", "dtype"), IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS)
@pytest.mark.parametrize("name", calls(np.float32))
def test_the_result_is_empty(name, backend, dtype):
    arguments, settings, shapes = calls(dtype)[name]
    results = getattr(backend, name)(*arguments, **settings)
    results = results if isinstance(results, tuple) else (results,)
    assert tuple(r.shape for r in results[: len(shapes)]) == shapes
    assert all(r.dtype == dtype and not r.any() for r in results[: len(shapes)])


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_network_answers_nobody(dtype, fused):
    """In training batch norm has no statistics, as it has none of a single value."""
    model = cifar_resnet(8, dtype=dtype)
    images = Tensor(np.zeros((0, 32, 32, 3), dtype))
    with fusing(fused):
        with pytest.raises(ValueError, match="one value per channel, which has no variance"):
            model(images)
        assert model.eval()(images).shape == (0, 10)


def test_layers_pass_nothing_on(rng):
    layers = [nn.Conv2d(6, 6, 3, groups=3), nn.PReLU(6), nn.Conv2d(6, 4, (1, 2), bias=True)]
    x = Tensor(np.zeros((0, 8, 8, 6), np.float32), requires_grad=True)
    y = nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(24, 2))(x)
    y.sum().backward()
    assert (y.shape, x.grad.shape) == ((0, 2), x.shape)
    assert not any(layer.weight.grad.any() for layer in layers)


def test_the_loss_of_nothing_is_none():
    with pytest.raises(ValueError, match="the batch is empty"):
        kernels.softmax_cross_entropy(np.ones((0, 3), np.float32), np.zeros(0, np.int64))
    assert Tensor(np.zeros((0, 3))).mean(1).shape == Tensor(np.zeros((0, 3))).max(1).shape == (0,)
