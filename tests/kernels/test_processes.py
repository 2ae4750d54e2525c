"""Tests that need their own processes: thread counts, compiling, the cache; and writes."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from minires.kernels import cpu
from minires.kernels.cpu import compiling, convolution, memory
from minires.kernels.records import ConvNorm

from .suite import forget_choices

RELU = "import numpy as np; from minires.kernels import cpu; cpu.relu(np.ones(3, np.float32))"
MESSAGE = "minires: compiling the CPU kernels"


def run(*arguments, **environment):
    """A fresh interpreter's output and error output."""
    process = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout, process.stderr


def test_results_have_the_same_bits_for_any_number_of_threads():
    assert len(hashes_of("tests.kernels.every_kernel")) == 1


def test_dots_have_the_same_bits_for_any_number_of_threads():
    by_dots = {"MINIRES_AMX": "0", "MINIRES_AVX512_BF16": "1"}
    assert len(hashes_of("tests.kernels.every_kernel", "bfloat16", **by_dots)) == 1


def hashes_of(*program, **environment):
    """What a program prints with one thread, two and three."""
    threads = ({"NUMBA_NUM_THREADS": str(count)} for count in (1, 2, 3))
    return {run("-m", *program, **environment, **count)[0] for count in threads}


@pytest.mark.slow
def test_compiling_is_announced_once_and_kept(tmp_path):
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert run("-c", RELU, **cache)[1].count(MESSAGE) == 1
    assert run("-c", RELU, **cache)[1] == ""


@pytest.mark.slow
def test_of_two_processes_that_start_together_one_compiles(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    settings = {"env": environment, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([sys.executable, "-c", RELU], **settings) for _ in range(2)]
    texts = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(text.count(MESSAGE) for text in texts) == 1


STEP = """
import numpy as np
from minires import Tensor
from minires.models import cifar_resnet
from minires.nn.functional import cross_entropy

x, labels = np.ones((64, 32, 32, 3), np.float32), np.zeros(64, np.int64)
cross_entropy(cifar_resnet(8)(Tensor(x)), labels).backward()
"""


def test_nothing_is_compiled_that_was_compiled_before():
    run("-c", STEP)
    assert run("-c", STEP)[1] == ""


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").touch()
    assert MESSAGE in run("-c", RELU, NUMBA_CACHE_DIR=str(tmp_path / "file" / "cache"))[1]


def test_a_change_in_any_file_gives_the_machine_code_another_folder(tmp_path, monkeypatch):
    """Numba by itself looks at the file of a function alone, not at those it calls into."""
    for name in ("cpu", "ladder"):
        shutil.copytree(Path(compiling.__file__).parents[1] / name, tmp_path / name)
    monkeypatch.setattr(compiling, "__file__", str(tmp_path / "cpu" / "compiling.py"))
    names, files = {compiling.source_hash(tmp_path / "ladder")}, sorted(tmp_path.glob("*/*.py"))
    for file in files:
        with file.open("a") as text:
            text.write("# changed\n")
        names.add(compiling.source_hash(tmp_path / "ladder"))
    assert len(names) == 1 + len(files)


def test_importing_compiles_nothing():
    program = """
from numba.core import event

class Fail(event.Listener):
    def on_start(self, event):
        raise SystemExit("compiled at import")
    def on_end(self, event):
        pass

event.register("numba:compile", Fail())
from minires.kernels import cpu
"""
    run("-c", program)


def test_warm_up_leaves_nothing_to_compile_for_training():
    """It leaves nothing to read from disk either: no kernel gains a version afterwards."""
    program = """
import sys
import numpy as np
from numba.core.dispatcher import Dispatcher
from minires import Tensor, optim
from minires.kernels import cpu
from minires.models import cifar_resnet
from minires.nn.functional import cross_entropy

def versions():
    modules = [m for name, m in sys.modules.items() if name.startswith("minires.kernels.cpu.")]
    things = [thing for module in modules for thing in vars(module).values()]
    return {t.py_func.__qualname__ + t.py_func.__module__: len(t.overloads)
            for t in things if isinstance(t, Dispatcher)}

assert sum(versions().values()) == 0
cpu.warm_up()
before = versions()
model = cifar_resnet(8)
x, labels = np.ones((16, 32, 32, 3), np.float32), np.zeros(16, np.int64)
cross_entropy(model(Tensor(x)), labels).backward()
optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4).step()
changed = {name for name, count in versions().items() if count != before[name]}
assert not changed, changed
"""
    run("-c", program)


@pytest.fixture
def fenced(monkeypatch):
    """Results lie between known numbers; the test fails if one of these is overwritten."""
    buffers = []

    def empty(shape, dtype=np.float32):
        size = int(np.prod(shape))
        buffer = np.full(size + 64, 7777, dtype)
        buffers.append((buffer, size))
        return buffer[32 : 32 + size].reshape(shape)

    for name in ("batch_norm", "elementwise", "im2col", "loss", "winograd"):
        module = importlib.import_module(f"minires.kernels.cpu.{name}")
        assert module.empty is memory.empty
        monkeypatch.setattr(module, "empty", empty)
    yield
    assert buffers
    for buffer, size in buffers:
        assert (buffer[:32] == 7777).all()
        assert (buffer[32 + size :] == 7777).all()


@pytest.mark.parametrize("channels", [1, 3, 8, 13, 16, 33])
@pytest.mark.parametrize("side", [1, 5, 13])
def test_nothing_is_written_past_the_ends(fenced, channels, side, rng, monkeypatch):
    shape = (3, side, side + 1, channels)
    x, dy = rng.standard_normal((2, *shape), np.float32)
    weight = rng.standard_normal((3, 3, channels, channels), np.float32)
    for algorithm in ("im2col", "winograd"):
        settings = {"padding": 1, "algorithm": algorithm}
        cpu.conv2d(x, weight, **settings)
        cpu.conv2d_input_grad(dy, weight, x_shape=shape, **settings)
        cpu.conv2d_weight_grad(dy, x, kernel_size=(3, 3), **settings)
    columns = cpu.im2col(x, kernel_size=(3, 3), padding=1)
    cpu.col2im(columns, x_shape=shape, kernel_size=(3, 3), padding=1)
    y, mean, var = cpu.batch_norm(x, x[0, 0, 0], x[0, 0, 0], eps=1e-5, relu=True)
    cpu.batch_norm_grad(dy, x, mean, mean, var, eps=1e-5, y=y)
    layer = ConvNorm(weight, x[0, 0, 0], x[0, 0, 0], 1e-5, padding=1)
    monkeypatch.setattr(convolution, "worthwhile", lambda *_: channels % 2 == 0)
    forget_choices()
    _, saved = cpu.basic_block(x, layer, layer, skip=True)
    cpu.basic_block_grad(dy, x, layer, layer, saved, skip=True)
    cpu.conv2d_batch_norm_eval(x, layer, mean, var, residual=dy)
    forget_choices()
    cpu.relu_grad(cpu.relu(x), x)
