"""Batch norm folded into convolutions: the same results, and only where it is right."""

import copy
import gc
import weakref

import numpy as np
import pytest
from minires.kernels.cpu import packing, winograd

from minires import Tensor, no_grad
from minires.models import VGG, cifar_resnet, googlenet, resnet18, resnet50, resnext50_32x4d
from minires.nn import BatchNorm2d, Conv2d, Identity, ReLU, Sequential, fold_batch_norm
from minires.optim import SGD
from tests.helpers import randomise

NETWORKS = {  # with how many batch norms remain
    "ResNet-18": (resnet18, 0),
    "ResNet-50": (resnet50, 0),
    "VGG BN": (
        lambda dtype: VGG(
            16, batch_norm=True, hidden=8, dropout=0.5, classes=3, seed=0, dtype=dtype
        ),
        0,
    ),
    "GoogLeNet": (googlenet, 0),
    "ResNeXt-50": (resnext50_32x4d, 0),
    "plain-20": (lambda dtype: cifar_resnet(20, shortcut=None, dtype=dtype), 0),
    "v2": (lambda dtype: cifar_resnet(20, version="v2", dtype=dtype), 9 + 1),
}


def used(model, rng):
    """Statistics and scales that are not those of the start."""
    randomise(model, rng, scale=0.1)
    for name, buffer in model.named_buffers():
        if "running" in name:
            buffer += rng.uniform(0.1, 1, buffer.shape)
    return model


@pytest.mark.parametrize(("make", "remain"), NETWORKS.values(), ids=NETWORKS.keys())
def test_a_folded_network_answers_alike(make, remain, rng):
    model = used(make(dtype=np.float64), rng).eval()
    folded = fold_batch_norm(model)
    kinds = [type(module) for _, module in folded.named_modules()]
    assert kinds.count(BatchNorm2d) == remain
    x = Tensor(rng.standard_normal((2, 48, 40, 3)))
    with no_grad():
        expected, actual = model(x).data, folded(x).data
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def test_the_network_itself_stays_as_it_is(rng):
    model = used(resnet18(), rng)
    before = model.state_dict()
    folded = fold_batch_norm(model)
    assert model.training
    assert not folded.training
    assert model.conv1.bias is None
    assert all(np.array_equal(before[name], a) for name, a in model.state_dict().items())


def test_a_watched_network_is_folded_alike(rng):
    """Its layers run one by one; what is found is the same."""
    model = used(cifar_resnet(8), rng)
    plain = fold_batch_norm(model).state_dict()
    model.layer1[0].bn1.register_forward_hook(lambda *_: None)
    watched = fold_batch_norm(model).state_dict()
    assert plain.keys() == watched.keys()
    assert all(np.array_equal(plain[name], watched[name]) for name in plain)


class Branch(Sequential):
    """Batch norm is not the only one that reads the convolution's result."""

    def forward(self, x):
        y = self[0](x)
        return self[1](y) + y


@pytest.mark.parametrize("kind", ["branch", "ReLU between", "used twice", "first"])
def test_what_must_not_be_folded_is_not(kind, rng):
    conv = Conv2d(3, 3, 3, padding=1, rng=rng, dtype=np.float64)
    norm = BatchNorm2d(3, dtype=np.float64)
    model = {
        "branch": Branch(conv, norm),
        "ReLU between": Sequential(conv, ReLU(), norm),
        "used twice": Sequential(conv, norm, conv, BatchNorm2d(3, dtype=np.float64)),
        "first": Sequential(norm, conv),
    }[kind]
    used(model, rng).eval()
    folded = fold_batch_norm(model, (5, 4, 3))
    assert not [m for _, m in folded.named_modules() if type(m) is Identity]
    x = Tensor(rng.standard_normal((1, 5, 4, 3)))
    np.testing.assert_array_equal(folded(x).data, model(x).data)


def test_a_folded_block_runs_as_few_operations():
    """Convolution, bias, shortcut and ReLU in one."""
    from minires.autograd.trace import trace

    model = fold_batch_norm(cifar_resnet(8))
    with no_grad(), trace() as steps:
        model(Tensor(np.zeros((1, 32, 32, 3), np.float32)))
    names = [step.function.__name__ for step in steps]
    assert names.count("ConvolveAdd") == 7
    assert set(names) == {"ConvolveAdd", "PickAndPad", "AverageMaps", "MatMul", "Add"}


def test_the_weights_of_a_folded_network_are_constants(rng):
    folded = fold_batch_norm(cifar_resnet(8))
    weight = folded.conv1.weight
    for change in (
        lambda: weight.__setitem__(0, 1.0),
        lambda: folded.load_state_dict(folded.state_dict()),
        lambda: train(folded),
    ):
        with pytest.raises(ValueError, match=r"is read-only.*fold it again"):
            change()
    with pytest.raises(ValueError, match="cannot set WRITEABLE flag to True"):
        weight.data.setflags(write=True)
    train(copy.deepcopy(folded))


def train(model):
    optimiser = SGD(model.parameters(), lr=0.1)
    model(Tensor(np.ones((2, 32, 32, 3), np.float32))).sum().backward()
    optimiser.step()


def test_a_constant_weight_is_brought_into_order_once(rng, monkeypatch):
    """By columns and by Winograd's algorithm; and what is kept goes with the network."""
    model = used(cifar_resnet(8), rng).eval()
    folded, x = fold_batch_norm(model), Tensor(rng.random((8, 32, 32, 3), np.float32))
    calls = []
    for module, name in ((packing, "pack_kernel"), (winograd, "weight_kernel")):
        kernel = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, k=kernel, n=name: (calls.append(n), k(*a)))
    with no_grad():
        np.testing.assert_allclose(folded(x).data, model(x).data, rtol=1e-3, atol=1e-3)
        assert {"pack_kernel", "weight_kernel"} <= set(calls)
        calls.clear()
        folded(x)
    assert calls == ["pack_kernel"]  # the classifier's
    kept = weakref.ref(winograd.transformed(folded.layer1[0].conv1.weight.data))
    assert kept() is not None
    del folded
    gc.collect()
    assert kept() is None
