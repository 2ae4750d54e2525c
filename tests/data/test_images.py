"""Pixels agree with torchvision's bit for bit; broken files are named.

Where torchvision is installed, it is asked itself. Its rules, written down once more with Pillow's
own crops and mirrors, are checked everywhere.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from minires.data.images import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    BrokenImageError,
    Preprocessing,
    center_crop,
    five_crops,
    mirror,
    open_image,
    resize,
    stretched,
)

from ..helpers import generators
from .photographs import photograph, save

sides = st.integers(16, 90)


def half_to_even(numerator):
    """numerator / 2; halves go to the even neighbour."""
    whole, odd = divmod(numerator, 2)
    return whole + (odd and whole % 2)


def resized_by_the_rules(image, shorter):
    width, height = image.size
    if width < height:
        size = shorter, math.floor(shorter * height / width)
    else:
        size = math.floor(shorter * width / height), shorter
    return image.resize(size, Image.BILINEAR, reducing_gap=None)


def middle_by_the_rules(image, size):
    left, top = (half_to_even(side - size) for side in image.size)
    return image.crop((left, top, left + size, top + size))


def five_by_the_rules(image, size):
    width, height = image.size
    boxes = [(0, 0), (width - size, 0), (0, height - size), (width - size, height - size)]
    corners = [image.crop((x, y, x + size, y + size)) for x, y in boxes]
    return [*corners, middle_by_the_rules(image, size)]


def tensor_by_the_rules(image):
    """ToTensor and Normalize, one channel after the other."""
    planes = []
    for plane, mean, std in zip(image.split(), IMAGENET_MEAN, IMAGENET_STD, strict=True):
        values = np.array(plane).astype(np.float32) / np.float32(255.0)
        planes.append((values - np.float32(mean)) / np.float32(std))
    return np.stack(planes, axis=2)


@given(generators, sides, sides, st.integers(16, 40), st.integers(1, 16))
def test_single_and_ten_crops_have_the_bits_of_the_rules(rng, width, height, shorter, size):
    image, preprocessing = photograph(rng, width, height), Preprocessing(shorter, size)
    small, expected = resize(image, shorter), resized_by_the_rules(image, shorter)
    assert small.size == expected.size
    whole = preprocessing.normalised(small)
    np.testing.assert_array_equal(whole, tensor_by_the_rules(expected))
    np.testing.assert_array_equal(
        center_crop(whole, size), tensor_by_the_rules(middle_by_the_rules(expected, size))
    )
    ten = five_crops(whole, size) + five_crops(mirror(whole), size)
    by_the_rules = five_by_the_rules(expected, size) + five_by_the_rules(
        ImageOps.mirror(expected), size
    )
    for ours, theirs in zip(ten, by_the_rules, strict=True):
        np.testing.assert_array_equal(ours, tensor_by_the_rules(theirs))


@pytest.mark.parametrize(("width", "height"), [(500, 375), (333, 500), (256, 256), (257, 256)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "RGBA"])
def test_torchvision_gives_the_same_bits(width, height, mode, tmp_path, rng):
    transforms = pytest.importorskip("torchvision.transforms", reason="needs torchvision")
    form = "PNG" if mode == "RGBA" else "JPEG"
    path = save(tmp_path / "x", photograph(rng, width, height).convert(mode), format=form)
    image = Image.open(path).convert("RGB")
    tensor = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
    )
    scaled = transforms.Resize(256)(image)
    theirs = [
        transforms.CenterCrop(224)(scaled),
        *transforms.FiveCrop(224)(scaled),
        *transforms.TenCrop(224)(scaled)[5:],
    ]
    preprocessing = Preprocessing()
    whole = preprocessing.normalised(resize(open_image(path), 256))
    ours = [center_crop(whole, 224), *five_crops(whole, 224), *five_crops(mirror(whole), 224)]
    for view, expected in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(view, tensor(expected).permute(1, 2, 0).numpy())


def test_a_mean_image_is_stretched_to_the_view(rng):
    mean = np.full((8, 8, 3), 0.5, np.float32)
    mean[:4] = 0.25
    preprocessing = Preprocessing(16, 16, mean, (1.0, 1.0, 1.0))
    grey = Image.new("RGB", (16, 16), (51, 51, 51))
    view = preprocessing.normalised(grey)
    np.testing.assert_allclose(view[:6], 0.2 - 0.25, atol=1e-6)
    np.testing.assert_allclose(view[-6:], 0.2 - 0.5, atol=1e-6)
    assert stretched(mean, (8, 8)) is mean


def test_a_crop_larger_than_the_image_gets_a_sentence():
    with pytest.raises(
        ValueError, match="crop of 300 pixels must lie within a shorter side of 256"
    ):
        Preprocessing(256, 300)


@pytest.mark.parametrize("damage", ["cut off", "text", "empty", "missing", "bomb"])
def test_whatever_is_wrong_with_a_file_is_one_error_that_names_it(
    damage, tmp_path, rng, monkeypatch
):
    path = tmp_path / "x.jpg"
    photograph(rng, 60, 60).save(path)
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "bomb":
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    else:
        path.write_bytes({"cut off": whole[:-200], "text": b"hello", "empty": b""}[damage])
    with pytest.raises(BrokenImageError, match=r"x\.jpg: \w+"):
        open_image(path)


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1)])
def test_a_long_thin_image_is_not_blown_up(size, tmp_path):
    """A file of 300 bytes would take 60 GB."""
    path = save(tmp_path / "thin.png", Image.new("RGB", size))
    with pytest.raises(
        BrokenImageError, match=r"thin\.png: .* 3,932,160,000 when the shorter .* 256"
    ):
        resize(open_image(path), 256)
    with pytest.raises(BrokenImageError, match="an image: "):
        resize(Image.new("RGB", size), 256)
    assert max(resize(open_image(path), 10).size) == 600_000


class TestLevelsOfMoreBits:
    LEVELS = np.array([[0, 257, 30_000, 65_535]], np.uint16)

    @pytest.mark.parametrize("name", ["x.png", "x.tif", "x.ppm"])
    def test_sixteen_are_scaled(self, name, tmp_path):
        Image.fromarray(self.LEVELS).save(tmp_path / name)
        pixels = np.asarray(open_image(tmp_path / name))
        np.testing.assert_array_equal(pixels[..., 0], [[0, 1, 117, 255]])
        assert (pixels == pixels[..., :1]).all()

    def test_the_order_of_bytes_does_not_matter(self, tmp_path):
        Image.fromarray(self.LEVELS.astype(">u2")).save(tmp_path / "x.tif")
        pixels = np.asarray(open_image(tmp_path / "x.tif"))
        np.testing.assert_array_equal(pixels[..., 0], [[0, 1, 117, 255]])

    @pytest.mark.parametrize("dtype", [np.float32, np.int32])
    def test_thirty_two_are_named_as_broken(self, dtype, tmp_path):
        Image.fromarray(np.array([[0, 1]], dtype)).save(tmp_path / "x.tif")
        with pytest.raises(BrokenImageError, match=r"x\.tif: its levels have 32 bits, and nothing"):
            open_image(tmp_path / "x.tif")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_photograph_is_turned_as_its_camera_noted_where_one_asks(suffix, tmp_path, rng):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    path = save(tmp_path / f"x{suffix}", photograph(rng, 9, 4), exif=exif)
    assert open_image(path).size == (9, 4)
    assert open_image(path, upright=True).size == (4, 9)
