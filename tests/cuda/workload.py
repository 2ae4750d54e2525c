"""A little of everything: each kernel at shapes of ResNets, small enough for mode check.

Images are 2 of 32 x 32, channels those of the paper's networks for CIFAR-10; strided layers and
projections included. Used where kernels are measured, not where they are tested.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from minires.kernels.backward_link import BackwardLink, Links
from minires.kernels.records import ConvNorm, Epoch
from minires.kernels.running import Running

from minires import Tensor, kernels
from minires.models import cifar_resnet
from minires.nn.functional import cross_entropy
from minires.optim import SGD

IMAGES = 2
LAYERS = (  # (side, channels in, channels out, kernel, stride)
    (32, 3, 16, 3, 1),
    (32, 16, 16, 3, 1),
    (32, 16, 32, 3, 2),
    (32, 16, 32, 1, 2),
    (16, 32, 32, 3, 1),
    (8, 64, 64, 3, 1),
)
BLOCKS = ((32, 16, 16, 1), (32, 16, 32, 2), (8, 64, 64, 1))  # (side, channels in, out, stride)
MAPS = ((32, 16), (16, 32), (8, 64))  # (side, channels)


class Workload:
    """Calls the kernels of the contract on arrays of this CuPy."""

    def __init__(self, cupy: Any):
        self.cupy, self.rng = cupy, np.random.default_rng(0)

    def run(self) -> None:
        """Everything once."""
        for layer in LAYERS:
            self.convolution(*layer)
        for block in BLOCKS:
            self.block(*block)
        for size in MAPS:
            self.batch_norm(*size)
            self.elementwise(*size)
            self.pooling(*size)
        self.columns()
        self.products()
        self.loss()
        self.augmentation()
        for size in MAPS:
            self.regions(*size)

    def normal(self, *shape: int) -> Any:
        """Random numbers on the device."""
        return self.cupy.asarray(self.rng.standard_normal(shape).astype(np.float32))

    def convolution(self, side: int, c: int, filters: int, kernel: int, stride: int) -> None:
        """A layer and its two gradients."""
        geometry = {"stride": stride, "padding": kernel // 2}
        x, weight = self.normal(IMAGES, side, side, c), self.normal(kernel, kernel, c, filters)
        y = kernels.conv2d(x, weight, **geometry)
        kernels.conv2d_input_grad(y, weight, x_shape=x.shape, **geometry)
        kernels.conv2d_weight_grad(y, x, kernel_size=(kernel, kernel), **geometry)

    def block(self, side: int, c: int, filters: int, stride: int) -> None:
        """A residual block behind another operation: what convolutions do on the way."""
        x, weight1 = self.normal(IMAGES, side, side, c), self.normal(3, 3, c, filters)
        affine = [self.normal(filters) for _ in range(4)]
        first = ConvNorm(weight1, *affine[:2], 1e-5, stride, 1)
        weight2 = self.normal(3, 3, filters, filters)
        block = x, first, ConvNorm(weight2, *affine[2:], 1e-5, padding=1)
        running = [Running(self.normal(filters), self.normal(filters), 0.1) for _ in range(2)]
        y, saved = kernels.basic_block(*block, skip=True, running=tuple(running))
        dy, link = self.normal(*y.shape), BackwardLink(x, self.normal(c))
        links = Links(of_input=link)
        kernels.basic_block_grad(dy, *block, saved, skip=True, links=links)

    def batch_norm(self, side: int, c: int) -> None:
        """The end of a residual block, its gradient, and running statistics."""
        x, residual = self.normal(IMAGES, side, side, c), self.normal(IMAGES, side, side, c)
        gamma, beta = self.normal(c), self.normal(c)
        y, mean, var = kernels.batch_norm(x, gamma, beta, eps=1e-5, residual=residual, relu=True)
        kernels.batch_norm_grad(residual, x, gamma, mean, var, eps=1e-5, y=y)
        kernels.batch_norm_eval(x, gamma, beta, mean, var, eps=1e-5)
        kernels.update_running_statistics(gamma, beta, mean, var, momentum=0.1, count=99)

    def elementwise(self, side: int, c: int) -> None:
        """ReLU, and a step of SGD."""
        x = self.normal(IMAGES, side, side, c)
        y = kernels.relu(x)
        kernels.relu_grad(x, y)
        kernels.sgd_step(x, y, self.normal(*x.shape), lr=0.1, momentum=0.9, weight_decay=1e-4)

    def pooling(self, side: int, c: int) -> None:
        """ImageNet's max pooling, average pooling, and the one before the classifier."""
        x = self.normal(IMAGES, side, side, c)
        window = {"size": 3, "stride": 2, "padding": 1}
        y, argmax = kernels.max_pool(x, **window)
        kernels.max_pool_grad(y, argmax, x_shape=x.shape, **window)
        kernels.avg_pool_grad(kernels.avg_pool(x, **window), x_shape=x.shape, **window)
        kernels.global_avg_pool_grad(kernels.global_avg_pool(x), x_shape=x.shape)

    def regions(self, side: int, c: int) -> None:
        """What a detector pools from its map, both ways, and the suppression of its boxes."""
        x, settings = self.normal(IMAGES, side, side, c), {"scale": 1 / 4}
        corners = self.rng.random((20, 2, 2)).cumsum(1).reshape(20, 4) * 2 * side
        boxes = self.cupy.asarray(corners.astype(np.float32))
        where = boxes, self.cupy.asarray(self.rng.integers(0, IMAGES, 20))
        y = kernels.roi_align(x, *where, size=(7, 7), **settings)
        kernels.roi_align_grad(y, *where, x_shape=x.shape, **settings)
        y, argmax = kernels.roi_max_pool(x, *where, size=(7, 7), **settings)
        kernels.roi_max_pool_grad(y, argmax, where[1], x_shape=x.shape)
        kernels.nms(self.cupy.asarray(np.tile(corners, (5, 1)).astype(np.float32)), threshold=0.5)

    def columns(self) -> None:
        """im2col and its transpose."""
        x, window = self.normal(IMAGES, 16, 16, 32), {"kernel_size": (3, 3), "padding": 1}
        kernels.col2im(kernels.im2col(x, **window), x_shape=x.shape, **window)

    def products(self) -> None:
        """The classifier and its gradients, and larger ones."""
        for m, k, n in ((128, 64, 10), (64, 512, 1000), (256, 256, 16)):
            a, b, c = self.normal(m, k), self.normal(k, n), self.normal(m, n)
            kernels.matmul(a, b)
            kernels.matmul(c, b.T)
            kernels.matmul(a.T, c)

    def loss(self) -> None:
        """The loss, its gradient, and what is counted."""
        logits = self.normal(128, 10)
        labels = self.cupy.asarray(self.rng.integers(0, 10, 128))
        loss, probabilities = kernels.softmax_cross_entropy(logits, labels)
        kernels.softmax_cross_entropy_grad(probabilities, labels)
        kernels.tally(self.cupy.zeros(2), loss, logits, labels)

    def augmentation(self) -> None:
        """A batch of crops."""
        images = self.rng.integers(0, 256, (4, 32, 32, 3), np.uint8)
        offsets, flips = self.rng.integers(0, 9, (4, 2)), self.rng.random(4) < 0.5
        moved = [self.cupy.asarray(a) for a in (images, offsets, flips)]
        moments = self.normal(32, 32, 3), self.normal(3)
        kernels.crop_flip(*moved, *moments, padding=4)
        order, position = self.cupy.arange(3, -1, -1), self.cupy.asarray(np.array(0))
        epoch = Epoch(moved[0], order, order, *moved[1:])
        kernels.epoch_batch(epoch, position, *moments, batch_size=4, padding=4)


def training_step() -> None:
    """A step of a small network on the GPU that is there: kernels of the current precision."""
    model = cifar_resnet(8).to("cuda")
    optimizer = SGD(model.parameters(), lr=0.1)
    rng = np.random.default_rng(0)
    images = Tensor(rng.standard_normal((IMAGES, 32, 32, 3)).astype(np.float32)).to("cuda")
    loss = cross_entropy(model(images), rng.integers(0, 10, IMAGES))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
