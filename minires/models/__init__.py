"""The paper's networks."""

from .cifar import CifarResNet, cifar_resnet
from .imagenet import (
    ResNet,
    plain18,
    plain34,
    resnet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
)

__all__ = [
    "CifarResNet",
    "ResNet",
    "cifar_resnet",
    "plain18",
    "plain34",
    "resnet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
]
