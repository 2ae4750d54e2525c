"""Every kernel compiles for every architecture as in CuPy, and needs no more than before."""

import pytest
from minires.kernels.ladder.cuda import CUDA

from . import nvrtc
from .nvrtc import ARCHITECTURES, CompileError, Resources

pytestmark = pytest.mark.skipif(bool(nvrtc.why_not()), reason=nvrtc.why_not() or "-")
REGENERATE = "if that is meant, run `python -m tests.cuda resources`"


@pytest.fixture(scope="module")
def table():
    from . import resources

    return resources.measure()


def needs_of(text, name="f", architecture=80):
    return nvrtc.compile_module(text, (name,), architecture)[name]


# --------------------------------------------------------------------------- the kernels


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles_without_spills_or_local_memory(table, architecture):
    from minires.kernels.cuda import source

    expected = set(source.all_kernels())
    assert set(table) == expected
    needs = {kernel: of[architecture] for kernel, of in table.items()}
    assert {kernel: n for kernel, n in needs.items() if n.spills or n.local} == {}


@pytest.mark.parametrize("rung", CUDA, ids=lambda rung: rung.file)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_ladder_compiles_without_spills_or_local_memory(rung, architecture):
    needs = needs_of(rung.text(), "conv2d", architecture)
    assert needs.spills == needs.local == 0


def test_the_table_in_docs_is_what_is_measured(table):
    from . import resources

    before = resources.PLACE.read_text(encoding="utf-8")
    if f"NVRTC {nvrtc.version()} " not in before:
        pytest.skip(f"docs/cuda-resources.md was made by another NVRTC than {nvrtc.version()}")
    now = resources.page(table)
    assert not resources.worse(before, now), REGENERATE
    assert resources.parse(before) == resources.parse(now), REGENERATE
    assert before == now, REGENERATE


# ------------------------------------------------------------------------------ the gate


def test_registers_and_shared_memory_are_read():
    text = """__global__ void __launch_bounds__(96) f(const float* x, float* y) {
      __shared__ float row[96];
      row[threadIdx.x] = x[threadIdx.x];
      __syncthreads();
      y[threadIdx.x] = row[95 - threadIdx.x];
    }"""
    needs = needs_of(text)
    assert 0 < needs.registers < 32
    assert needs == Resources(needs.registers, 384, 0, 0, 96)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("unused", "__global__ void f(int* x) { int unused; x[0] = 1; }"),
        ("undefined", "__global__ void f(int* x) { x[0] = missing; }"),
        ("could not open source file", '#include <cuda_fp16.h>\n__global__ void f(int* x) {}'),
        ("52000 bytes smem", "__global__ void f(int* x) { __shared__ int a[13000]; "
         "a[threadIdx.x] = x[0]; __syncthreads(); x[1] = a[5]; }"),
        ("const", "__global__ void f(const int* x) { x[0] = 1; }"),
    ],
)  # fmt: skip
def test_what_the_gate_refuses(what, text):
    with pytest.raises(CompileError, match=what):
        needs_of(text)


def test_an_instance_that_does_not_compile_is_found():
    text = """template <int n> __global__ void f(int* x) {
      static_assert(n < 4, "n is too large");
      x[0] = n;
    }"""
    assert needs_of(text, "f<3>").spills == 0
    with pytest.raises(CompileError, match="n is too large"):
        needs_of(text, "f<4>")


def test_local_memory_is_counted():
    text = """__global__ void f(int* x) {
      int big[300];
      for (int i = 0; i < 300; i++) big[i] = x[i];
      for (int i = 0; i < 300; i++) x[i] = big[x[i] % 300];
    }"""
    assert needs_of(text).local == 1200


def test_spills_are_counted():
    """Forced by a launch bound that leaves 32 registers."""
    text = """__global__ void __launch_bounds__(1024, 2) f(const float* x, float* y) {
      float v[64];
      for (int i = 0; i < 64; i++) v[i] = x[i * 1024 + threadIdx.x];
      for (int k = 0; k < 9; k++)
        for (int i = 0; i < 64; i++) v[i] = v[i] * v[(i * 7 + 3) % 64] + v[(i * 5 + k) % 64];
      for (int i = 0; i < 64; i++) y[i * 1024 + threadIdx.x] = v[i];
    }"""
    assert needs_of(text).spills > 0


def test_occupancy():
    from .resources import occupancy

    assert occupancy(80, Resources(32, 0, 0, 0, 256)) == 1
    assert occupancy(80, Resources(64, 0, 0, 0, 256)) == 0.5
    assert occupancy(75, Resources(32, 32 << 10, 0, 0, 256)) == 0.5
    assert occupancy(86, Resources(32, 0, 0, 0, 32)) == pytest.approx(16 / 48)
    assert occupancy(90, Resources(128, 8704, 0, 0, 128)) == 0.25


def test_a_regression_is_named():
    from .resources import ARCHITECTURES, page, worse

    def one(registers):
        return page({"f": {a: Resources(registers, 0, 0, 0, 128) for a in ARCHITECTURES}})

    assert worse(one(32), one(32)) == worse(one(32), one(30)) == []
    assert "f on sm_75: 33 registers, was 32" in worse(one(32), one(33))


@pytest.mark.parametrize(
    ("version", "serves"), [("12.9", False), ("13.0", False), ("13.1", True), ("13.10", True)]
)
def test_a_compiler_that_is_too_old_is_named(monkeypatch, version, serves):
    monkeypatch.setattr(nvrtc, "version", lambda: version)
    assert (f"NVRTC {version} can't" in nvrtc.why_not()) is not serves
