"""minires: a deep learning engine, from scratch, that shows why residual networks train."""

from .autograd import Function, Tensor, no_grad
from .autograd.gradcheck import GradcheckError, GradcheckReport, KinkError, gradcheck
from .autograd.recompute import recompute
from .common.environment import info
from .cuda_graph import GraphError, graph
from .kernels.precision import precision
from .nn.fusing import fusing

__version__ = "0.1.0"

__all__ = [
    "Function",
    "GradcheckError",
    "GradcheckReport",
    "GraphError",
    "KinkError",
    "Tensor",
    "fusing",
    "gradcheck",
    "graph",
    "info",
    "no_grad",
    "precision",
    "recompute",
]
