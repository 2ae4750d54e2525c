"""ONNX Runtime on the network that PyTorch exports."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings

import numpy as np
import onnxruntime
import torch
from networks import Arrays

from . import Step
from .torch import build

OPTIONS = onnxruntime.SessionOptions()


def version() -> str:
    return onnxruntime.__version__


def use_threads(count: int) -> None:
    """Threads within an operator; operators come one after the other."""
    OPTIONS.intra_op_num_threads, OPTIONS.inter_op_num_threads = count, 1


def threads() -> int:
    """As told to the session."""
    return OPTIONS.intra_op_num_threads


def export(model: torch.nn.Module, x: torch.Tensor) -> bytes:
    """The network as an ONNX file, in silence."""
    logging.disable(logging.WARNING)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
        program = torch.onnx.export(model, (x,), dynamo=True, verbose=False)
    return program.model_proto.SerializeToString()


def infer(network: str, weights: Arrays, images: np.ndarray) -> Step:
    x = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    model = build(network, weights).eval()
    file = export(model, torch.from_numpy(x))
    session = onnxruntime.InferenceSession(file, OPTIONS, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: x})[0]
