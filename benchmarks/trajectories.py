"""How far float32 drifts from float64 while a network trains: the fast kernels beside PyTorch.

    python benchmarks/trajectories.py [--depth 20] [--batch 32] [--steps 10] [--seeds 3]

minires in float32 (the fast kernels, Winograd's among them), PyTorch in float32 and PyTorch in
float64 train from the same weights on the same batches of built-in drawings. The distance of two
networks is the length of the difference of all their parameters, relative to how far the one in
float64 has come from its start.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import torch
import typer
from engines.torch import channels_last, with_weights
from networks import Arrays, to_torch_layout
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch_resnet import TorchResNet

from minires import Tensor
from minires.data import Batches, load
from minires.models import cifar_resnet
from minires.nn.functional import cross_entropy
from minires.optim import SGD

SETTINGS = {"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4}


def ours(depth: int, weights: Arrays, batches: Batches, steps: int) -> Iterator[np.ndarray]:
    """All parameters after each step, in float32."""
    model = cifar_resnet(depth)
    model.load_state_dict(weights)
    optimizer = SGD(model.parameters(), **SETTINGS)
    for step in range(steps):
        images, labels = batches.batch(step)
        loss = cross_entropy(model(Tensor(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        named = {name: parameter.data for name, parameter in model.named_parameters()}
        yield joined(to_torch_layout(named))


def theirs(
    depth: int, weights: Arrays, batches: Batches, steps: int, dtype: torch.dtype
) -> Iterator[np.ndarray]:
    """The same in PyTorch."""
    model = with_weights(TorchResNet(depth), weights).to(dtype).train()
    optimizer = torch.optim.SGD(model.parameters(), **SETTINGS)
    for step in range(steps):
        images, labels = batches.batch(step)
        logits = model(channels_last(images).to(dtype))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).backward()
        optimizer.step()
        yield joined({k: p.detach().numpy() for k, p in model.named_parameters()})


def joined(parameters: Arrays) -> np.ndarray:
    """All parameters, sorted by name, as one vector of float64."""
    return np.concatenate([parameters[name].ravel() for name in sorted(parameters)], dtype=float)


def distances(depth: int, batch: int, steps: int, seed: int) -> np.ndarray:
    """(steps, 2): relative distance from float64 after each step, ours and PyTorch's."""
    model = cifar_resnet(depth, seed=seed)
    weights = model.state_dict()
    batches = Batches(load("builtin"), batch, seed)
    named = {name: parameter.data for name, parameter in model.named_parameters()}
    start = joined(to_torch_layout(named))
    common = depth, weights, batches, steps
    runs = ours(*common), theirs(*common, torch.float32), theirs(*common, torch.float64)
    return np.array(
        [
            [np.linalg.norm(w - exact) / np.linalg.norm(exact - start) for w in (fast, peer)]
            for fast, peer, exact in zip(*runs, strict=True)
        ]
    )


def main(
    depth: Annotated[int, typer.Option(help="6n + 2 layers")] = 20,
    batch: Annotated[int, typer.Option(min=1, help="images")] = 32,
    steps: Annotated[int, typer.Option(min=1)] = 10,
    seeds: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Print both distances after the last step, for every seed."""
    table = Table(title=f"ResNet-{depth}, batch {batch}: distance from float64, {steps} steps")
    for heading in ("seed", "minires", "PyTorch", "ratio"):
        table.add_column(heading, justify="right")
    for seed in track(range(seeds), "Training", transient=True):
        mine, peer = distances(depth, batch, steps, seed)[-1]
        table.add_row(str(seed), f"{mine:.1e}", f"{peer:.1e}", f"{mine / peer:.1f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
