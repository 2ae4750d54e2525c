"""Detectors from files: torchvision's `fasterrcnn_resnet50_fpn`, and those trained here.

| here | torchvision | older files of torchvision |
|---|---|---|
| trunk.body. | backbone.body. | the same |
| trunk.fpn.inner_blocks.0. | backbone.fpn.inner_blocks.0.0. | backbone.fpn.inner_blocks.0. |
| rpn.conv. | rpn.head.conv.0.0. | rpn.head.conv. |
| rpn.cls_logits. | rpn.head.cls_logits. | the same |
| head.fc6. | roi_heads.box_head.fc6. | the same |
| predictor.cls_score. | roi_heads.box_predictor.cls_score. | the same |
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..common.expecting import SOME, Each, expects
from ..weights.torchvision import COUNTER, misfits, numbers_of, read_state, slots_of
from .network import FasterRCNN
from .pyramid import faster_rcnn_fpn
from .saved import load_saved

PREFIXES = (
    (r"backbone\.fpn\.(inner|layer)_blocks\.(\d)\.0\.", r"trunk.fpn.\1_blocks.\2."),
    (r"backbone\.", "trunk."),
    (r"rpn\.head\.conv\.0\.0\.", "rpn.conv."),
    (r"rpn\.head\.", "rpn."),
    (r"roi_heads\.box_head\.", "head."),
    (r"roi_heads\.box_predictor\.", "predictor."),
)
SCORES = "predictor.cls_score.bias"
UNUSED = "not used"  # what ids that COCO left out are called
# fmt: off
COCO_NAMES = (  # by COCO's ids, 1 .. 90
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", UNUSED, "stop sign", "parking meter", "bench", "bird", "cat",
    "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", UNUSED, "backpack",
    "umbrella", UNUSED, UNUSED, "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", UNUSED, "wine glass", "cup", "fork", "knife", "spoon", "bowl",
    "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut",
    "cake", "chair", "couch", "potted plant", "bed", UNUSED, "dining table", UNUSED, UNUSED,
    "toilet", UNUSED, "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave",
    "oven", "toaster", "sink", "refrigerator", UNUSED, "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)
# fmt: on


@expects(path=Path, classes=Each(str, SOME), eps=float)
def load_detector(
    path: Path | str, *, classes: Sequence[str] | None = None, eps: float | None = None
) -> FasterRCNN:
    """The detector of a file of torchvision's `fasterrcnn_resnet50_fpn`, or of one trained here.

    It comes in evaluation mode. One trained here knows its classes; `classes` are other names for
    them. What follows is about torchvision's files.

    `.pth` or `.safetensors`, with the older names or today's. `classes` are the names of labels 1
    .. K; without them 90 labels are COCO's, others "class 1" and so on. `eps` of batch norm is 0,
    as the published file demands, but 1e-5 where the file has counters of batches, as of norms that
    were trained; a file does not say more.

    Raises: FileNotFoundError; ValueError for a file of something else, or for a wrong number of
    classes.
    """
    path = Path(path).expanduser()
    if path.suffix == ".safetensors" and path.is_file() and (own := load_saved(path)):
        return renamed(own, path, classes, eps)
    entries = {ours(name): entry for name, entry in read_state(path).items()}
    if SCORES not in entries or "trunk.fpn.inner_blocks.0.weight" not in entries:
        raise ValueError(
            f"{path} is no detector that can be read: expected torchvision's "
            f"fasterrcnn_resnet50_fpn, but its tensors are {', '.join(list(entries)[:3])}, ..."
        )
    names = names_of(entries, path, classes)
    trained = any(name.endswith(COUNTER) for name in entries)
    eps = (1e-5 if trained else 0.0) if eps is None else eps
    model = faster_rcnn_fpn(names, eps=eps, seed="zeros").eval()
    slots = slots_of(model)
    if problems := misfits(slots, entries):
        raise ValueError(f"{path} does not fit the {model.name}:\n  " + "\n  ".join(problems))
    state = model.state_dict()
    for name, slot in slots.items():
        numbers = numbers_of(name, entries[name], path)
        state[name] = slot.from_torch(numbers).astype(state[name].dtype)
    model.load_state_dict(state)
    return model


def renamed(
    model: FasterRCNN, path: Path, classes: Sequence[str] | None, eps: float | None
) -> FasterRCNN:
    """A detector trained here, whose labels are called as asked for; its eps stays."""
    if eps is not None:
        raise ValueError(f"{path} was trained here and knows its own eps: leave it out")
    if classes is not None:
        refuse_count(path, len(model.classes), classes)
        model.classes = tuple(classes)
    return model


def refuse_count(path: Path, count: int, classes: Sequence[str]) -> None:
    """Raises: ValueError where other than all classes are named."""
    if len(classes) != count:
        raise ValueError(
            f"{path} has {count} classes beside the background, but {len(classes)} are named"
        )


def ours(name: str) -> str:
    """Our name of a tensor of torchvision's."""
    for pattern, replacement in PREFIXES:
        name = re.sub("^" + pattern, replacement, name)
    return name


def names_of(
    entries: Mapping[str, Any], path: Path, classes: Sequence[str] | None
) -> tuple[str, ...]:
    """Names of the labels 1 .. K, as many as the file has; one output is background."""
    shape = entries[SCORES].shape
    count = shape[0] - 1 if len(shape) == 1 else 0
    if count < 1 or entries["predictor.cls_score.weight"].shape != (count + 1, 1024):
        raise ValueError(f"{path}: expected two outputs or more of 1024 features, but got {shape}")
    if classes is None:
        return (
            COCO_NAMES
            if count == len(COCO_NAMES)
            else tuple(f"class {i + 1}" for i in range(count))
        )
    refuse_count(path, count, classes)
    return tuple(classes)
