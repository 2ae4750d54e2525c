"""The kernels: arrays in, arrays out, no tensor and no graph.

`contract/` states every name below once: its arguments, shapes and results. Three modules implement
it, with the same names and arguments:

- `reference`: plain NumPy, any float dtype. It is slow and obviously right: the text to read.
- `cpu`: Numba, float32, maps also bfloat16. Training on a CPU uses it.
- `cuda`: CUDA C through CuPy, float32 and float64, maps also bfloat16, for CuPy arrays.

A call is checked first, so that a wrong shape is met with a sentence. Then CuPy arrays go to
`cuda`. NumPy arrays go to `cpu` if all are float32, or maps bfloat16, and Numba is installed,
otherwise to `reference`, or `reference_bfloat16`, which says what is rounded where. The
environment variable `MINIRES_KERNELS=reference` sends all NumPy arrays to the reference.

Conventions: activations are `(N, H, W, C)`, weights `(kh, kw, C_in, C_out)`, both C-contiguous.
`stride` and `padding` are whole numbers and hold for both axes; padding adds zeros. An output has
`(H + 2 * padding - kh) // stride + 1` rows; input rows that are left over are not read. All arrays
of a call share one dtype; beside maps in bfloat16, all others are float32. Arrays that belong
together travel as a record (`records.py`). A kernel writes only fresh results, unless its text says
otherwise.
"""

from .contract.batch_norm import (
    batch_norm,
    batch_norm_eval,
    batch_norm_eval_grad,
    batch_norm_grad,
    update_running_statistics,
)
from .contract.blocks import (
    basic_block,
    basic_block_grad,
    conv2d_batch_norm,
    conv2d_batch_norm_eval,
    conv2d_batch_norm_grad,
)
from .contract.convolution import (
    col2im,
    conv2d,
    conv2d_input_grad,
    conv2d_weight_grad,
    im2col,
)
from .contract.maps import (
    avg_pool,
    avg_pool_grad,
    global_avg_pool,
    global_avg_pool_grad,
    matmul,
    max_pool,
    max_pool_grad,
    relu,
    relu_grad,
    subsample_and_pad,
    subsample_and_pad_grad,
)
from .contract.regions import nms, roi_align, roi_align_grad, roi_max_pool, roi_max_pool_grad
from .contract.training import (
    crop_flip,
    epoch_batch,
    sgd_step,
    softmax_cross_entropy,
    softmax_cross_entropy_grad,
    tally,
)
from .dispatch import report

__all__ = [
    "avg_pool",
    "avg_pool_grad",
    "basic_block",
    "basic_block_grad",
    "batch_norm",
    "batch_norm_eval",
    "batch_norm_eval_grad",
    "batch_norm_grad",
    "col2im",
    "conv2d",
    "conv2d_batch_norm",
    "conv2d_batch_norm_eval",
    "conv2d_batch_norm_grad",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "crop_flip",
    "epoch_batch",
    "global_avg_pool",
    "global_avg_pool_grad",
    "im2col",
    "matmul",
    "max_pool",
    "max_pool_grad",
    "nms",
    "relu",
    "relu_grad",
    "report",
    "roi_align",
    "roi_align_grad",
    "roi_max_pool",
    "roi_max_pool_grad",
    "sgd_step",
    "softmax_cross_entropy",
    "softmax_cross_entropy_grad",
    "subsample_and_pad",
    "subsample_and_pad_grad",
    "tally",
    "update_running_statistics",
]
