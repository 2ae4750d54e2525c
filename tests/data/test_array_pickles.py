"""Pickles of arrays, and harmful programs that look like them."""

import pickle
import struct
import tracemalloc

import numpy as np
import pytest

from minires.data.array_pickles import arrays_only
from minires.data.cifar_files import parse_pickle

NO_SIZES = b"J\xff\xff\xff\xff" * 2 + b"K\x00"
PLAIN = b"K\x03U\x01|NNN" + NO_SIZES


def dtype(code=b"U\x02u1", state=PLAIN):
    """The instructions for a dtype, as Python 2 wrote them."""
    return b"cnumpy\ndtype\n(" + code + b"K\x00K\x01tR(" + state + b"tb"


def array(shape=b"K\x02\x85", kind=None, numbers=b"U\x02ab"):
    """The instructions for an array."""
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    state = b"K\x01" + shape + (dtype() if kind is None else kind) + b"\x89" + numbers
    return empty + b"(" + state + b"tb"


# Each holds the one before twice, 40 or 22 times: short, but as a tree it has no end.
TUPLES = b")" + b"q\x00h\x00\x86" * 40
LISTS = b"](" * 22 + b"]K\x01a" + b"q\x00h\x00e" * 22

HOSTILE = {
    "a dtype of 16 million numbers": array(
        kind=dtype(
            b"U\x02i8", b"K\x03U\x01<" + dtype(b"U\x02i8") + b"J\0\0\0\x01\x85\x86NN" + NO_SIZES
        ),
        numbers=b"U\x10" + bytes(16),
    ),
    "a dtype with fields": array(kind=dtype(state=b"K\x03U\x01|N}}" + NO_SIZES)),
    "a dtype of 2 GB": array(
        kind=dtype(state=b"K\x03U\x01|NNNJ\xff\xff\xff\x7fJ\xff\xff\xff\xffK\x00")
    ),
    "a dtype of no order": array(kind=dtype(state=b"K\x03U\x01xNNN" + NO_SIZES)),
    "a dtype of another version": array(kind=dtype(state=b"K\x02U\x01|NNN" + NO_SIZES)),
    "a dtype of objects": array(kind=dtype(b"U\x02O8")),
    "a dtype of many": array(kind=dtype(b"U\x06(99)u1")),
    "a dtype of tuples without end": array(kind=dtype(TUPLES)),
    "numbers that are missing": array(b"K\x03\x85"),
    "numbers too many": array(b"K\x01\x85"),
    "a negative shape": array(b"J\xfe\xff\xff\xffJ\xff\xff\xff\xff\x86"),
    "a shape of text": array(b"U\x02ab\x85"),
    "a shape of many sides": array(b"(K\x02" + b"K\x01" * 30 + b"t"),
    "a list for numbers": array(numbers=b"]"),
    "a number for a dtype": array(kind=b"K\x01"),
    "a state for a dict": b"}}b",
    "the 16 millionth thing to remember": b"Nr" + struct.pack("<I", 1 << 24),
    "a bytearray": b"\x96" + struct.pack("<Q", 1 << 50),
    "something outside": b"NQ",
    "a name of tuples without end": TUPLES + b"U\x01x\x93",
    "lists without end": LISTS,
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_programs_that_numpy_would_not_write(value):
    """None of them crashes, takes long, or has reserved what it claims to need."""
    images = array(b"K\x02M\x00\x0c\x86", numbers=b"T\x00\x18\0\0" + bytes(2 * 3072))
    content = b"\x80\x02}(U\x04data" + images + b"U\x06labels" + value + b"u."
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"not a pickle of plain arrays|'labels' must be"):
            parse_pickle(content, key="labels")
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_the_same_programs_read_where_they_make_sense():
    """This shows that those above are refused for their reasons."""
    found = arrays_only(
        b"\x80\x02}(U\x01x" + array() + b"U\x01y" + array(numbers=b"T\2\0\0\0bc") + b"u."
    )
    np.testing.assert_array_equal(found[b"x"], [97, 98])
    np.testing.assert_array_equal(found[b"y"], [98, 99])


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("kind", ["u1", "?", "<i2", ">i2", ">f4", "<f8", "f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_numbers_are_read(protocol, kind, order):
    values = np.asarray(np.arange(24).reshape(2, 3, 4), kind, order=order)
    found = arrays_only(pickle.dumps({"x": values, "again": values}, protocol=protocol))
    for name in ("x", "again"):
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("labels", [[1, 2], np.array([1, 2])], ids=["list", "array"])
@pytest.mark.parametrize("key", [str, str.encode], ids=["text", "bytes"])
@pytest.mark.parametrize("order", "CF")
def test_every_protocol_gives_the_same(protocol, labels, key, order):
    data = np.arange(12, dtype=np.uint8).reshape(3, 4, order=order)
    about = {key("names"): ["a.png", "b.png"], key("about"): "training batch 1 of 5"}
    content = {key("data"): data, key("labels"): labels, **about, key("x"): 0.5, key("n"): 1 << 40}
    found = arrays_only(pickle.dumps(content, protocol=protocol))
    np.testing.assert_array_equal(found[key("data")], data)
    np.testing.assert_array_equal(np.asarray(found[key("labels")]), labels)
    assert found[key("names")] == ["a.png", "b.png"]
