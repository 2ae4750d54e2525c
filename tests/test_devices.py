"""Which device is used, why one can't be, and that arrays of two devices never mix."""

import re
import subprocess
import sys

import numpy as np
import pytest
from minires.kernels import devices

import minires
from minires import Tensor, kernels
from minires.models import cifar_resnet
from minires.nn import functional as F
from minires.optim import SGD
from tests.cuda import fake_cupy
from tests.device import gpu, is_real

cuda = pytest.mark.cuda
stand_in_only = pytest.mark.skipif(is_real(), reason="about what a machine lacks")


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ("raise ImportError('No module named cupy')", "CuPy is not installed (pip install"),
        ("raise RuntimeError('two wheels')", "installed but can't be imported (two wheels)"),
    ],
)
def test_a_missing_or_broken_cupy_has_a_sentence(broken, sentence, tmp_path):
    (tmp_path / "cupy.py").write_text(broken)
    code = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import minires
from minires import Tensor
print(minires.info())
print(minires.kernels.devices.choose("auto"))
try:
    Tensor([1.0]).to("cuda")
except ValueError as error:
    print(error)
"""
    text = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert f"not used, because {'CuPy is ' if 'CuPy' not in sentence else ''}{sentence}" in text
    assert "\ncpu\n" in text
    assert 'device "cuda" can\'t be used: CuPy is' in text


@cuda
@stand_in_only
@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("no driver", "no NVIDIA driver that it can use (cudaErrorInsufficientDriver"),
        ("no device", "no NVIDIA driver that it can use (cudaErrorNoDevice"),
        ("no nvrtc", "no NVRTC, which compiles the kernels"),
    ],
)
def test_what_a_machine_lacks_has_a_sentence(fault, sentence):
    with fake_cupy.installed(fault=fault):
        assert sentence in minires.info()
        assert devices.choose("auto") == "cpu"
        for use in (lambda: devices.choose("cuda"), lambda: Tensor([1.0]).to("cuda")):
            with pytest.raises(ValueError, match='device "cuda" can\'t be used') as raised:
                use()
            assert sentence in str(raised.value)


@cuda
def test_auto_is_the_gpu_where_there_is_one():
    with gpu():
        assert devices.choose("auto") == "cuda"
        assert re.search(r"kernels for cuda +CuPy", minires.info())


def test_an_unknown_device_is_refused():
    with pytest.raises(ValueError, match="device must be 'auto', 'cpu' or 'cuda', but is 'tpu'"):
        Tensor([1.0]).to("tpu")


@cuda
class TestMixtures:
    @pytest.fixture(autouse=True)
    def device(self):
        with gpu():
            yield

    def test_tensors(self):
        here, there = Tensor([1.0]), Tensor([1.0]).to("cuda")
        with pytest.raises(TypeError, match=r"Add: all arrays must be on one device.*cpu, cuda"):
            here + there
        with pytest.raises(TypeError, match="must be on one device"):
            there *= np.ones(1, np.float32)
        with pytest.raises(TypeError, match="must be on one device"):
            there[0] = np.ones((), np.float32)
        with pytest.raises(TypeError, match="must be on one device"):
            (there * there).backward(np.ones(1, np.float32))

    def test_a_network_and_its_input(self, rng):
        model = cifar_resnet(8).to("cuda")
        with pytest.raises(TypeError, match=r"model.to\(\"cuda\"\) and Tensor\(x\).to\(\"cuda\"\)"):
            model(Tensor(rng.standard_normal((1, 8, 8, 3), np.float32)))

    def test_kernels(self, rng):
        x = Tensor(rng.standard_normal((2, 3), np.float32)).to("cuda").data
        with pytest.raises(TypeError, match="must be on one device"):
            kernels.softmax_cross_entropy(x, np.array([0, 1]))
        with pytest.raises(TypeError, match="must be on one device"):
            kernels.relu_grad(x, np.ones((2, 3), np.float32))

    def test_an_optimiser_made_before_the_move(self, rng):
        model = cifar_resnet(8)
        optimizer = SGD(model.parameters(), lr=0.1)
        model.to("cuda")
        loss = F.cross_entropy(
            model(Tensor(rng.standard_normal((1, 8, 8, 3), np.float32)).to("cuda")), np.array([1])
        )
        loss.backward()
        with pytest.raises(TypeError, match="must be on one device"):
            optimizer.step()

    def test_numbers_and_labels_of_the_host_may_be_given(self):
        logits = Tensor([[1.0, 2.0]]).to("cuda") * 2 + 1
        loss = F.cross_entropy(logits, [1])
        assert loss.item() == pytest.approx(np.log1p(np.exp(-2.0)), rel=1e-6)

    def test_a_label_that_is_no_class_gives_nan(self):
        logits = Tensor([[1.0, 2.0], [0.0, 1.0]]).to("cuda")
        assert np.isnan(F.cross_entropy(logits, np.array([0, 2])).item())

    def test_winograd_is_refused(self):
        x = Tensor(np.ones((1, 5, 5, 4), np.float32)).to("cuda").data
        w = Tensor(np.ones((3, 3, 4, 4), np.float32)).to("cuda").data
        with pytest.raises(ValueError, match=r"on cuda, algorithm must be one of 'auto', 'direct'"):
            kernels.cuda.conv2d(x, w, algorithm="winograd")


@cuda
def test_several_arrays_go_over_in_one_copy(rng):
    arrays = (
        rng.integers(0, 256, (3, 5, 5, 3)).astype(np.uint8),
        rng.integers(0, 9, (3, 2)),
        rng.random(3) < 0.5,
    )
    with gpu():
        moved = devices.upload(arrays, "cuda")
        for before, after in zip(arrays, moved, strict=True):
            assert after.dtype == before.dtype
            np.testing.assert_array_equal(after.get(), before)
        if not is_real():
            assert fake_cupy.machine.counts.copies_to_device == 1
