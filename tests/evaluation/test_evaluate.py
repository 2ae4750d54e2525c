"""Errors are counted right, ensembles average, broken images are named."""

import time

import numpy as np
import pytest
from PIL import Image

from minires.data import BrokenImageError, Classes, ImageFiles, Preprocessing
from minires.distributed import Alone
from minires.evaluation import (
    ENSEMBLE,
    Score,
    TenCrop,
    classify,
    evaluate,
    evaluation_table,
    share_waited,
)

from ..data.photographs import save
from .networks import CLASSES, Brightness

PLAIN = Preprocessing(8, 8, (0, 0, 0), (1, 1, 1))


def greys(folder, levels, labels):
    """Grey images whose brightness is level / CLASSES, and a bit."""
    paths = [
        save(
            folder / f"{n}.png",
            Image.new("RGB", (10, 8), (int((level + 0.5) * 255 / CLASSES),) * 3),
        )
        for n, level in enumerate(levels)
    ]
    return ImageFiles("greys", paths, labels, Classes.called("abcdefg"))


class TestScore:
    def test_counts_what_is_not_first_and_not_among_five(self):
        probabilities = np.array([[0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05]])
        for label, top1, top5 in ((0, 0, 0), (1, 1, 0), (4, 1, 0), (5, 1, 1), (6, 1, 1)):
            score = Score()
            score.add(probabilities, np.array([label]))
            assert (score.top1_wrong, score.top5_wrong, score.images) == (top1, top5, 1)

    def test_a_network_that_always_says_the_same_is_not_right_by_ties(self):
        score = Score()
        score.add(np.full((7, 7), 1 / 7), np.arange(7))
        assert score.top1_error == pytest.approx(6 / 7)
        assert score.top5_error == pytest.approx(2 / 7)


def test_errors_of_known_answers(tmp_path):
    images = greys(tmp_path, [0, 1, 2, 3, 6], [0, 1, 2, 4, 0])
    result = evaluate({"grey": Brightness()}, images, preprocessing=PLAIN, batch_size=2)
    assert result.images == 5
    assert list(result.scores) == ["grey"]
    assert result.scores["grey"].top1_error == pytest.approx(2 / 5)  # 3 for 4, 6 for 0
    assert result.scores["grey"].top5_error == pytest.approx(1 / 5)  # 0 is far from 6
    assert 0 < result.waited < result.seconds


class Ranks(Alone):
    """One of three ranks, which hears what those before it have found."""

    def __init__(self, rank, found):
        self.rank, self.size, self.found = rank, 3, found

    def each(self, act):
        self.found.append(act())
        return self.found


def test_ranks_share_the_images_and_find_what_one_finds(tmp_path):
    images = greys(tmp_path, [0, 1, 2, 3, 6, 4, 5, 0], [0, 1, 2, 4, 0, 3, 5, 1])
    for number in (3, 6):
        images.paths[number].write_bytes(b"broken")
    models, found = {"grey": Brightness(), "same": Brightness()}, []
    settings = {"preprocessing": PLAIN, "batch_size": 2}
    expected = evaluate(models, images, **settings)
    for rank in (0, 1, 2):
        result = evaluate(models, images, world=Ranks(rank, found), **settings)
    assert [part.images for part, _ in found] == [3, 1, 2]
    assert (result.scores, result.broken) == (expected.scores, expected.broken)
    assert len(result.broken) == 2


def test_an_ensemble_is_the_mean_of_its_members(tmp_path):
    images = greys(tmp_path, [1, 3], [1, 3])
    models = {"right": Brightness(), "one too high": Brightness(offset=1)}
    models["one too low"] = Brightness(offset=-1)
    result = evaluate(models, images, preprocessing=PLAIN)
    errors = [score.top1_error for score in result.scores.values()]
    assert list(result.scores) == [*models, ENSEMBLE]
    assert errors == [0, 1, 1, 0]


@pytest.mark.parametrize(("bright", "single_error"), [(8, 1), (0, 0)])
def test_all_views_of_an_image_are_averaged(bright, single_error, tmp_path):
    """A third of the image is of another class: the middle, or the left, which comes first."""
    image = Image.new("RGB", (24, 8), (54, 54, 54))  # level 1
    image.paste((200, 200, 200), (bright, 0, bright + 8, 8))  # level 5
    images = ImageFiles("stripe", [save(tmp_path / "x.png", image)], [1], Classes.called("abcdefg"))
    models = {"grey": Brightness()}
    single = evaluate(models, images, preprocessing=PLAIN)
    ten = evaluate(models, images, preprocessing=PLAIN, protocol=TenCrop())
    assert (single.protocol, single.scores["grey"].top1_error) == ("single crop", single_error)
    assert (ten.protocol, ten.scores["grey"].top1_error) == ("10-crop", 0)


class TestBrokenImages:
    def images(self, folder):
        images = greys(folder, [0, 1, 2], [0, 1, 2])
        images.paths[1].write_bytes(b"not an image")
        return images

    def test_are_skipped_and_named(self, tmp_path):
        result = evaluate({"grey": Brightness()}, self.images(tmp_path), preprocessing=PLAIN)
        assert result.images == 2
        assert result.scores["grey"].top1_error == 0
        assert result.broken == [
            f"{tmp_path / '1.png'}: not an image of any kind that Pillow knows"
        ]

    def test_so_are_those_that_would_be_gigantic(self, tmp_path):
        images = greys(tmp_path, [0, 1, 2], [0, 1, 2])
        Image.new("RGB", (1, 60_000)).save(images.paths[1])
        sizes = Preprocessing(64, 8, (0, 0, 0), (1, 1, 1))
        result = evaluate({"grey": Brightness()}, images, preprocessing=sizes)
        assert result.images == 2
        assert len(result.broken) == 1
        assert result.broken[0].startswith(f"{tmp_path / '1.png'}: 1 x 60000 pixels would")

    def test_or_refused(self, tmp_path):
        with pytest.raises(BrokenImageError, match=r"1\.png: not an image"):
            evaluate(
                {"grey": Brightness()},
                self.images(tmp_path),
                preprocessing=PLAIN,
                broken="refuse",
            )

    def test_there_is_no_third_way(self, tmp_path):
        with pytest.raises(ValueError, match="broken must be one of skip, refuse, not 'raise'"):
            evaluate({"grey": Brightness()}, self.images(tmp_path), broken="raise")

    def test_if_all_are_there_is_no_result(self, tmp_path):
        images = greys(tmp_path, [0], [0])
        images.paths[0].write_bytes(b"")
        with pytest.raises(ValueError, match="greys: none of the 1 images could be read"):
            evaluate({"grey": Brightness()}, images, preprocessing=PLAIN)


def test_a_network_for_other_classes_gets_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="ten has 10 outputs but the data 7 classes: name a file"):
        evaluate({"ten": Brightness(10)}, greys(tmp_path, [0], [0]), preprocessing=PLAIN)


def test_weights_that_give_nan_get_a_sentence(tmp_path):
    model = Brightness()
    model.offset = np.nan
    with pytest.raises(ValueError, match="broken gives NaN or infinity"):
        evaluate({"broken": model}, greys(tmp_path, [0], [0]), preprocessing=PLAIN)


def test_progress_can_be_watched(tmp_path):
    seen = []
    images = greys(tmp_path, [0, 1, 2], [0, 1, 2])
    evaluate(
        {"grey": Brightness()},
        images,
        preprocessing=PLAIN,
        batch_size=2,
        watch=lambda result: seen.append(result.images),
    )
    assert seen == [2, 3]


def test_a_slow_disk_shows_as_waiting(tmp_path):
    class Slow(ImageFiles):
        def open(self, number):
            time.sleep(0.05)
            return super().open(number)

    fast = greys(tmp_path, [0] * 6, [0] * 6)
    slow = Slow(fast.name, fast.paths, fast.labels, fast.classes)
    result = evaluate({"grey": Brightness()}, slow, preprocessing=PLAIN, workers=1)
    assert result.waited > 0.28
    assert share_waited(result) > 0.5
    table = evaluation_table(result)
    assert "spent waiting for images" in table.caption
    assert str(table.title) == "greys: 6 images, single crop"


def test_without_a_network_there_is_a_sentence():
    for call in (lambda: evaluate({}, None), lambda: classify([], None)):
        with pytest.raises(ValueError, match="there is no network to evaluate: name at least one"):
            call()
