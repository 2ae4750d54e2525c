"""Module: a piece of a network that knows its parameters, buffers and children by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np

from ..autograd import Tensor
from ..autograd.function import Array
from ..kernels.devices import choose, copy_to_host, device_of, is_array, move

Hook = Callable[["Module", tuple[Any, ...], Any], None]


class Parameter(Tensor):
    """A tensor that training changes; a module that it is assigned to registers it.

    `grad_buffer`, if an optimiser has given one, is the array that the gradient is written to, in
    place. It is lent to one operation of a backward pass; what others that use the parameter make
    is added.
    """

    __slots__ = ("buffer_is_lent", "grad_buffer")

    def __init__(self, data: Array) -> None:
        super().__init__(data, requires_grad=True)
        self.grad_buffer: Array | None = None
        self.buffer_is_lent = False

    def lend_grad_buffer(self) -> Array | None:
        """The buffer, unless a gradient lies there already or somebody has it."""
        if self.buffer_is_lent or self.grad is not None or self.grad_buffer is None:
            return None
        self.buffer_is_lent = True
        return self.grad_buffer

    def accumulate(self, grad: Array) -> None:
        """Add to the gradient, which starts in the buffer."""
        self.buffer_is_lent = False
        if self.grad is None and self.grad_buffer is not None:
            if grad is not self.grad_buffer:
                self.grad_buffer[...] = grad
            self.grad = self.grad_buffer
        else:
            super().accumulate(grad)

    def move_to(self, device: str) -> None:
        """Put array and gradient on a device."""
        if device != self.device:
            self.changes_in_place()
            self.data = move(self.data, device)
            self.grad = None if self.grad is None else move(self.grad, device)
            self.grad_buffer = None


class HookHandle:
    """Removes a hook: by `remove()`, or at the end of `with module.register_forward_hook(f):`."""

    def __init__(self, hooks: dict[object, Hook]) -> None:
        self.hooks = hooks

    def remove(self) -> None:
        """Detach the hook; doing so twice is harmless."""
        self.hooks.pop(self, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class Module:
    """Base of every layer and network: write `__init__` and `forward`.

    Attributes that are parameters or modules are registered in the order of assignment; arrays
    that belong to the state but are not trained (running statistics) through `register_buffer`.
    Names are dotted paths, `layer1.0.conv1.weight`.
    """

    training: bool
    _parameters: dict[str, Parameter]
    _buffers: dict[str, Array]
    _children: dict[str, Module]
    _hooks: dict[object, Hook]

    def __init__(self) -> None:
        self.__dict__.update(_parameters={}, _buffers={}, _children={}, _hooks={}, training=True)

    def __setattr__(self, name: str, value: Any) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__}: call super().__init__() before assigning '{name}'"
            )
        registry = self._registry_for(name, value)
        if registry is None:
            super().__setattr__(name, value)
        else:
            self.__dict__.pop(name, None)  # None, say, until now: it would hide what is registered
            registry[name] = value

    def _registry_for(self, name: str, value: Any) -> dict[str, Any] | None:
        """Where an attribute is kept; one that is registered can't become something else."""
        kinds = {"_parameters": Parameter, "_children": Module, "_buffers": np.ndarray}
        for registry, kind in kinds.items():
            if name in self.__dict__[registry]:
                if not (is_array(value) if kind is np.ndarray else isinstance(value, kind)):
                    raise TypeError(
                        f"{type(self).__name__}.{name} is a {kind.__name__} and can't be replaced "
                        f"by a {type(value).__name__}"
                    )
                return self.__dict__[registry]
        if isinstance(value, Parameter):
            return self._parameters
        return self._children if isinstance(value, Module) else None

    def __getattr__(self, name: str) -> Any:
        for registry in ("_parameters", "_buffers", "_children"):
            if name in self.__dict__.get(registry, {}):
                return self.__dict__[registry][name]
        raise AttributeError(f"{type(self).__name__} has no attribute '{name}'")

    def register_buffer(self, name: str, value: Array) -> None:
        """Add an array that is saved with the parameters but not trained."""
        self._buffers[name] = value

    # -- running ---------------------------------------------------------------------------

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Compute the result; every module defines it."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward()")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Run `forward`, then the hooks."""
        output = self.forward(*inputs, **options)
        for hook in tuple(self._hooks.values()):
            hook(self, inputs, output)
        return output

    def register_forward_hook(self, hook: Hook) -> HookHandle:
        """Call `hook(module, inputs, output)` after each forward, until the handle is removed."""
        handle = HookHandle(self._hooks)
        self._hooks[handle] = hook
        return handle

    @property
    def is_watched(self) -> bool:
        """Whether a hook wants to see what this module computes."""
        return bool(self._hooks)

    def train(self, mode: bool = True) -> Self:
        """Use the batch's statistics (training) from here down; returns the module."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Use the gathered statistics (evaluation) from here down; returns the module."""
        return self.train(False)

    def to(self, device: str) -> Self:
        """Move every parameter, gradient and buffer to "cpu", "cuda" or "auto"; returns the module.

        Counters, buffers of whole numbers, stay with the host. Make an optimiser afterwards: its
        velocities lie where the parameters are.

        Raises: ValueError that says why the device can't be used.
        """
        device = choose(device)
        for parameter in self.parameters():
            parameter.move_to(device)
        for _, module in self.named_modules():
            buffers = module.__dict__["_buffers"]
            for name, buffer in buffers.items():
                buffers[name] = move(buffer, device) if buffer.dtype.kind == "f" else buffer
        return self

    @property
    def device(self) -> str:
        """Where the parameters are."""
        return self.parameters()[0].device

    # -- names -----------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules assigned to this one, in order."""
        yield from self._children.items()

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module, as `prefix`, and all below it, each before its children."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its dotted name."""
        return self._named("_parameters")

    def named_buffers(self) -> Iterator[tuple[str, Array]]:
        """Every buffer with its dotted name."""
        return self._named("_buffers")

    def _named(self, registry: str) -> Iterator[tuple[str, Any]]:
        for prefix, module in self.named_modules():
            for name, value in module.__dict__[registry].items():
                yield f"{prefix}.{name}" if prefix else name, value

    def parameters(self) -> list[Parameter]:
        """All parameters, in order; one that several modules share is there once."""
        return list(dict.fromkeys(parameter for _, parameter in self.named_parameters()))

    def zero_grad(self) -> None:
        """Forget all gradients; the next backward starts afresh."""
        for parameter in self.parameters():
            parameter.grad = None

    # -- state -----------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters and buffers, by name: NumPy arrays, wherever the module is."""
        parameters = {name: copy_to_host(p.data) for name, p in self.named_parameters()}
        return parameters | {name: copy_to_host(b) for name, b in self.named_buffers()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take over every array of `state`; nothing is changed unless all names and shapes fit.

        Raises:
            ValueError: lists what is missing, unexpected or of another shape or dtype.
        """
        own = {name: p.data for name, p in self.named_parameters()} | dict(self.named_buffers())
        problems = mismatches(own, state)
        if problems:
            raise ValueError(
                f"this state does not fit the {type(self).__name__}:\n  " + "\n  ".join(problems)
            )
        for parameter in self.parameters():
            parameter.changes_in_place()
        for name, array in own.items():
            array[...] = move(state[name], device_of(array))

    def __repr__(self) -> str:
        lines = [
            f"  ({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()
        ]
        head = f"{type(self).__name__}({self.settings()}"
        return head + ")" if not lines else "\n".join([head, *lines, ")"])

    def settings(self) -> str:
        """What `repr` shows between the brackets."""
        return ""

    def multiply_adds(self, output_shape: tuple[int, ...]) -> int:
        """Multiplications that this layer itself spends on an output (N, ...); most spend none."""
        return 0


def mismatches(own: Mapping[str, Array], state: Mapping[str, Array]) -> list[str]:
    """A line for each array that is missing, unexpected, or of another shape or dtype."""
    lines = [f"missing: {name} {own[name].shape}" for name in own if name not in state]
    lines += [f"unexpected: {name} {state[name].shape}" for name in state if name not in own]
    for name in own.keys() & state.keys():
        expected, came = (f"{a.shape} {a.dtype}" for a in (own[name], state[name]))
        if expected != came:
            lines.append(f"{name}: expected {expected}, but got {came}")
    return sorted(lines)
