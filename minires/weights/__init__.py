"""Weights to and from torchvision, and networks to ONNX."""

from .onnx import export_onnx
from .torchvision import load_torchvision, save_torchvision

__all__ = ["export_onnx", "load_torchvision", "save_torchvision"]
