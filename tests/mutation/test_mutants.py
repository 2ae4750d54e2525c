"""Plant known bugs one by one, in a copy of the project, and demand that its tests find each.

A test that cannot fail is a defect. Here every bug of the tables is written into a copy, the
tests that stand beside it run there, and at least one of them must fail with a wrong result: a copy
that cannot be imported or compiled counts as not found. Started by `pytest -m mutation` alone.
"""

from __future__ import annotations

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
    bugs_in_cpu_kernels,
    bugs_in_evaluation,
    bugs_in_exercises,
    bugs_in_models,
    bugs_in_operations,
    bugs_in_report,
    bugs_in_training,
    cuda_page,
)
from .mutants import Mutant

pytestmark = pytest.mark.mutation

TABLES = (
    bugs_in_operations,
    bugs_in_cpu_kernels,
    bugs_in_exercises,
    bugs_in_models,
    bugs_in_autograd,
    bugs_in_training,
    bugs_in_report,
    bugs_in_analysis,
    bugs_in_evaluation,
)
MUTANTS = [*(mutant for table in TABLES for mutant in table.MUTANTS), *cuda_page.MUTANTS]

ROOT = Path(__file__).parents[2]
LAYOUT = {"minires": "minires", "kernels": "minires/kernels", "tests": "tests"}  # as installed
# in one process where several share the work (pytest -n 2), as one page is made of them all
CUDA = [pytest.mark.cuda, pytest.mark.xdist_group("cuda")]
# failures that show a mutant that does not run, rather than one that computes something wrong
NO_BUG = re.compile(
    r"^E .*\b(?:(Import|ModuleNotFound|Syntax|Indentation|Name|Typing|Lowering)Error"
    r"|CompileException)",
    re.M,
)


@pytest.fixture(scope="session")
def copy() -> Iterator[Path]:
    """A copy of the project, with a cache for machine code of its own, for the whole run."""
    with tempfile.TemporaryDirectory(prefix="minires-mutation-") as name:
        folder = Path(name).resolve()
        for source, target in LAYOUT.items():
            ignored = shutil.ignore_patterns("__pycache__", "mutation")
            shutil.copytree(ROOT / source, folder / target, ignore=ignored)
        shutil.copy2(ROOT / "pyproject.toml", folder)
        yield folder


def run(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in the copy. It writes no bytecode: a bug may come and go within a second."""
    settings = {
        "PYTHONPATH": str(copy),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_CACHE_DIR": str(copy / "cache"),
        "MINIRES_CUDA_CACHE": str(copy / "cuda"),
        "HYPOTHESIS_PROFILE": "mutation",
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def run_tests(copy: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """The copy's tests, up to the first that fails."""
    return run(copy, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests)


def place(copy: Path, file: str) -> Path:
    """Where a file of the project lies in the copy."""
    folder, _, rest = file.partition("/")
    return copy / LAYOUT[folder] / rest


@contextmanager
def planted(mutant: Mutant, copy: Path) -> Iterator[None]:
    """Write the bug into the copy, and take it back."""
    path = place(copy, mutant.file)
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


def last_lines(result: subprocess.CompletedProcess[str]) -> str:
    """The end of what was printed, for a failure's text."""
    return "\n".join((result.stdout + result.stderr).splitlines()[-30:])


def test_the_copy_is_what_is_imported(copy):
    """An editable installation must not come before it."""
    program = "import minires, minires.kernels.reference as k; print(minires.__file__, k.__file__)"
    expected = [copy / "minires/__init__.py", copy / "minires/kernels/reference.py"]
    assert run(copy, "-c", program).stdout.split() == [str(path) for path in expected]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
def test_without_a_bug_the_same_tests_pass(device, copy):
    """A mutant that fails on a red suite would prove nothing."""
    mutants = [mutant for mutant in MUTANTS if cuda_page.is_cuda(mutant) == (device == "cuda")]
    tests = dict.fromkeys(test for mutant in mutants for test in mutant.tests.split())
    result = run_tests(copy, *tests)
    assert result.returncode == 0, last_lines(result)


def parameters():
    """The mutants, those of the CUDA backend marked as such."""
    for mutant in MUTANTS:
        marks = CUDA if cuda_page.is_cuda(mutant) else []
        yield pytest.param(mutant, id=mutant.name, marks=marks)


@pytest.fixture(scope="session")
def noticed() -> dict[str, tuple[str, str]]:
    """By which test each bug was noticed, and as what."""
    return {}


@pytest.mark.parametrize("mutant", list(parameters()))
def test_the_tests_find(mutant, copy, noticed):
    with planted(mutant, copy):
        result = run_tests(copy, *mutant.tests.split())
    if result.returncode == pytest.ExitCode.NO_TESTS_COLLECTED:
        pytest.skip("the tests that must find it are skipped here: is PyTorch missing?")
    found = result.returncode == 1 and "\nFAILED " in result.stdout
    assert found, f"no test noticed: {mutant.name}\n{last_lines(result)}"
    assert not NO_BUG.search(result.stdout), f"this is no bug, but no program\n{last_lines(result)}"
    noticed[mutant.name] = cuda_page.how_noticed(result.stdout)


@pytest.mark.cuda
@pytest.mark.xdist_group("cuda")
def test_the_page_of_cuda_bugs_is_up_to_date(noticed):
    if not all(mutant.name in noticed for mutant in cuda_page.MUTANTS):
        pytest.skip("not all bugs of the CUDA backend were planted, or not all were found")
    page = cuda_page.page(noticed)
    before = cuda_page.PLACE.read_text(encoding="utf-8") if cuda_page.PLACE.exists() else ""
    cuda_page.PLACE.write_text(page, encoding="utf-8")
    assert before == page, f"{cuda_page.PLACE} was out of date, and has been written anew"
