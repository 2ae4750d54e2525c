"""Sixty lines of tutorials on ResNets, as they stand there; only the imports are translated.

`import minires as torch`, `from minires import nn, optim, models`, `functional as F`. Each runs, or
ends in a sentence of ours that says what to write: `*` marks those. None breaks from inside.
"""

import re
from pathlib import Path

import numpy as np
import pytest

import minires
from minires import Tensor, models, nn, optim
from minires.nn import functional as F

from .arguments import is_a_sentence

DOCS = Path(__file__).parents[1] / "docs" / "from-pytorch.md"

LINES = """
* model = models.resnet18(pretrained=True)
* model = models.resnet50(weights="IMAGENET1K_V1")
* model = models.resnet18(weights=models.ResNet18_Weights.DEFAULT)
* model = models.resnet18(num_classes=10)
  model.fc = nn.Linear(model.fc.in_features, 10)
  for param in model.parameters(): param.requires_grad = False
  for name, param in model.named_parameters(): param.requires_grad = "fc" in name
* model = model.cuda()
  model = model.to("cpu")
* model = model.to(torch.device("cuda:0" if torch.cuda.is_available() else "cpu"))
* model = nn.DataParallel(model)
* torch.manual_seed(42)
* torch.backends.cudnn.benchmark = True
* torch.set_grad_enabled(False)
  nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
  nn.Conv2d(in_channels=64, out_channels=128, kernel_size=3, stride=2, padding=1, bias=False)
* nn.BatchNorm2d(num_features=64)
* nn.ReLU(inplace=True)
  nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
  nn.AdaptiveAvgPool2d((1, 1))
  nn.Linear(in_features=512, out_features=1000)
  nn.Sequential(nn.Conv2d(3, 16, 1, stride=2, bias=False), nn.BatchNorm2d(16))
  self.shortcut = nn.Sequential()
  self.downsample = None
  self.layers = nn.Sequential(*[nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU()])
* nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
* nn.init.constant_(model.bn1.weight, 1)
  for m in model.modules(): isinstance(m, (nn.Conv2d, nn.BatchNorm2d))
  identity = x
  out = F.relu(self.bn1(self.conv1(x)))
  out += identity
  out = out + self.shortcut(x)
* out = F.avg_pool2d(out, 4)
* out = out.view(out.size(0), -1)
  out = out.view(out.shape[0], -1)
* out = torch.flatten(out, 1)
  out = out.flatten(1)
* out = torch.cat([x, x], dim=3)
  criterion = nn.CrossEntropyLoss()
  criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
  optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
* optimizer = optim.Adam(model.parameters(), lr=1e-3)
* optimizer = optim.SGD([{"params": model.parameters(), "lr": 1e-3}], lr=1e-2)
* scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=200)
* scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
* loader = torch.utils.data.DataLoader(data, batch_size=128, shuffle=True, num_workers=2)
  model.train()
  model.eval()
  optimizer.zero_grad()
  loss = criterion(outputs, labels)
  loss.backward()
  optimizer.step()
  running_loss = loss.item() * len(inputs)
* running_loss = loss.item() * inputs.size(0)
* _, predicted = torch.max(outputs, 1)
  predicted = outputs.argmax(1)
  correct = (outputs.argmax(1) == labels).sum().item()
  with torch.no_grad(): outputs = model(inputs)
* torch.save(model.state_dict(), "resnet.pth")
* model.load_state_dict(torch.load("resnet.pth"))
"""


class Block(nn.Module):
    """The parts that a line may speak of as `self`."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(16, 16, 3, 1, 1), nn.BatchNorm2d(16)
        self.shortcut = nn.Sequential()


@pytest.fixture
def names(rng):
    images = rng.standard_normal((4, 8, 8, 16)).astype(np.float32)
    model = models.cifar_resnet(8)
    inputs = Tensor(np.zeros((4, 32, 32, 3), np.float32))
    outputs, labels = model(inputs), np.array([1, 2, 3, 4])
    modules = {"torch": minires, "nn": nn, "F": F, "optim": optim, "models": models}
    return modules | {
        "self": Block(),
        "model": model,
        "data": None,
        "x": Tensor(images),
        "identity": Tensor(images),
        "out": Tensor(images),
        "inputs": inputs,
        "outputs": outputs,
        "labels": labels,
        "criterion": nn.CrossEntropyLoss(),
        "loss": F.cross_entropy(outputs, labels),
        "optimizer": optim.SGD(model.parameters(), lr=0.1),
    }


@pytest.mark.parametrize("line", LINES.strip("\n").splitlines())
def test_a_line_of_a_tutorial_runs_or_gets_a_sentence(line, names):
    mark, line = line[0], line[2:]
    if mark == "*":
        with pytest.raises((TypeError, ValueError, AttributeError)) as caught:
            exec(line, names)
        assert is_a_sentence(caught.value), caught.value
        assert not re.fullmatch(r"\S+ has no attribute '\w+'", str(caught.value))
    else:
        exec(line, names)


def test_the_page_says_how_many():
    lines, page = LINES.strip("\n").splitlines(), DOCS.read_text(encoding="utf-8")
    told = sum(line[0] == "*" for line in lines)
    says = (
        f"Of {len(lines)} lines of tutorials on ResNets, {len(lines) - told} run as they are and "
    )
    assert says + f"{told} get such a sentence" in page
