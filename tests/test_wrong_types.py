"""What takes a network or a data set says so of anything else, where it comes in."""

from pathlib import Path

import numpy as np
import pytest

from minires import Tensor
from minires.data import Batches, DatasetImages, evaluation_batches
from minires.evaluation import predict, score_map
from minires.nn import ReLU
from minires.nn import functional as F
from minires.weights import export_onnx

WRONG = (None, 3, "x", b"x", object(), [], {}, np.ones(2), Tensor(np.ones(2)), len, int, Path("x"))
TENSORS = ("cross_entropy", "softmax")
TAKERS = {
    "Batches": lambda given: Batches(given, 2, 0),
    "evaluation_batches": lambda given: evaluation_batches(given, "test", 2),
    "DatasetImages": DatasetImages,
    "predict": lambda given: predict(given, []),
    "score_map": lambda given: score_map(given, Tensor(np.ones((1, 2, 2, 3)))),
    "cross_entropy": lambda given: F.cross_entropy(given, np.zeros(2, int)),
    "softmax": F.softmax,
    "export_onnx": lambda given: export_onnx(given, "x.onnx"),
}


@pytest.mark.parametrize("name", TAKERS)
def test_what_is_expected_and_what_came_is_said(name):
    """8 functions x 11 kinds, and a network for a data set."""
    wrong = [*WRONG, *([ReLU()] if "atches" in name else [])]
    wrong = [given for given in wrong if not (isinstance(given, Tensor) and name in TENSORS)]
    for given in wrong:
        with pytest.raises(
            TypeError, match=rf"{name}: .* must be a .*, but is {type(given).__name__}"
        ):
            TAKERS[name](given)
