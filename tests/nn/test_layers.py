"""PReLU, dropout, adaptive and rounded-up pooling, convolutions with what follows them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minires
from minires import Tensor, gradcheck, recompute
from minires.models import cifar_resnet, resnet
from minires.nn import AdaptiveAvgPool2d, Conv2d, Dropout, Linear, MaxPool2d, PReLU
from minires.nn import functional as F
from minires.nn.fused import ConvolveAdd
from tests.helpers import away_from_zero, distinct, generators, gradcheck_where_smooth, leaf


@pytest.mark.parametrize("channels", [1, 3])
def test_prelu(channels, rng):
    layer = PReLU(channels, dtype=np.float64)
    layer.weight[...] = rng.uniform(-0.5, 0.9, channels)
    x = away_from_zero(rng, (2, 3, 2, 3))
    expected = np.where(x > 0, x, layer.weight.data * x)
    np.testing.assert_allclose(layer(Tensor(x)).data, expected, rtol=1e-15)
    gradcheck(lambda x, _: layer(x), x, layer.weight, rng=rng)


def test_prelu_starts_at_a_quarter_as_in_the_paper():
    np.testing.assert_array_equal(PReLU(2)(Tensor([[-4.0, 4.0]])).data, [[-1, 4]])


def test_prelu_with_slopes_for_other_channels_is_refused():
    with pytest.raises(ValueError, match=r"it has 4 slopes, but x has 3 channels \(2, 3\)"):
        PReLU(4)(Tensor(np.zeros((2, 3), np.float32)))


# ------------------------------------------------------------------- generators and geometry


def test_layers_without_a_generator_draw_from_the_packages():
    def weights():
        return [layer.weight.data for layer in (Conv2d(3, 4, 3), Linear(4, 5), Linear(4, 5))]

    minires.seed(3)
    first, other = weights(), weights()
    minires.seed(3)
    again = weights()
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
        assert a.std() > 0.1
    assert not np.array_equal(first[1], first[2])


def test_networks_and_layers_of_their_own_seed_do_not_depend_on_the_packages():
    def state():
        layer = Linear(2, 2, rng=np.random.default_rng(1))
        return [*cifar_resnet(8).state_dict().values(), layer.weight.data]

    minires.seed(1)
    first = state()
    Linear(2, 2)  # draws
    for a, b in zip(first, state(), strict=True):
        np.testing.assert_array_equal(a, b)
    minires.seed(1)
    drawn = cifar_resnet(8, seed=None).fc.weight.data
    assert not np.array_equal(drawn, cifar_resnet(8, seed=None).fc.weight.data)
    minires.seed(1)
    np.testing.assert_array_equal(drawn, cifar_resnet(8, seed=None).fc.weight.data)


def test_weights_are_zeros_only_where_somebody_says_so():
    for seed, is_zero in (("zeros", True), (0, False), (None, False)):
        for model in (cifar_resnet(8, seed=seed), resnet(18, seed=seed)):
            weights = [p for p in model.parameters() if p.ndim > 1]
            assert all(is_zero != p.data.any() for p in weights)


@pytest.mark.parametrize("kernel", [(1, 3), (3, 1), [2, 5]], ids=str)
def test_a_kernel_with_other_rows_than_columns(kernel, rng):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    layer = Conv2d(2, 3, kernel, 2, 1, bias=True, dtype=np.float64)
    x = rng.standard_normal((2, 6, 7, 2))
    gradcheck(lambda x, *_: layer(x), x, layer.weight, layer.bias, rng=rng)
    rows, columns = kernel
    assert layer.weight.shape == (rows, columns, 2, 3)
    weight = torch.tensor(layer.weight.data.transpose(3, 2, 0, 1))
    expected = torch.conv2d(torch.tensor(x.transpose(0, 3, 1, 2)), weight, stride=2, padding=1)
    result = layer(Tensor(x)).data.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(result, expected.numpy(), rtol=1e-12, atol=1e-14)
    assert layer.multiply_adds((1, 3, 3, 3)) == 27 * rows * columns * 2
    assert repr(layer).startswith(f"Conv2d(2, 3, kernel_size=({rows}, {columns}), stride=2")


def test_a_linear_layer_without_a_bias(rng):
    layer = Linear(3, 2, bias=False)
    x = rng.standard_normal((4, 3)).astype(np.float32)
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    np.testing.assert_allclose(layer(Tensor(x)).data, x @ layer.weight.data, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------------------------- dropout


def test_dropout_keeps_the_mean_and_drops_its_share():
    y = Dropout(0.25)(Tensor(np.ones((100, 100)))).data
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.02)
    np.testing.assert_allclose(y[y != 0], 4 / 3)


def test_dropout_does_nothing_in_evaluation():
    x = Tensor(np.ones((2, 3)))
    assert Dropout(0.5).eval()(x) is x


def test_dropouts_gradient_goes_where_the_values_went(rng):
    x = leaf(rng.standard_normal((5, 7)))
    y = Dropout(0.5)(x)
    dy = rng.standard_normal((5, 7))
    y.backward(dy)
    np.testing.assert_allclose(x.grad, dy * (y.data / x.data), rtol=1e-12)


def test_dropouts_masks_follow_from_seed_and_batch():
    x = Tensor(np.ones((4, 50)))
    first, again, other = Dropout(seed=1), Dropout(seed=1), Dropout(seed=(1, 2))
    masks = [first(x).data for _ in range(2)]
    assert not np.array_equal(*masks)
    again.load_state_dict(first.state_dict())  # as after two batches
    np.testing.assert_array_equal(again(x).data, first(x).data)
    assert not np.array_equal(other(x).data, masks[0])


def test_a_recomputed_dropout_draws_the_same_mask(rng):
    layer, x = Dropout(0.5), leaf(rng.standard_normal((3, 4)))
    y = recompute(layer, x)
    y.backward(np.ones((3, 4)))
    np.testing.assert_array_equal(x.grad, y.data / x.data)


@pytest.mark.parametrize("p", [-0.1, 1, 2])
def test_dropping_everything_is_refused(p):
    with pytest.raises(ValueError, match="p must be at least 0 and less than 1"):
        Dropout(p)


# ------------------------------------------------------------------------------------- pooling


@pytest.mark.parametrize("shape", [(2, 14, 9, 3), (1, 4, 4, 2), (2, 1, 2, 1), (1, 5, 3, 2)])
@pytest.mark.parametrize("size", [1, 4])
def test_adaptive_pooling(shape, size, rng):
    gradcheck(AdaptiveAvgPool2d(size), rng.standard_normal(shape), rng=rng)


def test_adaptive_pooling_by_hand():
    x = np.arange(5.0).reshape(1, 5, 1, 1) * np.ones((1, 1, 2, 1))
    y = AdaptiveAvgPool2d(2)(Tensor(x)).data
    np.testing.assert_allclose(y[0, :, :, 0], [[1, 1], [3, 3]])  # rows 0 to 2, and 2 to 4


def test_a_map_that_fits_is_handed_on():
    x = Tensor(np.ones((1, 3, 3, 2)))
    assert AdaptiveAvgPool2d(3)(x) is x


def test_rounding_up_pools_what_is_left_over():
    x = np.arange(5.0).reshape(1, 1, 5, 1) - 10  # negative: padding must not win
    pool = MaxPool2d(2, stride=2, ceil=True)
    y = pool(Tensor(np.concatenate([x, x - 5], axis=1)))
    np.testing.assert_array_equal(y.data.ravel(), [-9, -7, -6])


@given(
    size=st.integers(1, 3),
    stride=st.integers(1, 4),
    shape=st.tuples(st.integers(1, 2), st.integers(3, 7), st.integers(3, 7), st.integers(1, 2)),
    rng=generators,
)
def test_the_gradient_of_rounded_up_pooling(size, stride, shape, rng):
    pool = MaxPool2d(size, stride=stride, padding=size // 2, ceil=True)
    gradcheck(pool, distinct(rng, shape), rng=rng, max_elements=20)


# -------------------------------------------------------------- convolutions and what follows


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("relu", [False, True])
def test_a_convolution_with_what_follows_it(bias, add, relu, rng):
    geometry = {"stride": 2, "padding": 1}

    def draw():
        optional = [rng.standard_normal(3)] * bias + [rng.standard_normal((2, 3, 2, 3))] * add
        return rng.standard_normal((2, 5, 4, 2)), rng.standard_normal((3, 3, 2, 3)), *optional

    def fused(x, weight, *rest):
        rest = [rest[0] if bias else None, rest[-1] if add else None]
        return ConvolveAdd.apply(x, weight, *rest, relu=relu, **geometry)

    def by_steps(x, weight, *rest):
        y = F.conv2d(x, weight, **geometry)
        for term in rest:
            y = y + term
        return F.relu(y) if relu else y

    arrays = [Tensor(a) for a in draw()]
    np.testing.assert_allclose(fused(*arrays).data, by_steps(*arrays).data, rtol=1e-12, atol=1e-14)
    gradcheck_where_smooth(fused, draw, rng=rng, max_elements=20)


@pytest.mark.parametrize("algorithm", ["auto", "im2col", "direct", "winograd"])
def test_a_convolution_with_a_bias(algorithm, rng):
    """By each algorithm, and what it keeps for the gradient."""
    arrays = [rng.standard_normal(shape) for shape in ((2, 5, 4, 2), (3, 3, 2, 3), (3,))]
    x, weight, bias = map(Tensor, arrays)
    y = F.conv2d(x, weight, bias, padding=1, algorithm=algorithm)
    np.testing.assert_allclose(y.data, F.conv2d(x, weight, padding=1).data + bias.data, rtol=1e-12)
    f = lambda *inputs: F.conv2d(*inputs, padding=1, algorithm=algorithm)  # noqa: E731
    gradcheck(f, *arrays, rng=rng, max_elements=20)
