"""Detection: boxes, annotated images, what detections are worth, and Faster R-CNN."""

from .annotations import AnnotatedImage, Annotations, Fault
from .backbones import faster_rcnn
from .coco import read_coco
from .coco_metric import CocoEvaluation, evaluate_coco
from .detecting import detect
from .detections import Detections, read_detections
from .network import FasterRCNN
from .pyramid import faster_rcnn_fpn
from .reading import read_annotations
from .regions import Found
from .saved import save_detector
from .scenes import scenes
from .settings import Settings
from .training import DetectorTrainer, train_detector, train_detectors
from .voc import read_voc
from .voc_metric import VocEvaluation, evaluate_voc
from .weights import load_detector

__all__ = [
    "AnnotatedImage",
    "Annotations",
    "CocoEvaluation",
    "Detections",
    "DetectorTrainer",
    "FasterRCNN",
    "Fault",
    "Found",
    "Settings",
    "VocEvaluation",
    "detect",
    "evaluate_coco",
    "evaluate_voc",
    "faster_rcnn",
    "faster_rcnn_fpn",
    "load_detector",
    "read_annotations",
    "read_coco",
    "read_detections",
    "read_voc",
    "save_detector",
    "scenes",
    "train_detector",
    "train_detectors",
]
