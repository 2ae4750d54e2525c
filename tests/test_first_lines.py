"""What somebody who knows PyTorch types first: it runs, or a sentence names the right call.

Only the imports are translated: `import minires as torch`, `from minires import nn, optim`.
"""

import re
from pathlib import Path

import numpy as np
import pytest

import minires
from minires import Tensor, models, nn, optim
from minires.from_pytorch import ADVICE
from minires.models import cifar_resnet
from minires.nn import functional as F

DOCS = Path(__file__).parents[1] / "docs" / "from-pytorch.md"


class Net(nn.Module):
    """As in many a tutorial."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, 1, 1)
        self.bn1 = nn.BatchNorm2d(6)
        self.pool = nn.MaxPool2d(2, 2)
        self.fc = nn.Linear(6 * 4 * 4, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        return self.fc(x.flatten(1))


@pytest.fixture
def names(rng):
    model = Net()
    images = Tensor(rng.standard_normal((4, 8, 8, 3)).astype(np.float32))
    labels = np.array([1, 2, 3, 4])
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    outputs = model(images)
    return {
        "np": np,
        "torch": minires,
        "nn": nn,
        "optim": optim,
        "F": F,
        "model": model,
        "images": images,
        "labels": labels,
        "optimizer": optimizer,
        "outputs": outputs,
        "criterion": nn.CrossEntropyLoss(),
        "loss": F.cross_entropy(outputs, labels),
        "x": Tensor([[1.0, -2.0], [3.0, 4.0]], requires_grad=True),
    }


RUN = """
torch.Tensor([[1.0, 2.0], [3.0, 4.0]])
torch.seed(0)
nn.Conv2d(3, 64, 7, 2, 3)
nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
nn.Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=True)
nn.Conv2d(3, 8, (1, 3))(images)
nn.Conv2d(3, 8, (1, 3), stride=(1, 2), padding=(0, 1))(images)
nn.Conv2d(3, 6, 3, padding=2, dilation=2, groups=3)(images)
nn.Linear(512, 10)
nn.Linear(512, 10, bias=False)
nn.BatchNorm2d(64)
nn.BatchNorm2d(64, eps=1e-5, momentum=0.1)
nn.MaxPool2d(2, 2)(images)
nn.MaxPool2d(kernel_size=3, stride=2, padding=1)(images)
nn.AvgPool2d(2)(images)
nn.AdaptiveAvgPool2d((1, 1))(images)
nn.Dropout(0.5)(images)
nn.Flatten()(images)
nn.Identity()(images)
nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())(images)
nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
nn.ModuleList().append(nn.ReLU())[0](images)
print(model)
[p.shape for p in model.parameters()]
sum(p.data.size for p in model.parameters())
[name for name, p in model.named_parameters()]
list(model.children())
[m for m in model.modules() if isinstance(m, nn.Conv2d)]
model.apply(lambda m: None)
model.train()
model.eval()
model.to("cpu")
model.zero_grad()
model.load_state_dict(model.state_dict())
model.load_state_dict({}, strict=False)
model.register_forward_hook(lambda module, inputs, output: None).remove()
outputs.register_hook(lambda grad: None).remove()
optimizer.zero_grad(); loss.backward(); optimizer.step()
optim.SGD(model.parameters(), 0.1)
optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
optim.AdamW(model.parameters(), lr=1e-3)
nn.CrossEntropyLoss(weight=np.ones(10), label_smoothing=0.1)(outputs, labels)
criterion(outputs, labels)
F.cross_entropy(outputs, labels)
F.softmax(outputs, 1)
F.log_softmax(outputs, 1)
F.relu(x)
loss.item()
float(loss)
print(f"{loss:.3f}")
print(loss)
loss.detach().numpy()
np.asarray(outputs)
outputs.argmax(1)
(outputs.argmax(1) == labels).sum()
(outputs.argmax(1) == labels).mean()
x.relu().sum().backward()
x.max()
x.max(1)
x.min()
x.abs().sqrt().tanh().sigmoid().clip(0, 1)
x.mean()
x.view(-1)
x.view(2, -1)
x.reshape(4)
x.flatten()
x.shape, x.dtype, x.ndim, len(x), x.device
x[0], x[:, 1]
x + 1, 1 - x, 2 * x, x / 2, x**2, -x, x @ x
x > 0
x.grad
torch.concatenate([x, x])
torch.stack([x, x])
torch.where(x > 0, x, 0.0)
torch.pad(x, 1)
with torch.no_grad(): model(images)
"""


@pytest.mark.parametrize("line", RUN.strip().splitlines())
def test_a_first_line_runs(line, names):
    exec(line, names)


SENTENCES = {
    "torch.manual_seed(0)": "minires.seed(0)",
    "torch.randn(2, 3)": "Tensor(array)",
    "torch.zeros(3)": "Tensor(array)",
    "torch.tensor([1.0])": "Tensor(array)",
    "torch.cat([x, x])": "minires.concatenate",
    "torch.max(outputs, 1)": "x.max(axis) gives values alone, x.argmax(axis) places",
    "_, predicted = outputs.max(1)": "a tensor of 4 rows can't be unpacked into 2",
    "torch.relu(x)": "it is a method of the tensor",
    "torch.device('cuda')": 'devices are names, "cpu"',
    "torch.cuda.is_available()": 'x.to("cuda")',
    "torch.save(model.state_dict(), 'net.npz')": "np.savez(file",
    "torch.Tensor(None)": "got NoneType",
    "torch.Tensor('3')": "got str ('3')",
    "torch.Tensor([x, x])": "minires.stack(tensors)",
    "torch.Tensor(np.arange(3))": "float32 or float64, but got int64",
    "x + None": "got NoneType",
    "x.size(0)": "x.shape",
    "x.permute(1, 0)": "x.transpose(0, 3, 1, 2) takes all axes",
    "x.unsqueeze(0)": "x.reshape(...), or x[:, None]",
    "x.cuda()": 'x.to("cuda")',
    "x.cpu()": 'x.to("cpu")',
    "x.clamp(0, 1)": "x.clip(low, high)",
    "x.requires_grad_()": "x.requires_grad = True",
    "x.backward()": "needs a scalar, but this tensor has shape (2, 2)",
    "x.item()": "reduce it first (.mean(), .sum())",
    "if x: pass": "reduce it first (.mean(), .sum())",
    "nn.Conv2d(3, 8, 3, padding='same')": "padding must be a whole number, at least 0, or two",
    "nn.Conv2d(3, 8, 3, stride=0)": "stride must be a whole number, at least 1, or two",
    "nn.Conv2d(3, 8, 3, groups=2)": "groups must divide 3 channels and 8, but is 2",
    "nn.Conv2d(3, 8, 3.0)": "kernel_size must be a whole number",
    "nn.MaxPool2d((2, 3))": "only square windows are there",
    "nn.Sequential([nn.ReLU()])": "Sequential takes modules one by one, such as nn.ReLU()",
    "nn.Sequential(nn.ReLU)": "but got the class ReLU",
    "nn.Sequential(F.relu)": "but got <function relu",
    "nn.ModuleList([nn.ReLU()])(x)": "loop over it, or make a Sequential(*layers)",
    "nn.Softmax(dim=1)": "nn.functional.softmax(x)",
    "nn.MSELoss()": "((x - y) ** 2).mean()",
    "nn.utils.clip_grad_norm_(model.parameters(), 1.0)": "optim.clip_gradients(parameters, max",
    "nn.DataParallel(model)": "the kernels use all cores",
    "F.max_pool2d(images, 2)": "max_pool(x, size=2)",
    "F.nll_loss(outputs, labels)": "cross_entropy(logits, labels)",
    "F.mse_loss(x, x)": "((x - y) ** 2).mean()",
    "model.layers = [nn.ReLU(), nn.Linear(2, 2)]": "put modules into a Sequential(",
    "model.w = torch.Tensor([1.0], requires_grad=True)": "make it a Parameter(array), not a Tensor",
    "model.cuda()": 'model.to("cuda")',
    "model(np.ones((4, 8, 8, 3), np.float32))": "takes tensors, but got ndarray: make one of an",
    "model(images.numpy())": "Convolve takes tensors, but got ndarray: make one of an",
    "model(images[0])": "must be images (N, H, W, C), but has shape (8, 8, 3)",
    "model(images.transpose(0, 3, 1, 2))": "x has 8 channels (4, 3, 8, 8)",
    "criterion(outputs, Tensor([1.0]))": "labels are a plain array of whole numbers",
    "criterion(outputs, np.ones(4))": "labels must be whole numbers, but are float64",
    "optim.SGD(model, lr=0.1)": "pass model.parameters()",
    "optim.SGD(model.fc.weight, lr=0.1)": "pass a list, [parameter]",
    "optim.SGD(model.named_parameters(), lr=0.1)": "but got tuple (('conv1.weight'",
    "optim.SGD([{'params': model.parameters()}], lr=0.1)": "groups with settings of their own are",
    "optim.SGD(model.parameters(), lr='0.1')": "lr must be a number, but is '0.1'",
    "optim.SGD(model.parameters(), lr=None)": "lr must be a number, but is None",
    "optim.Adam(model.parameters())": "AdamW(parameters, weight_decay=0)",
    "optim.lr_scheduler.StepLR(optimizer, 30)": "set optimiser.lr between two steps",
    "model.load_state_dict('net.pth')": "a state is a dictionary of arrays by name",
    "model.load_state_dict({'fc.weight': [1.0]})": "a state is a dictionary of arrays by name",
    "model.load_state_dict({})": "missing: bn1.bias (6,)",
}


@pytest.mark.parametrize("line", SENTENCES)
def test_another_first_line_gets_a_sentence(line, names):
    names["Tensor"] = Tensor
    with pytest.raises((TypeError, ValueError, AttributeError)) as caught:
        exec(line, names)
    assert SENTENCES[line] in str(caught.value)


def test_advice_is_given_only_for_what_is_missing():
    """A name that nobody knows gets none."""
    places = {
        "minires": minires,
        "minires.nn": nn,
        "minires.nn.functional": F,
        "minires.nn.init": nn.init,
        "minires.models": models,
        "minires.optim": optim,
        "Tensor": Tensor([1.0]),
        "Module": nn.ReLU(),
    }
    assert set(places) == set(ADVICE)
    for place, owner in places.items():
        for name, advice in ADVICE[place].items():
            with pytest.raises(AttributeError, match=f"no attribute '{name}': {re.escape(advice)}"):
                getattr(owner, name)
        with pytest.raises(AttributeError, match=r"no attribute 'nonsense'$"):
            owner.nonsense  # noqa: B018


LAYERS = {
    "Conv2d": lambda: nn.Conv2d(3, 4, 1),
    "BatchNorm2d": lambda: nn.BatchNorm2d(3),
    "BatchNorm2d in evaluation": lambda: nn.BatchNorm2d(3).eval(),
    "ReLU": nn.ReLU,
    "PReLU": nn.PReLU,
    "MaxPool2d": lambda: nn.MaxPool2d(2),
    "AvgPool2d": lambda: nn.AvgPool2d(2),
    "GlobalAvgPool": nn.GlobalAvgPool,
    "SubsampleAndPad": lambda: nn.SubsampleAndPad(4, stride=2),
    "ResNet": lambda: cifar_resnet(8),
    "recomputed": lambda: cifar_resnet(8, recompute=True),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
def test_layers_take_tensors_and_say_so(make):
    layer = make()
    array = np.ones((2, 8, 8, 3), np.float32)
    with pytest.raises(TypeError, match="takes tensors, but got ndarray: make one of an array"):
        layer(array)


# ------------------------------------------------------------------- docs/from-pytorch.md


def test_the_page_names_what_is_there():
    """Every call in its table that is written as code can be looked up."""
    text = DOCS.read_text(encoding="utf-8")
    ours = "\n".join(row.split("|")[3] for row in text.splitlines() if row.startswith("|"))
    for name in re.findall(r"`(minires|nn|F|optim)\.(\w+)", ours):
        owner = {"minires": minires, "nn": nn, "F": F, "optim": optim}[name[0]]
        assert hasattr(owner, name[1]), name


def test_layouts_are_as_the_page_says():
    assert nn.Conv2d(3, 8, (1, 5)).weight.shape == (1, 5, 3, 8)
    assert nn.Conv2d(3, 8, 3).bias is None
    assert nn.Linear(3, 8).weight.shape == (3, 8)
    assert cifar_resnet(8)(Tensor(np.zeros((2, 32, 32, 3), np.float32))).shape == (2, 10)
    sgd = optim.SGD(nn.Linear(2, 2).parameters(), lr=1)
    assert (sgd.momentum, sgd.weight_decay) == (0.9, 1e-4)


def test_max_gives_values_alone_and_transpose_takes_all_axes(rng):
    x = Tensor(rng.standard_normal((3, 5)))
    np.testing.assert_array_equal(x.max(1).data, x.data.max(1))
    assert x.transpose(0, 1).shape == (3, 5)
    assert x.transpose(1, 0).shape == (5, 3)
