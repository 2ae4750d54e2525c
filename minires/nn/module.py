"""Module: a piece of a network that knows its parameters, buffers and children by name."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np

from ..autograd import HookHandle, Tensor
from ..autograd.function import Array
from ..autograd.hooks import Hooks
from ..common.expecting import expects
from ..from_pytorch import ADVICE
from ..kernels.devices import choose, copy_to_host, device_of, is_array, move
from .grad_buffer import LeafWithBuffer

Hook = Callable[["Module", tuple[Any, ...], Any], None]
REGISTRIES = ("_parameters", "_buffers", "_children", "_hooks")


class Parameter(LeafWithBuffer):
    """A tensor that training changes; a module that it is assigned to registers it."""

    __slots__ = ()

    def __init__(self, data: Array) -> None:
        super().__init__(data, requires_grad=True)

    def move_to(self, device: str) -> None:
        """Put array and gradient on a device."""
        if device != self.device:
            self.changes_in_place()
            self.data = move(self.data, device)
            self.grad = None if self.grad is None else move(self.grad, device)
            self.grad_buffer = None


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
    _hooks: Hooks

    @expects()
    def __init__(self) -> None:
        self.__dict__.update(
            _parameters={}, _buffers={}, _children={}, _hooks=Hooks(), training=True
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__}: call super().__init__() before assigning '{name}'"
            )
        registry = self._registry_for(name, value)
        if registry is None:
            self._refuse_unregistered(name, value)
            super().__setattr__(name, value)
        else:
            self.__dict__.pop(name, None)  # an earlier value, such as None, would hide the new one
            registry[name] = value

    def _refuse_unregistered(self, name: str, value: Any) -> None:
        """Refuse what would never be trained: layers in a list, a tensor that is no Parameter."""
        if holds_modules(value):
            raise TypeError(
                f"{type(self).__name__}.{name} is a {type(value).__name__} with modules or "
                "parameters, which would not be trained: put modules into a Sequential(...) or a "
                "ModuleList([...]), and assign each Parameter to an attribute"
            )
        if type(value) is Tensor and value.requires_grad and value.context is None:
            raise TypeError(
                f"{type(self).__name__}.{name} would not be trained: make it a Parameter(array), "
                "not a Tensor"
            )

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
            if name in (registered := self.__dict__.get(registry, {})):
                return registered[name]
        advice = ADVICE["Module"].get(name)  # what to write for a name that only PyTorch has
        raise AttributeError(
            f"{type(self).__name__} has no attribute '{name}'" + (f": {advice}" if advice else "")
        )

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
        if output is None:
            raise TypeError(
                f"{type(self).__name__}.forward returned None: is its `return` missing?"
            )
        self._hooks.call(self, inputs, output)
        return output

    def register_forward_hook(self, hook: Hook) -> HookHandle:
        """Call `hook(module, inputs, output)` after each forward, until the handle is removed."""
        return self._hooks.add(hook)

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

    def children(self) -> Iterator[Module]:
        """The modules assigned to this one, in order."""
        yield from self._children.values()

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each before its children."""
        return (module for _, module in self.named_modules())

    def apply(self, function: Callable[[Module], None]) -> Self:
        """Call `function` on every module from here down, children first; returns the module."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

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
        """All parameters, in order; one that several modules share is there once.

        Raises: TypeError where a list has got modules since it was assigned: it would be left out.
        """
        for module in self.modules():
            for name, value in vars(module).items():
                if name not in REGISTRIES:
                    module._refuse_unregistered(name, value)
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

    def load_state_dict(self, state: Mapping[str, Array], *, strict: bool = True) -> list[str]:
        """Take over every array of `state`; nothing is changed unless all names and shapes fit.

        Without `strict` what fits is taken, and the lines that an error would have are returned.

        Raises:
            ValueError: lists what is missing, unexpected or of another shape or dtype.
        """
        own = {name: p.data for name, p in self.named_parameters()} | dict(self.named_buffers())
        problems = mismatches(own, state)
        if problems and strict:
            raise ValueError(
                f"this state does not fit the {type(self).__name__}:\n  " + "\n  ".join(problems)
            )
        for parameter in self.parameters():
            parameter.changes_in_place()
        for name, array in own.items():
            if name in state and fits(array, state[name]):
                array[...] = move(state[name], device_of(array))
        return problems

    def __repr__(self) -> str:
        lines = [
            f"  ({names}): {text}".replace("\n", "\n  ") for names, text in runs_of(self._children)
        ]
        head = f"{type(self).__name__}({self.settings()}"
        return head + ")" if not lines else "\n".join([head, *lines, ")"])

    def settings(self) -> str:
        """What `repr` shows between the brackets."""
        return ""

    def multiply_adds(self, output_shape: tuple[int, ...]) -> int:
        """Multiplications that this layer itself needs for an output (N, ...); most need none."""
        return 0


def mismatches(own: Mapping[str, Array], state: Mapping[str, Array]) -> list[str]:
    """A line for each array that is missing, unexpected, or of another shape or dtype."""
    if not isinstance(state, Mapping) or not all(map(is_numpy, state.values())):
        raise TypeError(
            f"a state is a dictionary of arrays by name, as state_dict() gives it, but is "
            f"{type(state).__name__} ({state!r:.60}): minires.weights reads torchvision's files"
        )
    lines = [f"missing: {name} {own[name].shape}" for name in own if name not in state]
    lines += [f"unexpected: {name} {state[name].shape}" for name in state if name not in own]
    for name in own.keys() & state.keys():
        if not fits(own[name], state[name]):
            expected, came = (f"{a.shape} {a.dtype}" for a in (own[name], state[name]))
            lines.append(f"{name}: expected {expected}, but got {came}")
    return sorted(lines)


def runs_of(children: Mapping[str, Module]) -> Iterator[tuple[str, str]]:
    """Names and texts of children; those that follow each other and look alike are one."""
    texts = [(name, repr(child)) for name, child in children.items()]
    for text, alike in itertools.groupby(texts, operator.itemgetter(1)):
        first, *others = [name for name, _ in alike]
        yield (f"{first}-{others[-1]}", f"{len(others) + 1} x {text}") if others else (first, text)


def is_numpy(value: Any) -> bool:
    """Whether it is an array or one of NumPy's scalars, which stand for arrays without axes."""
    return is_array(value) or isinstance(value, np.generic)


def fits(own: Array, new: Array) -> bool:
    """Whether an array can take another's place."""
    return own.shape == new.shape and own.dtype == new.dtype


def holds_modules(value: Any) -> bool:
    """Whether a list, tuple, set or dictionary has modules or parameters somewhere in it."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple | set):
        return False
    return any(isinstance(item, Module | Parameter) or holds_modules(item) for item in value)


def must_be_module(container: str, module: Any) -> Module:
    """The module itself; TypeError for anything else, which would not run."""
    if not isinstance(module, Module):
        came = f"the class {module.__name__}" if isinstance(module, type) else repr(module)
        raise TypeError(
            f"{container} takes modules one by one, such as nn.ReLU(), but got {came:.80}"
            + (": write *layers" if holds_modules(module) else "")
        )
    return module
