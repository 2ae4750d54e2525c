"""docs/reading.md: what it names is there, its counts are today's, its commands run."""

import ast
import os
import re
import subprocess
import sys

import pytest

from minires.models import cifar_resnet
from tests.reading import PAGE, ROOT, counted_anew, stops, table, with_counts

TEXT = PAGE.read_text(encoding="utf-8")
TESTS = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)
BLOCKS = re.findall(r"(?:^    .+\n)+", TEXT, re.M)


def test_every_stop_reads_something_and_names_a_test():
    sections = re.split(r"^## \d+\. ", TEXT, flags=re.M)[1:]
    assert len(sections) == len(stops(TEXT)) > 10
    for stop, section in zip(stops(TEXT), sections, strict=True):
        assert stop.parts, stop.title
        assert len(stop.parts) == section.count(" lines)\n"), stop.title
        assert "Shown by" in section, stop.title


def test_its_counts_are_todays():
    """Within 15 %; LookupError where a function is gone."""
    for part, count in counted_anew(TEXT):
        assert part.counted == pytest.approx(count, rel=0.15, abs=2), part.text
    assert table(TEXT) in TEXT


def test_counting_anew_puts_wrong_counts_right():
    wrong = re.sub(r"\(\d+ lines\)", "(1 lines)", TEXT)
    today = with_counts(wrong)
    assert all(part.counted == count for part, count in counted_anew(today))
    assert with_counts(today) == today


def test_a_name_that_is_gone_is_told():
    with pytest.raises(LookupError, match=r"batches\.py has no Bunches"):
        counted_anew(TEXT.replace("`Batches`", "`Bunches`"))


@pytest.mark.parametrize(("file", "name"), TESTS)
def test_the_tests_that_it_names_are_there(file, name):
    functions = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    assert name in [node.name for node in functions if isinstance(node, ast.FunctionDef)]


def test_its_paths_and_links_lead_somewhere():
    paths = set(re.findall(r"`((?:minires|kernels|examples|tests)/[\w/]+(?:\.\w+)?/?)`", TEXT))
    assert not [path for path in paths if not (ROOT / path).exists()]
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (PAGE.parent / target).exists(), target


def test_a_count_that_it_tells_is_right():
    parameters = cifar_resnet(20).parameters()
    size = sum(p.data.size for p in parameters)
    assert f"ResNet-20: {len(parameters)} parameters, {size:,} numbers" in TEXT


def run(command, text=None):
    """Output of a command of the page."""
    done = subprocess.run(
        command.strip().replace("python ", f"{sys.executable} ", 1),
        shell=True,
        cwd=ROOT,
        env=os.environ,
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def in_order(lines, output):
    """Whether the output has these lines, one after the other."""
    rest = iter(output.splitlines())
    return all(any(line in out for out in rest) for line in lines)


@pytest.mark.slow
def test_its_first_command_prints_what_it_shows():
    output = run(BLOCKS[0])
    assert in_order([line.strip() for line in BLOCKS[1].splitlines()], output)
    fused = run(BLOCKS[0].replace("MINIRES_FUSING=0", "MINIRES_FUSING=1"))
    assert fused.count(" = RunBasicBlock(") == 3
    assert fused.count("\n") < output.count("\n") / 1.5


@pytest.mark.slow
def test_its_session_with_the_debugger_goes_as_it_shows():
    command, *lines = [line.strip() for line in BLOCKS[2].splitlines()]
    typed = [line.removeprefix("(Pdb) ") for line in lines if line.startswith("(Pdb)")]
    shown = [line for line in lines if not line.startswith("(Pdb)")]
    callers = "cifar.py", "layers.py", "functional.py", "function.py", "kernels/", "reference.py"
    assert in_order([*shown, *callers], run(command, "\n".join([*typed, "q", ""])))


def test_its_example_fits_on_a_screen():
    assert len((ROOT / "examples/one_batch.py").read_text().splitlines()) < 50
