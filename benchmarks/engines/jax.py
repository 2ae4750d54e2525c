"""JAX: the CIFAR network of He et al. 2015, sec. 4.2, with option A, in plain jax.numpy.

Images are (N, H, W, C), weights (kh, kw, in, out); parameters and running statistics are flat
dictionaries under the names of minires. The step is one compiled program, which writes over the
parameters it is given.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from networks import CIFAR_DEPTHS, Arrays

from . import SGD, Step, running_threads

State = dict[str, jax.Array]


def version() -> str:
    return jax.__version__


def use_threads(count: int) -> None:
    """Nothing to set: XLA's pool has a thread for each core that the process is tied to."""


def threads() -> int:
    """The threads of XLA's pool."""
    return running_threads("tf_XLAEigen")


def conv(x: jax.Array, weight: jax.Array, stride: int = 1) -> jax.Array:
    """3x3 with a border of one pixel."""
    layouts = ("NHWC", "HWIO", "NHWC")
    border = [(1, 1), (1, 1)]
    return jax.lax.conv_general_dilated(
        x, weight, (stride, stride), border, dimension_numbers=layouts
    )


def batch_norm(name: str, x: jax.Array, p: State, moved: State) -> jax.Array:
    """By the batch's statistics; the running ones are `moved` towards them."""
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    count = x.size // x.shape[-1]
    for statistic, batch in (("mean", mean), ("var", var * count / (count - 1))):
        key = f"{name}.running_{statistic}"
        moved[key] = 0.9 * moved[key] + 0.1 * batch
    return (x - mean) * jax.lax.rsqrt(var + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]


def shortcut(x: jax.Array, channels: int, stride: int) -> jax.Array:
    """Every stride-th pixel, and zeros for the new channels after the old ones."""
    new = ((0, 0), (0, 0), (0, 0), (0, channels - x.shape[-1]))
    return jnp.pad(x[:, ::stride, ::stride], new)


def block(name: str, x: jax.Array, stride: int, p: State, moved: State) -> jax.Array:
    """The basic block, fig. 2."""
    y = conv(x, p[f"{name}.conv1.weight"], stride)
    y = jax.nn.relu(batch_norm(f"{name}.bn1", y, p, moved))
    y = batch_norm(f"{name}.bn2", conv(y, p[f"{name}.conv2.weight"]), p, moved)
    return jax.nn.relu(y + shortcut(x, y.shape[-1], stride))


def loss_of(
    p: State, running: State, x: jax.Array, labels: jax.Array, depth: int
) -> tuple[jax.Array, State]:
    """Mean cross entropy, and the running statistics after it."""
    moved = dict(running)
    x = jax.nn.relu(batch_norm("bn1", conv(x, p["conv1.weight"]), p, moved))
    for stage in (1, 2, 3):
        for number in range((depth - 2) // 6):
            stride = 2 if stage > 1 and number == 0 else 1
            x = block(f"layer{stage}.{number}", x, stride, p, moved)
    logits = x.mean((1, 2)) @ p["fc.weight"] + p["fc.bias"]
    right = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1)
    return -right.mean(), moved


@partial(jax.jit, static_argnames="depth", donate_argnames=("p", "velocity", "running"))
def sgd_step(
    p: State, velocity: State, running: State, x: jax.Array, labels: jax.Array, depth: int
) -> Any:
    """Forward, backward, SGD: the loss, and everything that has moved."""
    gradient_of = jax.value_and_grad(loss_of, has_aux=True)
    (loss, running), gradient = gradient_of(p, running, x, labels, depth)
    velocity = {
        k: SGD["momentum"] * v + gradient[k] + SGD["weight_decay"] * p[k]
        for k, v in velocity.items()
    }
    return loss, ({k: p[k] - SGD["lr"] * v for k, v in velocity.items()}, velocity, running)


def train(network: str, weights: Arrays, images: np.ndarray, labels: np.ndarray) -> Step:
    """The compiled step; each call waits for its result."""
    x, y = jnp.asarray(images), jnp.asarray(labels)
    running = {k: jnp.array(a) for k, a in weights.items() if "running" in k}
    p = {k: jnp.array(a) for k, a in weights.items() if k not in running}
    state = (p, {k: jnp.zeros_like(a) for k, a in p.items()}, running)

    def step() -> float:
        nonlocal state
        loss, state = sgd_step(*state, x, y, depth=CIFAR_DEPTHS[network])
        jax.block_until_ready(state)
        return float(loss)

    return step
