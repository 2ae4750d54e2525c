"""ResNet-20 and its plain twin against the same network in PyTorch: forward, backward, training.

The network of the oracle is written independently, in `tests/torch_oracle.py`; only the initial
weights are handed over.

In float32 two right programs may differ by more than rounding: where a ReLU's input is nearer to 0
than its rounding error, one lets a gradient pass and the other does not, and training carries that
on. So batches are drawn until, in float64, every ReLU is clear of its kink. What is left is
rounding, and PyTorch's own distance from float64 says how much of it is due.
"""

import functools

import numpy as np
import pytest

from minires import Tensor
from minires.models import cifar_resnet
from minires.nn.functional import cross_entropy
from minires.optim import SGD
from tests.helpers import assert_agree
from tests.torch_oracle import (
    distance_from_kinks,
    images_to_torch,
    to_torch,
    torch,
    torch_twin,
    weight_from_torch,
)

SHORTCUTS = ["A", "B", None]
STEPS = 20
RATES = {"A": 1e-3, "B": 1e-3, None: 1e-4}  # large steps magnify every difference, plain nets more
CLEAR = 3e-5  # some ten times the rounding error of an activation in float32
DUE = 2  # our distance from float64 may be this many times PyTorch's; measured: 0.9 to 1.3


def settings(shortcut):
    return {"lr": RATES[shortcut], "momentum": 0.9, "weight_decay": 1e-4}


def make_batch(rng, *, images=8, size=8):
    """Images with a little of their class in them, so that there is something to learn."""
    classes = np.random.default_rng(7).standard_normal((10, size, size, 3))
    labels = rng.integers(0, 10, images)
    return 0.5 * classes[labels] + rng.standard_normal((images, size, size, 3)), labels


def networks(shortcut, dtype=np.float64):
    model = cifar_resnet(20, shortcut=shortcut, seed=1, dtype=dtype)
    return model, torch_twin(model, 20, shortcut, getattr(torch, np.dtype(dtype).name))


def our_pass(model, x, labels):
    """Logits, loss and all gradients of one batch."""
    logits = model(Tensor(x))
    loss = cross_entropy(logits, labels)
    loss.backward()
    return {"logits": logits.data, "loss": loss.data} | {
        name: p.grad for name, p in model.named_parameters()
    }


def their_pass(twin, x, labels):
    logits = twin(images_to_torch(x))
    loss = torch.nn.functional.cross_entropy(logits, to_torch(labels))
    loss.backward()
    return {"logits": logits.detach().numpy(), "loss": loss.detach().numpy()} | {
        name: weight_from_torch(p.grad) for name, p in twin.named_parameters()
    }


def train(run, network, optimiser, batches):
    """The loss of every step; `run` does forward and backward."""
    losses = []
    for x, labels in batches:
        optimiser.zero_grad()
        losses.append(run(network, x, labels)["loss"])
        optimiser.step()
    return {"losses": np.array(losses)}


def clear_batches(twin):
    """A batch for each step, drawn until no ReLU of the network as it then is nears its kink."""
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        x, labels = make_batch(rng)
        while distance_from_kinks(twin, images_to_torch(x)) < CLEAR:
            x, labels = make_batch(rng)
        yield x, labels


def train_theirs(shortcut, dtype, batches):
    """Losses, then parameters and running statistics at the end."""
    _, twin = networks(shortcut, dtype)
    optimiser = torch.optim.SGD(twin.parameters(), **settings(shortcut))
    losses = train(their_pass, twin, optimiser, batches(twin))
    return losses | {n: weight_from_torch(a) for n, a in twin.state_dict().items() if a.ndim}


def train_ours(shortcut, dtype, batches):
    model, _ = networks(shortcut, dtype)
    optimiser = SGD(model.parameters(), **settings(shortcut))
    return train(our_pass, model, optimiser, batches) | model.state_dict()


@functools.cache
def their_training_in_float64(shortcut):
    """The batches of the run, and where it ended."""
    drawn = []

    def draw(twin):
        for batch in clear_batches(twin):
            drawn.append(batch)
            yield batch

    return train_theirs(shortcut, np.float64, draw), drawn


def distance(arrays, exact):
    """Root mean square difference of all arrays together, relative to the size of the exact."""
    difference = sum(np.sum((arrays[n].astype(np.float64) - exact[n]) ** 2) for n in exact)
    return np.sqrt(difference / sum(np.sum(a**2) for a in exact.values()))


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_logits_loss_and_all_gradients_agree_in_float64(shortcut):
    model, twin = networks(shortcut)
    x, labels = make_batch(np.random.default_rng(0), images=4, size=32)
    assert_agree(our_pass(model, x, labels), their_pass(twin, x, labels))


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_logits_loss_and_all_gradients_agree_in_float32_to_rounding(shortcut):
    model, twin = networks(shortcut)
    [(x, labels), *_] = their_training_in_float64(shortcut)[1]
    exact = our_pass(model, x, labels)
    model, twin = networks(shortcut, np.float32)
    x = x.astype(np.float32)
    ours, theirs = our_pass(model, x, labels), their_pass(twin, x, labels)
    assert all(array.dtype == np.float32 for array in ours.values())
    assert distance(ours, exact) < DUE * distance(theirs, exact)


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_twenty_training_steps_agree_in_float64(shortcut):
    theirs, batches = their_training_in_float64(shortcut)
    assert_agree(train_ours(shortcut, np.float64, batches), theirs)


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_twenty_training_steps_agree_in_float32_to_rounding(shortcut):
    exact, batches = their_training_in_float64(shortcut)
    single = [(x.astype(np.float32), labels) for x, labels in batches]
    ours = train_ours(shortcut, np.float32, single)
    theirs = train_theirs(shortcut, np.float32, lambda _: single)
    assert distance(ours, exact) < DUE * distance(theirs, exact)


def test_training_does_something():
    """The runs above learn: a test of standing still would pass too easily."""
    theirs, _ = their_training_in_float64("A")
    model, _ = networks("A")
    moved = {n: theirs[n] for n, _ in model.named_parameters()}
    start = {n: p.data for n, p in model.named_parameters()}
    assert distance(start, moved) > 0.01
    assert np.abs(theirs["bn1.running_mean"]).max() > 0.01
