"""Cross-entropy with class weights, label smoothing and soft targets, against PyTorch's."""

import numpy as np
import pytest

from minires import Tensor, gradcheck, nn
from minires.nn import functional as F
from tests.helpers import leaf, relative_error

CLASSES = 5
WEIGHT = np.array([1.0, 3.0, 0.5, 2.0, 0.0])
OPTIONS = {
    "weight": {"weight": WEIGHT},
    "smoothing": {"label_smoothing": 0.1},
    "both": {"weight": WEIGHT, "label_smoothing": 0.3},
    "neither": {},
}


def truth(kind, rng):
    """Labels (7,), or probabilities (7, K)."""
    labels = rng.integers(0, CLASSES - 1, 7)
    return labels if kind == "labels" else rng.dirichlet(np.ones(CLASSES), 7)


@pytest.mark.parametrize("kind", ["labels", "probabilities"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-14), (np.float32, 1e-6)])
def test_loss_and_gradient_are_pytorchs(kind, options, dtype, tolerance, rng):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    target = truth(kind, rng)
    target = target.astype(dtype) if kind == "probabilities" else target
    ours = leaf(3 * rng.standard_normal((7, CLASSES)), dtype=dtype)
    theirs = torch.tensor(ours.data, requires_grad=True)
    tensors = {k: torch.tensor(v, dtype=theirs.dtype) for k, v in options.items() if k == "weight"}
    right = torch.nn.CrossEntropyLoss(**(options | tensors))(theirs, torch.tensor(target))
    loss = nn.CrossEntropyLoss(**options)(ours, target)
    loss.backward()
    right.backward()
    assert loss.dtype == dtype
    assert relative_error(loss.data, right.detach().numpy()) < tolerance
    assert relative_error(ours.grad, theirs.grad.numpy()) < tolerance


@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_gradients(kind, rng):
    target = truth(kind, rng)
    settings = {"weight": list(WEIGHT), "label_smoothing": 0.2}
    logits = rng.standard_normal((7, CLASSES))
    gradcheck(lambda x: F.cross_entropy(x, target, **settings), logits, rng=rng)


def test_large_logits_do_not_overflow():
    logits = leaf([[1e4, 0.0], [0.0, 1e4]])
    loss = F.cross_entropy(logits, np.array([[1.0, 0.0], [0.5, 0.5]]))
    assert loss.item() == 2.5e3


LOGITS = Tensor(np.zeros((2, 3)))
BAD = {
    "a weight too few": ([0, 1], {"weight": [1.0, 2.0]}, "each of the 3 classes, but has shape"),
    "a share above 1": ([0, 1], {"label_smoothing": 1.5}, "must be 0 to 1, but is 1.5"),
    "a label that is no class": ([0, 3], {"label_smoothing": 0.1}, "must lie in 0 .. 2"),
    "labels of another batch": ([0], {"label_smoothing": 0.1}, r"labels \(N,\), but got"),
    "one-hot whole numbers": (np.eye(3, dtype=int)[:2], {}, "must be floating-point numbers"),
    "probabilities of two classes": (np.ones((2, 2)), {}, r"like the logits, but are .* \(2, 2\)"),
    "an empty batch": (np.ones((0, 3)), {}, "but are float64"),
}


@pytest.mark.parametrize(("labels", "options", "sentence"), BAD.values(), ids=BAD.keys())
def test_what_does_not_fit_is_refused(labels, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        F.cross_entropy(LOGITS, np.asarray(labels), **options)


def test_a_batch_without_images_is_refused():
    with pytest.raises(ValueError, match="cross_entropy: the batch is empty"):
        F.cross_entropy(Tensor(np.zeros((0, 3))), np.ones((0, 3)))
