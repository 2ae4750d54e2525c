"""The proof that the graders work: right programs pass, wrong ones are refused, most by name."""

from collections import Counter

import pytest

from minires.exercises.grading import grade
from minires.exercises.student_folder import SOLUTIONS, stub
from minires.exercises.tasks import NAMES, exercise, plain_or_residual
from minires.exercises.tasks.plain_or_residual import in_a_word, measure

from .wrong import chunks, detection, elementwise, networks, windows

WRONG = [*elementwise.ALL, *windows.ALL, *networks.ALL, *chunks.ALL, *detection.ALL]


def student(folder, name, text):
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    return path


def solution(name):
    return (SOLUTIONS / f"{name}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_is_right(name):
    outcome = grade(exercise(name), SOLUTIONS / f"{name}.py")
    assert outcome.right, outcome.parts


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_solution_is_right_for_ten_seeds(name):
    """All of 0 to 49 passed when the exercises were written; these are every fifth."""
    for seed in range(0, 50, 5):
        outcome = grade(exercise(name), SOLUTIONS / f"{name}.py", seed=seed)
        assert outcome.right, (seed, outcome.parts)


@pytest.mark.parametrize("name", NAMES)
def test_the_empty_stub_fails_with_a_friendly_sentence(name, tmp_path):
    path = student(tmp_path, name, stub(name))
    outcome = grade(exercise(name), path)
    assert outcome.status == "not written"
    for part in outcome.parts:
        assert part.problem.sentence.startswith(part.function)
        assert "is not written yet: put your code in place of this line" in part.problem.sentence
        assert path.read_text().splitlines()[part.problem.line - 1].strip() == part.problem.source


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_wrong_program_is_refused_and_the_mistake_is_named(wrong, tmp_path):
    path = student(tmp_path, wrong.exercise, solution(wrong.exercise) + "\n\n" + wrong.code)
    outcome = grade(exercise(wrong.exercise), path)
    part = next(p for p in outcome.parts if p.output == wrong.output)
    assert not part.right
    assert part.problem.mistake == (wrong.mistake or "")
    assert bool(part.problem.diagnosis or part.problem.kind == "shared memory") == bool(
        wrong.mistake
    )


def test_every_exercise_has_five_wrong_programs_and_most_are_named():
    total, named = (
        Counter(w.exercise for w in WRONG if w.mistake or all_) for all_ in (True, False)
    )
    assert set(total) == set(NAMES)
    for name in NAMES:
        assert total[name] >= 5
        assert named[name] >= 0.8 * total[name]


@pytest.mark.slow
@pytest.mark.parametrize("network", plain_or_residual.NETWORKS, ids=str)
def test_what_plain_or_residual_measures_does_not_hang_on_the_seed(network):
    words = {in_a_word(measure(*network, seed=seed)) for seed in range(5)}
    assert len(words) == 1
