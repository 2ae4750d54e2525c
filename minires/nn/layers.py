"""The layers of the paper's networks. Images are (N, H, W, C) everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..recompute import is_second_time
from . import functional as F
from .init import Rng, he_normal
from .module import Module, Parameter

DType = np.typing.DTypeLike


class Conv2d(Module):
    """Convolution with a square kernel, He initialisation, and a bias only if asked for.

    `weight` is (kernel_size, kernel_size, C_in, C_out). Before batch norm a bias would be
    subtracted again at once, so the default has none.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        rng: Rng,
        stride: int = 1,
        padding: int = 0,
        bias: bool = False,
        dtype: DType = np.float32,
    ) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        shape = (kernel_size, kernel_size, in_channels, out_channels)
        self.weight = Parameter(he_normal(shape, rng, dtype))
        self.bias = Parameter(np.zeros(out_channels, dtype)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C_in) -> (N, OH, OW, C_out)."""
        y = F.conv2d(x, self.weight, stride=self.stride, padding=self.padding)
        return y if self.bias is None else y + self.bias

    def settings(self) -> str:
        """Shape and geometry."""
        kernel, _, in_channels, out_channels = self.weight.shape
        return (
            f"{in_channels}, {out_channels}, kernel_size={kernel}, stride={self.stride}, "
            f"padding={self.padding}"
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
        return self.follow(*F.batch_norm(x, *affine, eps=self.eps))

    def after(
        self, conv: Conv2d, x: Tensor, *, residual: Tensor | None = None, relu: bool = False
    ) -> Tensor:
        """This layer behind a convolution without a bias, in one: relu(bn(conv(x)) + residual)."""
        arrays = x, conv.weight, self.weight, self.bias
        settings: dict[str, Any] = {"stride": conv.stride, "padding": conv.padding, "eps": self.eps}
        settings |= {"residual": residual, "relu": relu}
        if not self.training:
            settings |= {"mean": self.running_mean, "var": self.running_var}
            return F.conv2d_batch_norm_eval(*arrays, **settings)
        return self.follow(*F.conv2d_batch_norm(*arrays, **settings))

    def follow(self, y: Tensor, mean: np.ndarray, var: np.ndarray) -> Tensor:
        """Move the running statistics towards a batch's, in place; returns the batch's result."""
        if is_second_time():
            return y
        count = y.data.size // y.shape[-1]
        for running, batch in (
            (self.running_mean, mean),
            (self.running_var, var * (count / (count - 1))),
        ):
            running *= 1 - self.momentum
            running += self.momentum * batch
        return y

    def settings(self) -> str:
        """Number of channels."""
        return str(len(self.weight))


class Linear(Module):
    """x @ weight + bias: (N, in) -> (N, out), with weight (in, out)."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        rng: Rng,
        dtype: DType = np.float32,
    ) -> None:
        super().__init__()
        self.weight = Parameter(he_normal((in_features, out_features), rng, dtype))
        self.bias = Parameter(np.zeros(out_features, dtype))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in) -> (N, out)."""
        if x.ndim != 2 or x.shape[1] != len(self.weight):
            raise ValueError(
                f"Linear: x must be (N, {len(self.weight)}), but has shape {x.shape}: "
                "images need GlobalAvgPool or Flatten first"
            )
        return x @ self.weight + self.bias

    def settings(self) -> str:
        """Sizes of input and output."""
        return f"{self.weight.shape[0]}, {self.weight.shape[1]}"

    def multiply_adds(self, output_shape: tuple[int, ...]) -> int:
        """Every output is a sum over the inputs."""
        return int(np.prod(output_shape) * len(self.weight))


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return F.relu(x)


class Pool(Module):
    """What the two pooling layers share: a square window, its stride and padding."""

    def __init__(self, size: int, *, stride: int | None = None, padding: int = 0) -> None:
        super().__init__()
        self.size, self.stride, self.padding = size, stride or size, padding

    def settings(self) -> str:
        """Geometry."""
        return f"{self.size}, stride={self.stride}, padding={self.padding}"


class MaxPool2d(Pool):
    """Largest value of every window."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, OH, OW, C)."""
        return F.max_pool(x, size=self.size, stride=self.stride, padding=self.padding)


class AvgPool2d(Pool):
    """Mean of every window; padding counts as zeros."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, OH, OW, C)."""
        return F.avg_pool(x, size=self.size, stride=self.stride, padding=self.padding)


class GlobalAvgPool(Module):
    """The mean of each channel's map: (N, H, W, C) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, C)."""
        return x.mean((1, 2))


class Flatten(Module):
    """(N, H, W, C) -> (N, H * W * C)."""

    def forward(self, x: Tensor) -> Tensor:
        """All axes but the first become one."""
        return x.reshape(len(x), -1)


class Sequential(Module):
    """Modules one after the other, named "0", "1", ..."""

    def __init__(self, *modules: Module) -> None:
        super().__init__()
        for number, module in enumerate(modules):
            setattr(self, str(number), module)

    def forward(self, x: Tensor) -> Tensor:
        """Each module's output is the next one's input."""
        for module in self:
            x = module(x)
        return x

    def __iter__(self) -> Iterator[Module]:
        return (module for _, module in self.named_children())

    def __len__(self) -> int:
        return len(self._children)

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]
