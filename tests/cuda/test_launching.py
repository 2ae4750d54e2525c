"""Launches through the stand-in: what CuPy would do silently wrong is refused."""

import re
from pathlib import Path

import numpy as np
import pytest

from . import fake_cupy
from .emulator import KernelError
from .fake_cupy import Misuse, machine

FOLDER = Path(__file__).parent
TEXT = """
extern "C" {
__global__ void scale(const float* __restrict__ x, float* __restrict__ y, float factor, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = factor * x[i];
}
__global__ void kinds(const double* a, long long b, unsigned char c, bool d, const void* e,
                      double f, unsigned long long g, const float4* h) {}
__global__ void in_place(float* x, const float* y) { x[threadIdx.x] += y[threadIdx.x]; }
__global__ void beyond(float* x) { x[threadIdx.x + 4] = 1; }
__global__ void with_shared(float* x) {
  extern __shared__ float row[];
  row[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = row[blockDim.x - 1 - threadIdx.x];
}
}
template <typename T> __global__ void twice(T* x) { x[threadIdx.x] *= 2; }
"""
NAMES = ("twice<float>", "twice<int>")


@pytest.fixture(params=["fast", "check"])
def cp(request):
    with fake_cupy.installed(request.param) as cupy:
        yield cupy


@pytest.fixture
def kernel(cp):
    module = cp.RawModule(code=TEXT, options=("-std=c++17",), name_expressions=NAMES)
    return module.get_function


@pytest.fixture
def arrays(cp):
    return cp.asarray(np.arange(40, dtype=np.float32)), cp.empty(40, np.float32)


def test_a_launch(cp, kernel, arrays):
    x, y = arrays
    kernel("scale")((2,), (32,), (x, y, np.float32(3), np.int32(40)))
    np.testing.assert_array_equal(y.get(), 3 * np.arange(40))
    assert machine.counts.launches == {"scale": 1}


def test_an_array_of_one_number_on_the_host_is_a_value(kernel, arrays):
    x, y = arrays
    kernel("scale")((2,), (32,), (x, y, np.array(3, np.float32), np.array([40], np.int32)))
    assert y.get()[39] == 117


def test_instances_of_templates(cp, kernel):
    for dtype, name in ((np.float32, "float"), (np.int32, "int")):
        x = cp.asarray(np.arange(4, dtype=dtype))
        kernel(f"twice<{name}>")((1,), (4,), (x,))
        np.testing.assert_array_equal(x.get(), [0, 2, 4, 6])


def test_a_raw_kernel_and_dynamic_shared_memory(cp):
    x = cp.arange(8, dtype=np.float32)
    cp.RawKernel(TEXT, "with_shared")((1,), (8,), (x,), shared_mem=32)
    np.testing.assert_array_equal(x.get(), np.arange(8)[::-1])


def test_python_numbers_go_as_8_bytes(cp, kernel):
    a, h = cp.zeros(3), cp.zeros(8, np.float32)
    values = (7, np.uint8(1), True, h, 1.5, 2**63, h)
    kernel("kinds")((1,), (1,), (a, *values))
    kernel("kinds")((1,), (1,), (None, *values))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, np.float32(1), "takes a pointer to f8, CuPy passes .* as f4"),
        (1, np.int32(7), "takes i8, CuPy passes .* as i4"),
        (1, 7.0, "takes i8, CuPy passes 7.0 as f8"),
        (2, 1, "takes u1, CuPy passes 1 as i8"),
        (3, 1, "takes b1, CuPy passes 1 as i8"),
        (5, np.float32(1), "takes f8"),
        (5, 1, "takes f8, CuPy passes 1 as i8"),
        (6, 7, "takes u8, CuPy passes 7 as i8"),
        (1, None, "None is a pointer, the kernel takes a value"),
    ],
)
def test_a_number_of_another_kind_or_width(cp, kernel, place, value, message):
    h = cp.zeros(8, np.float32)
    arguments = [cp.zeros(3), 7, np.uint8(1), True, h, 1.5, 2**63, h]
    arguments[place] = value
    with pytest.raises(Misuse, match=message):
        kernel("kinds")((1,), (1,), tuple(arguments))


def test_arrays_of_another_dtype_or_in_the_place_of_a_number(cp, kernel, arrays):
    x, y = arrays
    scale = kernel("scale")
    with pytest.raises(Misuse, match="scale, x: the kernel takes a pointer to f4, but got f8"):
        scale((2,), (32,), (x.astype(np.float64), y, np.float32(3), np.int32(40)))
    with pytest.raises(Misuse, match="scale, n: the kernel takes i4, but got an array of f4"):
        scale((2,), (32,), (x, y, np.float32(3), x))
    with pytest.raises(TypeError, match=r"scale, x: Unsupported type .*numpy.ndarray"):
        scale((2,), (32,), (np.zeros(40, np.float32), y, np.float32(3), np.int32(40)))
    with pytest.raises(Misuse, match=r"takes 4 arguments \(x, y, factor, n\), but got 3"):
        scale((2,), (32,), (x, y, np.float32(3)))
    with pytest.raises(TypeError, match="must be a tuple"):
        scale((2,), (32,), x)


def test_strides_are_not_seen_by_a_kernel(cp, kernel):
    x, y = cp.ones((4, 8), np.float32), cp.empty((8, 4), np.float32)
    with pytest.raises(Misuse, match="not C-contiguous"):
        kernel("scale")((1,), (32,), (x.T, y, np.float32(3), np.int32(32)))
    kernel("scale")((1,), (32,), (x[1:], y[:6], np.float32(3), np.int32(24)))


def test_restrict_is_a_promise(cp, kernel):
    x = cp.ones(8, np.float32)
    with pytest.raises(Misuse, match="x and y overlap, but say __restrict__"):
        kernel("scale")((1,), (4,), (x[:6], x[2:], np.float32(3), np.int32(4)))
    kernel("scale")((1,), (4,), (x[:4], x[4:], np.float32(3), np.int32(4)))
    kernel("in_place")((1,), (8,), (x, x))
    np.testing.assert_array_equal(x.get(), np.r_[np.full(4, 2), np.full(4, 6)])


def test_a_race_through_two_pointers_to_the_same_memory(cp, kernel):
    """Thread i reads element i of y, which is element i + 1 of x and written by another."""
    x = cp.ones(9, np.float32)
    if machine.mode == "check":
        with pytest.raises(KernelError, match=r"x/y\[\d\], which .* no barrier lies between"):
            kernel("in_place")((1,), (8,), (x[:8], x[1:]))


@pytest.mark.parametrize(
    ("grid", "block", "error", "message"),
    [
        (2, (32,), TypeError, "grid must be a tuple"),
        ((2.0,), (32,), TypeError, "whole numbers"),
        ((), (32,), TypeError, "1 to 3 numbers"),
        ((1, 1, 1, 1), (32,), TypeError, "1 to 3 numbers"),
        ((True,), (32,), TypeError, "whole numbers"),
        ((1, 65536), (32,), RuntimeError, "exceeds"),
        ((1,), (2048,), RuntimeError, "exceeds"),
        ((1,), (64, 32), RuntimeError, "more than 1024 threads"),
        ((1,), (1, 1, 65), RuntimeError, "exceeds"),
    ],
)
def test_grids_and_blocks(kernel, arrays, grid, block, error, message):
    with pytest.raises(error, match=message):
        kernel("scale")(grid, block, (*arrays, np.float32(3), np.int32(40)))


def test_an_empty_grid_runs_one_block_as_in_cupy(kernel, arrays):
    kernel("scale")((0,), (32,), (*arrays, np.float32(3), np.int32(40)))
    assert arrays[1].get()[31] == 93


@pytest.mark.parametrize("size", [-4, 49153, 1.5])
def test_sizes_of_shared_memory(kernel, arrays, size):
    with pytest.raises((RuntimeError, TypeError), match="shared"):
        kernel("with_shared")((1,), (8,), (arrays[0],), shared_mem=size)


def test_a_kernel_must_ask_for_more_than_48_kilobytes(kernel, arrays):
    large, row = kernel("with_shared"), (arrays[0],)
    assert large.max_dynamic_shared_size_bytes == 48 << 10
    with pytest.raises(RuntimeError, match="49168 bytes of shared memory, where 49152 are"):
        large((1,), (8,), row, shared_mem=49168)
    large.max_dynamic_shared_size_bytes = 100 << 10
    large((1,), (8,), row, shared_mem=100 << 10)
    with pytest.raises(RuntimeError, match="where a block can have 232448"):
        large.max_dynamic_shared_size_bytes = 228 << 10


def test_writes_beyond_an_array(cp, kernel):
    x = cp.ones(4, np.float32)
    error, message = {
        "fast": (Misuse, "beyond wrote behind an array of 16 bytes"),
        "check": (KernelError, r"writes 4 bytes outside every array; .* x\[4\]"),
    }[machine.mode]
    with pytest.raises(error, match=message):
        kernel("beyond")((1,), (4,), (x,))
    machine.reset(machine.mode)


def test_a_view_ends_where_it_ends(cp, kernel):
    """In mode check a kernel must not reach the rest of the memory behind a view."""
    x = cp.ones(12, np.float32)
    if machine.mode == "check":
        with pytest.raises(KernelError, match=r"nearest is x with 4 elements: x\[4\]"):
            kernel("beyond")((1,), (4,), (x[:4],))


def test_reading_what_nothing_has_written(cp, kernel):
    x, y = cp.empty(40, np.float32), cp.empty(40, np.float32)
    x[:20] = 1
    if machine.mode == "check":
        with pytest.raises(KernelError, match=r"reads x\[20\], which nothing has written"):
            kernel("scale")((2,), (32,), (x, y, np.float32(1), np.int32(40)))
    x[20:] = 1
    kernel("scale")((2,), (32,), (x, y, np.float32(1), np.int32(40)))


def test_a_message_names_the_file_of_a_line(cp):
    text = '#line 1 "first.cuh"\n__device__ int one() { return 1; }\n'
    text += '#line 1 "second.cu"\nextern "C" __global__ void f(int* x) {\n  x[4] = one();\n}\n'
    with fake_cupy.installed("check") as cupy:
        f = cupy.RawModule(code=text).get_function("f")
        with pytest.raises(KernelError, match=re.escape("f (second.cu:2, block (0, 0, 0)")):
            f((1,), (1,), (cupy.zeros(4, np.int32),))


def test_functions_that_are_not_there(cp):
    module = cp.RawModule(code=TEXT)
    for name in ("absent", "twice<float>"):
        with pytest.raises(cp.cuda.driver.CUDADriverError, match="CUDA_ERROR_NOT_FOUND"):
            module.get_function(name)


def test_texts_that_do_not_compile(cp):
    module = cp.RawModule(code='extern "C" __global__ void f(float* x) { undeclared; }')
    with pytest.raises(cp.cuda.compiler.CompileException, match="undeclared"):
        module.get_function("f")


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"code": "", "path": "x"},
        {"code": "", "options": "-DX"},
        {"code": "", "options": ["-DX"]},
    ],
)
def test_arguments_of_a_module(cp, keywords):
    with pytest.raises(TypeError):
        cp.RawModule(**keywords)


def test_launches_in_a_graph(cp, kernel, arrays):
    x, y = arrays
    with cp.cuda.Stream() as stream:
        stream.begin_capture()
        kernel("scale")((2,), (32,), (x, y, np.float32(3), np.int32(40)))
        graph = stream.end_capture()
    assert np.isnan(y.get()).all()
    graph.launch()
    assert y.get()[39] == 117
    x += 1
    graph.launch()
    assert y.get()[39] == 120


def test_a_graph_does_not_keep_its_arrays(cp, kernel):
    x, y = cp.ones(8, np.float32), cp.empty(8, np.float32)
    with cp.cuda.Stream() as stream:
        stream.begin_capture()
        kernel("scale")((1,), (8,), (x, y, np.float32(3), np.int32(8)))
        graph = stream.end_capture()
    del y
    with pytest.raises(Misuse, match="freed since its capture"):
        graph.launch()


def test_the_machines_order_is_that_of_the_threads():
    text = """extern "C" __global__ void last(int* x) { x[0] = threadIdx.x; }"""
    seen = []
    for order in (0, 1, 5):
        with fake_cupy.installed("fast", order=order) as cupy:
            x = cupy.zeros(1, np.int32)
            cupy.RawKernel(text, "last")((1,), (64,), (x,))
            seen.append(int(x[0]))
    assert seen[:2] == [63, 0]
    assert seen[2] not in (0, 63)
