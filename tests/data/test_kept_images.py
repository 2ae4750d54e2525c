"""Decoded images that stay in memory: the same as fresh ones, within bounds, for many threads."""

import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from minires.data import BrokenImageError, images, open_image
from minires.data.images import KeptImages, resize

from .photographs import photograph, save

NEEDED = 3 * 40 * 30  # bytes of an image


@pytest.fixture
def paths(tmp_path, rng):
    return [save(tmp_path / f"{n}.jpg", photograph(rng, 40, 30)) for n in range(6)]


@pytest.fixture
def decoded(monkeypatch):
    """The files that are decoded."""
    seen = []

    def counted(path, **options):
        seen.append(path)
        return open_image(path, **options)

    monkeypatch.setattr(images, "open_image", counted)
    return seen


def same(image, path, **options):
    return image.mode == "RGB" and np.array_equal(image, open_image(path, **options))


def test_a_kept_image_is_that_of_the_file(paths, decoded):
    kept = KeptImages()
    for _ in range(3):
        assert all(same(kept.open(path), path) for path in paths)
    assert decoded == paths


def test_grey_levels_and_palettes_are_kept_as_colours(tmp_path, rng):
    kept = KeptImages()
    for mode in "LP1":
        path = save(tmp_path / f"{mode}.png", photograph(rng, 7, 5).convert(mode))
        assert all(same(kept.open(path), path) for _ in range(2))


def test_turned_and_as_it_lies_are_two_images(tmp_path, rng):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "x.jpg", photograph(rng, 40, 20), exif=exif)
    kept = KeptImages()
    for upright in (True, False, True, False):
        assert same(kept.open(path, upright=upright), path, upright=upright)


def test_what_one_does_to_an_image_nobody_else_sees(paths):
    kept = KeptImages()
    for _ in range(3):
        image = kept.open(paths[0])
        assert same(image, paths[0])
        image.paste((1, 2, 3), (0, 0, 9, 9))
        image.thumbnail((8, 8))


def test_a_kept_image_knows_its_file(tmp_path):
    path, kept = save(tmp_path / "thin.png", Image.new("RGB", (60_000, 1))), KeptImages()
    for _ in range(2):
        with pytest.raises(BrokenImageError, match=r"thin\.png: 60000 x 1 pixels"):
            resize(kept.open(path), 256)


@pytest.mark.parametrize(
    ("room", "fit"), [(0, 0), (NEEDED - 1, 0), (NEEDED, 1), (3 * NEEDED + 9, 3)]
)
def test_what_does_not_fit_is_decoded_each_time(room, fit, paths, decoded):
    kept = KeptImages(room)
    for _ in range(3):
        assert all(same(kept.open(path), path) for path in paths)
    assert decoded == paths + 2 * paths[fit:]
    assert kept.room == room - fit * NEEDED


def test_a_smaller_image_may_still_fit(paths, tmp_path, decoded):
    small = save(tmp_path / "small.png", Image.new("RGB", (2, 1)))
    kept = KeptImages(NEEDED + 6)
    for path in (*paths[:2], small, small):
        kept.open(path)
    assert decoded == [*paths[:2], small]
    assert kept.room == 0


def test_a_broken_file_is_broken_each_time_and_takes_no_room(paths):
    kept, whole = KeptImages(NEEDED), paths[0].read_bytes()
    paths[0].write_bytes(whole[:-200])
    for _ in range(2):
        with pytest.raises(BrokenImageError, match=r"0\.jpg: "):
            kept.open(paths[0])
    assert kept.room == NEEDED
    paths[0].write_bytes(whole)
    assert same(kept.open(paths[0]), paths[0])


def test_a_file_that_changes_is_not_read_again(paths):
    kept = KeptImages()
    before = np.asarray(kept.open(paths[0]))
    paths[0].write_bytes(paths[1].read_bytes())
    np.testing.assert_array_equal(kept.open(paths[0]), before)


def test_threads_share_it(paths):
    kept = KeptImages(4 * NEEDED)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda n: same(kept.open(paths[n % 6]), paths[n % 6]), range(300)))
    assert (kept.room, len(kept.kept)) == (0, 4)


def test_two_threads_never_take_the_same_room(rng):
    """Each dawdles between its look at the room and its taking it."""

    class Slow(str):
        __slots__ = ()

        def __hash__(self):
            time.sleep(0.01)
            return super().__hash__()

        __eq__ = str.__eq__

    kept, image = KeptImages(NEEDED), photograph(rng, 40, 30)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: kept.keep(Slow(n), image), range(4)))
    assert (kept.room, len(kept.kept)) == (0, 1)


def test_two_threads_that_decode_the_same_take_room_once(rng):
    kept = KeptImages()
    before = kept.room
    for _ in range(2):
        kept.keep("x", photograph(rng, 40, 30))
    assert kept.room == before - NEEDED


def test_it_can_be_sent_to_another_process(paths, decoded):
    kept = KeptImages()
    kept.open(paths[0])
    copy = pickle.loads(pickle.dumps(kept.open))
    assert same(copy(paths[0]), paths[0])
    assert decoded == paths[:1]
