"""minires: a deep learning engine, from scratch, that shows why residual networks train."""

from . import nn, optim
from .autograd import Function, Tensor, concatenate, no_grad, pad, stack, where
from .from_pytorch import missing_from
from .gradcheck import GradcheckError, GradcheckReport, KinkError, gradcheck
from .graph import GraphError, graph
from .info import info
from .kernels.precision import precision
from .nn.init import seed
from .recompute import recompute

__version__ = "0.1.0"

__all__ = [
    "Function",
    "GradcheckError",
    "GradcheckReport",
    "GraphError",
    "KinkError",
    "Tensor",
    "concatenate",
    "gradcheck",
    "graph",
    "info",
    "nn",
    "no_grad",
    "optim",
    "pad",
    "precision",
    "recompute",
    "seed",
    "stack",
    "where",
]

__getattr__ = missing_from("minires")
