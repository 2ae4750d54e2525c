"""The gradient check itself: it passes what is right, refuses what is wrong, and says where."""

import numpy as np
import pytest

from minires import Function, GradcheckError, KinkError, Tensor, gradcheck
from minires.nn import BatchNorm2d, MaxPool2d
from minires.nn.functional import relu
from tests.helpers import leaf


def function(forward, backward):
    """A function of one array with a given derivative, right or wrong."""

    class Given(Function):
        @staticmethod
        def forward(ctx, a):
            ctx.save(a=a)
            return forward(a)

        @staticmethod
        def backward(ctx, grad):
            return backward(grad, ctx.saved.a)

    return Given.apply


# --------------------------------------------------------------- right and wrong batch norms

AXES = (0, 1, 2)


def statistics(x):
    std = np.sqrt(x.var(AXES) + 1e-5)
    return (x - x.mean(AXES)) / std, std


def batch_norm_with(backward):
    return function(lambda x: statistics(x)[0], lambda dy, x: backward(dy, *statistics(x)))


def right(dy, x_hat, std):
    return (dy - dy.mean(AXES) - x_hat * (dy * x_hat).mean(AXES)) / std


WRONG_BATCH_NORMS = {
    "zeros": lambda dy, x_hat, std: np.zeros_like(dy),
    "no variance term": lambda dy, x_hat, std: (dy - dy.mean(AXES)) / std,
    "no mean term": lambda dy, x_hat, std: (dy - x_hat * (dy * x_hat).mean(AXES)) / std,
    "statistics as constants": lambda dy, x_hat, std: dy / std,
    "not divided by std": lambda dy, x_hat, std: right(dy, x_hat, 1.0),
    "sums for means": lambda dy, x_hat, std: (
        (dy - dy.sum(AXES) - x_hat * (dy * x_hat).sum(AXES)) / std
    ),
    "one part in a hundred thousand": lambda dy, x_hat, std: 1.00001 * right(dy, x_hat, std),
}


def test_the_right_batch_norm_passes(rng):
    report = gradcheck(batch_norm_with(right), rng.standard_normal((3, 2, 2, 2)), rng=rng)
    assert not report.wrong


@pytest.mark.parametrize("wrong", WRONG_BATCH_NORMS.values(), ids=WRONG_BATCH_NORMS.keys())
def test_wrong_batch_norms_are_refused(wrong, rng):
    with pytest.raises(GradcheckError, match="the gradient is wrong"):
        gradcheck(batch_norm_with(wrong), rng.standard_normal((3, 2, 2, 2)), rng=rng)


@pytest.mark.parametrize("name", ["zeros", "no variance term"])
def test_a_sum_for_a_cotangent_would_not_notice(name, rng):
    """Why the cotangent is random: summed, the normalised values give a constant."""
    wrong = batch_norm_with(WRONG_BATCH_NORMS[name])
    gradcheck(lambda x: wrong(x).sum(), rng.standard_normal((3, 2, 2, 2)), rng=rng)


# ------------------------------------------------------------------------- other wrong answers


def test_a_wrong_element_among_right_ones_is_named_with_both_values(rng):
    def backward(grad, a):
        dx = 3 * a**2 * grad
        dx[1, 2] *= 1.5
        return dx

    cube = function(lambda a: a**3, backward)
    with pytest.raises(GradcheckError) as caught:
        gradcheck(lambda speed: cube(speed), np.full((2, 3), 2.0), rng=rng)
    assert "BAD input 'speed' at (1, 2): backward says" in str(caught.value)
    said, found = (
        float(str(caught.value).split(f"{who} say{s} ")[1].split(",")[0])
        for who, s in (("backward", "s"), ("differences", ""))
    )
    assert said / found == pytest.approx(1.5, rel=1e-6)


def test_only_the_wrong_input_is_called_bad(rng):
    class Skewed(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save(a=a, b=b)
            return a * b

        @staticmethod
        def backward(ctx, grad):
            return grad * ctx.saved.b, 2 * grad * ctx.saved.a

    with pytest.raises(GradcheckError) as caught:
        gradcheck(lambda left, right: Skewed.apply(left, right), *rng.random((2, 4)), rng=rng)
    assert "ok  input 'left'" in str(caught.value)
    assert "BAD input 'right'" in str(caught.value)


def test_a_wrong_element_that_was_not_picked_is_found_along_the_random_direction(rng):
    def backward(grad, a):
        dx = grad.copy()
        dx[-1] = 0
        return dx

    almost = function(lambda a: a * 1.0, backward)
    with pytest.raises(GradcheckError, match="random direction"):
        gradcheck(almost, rng.random(20), rng=rng, max_elements=0)


def test_a_gradient_that_goes_nowhere_is_refused(rng):
    """The function depends on its input, but computes with a copy that has no history."""
    with pytest.raises(GradcheckError, match=r"backward says -?0,"):
        gradcheck(lambda x: x.detach() * 2 + x * 0, rng.random(3), rng=rng)


def test_an_input_that_has_no_effect_has_a_gradient_of_zero(rng):
    report = gradcheck(lambda x, unused: x * x, rng.random(3), rng.random(2), rng=rng)
    assert report.worst["unused"].analytic == 0


NOT_A_NUMBER = {
    "in backward": (lambda a: a * 1.0, lambda grad, a: grad * np.nan),
    "in one element of backward": (
        lambda a: a * 1.0,
        lambda grad, a: np.where(np.arange(a.size) == 1, np.nan, grad),
    ),
    "in forward": (lambda a: a * np.nan, lambda grad, a: grad),
    "in both": (lambda a: a * np.nan, lambda grad, a: grad * np.nan),
    "infinite backward": (lambda a: a * 1.0, lambda grad, a: grad * np.inf),
    "infinite forward": (lambda a: a + np.inf, lambda grad, a: grad),
}


@pytest.mark.parametrize("pair", NOT_A_NUMBER.values(), ids=NOT_A_NUMBER.keys())
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_not_a_number_is_never_right(pair, rng):
    with pytest.raises(GradcheckError, match="BAD"):
        gradcheck(function(*pair), rng.random(3), rng=rng)


# -------------------------------------------------------------------------------------- kinks


def absolute(x):
    return function(np.abs, lambda grad, a: grad * np.sign(a))(x)


@pytest.mark.parametrize("distance", [0.0, 1e-7, -3e-6, 9e-6])
@pytest.mark.parametrize("kinked", [relu, absolute])
def test_a_kink_within_reach_is_called_a_kink(kinked, distance, rng):
    x = np.array([1.0, distance, -1.0])
    with pytest.raises(KinkError, match=r"at \(1,\).*kink within 1e-05 of there.*move the inputs"):
        gradcheck(kinked, x, rng=rng)


@pytest.mark.parametrize("kinked", [relu, absolute])
def test_away_from_its_kink_a_function_is_checked(kinked, rng):
    gradcheck(kinked, np.array([1.0, 1e-3, -1e-3, -1.0]), rng=rng)


def test_a_tie_in_a_maximum_is_a_kink(rng):
    x = np.ones((1, 2, 2, 1))
    with pytest.raises(KinkError):
        gradcheck(MaxPool2d(2), x, rng=rng)


CURVED = {
    "exp(60 x)": lambda x: (x * 60).exp(),
    "x ** 12": lambda x: (x * 3) ** 12,
    "1 / x near its pole": lambda x: 1 / (x + 0.01),
}


@pytest.mark.parametrize("curved", CURVED.values(), ids=CURVED.keys())
def test_strong_curvature_alone_is_no_fault(curved, rng):
    gradcheck(curved, rng.uniform(0.1, 0.5, 5), rng=rng)


@pytest.mark.parametrize("factor", [0.0, 0.999, 2.0])
@pytest.mark.parametrize("curved", CURVED.values(), ids=CURVED.keys())
def test_a_wrong_gradient_is_not_excused_by_curvature(curved, factor, rng):
    scaled = function(lambda a: a * 1.0, lambda grad, a: factor * grad)
    with pytest.raises(GradcheckError):
        gradcheck(lambda x: curved(scaled(x)), rng.uniform(0.1, 0.5, 5), rng=rng)


# ------------------------------------------------------------------------------ use and misuse


def test_float32_is_refused(rng):
    with pytest.raises(TypeError, match=r"input 'x' is float32, but differences need float64: .*a"):
        gradcheck(lambda x: x * 2, np.ones(3, np.float32), rng=rng)


def test_a_tensor_that_was_computed_is_refused(rng):
    computed = leaf([1.0]) * 2
    with pytest.raises(ValueError, match="'x' was computed from other tensors"):
        gradcheck(lambda x: x * 2, computed, rng=rng)


def test_parameters_that_the_function_closes_over_can_be_checked(rng):
    layer = BatchNorm2d(3, dtype=np.float64)
    layer.weight.name = "gamma"

    def f(x, *_):
        return layer(x)

    report = gradcheck(f, rng.random((2, 2, 2, 3)), layer.weight, layer.bias, rng=rng)
    assert list(report.worst) == ["x", "gamma", "input 2"]


def test_the_inputs_are_left_as_they_were(rng):
    x, array = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    before = x.data
    gradcheck(lambda a, b: a * b, x, array, rng=rng)
    assert x.data is before
    np.testing.assert_array_equal(before, [1, 2])
    np.testing.assert_array_equal(array, [3, 4])


def test_a_failing_check_leaves_the_inputs_as_they_were(rng):
    x = leaf([1.0, 0.0])
    with pytest.raises(KinkError):
        gradcheck(relu, x, rng=rng)
    np.testing.assert_array_equal(x.data, [1, 0])


def test_large_inputs_are_sampled_and_small_ones_are_checked_whole(rng):
    report = gradcheck(lambda a, b: a * b, *rng.random((2, 40)), rng=rng, max_elements=7)
    places = [c.place for c in report.comparisons if c.name == "a"]
    assert len(set(places)) == 8
    assert places[-1] == "random direction"
    assert len(gradcheck(lambda a: a * 2, rng.random(40), rng=rng).comparisons) == 41


def test_the_same_generator_gives_the_same_report():
    reports = [
        gradcheck(lambda x: x.exp(), np.ones(5), rng=np.random.default_rng(3)) for _ in range(2)
    ]
    assert reports[0] == reports[1]


def test_a_report_prints_the_worst_of_every_input(rng):
    text = str(gradcheck(lambda left, right: left * right, *rng.random((2, 3)), rng=rng))
    assert [line.split(" at ")[0] for line in text.splitlines()] == [
        "ok  input 'left'",
        "ok  input 'right'",
    ]


def test_an_empty_or_scalar_input_is_checked(rng):
    gradcheck(lambda x: x * x, np.array(3.0), rng=rng)
    gradcheck(lambda x: x * x, np.zeros((0, 2)), rng=rng)


def test_a_scaled_function_is_judged_in_its_own_units(rng):
    """A gradient that is wrong by a tenth is wrong at any scale of the function."""
    for scale in (1e-6, 1.0, 1e6):
        double = function(lambda a, s=scale: s * a, lambda grad, a, s=scale: 1.1 * s * grad)
        with pytest.raises(GradcheckError):
            gradcheck(double, rng.random(4), rng=rng)


def test_a_tensor_keeps_its_own_name(rng):
    report = gradcheck(lambda x: x * 1.0, Tensor(np.ones(2), name="velocity"), rng=rng)
    assert list(report.worst) == ["velocity"]


def test_inputs_of_the_same_name_are_told_apart(rng):
    x, y = (Tensor(rng.random(2), name="w") for _ in range(2))
    report = gradcheck(lambda a, b: a * b, x, y, rng=rng)
    assert list(report.worst) == ["w (input 0)", "w (input 1)"]


def test_a_function_that_gives_another_result_each_time_is_told(rng):
    with pytest.raises(ValueError, match="another result each time"):
        gradcheck(lambda x: x * float(rng.random()), rng.random(3), rng=rng)


@pytest.mark.parametrize("f", [lambda x: (x, x), lambda x: None, lambda x: x.data, lambda x: 3.0])
def test_what_a_function_must_return_is_told(f, rng):
    with pytest.raises(TypeError, match=r"f must return a Tensor, but returned (tuple|None|nd|fl)"):
        gradcheck(f, rng.random(3), rng=rng)


@pytest.mark.parametrize("wants_one", [False, True])
def test_a_tensor_that_is_given_is_left_as_it_was(wants_one, rng):
    x, grad = Tensor(rng.random(3), requires_grad=wants_one), rng.random(3)
    x.grad = grad
    gradcheck(lambda x: x * x, x, rng=rng)
    assert x.requires_grad == wants_one
    assert x.grad is grad
