"""Whatever a student's function returns, the grader says what is wrong with it."""

import os
import time

import pytest

from minires.exercises.grading import grade
from minires.exercises.sandbox import grade_file
from minires.exercises.tasks import NAMES, exercise

RETURNED = {
    "a tensor": "minires.Tensor(np.ones(np.shape(x)))",
    "a ragged list": "[[1.0], [2.0, 3.0]]",
    "a list": "[1.0]",
    "text": "'text'",
    "texts": "np.array(['a'])",
    "texts of the shape": "np.full(np.shape(x), 'a')",
    "a structured array": "np.zeros(3, [('a', float)])",
    "a structured array of the shape": "np.zeros(np.shape(x), [('a', float)])",
    "complex numbers": "np.zeros(np.shape(x), complex)",
    "objects": "np.array([None, 1], object)",
    "dates": "np.zeros(np.shape(x), 'M8[s]')",
    "a record array": "np.ones(np.shape(x)).view(np.recarray)",
    "a masked array": "np.ma.masked_array(np.ones(np.shape(x)))",
    "a matrix": "np.matrix([[1.0, 2.0]])",
    "float32": "np.ones(np.shape(x), np.float32)",
    "an empty array": "np.empty(0)",
    "a dictionary": "{}",
    "a set": "{1}",
    "a generator": "(i for i in range(3))",
    "bytes": "b'x'",
    "a class": "int",
    "a function": "len",
    "a truth value": "True",
    "NaN": "float('nan')",
    "a huge number": "10**400",
    "None": "None",
}


def solution(task, expression):
    """A function that returns this for every output."""
    value = f"(lambda x: {expression})(a[0] if a else 1.0)"
    values = ", ".join([value] * len(task.outputs))
    return f"def {task.function}(*a, **k):\n    return {values}\n"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_array_of_numbers_is_told(name, tmp_path):
    """20 exercises x 26 kinds: 520 grades."""
    for number, expression in enumerate(RETURNED.values()):
        path = tmp_path / f"{name}{number}.py"
        functions = [solution(task, expression) for task in exercise(name).tasks]
        path.write_text("import minires\nimport numpy as np\n" + "".join(functions))
        parts = grade(exercise(name), path).parts
        assert any(not part.right for part in parts), expression
        assert all(part.right or part.problem.sentence for part in parts)


LEFT_BEHIND = """
import subprocess, sys, threading, time
import numpy as np

threading.Thread(target=time.sleep, args=(100,)).start()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
open({path!r}, "w").write(str(child.pid))

def relu(x):
    return np.maximum(x, 0)

def relu_grad(dy, x):
    return dy * (x > 0)
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="this system has no groups of processes")
def test_neither_threads_nor_processes_are_waited_for_or_survive(tmp_path):
    (tmp_path / "relu.py").write_text(LEFT_BEHIND.format(path=str(tmp_path / "pid")))
    began = time.perf_counter()
    graded = grade_file("relu", tmp_path / "relu.py", seconds=30)
    assert time.perf_counter() - began < 90
    assert graded.right
    child = int((tmp_path / "pid").read_text())
    for _ in range(100):  # until somebody has noticed its end
        if not is_alive(child):
            return
        time.sleep(0.1)
    pytest.fail("the child has survived")


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
