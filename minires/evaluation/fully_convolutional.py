"""A classifier as a network of convolutions alone, which takes images of any size.

A fully connected layer is a convolution whose kernel is as large as the map it was made for: 1 x 1
behind global average pooling, 7 x 7 for VGG's first one. On a larger image it gives a *map* of
class scores, one for each place, and their mean is the image's score. Simonyan & Zisserman 2014,
sec. 3.2; He et al. 2015, sec. 3.4.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..autograd import Tensor
from ..common.expecting import expects, must_be
from ..nn import Linear, Module, Sequential
from ..nn import functional as F


@expects(images=Tensor)
def score_map(model: Module, images: Tensor) -> Tensor:
    """Class scores (logits) at every place: images (N, H, W, 3) -> (N, h, w, classes).

    `model` has `features`, which gives maps (N, h', w', C), and a linear layer `fc` behind global
    average pooling, or a `classifier` of linear layers, as VGG has.

    Raises: ValueError for images smaller than what the classifier was made for.
    """
    must_be(Module, model, "score_map: the network")
    maps = model.features(images)
    for layer in head(model):
        maps = convolved(layer, maps) if isinstance(layer, Linear) else layer(maps)
    return maps


def mean_scores(model: Module, images: Tensor) -> Tensor:
    """The mean of the score map, (N, classes).

    Behind global average pooling it is what the network gives anyway: a linear layer's mean over
    all places is the linear layer of the mean.
    """
    pooled = not isinstance(getattr(model, "classifier", None), Sequential)
    return model(images) if pooled else score_map(model, images).mean((1, 2))


def head(model: Module) -> Iterable[Module]:
    """The layers behind the features."""
    classifier = getattr(model, "classifier", None)
    return classifier if isinstance(classifier, Sequential) else [model.fc]


def convolved(layer: Linear, maps: Tensor) -> Tensor:
    """The linear layer at every place of maps (N, h, w, C)."""
    channels = maps.shape[-1]
    size = math.isqrt(layer.weight.shape[0] // channels)
    if min(maps.shape[1:3]) < size:
        raise ValueError(
            f"the classifier was made for maps of {size} x {size}, but these images have only "
            f"{maps.shape[1]} x {maps.shape[2]}: use larger images"
        )
    return F.conv2d(maps, layer.weight.reshape(size, size, channels, -1)) + layer.bias
