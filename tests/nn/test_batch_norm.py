"""Batch norm's two modes and its running statistics."""

import numpy as np
import pytest

from minires import Tensor, gradcheck
from minires.nn import BatchNorm2d
from tests.helpers import leaf


@pytest.fixture
def layer():
    return BatchNorm2d(2, momentum=0.25, dtype=np.float64)


@pytest.fixture
def x(rng):
    return 3 * rng.standard_normal((2, 2, 3, 2)) + 5


def test_in_training_every_channel_has_mean_zero_and_biased_variance_one(layer, x):
    y = layer(Tensor(x)).data
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-14)
    np.testing.assert_allclose(y.var((0, 1, 2)), x.var((0, 1, 2)) / (x.var((0, 1, 2)) + 1e-5))


def test_scale_and_shift_come_last(layer, x):
    layer.weight[...] = np.array([2.0, -1.0])
    layer.bias[...] = np.array([0.5, 3.0])
    y = layer(Tensor(x)).data
    np.testing.assert_allclose(y.mean((0, 1, 2)), [0.5, 3.0], rtol=1e-13)
    np.testing.assert_allclose(y.std((0, 1, 2)), [2.0, 1.0], rtol=1e-5)


def test_running_statistics_start_at_mean_zero_and_variance_one(layer):
    np.testing.assert_array_equal(layer.running_mean, [0, 0])
    np.testing.assert_array_equal(layer.running_var, [1, 1])


def test_a_training_batch_moves_them_by_momentum_towards_its_unbiased_statistics(layer, x):
    layer(Tensor(x))
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(layer.running_mean, 0.75 * 0 + 0.25 * mean, rtol=1e-13)
    np.testing.assert_allclose(layer.running_var, 0.75 * 1 + 0.25 * var, rtol=1e-13)


def test_evaluation_uses_the_running_statistics_and_leaves_them(layer, x):
    layer(Tensor(x))
    mean, var = layer.running_mean.copy(), layer.running_var.copy()
    y = layer.eval()(Tensor(x)).data
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5), rtol=1e-13)
    np.testing.assert_array_equal(layer.running_mean, mean)
    np.testing.assert_array_equal(layer.running_var, var)


def test_evaluation_does_not_depend_on_the_other_images(layer, x):
    layer(Tensor(x))
    layer.eval()
    together, alone = layer(Tensor(x)).data[:1], layer(Tensor(x[:1])).data
    np.testing.assert_array_equal(together, alone)


def test_the_gradient_in_evaluation_takes_the_statistics_as_constants(layer, x, rng):
    layer.running_var[...] = [4.0, 0.25]
    layer.eval()
    gradcheck(lambda x, *_: layer(x), x, layer.weight, layer.bias, rng=rng)


def test_the_gradient_in_training_goes_through_the_statistics(layer, x, rng):
    gradcheck(lambda x, *_: layer(x), x, layer.weight, layer.bias, rng=rng)


def test_a_training_batch_between_forward_and_backward_does_not_disturb_an_evaluation(layer, x):
    """Its gradient needs the statistics as they were."""
    layer(Tensor(x))

    def gradient(disturbed):
        leaf_x = leaf(x)
        y = layer.eval()(leaf_x)
        if disturbed:
            layer.train()(Tensor(2 * x))
        y.backward(np.ones(x.shape))
        return leaf_x.grad

    np.testing.assert_array_equal(gradient(False), gradient(True))


def test_a_constant_channel_gives_the_shift_and_a_finite_gradient(layer):
    x = leaf(np.full((2, 2, 2, 2), 7.0))
    y = layer(x)
    y.backward(np.ones(x.shape))
    np.testing.assert_array_equal(y.data, np.zeros(x.shape))
    assert np.isfinite(x.grad).all()


def test_one_value_per_channel_is_refused_in_training_and_fine_in_evaluation(layer):
    x = Tensor(np.ones((1, 1, 1, 2)))
    with pytest.raises(ValueError, match="one value per channel, which has no variance"):
        layer(x)
    np.testing.assert_array_equal(layer.running_mean, [0, 0])
    assert np.isfinite(layer.eval()(x).data).all()


def test_another_number_of_channels_is_refused(layer):
    with pytest.raises(ValueError, match=r"x has 3 channels \(1, 2, 2, 3\)"):
        layer(Tensor(np.ones((1, 2, 2, 3))))
