"""What torchvision's operations and detectors compute: `record_torchvision.py` has recorded it."""

from pathlib import Path

import numpy as np
import pytest
from minires.kernels import cpu, reference

from minires import Tensor
from minires.detection import matching
from minires.detection.boxes import HEAD_WEIGHTS, RPN_WEIGHTS, decode, encode, iou
from minires.detection.proposals import propose
from minires.weights.torchvision import slots_of

from ..kernels.suite import UNIT, OnDevice
from . import numbers_for_oracles as cases
from .numbers_for_oracles import noise

RECORD = np.load(Path(__file__).with_name("torchvision.npz"))
WEIGHTS = {"rpn": RPN_WEIGHTS, "head": HEAD_WEIGHTS}


def recorded(key):
    """The arrays of a case, in order."""
    names = sorted(
        (name for name in RECORD.files if name.rpartition(" ")[0] == key),
        key=lambda name: int(name.rpartition(" ")[2]),
    )
    assert names, key
    return [RECORD[name] for name in names]


# ------------------------------------------------------------------------ operations

KERNELS = {
    "reference": (reference, np.float64),
    "cpu": (cpu, np.float32),
    "cuda float32": pytest.param(OnDevice(), np.float32, marks=pytest.mark.cuda),
    "cuda float64": pytest.param(OnDevice(), np.float64, marks=pytest.mark.cuda),
}
kernels = pytest.mark.parametrize(("kernels", "dtype"), KERNELS.values(), ids=KERNELS)
sizes = pytest.mark.parametrize("size", cases.SIZES)


@kernels
@sizes
@pytest.mark.parametrize(("aligned", "sampling"), cases.ALIGNED)
def test_roi_align(kernels, dtype, size, aligned, sampling):
    x, boxes, images = cases.regions(upright=True)
    settings = {"scale": cases.SCALE, "aligned": aligned, "sampling": sampling}
    x, boxes = x.astype(dtype), boxes.astype(dtype)
    right, right_dx = recorded(f"align {size[0]}x{size[1]} {aligned} {sampling}")
    y = kernels.roi_align(x, boxes, images, size=size, **settings)
    dy = noise("cotangent", *y.shape).astype(dtype)
    dx = kernels.roi_align_grad(dy, boxes, images, x_shape=x.shape, **settings)
    np.testing.assert_allclose(y, right, rtol=0, atol=100 * UNIT[dtype])
    np.testing.assert_allclose(dx, right_dx, rtol=0, atol=400 * UNIT[dtype])


@kernels
@sizes
def test_roi_max_pool(kernels, dtype, size):
    x, boxes, images = cases.regions(upright=False)
    x, boxes = x.astype(dtype), boxes.astype(dtype)
    right, right_dx = recorded(f"max {size[0]}x{size[1]}")
    y, argmax = kernels.roi_max_pool(x, boxes, images, size=size, scale=cases.SCALE)
    np.testing.assert_array_equal(y, right.astype(dtype))
    dy = noise("cotangent", *y.shape).astype(dtype)
    dx = kernels.roi_max_pool_grad(dy, argmax, images, x_shape=x.shape)
    np.testing.assert_allclose(dx, right_dx, rtol=0, atol=40 * UNIT[dtype])


@kernels
@pytest.mark.parametrize("threshold", cases.THRESHOLDS)
def test_nms(kernels, dtype, threshold):
    kept = kernels.nms(cases.overlapping().astype(dtype), threshold=threshold)
    np.testing.assert_array_equal(kept, *recorded(f"nms {threshold}"))


def test_overlaps():
    boxes = cases.overlapping()
    np.testing.assert_allclose(iou(boxes[:5], boxes[5:45]), *recorded("iou"), rtol=1e-13)


@pytest.mark.parametrize("name", WEIGHTS)
def test_box_coding(name):
    boxes, codes = cases.overlapping(), noise("codes", 40, 4) * 9
    made = encode(boxes[:40], boxes[5:45], WEIGHTS[name])
    np.testing.assert_allclose(made, *recorded(f"encode {name}"), rtol=1e-12)
    made = decode(codes, boxes[5:45], WEIGHTS[name])
    np.testing.assert_allclose(made, *recorded(f"decode {name}"), rtol=1e-12)


def test_matching():
    """The same numbers for negatives, and for what is ignored."""
    boxes = cases.overlapping()
    anchors = matching.match_anchors(boxes[5:45], boxes[:5], np.ones(40, bool))
    np.testing.assert_array_equal(anchors, *recorded("match anchors"))
    regions = matching.match_regions(boxes[5:45], boxes[:5])
    np.testing.assert_array_equal(regions, *recorded("match regions"))


# ------------------------------------------------------------------------ detectors


@pytest.mark.slow
@pytest.mark.parametrize("what", cases.DETECTORS, ids=" ".join)
def test_losses_and_all_gradients(what):
    """Everything is sampled, so that nothing is drawn; one of the images has no objects.

    A trace is the norm of a gradient and its product with noise.
    """
    model = cases.detector(*what).train()
    x = Tensor(cases.images())
    losses = model.losses(x, cases.OBJECTS, cases.LABELS, np.random.default_rng(0))
    losses.total.backward()
    right, right_traces = recorded(f"training {' '.join(what)}")
    made = [losses.objectness, losses.proposal_boxes, losses.classes, losses.boxes]
    np.testing.assert_allclose([loss.item() for loss in made], right, rtol=1e-6)
    named, slots = dict(model.named_parameters()), slots_of(model)
    gradients = {n: slots[n].to_torch(p.grad) for n, p in named.items() if p.grad is not None}
    traces = cases.traces(gradients)
    assert traces.shape == right_traces.shape
    difference = np.abs(traces - right_traces) / right_traces[:, :1]
    assert difference.max() <= 1e-6, dict(zip(sorted(gradients), difference, strict=True))


def compare(model, key):
    """Detections of both images: the same order, boxes within 1e-3 pixels, scores 1e-5."""
    right = recorded(key)
    for (boxes, labels, scores), theirs in zip(
        model(Tensor(cases.images())), (right[1:4], right[5:8]), strict=True
    ):
        np.testing.assert_array_equal(labels, theirs[1])
        np.testing.assert_allclose(boxes, theirs[0], rtol=0, atol=1e-3)
        np.testing.assert_allclose(scores, theirs[2], rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("what", cases.DETECTORS, ids=" ".join)
def test_detections_of_random_weights(what):
    model, key = cases.detector(*what).eval(), f"found {' '.join(what)}"
    compare(model, key)
    levels = model.rpn(model.trunk(Tensor(cases.images())), cases.IMAGE)
    proposed = propose(levels, [cases.IMAGE] * 2, cases.NUMBERS, training=False)
    for made, right in zip(proposed, recorded(key)[::4], strict=True):
        np.testing.assert_allclose(made, right, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_detections_of_the_pyramid():
    compare(cases.pyramid_detector().eval(), "found pyramid")
