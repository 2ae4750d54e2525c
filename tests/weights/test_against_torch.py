"""Files that PyTorch wrote, and files that PyTorch reads."""

import numpy as np
import pytest

from minires import Tensor, no_grad
from minires.models import VGG, googlenet, resnet, resnext50_32x4d
from minires.weights import load_torchvision, save_torchvision
from minires.weights.pth import read_pth
from tests.helpers import relative_error
from tests.models.torch_networks import TorchGoogLeNet, TorchResNet, TorchVGG
from tests.torch_oracle import images_to_torch, torch

VGG_OPTIONS = {"classes": 3, "hidden": 8}
PAIRS = {
    "ResNet-18": (lambda: TorchResNet(18, classes=3), lambda: resnet(18, classes=3)),
    "ResNet-50": (
        lambda: TorchResNet(50, version="v1.5", classes=3),
        lambda: resnet(50, version="v1.5", classes=3),
    ),
    "ResNeXt-50": (
        lambda: TorchResNet(50, version="v1.5", classes=3, groups=32, width_per_group=4),
        lambda: resnext50_32x4d(classes=3),
    ),
    "VGG-16 BN": (
        lambda: TorchVGG(16, batch_norm=True, **VGG_OPTIONS),
        lambda: VGG(16, batch_norm=True, dropout=0.5, seed=0, dtype=np.float32, **VGG_OPTIONS),
    ),
    "GoogLeNet": (
        lambda: TorchGoogLeNet(aux=True, classes=3),
        lambda: googlenet(version="torchvision", aux=True, classes=3),
    ),
}
pairs = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())


def trained(make):
    """A network whose running statistics are not those of the start."""
    torch.manual_seed(0)
    network = make()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


def logits_of_both(model, network):
    x = np.random.default_rng(0).standard_normal((2, 64, 64, 3), np.float32)
    with torch.no_grad(), no_grad():
        return model.eval()(Tensor(x)).data, network(images_to_torch(x)).numpy()


@pairs
@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_what_pytorch_wrote_is_read(pair, new, tmp_path):
    network, model = trained(pair[0]), pair[1]()
    path = tmp_path / "w.pth"
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=new)
    assert relative_error(*logits_of_both(load_torchvision(path, model), network)) < 1e-5


@pairs
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_we_wrote_pytorch_reads(pair, suffix, tmp_path):
    network, model = trained(pair[0]), pair[1]()
    path = tmp_path / f"w{suffix}"
    save_torchvision(model, path)
    if suffix == ".pth":
        state = torch.load(path, weights_only=True)
        assert list(state) == list(network.state_dict())
    else:
        state = pytest.importorskip("safetensors.torch").load_file(path)
    network.load_state_dict(state, strict=True)
    assert relative_error(*logits_of_both(model, network)) < 1e-5


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_kinds_and_views_of_tensors(new, tmp_path):
    base = torch.arange(24.0)
    content = {
        "a view": base[3:15].view(3, 4).t(),
        "its neighbour": base[10:12],
        "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
        "brain": torch.tensor([1.5, -2.0, 3e38], dtype=torch.bfloat16),
        "double": torch.tensor([[0.1]], dtype=torch.float64),
        "bytes": torch.tensor([1, 255], dtype=torch.uint8),
        "flags": torch.tensor([True, False]),
        "one": torch.tensor(7),
        "none": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    path = tmp_path / "kinds.pth"
    torch.save(content, path, _use_new_zipfile_serialization=new)
    read = read_pth(path)
    assert list(read) == list(content)
    for name, tensor in content.items():
        expected = tensor.detach().float().numpy() if name == "brain" else tensor.detach().numpy()
        array = read[name].load()
        assert array.dtype == expected.dtype, name
        np.testing.assert_array_equal(array, expected, err_msg=name)


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_checkpoint_with_more_in_it(key, tmp_path):
    network = torch.nn.DataParallel(trained(PAIRS["ResNet-18"][0]))
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    content = {key: network.state_dict(), "epoch": 3, "optimizer": optimiser.state_dict()}
    torch.save(content, tmp_path / "checkpoint.pth")
    model = load_torchvision(tmp_path / "checkpoint.pth")
    assert relative_error(*logits_of_both(model, network.module)) < 1e-5


def test_a_whole_network_instead_of_its_state_is_refused(tmp_path):
    torch.save(PAIRS["ResNet-18"][0](), tmp_path / "whole.pth")
    with pytest.raises(ValueError, match=r"asks for tests.*, which is refused.*model.state_dict"):
        load_torchvision(tmp_path / "whole.pth")


def test_float16_weights_are_cast_to_the_networks_dtype(tmp_path):
    network, model = trained(PAIRS["ResNet-18"][0]), PAIRS["ResNet-18"][1]()
    torch.save(network.half().state_dict(), tmp_path / "half.pth")
    load_torchvision(tmp_path / "half.pth", model)
    assert model.conv1.weight.dtype == np.float32
    expected = network.conv1.weight.detach().float().numpy().transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(model.conv1.weight.data, expected)
