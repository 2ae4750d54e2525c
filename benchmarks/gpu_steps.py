"""Training steps to time on a GPU: minires and PyTorch, called one by one or replayed as a graph.

A way is an engine, a mode and a precision; `prepare` makes its step: forward, backward and SGD
with momentum, on a batch that lies on the GPU. PyTorch has channels last, lets cuDNN choose its
fastest algorithms, has its defaults otherwise, and computes the same networks: torchvision's, and
for CIFAR-10 those of torch_resnet.py.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from minires.kernels import devices
from minires.kernels.precision import PRECISIONS as OUR_PRECISIONS

import minires
from minires import Tensor, models
from minires.nn.functional import cross_entropy
from minires.optim import SGD

Step = Callable[[], Any]
OURS, THEIRS = "minires", "PyTorch"
PRECISIONS = ("float32", "tf32", "bfloat16")
SETTINGS = {"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4}
WARM_UP = 5
DEVICE = "cuda"  # of PyTorch: tests have its CPU build


class Network(NamedTuple):
    """A network, and the batch that it is trained on."""

    name: str
    batch: int
    side: int
    classes: int

    @property
    def depth(self) -> int:
        return int(self.name.removeprefix("ResNet-"))

    @property
    def on_cifar(self) -> bool:
        """Whether it is one of sec. 4.2, for images of 32 x 32, or of table 1, for ImageNet."""
        return self.classes == 10

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels, the same ones for all."""
        rng = np.random.default_rng(0)
        shape = (self.batch, self.side, self.side, 3)
        return rng.standard_normal(shape, np.float32), rng.integers(0, self.classes, self.batch)

    def ours(self) -> Any:
        if self.on_cifar:
            return models.cifar_resnet(self.depth)
        return getattr(models, f"resnet{self.depth}")(version="v1.5")

    def theirs(self) -> Any:
        if self.on_cifar:
            from torch_resnet import TorchResNet

            return TorchResNet(self.depth)
        import torchvision

        return getattr(torchvision.models, f"resnet{self.depth}")()


LARGE = (18, 34, 50, 101, 152)  # layers of the networks for ImageNet


def network(name: str, batch: int, large_batch: int) -> Network:
    """A network by name; ValueError that says which there are."""
    depth = int(name.removeprefix("ResNet-")) if name.removeprefix("ResNet-").isdigit() else 0
    if depth in LARGE:
        return Network(name, large_batch, 224, 1000)
    if depth >= 8 and depth % 6 == 2:
        return Network(name, batch, 32, 10)
    raise ValueError(
        f"a network is ResNet-D, where D is 6n + 2 for CIFAR-10, or {', '.join(map(str, LARGE))} "
        f"for ImageNet, but is {name!r}"
    )


class Way(NamedTuple):
    """How a step is computed."""

    engine: str
    mode: str  # eager, graph, compile
    precision: str

    def __str__(self) -> str:
        return f"{self.engine}, {self.mode}, {self.precision}"


def why_no_torch() -> str:
    """Why PyTorch can't be timed, or an empty string."""
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed"
    import torch

    usable = DEVICE == "cpu" or torch.cuda.is_available()
    return "" if usable else "PyTorch sees no GPU: install its CUDA build"


def ways(precision: str, with_torch: bool) -> list[Way]:
    """Those that take turns: the same precision, eager and as a graph."""
    engines = [OURS] * (precision in OUR_PRECISIONS) + [THEIRS] * with_torch
    return [Way(engine, mode, precision) for engine in engines for mode in ("eager", "graph")]


def prepare(way: Way, network: Network, compile_mode: str = "default") -> Step:
    """A step, warm: its kernels are compiled and chosen, its graph is recorded."""
    if way.engine == OURS:
        step = our_step(way.precision, network)
        if way.mode == "graph":
            step = minires.graph(step)
    else:
        step = their_step(way, network, compile_mode)
        if way.mode == "graph":
            step = their_graph(step)
    for _ in range(WARM_UP):
        step()
    return step


def our_step(precision: str, network: Network) -> Step:
    """A training step of minires."""
    images, labels = network.data()
    model = network.ours().to("cuda")
    optimizer = SGD(model.parameters(), **SETTINGS)
    x, classes = Tensor(images).to("cuda"), devices.move(labels, "cuda")

    def step() -> None:
        with minires.precision(precision):
            loss = cross_entropy(model(x), classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return step


def their_step(way: Way, network: Network, compile_mode: str) -> Step:
    """The same in PyTorch, channels last."""
    import torch

    images, labels = network.data()
    torch.backends.cudnn.benchmark = True
    model = network.theirs().to(DEVICE, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), **SETTINGS)
    x = torch.tensor(images, device=DEVICE).permute(0, 3, 1, 2)
    classes = torch.tensor(labels, device=DEVICE)
    run = compiled(model, compile_mode) if way.mode == "compile" else model
    half = way.precision == "bfloat16"
    tf32 = way.precision != "float32"

    def step() -> None:
        allow_tf32(tf32)
        with torch.autocast(DEVICE, torch.bfloat16, enabled=half):
            loss = torch.nn.functional.cross_entropy(run(x), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def compiled(model: Any, mode: str) -> Any:
    """By torch.compile, which gives up on a function that it has compiled for some other models."""
    import torch

    torch._dynamo.reset()
    return torch.compile(model, mode=mode)


def allow_tf32(allowed: bool) -> None:
    """What PyTorch may do to float32."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


def their_graph(step: Step) -> Step:
    """PyTorch's step, recorded once: `torch.cuda.graph`, after a warm-up on another stream."""
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def replay(keep: Step = step) -> None:  # the graph reads and writes the arrays of the step
        graph.replay()

    return replay


def forget_caches() -> None:
    """Give memory back that no array uses."""
    import gc

    gc.collect()
    devices.cupy().get_default_memory_pool().free_all_blocks()
    if not why_no_torch() and DEVICE == "cuda":
        import torch

        torch.cuda.empty_cache()


def each(networks: list[Network], with_torch: bool) -> Iterator[tuple[Network, list[Way]]]:
    """What takes turns together: a network in a precision, however it is computed."""
    for this in networks:
        for precision in PRECISIONS:
            if group := ways(precision, with_torch):
                yield this, group
