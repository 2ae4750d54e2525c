"""Weights to and from torchvision, and networks to ONNX."""

from .torchvision import load_torchvision, save_torchvision

__all__ = ["load_torchvision", "save_torchvision"]
