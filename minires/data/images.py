"""Photographs: decoded by Pillow, resized, cropped and normalised as torchvision does, bit for bit.

So weights from torchvision's recipes see exactly the pixels that they were trained for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .dataset import Dataset

if TYPE_CHECKING:
    from PIL.Image import Image

    from .photographs import Photographs

Pixels = npt.NDArray[np.uint8]
View = npt.NDArray[np.float32]

ROOM = 2 << 30  # bytes for images that are kept: 3,800 photographs of 500 x 375 pixels
LARGEST = 1 << 24  # pixels of a resized image; 640 on the shorter side of a 40:1 panorama fit
IMAGE_FILE = "minires file"  # where an image's `info` says which file it comes from
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class BrokenImageError(ValueError):
    """A file that can't be decoded, or not be resized; the text names it and says why."""


def open_image(path: Path, *, upright: bool = False) -> Image:
    """Decode a whole image file as RGB; grey levels become equal channels, palettes colours.

    Grey levels of 16 bits are scaled. With `upright` a photograph is turned as its camera noted
    (EXIF); evaluations leave it as it lies in the file, as torchvision does.

    Raises: BrokenImageError. Decoders fail in many ways; everything they raise becomes it. So do
        levels of 32 bits, of which nobody knows which one is white.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            image = as_rgb(ImageOps.exif_transpose(file) if upright else file, file.format)
    except Exception as error:
        raise BrokenImageError(f"{path}: {reason(error)}") from None
    image.info[IMAGE_FILE] = path
    return image


class KeptImages:
    """Opens image files, and keeps what it has decoded as long as there is `room` for it, in bytes.

    A file that changes afterwards is not read again. Threads may share it.
    """

    lock = Lock()  # one for all: with a lock of its own it could not be pickled

    def __init__(self, room: int = ROOM) -> None:
        self.room = room
        self.kept: dict[tuple[Path, bool], tuple[tuple[int, int], bytes]] = {}

    def open(self, path: Path, *, upright: bool = False) -> Image:
        """What `open_image` gives; whoever changes the image changes no one else's."""
        from PIL import Image

        if kept := self.kept.get((path, upright)):
            image = Image.frombytes("RGB", *kept)
            image.info[IMAGE_FILE] = path
        else:
            image = open_image(path, upright=upright)
            self.keep((path, upright), image)
        return image

    def keep(self, key: tuple[Path, bool], image: Image) -> None:
        """Keep an image, 3 bytes a pixel, if there is room."""
        needed = 3 * image.width * image.height
        with self.lock:
            if needed <= self.room and key not in self.kept:
                self.room -= needed
                self.kept[key] = image.size, image.tobytes()


def as_rgb(image: Image, kind: str | None) -> Image:
    """An image of some format as RGB, 8 bits a channel. Pillow alone would cut levels at 255."""
    from PIL import Image

    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):
        levels = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((levels + 128) // 257).astype(np.uint8))  # 65535 is 255 * 257
    if image.mode in ("I", "F"):
        raise ValueError(
            "its levels have 32 bits, and nothing says which one is white: save it with 8 or 16"
        )
    return image.convert("RGB")


def reason(error: Exception) -> str:
    """What is wrong with a file, without its path."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not an image of any kind that Pillow knows"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def resize(image: Image, shorter: int) -> Image:
    """Scale so that the shorter side has so many pixels: antialiased and bilinear.

    The longer side is rounded down, as torchvision's `Resize(shorter)` does.

    Raises: BrokenImageError for an image so long and thin that it would become gigantic.
    """
    from PIL.Image import Resampling

    width, height = image.size
    longer = int(shorter * max(width, height) / min(width, height))
    if shorter * longer > LARGEST:
        raise BrokenImageError(
            f"{image.info.get(IMAGE_FILE, 'an image')}: {width} x {height} pixels would become "
            f"{shorter * longer:,} when the shorter side is {shorter}, more than {LARGEST:,}"
        )
    size = (shorter, longer) if width <= height else (longer, shorter)
    return image.resize(size, Resampling.BILINEAR)


def center_crop(view: View, size: int) -> View:
    """The size x size pixels in the middle of a view (H, W, C).

    Half a pixel is rounded to the even side, as Python's `round` and so torchvision's `CenterCrop`.
    """
    height, width = view.shape[:2]
    return crop(view, round((height - size) / 2), round((width - size) / 2), size)


def five_crops(view: View, size: int) -> list[View]:
    """The four corners and the middle of a view (H, W, C), in the order of `FiveCrop`."""
    bottom, right = view.shape[0] - size, view.shape[1] - size
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right)]
    return [crop(view, *corner, size) for corner in corners] + [center_crop(view, size)]


def crop(view: View, top: int, left: int, size: int) -> View:
    return view[top : top + size, left : left + size]


def mirror(view: View) -> View:
    return view[:, ::-1]


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """From a photograph to what a network sees: sizes in pixels, and the training images' moments.

    Images are resized to `resize` pixels on the shorter side, of which a network sees `crop`.
    Values, 0 to 1, become (value - mean) / std, by channel; `mean` may also be an image (H, W, 3),
    which is then stretched to the size of what it is subtracted from.
    """

    resize: int = 256
    crop: int = 224
    mean: Sequence[float] | npt.NDArray[np.float32] = IMAGENET_MEAN
    std: Sequence[float] | npt.NDArray[np.float32] = IMAGENET_STD

    def __post_init__(self) -> None:
        if not 1 <= self.crop <= self.resize:
            raise ValueError(
                f"preprocessing: a crop of {self.crop} pixels must lie within a shorter side of "
                f"{self.resize}"
            )

    @classmethod
    def of(cls, dataset: Dataset | Photographs, *, resize: int | None = None) -> Preprocessing:
        """What a network trained on a data set expects: its crop and its moments."""
        if not isinstance(dataset, Dataset):
            return dataset.preprocessing
        size = min(dataset.train_images.shape[1:3])
        mean, std = dataset.pixel_mean / 255, 1 / (255 * dataset.channel_scale)
        return cls(resize or size, size, mean.astype(np.float32), std.astype(np.float32))

    def normalised(self, image: Image) -> View:
        """All of an RGB image, (H, W, 3), float32: `ToTensor` and `Normalize` in torchvision.

        (H, W, 1) where there are moments of a single channel, of grey images.
        """
        levels = (
            np.asarray(image) if len(self.std) == 3 else np.asarray(image.convert("L"))[..., None]
        )
        view = levels.astype(np.float32) / np.float32(255)
        mean = np.asarray(self.mean, np.float32)
        view -= mean if mean.ndim == 1 else stretched(mean, image.size)
        view /= np.asarray(self.std, np.float32)
        return view


def stretched(image: View, size: tuple[int, int]) -> View:
    """A float image (H, W, C) at another size (width, height), each channel by itself."""
    from PIL import Image

    if image.shape[1::-1] == size:
        return image
    planes = [
        Image.fromarray(np.ascontiguousarray(plane)).resize(size, Image.Resampling.BILINEAR)
        for plane in np.moveaxis(image, -1, 0)
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)
