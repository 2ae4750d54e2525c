"""Against torchvision itself, where it is installed: every architecture, weights there and back.

Logits and all gradients agree in float64. Elsewhere `tests/models/torch_networks.py` stands in.
"""

from functools import partial

import numpy as np
import pytest

from minires.models import googlenet, resnet, vgg
from minires.weights import load_torchvision, save_torchvision
from minires.weights.torchvision import slots_of

torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")

from tests.helpers import relative_error  # noqa: E402
from tests.models.test_vgg_and_googlenet_against_torch import our_pass, without_dropout  # noqa: E402
from tests.torch_oracle import images_to_torch, to_torch, torch  # noqa: E402

pytestmark = pytest.mark.slow

NETWORKS = {
    **{f"resnet{d}": partial(resnet, d, version="v1.5") for d in (18, 34, 50, 101, 152)},
    **{f"vgg{d}": partial(vgg, d) for d in (16, 19)},
    **{f"vgg{d}_bn": partial(vgg, d, batch_norm=True) for d in (16, 19)},
    "googlenet": partial(googlenet, version="torchvision", transform_input=True),
}


def theirs(name):
    """torchvision's network, with random running statistics."""
    torch.manual_seed(0)
    options = {"aux_logits": False, "init_weights": True, "transform_input": True}
    network = torchvision.models.get_model(
        name, weights=None, **(options if name == "googlenet" else {})
    ).double()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(std=0.1)
    return network.eval()


def their_pass(network, model, x, labels):
    logits = network(images_to_torch(x))
    torch.nn.functional.cross_entropy(logits, to_torch(labels)).backward()
    slots = slots_of(model)
    grads = {n: slots[n].from_torch(p.grad.numpy()) for n, p in network.named_parameters()}
    return {"logits 0": logits.detach().numpy()} | grads


@pytest.mark.parametrize("name", NETWORKS)
def test_every_architecture(name, tmp_path):
    network, model = theirs(name), without_dropout(NETWORKS[name](dtype=np.float64, seed="zeros"))
    path = tmp_path / "w.pth"
    torch.save(network.state_dict(), path)
    load_torchvision(path, model.eval())
    path.unlink()
    counts = [p.numel() for p in network.parameters()]
    assert sum(p.data.size for p in model.parameters()) == sum(counts)
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((2, 64, 75, 3)), np.array([3, 999])
    ours, expected = our_pass(model, x, labels), their_pass(network, model, x, labels)
    assert ours.keys() == expected.keys()
    worst = max((relative_error(array, expected[n]), n) for n, array in ours.items())
    assert worst[0] < 1e-9, worst
    print(f"{name}: largest relative difference {worst[0]:.1e} ({worst[1]})")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_recognised_file_answers_alike_in_float32_and_goes_back(name, tmp_path):
    from minires import Tensor, no_grad

    network = theirs(name).float()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    model = load_torchvision(tmp_path / "w.pth")
    x = np.random.default_rng(0).standard_normal((1, 96, 96, 3), np.float32)
    with torch.no_grad(), no_grad():
        single, double = network(images_to_torch(x)).numpy(), None
        ours = model(Tensor(x)).data
        double = network.double()(images_to_torch(x.astype(np.float64))).numpy()
    distances = relative_error(ours, double), relative_error(single, double)
    print(f"{name}: from float64 {distances[0]:.1e}, torchvision's float32 {distances[1]:.1e}")
    assert distances[0] < max(3 * distances[1], 1e-6)
    save_torchvision(model, tmp_path / "back.pth")
    state = torch.load(tmp_path / "back.pth", weights_only=True)
    network.load_state_dict(state, strict=True)
