"""A step on a GPU, recorded as a CUDA graph and then replayed: one launch instead of hundreds.

Between two kernels Python decides what comes next, which for small networks takes longer than the
kernels themselves. If a step does the same every time, that can be recorded once.
"""

from __future__ import annotations

import linecache
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from .kernels import recording
from .kernels.devices import first_line, why_no_cuda
from .kernels.recording import NotRecordedError, Recorder, Recording

Result = TypeVar("Result")
Agree = Callable[[str], str]  # why a step can't be recorded here; for all ranks, why one can't

WARM_UP = 2  # the first time compiles kernels, and leaves what the second finds, such as gradients


class GraphError(RuntimeError):
    """A step that can't be recorded; the text says what it did, where, and what to do."""


class CudaGraph(Generic[Result]):
    """See `graph`. Graphs that never run at the same time may share one recorder's memory."""

    def __init__(
        self, step: Callable[[], Result], recorder: Recorder | None = None, agree: Agree = str
    ) -> None:
        self.step, self.recorder, self.agree = step, recorder, agree
        self.calls = 0
        self.recording: Recording | None = None

    def __call__(self) -> Result:
        """Do the step once: as it is, or as a replay."""
        if self.recording:
            self.recording.launch()
            return self.result
        if self.recorder is None:
            if "cupy" not in sys.modules or why_no_cuda():
                return self.step()
            self.recorder = Recorder()
        if self.calls < WARM_UP:
            return self.warm_up(self.recorder)
        return self.record(self.recorder) if self.recorder.has_worked() else self.step()

    def warm_up(self, recorder: Recorder) -> Result:
        """The step as it is, where it will be recorded."""
        with recorder.at_work():
            result = self.step()
        self.calls += 1
        return result

    def record(self, recorder: Recorder) -> Result:
        """Record the step, then do it, if all ranks can."""
        cause: NotRecordedError | None = None
        try:
            recording, self.result = recorder.record(self.step)
        except NotRecordedError as error:
            cause = error
        if reason := self.agree(explanation(cause.__cause__ or cause) if cause else ""):
            raise GraphError(f"graph: {reason}") from cause
        self.recording = recording
        self.recording.launch()
        return self.result


def graph(step: Callable[[], Result]) -> CudaGraph[Result]:
    """A function that does what `step()` does; on a GPU, from its third call on, in one launch.

        x = Tensor(np.zeros((128, 32, 32, 3), np.float32)).to("cuda")
        predict = minires.graph(lambda: model(x))
        x[...] = batch  # an array of the GPU
        logits = predict()

    `step` takes no arguments. It reads tensors and arrays that you fill in place between two calls;
    what it returns are the same tensors and arrays from the third call on, filled anew by each, so
    copy what you want to keep. It may train: gradients, running statistics, an optimiser's step and
    its `lr` are all followed. The first two calls run it as it is, which compiles the kernels. The
    third runs it once more, to record what it launches on the GPU; from then on its Python is not
    run at all. So it must do the same every time: no branch on a value, no counter in Python, no
    other shape. Hooks are not called, and a change of the network's parts or modes is not seen:
    make a new graph then. What it works with must stay where it is; `load_state_dict` leaves it.

    Memory that the step takes stays with the graph, and nobody else gets it. On the CPU, every call
    just runs `step`.

    Raises (in the third call, which then has not done the step): GraphError if `step` waits for the
    GPU or copies between it and the host.
    """
    return CudaGraph(step)


# ------------------------------------------------------------------ what a step did wrong

COPIES = ("array", "asarray", "set")
READS = ("get", "item", "tolist", "asnumpy", "__float__", "__int__", "__bool__", "__index__")

CUPYS = ("cupy", "cupyx", "cupy_backends")
MACHINERY = (__file__, recording.__file__)
OURS = tuple(Path(file).parent for file in MACHINERY)
BELOW = ("autograd", "kernels", "cuda")


class Call(NamedTuple):
    """A place that an error came by."""

    file: str
    line: int
    name: str

    @property
    def is_cupys(self) -> bool:
        """Whether it is in CuPy, whose compiled parts have names such as cupy/_core/core.pyx."""
        return any(folder.endswith(CUPYS) for folder in Path(self.file).parts[:-1])

    @property
    def is_ours(self) -> bool:
        """Whether it is in minires."""
        return any(folder in Path(self.file).parents for folder in OURS)

    @property
    def says_something(self) -> bool:
        """Whether a user may know it: not the insides of operations, nor what records them."""
        return Path(self.file).parent.name not in BELOW and self.file not in MACHINERY

    def __str__(self) -> str:
        source = linecache.getline(self.file, self.line).strip()
        return f"{Path(self.file).name}, line {self.line}" + (f" (`{source}`)" if source else "")


def explanation(error: BaseException) -> str:
    """What the step did, where, and what to do, from the error that came of it."""
    frames = traceback.walk_tb(error.__traceback__)
    calls = [Call(f.f_code.co_filename, n, f.f_code.co_name.split(".")[-1]) for f, n in frames]
    own = [call for call in calls if not call.is_cupys and not call.is_ours]
    ours = [call for call in calls if call.is_ours and call.says_something]
    places = [str(some[-1]) for some in (own, ours) if some]
    what, advice = deed([call.name for call in calls if call.is_cupys])
    return (
        f"the step {what}, which can't be recorded, in {', by way of '.join(places)}: {advice} "
        f"({first_line(error)})"
    )


def deed(functions: list[str]) -> tuple[str, str]:
    """What calls of CuPy, the outermost first, were refused for, and what to do instead."""
    for name in functions:
        if name in COPIES:
            return "copies from the host", "make that array before, and fill it between two calls"
        if name in READS:
            return "reads a value from the GPU", "return the tensor, and read it after the call"
    return "waits for the GPU", "do that between two calls"
