"""Which parts of a test image a network sees, and at which sizes: the paper's ways of testing.

| protocol | views of an image | paper |
|---|---|---|
| single crop | the middle | sec. 4.1, the curves of fig. 4 |
| 10-crop | four corners, the middle, and all mirrored | sec. 3.4, tables 2 and 3 |
| multi-scale | the whole image at five scales, and mirrored | sec. 3.4, table 4 |

In the last, networks run fully convolutionally: see `fully_convolutional.py`. The class
probabilities of all views are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..common.expecting import COUNT, SOME, Each, expects
from ..data.images import Preprocessing, View, center_crop, five_crops, mirror, resize

if TYPE_CHECKING:
    from PIL.Image import Image

SCALES = (224, 256, 384, 480, 640)  # shorter sides, He et al. 2015, sec. 3.4


class Protocol:
    """How an image is shown to a network."""

    name: str
    fully_convolutional = False  # whether scores are a map, averaged over the view

    @property
    def views_per_image(self) -> int:
        """How many views there are of each image."""
        return 1

    def views(self, image: Image, preprocessing: Preprocessing) -> list[View]:
        """What the network sees of an image: normalised arrays (h, w, 3)."""
        raise NotImplementedError(f"{type(self).__name__} does not define views()")


class SingleCrop(Protocol):
    """The middle of the image."""

    name = "single crop"

    def views(self, image: Image, preprocessing: Preprocessing) -> list[View]:
        """One view, crop x crop."""
        whole = preprocessing.normalised(resize(image, preprocessing.resize))
        return [center_crop(whole, preprocessing.crop)]


class TenCrop(Protocol):
    """Four corners and the middle, as they are and mirrored (Krizhevsky et al. 2012)."""

    name = "10-crop"

    @property
    def views_per_image(self) -> int:
        """Five, twice."""
        return 10

    def views(self, image: Image, preprocessing: Preprocessing) -> list[View]:
        """Ten views, crop x crop, in the order of torchvision's `TenCrop`."""
        whole = preprocessing.normalised(resize(image, preprocessing.resize))
        size = preprocessing.crop
        return five_crops(whole, size) + five_crops(mirror(whole), size)


@expects(scales=Each(COUNT, SOME))
@dataclass(frozen=True)
class MultiScale(Protocol):
    """The whole image, as it is and mirrored, at each of these lengths of its shorter side."""

    scales: Sequence[int] = SCALES

    name = "multi-scale"
    fully_convolutional = True

    @property
    def views_per_image(self) -> int:
        """Two for each scale."""
        return 2 * len(self.scales)

    def views(self, image: Image, preprocessing: Preprocessing) -> list[View]:
        """Pairs of the image and its mirror image, scale after scale."""
        wholes = [preprocessing.normalised(resize(image, scale)) for scale in self.scales]
        return [view for whole in wholes for view in (whole, mirror(whole))]


PROTOCOLS: dict[str, Protocol] = {
    "single": SingleCrop(),
    "10crop": TenCrop(),
    "multiscale": MultiScale(),
}
