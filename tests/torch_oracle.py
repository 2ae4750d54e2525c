"""PyTorch as the oracle: conversions, and the CIFAR network written a second time.

Modules that import this one are skipped, with a reason, where PyTorch is not installed.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch, the oracle of these tests, is not installed")
torch.set_num_threads(1)  # the networks here are so small that a second thread costs time
nn = torch.nn


def to_torch(array):
    """Images (N, H, W, C) become (N, C, H, W), weights (kh, kw, in, out) (out, in, kh, kw)."""
    return torch.from_numpy(np.array(array))


def images_to_torch(x):
    """(N, H, W, C) -> (N, C, H, W)."""
    return to_torch(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def images_from_torch(x):
    """(N, C, H, W) -> (N, H, W, C)."""
    return x.detach().numpy().transpose(0, 2, 3, 1)


def weight_to_torch(array):
    """A parameter or buffer of any layer, told apart by its number of axes."""
    axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[array.ndim]
    return to_torch(np.ascontiguousarray(array.transpose(axes)))


def weight_from_torch(tensor):
    """The inverse of `weight_to_torch`."""
    axes = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[tensor.ndim]
    return tensor.detach().numpy().transpose(axes)


class OptionA(nn.Module):
    """Every stride-th pixel, and zeros for the new channels after the old ones."""

    def __init__(self, channels, stride=2):
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, x):
        x = x[:, :, :: self.stride, :: self.stride]
        return nn.functional.pad(x, (0, 0, 0, 0, 0, self.channels - x.shape[1]))


class Block(nn.Module):
    """He et al. 2015, fig. 2 and sec. 4.1, with names as in torchvision."""

    def __init__(self, before, channels, stride, shortcut):
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        changes = stride != 1 or before != channels
        self.plain = shortcut is None
        if shortcut == "C" or (shortcut == "B" and changes):
            self.downsample = nn.Sequential(
                nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )
        else:
            self.downsample = OptionA(channels) if changes else nn.Identity()

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y if self.plain else y + self.downsample(x))


class TorchResNet(nn.Module):
    """The CIFAR network of sec. 4.2."""

    def __init__(self, depth, shortcut):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        before = 16
        for stage, channels in enumerate((16, 32, 64), 1):
            blocks = []
            for number in range((depth - 2) // 6):
                stride = 2 if stage > 1 and number == 0 else 1
                blocks.append(Block(before, channels, stride, shortcut))
                before = channels
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        return self.fc(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def distance_from_kinks(network, x):
    """The smallest size of any ReLU's input in a forward pass; running statistics stay."""
    sizes = []
    hooks = [
        module.register_forward_pre_hook(lambda _, args: sizes.append(args[0].abs().min().item()))
        for module in network.modules()
        if isinstance(module, nn.ReLU)
    ]
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    with torch.no_grad():
        network(x)
        for buffer, before in buffers:
            buffer.copy_(before)
    for hook in hooks:
        hook.remove()
    return min(sizes)


def torch_twin(model, depth, shortcut, dtype):
    """A TorchResNet with the parameters and buffers of a minires network."""
    twin = TorchResNet(depth, shortcut).to(dtype)
    state = {name: weight_to_torch(array) for name, array in model.state_dict().items()}
    missing, unexpected = twin.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return twin
