"""minires beside PyTorch on an NVIDIA GPU: training steps, and what the kernels reach.

    python benchmarks/gpu.py [--depths 20,56,110] [--batch 128] [--repeats 30] [--json FILE]

Steps of both engines take turns in one process, and each is timed from an idle GPU to an idle GPU,
so that launching counts as well as computing. PyTorch computes in float32 (TF32 switched off, as
minires has none), with channels last, cuDNN choosing its fastest algorithm; a second row lets it
use TF32. A ratio above 1 means that minires is faster. Where PyTorch is absent, or sees no GPU, its
columns stay empty. The kernels of ResNet-20 are then timed one by one, with CUDA events.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import typer
from minires.kernels import cuda, devices
from rich.console import Console
from tables import JsonFile, Rows, new_table, spread, write

from minires import Tensor
from minires.models import cifar_resnet
from minires.nn.functional import softmax_cross_entropy
from minires.optim import SGD

Step = Callable[[], Any]
SETTINGS = {"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4}
STAGES = ((32, 16), (16, 32), (8, 64))  # sides and channels of ResNet-20's maps
WARM_UP = 5

console = Console()


# ------------------------------------------------------------------- training steps


def our_step(depth: int, images: np.ndarray, labels: np.ndarray) -> Step:
    """Forward, backward, SGD; the batch is on the GPU."""
    model = cifar_resnet(depth).to("cuda")
    optimizer = SGD(model.parameters(), **SETTINGS)
    x, classes = Tensor(images).to("cuda"), devices.move(labels, "cuda")

    def step() -> None:
        loss = softmax_cross_entropy(model(x), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def their_step(depth: int, images: np.ndarray, labels: np.ndarray, device: str) -> Step:
    """The same in PyTorch, channels last."""
    import torch
    from torch_resnet import TorchResNet

    torch.backends.cudnn.benchmark = True
    model = TorchResNet(depth).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), **SETTINGS)
    x = torch.tensor(images, device=device).permute(0, 3, 1, 2)
    classes = torch.tensor(labels, device=device)

    def step() -> None:
        loss = torch.nn.functional.cross_entropy(model(x), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def allow_tf32(allowed: bool) -> None:
    """What PyTorch may do to float32."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


def why_no_torch() -> str:
    """Why PyTorch can't be timed, or an empty string."""
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed"
    import torch

    return "" if torch.cuda.is_available() else "PyTorch sees no GPU: install its CUDA build"


def wait() -> None:
    """Until the GPU has done everything."""
    devices.cupy().cuda.Device().synchronize()


def milliseconds(step: Step) -> float:
    """From an idle GPU to an idle GPU: synchronising the device waits for both engines."""
    wait()
    started = time.perf_counter()
    step()
    wait()
    return 1e3 * (time.perf_counter() - started)


def take_turns(steps: list[Step], repeats: int) -> np.ndarray:
    """Milliseconds, (repeats, steps)."""
    for step in steps * WARM_UP:
        step()
    return np.array([[milliseconds(step) for step in steps] for _ in range(repeats)])


def train(depth: int, batch: int, repeats: int, with_torch: bool) -> Rows:
    """Rows of a network: against float32, and against TF32."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch, 32, 32, 3), np.float32)
    labels = rng.integers(0, 10, batch)
    rows = []
    for precision in ("float32", "TF32") if with_torch else ("float32",):
        steps = [our_step(depth, images, labels)]
        if with_torch:
            allow_tf32(precision == "TF32")
            steps.append(their_step(depth, images, labels, "cuda"))
        row = {"work": f"ResNet-{depth}, batch {batch}", "peer": precision if with_torch else ""}
        rows.append(row | statistics(take_turns(steps, repeats)))
    return rows


def statistics(times: np.ndarray) -> dict[str, Any]:
    """Medians and quartiles, and those of the ratios turn by turn."""
    columns = {"ours_ms": times[:, 0]}
    if times.shape[1] > 1:
        columns |= {"peer_ms": times[:, 1], "ratio": times[:, 1] / times[:, 0]}
    row = {}
    for name, values in columns.items():
        low, row[name], high = np.percentile(values, (25, 50, 75)).tolist()
        row[f"{name}_quartiles"] = [low, high]
    return row


# ------------------------------------------------------------------- kernels


def kernels_of(side: int, channels: int, batch: int) -> dict[str, tuple[Step, float, str]]:
    """What a stage of ResNet-20 spends its time on: the call, its work, and the unit a second."""
    cupy = devices.cupy()
    rng = np.random.default_rng(0)
    shape = (batch, side, side, channels)
    x, dy = (cupy.asarray(rng.standard_normal(shape, np.float32)) for _ in range(2))
    weight = cupy.asarray(rng.standard_normal((3, 3, channels, channels), np.float32))
    gamma, beta = cupy.ones(channels, np.float32), cupy.zeros(channels, np.float32)
    y, mean, var = cuda.batch_norm(x, gamma, beta, eps=1e-5, relu=True)
    operations = 2 * 9 * channels * x.size / 1e9
    gigabytes = x.nbytes / 1e9

    def weight_grad() -> Any:
        return cuda.conv2d_weight_grad(dy, x, kernel_size=(3, 3), padding=1)

    return {
        "convolution": (lambda: cuda.conv2d(x, weight, padding=1), operations, "GFLOP/s"),
        "input gradient": (
            lambda: cuda.conv2d_input_grad(dy, weight, x_shape=shape, padding=1),
            operations,
            "GFLOP/s",
        ),
        "weight gradient": (weight_grad, operations, "GFLOP/s"),
        "batch norm": (
            lambda: cuda.batch_norm(x, gamma, beta, eps=1e-5, relu=True),
            3 * gigabytes,
            "GB/s",
        ),
        "its gradient": (
            lambda: cuda.batch_norm_grad(dy, x, gamma, mean, var, eps=1e-5, y=y),
            8 * gigabytes,
            "GB/s",
        ),
    }


def gpu_milliseconds(step: Step, calls: int = 10) -> float:
    """Of a call, between two events on the GPU: launching does not count where the GPU is busy."""
    cupy = devices.cupy()
    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    begin.record()
    for _ in range(calls):
        step()
    end.record()
    end.synchronize()
    return cupy.cuda.get_elapsed_time(begin, end) / calls


def measure_kernels(batch: int, repeats: int) -> Rows:
    """A row for each kernel and stage."""
    rows = []
    for side, channels in STAGES:
        for name, (step, work, unit) in kernels_of(side, channels, batch).items():
            step()
            ms = float(np.median([gpu_milliseconds(step) for _ in range(repeats)]))
            rows.append(
                {
                    "kernel": f"{name}, {side} x {side} x {channels}",
                    "ms": ms,
                    "rate": work / ms * 1e3,
                    "unit": unit,
                }
            )
    return rows


# ------------------------------------------------------------------- the script


def main(
    depths: Annotated[str, typer.Option(help="6n + 2 each, separated by commas")] = "20,56,110",
    batch: Annotated[int, typer.Option(min=1)] = 128,
    repeats: Annotated[int, typer.Option(min=3)] = 30,
    json_file: JsonFile = None,
) -> None:
    """Time training steps beside PyTorch's, and the kernels of ResNet-20."""
    try:
        devices.choose("cuda")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    reason = why_no_torch()
    if reason:
        console.print(f"{reason}: its columns stay empty.")
    steps = [
        row
        for depth in map(int, depths.split(","))
        for row in train(depth, batch, repeats, not reason)
    ]
    kernels = measure_kernels(batch, repeats)
    console.print(steps_table(steps), kernels_table(kernels))
    write(json_file, 1, steps + kernels, gpu=devices.describe_cuda())


def steps_table(rows: Rows) -> Any:
    """Training steps."""
    table = new_table(
        f"A training step; {devices.describe_cuda()}; medians (quartiles)",
        ["network", "PyTorch's precision"],
        ["minires, ms", "PyTorch, ms", "ratio"],
    )
    for row in rows:
        cells = [
            spread(row[name], row[f"{name}_quartiles"], "{:.2f}") if name in row else ""
            for name in ("ours_ms", "peer_ms", "ratio")
        ]
        table.add_row(row["work"], row["peer"], *cells)
    return table


def kernels_table(rows: Rows) -> Any:
    """Kernels one by one."""
    table = new_table("The kernels of ResNet-20", ["kernel"], ["ms", "a second"])
    for row in rows:
        table.add_row(row["kernel"], f"{row['ms']:.3f}", f"{row['rate']:,.0f} {row['unit']}")
    return table


if __name__ == "__main__":
    typer.run(main)
