"""Networks in bfloat16 on the CPU: ten steps, beside PyTorch's; runs and their checkpoints."""

import numpy as np
import pytest
from minires.kernels.dtypes import bfloat16

import minires
from minires import Tensor
from minires.models import cifar_resnet, resnet50
from minires.nn import fold_batch_norm, fusing
from minires.nn import functional as F
from minires.optim import SGD

from ..kernels.ways import WAYS, choose_way
from . import small
from .test_on_gpu import distance, records, tiny_trainer

STEPS, BATCH, SHAPE, LR = 10, 16, (16, 16, 3), 0.02


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    choose_way(request.param, monkeypatch)
    return request.param


def batches(dtype):
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        yield rng.standard_normal((BATCH, *SHAPE)).astype(dtype), rng.integers(0, 10, BATCH)


def ours(dtype, precision, shortcut):
    """Parameters after ten steps, and the losses."""
    model, losses = cifar_resnet(8, shortcut=shortcut, seed=1, dtype=dtype), []
    optimizer = SGD(model.parameters(), lr=LR, momentum=0.9)
    with minires.precision(precision):
        for images, labels in batches(dtype):
            loss = F.cross_entropy(model(Tensor(images)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert all(array.dtype == dtype for array in model.state_dict().values())
    named = {name: p.data for name, p in model.named_parameters()}
    return named | {"losses": np.array(losses)}


def theirs(shortcut):
    """The same by PyTorch's bfloat16 autocast."""
    oracle = pytest.importorskip("tests.torch_oracle")
    torch, model = oracle.torch, cifar_resnet(8, shortcut=shortcut, seed=1)
    twin, losses = oracle.torch_twin(model, 8, shortcut, oracle.torch.float32), []
    optimizer = torch.optim.SGD(twin.parameters(), lr=LR, momentum=0.9)
    for images, labels in batches(np.float32):
        with torch.autocast("cpu", torch.bfloat16):
            logits = twin(oracle.images_to_torch(images))
        loss = torch.nn.functional.cross_entropy(logits.float(), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    named = {name: oracle.weight_from_torch(p) for name, p in twin.named_parameters()}
    return named | {"losses": np.array(losses)}


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_ten_steps_are_no_farther_from_float64_than_pytorchs(way, shortcut):
    """PyTorch stores the same maps in bfloat16. The ratio is 1, with a spread of 3 % over seeds."""
    exact = ours(np.float64, "float32", shortcut)
    near = distance(ours(np.float32, "bfloat16", shortcut), exact)
    assert distance(ours(np.float32, "float32", shortcut), exact) < near / 10
    assert near <= 1.1 * distance(theirs(shortcut), exact)


def gradients(model, x, labels):
    for p in model.parameters():
        p.grad = None
    loss = F.cross_entropy(model(x), labels)
    loss.backward()
    return {"loss": loss.data} | {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("make", ["cifar", "shortcut B", "bottleneck"])
def test_layers_one_by_one_give_nearly_the_same(way, make, rng):
    """Fused or not, it is float32 to the roundings of maps."""
    model = {
        "cifar": lambda: cifar_resnet(8, seed=1),
        "shortcut B": lambda: cifar_resnet(8, shortcut="B", seed=1),
        "bottleneck": lambda: cifar_resnet(11, block="bottleneck", shortcut="B", seed=1),
    }[make]()
    x, labels = Tensor(rng.standard_normal((8, 8, 9, 3), np.float32)), rng.integers(0, 10, 8)
    exact = gradients(model, x, labels)
    with minires.precision("bfloat16"):
        whole = gradients(model, x, labels)
        with fusing.fusing(False):
            single = gradients(model, x, labels)
    for found in (whole, single):
        assert 0 < distance(found, exact) < 0.2
        assert all(array.dtype == np.float32 for array in found.values())


def test_recomputed_blocks_give_the_same_bits(way, rng):
    x, labels = Tensor(rng.standard_normal((4, 8, 9, 3), np.float32)), rng.integers(0, 10, 4)
    with minires.precision("bfloat16"):
        models = [cifar_resnet(8, seed=1, recompute=on) for on in (False, True)]
        results = [gradients(model, x, labels) for model in models]
    assert small.same(*results)


def test_imagenet_network_as_it_is_and_folded(way, rng):
    """The 7 x 7 stem, max pooling, bottlenecks with strides; logits are float32."""
    model = resnet50(classes=7).eval()
    x = Tensor(rng.standard_normal((1, 65, 64, 3), np.float32))
    exact = model(x).data
    with minires.precision("bfloat16"):
        for network in (model, fold_batch_norm(model)):
            logits = network(x)
            assert logits.dtype == np.float32
            assert 0 < np.abs(logits.data - exact).max() < 0.1 * np.abs(exact).max()


def test_maps_are_of_this_dtype_and_the_images_gradient_is_not(way, rng):
    x = Tensor(rng.standard_normal((2, 9, 9, 3), np.float32), requires_grad=True)
    weight = Tensor(rng.standard_normal((3, 3, 3, 8), np.float32), requires_grad=True)
    with minires.precision("bfloat16"):
        y = F.conv2d(x, weight, padding=1)
        assert y.dtype == bfloat16()
        F.cross_entropy(F.global_avg_pool(y.relu()), np.array([1, 2])).backward()
    assert x.grad.dtype == weight.grad.dtype == np.float32


def test_a_run_goes_on_in_another_precision(tmp_path, way):
    """Checkpoints are float32, and losses those of float32 but little."""
    for folder, first, second in (
        ("ours", "bfloat16", "float32"),
        ("other", "float32", "bfloat16"),
    ):
        with minires.precision(first):
            tiny_trainer(tmp_path / folder, "cpu").run()
        arrays = small.files_arrays(tmp_path / folder)
        assert arrays
        assert all(a.dtype == np.float32 for a in arrays.values() if a.dtype.kind == "f")
        with minires.precision(second):
            resumed = tiny_trainer(tmp_path / folder, "cpu")
            resumed.resume()
            resumed.train_step()
    for one, other in zip(records(tmp_path / "ours"), records(tmp_path / "other"), strict=True):
        if "loss" in one:
            assert one["loss"] == pytest.approx(other["loss"], rel=0.1)
