"""Any network as an ONNX graph, from the trace of two images; others show what depends on them.

Images are (N, 3, H, W) there, as PyTorch's exports have them, and so are all maps. What is not a
map keeps our layout, and so does a map in front of an operation that mixes its axes (Flatten):
there the graph transposes it first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from ..autograd import Function, Tensor, more_ops, no_grad, ops
from ..autograd.trace import Step, trace
from ..common.expecting import expects, must_be
from ..common.files import atomic
from ..kernels.devices import to_host
from ..nn import Module, evaluating
from ..nn import functional as F
from ..nn.fusing import fusing

OPSET = 17
LAST = 2**31 - 1  # an end of a slice, behind any map
OTHER_SIZES = (1, 2, 5, 31)  # pixels more, of all remainders that strides and windows leave
TO_MAPS, TO_PLAIN = (0, 3, 1, 2), (0, 2, 3, 1)


@expects(path=Path)
def export_onnx(
    model: Module, path: Path | str, input_shape: tuple[int, int, int] = (224, 224, 3)
) -> None:
    """Write the network in evaluation as ONNX, for images of (H, W, C) and any number of them.

    The graph's input is `images`, float32 (N, C, H, W), normalised as the network expects; its
    output `logits`, (N, classes). Where the network computes the same for other sizes, as behind
    global average pooling, the graph takes them too. The network is left as it is. Needs the
    package onnx.

    Raises: ValueError without that package, for an operation that ONNX does not have, and for a
        network that computes something else for another number of images.
    """
    must_be(Module, model, "export_onnx: the network")
    path = Path(path).expanduser()
    content = onnx_model(model, input_shape).SerializeToString()
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def onnx_model(model: Module, input_shape: tuple[int, int, int]) -> Any:
    """The ONNX model, checked by ONNX's own checker."""
    onnx = load_onnx()
    images, steps, logits = traced = run(model, input_shape)
    graph = Graph(onnx, {id(p): name for name, p in model.named_parameters()})
    graph.shapes = shapes_for_any_count(traced, run(model, input_shape, count=3))
    graph.maps[id(images)] = "images"
    for step in steps:
        convert(graph, step)
    graph.node("Identity", [graph.plain_of(logits)], output="logits")
    kind, (*sides, channels) = onnx.TensorProto.FLOAT, input_shape
    names = ["H", "W"] if takes_any_size(model, input_shape, traced) else sides
    made = onnx.helper.make_graph(
        graph.nodes,
        getattr(model, "name", type(model).__name__),
        [onnx.helper.make_tensor_value_info("images", kind, ["N", channels, *names])],
        [onnx.helper.make_tensor_value_info("logits", kind, ["N", *logits.shape[1:]])],
        graph.constants,
    )
    opset = onnx.helper.make_opsetid("", OPSET)
    result = onnx.helper.make_model(
        made, producer_name="minires", opset_imports=[opset], ir_version=8
    )
    onnx.checker.check_model(result)
    return result


def load_onnx() -> Any:
    """The package, or a sentence."""
    try:
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError:
        raise ValueError("exporting to ONNX needs the package onnx: pip install onnx") from None
    return onnx


class TracedRun(NamedTuple):
    """What went in, each operation, and what came out."""

    images: Tensor
    steps: list[Step]
    logits: Tensor


def run(model: Module, input_shape: Sequence[int], *, count: int = 2) -> TracedRun:
    """Run images of zeros through the network in evaluation; the network is left as it was."""
    first = model.parameters()[0]
    images = Tensor(np.zeros((count, *input_shape), first.dtype)).to(first.device)
    with no_grad(), fusing(False), evaluating(model), trace() as steps:
        logits = model(images)
    return TracedRun(images, steps, logits)


# ------------------------------------------------------------------------ what else may go in


def shapes_for_any_count(two: TracedRun, three: TracedRun) -> dict[int, list[int]]:
    """The shape that each Reshape makes for any number of images, by its output; -1 is free.

    Raises: ValueError where runs with two and with three images differ in anything else, since a
        graph could hold only one of both.
    """
    strange, shapes = difference(two, three, but=ops.Reshape), {}
    for step, other in zip(two.steps, three.steps, strict=False):
        if step.function is ops.Reshape:
            pairs = list(zip(step.output.shape, other.output.shape, strict=False))
            shapes[id(step.output)] = [a if a == b else -1 for a, b in pairs]
            strange = strange or ("Reshape" if sum(a != b for a, b in pairs) > 1 else "")
    if two.logits.shape != (2, *three.logits.shape[1:]):
        strange = strange or "the shape of the result"
    if strange:
        raise ValueError(
            f"{strange} differs between two images and three, so that no graph fits any number of "
            "them: export a network that treats each image alike"
        )
    return shapes


def takes_any_size(model: Module, input_shape: Sequence[int], traced: TracedRun) -> bool:
    """Whether the network computes the same for images of some other sizes."""
    height, width, channels = input_shape
    try:
        return not any(
            difference(traced, run(model, (height + more, width + 2 * more, channels)))
            for more in OTHER_SIZES
        )
    except ValueError:  # a fully connected layer behind a flattened map, say
        return False


def difference(one: TracedRun, other: TracedRun, but: type[Function] | None = None) -> str:
    """The first operation that is another one in the other run; "" if there is none.

    Those of the kind `but` may have other settings.
    """
    if len(one.steps) != len(other.steps):
        return "the number of operations"
    places = {id(one.images): -1}, {id(other.images): -1}
    for number, steps in enumerate(zip(one.steps, other.steps, strict=True)):
        a, b = steps
        settings = a.function is but or alike(list(a.settings.values()), list(b.settings.values()))
        if a.function is not b.function or not settings or not same_inputs(a, b, places):
            return a.function.__name__
        for step, known in zip(steps, places, strict=True):
            known[id(step.output)] = number
    return ""


def same_inputs(a: Step, b: Step, places: tuple[dict[int, int], ...]) -> bool:
    """Whether all inputs come from the same steps, or are the same constants."""
    if len(a.inputs) != len(b.inputs):
        return False
    for x, y in zip(a.inputs, b.inputs, strict=True):
        made = places[0].get(id(x)), places[1].get(id(y))
        constants = made == (None, None)
        if made[0] != made[1] or (constants and x is not y and not alike(x, y)):
            return False
    return True


def alike(a: Any, b: Any) -> bool:
    """Whether constants, or settings of an operation, are the same."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    return a is b or bool(np.array_equal(*(to_host(getattr(v, "data", v)) for v in (a, b))))


class Graph:
    """Nodes and constants so far, and the name of each tensor in either layout."""

    def __init__(self, onnx: Any, parameters: dict[int, str]) -> None:
        self.onnx, self.parameters = onnx, parameters
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.maps: dict[int, str] = {}  # (N, C, H, W)
        self.plain: dict[int, str] = {}  # as here
        self.shapes: dict[int, list[int]] = {}  # of what Reshape makes, for any number of images

    def node(self, kind: str, inputs: list[str], *, output: str = "", **attributes: Any) -> str:
        """Add a node; returns the name of its output."""
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        made = self.onnx.helper.make_node(kind, inputs, [output], name=output, **attributes)
        self.nodes.append(made)
        return output

    def constant(self, value: Any, name: str = "", dtype: Any = np.float32) -> str:
        """Add an array; returns its name."""
        name = name or f"constant_{len(self.constants)}"
        array = np.ascontiguousarray(to_host(value)).astype(dtype)
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def integers(self, *values: int) -> str:
        """Whole numbers, as shapes and axes are given."""
        return self.constant(np.array(values, np.int64), dtype=np.int64)

    def weight_of(self, tensor: Tensor) -> str:
        """A convolution's weight, in ONNX's order."""
        if id(tensor) not in self.maps:
            data = to_host(tensor.data).transpose(3, 2, 0, 1)
            self.maps[id(tensor)] = self.constant(data, self.parameters.get(id(tensor), ""))
        return self.maps[id(tensor)]

    def maps_of(self, tensor: Tensor) -> str:
        """A tensor (N, H, W, C) as (N, C, H, W)."""
        if id(tensor) not in self.maps:
            self.maps[id(tensor)] = self.node("Transpose", [self.plain_of(tensor)], perm=TO_MAPS)
        return self.maps[id(tensor)]

    def plain_of(self, tensor: Tensor) -> str:
        """A tensor in our layout; a parameter or other constant where no step made it."""
        if id(tensor) not in self.plain and id(tensor) in self.maps:
            self.plain[id(tensor)] = self.node("Transpose", [self.maps[id(tensor)]], perm=TO_PLAIN)
        if id(tensor) not in self.plain:
            name = self.parameters.get(id(tensor), "")
            self.plain[id(tensor)] = self.constant(tensor.data, name)
        return self.plain[id(tensor)]

    def is_constant(self, tensor: Tensor) -> bool:
        """Whether no step made it."""
        return id(tensor) not in self.maps and id(tensor) not in self.plain


def convert(graph: Graph, step: Step) -> None:
    for kinds, layout in ((ON_MAPS, graph.maps), (ON_PLAIN, graph.plain)):
        if step.function in kinds:
            layout[id(step.output)] = kinds[step.function](graph, step)
            return None
    if step.function in ELEMENTWISE:
        return elementwise(graph, step)
    raise ValueError(f"the operation {step.function.__name__} can't be exported to ONNX")


# ---------------------------------------------------------------------------------- on maps


def window(size: Sequence[int], stride: Any, padding: Any) -> dict[str, Any]:
    """The attributes of a window of so many rows and columns; a number stands for both."""
    strides, pads = (np.broadcast_to(value, 2).tolist() for value in (stride, padding))
    return {"kernel_shape": list(size), "strides": strides, "pads": pads * 2}


def convolution(graph: Graph, step: Step) -> str:
    """A convolution, perhaps with a bias."""
    weight, bias = cast(Tensor, step.inputs[1]), step.inputs[2]
    inputs = [graph.maps_of(only(step)), graph.weight_of(weight)]
    inputs += [] if bias is None else [graph.plain_of(bias)]
    settings = step.settings
    attributes = window(weight.shape[:2], settings["stride"], settings["padding"])
    if step.function is F.ConvolveGenerally:
        attributes |= {"dilations": list(settings["dilation"]), "group": settings["groups"]}
    return graph.node("Conv", inputs, **attributes)


def batch_norm(graph: Graph, step: Step) -> str:
    """Batch norm by given statistics."""
    x, *affine = (cast(Tensor, tensor) for tensor in step.inputs)
    inputs = [graph.maps_of(x), *map(graph.plain_of, affine)]
    inputs += [graph.constant(step.settings[name]) for name in ("mean", "var")]
    return graph.node("BatchNormalization", inputs, epsilon=step.settings["eps"])


def pool(kind: str, **attributes: Any) -> Converter:
    def converted(graph: Graph, step: Step) -> str:
        s = step.settings
        square = window([s["size"]] * 2, s["stride"], s["padding"])
        return graph.node(kind, [graph.maps_of(only(step))], **square, **attributes)

    return converted


def pad(graph: Graph, step: Step) -> str:
    """A border around a map."""
    widths, x = step.settings["widths"], map_of(step)
    pads = graph.integers(*(widths[axis][side] for side in (0, 1) for axis in TO_MAPS))
    return graph.node("Pad", [graph.maps_of(x), pads, graph.constant(step.settings["value"])])


def subsample_and_pad(graph: Graph, step: Step) -> str:
    """Every stride-th pixel, and channels of zeros."""
    x, stride, channels = only(step), step.settings["stride"], step.settings["channels"]
    end, axes = graph.integers(LAST, LAST), graph.integers(2, 3)
    slicing = [graph.integers(0, 0), end, axes, graph.integers(stride, stride)]
    picked = graph.node("Slice", [graph.maps_of(x), *slicing])
    pads = graph.integers(0, 0, 0, 0, 0, channels - x.shape[3], 0, 0)
    return graph.node("Pad", [picked, pads, graph.constant(0.0)])


def concatenate(graph: Graph, step: Step) -> str:
    """Maps side by side, mostly in their channels."""
    axis = TO_MAPS.index(range(map_of(step).ndim)[step.settings["axis"]])
    return graph.node("Concat", [graph.maps_of(x) for x in step.inputs if x is not None], axis=axis)


# --------------------------------------------------------------------------- on other tensors


def only(step: Step) -> Tensor:
    """The tensor that goes in first."""
    return cast(Tensor, step.inputs[0])


def map_of(step: Step) -> Tensor:
    """The tensor that goes in first, if it is a map."""
    x = only(step)
    if x.ndim != 4:
        raise ValueError(
            f"{step.function.__name__} of {x.shape}, no map, can't be exported to ONNX"
        )
    return x


def global_average(graph: Graph, step: Step) -> str:
    """The mean of each map: (N, C)."""
    mean = graph.node("GlobalAveragePool", [graph.maps_of(only(step))])
    return graph.node("Flatten", [mean], axis=1)


def reshape(graph: Graph, step: Step) -> str:
    """Another shape, for any number of images."""
    shape = graph.shapes[id(step.output)]
    return graph.node("Reshape", [graph.plain_of(only(step)), graph.integers(*shape)])


def transpose(graph: Graph, step: Step) -> str:
    return graph.node("Transpose", [graph.plain_of(only(step))], perm=step.settings["axes"])


def matmul(graph: Graph, step: Step) -> str:
    return graph.node("MatMul", [graph.plain_of(x) for x in step.inputs if x is not None])


def total(graph: Graph, step: Step) -> str:
    axis, x = step.settings["axis"], only(step)
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis)
    keepdims = int(step.settings["keepdims"])
    return graph.node("ReduceSum", [graph.plain_of(x), graph.integers(*axes)], keepdims=keepdims)


# ----------------------------------------------------------------------- on either, by element


def elementwise(graph: Graph, step: Step) -> None:
    """An operation on each element: on maps where a map goes in, with one number a channel."""
    inputs = [x for x in step.inputs if x is not None]
    on_maps = any(id(x) in graph.maps for x in inputs) and all(fits_maps(graph, x) for x in inputs)
    names = [channels(graph, x) if on_maps else graph.plain_of(x) for x in inputs]
    if step.function is ops.Power:
        names.append(graph.constant(step.settings["exponent"]))
    layout = graph.maps if on_maps else graph.plain
    layout[id(step.output)] = graph.node(ELEMENTWISE[step.function], names)


def fits_maps(graph: Graph, x: Tensor) -> bool:
    """Whether it is a map, or a constant with one number in all or one per channel."""
    return id(x) in graph.maps or (graph.is_constant(x) and x.ndim < 2)


def channels(graph: Graph, x: Tensor) -> str:
    """A map, or a constant in the shape that goes with maps."""
    if id(x) in graph.maps:
        return graph.maps[id(x)]
    value = to_host(x.data).reshape(-1, 1, 1) if x.ndim else to_host(x.data)
    return graph.constant(value)


Converter = Callable[[Graph, Step], str]
Kinds = dict[type[Function], Converter]
ON_MAPS: Kinds = {
    **dict.fromkeys(F.CONVOLUTIONS, convolution),
    F.BatchNormaliseEval: batch_norm,
    F.PoolByMax: pool("MaxPool"),
    F.PoolByMean: pool("AveragePool", count_include_pad=1),
    more_ops.Pad: pad,
    F.PickAndPad: subsample_and_pad,
    more_ops.Concatenate: concatenate,
}
ON_PLAIN: Kinds = {
    F.AverageMaps: global_average,
    ops.MatMul: matmul,
    ops.Reshape: reshape,
    ops.Transpose: transpose,
    ops.Sum: total,
}
ELEMENTWISE: dict[type[Function], str] = {
    more_ops.Rectify: "Relu",
    more_ops.Abs: "Abs",
    more_ops.Sigmoid: "Sigmoid",
    more_ops.Sqrt: "Sqrt",
    more_ops.Tanh: "Tanh",
    ops.Add: "Add",
    ops.Subtract: "Sub",
    ops.Multiply: "Mul",
    ops.Divide: "Div",
    ops.Power: "Pow",
    ops.Exp: "Exp",
    ops.Log: "Log",
}
