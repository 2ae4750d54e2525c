"""Small networks with the two kinds of head, and constant ones whose answer is known."""

import numpy as np

from minires import Tensor, nn

CLASSES, SIDE = 7, 24  # what the networks are made for: crops of 24 x 24


class Pooled(nn.Module):
    """Global average pooling and a linear layer, as in a ResNet."""

    def __init__(self, seed=0, dtype=np.float64):
        super().__init__()
        rng = np.random.default_rng(seed)
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1, rng=rng, dtype=dtype)
        self.avgpool = nn.GlobalAvgPool()
        self.fc = nn.Linear(8, CLASSES, rng=rng, dtype=dtype)

    def features(self, x):
        return nn.functional.relu(self.conv(x))

    def forward(self, x):
        return self.fc(self.avgpool(self.features(x)))


class Flattened(nn.Module):
    """Linear layers on a map of 6 x 6, as in a VGG."""

    def __init__(self, seed=0, dtype=np.float64):
        super().__init__()
        rng = np.random.default_rng(seed)
        self.conv = nn.Conv2d(3, 4, 3, stride=4, padding=1, rng=rng, dtype=dtype)
        self.classifier = nn.Sequential(
            nn.Linear(6 * 6 * 4, 10, rng=rng, dtype=dtype),
            nn.ReLU(),
            nn.Linear(10, CLASSES, rng=rng, dtype=dtype),
        )
        for layer in (self.classifier[0], self.classifier[2]):
            layer.bias += rng.standard_normal(layer.bias.shape)

    def features(self, x):
        return nn.functional.relu(self.conv(x))

    def forward(self, x):
        maps = self.features(x)
        return self.classifier(maps.reshape(len(maps), -1))


class Brightness(nn.Module):
    """Says class 0, 1, ... by the mean brightness of an image, in steps of 1 / `classes`."""

    def __init__(self, classes=CLASSES, offset=0):
        super().__init__()
        self.classes, self.offset = classes, offset
        self.unused = nn.Parameter(np.zeros(1, np.float32))

    def forward(self, x):
        brightness = x.data.mean(axis=(1, 2, 3))
        places = (brightness * self.classes + self.offset) % self.classes
        distances = np.abs(np.arange(self.classes) + 0.5 - places[:, None])
        return Tensor(-distances.astype(np.float32))
