"""VGG and GoogLeNet against PyTorch: logits and all gradients in float64."""

import numpy as np
import pytest

from minires import Tensor
from minires.models import VGG, googlenet
from minires.nn import Conv2d, Dropout
from minires.nn.functional import cross_entropy
from tests.helpers import randomise, relative_error
from tests.models.torch_networks import TorchGoogLeNet, TorchVGG, gradient_from_torch, twin_of
from tests.torch_oracle import images_to_torch, to_torch, torch

slow = pytest.mark.slow


def without_dropout(model):
    """Each side would draw masks of its own."""
    for _, module in model.named_modules():
        if isinstance(module, Dropout):
            module.p = 0.0
    return model


def our_pass(model, x, labels):
    outputs = model(Tensor(x))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    sum(cross_entropy(y, labels) for y in outputs).backward()
    logits = {f"logits {i}": y.data for i, y in enumerate(outputs)}
    return logits | {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def their_pass(model, twin, x, labels):
    outputs = twin(images_to_torch(x))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    loss = torch.nn.functional.cross_entropy
    sum(loss(y, to_torch(labels)) for y in outputs).backward()
    grads = {n: p.grad for n, p in twin.named_parameters() if p.grad is not None}
    logits = {f"logits {i}": y.detach().numpy() for i, y in enumerate(outputs)}
    return logits | {n: gradient_from_torch(model, n, g) for n, g in grads.items()}


def is_zero_by_right(model, name):
    """Batch norm takes the bias in front of it away again, so that it has no gradient."""
    layer = name.removesuffix(".bias")
    biased = isinstance(dict(model.named_modules()).get(layer), Conv2d) and layer != name
    return biased and model.batch_norm and model.training


def compare(model, twin, size, rng):
    randomise(model, rng, scale=0.02)
    twin = twin_of(model, twin).train(model.training)
    for module in twin.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    x, labels = rng.standard_normal((2, *size, 3)), np.array([1, 0])
    ours, theirs = our_pass(model, x, labels), their_pass(model, twin, x, labels)
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        if is_zero_by_right(model, name):
            bound = 1e-12 * np.abs(theirs[name.replace("bias", "weight")]).max()
            assert np.abs(array).max() < bound, name
        else:
            assert relative_error(array, theirs[name]) < 1e-9, name


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(
    ("version", "aux"), [("torchvision", True), pytest.param("paper", False, marks=slow)]
)
def test_googlenet(version, aux, training, rng):
    model = googlenet(version=version, aux=aux, classes=5, seed=1, dtype=np.float64)
    twin = TorchGoogLeNet({"paper": 5, "torchvision": 3}[version], aux, classes=5)
    compare(without_dropout(model).train(training), twin, (64, 75), rng)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("depth", [16, 19])
def test_vgg(depth, batch_norm, rng):
    options = {"batch_norm": batch_norm, "classes": 5, "hidden": 12}  # 4096 would take gigabytes
    model = VGG(depth, **options, dropout=0.0, seed=1, dtype=np.float64)
    compare(model, TorchVGG(depth, **options), (32, 45), rng)
