"""From a photograph to what is in it: the size that a detector sees, its boxes, and back."""

from __future__ import annotations

from collections.abc import Sequence
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

LEAST_SIDE = 16  # pixels from which a trunk of stride 16 makes a map


@expects(model=FasterRCNN)
def detect(model: FasterRCNN, image: Image | Pixels) -> Found:
    """What is in an image: boxes in its own pixels, labels 1 .. K, scores, best first.

    `image` is one of Pillow's, or bytes (H, W, 3), RGB. Raises: TypeError for anything else;
    ValueError for another array, and where the network's numbers are broken.
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
    """An image's bytes, RGB; grey levels of Pillow's images become equal channels.

    Raises: TypeError for what is no image; ValueError for an array that is none of bytes: levels
        from 0 to 1 would be black.
    """
    from PIL.Image import Image

    image = as_kind((Image, np.ndarray), image, "detect: the image")
    pixels = np.asarray(as_rgb(image, image.format) if isinstance(image, Image) else image)
    if pixels.dtype != np.uint8 or pixels.shape[2:] != (3,) or not pixels.size:
        raise ValueError(
            "detect: expected an image as an array of bytes (uint8), height x width x 3 (RGB), but "
            f"got {pixels.dtype}, {' x '.join(map(str, pixels.shape))}: open its file with Pillow"
        )
    return pixels


def prepare(pixels: Pixels, settings: Settings, dtype: npt.DTypeLike) -> tuple[Array, Size]:
    """An image as a batch of one, (1, H, W, 3), and its size there without the padding."""
    height, width = resized(np.array(pixels.shape[:2]), settings.shorter, settings.longer).tolist()
    seen = enlarge(normalised(pixels, dtype), (height, width))
    return padded([seen], settings.multiple), (height, width)


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


def padded(images: Sequence[Array], multiple: int) -> Array:
    """Images as one array (N, H, W, 3), of zeros where a smaller one ends.

    Its sides are whole multiples of a number, and large enough for every trunk.
    """
    largest = (max(LEAST_SIDE, *(image.shape[axis] for image in images)) for axis in (0, 1))
    sides = (-(-side // multiple) * multiple for side in largest)
    batch = np.zeros((len(images), *sides, 3), images[0].dtype)
    for target, image in zip(batch, images, strict=True):
        target[: image.shape[0], : image.shape[1]] = image
    return batch


def refuse_broken(model: FasterRCNN, found: Found) -> None:
    """Raises: ValueError where weights of NaN found nothing, as in an empty image."""
    if len(found.boxes):
        return
    for name, parameter in model.named_parameters():
        if not np.isfinite(to_host(parameter.data)).all():
            raise ValueError(f"the weights {name} of the {model.name} are not finite")
