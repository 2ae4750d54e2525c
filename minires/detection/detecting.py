"""From a photograph to what is in it: the size that a detector sees, its boxes, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..autograd import Tensor
from ..common.expecting import as_kind, expects
from ..data.images import IMAGENET_MEAN, IMAGENET_STD, as_rgb
from ..kernels.devices import move, to_host
from ..nn import evaluating
from .boxes import Array, clip, resized
from .network import FasterRCNN, Size
from .regions import Found
from .settings import Settings

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = npt.NDArray[np.uint8]  # (H, W, 3)


@expects(model=FasterRCNN)
def detect(model: FasterRCNN, image: Image | Pixels) -> Found:
    """What is in an RGB image: boxes in its own pixels, labels 1 .. K, scores, best first.

    Raises: ValueError for an array of something else, or where the network's numbers are broken.
    """
    pixels = pixels_of(image)
    x, size = prepare(pixels, model.numbers, model.parameters()[0].dtype)
    with evaluating(model):
        (found,) = model(Tensor(move(x, model.device)), [size])
    refuse_broken(model, found)
    ratio = np.array([pixels.shape[1] / size[1], pixels.shape[0] / size[0]] * 2)
    boxes = clip(found.boxes * ratio.astype(found.boxes.dtype), *pixels.shape[:2])
    return found._replace(boxes=boxes)


def pixels_of(image: Any) -> Pixels:
    """An image as bytes (H, W, 3). Raises: TypeError, ValueError for what is no RGB image."""
    from PIL.Image import Image

    if isinstance(image, Image):
        image = image if image.mode == "RGB" else as_rgb(image, image.format)
    pixels = np.asarray(as_kind((Image, np.ndarray), image, "detect: the image"))
    if pixels.dtype != np.uint8 or pixels.shape[2:] != (3,) or not pixels.size:
        raise ValueError(
            f"detect: an image's pixels must be bytes, uint8 (H, W, 3), but are {pixels.dtype} "
            f"{pixels.shape}"
        )
    return pixels


def prepare(pixels: Pixels, settings: Settings, dtype: npt.DTypeLike) -> tuple[Array, Size]:
    """An image as a batch of one, (1, H, W, 3), and its size there without the padding."""
    height, width = resized(np.array(pixels.shape[:2]), settings.shorter, settings.longer).tolist()
    seen = enlarge(normalised(pixels, dtype), (height, width))
    more = [(0, -side % settings.multiple) for side in (height, width)]
    return np.pad(seen, (*more, (0, 0)))[None], (height, width)


def normalised(pixels: Pixels, dtype: npt.DTypeLike) -> Array:
    """Bytes (..., 3) with ImageNet's mean 0 and deviation 1, as torchvision's networks expect."""
    mean, std = (np.asarray(numbers, dtype) for numbers in (IMAGENET_MEAN, IMAGENET_STD))
    return (pixels.astype(dtype) / np.asarray(255, dtype) - mean) / std


def enlarge(image: Array, size: Size) -> Array:
    """An image (H, W, 3) at another size: bilinear, between the middles of pixels, never averaged.

    So torchvision's detectors resize; images of half the size are not smoothed.
    """
    for axis, new in enumerate(size):
        old = image.shape[axis]
        at = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
        low = np.floor(at).astype(np.int64)
        share = (at - low).astype(image.dtype).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        first, second = image.take(low, axis), image.take(np.minimum(low + 1, old - 1), axis)
        image = first + share * (second - first)
    return image


def refuse_broken(model: FasterRCNN, found: Found) -> None:
    """Raises: ValueError where weights of NaN found nothing, as in an empty image."""
    if len(found.boxes):
        return
    for name, parameter in model.named_parameters():
        if not np.isfinite(to_host(parameter.data)).all():
            raise ValueError(f"the weights {name} of the {model.name} are not finite")
