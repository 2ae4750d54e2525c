"""The kernels in Numba, for float32 and for maps in bfloat16: what training uses.

    compiling.py    when kernels are compiled, and where the machine code is kept
    dealing.py      how the chunks of a kernel are dealt to threads
    memory.py       arrays for results and scratch space
    simd.py         a vector of floats, as a Numba type; rounding.py: bfloat16 in memory
    tile.py         the register tile: one matrix product for every convolution
    window.py       the window under an output pixel, copied and added back
    im2col.py       convolution of any shape, by windows copied in cache
    direct.py       the same without copies, for few input channels
    winograd.py     3 x 3 convolution at stride 1, with a quarter of the multiplications
    transforms.py   its transforms
    packing.py      a weight in the order in which a product reads it
    partial_sums.py  the parts of a weight gradient, and their sum
    sums.py         where the sums of a map lie until it is rounded
    matmul.py       a product as a 1 x 1 convolution
    convolution.py  which of the three algorithms runs
    amx.py          the same on a matrix unit's tiles, in bfloat16: picture and instructions
    dots.py         the same without a matrix unit: pairs of bfloat16, multiplied on vectors
    amx_convolution.py   amx_gradients.py   strips.py   convolutions of maps in bfloat16
    by_dtype.py     a convolution of float32, or of bfloat16
    batch_norm.py   statistics, normalising, gradients; per_channel.py
    fused.py        a convolution and its batch norm as one; finish.py, operands.py
    regions.py      what detection needs: RoI align, RoI max pooling, suppression of boxes
    elementwise.py   pooling.py   shortcut.py   loss.py   augment.py
    warm_up.py      compiling before work begins

`tally`, which takes almost no time, is the reference's. So is `epoch_batch`, which exists for GPUs.
Names and arguments are those of `minires.kernels`, which checks them before it calls these kernels.
"""

from ..reference import epoch_batch, tally
from . import amx
from .augment import crop_flip
from .batch_norm import batch_norm, batch_norm_eval, batch_norm_eval_grad, batch_norm_grad
from .by_dtype import conv2d, conv2d_input_grad, conv2d_weight_grad, for_float32, through_float32
from .elementwise import relu, relu_grad, sgd_step
from .fused import (
    basic_block,
    basic_block_grad,
    conv2d_batch_norm,
    conv2d_batch_norm_eval,
    conv2d_batch_norm_grad,
)
from .im2col import col2im, im2col
from .loss import softmax_cross_entropy, softmax_cross_entropy_grad
from .matmul import matmul
from .memory import keep_freed_memory
from .per_channel import update_running_statistics
from .pooling import (
    avg_pool,
    avg_pool_grad,
    global_avg_pool,
    global_avg_pool_grad,
    max_pool,
    max_pool_grad,
)
from .regions import nms, roi_align, roi_align_grad, roi_max_pool, roi_max_pool_grad
from .shortcut import subsample_and_pad, subsample_and_pad_grad
from .warm_up import warm_up

amx.why_not()  # asks the system for tiles, before threads start
keep_freed_memory()

avg_pool, avg_pool_grad = through_float32(avg_pool), through_float32(avg_pool_grad)
max_pool, max_pool_grad = through_float32(max_pool), through_float32(max_pool_grad)
col2im, im2col, matmul = for_float32(col2im), for_float32(im2col), for_float32(matmul)
roi_align, roi_align_grad = for_float32(roi_align), for_float32(roi_align_grad)
roi_max_pool, roi_max_pool_grad = for_float32(roi_max_pool), for_float32(roi_max_pool_grad)
nms, softmax_cross_entropy = for_float32(nms), for_float32(softmax_cross_entropy)
softmax_cross_entropy_grad = for_float32(softmax_cross_entropy_grad)

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
    "warm_up",
]
