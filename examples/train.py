"""A network of your own and a loop of your own: what `Trainer` does, without its safety net.

    python examples/train.py

trains for about a minute on the built-in drawings and prints what the network has learned.
"""

import numpy as np

from minires import Tensor, nn, no_grad
from minires.data import Batches, evaluation_batches, load
from minires.nn import functional as F
from minires.optim import SGD


class SmallNetwork(nn.Module):
    """Two convolutions, the second with a shortcut past it, and a linear classifier."""

    def __init__(self, classes: int, rng: np.random.Generator) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, stride=2, padding=1, rng=rng)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 32, 3, padding=1, rng=rng)
        self.bn2 = nn.BatchNorm2d(32)
        self.fc = nn.Linear(32, classes, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of images (N, H, W, 3)."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)) + x)
        return self.fc(x.mean(axis=(1, 2)))


def main(iterations: int = 600) -> float:
    """Train, and return the share of test images that the network gets wrong."""
    data = load("builtin")
    model = SmallNetwork(len(data.classes), np.random.default_rng(0))
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    batches = Batches(data, 64, seed=0)

    for step in range(iterations):
        images, labels = batches.batch(step)
        optimizer.lr = 0.05 * (1 - step / iterations)
        loss = F.cross_entropy(model(Tensor(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"iteration {step:4}: loss {loss.item():.2f}")

    model.eval()
    with no_grad():
        wrong = sum(
            (model(Tensor(images)).data.argmax(1) != labels).sum()
            for images, labels in evaluation_batches(data, "test", 250)
        )
    print(f"Of {len(data.test_labels):,} test images, {wrong / len(data.test_labels):.1%} wrong")
    return wrong / len(data.test_labels)


if __name__ == "__main__":
    main()
