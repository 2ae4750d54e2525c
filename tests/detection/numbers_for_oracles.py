"""Numbers and cases that torchvision and we both compute with: no generator need agree on them."""

import zlib
from dataclasses import replace

import numpy as np

from minires.detection import Settings, faster_rcnn, faster_rcnn_fpn, pyramid
from minires.models import VGG
from minires.weights.torchvision import slots_of

CLASSES = ("a", "b", "c", "d")
SHAPE, SCALE = (2, 13, 11, 2), 0.5  # of the map of the operations
SIZES = ((3, 2), (2, 5))
ALIGNED = [(aligned, sampling) for aligned in (False, True) for sampling in (0, 1, 2)]
THRESHOLDS = (0.3, 0.5, 0.7)
IMAGE = (96, 128)
OBJECTS = [np.array([[8.0, 12, 70, 80], [50, 30, 120, 90], [20, 50, 52, 90]]), np.zeros((0, 4))]
LABELS = [np.array([2, 4, 1]), np.zeros(0, np.int64)]
NUMBERS = Settings(
    sizes=((32, 64),),
    border=True,
    anchor_sample=10**6,
    before_nms=(300, 200),
    after_nms=(24, 20),
    region_sample=10**6,
    beta=1 / 9,
    nms=0.5,
)
POOL = 4  # pixels of a region, instead of 14
DETECTORS = (("align",), ("max",), ("max", "vgg16"))
HIDDEN = 32  # features of a region of VGG-16, instead of 4096
FIXED = ("trunk.conv1.", "trunk.bn1.", "trunk.layer1.")  # not trained
FIXED += tuple(f"trunk.features.{number}." for number in (0, 2, 5, 7))
OF_PYRAMID = replace(pyramid.SETTINGS, after_nms=(40, 40))
PREFIXES = {
    "trunk.fpn.": "backbone.fpn.",
    "trunk.": "backbone.",
    "rpn.conv.": "rpn.head.conv.0.0.",
    "rpn.": "rpn.head.",
    "head.": "roi_heads.box_head.",
    "predictor.": "roi_heads.box_predictor.",
}


def noise(name, *shape):
    """Uniform in -1 .. 1, by the name: splitmix64, whole numbers throughout."""
    z = np.arange(np.prod(shape, dtype=int), dtype=np.uint64)
    z = (z + np.uint64(zlib.crc32(name.encode()) << 31)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    z ^= z >> np.uint64(31)
    return ((z >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1).reshape(shape)


def regions(*, upright):
    """A map, regions of it (inside, across its edge, outside, some inverted), and their images.

    torchvision's RoI align refuses inverted ones.
    """
    boxes = noise("boxes", 14, 4) * 9 + [8, 9, 14, 17]
    if upright:
        boxes = np.sort(boxes.reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    boxes[:4] = np.round(boxes[:4])  # halves of the map's pixels
    return noise("map", *SHAPE), boxes, np.arange(14) % 2


def overlapping(count=150):
    """Boxes, best first."""
    corners = noise("many", count, 4)
    return np.concatenate([corners[:, :2] * 20, corners[:, :2] * 20 + 12 + corners[:, 2:] * 9], 1)


def images():
    """(2, H, W, 3)"""
    return noise("images", 2, *IMAGE, 3)


def in_torchvision(name):
    """Our name of a tensor in torchvision's words."""
    prefix = next(prefix for prefix in PREFIXES if name.startswith(prefix))
    name = PREFIXES[prefix] + name.removeprefix(prefix)
    if "_blocks" in name:
        stem, last = name.rsplit(".", 1)
        return f"{stem}.0.{last}"
    return name


def values(name, shape):
    """Numbers for a tensor in PyTorch's layout, so that no map vanishes or overflows."""
    drawn = noise(name, *shape)
    if name.endswith("running_var"):
        return 1 + drawn / 2
    if len(shape) == 1:
        is_scale = name.endswith("weight")
        return (
            (0.3 if "bn3" in name or "bn2" in name else 0.9) + 0.1 * drawn
            if is_scale
            else drawn / 10
        )
    size = 0.3 if "bbox_pred" in name else 1.0
    return drawn * size * np.sqrt(6 / np.prod(shape[1:]))


def filled(model):
    """The detector with these numbers."""
    state = model.state_dict()
    for name, slot in slots_of(model).items():
        state[name] = slot.from_torch(values(name, slot.torch_shape)).astype(state[name].dtype)
    model.load_state_dict(state)
    return model


def detector(pooling, backbone="resnet18"):
    """ResNet-18 in the form C4, with small regions, or VGG-16 with few features; float64."""
    options = {"settings": NUMBERS, "pooling": pooling, "softmax": False, "dtype": np.float64}
    if backbone == "vgg16":
        own = {"batch_norm": False, "dropout": 0.0, "hidden": HIDDEN, "dtype": np.float64}
        options["network"] = VGG(16, classes=1, seed="zeros", **own)
    model = filled(faster_rcnn(backbone, CLASSES, seed="zeros", **options))
    model.pool.size = POOL if backbone == "resnet18" else 7
    return model


def pyramid_detector():
    """ResNet-50 with a pyramid, float64."""
    options = {"settings": OF_PYRAMID, "seed": "zeros", "dtype": np.float64}
    return filled(faster_rcnn_fpn(CLASSES, **options))


def traces(gradients):
    """Of each tensor its norm, and its product with noise, (n, 2): names -> arrays in PyTorch's
    layout."""
    return np.array(
        [
            [
                np.linalg.norm(gradients[name]),
                (gradients[name] * noise(f"trace of {name}", *gradients[name].shape)).sum(),
            ]
            for name in sorted(gradients)
        ]
    )
