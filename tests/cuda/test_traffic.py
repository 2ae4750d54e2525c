"""Sectors and bank conflicts are counted right, and no kernel moves much more than it needs."""

import numpy as np
import pytest

from . import fake_cupy
from .emulator.build import compiler_name
from .traffic import Key, Line, recorded

TEXT = """
extern "C" {
__global__ void copy(const float* x, float* y, int step, int offset) {
  y[threadIdx.x] = x[threadIdx.x * step + offset];
}
__global__ void copy_packs(const float4* x, float4* y) { y[threadIdx.x] = x[threadIdx.x]; }
__global__ void broadcast(const float* x, float* y) { y[threadIdx.x] = x[0]; }
__global__ void banks(float* y, int step) {
  __shared__ float row[1024];
  for (int i = threadIdx.x; i < 1024; i += 32) row[i] = i;
  __syncwarp();
  y[threadIdx.x] = row[threadIdx.x * step % 1024];
}
__global__ void bank_packs(float4* y, int step) {
  __shared__ __align__(16) float row[2048];
  for (int i = threadIdx.x; i < 2048; i += 32) row[i] = i;
  __syncwarp();
  y[threadIdx.x] = *reinterpret_cast<float4*>(&row[threadIdx.x * step]);
}
}
"""


def traffic_of(name, *arguments, threads=32):
    """The lines' traffic by (memory, write)."""
    with fake_cupy.installed("check") as cupy:
        x, y = cupy.ones(4096, np.float32), cupy.empty(4096, np.float32)
        arrays = (y,) if name.startswith("bank") else (x, y)
        kernel = cupy.RawModule(code=TEXT).get_function(name)
        with recorded() as report:
            kernel((1,), (threads,), (*arrays, *map(np.int32, arguments)))
    return {(key.memory, key.write): line for key, line in report.items()}


@pytest.mark.parametrize(
    ("step", "offset", "sectors", "ideal"),
    [(1, 0, 4, 4), (1, 1, 5, 4), (2, 0, 8, 4), (8, 0, 32, 4), (100, 3, 32, 4), (0, 5, 1, 1)],
)
def test_sectors_of_a_warps_read(step, offset, sectors, ideal):
    lines = traffic_of("copy", step, offset)
    assert lines["global", False] == Line(1, sectors, ideal, 128)
    assert lines["global", True] == Line(1, 4, 4, 128)


def test_a_request_belongs_to_one_warp():
    assert traffic_of("copy", 1, 0, threads=96)["global", False] == Line(3, 12, 12, 384)
    assert traffic_of("copy", 1, 0, threads=8)["global", False] == Line(1, 1, 1, 32)


def test_vectors_are_one_request():
    lines = traffic_of("copy_packs")
    assert lines["global", False] == lines["global", True] == Line(1, 16, 16, 512)


def test_one_value_for_all_is_one_sector():
    assert traffic_of("broadcast")["global", False] == Line(1, 1, 1, 128)


@pytest.mark.parametrize(
    ("step", "passes"), [(1, 1), (2, 2), (3, 1), (4, 4), (16, 16), (32, 32), (33, 1), (0, 1)]
)
def test_bank_conflicts(step, passes):
    assert traffic_of("banks", step)["shared", False] == Line(1, passes, 1, 128)


@pytest.mark.parametrize(("step", "passes"), [(4, 4), (8, 8), (20, 4), (36, 4), (32, 32)])
def test_bank_conflicts_of_vectors(step, passes):
    """16 bytes a thread are served in four quarters of a warp."""
    assert traffic_of("bank_packs", step)["shared", False] == Line(1, passes, 4, 512)


def test_lines_are_named():
    with fake_cupy.installed("check") as cupy:
        x, y = cupy.ones(32, np.float32), cupy.empty(32, np.float32)
        text = '#line 1 "some.cu"\n' + TEXT.lstrip()
        with recorded() as report:
            kernel = cupy.RawModule(code=text).get_function("copy")
            for _ in range(2):
                kernel((1,), (32,), (x, y, np.int32(1), np.int32(0)))
    assert report == {
        Key("copy", "some.cu:3", "global", False, 4): Line(2, 8, 8, 256),
        Key("copy", "some.cu:3", "global", True, 4): Line(2, 8, 8, 256),
    }


# --------------------------------------------------------------------------- the kernels


@pytest.fixture(scope="module")
def report():
    from . import traffic_report

    return traffic_report.measure()


def test_no_kernel_exceeds_its_budget(report):
    from . import traffic_report

    assert traffic_report.excesses(report) == {}
    assert traffic_report.stale_allowances(report) == []


def test_the_workload_holds_every_kernel(report):
    from minires.kernels.cuda import source

    measured = {key.kernel.split("<")[0] for key in report}
    expected = {name.split("<")[0] for name in source.all_kernels()}
    assert measured == expected


def test_the_page_in_docs_is_what_is_measured(report):
    from . import traffic_report

    before = traffic_report.PLACE.read_text(encoding="utf-8")
    if f"({compiler_name()})" not in before:
        pytest.skip(f"docs/cuda-traffic.md was made with another compiler than {compiler_name()}")
    assert before == traffic_report.page(report), (
        "if that is meant, run `python -m tests.cuda traffic`"
    )


def test_too_much_traffic_is_noticed(report):
    from . import traffic_report

    key = Key("relu<float, 4>", "elementwise.cu:1", "global", False, 4)
    worse = report | {key: Line(100, 10_000 * 100, 100, 1)}
    assert ("relu<float, 4>", "read") in traffic_report.excesses(worse)
