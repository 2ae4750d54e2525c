"""Faster R-CNN: a trunk that proposals and regions share, and a head for each region.

The sentences of the paper (Ren et al. 2015; He et al. 2015, app. A) in the order of `forward`: maps
of the whole image; proposals from them; regions of one size pooled from the maps; the rest of the
network on each region; its class and its box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from ..autograd import Tensor, no_grad
from ..common.expecting import COUNT, SOME, Each, expects
from ..kernels.devices import to_host
from ..nn import Module
from ..nn.init import Rng
from ..nn.layers import DType
from ..training.freezing import freeze, hold, norms
from .boxes import Boxes
from .context import beside_whole, with_whole
from .matching import Places
from .proposals import ProposalNetwork, proposal_losses, propose
from .regions import (
    Found,
    Predictor,
    detections,
    probabilities,
    region_losses,
    sample_regions,
)
from .settings import Settings

Size = tuple[int, int]  # height, width of an image within a batch, without its padding


class Losses(NamedTuple):
    """The four losses of a batch; their sum is trained. And what the class loss was made of."""

    objectness: Tensor
    proposal_boxes: Tensor
    classes: Tensor
    boxes: Tensor
    logits: np.ndarray  # (R, K + 1) of the sampled regions, where the network computes
    labels: Places  # (R,)

    @property
    def total(self) -> Tensor:
        return self.objectness + self.proposal_boxes + self.classes + self.boxes


class FasterRCNN(Module):
    """A detector; `faster_rcnn` makes the paper's.

    Args:
        trunk: images -> a list of maps (N, H, W, C), finest first.
        pool: maps, boxes (R, 4), images (R,) -> regions of one size.
        head: regions -> (R, features).
        channels: of the maps.
        width: of the proposal network.
        features: of a region.
        classes: names of the classes, whose labels are 1 .. K.
        context: whether each region also sees the features of the whole image, see `context.py`.
        frozen: whether batch norms keep their statistics, scale and shift.
        fixed: layers that are not trained at all.
        made_as: what a file of weights says of how to make it, see `saved.py`.
    """

    @expects(
        name=str,
        trunk=Module,
        pool=Module,
        head=Module,
        channels=COUNT,
        width=COUNT,
        features=COUNT,
        classes=Each(str, SOME),
        settings=Settings,
        softmax=bool,
        context=bool,
        frozen=bool,
        fixed=Each(Module),
        made_as=Mapping,
    )
    def __init__(
        self,
        name: str,
        trunk: Module,
        pool: Module,
        head: Module,
        *,
        channels: int,
        width: int,
        features: int,
        classes: Sequence[str],
        settings: Settings,
        softmax: bool = True,
        context: bool = False,
        frozen: bool = True,
        fixed: Sequence[Module] = (),
        made_as: Mapping[str, Any] | None = None,
        rng: Rng,
        dtype: DType = np.float32,
    ) -> None:
        super().__init__()
        self.name, self.classes, self.numbers = name, tuple(classes), settings
        options: dict[str, Any] = {"rng": rng, "dtype": dtype}
        self.trunk = trunk
        stride = getattr(pool, "stride", None)  # of one map; a pyramid has several
        self.rpn = ProposalNetwork(
            channels, width, settings, softmax=softmax, stride=stride, **options
        )
        self.pool, self.head = pool, head
        self.context = context
        self.predictor = Predictor(features * (2 if context else 1), len(classes), **options)
        self.frozen, self.made_as = frozen, dict(made_as or {})
        freeze([*(norms(self) if frozen else ()), *fixed])
        self.train()

    def train(self, mode: bool = True) -> Self:
        """As any module; frozen batch norms stay in evaluation."""
        super().train(mode)
        if self.frozen:
            hold(norms(self))
        return self

    def forward(self, x: Tensor, sizes: Sequence[Size] | None = None) -> list[Found]:
        """What is found in images (N, H, W, 3), normalised; in training too nothing is recorded.

        `sizes` are the images' own, where they are padded to one size at their right and lower
        edge.
        """
        sizes = sizes or [(x.shape[1], x.shape[2])] * len(x)
        with no_grad():
            maps = self.trunk(x)
            chosen = self.proposed(maps, (x.shape[1], x.shape[2]), sizes)
            logits, codes = self.of_regions(maps, np.concatenate(chosen), numbers_of(chosen), sizes)
        ends = np.cumsum([len(boxes) for boxes in chosen])[:-1]
        parts = zip(
            np.split(probabilities(to_host(logits.data)), ends),
            np.split(to_host(codes.data), ends),
            chosen,
            sizes,
            strict=True,
        )
        return [detections(*part, self.numbers) for part in parts]

    def proposed(self, maps: Sequence[Tensor], padded: Size, sizes: Sequence[Size]) -> list[Boxes]:
        """The proposals in each image in evaluation, best first."""
        return propose(self.rpn(maps, padded), sizes, self.numbers, training=False)

    def of_regions(
        self, maps: Sequence[Tensor], boxes: Boxes, images: Places, sizes: Sequence[Size]
    ) -> Any:
        """Logits (R, K + 1) and codes (R, K + 1, 4) of regions."""
        if self.context:
            boxes, images = with_whole(boxes, images, sizes)
        return self.of_pooled(self.pool(maps, boxes, images), images)

    def of_pooled(self, pooled: Tensor, images: Places) -> Any:
        """The same from what was pooled."""
        features = self.head(pooled)
        return self.predictor(beside_whole(features, images) if self.context else features)

    def losses(
        self,
        x: Tensor,
        objects: Sequence[Boxes],
        labels: Sequence[Places],
        rng: np.random.Generator,
        sizes: Sequence[Size] | None = None,
    ) -> Losses:
        """The losses on images (N, H, W, 3) with objects (G, 4) each, and labels 1 .. K.

        `rng` draws the sample of anchors and of regions. Raises: ValueError for labels that are
        none.
        """
        refuse_labels(labels, len(self.classes))
        sizes = sizes or [(x.shape[1], x.shape[2])] * len(x)
        maps = self.trunk(x)
        levels = self.rpn(maps, x.shape[1:3])
        first = proposal_losses(levels, objects, sizes, self.numbers, rng)
        chosen = propose(levels, sizes, self.numbers, training=True)
        regions = sample_regions(chosen, objects, labels, self.numbers, rng)
        logits, codes = self.of_regions(maps, regions.boxes, regions.images, sizes)
        second = region_losses(logits, codes, regions, self.numbers)
        return Losses(*first, *second, logits.data, regions.labels)


def numbers_of(boxes: Sequence[Boxes]) -> Places:
    """The image of each box, where each image has an array of them."""
    return np.repeat(np.arange(len(boxes)), [len(some) for some in boxes])


def refuse_labels(labels: Sequence[Places], classes: int) -> None:
    """Raises: ValueError for a label that is not 1 .. K; 0 would be background."""
    together = np.concatenate([np.asarray(some, np.int64) for some in labels])
    if len(together) and not (together.min() >= 1 and together.max() <= classes):
        raise ValueError(
            f"labels of objects must lie in 1 .. {classes} (0 is background), but reach from "
            f"{together.min()} to {together.max()}"
        )
