"""The ImageNet networks a second time, in PyTorch, with torchvision's names and strides.

Written from the papers, so that the tests need no torchvision. Modules that import this one are
skipped, with a reason, where PyTorch is not installed.
"""

import functools

import numpy as np

from minires.nn import Linear
from tests.torch_oracle import OptionA, torch, weight_from_torch, weight_to_torch

nn = torch.nn


class Residual(nn.Module):
    """conv-bn(-relu) two or three times, and what is added before the last ReLU."""

    def __init__(self, before, convolutions, channels, stride, shortcut):
        super().__init__()
        last = before
        for number, (out, kernel, step, *groups) in enumerate(convolutions, 1):
            conv = nn.Conv2d(last, out, kernel, step, kernel // 2, 1, *groups, bias=False)
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


def residual(depth, before, filters, stride, shortcut, version, groups=1, width_per_group=64):
    """The block for this depth."""
    if depth < 50:
        return Residual(before, [(filters, 3, stride), (filters, 3, 1)], filters, stride, shortcut)
    first, second = (stride, 1) if version == "v1" else (1, stride)
    width = filters * width_per_group // 64 * groups
    convolutions = [(width, 1, first), (width, 3, second, groups), (4 * filters, 1, 1)]
    return Residual(before, convolutions, 4 * filters, stride, shortcut)


class TorchResNet(nn.Module):
    """He et al. 2015, table 1."""

    def __init__(self, depth, shortcut="B", version="v1", classes=1000, channels=3, **widths):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
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
                blocks.append(residual(depth, before, filters, stride, shortcut, version, **widths))
                before = filters if depth < 50 else 4 * filters
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(before, classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def value_for_torch(model, name):
    """A parameter or buffer in PyTorch's layout; None for what PyTorch does not have."""
    path, _, last = name.rpartition(".")
    module = dict(model.named_modules())[path]
    array = getattr(module, last)
    array = getattr(array, "data", array) if not isinstance(array, np.ndarray) else array
    if last == "batches":
        return None
    if isinstance(module, Linear) and module.of_map and last == "weight":
        array = array.reshape(*module.of_map, -1).transpose(2, 0, 1, 3).reshape(array.shape)
    return weight_to_torch(array)


def gradient_from_torch(model, name, grad):
    """A gradient in our layout."""
    module = dict(model.named_modules())[name.rpartition(".")[0]]
    array = weight_from_torch(grad)
    if isinstance(module, Linear) and module.of_map and name.endswith("weight"):
        height, width, channels = module.of_map
        array = array.reshape(channels, height, width, -1).transpose(1, 2, 0, 3)
        array = array.reshape(height * width * channels, -1)
    return array


def twin_of(model, twin):
    """`twin` with the parameters and buffers of a minires network, in its dtype."""
    state = {name: value_for_torch(model, name) for name in model.state_dict()}
    state = {name: value for name, value in state.items() if value is not None}
    twin = twin.to(next(iter(state.values())).dtype)
    missing, unexpected = twin.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return twin


class TorchVGG(nn.Module):
    """Simonyan & Zisserman 2014, D and E, with an adaptive pooling before the classifier."""

    def __init__(self, depth, batch_norm=False, classes=1000, hidden=4096):
        super().__init__()
        layers, before = [], 3
        for channels, count in zip(
            (64, 128, 256, 512, 512), (2, 2, *[(depth - 7) // 3] * 3), strict=True
        ):
            for _ in range(count):
                layers += [nn.Conv2d(before, channels, 3, padding=1)]
                layers += [nn.BatchNorm2d(channels)] if batch_norm else []
                layers += [nn.ReLU()]
                before = channels
            layers += [nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        layers = [nn.Linear(25088, hidden), nn.ReLU(), nn.Dropout()]
        layers += [nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout()]
        self.classifier = nn.Sequential(*layers, nn.Linear(hidden, classes))

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class ConvNormReLU(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, before, channels, kernel=1, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(before, channels, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=0.001)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.bn(self.conv(x)))


class TorchInception(nn.Module):
    """Four ways to look at a map."""

    def __init__(self, before, one, reduce3, three, reduce5, five, pool, largest):
        super().__init__()
        self.branch1 = ConvNormReLU(before, one)
        self.branch2 = nn.Sequential(ConvNormReLU(before, reduce3), ConvNormReLU(reduce3, three, 3))
        last = ConvNormReLU(reduce5, five, largest)
        self.branch3 = nn.Sequential(ConvNormReLU(before, reduce5), last)
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), ConvNormReLU(before, pool))

    def forward(self, x):
        branches = self.branch1, self.branch2, self.branch3, self.branch4
        return torch.cat([branch(x) for branch in branches], 1)


class TorchAuxiliary(nn.Module):
    """A classifier halfway; its dropout is left out, so that it can be compared in training."""

    def __init__(self, before, classes):
        super().__init__()
        self.conv = ConvNormReLU(before, 128)
        self.fc1, self.fc2 = nn.Linear(2048, 1024), nn.Linear(1024, classes)
        self.relu = nn.ReLU()

    def forward(self, x):
        x = self.conv(nn.functional.adaptive_avg_pool2d(x, 4)).flatten(1)
        return self.fc2(self.relu(self.fc1(x)))


class TorchGoogLeNet(nn.Module):
    """Szegedy et al. 2014, table 1, with batch norm; without dropout."""

    def __init__(self, largest=3, aux=False, classes=1000):
        super().__init__()
        self.conv1, self.conv2 = ConvNormReLU(3, 64, 7, 2), ConvNormReLU(64, 64)
        self.conv3 = ConvNormReLU(64, 192, 3)
        self.inception3a = TorchInception(192, 64, 96, 128, 16, 32, 32, largest)
        self.inception3b = TorchInception(256, 128, 128, 192, 32, 96, 64, largest)
        self.inception4a = TorchInception(480, 192, 96, 208, 16, 48, 64, largest)
        self.inception4b = TorchInception(512, 160, 112, 224, 24, 64, 64, largest)
        self.inception4c = TorchInception(512, 128, 128, 256, 24, 64, 64, largest)
        self.inception4d = TorchInception(512, 112, 144, 288, 32, 64, 64, largest)
        self.inception4e = TorchInception(528, 256, 160, 320, 32, 128, 128, largest)
        self.inception5a = TorchInception(832, 256, 160, 320, 32, 128, 128, largest)
        self.inception5b = TorchInception(832, 384, 192, 384, 48, 128, 128, largest)
        self.aux1 = TorchAuxiliary(512, classes) if aux else None
        self.aux2 = TorchAuxiliary(528, classes) if aux else None
        self.fc = nn.Linear(1024, classes)

    def forward(self, x):
        pool = functools.partial(nn.functional.max_pool2d, stride=2, ceil_mode=True)
        x = pool(self.conv1(x), 3)
        x = pool(self.conv3(self.conv2(x)), 3)
        x = pool(self.inception3b(self.inception3a(x)), 3)
        half = x = self.inception4a(x)
        later = x = self.inception4d(self.inception4c(self.inception4b(x)))
        x = self.inception5b(self.inception5a(pool(self.inception4e(x), 2)))
        logits = self.fc(x.mean((2, 3)))
        if self.aux1 is None or not self.training:
            return logits
        return logits, self.aux1(half), self.aux2(later)
