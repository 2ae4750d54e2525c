"""The paper's Fig. 7: how strongly does each layer respond?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..autograd import Tensor, no_grad
from ..autograd.function import Array
from ..common.expecting import expects
from ..common.pictures import COLOURS, new_figure
from ..models import CifarResNet
from ..nn import BatchNorm2d, Module, Shortcut
from .lab import Lab
from .probe import Probe
from .watching import untouched, watching

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NETWORKS: tuple[tuple[int, Shortcut], ...] = ((20, None), (56, None), (20, "A"), (56, "A"))


@expects(model=Module, images=np.ndarray)
def response_stds(model: Module, images: Array) -> Array:
    """Standard deviation of every 3x3 layer's response, in order of the layers.

    The response is batch norm's output, before ReLU and addition. In training mode: batch norm uses
    the statistics of `images` (N, H, W, C). Projections of shortcuts are left out.
    """
    with untouched(model), no_grad(), watching(model, BatchNorm2d, output=std) as seen:
        model.train()(Tensor(images))
    return np.array([sight.output for sight in seen if "downsample" not in sight.name])


def std(array: Array) -> float:
    """Standard deviation over all values of a map, all channels together."""
    return float(array.std(dtype=np.float64))


@dataclass(frozen=True)
class Responses:
    """Standard deviations by network; and what they were measured on."""

    networks: dict[str, Array]
    described: str


def measure(lab: Lab, *, images: int = 256) -> Responses:
    """Trained plain and residual networks on the first training images."""
    batch, _ = lab.images(images)
    trained: list[CifarResNet] = [lab.trained(depth, shortcut) for depth, shortcut in NETWORKS]
    return Responses(
        {model.name: response_stds(model, batch) for model in trained}, lab.described()
    )


def draw(result: Responses) -> Figure:
    """In the order of the layers, and sorted from large to small."""
    figure, axes = new_figure(
        f"Standard deviation of layer responses (He et al. 2015, Fig. 7)\n{result.described}", 2
    )
    axes[0].set(title="in order", xlabel="layer", ylabel="standard deviation")
    axes[1].set(title="sorted", xlabel="layer, sorted by size")
    styles = (("--", COLOURS[0]), ("--", COLOURS[1]), ("-", COLOURS[0]), ("-", COLOURS[1]))
    for (name, stds), (style, colour) in zip(result.networks.items(), styles, strict=False):
        for axis, values in zip(axes, (stds, np.sort(stds)[::-1]), strict=True):
            layer = np.arange(1, len(stds) + 1)
            axis.plot(layer, values, style, color=colour, linewidth=2, label=name)
    axes[1].legend(frameon=False)
    return figure


def tell(result: Responses) -> list[str]:
    """Means over the layers."""
    return [
        f"{name}: {stds.mean():.2f} on average over the layers, from {stds.min():.2f} to "
        f"{stds.max():.2f}."
        for name, stds in result.networks.items()
    ]


RESPONSES = Probe(
    name="responses",
    title="How strongly each layer responds (the paper's Fig. 7)",
    what=(
        "The standard deviation of each 3x3 layer's output behind batch norm, before ReLU and "
        "addition, of trained networks. The paper does not say on which images or in which mode; "
        "here it is the first 256 training images, not augmented, in training mode."
    ),
    look_for=(
        "In the paper the residual networks' responses are generally smaller than the plain ones', "
        "and smaller in the deeper network: its layers change the signal less. Before training "
        "every value is 1, by batch norm; so what the picture shows is how far training has moved "
        "batch norm's weights, and after a short training it can't be much."
    ),
    source="He et al. 2015, sec. 4.2, 'Analysis of layer responses', Fig. 7",
    measure=measure,
    draw=draw,
    tell=tell,
)
