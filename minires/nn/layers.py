"""The layers of the paper's networks. Images are (N, H, W, C) everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import numpy as np

from ..autograd import Tensor, pad
from ..autograd.function import Array
from ..autograd.recompute import is_second_time
from ..common.expecting import COUNT, expects
from ..kernels.running import Running
from . import functional as F
from .geometry import Size, one, pair, simplest
from .init import Rng, he_normal
from .module import Module, Parameter, must_be_module
from .storing import as_numbers

DType = np.typing.DTypeLike


class Conv2d(Module):
    """Convolution with He initialisation, and a bias only if asked for.

    `kernel_size`, `stride`, `padding` and `dilation` are a number, or rows and columns; `weight` is
    (kh, kw, C_in / groups, C_out). Before batch norm a bias would be subtracted again at once, so
    the default has none. Without `rng` the package's generator draws the weights (`minires.seed`).

    Raises: TypeError or ValueError for what is no size, and groups that do not divide channels.
    """

    @expects(in_channels=COUNT, out_channels=COUNT, bias=bool)
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        *,
        dilation: Size = 1,
        groups: int = 1,
        rng: Rng = None,
        bias: bool = False,
        dtype: DType = np.float32,
    ) -> None:
        super().__init__()
        self.stride: Any = simplest(pair("Conv2d: stride", stride, least=1))
        self.padding: Any = simplest(pair("Conv2d: padding", padding))
        self.dilation = simplest(pair("Conv2d: dilation", dilation, least=1))
        self.groups = one("Conv2d: groups", groups, "it is a number")
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"Conv2d: groups must divide {in_channels} channels and {out_channels}, but is "
                f"{groups}"
            )
        shape = (*pair("Conv2d: kernel_size", kernel_size), in_channels // groups, out_channels)
        self.weight = Parameter(he_normal(shape, rng, dtype))
        self.bias = Parameter(np.zeros(out_channels, dtype)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C_in) -> (N, OH, OW, C_out)."""
        return F.conv2d(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )

    @property
    def is_plain(self) -> bool:
        """Whether it is a convolution that the kernels know."""
        sizes = type(self.stride), type(self.padding), self.dilation, self.groups
        return sizes == (int, int, 1, 1)

    def settings(self) -> str:
        *size, in_channels, out_channels = self.weight.shape
        kernel = simplest((size[0], size[1]))
        rest = {"dilation": self.dilation, "groups": self.groups}
        return (
            f"{in_channels * self.groups}, {out_channels}, kernel_size={kernel}, "
            f"stride={self.stride}, padding={self.padding}"
            + "".join(f", {name}={value}" for name, value in rest.items() if value != 1)
        )

    def multiply_adds(self, output_shape: tuple[int, ...]) -> int:
        """Every output is a sum over kernel rows, kernel columns and input channels."""
        return int(np.prod(output_shape) * np.prod(self.weight.shape[:3]))


class BatchNorm2d(Module):
    """Normalise every channel over the batch, then scale by `weight` and shift by `bias`.

    In training by the batch's mean and biased variance; in evaluation by the running ones, which
    each training batch moves: running = (1 - momentum) * running + momentum * batch. As in PyTorch,
    the running variance is the unbiased one. Ioffe & Szegedy 2015.

    Raises (in training): ValueError if the batch holds one value per channel.
    """

    @expects(channels=COUNT)
    def __init__(
        self,
        channels: int,
        *,
        eps: float = 1e-5,
        momentum: float = 0.1,
        dtype: DType = np.float32,
    ) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = Parameter(np.ones(channels, dtype))
        self.bias = Parameter(np.zeros(channels, dtype))
        self.register_buffer("running_mean", np.zeros(channels, dtype))
        self.register_buffer("running_var", np.ones(channels, dtype))

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C), unchanged in shape."""
        affine = self.weight, self.bias
        if not self.training:
            mean, var = self.running_mean, self.running_var
            return F.batch_norm_eval(x, *affine, mean=mean, var=var, eps=self.eps)
        y, *_ = F.batch_norm(x, *affine, eps=self.eps, running=self.running)
        return y

    @property
    def running(self) -> Running | None:
        """The statistics that a training batch moves; None in a block's recomputed second run."""
        if is_second_time():
            return None
        return Running(self.running_mean, self.running_var, self.momentum)

    def settings(self) -> str:
        return str(len(self.weight))


class Linear(Module):
    """x @ weight + bias: (N, in) -> (N, out), with weight (in, out).

    `of_map` (H, W, C) says that x is a flattened map of that shape. It only matters where weights
    are exchanged with programs that flatten in another order. Without `rng` the package's generator
    draws the weights (`minires.seed`).
    """

    @expects(in_features=COUNT, out_features=COUNT, bias=bool)
    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        rng: Rng = None,
        bias: bool = True,
        of_map: tuple[int, int, int] | None = None,
        dtype: DType = np.float32,
    ) -> None:
        super().__init__()
        self.of_map = of_map
        self.weight = Parameter(he_normal((in_features, out_features), rng, dtype))
        self.bias = Parameter(np.zeros(out_features, dtype)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 2 or x.shape[1] != len(self.weight):
            raise ValueError(
                f"Linear: x must be (N, {len(self.weight)}), but has shape {x.shape}: "
                "images need GlobalAvgPool or Flatten first"
            )
        y = as_numbers(x) @ self.weight
        return y if self.bias is None else y + self.bias

    @property
    def in_features(self) -> int:
        """The numbers that it takes, of each image."""
        return self.weight.shape[0]

    @property
    def out_features(self) -> int:
        """The numbers that it gives, of each image."""
        return self.weight.shape[1]

    def settings(self) -> str:
        return f"{self.in_features}, {self.out_features}"

    def multiply_adds(self, output_shape: tuple[int, ...]) -> int:
        return int(np.prod(output_shape) * len(self.weight))


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x)


class PReLU(Module):
    """max(x, 0) + a * min(x, 0) with a learned `weight` a: He et al. 2015, "Delving deep", eq. 1.

    One a for all channels, or one for each of `channels`. The gradient at 0 is 0.
    """

    @expects(channels=COUNT, start=float)
    def __init__(
        self, channels: int = 1, *, start: float = 0.25, dtype: DType = np.float32
    ) -> None:
        super().__init__()
        self.weight = Parameter(np.full(channels, start, dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape whose last axis is the channels."""
        if len(self.weight) not in (1, x.shape[-1]):
            raise ValueError(
                f"PReLU: it has {len(self.weight)} slopes, but x has {x.shape[-1]} channels "
                f"{x.shape}: make it with one slope or with that many"
            )
        return F.relu(x) - self.weight * F.relu(-x)

    def settings(self) -> str:
        return str(len(self.weight))


class Dropout(Module):
    """In training, sets a share `p` of the values to zero and divides the others by 1 - p.

    Which ones is a function of `seed` and of the number of batches so far, which is part of the
    state: a resumed training sees the masks that it would have seen. Give each layer of a network
    a seed of its own. Srivastava et al. 2014; scaled in training, so that evaluation does nothing.
    """

    @expects(p=float)
    def __init__(self, p: float = 0.5, *, seed: int | Sequence[int] = 0) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: p must be at least 0 and less than 1, but is {p}")
        self.p, self.seed = p, seed
        self.register_buffer("batches", np.zeros(1, np.int64))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if not is_second_time():
            self.batches += 1
        rng = np.random.default_rng([*np.atleast_1d(self.seed).tolist(), int(self.batches[0])])
        kept = rng.random(x.shape, np.float32) >= self.p
        return x * Tensor((kept / (1 - self.p)).astype(x.dtype)).to(x.device)

    def settings(self) -> str:
        return str(self.p)


class Pool(Module):
    """What the two pooling layers share: a square window, its stride and padding."""

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        super().__init__()
        name, instead = type(self).__name__, "only square windows are there"
        self.size = one(f"{name}: kernel_size", kernel_size, instead)
        self.stride = one(f"{name}: stride", self.size if stride is None else stride, instead)
        self.padding = one(f"{name}: padding", padding, instead)

    def settings(self) -> str:
        return f"{self.size}, stride={self.stride}, padding={self.padding}"


class MaxPool2d(Pool):
    """Largest value of every window; with `ceil` also of what is left over at the end."""

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        *,
        ceil: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        self.ceil = ceil

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, OH, OW, C)."""
        geometry = {"size": self.size, "stride": self.stride, "padding": self.padding}
        return F.max_pool(x, **geometry, ceil=self.ceil)


class AvgPool2d(Pool):
    """Mean of every window; padding counts as zeros."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, OH, OW, C)."""
        return F.avg_pool(x, size=self.size, stride=self.stride, padding=self.padding)


class GlobalAvgPool(Module):
    """The mean of each channel's map: (N, H, W, C) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.global_avg_pool(x)


class AdaptiveAvgPool2d(Module):
    """Means over size x size regions that cover the map, whatever its size; they may overlap.

    Region i of a side of n pixels reaches from floor(i n / size) to ceil((i + 1) n / size), as in
    PyTorch. A map of size x size is handed on as it is.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = one("AdaptiveAvgPool2d: size", size, "only square results are there")

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, size, size, C): a matrix for the columns, one for the rows."""
        n, height, width, channels = x.shape
        if height == width == self.size:
            return x
        across, down = (Tensor(self.regions(s, x.dtype)).to(x.device) for s in (width, height))
        x = across @ x
        x = down @ x.reshape(n, height, self.size * channels)
        return x.reshape(n, self.size, self.size, channels)

    def regions(self, length: int, dtype: DType) -> np.ndarray:
        """(size, length): row i is the mean over region i."""
        start = np.arange(self.size) * length // self.size
        end = -(-np.arange(1, self.size + 1) * length // self.size)
        place = np.arange(length)
        inside = (place >= start[:, None]) & (place < end[:, None])
        return (inside / inside.sum(1, keepdims=True)).astype(dtype)

    def settings(self) -> str:
        return str(self.size)


class ModuleList(Module):
    """Modules to be indexed and looped over, named "0", "1", ...; `forward` is yours to write."""

    @expects(modules=Iterable)
    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> Self:
        """Add one at the end; returns the list."""
        setattr(self, str(len(self)), must_be_module("ModuleList", module))
        return self

    def forward(self, *_: Any) -> None:
        """Refused: a list does not say in which order."""
        raise TypeError("ModuleList has no forward: loop over it, or make a Sequential(*layers)")

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __len__(self) -> int:
        return len(self._children)

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]


class CrossEntropyLoss(Module):
    """The mean loss of logits (N, K) and labels, in nats: `nn.functional.cross_entropy`."""

    def __init__(self, weight: Array | None = None, *, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.options: dict[str, Any] = {"weight": weight, "label_smoothing": label_smoothing}

    def forward(self, logits: Tensor, labels: Array) -> Tensor:
        return F.cross_entropy(logits, labels, **self.options)


class Flatten(Module):
    """(N, H, W, C) -> (N, H * W * C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class Identity(Module):
    """Hands on its input as it is: a shortcut, or what folding leaves of a batch norm."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class SubsampleAndPad(Module):
    """Shortcut A where the shape changes: every stride-th pixel, new channels zero."""

    def __init__(self, channels: int, *, stride: int) -> None:
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, ceil(H / stride), ceil(W / stride), channels)."""
        return F.subsample_and_pad(x, channels=self.channels, stride=self.stride)

    def settings(self) -> str:
        return f"{self.channels}, stride={self.stride}"


class SubsampleAndPadBothSides(SubsampleAndPad):
    """The same with half of the new channels in front, as other code bases have it."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, ceil(H / stride), ceil(W / stride), channels)."""
        front = (self.channels - x.shape[3]) // 2
        y = F.subsample_and_pad(x, channels=self.channels - front, stride=self.stride)
        return pad(y, ((0, 0), (0, 0), (0, 0), (front, 0)))
