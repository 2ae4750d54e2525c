"""The stand-in runs a kernel, and finds a missing barrier."""

import numpy as np
import pytest

from . import fake_cupy
from .emulator import KernelError

TURNED = """
extern "C" __global__ void turn(const float* x, float* y) {
  __shared__ float row[96];
  row[threadIdx.x] = x[threadIdx.x];
  %s
  y[threadIdx.x] = row[blockDim.x - 1 - threadIdx.x];
}
"""


@pytest.mark.parametrize("mode", ["fast", "check"])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_right_kernel_passes(mode, order):
    with fake_cupy.installed(mode, order=order) as cupy:
        turn = cupy.RawModule(code=TURNED % "__syncthreads();").get_function("turn")
        x, y = cupy.arange(96, dtype=np.float32), cupy.empty(96, np.float32)
        turn((1,), (96,), (x, y))
        np.testing.assert_array_equal(cupy.asnumpy(y), np.arange(96)[::-1])


def test_a_missing_barrier_is_found():
    with fake_cupy.installed("check", order=1) as cupy:
        turn = cupy.RawModule(code=TURNED % "").get_function("turn")
        x, y = cupy.arange(96, dtype=np.float32), cupy.empty(96, np.float32)
        with pytest.raises(KernelError, match=r"reads shared row\[\d+\], which"):
            turn((1,), (96,), (x, y))
