"""Bottlenecks and pre-activation on CIFAR against PyTorch: logits and all gradients in float64."""

import numpy as np
import pytest

from minires.models import cifar_resnet
from minires.nn import SHORTCUTS
from tests.helpers import assert_agree, randomise
from tests.models.test_against_torch import make_batch, our_pass, their_pass
from tests.models.torch_networks import Residual, twin_of
from tests.torch_oracle import OptionA, torch

nn = torch.nn


class PreActivation(nn.Module):
    """He et al. 2016, fig. 4e: norm, ReLU, convolution, two or three times."""

    def __init__(self, before, convolutions, channels, stride, shortcut):
        super().__init__()
        last = before
        for number, (out, kernel, step) in enumerate(convolutions, 1):
            setattr(self, f"bn{number}", nn.BatchNorm2d(last))
            conv = nn.Conv2d(last, out, kernel, step, kernel // 2, bias=False)
            setattr(self, f"conv{number}", conv)
            last = out
        self.changes = stride != 1 or before != channels
        self.shortcut, self.count = shortcut, len(convolutions)
        if shortcut == "C" or (shortcut == "B" and self.changes):
            self.downsample = nn.Conv2d(before, channels, 1, stride, bias=False)
        elif shortcut == "A" and self.changes:
            self.downsample = OptionA(channels, stride)

    def forward(self, x):
        y = first = torch.relu(self.bn1(x))
        for number in range(1, self.count + 1):
            if number > 1:
                y = torch.relu(getattr(self, f"bn{number}")(y))
            y = getattr(self, f"conv{number}")(y)
        if self.shortcut is None:
            return y
        return y + (self.downsample(first) if hasattr(self, "downsample") else x)


class TorchCifar(nn.Module):
    """One stage after the other."""

    def __init__(self, depth, block, version, shortcut):
        super().__init__()
        kind = {"v1": Residual, "v2": PreActivation}[version]
        self.version, before = version, 16
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        if version == "v1":
            self.bn1 = nn.BatchNorm2d(16)
        for stage, filters in enumerate((16, 32, 64)):
            blocks, count = [], (depth - 2) // (6 if block == "basic" else 9)
            for number in range(count):
                s = 2 if stage and not number else 1
                wide = [(filters, 1, s), (filters, 3, 1), (4 * filters, 1, 1)]
                layers = [(filters, 3, s), (filters, 3, 1)] if block == "basic" else wide
                blocks.append(kind(before, layers, layers[-1][0], s, shortcut))
                before = layers[-1][0]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        if version == "v2":
            self.bn = nn.BatchNorm2d(before)
        self.fc = nn.Linear(before, 10)

    def forward(self, x):
        x = self.conv1(x)
        if self.version == "v1":
            x = torch.relu(self.bn1(x))
        x = self.layer3(self.layer2(self.layer1(x)))
        if self.version == "v2":
            x = torch.relu(self.bn(x))
        return self.fc(x.mean((2, 3)))


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("shortcut", SHORTCUTS)
@pytest.mark.parametrize(
    ("depth", "block", "version"),
    [(14, "basic", "v2"), (20, "bottleneck", "v1"), (20, "bottleneck", "v2")],
)
def test_logits_and_all_gradients_agree(depth, block, version, shortcut, training, rng):
    options = {"block": block, "version": version, "shortcut": shortcut}
    model = cifar_resnet(depth, **options, seed=1, dtype=np.float64).train(training)
    randomise(model, rng, scale=0.1)
    twin = twin_of(model, TorchCifar(depth, **options)).train(training)
    x, labels = make_batch(rng, images=2, size=16)
    assert_agree(our_pass(model, x, labels), their_pass(twin, x, labels))
