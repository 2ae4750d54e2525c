"""The paper's networks."""

from ..from_pytorch import missing_from
from .cifar import CifarResNet, cifar_resnet
from .googlenet import GoogLeNet, googlenet
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
    resnext50_32x4d,
    resnext101_32x8d,
    wide_resnet50_2,
    wide_resnet101_2,
)
from .names import by_name, made_as, make_again
from .vgg import VGG, vgg, vgg16, vgg19

__all__ = [
    "VGG",
    "CifarResNet",
    "GoogLeNet",
    "ResNet",
    "by_name",
    "cifar_resnet",
    "googlenet",
    "made_as",
    "make_again",
    "plain18",
    "plain34",
    "resnet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "vgg",
    "vgg16",
    "vgg19",
    "wide_resnet50_2",
    "wide_resnet101_2",
]

__getattr__ = missing_from("minires.models")
