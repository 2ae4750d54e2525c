"""Promises about the package as a whole."""

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

import minires

ROOT = Path(__file__).parents[1]
HEAVY = (
    "numba",
    "matplotlib",
    "plotly",
    "jinja2",
    "pooch",
    "requests",
    "rich",
    "typer",
    "safetensors",
    "torch",
    "mpi4py",
)


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def lines_of_code(path):
    """Lines that hold code: no blank ones, comments or docstrings."""
    source = path.read_text(encoding="utf-8")
    silent = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            lines |= set(range(token.start[0], token.end[0] + 1))
    documented = (ast.FunctionDef, ast.ClassDef, ast.Module)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and ast.get_docstring(node):
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def sources():
    return [*ROOT.glob("minires/**/*.py"), *ROOT.glob("kernels/**/*.py")]


def test_importing_loads_nothing_heavy():
    loaded = run("import minires, sys; print(*sys.modules)").split()
    assert not [name for name in HEAVY if name in loaded]


ENGINE = ("__init__", "function", "ops", "tensor", "backward")
AROUND = ("hooks", "accepting", "more_ops", "methods", "combining")
BUILT_ON_IT = {"gradcheck", "picking", "recompute", "trace"}


def test_autograds_engine_stays_under_500_lines_of_code():
    """What must be read to know how it works; around it are sentences and further operations."""
    files = {path.stem: lines_of_code(path) for path in (ROOT / "minires/autograd").glob("*.py")}
    assert set(files) == {*ENGINE, *AROUND, *BUILT_ON_IT}
    assert sum(files[name] for name in ENGINE) < 500
    assert sum(files[name] for name in (*ENGINE, *AROUND)) < 900


def test_no_file_is_longer_than_500_lines():
    long = {p.name: n for p in sources() if (n := len(p.read_text().splitlines())) > 500}
    assert not long


def test_no_module_stands_beside_a_folder_of_its_name():
    assert not [str(path) for path in sources() if path.with_suffix("").is_dir()]


def test_every_class_has_a_name_of_its_own():
    names = [
        node.name
        for path in ROOT.glob("minires/**/*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    ]
    assert not {name for name in names if names.count(name) > 1}


def test_imports_only_go_downwards():
    """Each package may import those after it in this list, and none before."""
    floors = [
        "own_images",
        "experiments",
        "exercises",
        "report",
        "analysis",
        "detection",
        "evaluation",
        "training",
        "distributed",
        "data",
        "weights",
        "models",
    ]
    floors += ["nn", "autograd", "common", "kernels"]
    for path in ROOT.glob("minires/*/*.py"):
        floor = path.parent.name
        above = floors[: floors.index(floor)]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level >= 2:
                target = (node.module or "").split(".")[0]
                assert target not in above, f"{path.name} imports {target}, a floor above it"


def test_info_says_what_is_in_use():
    text = minires.info()
    for word in ("numpy", "numba", "kernels for float32", "threads"):
        assert word in text


def test_info_says_why_the_fast_kernels_are_not_used():
    text = run(
        "import os; os.environ['MINIRES_KERNELS'] = 'reference'; import minires; "
        "print(minires.info())"
    )
    assert "reference (NumPy), because MINIRES_KERNELS=reference is set" in text


def test_the_command_prints_info():
    assert "kernels for float32" in run(
        "import sys; sys.argv = ['minires', 'info']; from minires.cli import main; main()"
    )
