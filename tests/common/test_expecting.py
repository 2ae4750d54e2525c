"""Arguments are of the kinds that a function says, and become what can be written down."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from minires import nn
from minires.common.expecting import COUNT, PAIR, SOME, Each, as_kind, expects
from minires.training import PRESETS
from minires.training.recipes import Recipe


@expects(count=COUNT, rate=float, path=Path)
def taken(count, rate=0.5, *, path=None):
    return count, rate, path


def test_numbers_and_paths_become_plain_ones():
    count, rate, path = taken(np.int64(3), np.float32(0.25), path="a/b")
    assert (type(count), type(rate), path) == (int, float, Path("a/b"))
    assert taken(1) == (1, 0.5, None)
    assert taken(1, path=None)[2] is None


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: taken(), "taken: missing a required argument: 'count'"),
        (lambda: taken(1, b=1), "taken: got an unexpected keyword argument 'b'$"),
        (lambda: nn.ReLU(True), "ReLU: too many positional arguments"),
        (lambda: nn.ReLU(inplace=True), "'inplace'; inplace: leave it out, no operation changes"),
    ],
)
def test_what_is_missing_or_unknown_is_said(call, sentence):
    with pytest.raises(TypeError, match=sentence):
        call()


def test_what_came_is_said():
    with pytest.raises(TypeError, match=r"taken: count must be a whole number, but is float \(0.5"):
        taken(0.5)
    with pytest.raises(ValueError, match="taken: count must be at least 1, but is 0"):
        taken(0)
    with pytest.raises(TypeError, match="taken: rate must be a number, but is NoneType"):
        taken(1, None)


def test_an_array_is_a_list_of_its_rows():
    assert len(as_kind(Sequence, np.ones((2, 3)), "rows")) == 2


def test_a_recipe_of_numpys_numbers_can_be_written_down():
    toy = PRESETS["toy"](8, 40)
    numbers = {"iterations": np.int64(3), "batch_size": np.int32(4), "mixup": np.float32(0.5)}
    given = vars(toy) | numbers
    assert json.dumps(Recipe(**given).settings())


@expects(names=Each(str, SOME), pair=Each(COUNT, PAIR), layers=Each(nn.Module))
def listed(names, pair=(1, 2), layers=()):
    return names, pair, layers


def test_the_entries_of_a_list_become_plain_ones():
    assert listed(("a", np.str_("b")), [np.int64(3), 4]) == (("a", "b"), [3, 4], ())
    assert type(listed(["a"], (np.int64(3), 4))[1][0]) is int
    layer = nn.ReLU()
    assert listed(["a"], layers=(one for one in [layer]))[2] == [layer]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: listed("ab"), r"listed: names must be a list, but is str \('ab'\)"),
        (lambda: listed(3), r"listed: names must be a list, but is int \(3\)"),
        (lambda: listed([]), "listed: names must hold at least 1, but holds 0"),
        (lambda: listed(["a", 1]), r"listed: names: each must be text, but is int \(1\)"),
        (lambda: listed(["a"], (1,)), "listed: pair must hold 2, but holds 1"),
        (lambda: listed(["a"], (0, 1)), "listed: pair: each must be at least 1, but is 0"),
        (lambda: listed(["a"], layers=[nn.ReLU]), "layers: each must be a Module, but is type"),
    ],
)
def test_what_is_wrong_in_a_list_is_said(call, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        call()
