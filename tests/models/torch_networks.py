"""The ImageNet networks a second time, in PyTorch, with torchvision's names and strides.

Written from the papers, so that the tests need no torchvision. Modules that import this one are
skipped, with a reason, where PyTorch is not installed.
"""

from tests.torch_oracle import OptionA, torch, weight_to_torch

nn = torch.nn


class Residual(nn.Module):
    """conv-bn(-relu) two or three times, and what is added before the last ReLU."""

    def __init__(self, before, convolutions, channels, stride, shortcut):
        super().__init__()
        last = before
        for number, (out, kernel, step) in enumerate(convolutions, 1):
            conv = nn.Conv2d(last, out, kernel, step, kernel // 2, bias=False)
            setattr(self, f"conv{number}", conv)
            setattr(self, f"bn{number}", nn.BatchNorm2d(out))
            last = out
        changes = stride != 1 or before != channels
        if shortcut == "C" or (shortcut == "B" and changes):
            projection = nn.Conv2d(before, channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(channels))
        elif shortcut is None:
            self.downsample = None
        else:
            self.downsample = OptionA(channels, stride) if changes else nn.Identity()
        self.count = len(convolutions)
        self.relu = nn.ReLU()

    def forward(self, x):
        y = x
        for number in range(1, self.count + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            if number < self.count:
                y = self.relu(y)
        return self.relu(y if self.downsample is None else y + self.downsample(x))


def residual(depth, before, filters, stride, shortcut, version):
    """The block for this depth."""
    if depth < 50:
        return Residual(before, [(filters, 3, stride), (filters, 3, 1)], filters, stride, shortcut)
    first, second = (stride, 1) if version == "v1" else (1, stride)
    convolutions = [(filters, 1, first), (filters, 3, second), (4 * filters, 1, 1)]
    return Residual(before, convolutions, 4 * filters, stride, shortcut)


class TorchResNet(nn.Module):
    """He et al. 2015, table 1."""

    def __init__(self, depth, shortcut="B", version="v1", classes=1000):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        counts = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3]}
        counts |= {101: [3, 4, 23, 3], 152: [3, 8, 36, 3]}
        before = 64
        for stage, count in enumerate(counts[depth]):
            filters, blocks = 64 * 2**stage, []
            for number in range(count):
                stride = 2 if stage and not number else 1
                blocks.append(residual(depth, before, filters, stride, shortcut, version))
                before = filters if depth < 50 else 4 * filters
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(before, classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def twin_of(model, twin):
    """`twin` with the parameters and buffers of a minires network, in its dtype."""
    state = {name: weight_to_torch(array) for name, array in model.state_dict().items()}
    twin = twin.to(next(iter(state.values())).dtype)
    missing, unexpected = twin.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return twin
