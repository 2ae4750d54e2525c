"""The engines that are timed: one module each, which no other imports.

A module offers

    version()                    of the engine
    use_threads(count)           called first
    threads()                    how many it uses, looked up after the first step
    use_mode(mode)               called once for each mode of `Peer.modes` that is asked for

and, as far as the engine can do it, kinds of work. Each takes a description and returns a step: a
function without arguments, whose result is there for tests to compare.

    train(network, weights, images, labels)     one step of SGD; the loss before it
    infer(network, weights, images)             logits
    convolution(shape, batch, gradient)         the layer's output, or one of its gradients

Images, weights and results are NumPy arrays in the layout of minires.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from typing import Any, NamedTuple

Step = Callable[[], Any]
SGD = {"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4}


class Peer(NamedTuple):
    """What an engine needs on this machine, and the work that it can do.

    A mode follows the engine's name, as in torch:bfloat16:compile.
    """

    kinds: tuple[str, ...]
    packages: tuple[str, ...]
    programs: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        """Packages and programs that are not there."""
        packages = [name for name in self.packages if not importlib.util.find_spec(name)]
        return packages + [name for name in self.programs if not shutil.which(name)]


PEERS = {
    "torch": Peer(("train", "infer", "memory"), ("torch",), modes=("bfloat16", "compile")),
    "jax": Peer(("train", "memory"), ("jax", "jaxlib")),
    "tinygrad": Peer(("train", "memory"), ("tinygrad",), ("clang",)),
    "onnxruntime": Peer(("infer",), ("onnxruntime", "onnx", "onnxscript", "torch")),
    "openvino": Peer(
        ("infer",), ("openvino", "onnx", "onnxscript", "onnxruntime", "torch"), modes=("bfloat16",)
    ),
}


def peer_of(name: str) -> Peer:
    """The peer of a name that modes may follow. ValueError if there is none, or no such mode."""
    engine, *modes = name.split(":")
    if engine not in PEERS:
        raise ValueError(f"--peers knows {', '.join(PEERS)}, but not {engine!r}")
    known = PEERS[engine].modes
    if unknown := set(modes) - set(known):
        raise ValueError(
            f"{engine} has the modes {', '.join(known) or '(none)'}, but not {unknown.pop()!r}"
        )
    return PEERS[engine]


def running_threads(prefix: str) -> int:
    """Threads of this process whose name begins so; 0 where the system does not tell."""
    tasks = "/proc/self/task"
    if not os.path.isdir(tasks):
        return 0
    names = [open_text(f"{tasks}/{task}/comm") for task in os.listdir(tasks)]
    return sum(name.startswith(prefix) for name in names)


def open_text(path: str) -> str:
    """The whole of a small file."""
    with open(path, encoding="utf-8") as file:
        return file.read()
