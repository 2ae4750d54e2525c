"""Convolution, rung 5: packed panels.

A tile reads 2 vectors of each row of the weight. The rows lie F floats apart, mostly a power of
two, and a cache maps addresses that are a power of two apart to few of its sets. With 256 filters
the rows of a tile share 4 of an L1 cache's 64 sets, so few of them stay there. So the weight is
copied once, into panels as wide as a tile:

    weight (9 * C, F)                    panels (F / 32, 9 * C, 32)

      |  panel 0 |  panel 1 |              row 0 of panel 0, row 1 of panel 0, ...
      | row 0    | row 0    |     -->      row 0 of panel 1, row 1 of panel 1, ...
      | row 1    | row 1    |

The tile's loop then reads one stream. It begins at a cache line, so that no vector crosses two. The
price is a copy of the weight, which is mostly small beside x. The sums are rung 4's, to
the last bit.
"""

import numpy as np
from numba import prange

from ..cpu.compiling import parallel_kernel
from ..cpu.memory import empty
from ..cpu.simd import keep, pointer
from .conv2_im2col import copy_windows
from .conv4_register_tile import FILTERS, PIXELS, tile


def conv2d(x, weight):
    """y (N, H, W, F) of x (N, H, W, C) and weight (3, 3, C, F); float32."""
    (images, height, width, channels), filters = x.shape, weight.shape[3]
    panels = in_panels(weight.reshape(9 * channels, filters))
    shape = images, height, width + -width % PIXELS, len(panels) * FILTERS
    y = np.empty(shape, np.float32)
    panel_by_panel(x, panels, y)
    return np.ascontiguousarray(y[:, :, :width, :filters])


def in_panels(matrix):
    """(..., depth, F) -> (..., F / FILTERS, depth, FILTERS), with zeros after the last filter."""
    *more, depth, filters = matrix.shape
    whole = np.zeros((*more, depth, filters + -filters % FILTERS), np.float32)
    whole[..., :filters] = matrix
    panels = np.moveaxis(whole.reshape(*more, depth, -1, FILTERS), -2, -3)
    packed = empty(panels.shape)
    packed[...] = panels
    return packed


@parallel_kernel
def panel_by_panel(x, panels, y):
    """Threads share the rows."""
    (images, height, width, filters), depth = y.shape, panels.shape[1]
    for row in prange(images * height):
        columns = np.empty((width, depth), np.float32)
        copy_windows(x, row // height, row % height, columns)
        for f in range(0, filters, FILTERS):
            for c in range(0, width, PIXELS):
                at = (row * width + c) * filters + f
                a, b = pointer(columns), pointer(panels)
                tile(depth, a, c * depth, depth, b, f * depth, FILTERS, pointer(y), at, filters)
        keep(columns)
