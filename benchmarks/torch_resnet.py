"""The networks of He et al. 2015 in PyTorch: peers to time and to compare with.

Written independently of `minires.models`, with torchvision's names.
"""

from __future__ import annotations

import torch
from torch import nn


class OptionA(nn.Module):
    """Every second pixel, and zeros for the new channels after the old ones."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, channels, H / 2, W / 2)."""
        x = x[:, :, ::2, ::2]
        return nn.functional.pad(x, (0, 0, 0, 0, 0, self.channels - x.shape[1]))


class Block(nn.Module):
    """The basic block, fig. 2, with shortcut "A", "B", "C" or None."""

    def __init__(self, before: int, channels: int, stride: int, shortcut: str | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        changes = stride != 1 or before != channels
        self.plain = shortcut is None
        if shortcut == "C" or (shortcut == "B" and changes):
            self.downsample: nn.Module = nn.Sequential(
                nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )
        else:
            self.downsample = OptionA(channels) if changes else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W)."""
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y if self.plain else y + self.downsample(x))


class TorchResNet(nn.Module):
    """3x3 convolution, three stages of n blocks, global average pooling, linear classifier."""

    def __init__(self, depth: int, shortcut: str | None = "A") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        before = 16
        for stage, channels in enumerate((16, 32, 64), 1):
            blocks = []
            for number in range((depth - 2) // 6):
                stride = 2 if stage > 1 and number == 0 else 1
                blocks.append(Block(before, channels, stride, shortcut))
                before = channels
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, 32, 32) -> (N, 10)."""
        x = torch.relu(self.bn1(self.conv1(x)))
        return self.fc(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1, with the stride in the 3x3 convolution, as torchvision has it."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        channels = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(before, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, channels, 1, bias=False), nn.BatchNorm2d(channels)
        self.downsample: nn.Module = nn.Identity()
        if before != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class TorchResNet50(nn.Module):
    """Table 1: (N, 3, 224, 224) -> (N, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        before = 64
        for stage, count in enumerate((3, 4, 6, 3), 1):
            blocks = []
            for number in range(count):
                width = 32 * 2**stage
                blocks.append(Bottleneck(before, width, 2 if stage > 1 and number == 0 else 1))
                before = 4 * width
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(2048, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.fc(self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3)))
