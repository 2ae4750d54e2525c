"""A warp's fragments of matrices, after the formulas of the PTX ISA ("Matrix Fragments for mma").

Element by element: so the layout is written down twice, here and in the emulator.
"""

from pathlib import Path

import numpy as np
from minires.kernels.cuda import source

FOLDER = Path(__file__).parent


def text():
    """`tensor.cuh`, and the kernels that try it."""
    parts = [(source.FOLDER, "tensor.cuh"), (FOLDER, "tensor.cu")]
    return "".join(f'#line 1 "{name}"\n{(folder / name).read_text()}' for folder, name in parts)


def tf32(x):
    """Round to 10 mantissa bits, halves away from zero."""
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x1000) & 0xFFFFE000).astype(np.uint32).view(np.float32)


def bf16(x):
    """Round to 7 mantissa bits, halves to even."""
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def fragments_of_tf32(a, b):
    """From a(16, 8) and b(8, 8) to the registers of each lane."""
    left, right = np.zeros((32, 4), np.uint32), np.zeros((32, 2), np.uint32)
    for lane in range(32):
        group, in_group = lane >> 2, lane % 4
        for i in range(4):
            row = group if i in (0, 2) else group + 8
            column = in_group if i in (0, 1) else in_group + 4
            left[lane, i] = a[row, column].view(np.uint32)
        for i in range(2):
            right[lane, i] = b[in_group + 4 * i, group].view(np.uint32)
    return left, right


def fragments_of_bf16(a, b):
    """From a(16, 16) and b(16, 8) to the registers of each lane, two numbers in each."""
    left, right = np.zeros((32, 8), np.uint16), np.zeros((32, 4), np.uint16)
    for lane in range(32):
        group, in_group = lane >> 2, lane % 4
        for i in range(8):
            row = group if 0 <= i < 2 or 4 <= i < 6 else group + 8
            column = in_group * 2 + (i & 1) + (8 if i >= 4 else 0)
            left[lane, i] = a[row, column].view(np.uint32) >> 16
        for i in range(4):
            row = in_group * 2 + (i & 1) + (8 if i >= 2 else 0)
            right[lane, i] = b[row, group].view(np.uint32) >> 16
    return left.view(np.uint32), right.view(np.uint32)


def accumulators(c):
    """From c(16, 8) to the four sums of each lane, or back with an index array."""
    lane, i = np.arange(32)[:, None], np.arange(4)
    return c[lane // 4 + 8 * (i // 2), lane % 4 * 2 + i % 2]
