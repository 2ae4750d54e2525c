"""Networks in bfloat16: ten steps, runs, and what stands around maps."""

import json

import numpy as np
import pytest
from minires.kernels.dtypes import bfloat16

import minires
from minires import Tensor
from minires.models import cifar_resnet, resnet50
from minires.nn import Conv2d, Linear, fusing
from minires.nn import functional as F
from tests.cuda import fake_cupy
from tests.device import gpu, is_real

from ..kernels.rounding import rounding_reference
from . import small
from .test_on_gpu import distance, records, tiny_trainer, trajectory


@pytest.fixture
def cupy():
    """A GPU, and the precision."""
    with gpu() as found, minires.precision("bfloat16"):
        yield found


@pytest.mark.cuda
def test_ten_steps_are_as_near_as_those_of_the_reference_that_rounds(monkeypatch):
    """Within a few layers the roundings of two runs are independent.

    A value that float32 brings to the other side of a rounding moves by a whole unit, and what is
    computed from it follows. So the networks are compared by how far they are from float64; that
    each block rounds where it should, tests/kernels/test_bfloat16.py tells.
    """
    exact = trajectory("cpu", np.float64)
    rounding_reference(monkeypatch)
    expected = trajectory("cpu", np.float64)
    with gpu(), minires.precision("bfloat16"):
        ours = trajectory("cuda", np.float32)
    assert all(array.dtype in (np.float32, np.float64) for array in ours.values())
    assert distance(ours, exact) < 2 * distance(expected, exact)
    assert distance(ours, expected) < 2 * distance(expected, exact)


def gradients(model, x, labels):
    for p in model.parameters():
        p.grad = None
    loss = F.cross_entropy(model(x), labels)
    loss.backward()
    named = model.named_parameters()
    return {"loss": loss.to("cpu").data} | {n: np.array(p.grad.get()) for n, p in named}


@pytest.mark.cuda
@pytest.mark.parametrize("make", ["cifar", "shortcut B", "bottleneck"])
def test_layers_one_by_one_give_nearly_the_same(make, cupy, rng):
    """Fused or not, and recomputed: float32 of maps rounded at the same places, or at some more."""
    model = {
        "cifar": lambda: cifar_resnet(8, seed=1),
        "shortcut B": lambda: cifar_resnet(8, shortcut="B", seed=1),
        "bottleneck": lambda: cifar_resnet(11, block="bottleneck", shortcut="B", seed=1),
    }[make]().to("cuda")
    x = Tensor(rng.standard_normal((8, 8, 9, 3), np.float32)).to("cuda")
    labels = rng.integers(0, 10, 8)
    with minires.precision("float32"):
        exact = gradients(model, x, labels)
    whole = gradients(model, x, labels)
    with fusing.fusing(False):
        single = gradients(model, x, labels)
    for found in (whole, single):
        assert 0 < distance(found, exact) < 0.2
        assert abs(found["loss"] - exact["loss"]) < 0.05
    assert all(array.dtype == np.float32 for array in whole.values())


@pytest.mark.cuda
def test_recomputed_blocks_give_the_same_bits(cupy, rng):
    x = Tensor(rng.standard_normal((4, 8, 9, 3), np.float32)).to("cuda")
    labels = rng.integers(0, 10, 4)
    results = [
        gradients(cifar_resnet(8, seed=1, recompute=on).to("cuda"), x, labels)
        for on in (False, True)
    ]
    assert small.same(*results)


@pytest.mark.cuda
def test_imagenet_network_in_evaluation(cupy, rng):
    """The 7 x 7 stem, max pooling and the bottlenecks; logits are float32."""
    model = resnet50(classes=7).to("cuda").eval()
    x = Tensor(rng.standard_normal((1, 33, 32, 3), np.float32)).to("cuda")
    logits = model(x)
    with minires.precision("float32"):
        exact = model(x).data.get()
    assert logits.dtype == np.float32
    assert np.abs(logits.data.get() - exact).max() < 0.1 * np.abs(exact).max()


@pytest.mark.cuda
def test_what_is_no_map_is_float32(cupy, rng):
    """A bias, its gradient, a linear layer behind a map, and the gradient of the images."""
    conv, linear = Conv2d(3, 8, 3, bias=True).to("cuda"), Linear(8 * 4 * 5, 6).to("cuda")
    x = Tensor(cupy.asarray(rng.standard_normal((2, 6, 7, 3), np.float32)), requires_grad=True)
    for algorithm in ("auto", "direct"):
        y = F.conv2d(x, conv.weight, conv.bias, algorithm=algorithm)
        assert y.dtype == bfloat16()
        logits = linear(y.relu().reshape(2, -1))
        F.cross_entropy(logits, np.array([1, 2])).backward()
        assert logits.dtype == np.float32
        leaves = (x, *conv.parameters(), *linear.parameters())
        assert all(leaf.grad.dtype == np.float32 for leaf in leaves)
    with pytest.raises(TypeError, match="all tensors must share a dtype"):
        y + Tensor(np.ones(8, np.float32)).to("cuda")
    with pytest.raises(TypeError, match="must share a dtype"):
        F.batch_norm(Tensor(y.data.astype(np.float32)), Tensor(y.data[0, 0, 0]), conv.bias)


# ------------------------------------------------------------------------ runs


@pytest.mark.cuda
def test_a_run_replays_its_steps_and_its_checkpoint_is_float32(tmp_path, cupy):
    """The same checkpoint goes on in float32 on the CPU; losses are those of float32 but little."""
    tiny_trainer(tmp_path / "ours", "cuda").run()
    assert is_real() or fake_cupy.machine.counts.graph_launches > 0
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert config["precision"] == "bfloat16"
    with minires.precision("float32"):
        tiny_trainer(tmp_path / "float32", "cpu").run()
    for one, other in zip(records(tmp_path / "ours"), records(tmp_path / "float32"), strict=True):
        if "loss" in one:
            assert one["loss"] == pytest.approx(other["loss"], rel=0.1)
    arrays = small.files_arrays(tmp_path / "ours")
    assert arrays
    assert all(array.dtype == np.float32 for array in arrays.values() if array.dtype.kind == "f")


def test_without_its_dtype_it_is_refused(rng, monkeypatch):
    x = Tensor(rng.standard_normal((2, 9, 9, 3), np.float32))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    message = "needs the package ml_dtypes: pip install ml_dtypes"
    with minires.precision("bfloat16"), pytest.raises(ValueError, match=message):
        cifar_resnet(8)(x)


@pytest.mark.cuda
@pytest.mark.skipif(is_real(), reason="the stand-in can be older")
def test_what_is_too_old_is_refused(cupy, monkeypatch):
    model, x = cifar_resnet(8).to("cuda"), Tensor(np.ones((2, 9, 9, 3), np.float32)).to("cuda")
    with monkeypatch.context() as patch:
        patch.setattr(cupy.cuda.Device, "compute_capability", "75")
        with pytest.raises(ValueError, match=r"needs a GPU of compute capability 8\.0"):
            model(x)
    monkeypatch.setattr(cupy, "__version__", "13.4.1")
    with pytest.raises(ValueError, match=r"needs CuPy 14 or newer, but this is 13\.4\.1"):
        model(x)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="needs the package ml_dtypes"):
        model(x)
