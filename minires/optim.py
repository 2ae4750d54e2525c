"""Optimisers: stochastic gradient descent with momentum, AdamW; groups of them; clipping."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from . import kernels
from .autograd import Tensor
from .autograd.function import Array
from .common.expecting import expects, must_be
from .from_pytorch import missing_from
from .kernels.devices import copy_to_host, device_of, move, namespace, shared_device
from .nn.module import Module, Parameter, mismatches


class Remembering:
    """What has a state to be saved: copies of `state_arrays`."""

    def state_arrays(self) -> dict[str, Array]:
        """What is remembered, by name: the arrays themselves."""
        raise NotImplementedError(f"{type(self).__name__} does not define state_arrays()")

    def state_dict(self) -> dict[str, Array]:
        """Copies of what is remembered, by the same names: NumPy arrays."""
        return {name: copy_to_host(array) for name, array in self.state_arrays().items()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take over what was remembered; ValueError if it belongs to other parameters."""
        own = self.state_arrays()
        if problems := mismatches(own, state):
            kind = type(self).__name__
            raise ValueError(f"this state does not fit the {kind}:\n  " + "\n  ".join(problems))
        for name, array in own.items():
            array[...] = move(state[name], device_of(array))


class Optimizer(Remembering):
    """What optimisers share: the parameters, the rate, what they remember of each parameter.

    `lr` may be changed between steps. A parameter without a gradient is left alone.

    Raises: TypeError for what is no parameter or number; ValueError where there is no parameter, or
        one is given twice, and for negative numbers.
    """

    settings: tuple[str, ...] = ()  # the names of what decides a step beside lr
    _lr = 0.0

    def __init__(self, parameters: Iterable[Parameter], lr: float, **settings: float) -> None:
        name = type(self).__name__
        self.parameters = parameters_of(name, parameters)
        if not self.parameters:
            raise ValueError(f"{name}: there are no parameters to train: pass model.parameters()")
        if len(set(self.parameters)) < len(self.parameters):
            raise ValueError(f"{name}: a parameter is given twice, and would be moved twice a step")
        for setting, value in {"lr": lr, **settings}.items():
            must_be_at_least_0(f"{name}: {setting}", value)
        self.flat = Flat(self.parameters) if self.parameters[0].device == "cuda" else None
        self.lr = lr
        self.memory: dict[str, list[Array]] = {}  # an array for each parameter, by what it is

    def zeros(self) -> list[Array]:
        """An array of each parameter's shape."""
        xp = namespace(self.parameters[0].data)
        return [xp.zeros_like(p.data) for p in self.parameters]

    @property
    def lr(self) -> float:
        """The learning rate; a step that a GPU replays follows its changes, too."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        if self.flat and value != self._lr:
            self.flat.set_rate(value)
        self._lr = value

    @property
    def lr_for_kernels(self) -> Any:
        """`lr` as a step takes it: a number; on a GPU an array (), which each replay reads anew."""
        return self.flat.rate if self.flat else self.lr

    @np.errstate(under="ignore")  # 0 is right, whatever np.seterr says
    def step(self) -> None:
        """Move every parameter that has a gradient, in place."""
        for parameter, *memory in zip(self.parameters, *self.memory.values(), strict=True):
            if parameter.grad is not None:
                parameter.changes_in_place()
                self.move(parameter.data, parameter.grad, *memory)

    def move(self, parameter: Array, grad: Array, *memory: Array) -> None:
        """The step of one array; every optimiser defines it."""
        raise NotImplementedError(f"{type(self).__name__} does not define move()")

    def gradients(self) -> list[Array]:
        """All gradients; on a GPU, where they lie side by side, as one flat array."""
        if self.flat and self.flat.is_whole():
            return [self.flat.grad]
        return [p.grad for p in self.parameters if p.grad is not None]

    @property
    def flats(self) -> list[Flat]:
        """Where a GPU's gradients lie side by side."""
        return [self.flat] if self.flat else []

    def zero_grad(self) -> None:
        """Forget all gradients; the next backward starts afresh."""
        for parameter in self.parameters:
            parameter.grad = None

    def decides(self) -> list[Any]:
        """The settings that decide what a step does, but for the rate."""
        return [getattr(self, name) for name in self.settings]

    def state_arrays(self) -> dict[str, Array]:
        """What is remembered, by name and the parameter's place in order: the arrays themselves."""
        return {f"{what}.{i}": a for what, all_ in self.memory.items() for i, a in enumerate(all_)}


class SGD(Optimizer):
    """SGD with momentum and weight decay, in PyTorch's convention.

    velocity = momentum * velocity + (gradient + weight_decay * parameter)
    parameter = parameter - lr * velocity

    With `nesterov`, gradient + weight_decay * parameter + momentum * velocity takes the velocity's
    place in the second line. The defaults are the paper's, momentum 0.9 and weight decay 1e-4;
    PyTorch's are 0 and 0. Weight decay acts on every parameter, batch norm's among them: `Groups`
    can make exceptions.
    """

    settings = ("momentum", "weight_decay", "nesterov")

    @expects(nesterov=bool)
    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float,
        *,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        nesterov: bool = False,
    ) -> None:
        super().__init__(parameters, lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov looks ahead by the momentum, which must not be 0")
        self.momentum, self.weight_decay, self.nesterov = momentum, weight_decay, nesterov
        self.velocities = self.flat.views(self.flat.velocity) if self.flat else self.zeros()
        self.memory = {"velocity": self.velocities}

    def step(self) -> None:
        """Move every parameter that has a gradient, in place; on a GPU all of them at once."""
        if self.flat and self.flat.is_whole():
            for parameter in self.parameters:
                parameter.changes_in_place()
            self.move(self.flat.data, self.flat.grad, self.flat.velocity)
        else:
            super().step()

    def move(self, parameter: Array, grad: Array, *memory: Array) -> None:
        """The step of one array."""
        step = move_ahead if self.nesterov else kernels.sgd_step
        step(
            parameter,
            grad,
            *memory,
            lr=self.lr_for_kernels,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )


def move_ahead(
    parameter: Array, grad: Array, velocity: Array, *, lr: Any, momentum: float, weight_decay: float
) -> None:
    """A step with Nesterov's momentum, as PyTorch has it."""
    grad = grad + weight_decay * parameter
    velocity *= momentum
    velocity += grad
    parameter -= in_dtype(lr, parameter) * (grad + momentum * velocity)


class AdamW(Optimizer):
    """Adam with weight decay apart from the gradient: Loshchilov & Hutter 2019, algorithm 2.

    parameter = (1 - lr * weight_decay) * parameter - lr * mean / (sqrt(square) + eps)

    `mean` and `square` are averages of the gradient and of its square, which forget by `betas`,
    and are freed of their start at 0. The defaults are PyTorch's. What is remembered lies where the
    parameters are, the number of steps, too: a step that a GPU replays goes on counting.
    """

    settings = ("betas", "eps", "weight_decay")

    @expects(betas=Sequence)
    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, lr, eps=eps, weight_decay=weight_decay)
        good = [isinstance(beta, numbers.Real) and 0 <= beta < 1 for beta in betas]
        if good != [True, True]:
            raise ValueError(f"AdamW: betas must be two numbers, 0 to below 1, but are {betas}")
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        xp = namespace(self.parameters[0].data)
        steps = [xp.zeros((), np.float64) for _ in self.parameters]
        self.memory = {"mean": self.zeros(), "square": self.zeros(), "steps": steps}

    def move(self, parameter: Array, grad: Array, *memory: Array) -> None:
        """The step of one array."""
        mean, square, steps = memory
        steps += 1
        for average, new, beta in zip((mean, square), (grad, grad * grad), self.betas, strict=True):
            average *= beta
            average += (1 - beta) * new
        seen = [in_dtype(1 - beta**steps, parameter) for beta in self.betas]
        lr = in_dtype(self.lr_for_kernels, parameter)
        parameter *= 1 - lr * self.weight_decay
        parameter -= lr / seen[0] * mean / (np.sqrt(square / seen[1]) + self.eps)


class Groups(Remembering):
    """Optimisers that step together: parameters in groups with settings of their own.

    Groups(SGD(weights, lr=0.1), SGD(norms, lr=0.1, weight_decay=0)), say. `lr` is the first one's;
    a change of it multiplies that of each by as much.

    Raises: ValueError for no group, a parameter in two of them, a first rate of 0 with others.
    """

    def __init__(self, *groups: Optimizer) -> None:
        for group in groups:
            must_be(Optimizer, group, "Groups: each group")
        if not groups:
            raise ValueError("Groups: there is no group: pass optimisers, such as SGD(...)")
        self.groups, first = groups, groups[0].lr
        self.parameters = [p for group in groups for p in group.parameters]
        if len(set(self.parameters)) < len(self.parameters):
            raise ValueError(
                "Groups: a parameter is in two groups, and would be moved twice a step"
            )
        if not first and any(group.lr for group in groups):
            raise ValueError("Groups: the first group's lr must not be 0 where another's is not")
        self.shares = [group.lr / first if first else 1.0 for group in groups]

    @property
    def lr(self) -> float:
        """The first group's learning rate."""
        return self.groups[0].lr

    @lr.setter
    def lr(self, value: float) -> None:
        for group, share in zip(self.groups, self.shares, strict=True):
            group.lr = value * share

    def step(self) -> None:
        """Move every parameter that has a gradient, in place."""
        for group in self.groups:
            group.step()

    def gradients(self) -> list[Array]:
        """All gradients; see `Optimizer.gradients`."""
        return [grad for group in self.groups for grad in group.gradients()]

    @property
    def flats(self) -> list[Flat]:
        """Those of all groups."""
        return [flat for group in self.groups for flat in group.flats]

    def zero_grad(self) -> None:
        """Forget all gradients; the next backward starts afresh."""
        for group in self.groups:
            group.zero_grad()

    def decides(self) -> list[Any]:
        """The settings that decide what a step does, but for the rate."""
        return [value for group in self.groups for value in group.decides()]

    def state_arrays(self) -> dict[str, Array]:
        """What each group remembers, by names that begin with the group's place."""
        groups = enumerate(self.groups)
        return {f"{i}.{k}": a for i, group in groups for k, a in group.state_arrays().items()}


@expects(max_norm=float)
@np.errstate(under="ignore")  # 0 is right, whatever np.seterr says
def clip_gradients(parameters: Iterable[Parameter], max_norm: float) -> Any:
    """Scale all gradients so that their common Euclidean norm is at most `max_norm`.

    Returns the norm that they had, a number of float64; on a GPU an array (), for which nobody
    waits. As in PyTorch, the scale is max_norm / (norm + 1e-6), and at most 1.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_gradients: max_norm must be more than 0, but is {max_norm}")
    given = [(p, p.grad) for p in parameters_of("clip_gradients", parameters) if p.grad is not None]
    norm = np.sqrt(sum(np.square(grad, dtype=np.float64).sum() for _, grad in given))
    scale = np.minimum(max_norm / (norm + 1e-6), 1.0)
    for parameter, grad in given:
        if grad is parameter.grad_buffer:  # where an optimiser looks for it
            grad *= in_dtype(scale, grad)
        else:  # others may hold it, too
            parameter.grad = grad * in_dtype(scale, grad)
    return norm


def in_dtype(number: Any, like: Array) -> Any:
    """A number, or an array (), that leaves the dtype of what it is multiplied with."""
    return number.astype(like.dtype) if hasattr(number, "astype") else number


def must_be_at_least_0(what: str, value: Any) -> None:
    """Raises: TypeError for what is no number, ValueError for a negative one or NaN."""
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{what} must be a number, but is {value!r}")
    if not float(value) >= 0:
        raise ValueError(f"{what} must be at least 0, but is {value}")


def parameters_of(name: str, given: Any) -> list[Parameter]:
    """The parameters for an optimiser of this name, as a list; what is something else is named."""
    if isinstance(given, Module | Tensor):
        advice = "model.parameters()" if isinstance(given, Module) else "a list, [parameter]"
        raise TypeError(f"{name} takes parameters, but got a {type(given).__name__}: pass {advice}")
    parameters = list(given) if isinstance(given, Iterable) else [given]
    for one in parameters:
        if not isinstance(one, Tensor):
            raise TypeError(
                f"{name} takes parameters, but got {type(one).__name__} ({one!r:.60}): pass "
                f"model.parameters(); groups with settings of their own are an {name} each, "
                "together in optim.Groups(...)"
            )
        if one.context is not None:
            raise TypeError(
                f"{name} takes parameters, but got the result of an operation, whose gradient is "
                "not kept: pass the tensors that it was computed from"
            )
    return parameters


class Flat:
    """Parameters, gradients and velocities of a GPU side by side, for a step in one launch.

    The parameters' arrays become views into one; backward writes their gradients into another, so
    the next backward overwrites them. Each starts at a multiple of 64 values.
    """

    ALIGNMENT = 64

    def __init__(self, parameters: list[Parameter]) -> None:
        self.parameters = parameters
        shared_device("SGD", *(p.data for p in parameters))
        first, xp = parameters[0].data, namespace(parameters[0].data)
        sizes = [-(-p.data.size // self.ALIGNMENT) * self.ALIGNMENT for p in parameters]
        self.starts = [0, *itertools.accumulate(sizes)]
        self.data, self.grad, self.velocity = (
            xp.zeros(self.starts[-1], first.dtype) for _ in range(3)
        )
        self.rate = xp.zeros((), first.dtype)  # in memory, where a recorded step reads it anew
        self.data_views, self.grad_views = self.views(self.data), self.views(self.grad)
        for parameter, data, grad in zip(parameters, self.data_views, self.grad_views, strict=True):
            data[...] = parameter.data
            parameter.data, parameter.grad_buffer = data, grad

    def views(self, array: Array) -> list[Array]:
        """Each parameter's part of a flat array, in its shape."""
        return [
            array[start : start + p.data.size].reshape(p.shape)
            for start, p in zip(self.starts, self.parameters, strict=False)
        ]

    def set_rate(self, value: float) -> None:
        """Put the learning rate where the kernel reads it; nobody waits."""
        self.rate.fill(self.rate.dtype.type(value))

    def is_whole(self) -> bool:
        """Whether every parameter and every gradient is still in its place."""
        return all(
            p.data is data and p.grad is grad
            for p, data, grad in zip(self.parameters, self.data_views, self.grad_views, strict=True)
        )


__getattr__ = missing_from("minires.optim")
