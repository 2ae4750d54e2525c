"""One image: its most likely classes, as numbers, bars and a picture."""

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from minires.data import Classes, Preprocessing
from minires.evaluation import TenCrop, bars, classify, draw_guesses

from .networks import Brightness

PLAIN = Preprocessing(8, 8, (0, 0, 0), (1, 1, 1))
GREY = Image.new("RGB", (12, 8), (128, 128, 128))
NAMES = Classes.called(["ant", "bee", "cat", "dog, hound", "elk", "fox", "gnu"])


def test_the_most_likely_classes_come_first():
    guesses = classify([Brightness()], GREY, NAMES, top=3, preprocessing=PLAIN)
    assert guesses[0].name == "dog, hound"
    assert len(guesses) == 3
    chances = np.exp([-abs(place - 3) for place in range(7)])  # a step away, a factor of e
    np.testing.assert_allclose(guesses[0].probability, 1 / chances.sum(), rtol=1e-2)
    assert sum(guess.probability for guess in guesses) < 1


def test_several_networks_and_views_are_averaged():
    models = [Brightness(offset=-1), Brightness(offset=1)]
    alone = [classify([m], GREY, NAMES, top=7, preprocessing=PLAIN) for m in models]
    together = classify(models, GREY, NAMES, top=7, preprocessing=PLAIN, protocol=TenCrop())
    of = [{guess.name: guess.probability for guess in some} for some in (*alone, together)]
    for name in NAMES.names:
        np.testing.assert_allclose(of[2][name], (of[0][name] + of[1][name]) / 2, rtol=1e-6)


def test_without_names_outputs_are_numbered():
    assert classify([Brightness()], GREY, preprocessing=PLAIN)[0].name == "class 3"


def test_names_of_another_number_get_a_sentence():
    with pytest.raises(ValueError, match="has 7 outputs, but 2 classes are named"):
        classify([Brightness()], GREY, Classes.called(["ant", "bee"]), preprocessing=PLAIN)


def test_networks_for_other_numbers_of_classes_are_not_averaged():
    models = [Brightness(), Brightness(classes=5)]
    with pytest.raises(ValueError, match=r"outputs \(Brightness 7, Brightness 5\): only those"):
        classify(models, GREY, preprocessing=PLAIN)


def test_weights_that_give_nan_get_a_sentence():
    with pytest.raises(ValueError, match="Brightness gives NaN or infinity"):
        classify([Brightness(), Brightness(offset=np.nan)], GREY, preprocessing=PLAIN)


def test_bars_are_as_long_as_the_probability():
    guesses = classify([Brightness()], GREY, NAMES, top=2, preprocessing=PLAIN)
    console = Console(width=100, no_color=True)
    with console.capture() as capture:
        console.print(bars(guesses))
    first, second = capture.get().splitlines()
    assert first.startswith("dog, hound")
    assert f"{guesses[0].probability:.1%}" in first
    assert first.count("█") == pytest.approx(40 * guesses[0].probability, abs=1)
    assert first.count("█") > second.count("█") > 0


def test_a_picture_shows_the_image_beside_the_bars(tmp_path):
    guesses = classify([Brightness()], GREY, NAMES, preprocessing=PLAIN)
    path = draw_guesses(GREY, guesses, tmp_path / "new" / "guess.png")
    with Image.open(path) as picture:
        assert picture.size == (1350, 540)
        assert len(np.unique(np.asarray(picture.convert("L")))) > 10


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_an_image_of_another_kind_is_seen_as_rgb(mode):
    image = GREY.convert(mode)
    assert classify([Brightness()], image, NAMES, preprocessing=PLAIN) == classify(
        [Brightness()], image.convert("RGB"), NAMES, preprocessing=PLAIN
    )


def test_a_picture_has_a_name_of_one(tmp_path):
    guesses = classify([Brightness()], GREY, NAMES, preprocessing=PLAIN)
    with pytest.raises(ValueError, match="is no name of a picture: expected one that ends in"):
        draw_guesses(GREY, guesses, tmp_path / "guess.txt")
