"""Plant known bugs one by one, in a copy of the project, and demand that its tests find each.

A test that cannot fail is a defect. Here every bug of the tables is written into a copy, the
tests that stand beside it run there, and at least one of them must fail with a wrong result: a copy
that cannot be imported or compiled counts as not found. Started by `pytest -m mutation` alone.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import (
    bugs_in_analysis,
    bugs_in_autograd,
    bugs_in_cpu_bfloat16,
    bugs_in_cpu_kernels,
    bugs_in_detection,
    bugs_in_detection_entries,
    bugs_in_detectors,
    bugs_in_distributed,
    bugs_in_entries,
    bugs_in_evaluation,
    bugs_in_exercises,
    bugs_in_improvements,
    bugs_in_ladder,
    bugs_in_long_runs,
    bugs_in_models,
    bugs_in_networks,
    bugs_in_operations,
    bugs_in_own_images,
    bugs_in_recipes,
    bugs_in_report,
    bugs_in_training,
    cuda_page,
)
from .mutants import Mutant

pytestmark = pytest.mark.mutation

TABLES = (
    bugs_in_operations,
    bugs_in_cpu_bfloat16,
    bugs_in_cpu_kernels,
    bugs_in_ladder,
    bugs_in_exercises,
    bugs_in_models,
    bugs_in_networks,
    bugs_in_autograd,
    bugs_in_training,
    bugs_in_recipes,
    bugs_in_own_images,
    bugs_in_long_runs,
    bugs_in_report,
    bugs_in_analysis,
    bugs_in_entries,
    bugs_in_evaluation,
    bugs_in_detection,
    bugs_in_detection_entries,
    bugs_in_detectors,
    bugs_in_improvements,
    bugs_in_distributed,
)
MUTANTS = [*(mutant for table in TABLES for mutant in table.MUTANTS), *cuda_page.MUTANTS]

ROOT = Path(__file__).parents[2]
LAYOUT = {"minires": "minires", "kernels": "minires/kernels", "tests": "tests"}  # as installed
ALL_SKIPPED = re.compile(r"^\d+ skipped in ", re.MULTILINE)
# failures that show a mutant that does not run, rather than one that computes something wrong
NO_BUG = re.compile(
    r"^E .*\b(?:(Import|ModuleNotFound|Syntax|Indentation|Name|Typing|Lowering)Error"
    r"|CompileException)",
    re.M,
)


OPTIONS = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist"]


class Copy:
    """A copy of the project, with its own cache for machine code, where tests can be run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for source, target in LAYOUT.items():
            ignored = shutil.ignore_patterns("__pycache__", "mutation")
            shutil.copytree(ROOT / source, folder / target, ignore=ignored)
        shutil.copy2(ROOT / "pyproject.toml", folder)
        self.server = self.start(str(Path(__file__).with_name("fork_server.py")))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Python in the copy. It writes no bytecode: a bug may come and go within a second."""
        settings = {
            "PYTHONPATH": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NUMBA_CACHE_DIR": str(self.folder / "cache"),
            "MINIRES_CUDA_CACHE": str(self.folder / "cuda"),
            "HYPOTHESIS_PROFILE": "mutation",
        }
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=os.environ | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run_tests(self, *tests: str) -> tuple[int, str]:
        """Run tests up to the first that fails; returns pytest's exit status and its output."""
        output = self.folder / "output.txt"
        job = {"arguments": [*OPTIONS, *tests], "output": str(output)}
        print(json.dumps(job), file=self.server.stdin, flush=True)
        return int(self.server.stdout.readline()), output.read_text(errors="replace")


@pytest.fixture(scope="session")
def copy() -> Iterator[Copy]:
    """One for the whole run."""
    with tempfile.TemporaryDirectory(prefix="minires-mutation-") as name:
        made = Copy(Path(name).resolve())
        yield made
        made.server.communicate()


def place(folder: Path, file: str) -> Path:
    """Where a file of the project lies in the copy."""
    top, _, rest = file.partition("/")
    return folder / LAYOUT[top] / rest


@contextmanager
def planted(mutant: Mutant, copy: Copy) -> Iterator[None]:
    """Write the bug into the copy, and take it back."""
    path = place(copy.folder, mutant.file)
    text, before = path.read_text(encoding="utf-8"), path.stat()
    count = text.count(mutant.old)
    assert count == 1, (
        f"the mutant is stale: {mutant.file} holds its old text {count} times instead of once; "
        f"bring tests/mutation/ up to date:\n{mutant.old}"
    )
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")
        times = before.st_atime_ns, before.st_mtime_ns
        os.utime(path, ns=times)  # Numba's cache goes by them


def last_lines(output: str) -> str:
    """The end of what was printed, for a failure's text."""
    return "\n".join(output.splitlines()[-30:])


def test_the_copy_is_what_is_imported(copy):
    """An editable installation must not come before it."""
    program = "import minires, minires.kernels.reference as k; print(minires.__file__, k.__file__)"
    expected = [copy.folder / "minires" / file for file in ("__init__.py", "kernels/reference.py")]
    printed, _ = copy.start("-c", program).communicate()
    assert printed.split() == [str(path) for path in expected]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def test_without_a_bug_the_same_tests_pass(device, copy):
    """A mutant that fails on a red suite would prove nothing."""
    mutants = [mutant for mutant in MUTANTS if cuda_page.is_cuda(mutant) == (device == "cuda")]
    tests = dict.fromkeys(test for mutant in mutants for test in mutant.tests.split())
    status, output = copy.run_tests(*tests)
    assert status == 0, last_lines(output)


def share() -> list[Mutant]:
    """All mutants; with `MINIRES_BUGS=1/3` every third, from the second on."""
    start, every = map(int, os.environ.get("MINIRES_BUGS", "0/1").split("/"))
    return MUTANTS[start::every]


def test_no_mutant_is_stale(copy):
    """Each changes one place of a file as it is now, even if this run does not plant it."""
    files = {mutant.file for mutant in MUTANTS}
    texts = {file: place(copy.folder, file).read_text(encoding="utf-8") for file in files}
    assert [m.name for m in MUTANTS if texts[m.file].count(m.old) != 1] == []


def parameters():
    """The mutants, those of the CUDA backend marked as such."""
    for mutant in share():
        marks = [pytest.mark.cuda] if cuda_page.is_cuda(mutant) else []
        yield pytest.param(mutant, id=mutant.name, marks=marks)


@pytest.fixture(scope="session")
def noticed() -> dict[str, tuple[str, str]]:
    """By which test each bug was noticed, and as what."""
    return {}


@pytest.mark.parametrize("mutant", list(parameters()))
def test_the_tests_find(mutant, copy, noticed):
    with planted(mutant, copy):
        status, output = copy.run_tests(*mutant.tests.split())
    if status == pytest.ExitCode.NO_TESTS_COLLECTED or ALL_SKIPPED.search(output):
        pytest.skip("the tests that must find it are skipped here: is PyTorch or MPI missing?")
    found = status == 1 and "\nFAILED " in output
    assert found, f"no test noticed: {mutant.name}\n{last_lines(output)}"
    assert not NO_BUG.search(output), f"this is no bug, but no program\n{last_lines(output)}"
    noticed[mutant.name] = cuda_page.how_noticed(output)


@pytest.mark.cuda
def test_the_page_of_cuda_bugs_is_up_to_date(noticed):
    if not all(mutant.name in noticed for mutant in cuda_page.MUTANTS):
        pytest.skip("not all bugs of the CUDA backend were planted, or not all were found")
    page = cuda_page.page(noticed)
    before = cuda_page.PLACE.read_text(encoding="utf-8") if cuda_page.PLACE.exists() else ""
    cuda_page.PLACE.write_text(page, encoding="utf-8")
    assert before == page, f"{cuda_page.PLACE} was out of date, and has been written anew"
