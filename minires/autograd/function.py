"""What an operation is, and what it leaves behind for the backward sweep.

An operation is a subclass of `Function` with `forward` and `backward` side by side. Arrays are
positional arguments, settings are keywords:

    class Multiply(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save(a=a, b=b)
            return a * b

        @staticmethod
        def backward(ctx, grad):
            return grad * ctx.saved.b, grad * ctx.saved.a

`Multiply.apply(x, y)` runs `forward` on the arrays inside the tensors. If an input requires a
gradient, the result keeps `ctx` as a node of the graph. The context holds what `save` named and
nothing else, so memory is exactly what the operations ask for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Union

import numpy as np

from ..kernels import records
from ..kernels.backward_link import nothing
from .accepting import arrays_of, result_of, shared_version
from .hooks import Hooks

if TYPE_CHECKING:
    from .tensor import Tensor

Array = np.ndarray
Edge = Union["Context", "Tensor", None]

_recording: ContextVar[bool] = ContextVar("recording", default=True)
tracer: ContextVar[Callable[..., None] | None] = ContextVar("tracer", default=None)  # see trace.py


@contextlib.contextmanager
def recording(on: bool = True) -> Iterator[None]:
    """Within, operations record what backward needs; with `on` False they do not."""
    token = _recording.set(on)
    try:
        yield
    finally:
        _recording.reset(token)


def no_grad() -> contextlib.AbstractContextManager[None]:
    """Within `with no_grad():` operations record nothing, so nothing is kept for a backward."""
    return recording(False)


class Version:
    """Counts the changes in place of one array; shared by all tensors that view it."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Context:
    """One recorded operation: a node of the graph.

    `parents` are where gradients go next: the context that made each input, the input itself if it
    is a leaf, or None where none is needed. Contexts never hold tensors that were computed on the
    way, so an array that no operation saved is freed as soon as the user lets go of it.
    """

    __slots__ = (
        "__weakref__",
        "_inputs",
        "_saved",
        "_versions",
        "dtypes",
        "function",
        "hooks",
        "needs_grad",
        "parents",
        "released",
        "shapes",
        "take_grad_so_far",
    )

    def __init__(self, function: type[Function], inputs: tuple[Tensor | None, ...]) -> None:
        self.function, self._inputs = function, inputs  # the latter until forward has run
        # from lists: a tuple is made of a list in half the time that it takes with a generator
        self.needs_grad = tuple([t is not None and t.requires_grad for t in inputs])
        self.parents: tuple[Edge, ...] = tuple(
            [None if t is None or not t.requires_grad else t.context or t for t in inputs]
        )
        self.shapes: tuple[Any, ...] = tuple([None if t is None else t.data.shape for t in inputs])
        self.dtypes: tuple[Any, ...] = tuple([None if t is None else t.data.dtype for t in inputs])
        self.hooks = Hooks()
        self._saved = SimpleNamespace()
        self._versions: list[tuple[str, Version, int]] = []
        self.released = False
        self.take_grad_so_far: Callable[[], Array | None] = nothing  # see backward_link.py

    def save(self, **values: Any) -> None:
        """Keep arrays and settings for `backward`, under these names."""
        self._saved = SimpleNamespace(**values)

    @property
    def saved(self) -> SimpleNamespace:
        """What `save` kept; raises if an array was changed in place since."""
        for name, version, count in self._versions:
            if version.count != count:
                raise RuntimeError(
                    f"{self.function.__name__} saved {name} for its backward, but that array has "
                    f"been changed in place {version.count - count} time(s) since: call backward() "
                    "before the change, or change a copy"
                )
        return self._saved

    def seal(self, output: Tensor) -> None:
        """Note the versions of the tensors among the saved arrays, then let go of the tensors."""
        # if several inputs share an array, the first one's version counts
        by_array = {id(t.data): t for t in (output, *reversed(self._inputs)) if t is not None}
        for name, value in records.arrays_within(vars(self._saved).items()):
            if (tensor := by_array.get(id(value))) is not None:
                label = f"{name} ({tensor.name})" if tensor.name else name
                self._versions.append((label, tensor.version, tensor.version.count))
        self._inputs = ()

    def release(self) -> None:
        """Forget everything: the sweep has passed."""
        self._saved, self._versions, self.parents = SimpleNamespace(), [], ()
        self.released = True


class Function:
    """Base of every operation; see the module's text for how to write one."""

    takes_parameters: ClassVar[bool] = False  # which are float32 beside maps in bfloat16

    @staticmethod
    def forward(ctx: Context, *arrays: Any, **settings: Any) -> Any:
        """Compute the result; `ctx.save` what `backward` needs.

        May return a tuple: its first entry is the result, the others are plain arrays, constants to
        the gradient, that `apply` hands on.
        """
        raise NotImplementedError

    @staticmethod
    def backward(ctx: Context, grad: Array) -> Any:
        """From the gradient of the result, that of every array: one, or a tuple in order.

        May give None for an array that gets no gradient; `ctx.needs_grad` says which want one. Must
        not change `grad`: another branch may hold the same array (the exception:
        `kernels/backward_link.py`).
        """
        raise NotImplementedError

    @classmethod
    def apply(cls, *inputs: Tensor | None, **settings: Any) -> Any:
        """Run the operation on tensors (None stands for an optional one left out).

        Raises: TypeError for anything else, for a mixture of dtypes or devices, and where `forward`
            returns no array.
        """
        from .tensor import Tensor  # here the circle closes, see the package's text

        arrays = arrays_of(cls.__name__, inputs, cls.takes_parameters)
        ctx = Context(cls, inputs)
        with np.errstate(under="ignore"):  # 0 is right, whatever np.seterr says
            result = cls.forward(ctx, *arrays, **settings)
        data, *extras = result if isinstance(result, tuple) else (result,)
        data = result_of(f"{cls.__name__}.forward", data)
        output = Tensor(data, version=shared_version(data, inputs))
        if note := tracer.get():
            note(cls, inputs, settings, output)
        if _recording.get() and any(ctx.needs_grad):
            output.requires_grad, output.context = True, ctx
            ctx.seal(output)
        return (output, *extras) if extras else output
