"""The kernels in CUDA C for NVIDIA GPUs, through CuPy; float32, float64, maps also in bfloat16.

    source.py        which files make a module, and which kernels each is compiled for
    launch.py        compiling at the first use, launching
    common.cuh       code that all kernels share
    tensor.cuh       tensor cores and copies past the registers
    product.cuh      one tiled matrix product for everything
    loading.cuh      how its tiles come to shared memory
    large.cuh        larger tiles for large products in TF32
    bfloat16.cuh     products of maps in bfloat16
    sums.cuh         batch norm's sums, taken while results are in registers
    arrival.cuh      sums over blocks: the last blocks to arrive add the parts
    convolution.cu   convolution and its gradients as implicit products: convolution.py
    runs.cu          3 x 3 convolutions that read a tile's pixels once: runs.py
    runs_weight.cu   the gradient of their weight: runs.py
    gemm.cu          matrix products: matmul.py
    columns.cu       im2col and col2im: columns.py
    batch_norm.cu    statistics, normalising, gradients: batch_norm.py, fused.py
    elementwise.cu   pooling.cu   regions.cu   loss.cu   augment.cu: files of the same names

Names and arguments are those of `minires.kernels`, which checks them before it calls these kernels.
A call returns before the GPU has computed anything; reading a result waits for it. The shapes alone
decide how work is cut, and parts are added in order, so results have the same bits every time.
"""

from ..reference import subsample_and_pad, subsample_and_pad_grad
from .augment import crop_flip, epoch_batch
from .batch_norm import (
    batch_norm,
    batch_norm_eval,
    batch_norm_eval_grad,
    batch_norm_grad,
    update_running_statistics,
)
from .columns import col2im, im2col
from .convolution import conv2d, conv2d_input_grad, conv2d_weight_grad
from .elementwise import relu, relu_grad, sgd_step
from .fused import (
    basic_block,
    basic_block_grad,
    conv2d_batch_norm,
    conv2d_batch_norm_eval,
    conv2d_batch_norm_grad,
)
from .loss import softmax_cross_entropy, softmax_cross_entropy_grad, tally
from .matmul import matmul
from .pooling import (
    avg_pool,
    avg_pool_grad,
    global_avg_pool,
    global_avg_pool_grad,
    max_pool,
    max_pool_grad,
)
from .regions import nms, roi_align, roi_align_grad, roi_max_pool, roi_max_pool_grad

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
]
