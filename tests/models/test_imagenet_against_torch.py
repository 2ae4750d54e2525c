"""The ImageNet networks against PyTorch: logits and all gradients in float64, float32 to rounding.

The oracles are written independently, in `torch_networks.py`; only the weights are handed over.
"""

import numpy as np
import pytest

from minires import Tensor, no_grad
from minires.models import resnet
from tests.helpers import assert_agree, randomise, relative_error
from tests.models.test_against_torch import our_pass, their_pass
from tests.models.torch_networks import TorchResNet, twin_of
from tests.torch_oracle import images_to_torch, torch

slow = pytest.mark.slow
NETWORKS = [
    (18, "B", "v1"),
    (18, "A", "v1"),
    (18, "C", "v1"),
    (18, None, "v1"),
    (50, "B", "v1"),
    (50, "B", "v1.5"),
    pytest.param(34, "B", "v1", marks=slow),
    pytest.param(34, None, "v1", marks=slow),
    pytest.param(50, "A", "v1", marks=slow),
    pytest.param(50, "C", "v1.5", marks=slow),
    pytest.param(50, None, "v1", marks=slow),
    pytest.param(101, "B", "v1.5", marks=slow),
    pytest.param(152, "B", "v1.5", marks=slow),
]


def make_batch(rng, size):
    """Two images that are not square."""
    return rng.standard_normal((2, size, size - 7, 3)), np.array([3, 1])


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("depth", "shortcut", "version"), NETWORKS)
def test_logits_and_all_gradients_agree_in_float64(depth, shortcut, version, training, rng):
    options = {"shortcut": shortcut, "version": version, "classes": 5}
    model = resnet(depth, **options, seed=1, dtype=np.float64)
    randomise(model, rng, scale=0.02)
    twin = twin_of(model, TorchResNet(depth, **options))
    x, labels = make_batch(rng, 64)
    ours = our_pass(model.train(training), x, labels)
    theirs = their_pass(twin.train(training), x, labels)
    assert_agree(ours, theirs)


@pytest.mark.parametrize("widths", [(32, 4), (1, 128)], ids=str)
def test_networks_of_other_widths_agree_in_float64(widths, rng):
    options = {"version": "v1.5", "classes": 5, "channels": 2}
    options |= dict(zip(("groups", "width_per_group"), widths, strict=True))
    model = resnet(50, **options, seed=1, dtype=np.float64)
    randomise(model, rng, scale=0.02)
    x, labels = make_batch(rng, 40)
    x = x[..., :2].copy()
    twin = twin_of(model, TorchResNet(50, **options))
    assert_agree(our_pass(model, x, labels), their_pass(twin, x, labels))


@pytest.mark.parametrize(("depth", "shortcut", "version"), NETWORKS)
def test_logits_agree_in_float32_to_rounding(depth, shortcut, version, rng):
    """On the fast kernels; PyTorch's own distance from float64 says how much is due."""
    options = {"shortcut": shortcut, "version": version}
    model = resnet(depth, **options, seed=1).eval()
    x, _ = make_batch(rng, 96)
    x = x.astype(np.float32)
    twin = twin_of(model, TorchResNet(depth, **options)).eval()
    with torch.no_grad():
        theirs = twin(images_to_torch(x)).numpy()
        exact = twin.double()(images_to_torch(x.astype(np.float64))).numpy()
    with no_grad():
        ours = model(Tensor(x)).data
    assert relative_error(ours, exact) < max(3 * relative_error(theirs, exact), 1e-6)
