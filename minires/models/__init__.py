"""The paper's networks."""

from .cifar import CifarResNet, cifar_resnet

__all__ = ["CifarResNet", "cifar_resnet"]
