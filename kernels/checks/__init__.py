"""What a call must look like: each check says what was expected, what was passed and what to do.

The kernel that is called puts its name in front of the sentence (`dispatch.py`).
"""

from .arrays import are_arrays, channels, contiguous, images, same_shape, shape, writable
from .batch_norm import (
    basic_block,
    batch_norm,
    conv2d_batch_norm,
    link_of_input,
    running,
    several_values,
)
from .regions import boxes, finite, of_images, regions
from .training import crop_flip, epoch_batch, labels
from .windows import (
    ALGORITHMS,
    columns,
    convolution,
    convolution_grad,
    output_shape,
    output_size,
    pool,
    subsample_and_pad,
    window,
    winograd_is_possible,
)

__all__ = [
    "ALGORITHMS",
    "are_arrays",
    "basic_block",
    "batch_norm",
    "boxes",
    "channels",
    "columns",
    "contiguous",
    "conv2d_batch_norm",
    "convolution",
    "convolution_grad",
    "crop_flip",
    "epoch_batch",
    "finite",
    "images",
    "labels",
    "link_of_input",
    "of_images",
    "output_shape",
    "output_size",
    "pool",
    "regions",
    "running",
    "same_shape",
    "several_values",
    "shape",
    "subsample_and_pad",
    "window",
    "winograd_is_possible",
    "writable",
]
