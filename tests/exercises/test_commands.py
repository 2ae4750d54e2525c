"""The commands, the folder they work in, and the pytest files."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from minires.cli import app
from minires.exercises import NAMES, example
from minires.exercises.student_folder import SOLUTIONS, stub
from minires.exercises.tasks import exercise

from .test_proof import solution, student


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command in an empty folder: (exit status, what is printed)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def invoke(*arguments):
        result = CliRunner().invoke(app, ["exercises", *arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            return result.exit_code, str(result.exception)
        return result.exit_code, result.output

    return invoke


def solve(folder, name):
    """Put the right answer into the folder."""
    return student(folder, name, solution(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_stub_is_the_solution_without_the_fenced_lines(name):
    text, fenced, kept = stub(name), False, []
    for line in solution(name).splitlines():
        fenced = fenced or line.strip() == "# solution"
        if not fenced:
            kept.append(line)
        fenced = fenced and line.strip() != "# end"
    added = ("# Exercise", "#    ", "# Your code here", "raise NotImplementedError")
    own = [line for line in text.splitlines() if not line.strip().startswith(added)]
    assert own == kept
    compile(text, name, "exec")
    assert text.count("raise NotImplementedError") == len(exercise(name).tasks)


@pytest.mark.parametrize("name", NAMES)
def test_no_hint_holds_a_line_of_the_solution(name):
    answers = set(solution(name).splitlines()) - set(stub(name).splitlines())
    code = [line.strip() for line in answers if len(line.strip()) > 20]
    assert not [line for line in code if line in " ".join(exercise(name).hints)]


def test_the_list_shows_progress_and_what_is_next(run, tmp_path):
    assert "Next:  minires exercises start relu" in run()[1]
    run("start", "relu")
    assert "started" in run()[1]
    path = solve(tmp_path / "exercises", "relu")
    assert run("check", "relu")[0] == 0
    assert "1 of 20 are right" in run()[1]
    path.write_text(path.read_text() + "\n# more\n")
    assert "changed since" in run()[1]


@pytest.mark.parametrize("text", ['{"relu', "[]", '{"relu": 3}'])
def test_damaged_progress_costs_nothing_but_itself(text, run, tmp_path):
    run("start", "relu")
    path = solve(tmp_path / "exercises", "relu")
    work, progress = path.read_text(), tmp_path / "exercises" / ".progress.json"
    progress.write_text(text)
    for command in ([], ["hint", "relu"], ["check", "relu"]):
        code, told = run(*command)
        assert code == 1
        assert "delete this file alone; your exercises are not in it" in told
    assert path.read_text() == work
    progress.unlink()
    assert run("check", "relu")[0] == 0


def test_start_never_writes_over_existing_work(run, tmp_path):
    run("start", "relu")
    path = tmp_path / "exercises" / "relu.py"
    path.write_text("mine")
    code, text = run("start", "relu")
    assert code == 1
    assert "relu.py is there already, and stays as it is" in text
    assert path.read_text() == "mine"


@pytest.mark.parametrize("wish", ["conv2d-input-grad", "6", "exercises/conv2d_input_grad.py"])
def test_an_exercise_may_be_named_in_several_ways(run, tmp_path, wish):
    assert run("start", wish)[0] == 0
    assert (tmp_path / "exercises" / "conv2d_input_grad.py").exists()
    assert run("check", wish)[0] == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("check", "relo"), "there is no exercise 'relo': did you mean relu?"),
        (("start", "21"), "there is no exercise '21': `minires exercises` lists them"),
        (("check", "relu"), "there is no exercises/relu.py yet: `minires exercises start relu`"),
        (("class", "ada"), "expected folders, one a student, but there is no ada"),
        (("check",), "there is nothing to check in exercises/ yet: begin with"),
    ],
)
def test_a_mistyped_command_is_met_with_a_sentence(run, arguments, sentence):
    code, text = run(*arguments)
    assert code == 1
    assert sentence in text


def test_check_says_which_term_is_wrong_and_where(run, tmp_path):
    run("start", "batch_norm_grad")
    right = solution("batch_norm_grad")
    wrong = right.replace("dx_hat - through_mean - through_var", "dx_hat - through_mean")
    student(tmp_path / "exercises", "batch_norm_grad", wrong)
    code, text = run("check", "batch_norm_grad")
    assert code == 1
    assert "Everything is right except the term through the variance, which is missing." in text
    assert "dx is wrong at image" in text
    assert "✓ batch_norm_grad: dgamma, dbeta" in text


def test_a_right_answer_is_praised_and_raced(run, tmp_path):
    run("start", "add")
    solve(tmp_path / "exercises", "add")
    code, text = run("check", "add")
    assert code == 0
    assert "memory at the peak" in text
    assert "Next:  minires exercises start linear" in text


def test_hints_come_one_after_the_other(run):
    run("start", "relu")
    first, second, third, again = (run("hint", "relu")[1] for _ in range(4))
    assert "Hint 1 of 3" in first
    assert "Hint 2 of 3" in second
    assert "Hint 3 of 3" in third
    assert third == again
    assert run("hint", "relu", "1")[1] == first


def test_json_holds_everything(run, tmp_path):
    run("start", "relu")
    student(tmp_path / "exercises", "relu", solution("relu").replace("x > 0", "x >= 0"))
    code, text = run("check", "--json")
    outcome = json.loads(text)
    assert code == 1
    assert outcome["format"] == 1
    (relu,) = outcome["exercises"]
    assert (relu["name"], relu["right"], relu["score"]) == ("relu", False, 0.5)
    assert relu["parts"][0]["right"]
    assert relu["parts"][1]["problem"]["mistake"] == "zero_is_open"


def test_a_class_becomes_a_table(run, tmp_path):
    for name, text in {"ada": solution("relu"), "ben": stub("relu")}.items():
        (tmp_path / name).mkdir()
        student(tmp_path / name, "relu", text)
    lines = run("class", "ada", "ben")[1].splitlines()
    assert lines[1].split() == ["ada", "✓", "1"]
    assert lines[2].split() == ["ben", "0/2", "0"]


def test_pytest_grades_a_class(run, tmp_path):
    for name in ("ada", "ben"):
        run("start", "relu", "--folder", name)
    solve(tmp_path / "ada", "relu")
    pytest_run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--import-mode=importlib", "ada", "ben"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "2 failed, 2 passed" in pytest_run.stdout
    assert "relu_grad is not written yet: put your code in place of this line" in pytest_run.stdout
    assert "Traceback" not in pytest_run.stdout


def test_the_arguments_of_a_call_can_be_had():
    dy, x = example("relu_grad", 4)
    assert dy.shape == x.shape
    assert (x == 0).any()
    with pytest.raises(ValueError, match="relu_grad is called 4 times: number must be 1 to 4"):
        example("relu_grad", 5)
    with pytest.raises(ValueError, match="no exercise asks for a function 'relu_gradient'"):
        example("relu_gradient", 1)


def test_solutions_are_all_used():
    assert {path.stem for path in SOLUTIONS.glob("*.py")} == {*NAMES, "__init__"}
