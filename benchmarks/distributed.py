"""Several processes: a training step of each kind on this machine, and a model of many machines.

    python benchmarks/distributed.py measure            # one process, two ranks, PyTorch's DDP
    python benchmarks/distributed.py model --step 136 --parameters 272474 --gbit 10

`measure` starts the others in turn, in three rounds, with 128 images a step and as many threads as
there are cores; a figure is the median of a round. `sending` is the share of a step in which a rank
is in calls to the others when all of them have come; the wait for the slowest does not count.
DDP is left out where PyTorch is missing.
`model` takes your own numbers and prints how N machines would do, if only sending took time.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

NODES = (2, 8, 32, 128, 256)
USABLE = 0.9  # of a network's nominal rate
IMAGES = 128
app = typer.Typer(add_completion=False, no_args_is_help=True)
console = Console()


# ------------------------------------------------------------------------------------ the model


def efficiency(step: float, megabytes: float, gbit: float, latency: float, nodes: int) -> float:
    """Share of the time in which N nodes compute, if each has the work of one: weak scaling.

    `step` is in ms, `latency` in microseconds. A sum sends 2 (N - 1) / N of the vector in
    2 (N - 1) messages, as Alltoall and Allgather do, and so does a ring; nothing overlaps.
    """
    rate = USABLE * gbit / 8  # MB per ms
    sending = 2 * (nodes - 1) / nodes * megabytes / rate
    return step / (step + sending + 2 * (nodes - 1) * latency / 1e3)


@app.command()
def model(
    step: Annotated[float, typer.Option(help="of one node, ms")],
    parameters: Annotated[int, typer.Option(help="of the network")],
    gbit: Annotated[float, typer.Option(help="of the network cable, Gbit/s")] = 10,
    latency: Annotated[float, typer.Option(help="of a message, microseconds")] = 30,
) -> None:
    """Print the efficiency of 2 to 256 nodes: a model, not a measurement."""
    table = Table("nodes", "efficiency", title="A model: computing and sending, nothing else")
    for nodes in NODES:
        share = efficiency(step, 4e-6 * parameters, gbit, latency, nodes)
        table.add_row(str(nodes), f"{share:.0%}")
    console.print(table)


# ----------------------------------------------------------------------------- the measurement


@app.command()
def measure(
    depth: Annotated[int, typer.Option(help="of the CIFAR network, 6n + 2")] = 20,
    ranks: Annotated[int, typer.Option(help="a power of two")] = 2,
    steps: Annotated[int, typer.Option(help="in a round")] = 30,
    rounds: Annotated[int, typer.Option()] = 3,
) -> None:
    """Time a step of 128 images: one process, several ranks with a shard each, DDP with gloo."""
    contenders = {
        f"minires, 1 process x {ranks} threads": ("minires", 1),
        f"minires, {ranks} ranks x 1 thread": ("minires", ranks),
        f"torch, 1 process x {ranks} threads": ("torch", 1),
        f"torch DDP with gloo, {ranks} ranks x 1 thread": ("torch", ranks),
    }
    table = Table("ms a step", *(f"round {i + 1}" for i in range(rounds)), "sending")
    rows: dict[str, list[list[float]]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, (engine, size) in contenders.items():
            if found := started(engine, size, ranks // size, depth, steps):
                rows[name].append(found)
    for name, found in rows.items():
        if found:
            share = statistics.median(sending / step for step, sending in found)
            told = f"{share:.1%}" if contenders[name] == ("minires", ranks) else ""
            table.add_row(name, *(f"{step:.0f}" for step, _ in found), told)
    console.print(table)
    medians = {contenders[n]: statistics.median(s for s, _ in f) for n, f in rows.items() if f}
    for other, what in ((("minires", 1), "threads"), (("torch", ranks), "DDP")):
        if {other, ("minires", ranks)} <= medians.keys():
            ratio = medians[other] / medians["minires", ranks]
            console.print(f"{ranks} ranks are {ratio:.2f} times as fast as {what}.")


def started(engine: str, size: int, threads: int, depth: int, steps: int) -> list[float]:
    """Milliseconds of a step and of communication in it; [] where the engine can't run."""
    names = "NUMBA_NUM_THREADS", "OMP_NUM_THREADS"
    settings = dict.fromkeys(names, str(threads)) | {"MPIEXEC_TIMEOUT": "600"}
    mpiexec = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.defpath}")
    launcher = [str(mpiexec), "-n", str(size)] if size > 1 else []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "work", engine, folder, str(depth), str(steps)]
        done = subprocess.run(
            [*launcher, *command], env=os.environ | settings, capture_output=True, text=True
        )
    if done.returncode:
        console.print(f"{engine} on {size}: left out. {done.stderr.strip()[-200:]}", markup=False)
        return []
    return [float(word) for word in done.stdout.split()[-2:]]


@app.command(hidden=True)
def work(engine: str, folder: Path, depth: int, steps: int) -> None:
    """One of the processes; the first one prints its two figures."""
    from minires.distributed import place

    step, sending = {"minires": of_minires, "torch": of_torch}[engine](folder, depth)
    for _ in range(3):
        step()
    times, before = [], sending()
    for _ in range(steps):
        began = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - began))
    if place().rank == 0:
        print(statistics.median(times), 1e3 * (sending() - before) / steps)


def of_minires(folder: Path, depth: int) -> tuple[Any, Any]:
    """A training step, and the seconds of sending so far."""
    from dataclasses import replace

    from minires.data.builtin import generate
    from minires.distributed import world
    from minires.models import cifar_resnet
    from minires.training import PRESETS, Trainer

    recipe = replace(PRESETS["paper"](depth, 2000), shards=world().size)
    data = generate(train=2000, test=100)
    trainer = Trainer(cifar_resnet(depth), data, recipe, folder=folder, seed=0, name="timed")
    trainer.begin()
    spent, meet = [0.0], trainer.world.exchange
    for name in ("sum", "gather"):
        setattr(trainer.world, name, clocked(getattr(trainer.world, name), meet, spent))
    return trainer.train_step, lambda: spent[0]


def clocked(call: Any, meet: Any, spent: list[float]) -> Any:
    """The same call, which adds its seconds from the moment when all ranks have come."""

    def timed(*arguments: Any) -> Any:
        meet(None)
        began = time.perf_counter()
        result = call(*arguments)
        spent[0] += time.perf_counter() - began
        return result

    return timed


def of_torch(folder: Path, depth: int) -> tuple[Any, Any]:
    """The same of PyTorch; DDP tells nothing of its communication."""
    import torch
    from torch_resnet import TorchResNet

    from minires.distributed import place

    here = place()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    network: Any = TorchResNet(depth)
    if here.size > 1:
        meeting = f"file://{folder / 'ddp'}"
        torch.distributed.init_process_group("gloo", meeting, rank=here.rank, world_size=here.size)
        network = torch.nn.parallel.DistributedDataParallel(network)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    images = torch.randn(IMAGES // here.size, 3, 32, 32)
    labels = torch.randint(0, 10, (IMAGES // here.size,))

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()

    return step, lambda: 0.0


if __name__ == "__main__":
    app()
