"""Detection: boxes, anchors, annotated images, and what detections are worth."""

from .annotations import AnnotatedImage, Annotations, Fault
from .coco import read_coco
from .coco_metric import CocoEvaluation, evaluate_coco
from .detections import Detections, read_detections
from .reading import read_annotations
from .voc import read_voc
from .voc_metric import VocEvaluation, evaluate_voc

__all__ = [
    "AnnotatedImage",
    "Annotations",
    "CocoEvaluation",
    "Detections",
    "Fault",
    "VocEvaluation",
    "evaluate_coco",
    "evaluate_voc",
    "read_annotations",
    "read_coco",
    "read_detections",
    "read_voc",
]
