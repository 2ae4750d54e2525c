"""What a call must look like: each check says what was expected, what came and what to do."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from .backward_link import BackwardLink
from .devices import is_cuda
from .records import ConvNorm
from .running import Running

ALGORITHMS = ("auto", "im2col", "direct", "winograd")


def fail_unless(condition: object, message: str) -> None:
    """Raise a ValueError with `message` unless the condition holds."""
    if not condition:
        raise ValueError(message)


def output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """Number of places where a kernel fits along one axis."""
    return (size + 2 * padding - kernel) // stride + 1


def output_shape(
    x_shape: Sequence[int], kernel_size: Sequence[int], stride: int, padding: int
) -> tuple[int, int]:
    """(OH, OW) of a window slid over images of shape (N, H, W, C)."""
    return (
        output_size(x_shape[1], kernel_size[0], stride, padding),
        output_size(x_shape[2], kernel_size[1], stride, padding),
    )


def contiguous(name: str, **arrays: np.ndarray | None) -> None:
    """Refuse views that a kernel would read in the wrong order."""
    for argument, array in arrays.items():
        if array is not None and not array.flags.c_contiguous:
            raise ValueError(
                f"{name}: {argument} {array.shape} is not C-contiguous (a strided or transposed "
                f"view?): pass np.ascontiguousarray({argument})"
            )


def writable(array: np.ndarray) -> None:
    """Refuse to change an array that is read-only."""
    fail_unless(
        is_cuda(array) or array.flags.writeable,
        f"an array {array.shape} is read-only, as the weights of a folded network are: change or "
        "train the network itself, and fold it again",
    )


def same_shape(name: str, **arrays: np.ndarray) -> None:
    """Refuse arrays of different shapes, naming each."""
    if len({array.shape for array in arrays.values()}) > 1:  # a step asks hundreds of times
        text = ", ".join(f"{argument} {array.shape}" for argument, array in arrays.items())
        raise ValueError(f"{name}: shapes must be equal, but are {text}")
    contiguous(name, **arrays)


def images(name: str, shape: Sequence[int], argument: str = "x") -> None:
    """Refuse anything but a batch of images (N, H, W, C)."""
    fail_unless(
        len(shape) == 4,
        f"{name}: {argument} must be images (N, H, W, C), but has shape {tuple(shape)}",
    )


def geometry(
    name: str, x_shape: Sequence[int], kernel_size: Sequence[int], stride: int, padding: int
) -> None:
    """Refuse a window that cannot be slid over images of this shape."""
    images(name, x_shape)
    kh, kw = kernel_size
    for argument, value in {"stride": stride, "padding": padding}.items():
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
            raise TypeError(f"{name}: {argument} must be a whole number, but is {value!r}")
    fail_unless(stride >= 1, f"{name}: stride must be at least 1, but is {stride}")
    fail_unless(padding >= 0, f"{name}: padding must be at least 0, but is {padding}")
    fail_unless(kh >= 1 and kw >= 1, f"{name}: kernel size must be at least 1, but is {kh} x {kw}")
    fail_unless(
        min(output_shape(x_shape, kernel_size, stride, padding)) >= 1,
        f"{name}: a {kh} x {kw} kernel does not fit into {x_shape[1]} x {x_shape[2]} images with "
        f"padding {padding}: use a smaller kernel, more padding or larger images",
    )


def window(
    name: str, x: np.ndarray, kernel_size: tuple[int, int], stride: int, padding: int
) -> None:
    """Check the arguments of `im2col`."""
    geometry(name, x.shape, kernel_size, stride, padding)
    contiguous(name, x=x)


def columns(
    name: str,
    array: np.ndarray,
    x_shape: tuple[int, ...],
    kernel_size: tuple[int, int],
    stride: int,
    padding: int,
) -> None:
    """Check the arguments of `col2im`."""
    geometry(name, x_shape, kernel_size, stride, padding)
    expected = (
        x_shape[0],
        *output_shape(x_shape, kernel_size, stride, padding),
        kernel_size[0] * kernel_size[1] * x_shape[3],
    )
    fail_unless(
        array.shape == expected,
        f"{name}: columns for images {tuple(x_shape)} must have shape {expected}, "
        f"but have {array.shape}",
    )
    contiguous(name, columns=array)


def weights(name: str, x_shape: Sequence[int], weight_shape: Sequence[int]) -> None:
    """Refuse a weight that is not (kh, kw, C_in, C_out) for these images."""
    images(name, x_shape)
    fail_unless(
        len(weight_shape) == 4,
        f"{name}: weight must be (kh, kw, C_in, C_out), but has shape {tuple(weight_shape)}",
    )
    fail_unless(
        x_shape[3] == weight_shape[2],
        f"{name}: x has {x_shape[3]} channels {tuple(x_shape)} but weight {tuple(weight_shape)} "
        f"expects {weight_shape[2]}; activations are (N, H, W, C)",
    )


def convolution(
    name: str,
    x: np.ndarray,
    weight: np.ndarray,
    stride: int,
    padding: int,
    algorithm: str = "auto",
) -> None:
    """Check the arguments of `conv2d`."""
    weights(name, x.shape, weight.shape)
    geometry(name, x.shape, weight.shape[:2], stride, padding)
    possible_algorithm(name, algorithm, weight.shape, stride, padding)
    contiguous(name, x=x, weight=weight)


def convolution_grad(
    name: str,
    dy: np.ndarray,
    x_shape: Sequence[int],
    weight_shape: Sequence[int],
    stride: int,
    padding: int,
    algorithm: str,
    **operand: np.ndarray,
) -> None:
    """Check that dy has the shape of the convolution's result; `operand` is the other array."""
    weights(name, x_shape, weight_shape)
    geometry(name, x_shape, weight_shape[:2], stride, padding)
    possible_algorithm(name, algorithm, weight_shape, stride, padding)
    expected = (
        x_shape[0],
        *output_shape(x_shape, weight_shape[:2], stride, padding),
        weight_shape[3],
    )
    fail_unless(
        dy.shape == expected,
        f"{name}: for x {tuple(x_shape)} and weight {tuple(weight_shape)}, stride {stride}, "
        f"padding {padding}, dy must have shape {expected}, but has {dy.shape}",
    )
    contiguous(name, dy=dy, **operand)


def possible_algorithm(
    name: str, algorithm: str, weight_shape: Sequence[int], stride: int, padding: int
) -> None:
    """Check that a convolution can run on the algorithm of this name."""
    fail_unless(
        algorithm in ALGORITHMS,
        f"{name}: algorithm must be one of {', '.join(ALGORITHMS)}, but is {algorithm!r}",
    )
    fail_unless(
        algorithm != "winograd" or winograd_is_possible(weight_shape, stride, padding),
        f"{name}: winograd needs a 3 x 3 kernel, stride 1 and padding of at most 2, but the "
        f"weight is {tuple(weight_shape)}, stride {stride}, padding {padding}",
    )


def winograd_is_possible(weight_shape: Sequence[int], stride: int, padding: int) -> bool:
    """Whether Winograd's algorithm, as we have it, can do such a convolution."""
    return tuple(weight_shape[:2]) == (3, 3) and stride == 1 and padding <= 2


def batch_norm(
    name: str, x: np.ndarray, *per_channel: np.ndarray, **like_x: np.ndarray | None
) -> None:
    """Check the arguments of the batch norm kernels: (C,) arrays, and arrays shaped as x."""
    images(name, x.shape)
    channels(name, "x", x.shape, *per_channel)
    for argument, other in like_x.items():
        if other is not None:
            same_shape(name, x=x, **{argument: other})
    contiguous(name, x=x)


def link_of_input(name: str, x: np.ndarray, link: BackwardLink | None) -> tuple[np.ndarray, ...]:
    """Check that the batch norm that made x is one of a map like x; its arrays."""
    if link is None:
        return ()
    batch_norm(name, x, link.mean, z=link.z)
    return link.z, link.mean


def running(name: str, gamma: np.ndarray, *statistics: Running | None) -> None:
    """Running statistics have the shape and the dtype of gamma."""
    for one in statistics:
        if one and any(a.shape != gamma.shape or a.dtype != gamma.dtype for a in one[:2]):
            raise ValueError(
                f"{name}: running statistics must be {gamma.shape} {gamma.dtype} like gamma, but "
                f"are {one.mean.shape} {one.mean.dtype} and {one.var.shape} {one.var.dtype}"
            )


def channels(name: str, what: str, shape: Sequence[int], *per_channel: np.ndarray) -> None:
    """Refuse arrays that do not hold one value for each channel of what is normalised."""
    expected = tuple(shape[3:])
    for array in per_channel:
        if array.shape != expected:
            raise ValueError(
                f"{name}: {what} has {shape[3]} channels {tuple(shape)}, so gamma, beta, mean and "
                f"var must have shape ({shape[3]},), but one has {array.shape}"
            )
        if not array.flags.c_contiguous:
            contiguous(name, **{"a per-channel array": array})


def conv2d_batch_norm(
    name: str,
    x: np.ndarray,
    layer: ConvNorm,
    *per_channel: np.ndarray,
    **like_result: np.ndarray | None,
) -> tuple[int, ...]:
    """Check the arguments of the fused kernels; the shape of the convolution's result."""
    convolution(name, x, layer.weight, layer.stride, layer.padding)
    size = output_shape(x.shape, layer.weight.shape[:2], layer.stride, layer.padding)
    result = (x.shape[0], *size, layer.weight.shape[3])
    what = "the convolution's result"
    channels(name, what, result, layer.gamma, layer.beta, *per_channel)
    for argument, array in like_result.items():
        if array is not None:
            fail_unless(
                array.shape == result,
                f"{name}: the result has shape {result}, so {argument} must have it too, but has "
                f"{array.shape}",
            )
    contiguous(name, **like_result)
    return result


def basic_block(
    name: str,
    x: np.ndarray,
    first: ConvNorm,
    second: ConvNorm,
    skip: bool,
    **like_result: np.ndarray,
) -> None:
    """Check the arguments of `basic_block`: 3 x 3 kernels, and a result with a variance."""
    geometries = first[4:], second[4:]
    result = block_shape(name, x.shape, first.weight.shape, second.weight.shape, geometries, skip)
    per_channel = first.gamma, first.beta, second.gamma, second.beta
    channels(name, "the block's result", result, *per_channel)
    for argument, array in like_result.items():
        shape(name, argument, array, result)
    contiguous(name, x=x, weight1=first.weight, weight2=second.weight)


@functools.lru_cache(maxsize=256, typed=True)  # every step asks again
def block_shape(
    name: str,
    x_shape: tuple[int, ...],
    weight1: tuple[int, ...],
    weight2: tuple[int, ...],
    geometries: tuple[tuple[int, int], tuple[int, int]],
    skip: bool,
) -> tuple[int, ...]:
    """Check the shapes that go into a block, and strides and paddings; the shape of its result."""
    weights(name, x_shape, weight1)
    stride = geometries[0][0]
    geometry(name, x_shape, (3, 3), stride, 1)
    before, filters = weight1[2:]
    fail_unless(
        (weight1, weight2) == ((3, 3, before, filters), (3, 3, filters, filters)),
        f"{name}: for x {x_shape} and {filters} channels the weights must have shapes "
        f"(3, 3, {before}, {filters}) and (3, 3, {filters}, {filters}), but have {weight1} and "
        f"{weight2}",
    )
    fail_unless(
        geometries == ((stride, 1), (1, 1)),
        f"{name}: both convolutions must have padding 1, and the second one stride 1, but their "
        f"strides and paddings are {geometries[0]} and {geometries[1]}",
    )
    result = (x_shape[0], *output_shape(x_shape, (3, 3), stride, 1), filters)
    if skip:
        subsample_and_pad(name, x_shape, filters, stride)
    several_values(name, result)
    return result


def subsample_and_pad(
    name: str, x_shape: Sequence[int], filters: int, stride: int
) -> tuple[int, ...]:
    """Check the arguments of `subsample_and_pad`; the shape of its result."""
    geometry(name, x_shape, (1, 1), stride, 0)
    fail_unless(
        filters >= x_shape[3],
        f"{name}: the shortcut without parameters can't end in fewer channels than it begins with, "
        f"but has {x_shape[3]} and then {filters}",
    )
    return x_shape[0], *output_shape(x_shape, (1, 1), stride, 0), filters


def shape(name: str, argument: str, array: np.ndarray, expected: tuple[int, ...]) -> None:
    """Refuse an array of another shape, or one that is not C-contiguous."""
    fail_unless(
        array.shape == expected,
        f"{name}: {argument} must have shape {expected}, but has {array.shape}",
    )
    contiguous(name, **{argument: array})


def several_values(name: str, shape: Sequence[int]) -> None:
    """Refuse a batch that gives one value a channel: its variance is zero."""
    fail_unless(
        shape[0] * shape[1] * shape[2] > 1,
        f"{name}: {tuple(shape)} holds one value per channel, which has no variance: train with a "
        "larger batch (drop a last batch of one), or call eval() first",
    )


def pool(
    name: str,
    x_shape: Sequence[int],
    size: int,
    stride: int,
    padding: int,
    dy: np.ndarray | None = None,
) -> None:
    """Check the arguments of the pooling kernels."""
    geometry(name, x_shape, (size, size), stride, padding)
    fail_unless(
        2 * padding <= size,
        f"{name}: padding must be at most half of size {size}, but is {padding}: "
        "some windows would hold nothing but padding",
    )
    if dy is not None:
        expected = (x_shape[0], *output_shape(x_shape, (size, size), stride, padding), x_shape[3])
        fail_unless(
            dy.shape == expected,
            f"{name}: for x {tuple(x_shape)}, dy must have shape {expected}, but has {dy.shape}",
        )
        contiguous(name, dy=dy)


def labels(name: str, logits: np.ndarray, classes: np.ndarray) -> None:
    """Refuse labels that are not one class number an image."""
    fail_unless(
        logits.ndim == 2 and classes.shape == logits.shape[:1],
        f"{name}: expected logits (N, K) and labels (N,), but got {logits.shape} and "
        f"{classes.shape}",
    )
    fail_unless(len(logits), f"{name}: the batch is empty")
    if classes.dtype.kind not in "iu":
        raise TypeError(f"{name}: labels must be whole numbers, but are {classes.dtype}")
    contiguous(name, logits=logits, labels=classes)
    if not is_cuda(classes):  # there, a look would wait for the GPU
        fail_unless(
            classes.min() >= 0 and classes.max() < logits.shape[1],
            f"{name}: labels must lie in 0 .. {logits.shape[1] - 1}, but range over "
            f"{classes.min()} .. {classes.max()}: does the model have enough classes?",
        )


def crop_flip(
    name: str,
    batch: np.ndarray,
    offsets: np.ndarray,
    flips: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    padding: int,
) -> None:
    """Check the arguments of `crop_flip`."""
    if batch.dtype != np.uint8:
        raise TypeError(f"{name}: images must be uint8, but are {batch.dtype}")
    images(name, batch.shape, "images")
    expected = {
        "offsets": (offsets, (len(batch), 2)),
        "flips": (flips, (len(batch),)),
        "mean": (mean, batch.shape[1:]),
        "scale": (scale, batch.shape[3:]),
    }
    for argument, (array, shape) in expected.items():
        fail_unless(
            array.shape == shape,
            f"{name}: for images {batch.shape}, {argument} must have shape {shape}, "
            f"but has {array.shape}",
        )
    fail_unless(
        is_cuda(offsets)
        or len(offsets) == 0
        or (offsets.min() >= 0 and offsets.max() <= 2 * padding),
        f"{name}: offsets must lie in 0 .. {2 * padding} (twice the padding)",
    )
    contiguous(name, images=batch, offsets=offsets, flips=flips, mean=mean, scale=scale)


def epoch_batch(
    name: str,
    pictures: np.ndarray,
    labels: np.ndarray,
    order: np.ndarray,
    offsets: np.ndarray,
    flips: np.ndarray,
    position: np.ndarray,
    batch_size: int,
) -> None:
    """Check the arguments of `epoch_batch`, but for those that it shares with `crop_flip`."""
    images(name, pictures.shape, "images")
    expected = {
        "labels": (labels, (len(pictures),)),
        "offsets": (offsets, (len(order), 2)),
        "flips": (flips, (len(order),)),
        "position": (position, ()),
    }
    for argument, (array, shape) in expected.items():
        fail_unless(
            array.shape == shape,
            f"{name}: for {len(pictures)} images and {len(order)} in order, {argument} must have "
            f"shape {shape}, but has {array.shape}",
        )
    fail_unless(
        1 <= batch_size <= len(order),
        f"{name}: batch_size must lie in 1 .. {len(order)}, but is {batch_size}",
    )
    contiguous(name, images=pictures, labels=labels, order=order, offsets=offsets, flips=flips)
