"""By how much does reading image files slow training, here and in PyTorch?

    python benchmarks/own_images.py [--cifar FOLDER] [--network resnet20] [--batch-size 128]

writes images as PNG files into a folder for each class: CIFAR-10 from the folder that holds it,
or the built-in drawings of 64 x 64 pixels. Then it times training steps on a batch in memory, and
steps on batches that are read, cut at random, scaled and mirrored on the way, as `minires train`
does it after it has looked through all images; in PyTorch by a DataLoader with Pillow, with the
same random views, network and batches. Each engine has a process of its own, in turns. The aim is
that files cost 5 % at most.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from networks import NETWORKS
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from minires.data import Dataset, find_photographs, load
from minires.data.augmentation import random_view
from minires.data.builtin import generate
from minires.data.images import IMAGENET_MEAN, IMAGENET_STD
from minires.data.own_folders import refuse_broken

ENGINES = ("minires", "torch")
UNTIMED = 3  # steps after each change, in which threads and processes start
console = Console()


def main(
    cifar: Annotated[Path | None, typer.Option(help="folder that holds CIFAR-10")] = None,
    images: Annotated[int, typer.Option(min=20, help="how many files")] = 10_000,
    network: Annotated[str, typer.Option(help="resnet20 and the like, resnet50")] = "resnet20",
    size: Annotated[int, typer.Option(min=0, help="pixels that the network sees; 0: its own")] = 0,
    batch_size: Annotated[int, typer.Option(min=2)] = 128,
    steps: Annotated[int, typer.Option(min=1, help="timed, of each kind, in a turn")] = 30,
    repeats: Annotated[int, typer.Option(min=1, help="turns of each engine")] = 3,
    engines: Annotated[str, typer.Option(help="minires, or minires,torch")] = "minires,torch",
    file: Annotated[Path | None, typer.Option("--json", help="also write the figures")] = None,
    child: Annotated[str, typer.Option(hidden=True)] = "",
    folder: Annotated[Path, typer.Option(hidden=True)] = Path(),
) -> None:
    """Write the files, then let the engines take turns."""
    if network not in NETWORKS or set(engines.split(",")) - set(ENGINES):
        raise typer.BadParameter(
            f"networks are resnet20 and others of 6n + 2 layers, and resnet50; engines are "
            f"{' and '.join(ENGINES)}"
        )
    size = size or NETWORKS[network].side
    if child:
        timed = {"minires": of_minires, "torch": of_torch}[child]
        print(json.dumps(times(*timed(folder, network, size, batch_size), steps)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        drawings = partial(generate, train=images, test=20, size=64)
        data = load("cifar10", data_dir=cifar) if cifar else drawings()
        write_files(data, min(images, len(data.train_images)), Path(temporary))
        same = f"--network={network} --size={size} --batch-size={batch_size} --steps={steps}"
        turns = [
            (engine, turn(engine, temporary, same.split()))
            for _ in track(range(repeats), "turns", console=console, transient=True)
            for engine in engines.split(",")
        ]
    rows = {e: medians([t for engine, t in turns if engine == e]) for e in engines.split(",")}
    show(rows, f"{network}, {data.name}, {size} x {size} pixels, batches of {batch_size}")
    if file:
        file.write_text(json.dumps({"options": same, "data": data.name, "engines": rows}, indent=1))


def write_files(data: Dataset, count: int, folder: Path) -> None:
    """Class folders with PNG files."""
    for name in data.classes:
        (folder / name).mkdir()

    def write(number: int) -> None:
        path = folder / data.classes[data.train_labels[number]] / f"{number:06}.png"
        Image.fromarray(data.train_images[number]).save(path)

    with ThreadPoolExecutor() as pool:
        list(track(pool.map(write, range(count)), "writing", total=count, transient=True))


def turn(engine: str, folder: str, options: list[str]) -> dict[str, float]:
    """What one process measures."""
    command = [sys.executable, __file__, "--child", engine, "--folder", folder, *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


Batches = Iterator[tuple[Any, Any]]


def times(
    step: Callable[[Any, Any], None], from_files: Callable[[], Batches], steps: int
) -> dict[str, float]:
    """Seconds of a step on a batch in memory, and of one on batches that are read on the way."""
    batches = from_files()
    images, labels = next(batches)
    in_memory = [seconds(lambda: step(images, labels)) for _ in range(UNTIMED + steps)]
    read = [seconds(lambda: step(*next(batches))) for _ in range(UNTIMED + steps)]
    return {
        "memory": statistics.mean(in_memory[UNTIMED:]),
        "files": statistics.mean(read[UNTIMED:]),
    }


def seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def of_minires(folder: Path, network: str, size: int, batch_size: int) -> tuple[Any, Any]:
    """A step, and what `minires train` reads."""
    from minires import Tensor
    from minires.nn import functional as F
    from minires.optim import SGD

    model = NETWORKS[network].build()
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    data = find_photographs(folder, size=size)
    refuse_broken(data)
    batches = data.training_batches(batch_size, 0)

    def step(images: np.ndarray, labels: np.ndarray) -> None:
        loss = F.cross_entropy(model(Tensor(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def from_files() -> Batches:
        number = 0
        while True:
            batches.seek(number)
            yield batches.next()
            number += 1

    return step, from_files


def of_torch(folder: Path, network: str, size: int, batch_size: int) -> tuple[Any, Any]:
    """The same in PyTorch, channels_last, with a process for each core that reads."""
    import torch
    from engines.torch import NETWORKS as TORCH_NETWORKS

    model = TORCH_NETWORKS[network]().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def step(images: torch.Tensor, labels: torch.Tensor) -> None:
        images = images.contiguous(memory_format=torch.channels_last)
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def from_files() -> Batches:
        loader = torch.utils.data.DataLoader(
            TorchFiles(folder, size),
            batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=os.cpu_count() or 1,
            persistent_workers=True,
        )
        while True:
            yield from loader

    return step, from_files


class TorchFiles:
    """What torchvision's ImageFolder, RandomResizedCrop, flip, ToTensor and Normalize give."""

    def __init__(self, folder: Path, size: int) -> None:
        self.files, self.size = find_photographs(folder).train, size

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> tuple[Any, int]:
        import torch

        rng = np.random.default_rng(int(torch.randint(2**62, ())))  # differs in each process
        with Image.open(self.files.paths[number]) as image:
            view = random_view(image.convert("RGB"), self.size, rng)
        pixels = torch.from_numpy(view.copy()).permute(2, 0, 1).float().div(255)
        mean, std = (torch.tensor(m).reshape(3, 1, 1) for m in (IMAGENET_MEAN, IMAGENET_STD))
        return (pixels - mean) / std, self.files.labels[number]


def medians(turns: list[dict[str, float]]) -> dict[str, float]:
    """The median of all turns; `slower` is that of their own ratios."""
    both = {kind: statistics.median(t[kind] for t in turns) for kind in ("memory", "files")}
    return both | {"slower": statistics.median(t["files"] / t["memory"] - 1 for t in turns)}


def show(rows: dict[str, dict[str, float]], title: str) -> None:
    table = Table(title=title)
    for heading in ("", "step, batch in memory", "step, from files", "files cost"):
        table.add_column(heading, justify="right" if heading else "left")
    for engine, row in rows.items():
        cells = (f"{1000 * row[kind]:.0f} ms" for kind in ("memory", "files"))
        table.add_row(engine, *cells, f"{row['slower']:+.1%}")
    console.print(table)
    if "torch" in rows and "minires" in rows:
        ratio = rows["torch"]["files"] / rows["minires"]["files"]
        console.print(f"From files PyTorch takes {ratio:.2f} times as long as minires.")


if __name__ == "__main__":
    typer.run(main)
