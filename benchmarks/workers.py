"""One engine in one process, doing one kind of work each time it is asked to.

    python benchmarks/workers.py ENGINE DEPTH BATCH THREADS

prints a JSON line with its version and thread count, then for each line on standard input does one
training step (forward, backward, SGD with momentum and weight decay) and prints its milliseconds;
at the end of the input, its peak resident memory in MiB. `peers.py` runs several side by side.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

Step = Callable[[], None]
SGD = {"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4}


def batch(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The same random images (N, 32, 32, 3) and labels for every engine."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((size, 32, 32, 3), np.float32), rng.integers(0, 10, size)


def minires_step(depth: int, size: int, threads: int) -> tuple[Step, str, int]:
    """A training step of minires, its version, its number of threads."""
    import numba

    import minires
    from minires import optim
    from minires.models import cifar_resnet
    from minires.nn.functional import softmax_cross_entropy

    numba.set_num_threads(threads)
    images, labels = batch(size)
    model = cifar_resnet(depth)
    optimizer = optim.SGD(model.parameters(), **SGD)

    def step() -> None:
        loss = softmax_cross_entropy(model(minires.Tensor(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step, minires.__version__, numba.get_num_threads()


def torch_step(depth: int, size: int, threads: int) -> tuple[Step, str, int]:
    """A training step of PyTorch, eager, channels_last: its fastest layout here."""
    import torch
    from torch_resnet import TorchResNet

    torch.set_num_threads(threads)
    images, labels = batch(size)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    y = torch.from_numpy(labels)
    model = TorchResNet(depth).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), **SGD)

    def step() -> None:
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step, torch.__version__, torch.get_num_threads()


ENGINES = {"minires": minires_step, "torch": torch_step}


def main() -> None:
    """Serve steps until the input ends."""
    engine, depth, size, threads = sys.argv[1], *map(int, sys.argv[2:])
    step, version, used = ENGINES[engine](depth, size, threads)
    step()  # compiles, plans, fills caches
    print(json.dumps({"engine": engine, "version": version, "threads": used}), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        step()
        print(1000 * (time.perf_counter() - started), flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)


if __name__ == "__main__":
    main()
