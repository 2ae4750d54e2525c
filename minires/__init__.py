"""minires: a deep learning engine, from scratch, that shows why residual networks train."""

from . import nn, optim
from .autograd import Function, Tensor, concatenate, no_grad, pad, stack, where
from .autograd.gradcheck import GradcheckError, GradcheckReport, KinkError, gradcheck
from .autograd.recompute import recompute
from .cuda_graph import GraphError, graph
from .environment import info
from .from_pytorch import missing_from
from .kernels.precision import precision
from .nn.fusing import fusing
from .nn.init import seed

__version__ = "0.1.0"

__all__ = [
    "Function",
    "GradcheckError",
    "GradcheckReport",
    "GraphError",
    "KinkError",
    "Tensor",
    "concatenate",
    "fusing",
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
