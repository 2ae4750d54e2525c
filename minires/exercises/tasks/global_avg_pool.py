"""What is checked of global average pooling."""

import numpy as np

from ..task import AWKWARD_IMAGES, IMAGE, Case, Exercise, Race, Task, numeric_gradient

VECTORS = ("image", "channel")


def forward_cases(rng):
    """Random images."""
    return [Case({"x": rng.standard_normal(shape)}) for shape in AWKWARD_IMAGES]


def grad_cases(rng):
    """Random cotangents."""
    return [
        Case({"dy": rng.standard_normal((shape[0], shape[3])), "x_shape": shape})
        for shape in AWKWARD_IMAGES
    ]


def forward(x):
    """The definition."""
    return x.mean((1, 2))


def gradient(dy, x_shape):
    """By differences, at zero."""
    return numeric_gradient(forward, np.zeros(x_shape), dy)


def spread(dy, x_shape):
    """dy at every pixel."""
    return np.broadcast_to(dy[:, None, None], x_shape)


def summed(x):
    """This is the sum over the pixels: take the average."""
    return x.sum((1, 2))


def largest(x):
    """This is the largest value of each map: take the average."""
    return x.max((1, 2))


def not_divided(dy, x_shape):
    """dx is not divided by the number of pixels, H * W: y is their average, so each counts for a
    small part."""
    return spread(dy, x_shape)


def divided_by_all(dy, x_shape):
    """dx is divided by N * H * W: the average runs over the pixels of one image, not over the
    images."""
    return spread(dy, x_shape) / np.prod(x_shape[:3])


def divided_by_channels(dy, x_shape):
    """dx is divided by the number of channels too: the average runs over pixels only."""
    return spread(dy, x_shape) / np.prod(x_shape[1:])


def divided_by_height(dy, x_shape):
    """dx is divided by H alone: the average runs over rows and columns."""
    return spread(dy, x_shape) / x_shape[1]


def divided_by_width(dy, x_shape):
    """dx is divided by W alone: the average runs over rows and columns."""
    return spread(dy, x_shape) / x_shape[2]


def divided_by_square(dy, x_shape):
    """dx is divided by H * H: maps need not be square, it is H * W."""
    return spread(dy, x_shape) / x_shape[1] ** 2


def to_one_pixel(dy, x_shape):
    """Only the first pixel of each map gets a gradient: all of them are in the average."""
    dx = np.zeros(x_shape)
    dx[:, 0, 0] = dy
    return dx


def share_to_one_pixel(dy, x_shape):
    """Only the first pixel of each map gets a gradient: all of them are in the average."""
    return to_one_pixel(dy, x_shape) / (x_shape[1] * x_shape[2])


def of_images(rng):
    """For the race."""
    dy = rng.standard_normal((128, 64), dtype=np.float32)
    return {"dy": dy, "x_shape": (128, 8, 8, 64)}


def in_the_engine(dy, x_shape):
    """What Sum and Multiply do in minires/autograd/ops.py."""
    share = (dy / np.float32(x_shape[1] * x_shape[2])).reshape(len(dy), 1, 1, -1)
    return np.broadcast_to(share, x_shape).copy()


EXERCISE = Exercise(
    "global_avg_pool",
    "global average pooling",
    tasks=(
        Task(
            "global_avg_pool",
            {"y": VECTORS},
            forward_cases,
            forward,
            mistakes={"y": (summed, largest)},
        ),
        Task(
            "global_avg_pool_grad",
            {"dx": IMAGE},
            grad_cases,
            gradient,
            mistakes={
                "dx": (
                    not_divided,
                    divided_by_all,
                    divided_by_channels,
                    divided_by_height,
                    divided_by_width,
                    divided_by_square,
                    to_one_pixel,
                    share_to_one_pixel,
                )
            },
        ),
    ),
    hints=(
        "If one pixel grows by 0.001, by how much does the average of H * W pixels grow?",
        "So every pixel of a map gets the same gradient: the map's dy, divided by H * W.",
        "dy[:, None, None, :] has the shape (N, 1, 1, C); np.broadcast_to repeats it to x_shape. "
        "What it returns is a read-only view: copy it.",
    ),
    race=Race("global_avg_pool_grad", of_images, reference=in_the_engine, engine=in_the_engine),
    after="Forward an average over H * W pixels, backward each pixel gets 1 / (H * W): the larger "
    "the map, the smaller the gradient at a pixel.",
)
