"""Pooling of regions and the losses of detection: gradients by differences, values by PyTorch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minires import Tensor, gradcheck
from minires.nn import functional as F

from ..helpers import distinct, generators, leaf


@given(rng=generators, aligned=st.booleans(), sampling=st.integers(0, 2))
def test_roi_align(rng, aligned, sampling):
    boxes, images = rng.uniform(-8, 80, (3, 4)), np.array([0, 1, 0])
    boxes[:, 2:] += boxes[:, :2]
    settings = {"size": (2, 3), "scale": 1 / 16, "aligned": aligned, "sampling": sampling}
    x = rng.standard_normal((2, 5, 4, 2))
    gradcheck(lambda x: F.roi_align(x, boxes, images, **settings), x, rng=rng)


@given(rng=generators)
def test_roi_max_pool(rng):
    """No two values are nearer than the step of the differences."""
    boxes, images = rng.uniform(-8, 80, (3, 4)), np.array([0, 1, 0])
    x = distinct(rng, (2, 5, 4, 2))
    gradcheck(lambda x: F.roi_max_pool(x, boxes, images, size=(2, 3), scale=1 / 16), x, rng=rng)


def test_regions_that_share_a_pixel_add_their_gradients(rng):
    x = leaf(rng.standard_normal((1, 4, 4, 3)))
    boxes, images = np.tile([[0.0, 0, 4, 4]], (2, 1)), np.zeros(2, int)
    F.roi_align(x, boxes, images, size=(2, 2), scale=1.0).sum().backward()
    np.testing.assert_allclose(x.grad.sum(), 2 * 4 * 3)


@pytest.mark.parametrize("beta", [1.0, 1 / 9, 0.0])
def test_smooth_l1(beta, rng):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    predictions, targets = rng.standard_normal((2, 7, 4))
    ours = leaf(predictions)
    loss = F.smooth_l1(ours, targets, beta=beta)
    theirs = torch.tensor(predictions, requires_grad=True)
    right = torch.nn.functional.smooth_l1_loss(
        theirs, torch.tensor(targets), beta=beta, reduction="sum"
    )
    (3 * loss).backward()
    (3 * right).backward()
    assert loss.item() == pytest.approx(right.item(), rel=1e-14)
    np.testing.assert_allclose(ours.grad, theirs.grad.numpy(), rtol=1e-14)


def test_logistic_cross_entropy(rng):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    logits, truth = rng.standard_normal((5, 3)), rng.integers(0, 2, (5, 3))
    logits[0] = [800, -800, 0]
    ours = leaf(logits)
    loss = F.logistic_cross_entropy(ours, truth)
    theirs = torch.tensor(logits, requires_grad=True)
    right = torch.nn.functional.binary_cross_entropy_with_logits(
        theirs, torch.tensor(truth, dtype=torch.float64)
    )
    (3 * loss).backward()
    (3 * right).backward()
    assert loss.item() == pytest.approx(right.item(), rel=1e-14)
    np.testing.assert_allclose(ours.grad, theirs.grad.numpy(), atol=1e-15)


def test_losses_of_nothing_are_0():
    """An image without objects has no boxes to learn; NaN would end the training."""
    nothing = Tensor(np.zeros((0, 4), np.float32), requires_grad=True)
    for loss in (
        F.smooth_l1(nothing, np.zeros((0, 4))),
        F.logistic_cross_entropy(nothing, np.zeros((0, 4))),
    ):
        assert loss.item() == 0.0
        assert loss.dtype == np.float32
        loss.backward()


def test_targets_of_another_shape_are_refused():
    """They would be broadcast, and the loss be of something else."""
    x = Tensor(np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"smooth_l1: expected targets of shape \(3, 4\)"):
        F.smooth_l1(x, np.zeros(4))
    with pytest.raises(ValueError, match="logistic_cross_entropy"):
        F.logistic_cross_entropy(x, np.zeros((3, 1)))
    with pytest.raises(TypeError, match="plain array"):
        F.smooth_l1(x, x)
    with pytest.raises(ValueError, match="beta"):
        F.smooth_l1(x, np.zeros((3, 4)), beta=-1)
