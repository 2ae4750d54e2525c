"""Nesterov's momentum, AdamW, groups and clipping: PyTorch's results, and the same on a GPU."""

import re

import numpy as np
import pytest

from minires.nn import Parameter
from minires.optim import SGD, AdamW, Groups, clip_gradients
from tests.device import gpu

from .test_sgd import gradients, make_parameters

STEPS = 20

# ours, PyTorch's, both from parameters
OPTIMISERS = {
    "nesterov": (
        lambda p: SGD(p, lr=0.1, momentum=0.8, weight_decay=1e-2, nesterov=True),
        lambda torch, p: torch.optim.SGD(p, 0.1, 0.8, weight_decay=1e-2, nesterov=True),
    ),
    "AdamW": (AdamW, lambda torch, p: torch.optim.AdamW(p)),
    "AdamW with settings": (
        lambda p: AdamW(p, 0.02, betas=(0.7, 0.9), eps=1e-3, weight_decay=0.3),
        lambda torch, p: torch.optim.AdamW(p, 0.02, (0.7, 0.9), 1e-3, 0.3),
    ),
    "Adam": (
        lambda p: AdamW(p, weight_decay=0),
        lambda torch, p: torch.optim.Adam(p),
    ),
    "groups": (
        lambda p: Groups(SGD(p[:2], 0.1), SGD(p[2:], 0.02, momentum=0.5, weight_decay=0)),
        lambda torch, p: torch.optim.SGD(
            [
                {"params": p[:2], "weight_decay": 1e-4, "momentum": 0.9},
                {"params": p[2:], "lr": 0.02, "momentum": 0.5},
            ],
            lr=0.1,
        ),
    ),
}
EACH = pytest.mark.parametrize("make", [ours for ours, _ in OPTIMISERS.values()], ids=OPTIMISERS)


def give(parameters, grads):
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = grad


def run(optimiser, steps, convert=lambda grad: grad, max_norm=None):
    for step in steps:
        if step == STEPS // 2:
            optimiser.lr = optimiser.lr / 4
        give(optimiser.parameters, map(convert, gradients(step, optimiser.parameters[0].dtype)))
        if max_norm:
            clip_gradients(optimiser.parameters, max_norm)
        optimiser.step()


@pytest.mark.parametrize("max_norm", [None, 2.5])
@pytest.mark.parametrize(("make", "make_theirs"), OPTIMISERS.values(), ids=OPTIMISERS)
def test_twenty_steps_with_a_change_of_rate_equal_pytorchs(make, make_theirs, max_norm):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    ours = make_parameters()
    theirs = [torch.nn.Parameter(torch.tensor(p.data)) for p in ours]
    run(make(ours), range(STEPS), max_norm=max_norm)
    oracle = make_theirs(torch, theirs)
    for step in range(STEPS):
        for group in oracle.param_groups:
            group["lr"] /= 4 if step == STEPS // 2 else 1
        give(theirs, map(torch.tensor, gradients(step)))
        if max_norm:
            torch.nn.utils.clip_grad_norm_(theirs, max_norm)
        oracle.step()
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.data, other.detach().numpy(), rtol=1e-12)


@EACH
def test_a_run_that_was_saved_and_loaded_goes_on_bit_for_bit(make):
    whole, first = make(make_parameters()), make(make_parameters())
    run(whole, range(6))
    run(first, range(3))
    second = make([Parameter(p.data.copy()) for p in first.parameters])
    state = first.state_dict()
    run(first, range(1))  # the state is a copy
    second.load_state_dict(state)
    run(second, range(3, 6))
    for expected, actual in zip(whole.parameters, second.parameters, strict=True):
        np.testing.assert_array_equal(actual.data, expected.data)


@EACH
def test_float32_stays_float32_in_place_and_gradients_are_left_alone(make):
    optimiser = make(make_parameters(np.float32))
    arrays = [p.data for p in optimiser.parameters]
    optimiser.lr = np.float64(0.1)
    run(optimiser, range(2))
    for parameter, array, grad in zip(
        optimiser.parameters, arrays, gradients(1, np.float32), strict=True
    ):
        assert parameter.data is array
        assert parameter.dtype == np.float32
        np.testing.assert_array_equal(parameter.grad, grad)


@pytest.mark.cuda
@pytest.mark.parametrize("max_norm", [None, 2.5])
@EACH
def test_a_gpu_does_the_same(make, max_norm):
    ours = make(make_parameters())
    run(ours, range(STEPS), max_norm=max_norm)
    with gpu() as cupy:
        parameters = make_parameters()
        for parameter in parameters:
            parameter.move_to("cuda")
        theirs = make(parameters)
        run(theirs, range(STEPS), cupy.asarray, max_norm=max_norm)
        for mine, other in zip(ours.parameters, parameters, strict=True):
            np.testing.assert_allclose(other.data.get(), mine.data, rtol=1e-12)


def test_parameters_without_gradient_are_left_alone_and_not_counted():
    used, unused = Parameter(np.ones(2)), Parameter(np.ones(2))
    used.grad = np.ones(2)
    optimiser = AdamW([used, unused])
    optimiser.step()
    np.testing.assert_array_equal(unused.data, 1)
    assert [float(steps) for steps in optimiser.memory["steps"]] == [1, 0]


def test_clipping_returns_the_norm_and_leaves_small_gradients_alone():
    big, small, none = (Parameter(np.ones(2)) for _ in range(3))
    big.grad, small.grad = np.array([3.0, 0.0]), np.array([0.0, 4.0])
    assert clip_gradients([big, small, none], 6.0) == 5.0
    np.testing.assert_array_equal(small.grad, [0, 4])
    assert clip_gradients([big, small, none], 1.0) == 5.0
    np.testing.assert_allclose(big.grad, [0.6, 0], rtol=1e-6)


def test_a_gradient_that_two_parameters_share_is_clipped_once():
    a, b = Parameter(np.ones(1)), Parameter(np.ones(1))
    a.grad = b.grad = np.array([3.0])
    clip_gradients([a, b], np.sqrt(18) / 3)
    np.testing.assert_allclose([a.grad, b.grad], 1.0, rtol=1e-6)


ONE = Parameter(np.ones(1))
BAD = {
    "nesterov without momentum": (
        lambda: SGD([ONE], 0.1, momentum=0, nesterov=True),
        "the momentum, which must not be 0",
    ),
    "a beta of 1": (lambda: AdamW([ONE], betas=(0.9, 1)), "0 to below 1, but are (0.9, 1)"),
    "a negative eps": (lambda: AdamW([ONE], eps=-1), "AdamW: eps must be at least 0, but is -1"),
    "no group": (Groups, "there is no group"),
    "a group that is none": (lambda: Groups([ONE]), "each group must be a Optimizer, but is list"),
    "twice": (lambda: Groups(SGD([ONE], 1), SGD([ONE], 1)), "in two groups"),
    "no proportion": (
        lambda: Groups(SGD([ONE], 0), SGD(make_parameters(), 1)),
        "the first group's lr must not be 0",
    ),
    "no norm": (lambda: clip_gradients([ONE], 0), "max_norm must be more than 0, but is 0"),
}


@pytest.mark.parametrize(("call", "sentence"), BAD.values(), ids=BAD)
def test_what_does_not_fit_is_refused(call, sentence):
    with pytest.raises((ValueError, TypeError), match=re.escape(sentence)):
        call()
