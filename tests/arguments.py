"""Arguments of wrong kinds, and whether a call that gets one answers with a sentence of ours.

A sentence is an error that our own code raises on purpose: the last line of its traceback is a
`raise`. What breaks within NumPy, Numba or Python ("'NoneType' object has no attribute") is none.
"""

import linecache
import traceback
from pathlib import Path

import numpy as np
from PIL import Image

import minires
from minires import Tensor, data, models, training, weights

WRONG = (None, -1, 0.5, "x", b"x", object(), [], {}, np.ones(2), Tensor(np.ones(2)), len, int)
WRONG += ([[1], [2, 3]], True)
ROOT = str(Path(minires.__file__).parents[1])
OF_NUMPY = (
    "could not be broadcast together with shapes",
    "is out of bounds for array of dimension",
)


def world_in(folder):
    """What calls are made of."""
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 255, (40, 32, 32, 3), np.uint8), np.arange(40) % 10
    for number in range(12):
        path = folder / "images" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[number]).save(path)
    (folder / "classes.txt").write_text("a\nb\n")
    network, two = models.cifar_resnet(8).eval(), models.cifar_resnet(8, classes=2)
    weights.save_torchvision(network, folder / "w.pth")
    split = (pixels, labels, pixels[:20], labels[:20], tuple("abcdefghij"))
    return {
        "folder": folder,
        "images": folder / "images",
        "network": network,
        "two": two,
        "split": split,
        "data": data.Dataset("x", *split),
        "files": data.find_images(folder / "images"),
        "photographs": data.find_photographs(folder / "images", size=16),
        "picture": Image.fromarray(pixels[0]),
        "recipe": training.PRESETS["toy"](8, 40),
        "rng": rng,
    }


def whole(**arguments):
    """Arguments that do not hang on the world that a call's others are made of."""
    return lambda _: arguments


def is_a_sentence(error):
    """Whether our code raised it, or NumPy with a sentence about shapes."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    raised = linecache.getline(last.filename, last.lineno).strip().startswith("raise")
    of_numpy = any(text in str(error) for text in OF_NUMPY)
    return bool(str(error)) and (of_numpy or (raised and last.filename.startswith(ROOT)))


def what_breaks(call, given):
    """The errors that are no sentences, of a call with one of its arguments exchanged."""
    for argument in given():
        for wrong in WRONG:
            try:
                call(**(given() | {argument: wrong}))
            except Exception as error:
                if not is_a_sentence(error):
                    yield f"{argument}={wrong!r}: {error!r}"
