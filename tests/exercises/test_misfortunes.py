"""Whatever the student's code does, it is met with a sentence that points at a line."""

import sys

import pytest

from minires.exercises import grade_file

from .test_proof import solution, student

RELU = "import numpy as np\n\ndef relu(x):\n    return np.maximum(x, 0)\n\n"

# what happens, the code, the kind of problem, words of the sentence, the line that is pointed at
MISFORTUNES = {
    "an error": (
        "def relu_grad(dy, x):\n    return dy * x.reshape(7)\n",
        "error",
        "relu_grad stopped with an error: ValueError: cannot reshape array of size 120",
        "return dy * x.reshape(7)",
    ),
    "an error in a function that the student calls": (
        "def mask(x):\n    return x > zero\n\ndef relu_grad(dy, x):\n    return dy * mask(x)\n",
        "error",
        "NameError: name 'zero' is not defined",
        "return x > zero",
    ),
    "an error inside of NumPy": (
        "def relu_grad(dy, x):\n    return np.stack([])\n",
        "error",
        "ValueError: need at least one array to stack",
        "return np.stack([])",
    ),
    "a syntax error": (
        "def relu_grad(dy, x)\n    return dy\n",
        "syntax",
        "Python can't read relu.py: expected ':'",
        "def relu_grad(dy, x)",
    ),
    "an error at import": ("import numpi\n", "error", "No module named 'numpi'", "import numpi"),
    "no such function": (
        "def relu_gradient(dy, x):\n    return dy\n",
        "missing",
        "relu.py has no function relu_grad(dy, x): was it renamed or removed?",
        "",
    ),
    "other arguments": (
        "def relu_grad(dy):\n    return dy\n",
        "signature",
        "expected relu_grad(dy, x), but yours is relu_grad(dy)",
        "def relu_grad(dy):",
    ),
    "nothing returned": (
        "def relu_grad(dy, x):\n    dx = dy * (x > 0)\n",
        "return",
        "relu_grad returns None: is `return dx` missing at its end?",
        "def relu_grad(dy, x):",
    ),
    "too much returned": (
        "def relu_grad(dy, x):\n    return dy, x\n",
        "return",
        "relu_grad should return one value (dx), but returns 2 values",
        "return dy, x",
    ),
    "another shape": (
        "def relu_grad(dy, x):\n    return (dy * (x > 0)).reshape(-1)\n",
        "shape",
        "dx has shape (120,), but should have (2, 5, 4, 3): the numbers are right, a reshape is",
        "return (dy * (x > 0)).reshape(-1)",
    ),
    "another dtype": (
        "def relu_grad(dy, x):\n    return (dy * (x > 0)).astype(np.float32)\n",
        "shape",
        "dx holds float32, but should hold float64, as the inputs do",
        "return (dy * (x > 0)).astype(np.float32)",
    ),
    "a list": (
        "def relu_grad(dy, x):\n    return list(dy)\n",
        "shape",
        "dx should be a NumPy array, but is a list",
        "return list(dy)",
    ),
    "NaN": (
        "def relu_grad(dy, x):\n    ratio = (x - x) / (x - x)\n    return dy * ratio\n",
        "not finite",
        "dx is nan at image 0, row 0, column 0, channel 0: something overflows, or is divided by",
        "ratio = (x - x) / (x - x)",
    ),
    "an input changed in place": (
        "def relu_grad(dy, x):\n    gate = x > 0\n    dy *= gate\n    return dy\n",
        "changed its input",
        "relu_grad changes dy, an array that it was given and that others still need",
        "dy *= gate",
    ),
    "exit": (
        "def relu_grad(dy, x):\n    raise SystemExit('bye')\n",
        "error",
        "SystemExit: bye",
        "raise SystemExit('bye')",
    ),
    "asking for input": (
        "def relu_grad(dy, x):\n    return input('x? ')\n",
        "error",
        "relu_grad stopped with an error: EOFError",
        "return input('x? ')",
    ),
    "recursion": (
        "def relu_grad(dy, x):\n    return relu_grad(dy, x)\n",
        "error",
        "RecursionError: maximum recursion depth exceeded",
        "return relu_grad(dy, x)",
    ),
    "an endless loop": (
        "def relu_grad(dy, x):\n    while True: x = x + 0\n",
        "not finished",
        "relu_grad had not come to an end after 1 s: is there a loop that never ends?",
        "while True: x = x + 0",
    ),
    "an endless loop at import": (
        "while True: pass\n",
        "not finished",
        "relu.py had not come to an end after 1 s",
        "while True: pass",
    ),
    "the end of Python": (
        "import os\n\ndef relu_grad(dy, x):\n    os._exit(3)\n",
        "crash",
        "relu.py ended Python itself (exit status 3)",
        "",
    ),
    "a crash of Python": (
        "import ctypes\n\ndef relu_grad(dy, x):\n    return ctypes.string_at(0)\n",
        "crash",
        "relu.py ended Python itself (signal 11)",
        "return ctypes.string_at(0)",
    ),
}
if sys.platform.startswith("linux"):
    MISFORTUNES["a list that grows for ever"] = (
        "def relu_grad(dy, x):\n    more = []\n    while True:\n"
        "        more.append(np.empty(2**30, np.uint8))\n",
        "error",
        "MemoryError",
        "more.append(np.empty(2**30, np.uint8))",
    )


@pytest.mark.parametrize("what", MISFORTUNES)
def test_a_misfortune_is_met_with_a_sentence_and_a_line(what, tmp_path):
    code, kind, sentence, source = MISFORTUNES[what]
    path = student(tmp_path, "relu", RELU + code)
    problem = grade_file("relu", path, seconds=1).parts[-1].problem
    assert problem.kind == kind
    assert sentence in problem.sentence
    assert problem.source.strip() == source
    if problem.line:
        assert path.read_text().splitlines()[problem.line - 1].strip() == source


def test_what_is_right_counts_although_something_else_is_wrong(tmp_path):
    path = student(tmp_path, "relu", RELU + "def relu_grad(dy, x):\n    raise ValueError\n")
    assert [part.right for part in grade_file("relu", path).parts] == [True, False]


def test_what_is_printed_is_kept_and_does_no_harm(tmp_path):
    noise = "print('seen')\nfor i in range(100000): print(i)\n"
    path = student(tmp_path, "relu", solution("relu") + noise)
    grade = grade_file("relu", path)
    assert grade.right
    assert grade.printed.startswith("seen\n0\n1\n")
    assert len(grade.printed) < 5000


def test_a_student_may_import_an_earlier_exercise(tmp_path):
    student(tmp_path, "relu", solution("relu"))
    head, tail = solution("add").split("def add(")
    path = student(tmp_path, "add", head + "from relu import relu\n\n\ndef add(" + tail)
    assert grade_file("add", path).right
