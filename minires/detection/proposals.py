"""The region proposal network: where objects may be (Ren et al. 2015, sec. 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..autograd import Tensor, concatenate
from ..kernels import nms
from ..kernels.devices import move, to_host
from ..nn import Conv2d, Module, ReLU
from ..nn import functional as F
from ..nn.init import Rng, Zeros
from ..nn.layers import DType
from ..nn.module import Parameter
from ..nn.sequential import in_turn
from .anchors import grid, shapes
from .boxes import Array, Boxes, clip, decode, encode
from .matching import Places, centred, inside, match_anchors, sample
from .settings import Settings


class Predictions(NamedTuple):
    """What the network says of each anchor of a map: a logit, a code; and the anchors."""

    logits: Tensor  # (N, A), of N images
    codes: Tensor  # (N, A, 4)
    anchors: Boxes  # (A, 4)


class ProposalNetwork(Module):
    """A 3x3 convolution, then for each anchor of a place whether there is an object, and its box.

    With `softmax` two numbers answer the first question, background and object, as in the paper:
    their difference is the logit, for a softmax of two is the logistic of their difference. The
    first A channels are background. The same layers serve all maps.

    `stride` are the image's pixels between two places of the only map. Without it they are the
    images' size over the map's, as in torchvision, whose images are whole multiples of 32.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        settings: Settings,
        *,
        softmax: bool,
        stride: int | None = None,
        rng: Rng,
        dtype: DType = np.float32,
    ) -> None:
        super().__init__()
        self.sizes, self.ratios = settings.sizes, settings.ratios
        self.anchors = len(settings.ratios) * len(settings.sizes[0])
        self.softmax, self.stride = softmax, stride
        self.conv = Conv2d(channels, width, 3, padding=1, bias=True, rng=rng, dtype=dtype)
        self.relu = ReLU()
        answers = self.anchors * (2 if softmax else 1)
        self.cls_logits = Conv2d(width, answers, 1, bias=True, rng=rng, dtype=dtype)
        self.bbox_pred = Conv2d(width, 4 * self.anchors, 1, bias=True, rng=rng, dtype=dtype)
        for layer in (self.conv, self.cls_logits, self.bbox_pred):
            draw(layer.weight, 0.01, rng)

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int]) -> list[Predictions]:
        """For each map of a batch of images what is said; `size` is the images'."""
        return [self.of_map(x, sides, size) for x, sides in zip(maps, self.sizes, strict=True)]

    def of_map(self, x: Tensor, sides: Sequence[float], size: tuple[int, int]) -> Predictions:
        """What is said of the anchors of one map: row by row, place by place."""
        height, width = x.shape[1:3]
        stride = self.stride or (size[0] // height, size[1] // width)
        boxes = grid(shapes(sides, self.ratios), height, width, stride).astype(x.dtype)
        hidden = in_turn(x, self.conv, self.relu)
        logits, codes = self.cls_logits(hidden), self.bbox_pred(hidden)
        if self.softmax:
            logits = logits[..., self.anchors :] - logits[..., : self.anchors]
        return Predictions(logits.reshape(len(x), -1), codes.reshape(len(x), -1, 4), boxes)


def draw(weight: Parameter, deviation: float, rng: Rng) -> None:
    """Normal numbers for new layers (Girshick 2015, sec. 2.3); zeros stay zeros."""
    if not isinstance(rng, Zeros):
        weight[...] = weight.data * (deviation / (weight.data.std() or 1))


def propose(
    levels: Sequence[Predictions],
    sizes: Sequence[tuple[int, int]],
    settings: Settings,
    *,
    training: bool,
) -> list[Boxes]:
    """The boxes of each image (height, width) that are most likely objects, best first, (R, 4).

    Of each map the best anchors become boxes, are cut to the image, and suppress each other. No
    gradient flows through them. On a GPU this waits for the maps: boxes are made on the host.
    """
    said = [(to_host(level.logits.data), to_host(level.codes.data)) for level in levels]
    found: list[list[tuple[Boxes, Array]]] = [[] for _ in sizes]
    for level, (logits, codes) in zip(levels, said, strict=True):
        for parts, one, code, size in zip(found, logits, codes, sizes, strict=True):
            parts.append(of_level(one, code, size, level, settings, training))
    return [best_of_all(parts, settings.of(settings.after_nms, training)) for parts in found]


def of_level(
    logits: Array,
    codes: Array,
    size: tuple[int, int],
    level: Predictions,
    settings: Settings,
    training: bool,
) -> tuple[Boxes, Array]:
    """The proposals of one map of one image and their logits; they are suppressed where it is."""
    order = best_first(logits)[: settings.of(settings.before_nms, training)]
    boxes = clip(decode(codes[order], level.anchors[order]), *size)
    large = (boxes[:, 2:] - boxes[:, :2] >= settings.least_side).all(axis=1)
    boxes, order = np.ascontiguousarray(boxes[large]), order[large]
    there = move(boxes, level.logits.device)
    kept = to_host(nms(there, threshold=settings.proposal_nms))
    return boxes[kept], logits[order[kept]]


def best_of_all(parts: Sequence[tuple[Boxes, Array]], most: int) -> Boxes:
    """The proposals of all maps of an image, the best of them."""
    boxes, logits = (np.concatenate(column) for column in zip(*parts, strict=True))
    return boxes[best_first(logits)[:most]]


def best_first(scores: np.ndarray) -> Places:
    """Places by falling score; of equal ones the first comes first."""
    return np.argsort(-scores, kind="stable")


def proposal_losses(
    levels: Sequence[Predictions],
    objects: Sequence[Boxes],
    sizes: Sequence[tuple[int, int]],
    settings: Settings,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Is there an object, and where (Ren et al. 2015, eq. 1): the losses of a batch.

    Both are over the number of anchors sampled in all images, as in torchvision. Anchors whose
    place lies in the padding of an image are not sampled: alone, the image has none there.
    """
    anchors = np.concatenate([level.anchors for level in levels])
    chosen, positive, truth, targets = [], [], [], []
    for number, (boxes, size) in enumerate(zip(objects, sizes, strict=True)):
        usable = (centred if settings.border else inside)(anchors, *size)
        matches = match_anchors(anchors, boxes.astype(anchors.dtype), usable)
        yes, no = sample(matches, settings.anchor_sample, 0.5, rng)
        own = np.concatenate([yes, no])
        first = number * len(anchors)
        chosen.append(first + own)
        positive.append(first + yes)
        truth.append(np.arange(len(own)) < len(yes))
        targets.append(encode(boxes[matches[yes]].astype(anchors.dtype), anchors[yes]))
    logits, codes = (concatenate(parts, axis=1) for parts in list(zip(*levels, strict=True))[:2])
    logits = logits.reshape(-1)[np.concatenate(chosen)]
    codes = codes.reshape(-1, 4)[np.concatenate(positive)]
    answers = F.logistic_cross_entropy(logits, np.concatenate(truth))
    where = F.smooth_l1(codes, np.concatenate(targets), beta=settings.beta)
    return answers, where * (1 / max(len(logits), 1))
