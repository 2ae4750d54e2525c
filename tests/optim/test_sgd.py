"""SGD: PyTorch's convention, its state, and what it refuses."""

import numpy as np
import pytest

from minires.nn import Linear, Parameter, ReLU, Sequential
from minires.optim import SGD

SHAPES = [(3, 2), (4,), ()]


def make_parameters(dtype=np.float64):
    rng = np.random.default_rng(0)
    return [Parameter(rng.standard_normal(shape).astype(dtype)) for shape in SHAPES]


def gradients(step, dtype=np.float64):
    rng = np.random.default_rng(100 + step)
    return [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]


def step(optimiser, number):
    for parameter, grad in zip(optimiser.parameters, gradients(number), strict=True):
        parameter.grad = grad
    optimiser.step()


def test_one_step_by_hand():
    parameter = Parameter(np.array([10.0]))
    optimiser = SGD([parameter], lr=0.5, momentum=0.9, weight_decay=0.1)
    parameter.grad = np.array([2.0])
    optimiser.step()  # velocity 2 + 0.1 * 10 = 3
    assert parameter.data == 10 - 0.5 * 3
    optimiser.step()  # velocity 0.9 * 3 + 2 + 0.85
    assert parameter.data == pytest.approx(8.5 - 0.5 * (2.7 + 2 + 0.85), rel=1e-15)


def test_a_change_of_the_rate_acts_on_the_whole_velocity_at_once():
    """Where PyTorch's convention and Caffe's differ."""
    parameter = Parameter(np.array([0.0]))
    optimiser = SGD([parameter], lr=1.0, momentum=0.5, weight_decay=0.0)
    parameter.grad = np.array([1.0])
    optimiser.step()
    optimiser.lr = 0.1
    optimiser.step()
    assert parameter.data == pytest.approx(-1 - 0.1 * 1.5, rel=1e-15)


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.9, 1e-2), (0.9, 0), (0, 1e-2), (0, 0)])
def test_ten_steps_with_a_change_of_rate_equal_pytorchs(momentum, weight_decay):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    ours = make_parameters()
    theirs = [torch.nn.Parameter(torch.tensor(p.data)) for p in ours]
    settings = {"lr": 0.1, "momentum": momentum, "weight_decay": weight_decay}
    optimiser, oracle = SGD(ours, **settings), torch.optim.SGD(theirs, **settings)
    for number in range(10):
        if number == 6:
            optimiser.lr = oracle.param_groups[0]["lr"] = 0.01
        for parameter, grad in zip(theirs, gradients(number), strict=True):
            parameter.grad = torch.tensor(grad)
        oracle.step()
        step(optimiser, number)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.data, other.detach().numpy(), rtol=1e-13)


def test_gradients_are_not_changed():
    optimiser = SGD(make_parameters(), lr=0.1)
    step(optimiser, 0)
    for parameter, grad in zip(optimiser.parameters, gradients(0), strict=True):
        np.testing.assert_array_equal(parameter.grad, grad)


def test_parameters_stay_the_same_arrays_of_the_same_dtype():
    parameters = make_parameters(np.float32)
    arrays = [p.data for p in parameters]
    optimiser = SGD(parameters, lr=0.1)
    for parameter, grad in zip(parameters, gradients(0, np.float32), strict=True):
        parameter.grad = grad
    optimiser.step()
    for parameter, array in zip(parameters, arrays, strict=True):
        assert parameter.data is array
        assert parameter.dtype == np.float32


def test_a_parameter_without_gradient_is_left_alone():
    used, unused = Parameter(np.ones(2)), Parameter(np.ones(2))
    used.grad = np.ones(2)
    optimiser = SGD([used, unused], lr=0.1, weight_decay=0.5)
    optimiser.step()
    assert not np.array_equal(used.data, np.ones(2))
    np.testing.assert_array_equal(unused.data, np.ones(2))


def test_zero_grad_forgets_gradients_but_not_velocities():
    optimiser = SGD(make_parameters(), lr=0.1)
    step(optimiser, 0)
    optimiser.zero_grad()
    assert all(p.grad is None for p in optimiser.parameters)
    assert all(np.any(v) for v in optimiser.velocities)


def test_a_run_that_was_saved_and_loaded_goes_on_bit_for_bit():
    whole = SGD(make_parameters(), lr=0.1)
    for number in range(6):
        step(whole, number)
    first = SGD(make_parameters(), lr=0.1)
    for number in range(3):
        step(first, number)
    second = SGD([Parameter(p.data.copy()) for p in first.parameters], lr=0.1)
    second.load_state_dict(first.state_dict())
    for number in range(3, 6):
        step(second, number)
    for expected, actual in zip(whole.parameters, second.parameters, strict=True):
        np.testing.assert_array_equal(actual.data, expected.data)


def test_a_state_is_a_copy():
    optimiser = SGD(make_parameters(), lr=0.1)
    step(optimiser, 0)
    state = optimiser.state_dict()
    before = {name: array.copy() for name, array in state.items()}
    step(optimiser, 1)
    for name, array in state.items():
        np.testing.assert_array_equal(array, before[name])


def test_a_state_of_other_parameters_is_refused_whole():
    optimiser = SGD(make_parameters(), lr=0.1)
    state = {name: array + 1 for name, array in optimiser.state_dict().items()}
    state["velocity.1"] = np.ones(5)
    state["velocity.3"] = np.ones(1)
    with pytest.raises(ValueError, match="does not fit the SGD") as caught:
        optimiser.load_state_dict(state)
    assert "velocity.1: expected (4,) float64, but got (5,) float64" in str(caught.value)
    assert "unexpected: velocity.3 (1,)" in str(caught.value)
    assert not any(np.any(v) for v in optimiser.velocities)


BAD_SETTINGS = {
    "no parameters": ([], {"lr": 0.1}, "there are no parameters to train: pass model.parameters"),
    "negative rate": (SHAPES, {"lr": -0.1}, "lr must be at least 0, but is -0.1"),
    "rate that is no number": (SHAPES, {"lr": float("nan")}, "lr must be at least 0, but is nan"),
    "negative momentum": (SHAPES, {"lr": 1, "momentum": -1}, "momentum must be at least 0"),
    "negative decay": (SHAPES, {"lr": 1, "weight_decay": -1}, "weight_decay must be at least 0"),
}


@pytest.mark.parametrize(
    ("shapes", "settings", "sentence"), BAD_SETTINGS.values(), ids=BAD_SETTINGS.keys()
)
def test_bad_settings_are_refused(shapes, settings, sentence):
    with pytest.raises(ValueError, match=f"SGD: {sentence}"):
        SGD([Parameter(np.ones(shape)) for shape in shapes], **settings)


def test_the_same_parameter_twice_is_refused():
    """It would be moved twice a step."""
    parameter = Parameter(np.ones(2))
    with pytest.raises(ValueError, match="SGD: a parameter is given twice"):
        SGD([parameter, Parameter(np.ones(2)), parameter], lr=0.1)


def test_a_gradient_of_another_shape_is_refused():
    parameter = Parameter(np.ones(2))
    parameter.grad = np.ones((1, 2))
    with pytest.raises(ValueError, match="sgd_step: shapes must be equal"):
        SGD([parameter], lr=0.1).step()


@pytest.mark.parametrize(
    "wrong",
    [
        {"lr": "0.1"},
        {"lr": None},
        {"lr": [0.1]},
        {"lr": 0.1, "momentum": "0.9"},
        {"lr": 0.1, "weight_decay": None},
    ],
    ids=str,
)
def test_settings_are_numbers(wrong):
    with pytest.raises(TypeError, match=rf"SGD: {list(wrong)[-1]} must be a number, but is"):
        SGD(make_parameters(), **wrong)


@pytest.mark.parametrize("rate", [np.float32(0.1), np.float64(0.1), 1])
def test_numpys_numbers_are_numbers(rate):
    assert SGD(make_parameters(), rate).lr == rate


MODEL = Linear(2, 2)
NO_PARAMETERS = {
    "a module": (MODEL, "got a Linear: pass model.parameters()"),
    "modules": (Sequential(MODEL, ReLU()), "got a Sequential: pass model.parameters()"),
    "a parameter": (MODEL.weight, "got a Parameter: pass a list, [parameter]"),
    "pairs": (MODEL.named_parameters(), "got tuple (('weight', <"),
    "names": (MODEL.state_dict(), "got str ('weight'): pass model.parameters()"),
    "groups": ([{"params": [MODEL.weight]}], "groups with settings of their own are an SGD each"),
    "arrays": ([np.ones(2)], "got ndarray"),
    "nothing": (None, "got NoneType"),
}


@pytest.mark.parametrize(("given", "sentence"), NO_PARAMETERS.values(), ids=NO_PARAMETERS.keys())
def test_what_is_no_parameter_is_named(given, sentence):
    with pytest.raises(TypeError) as caught:
        SGD(given, lr=0.1)
    assert sentence in str(caught.value)


def test_the_result_of_an_operation_is_no_parameter():
    with pytest.raises(TypeError, match="got the result of an operation, whose gradient is not"):
        SGD([Parameter(np.ones(2)) * 2.0], lr=0.1)
