"""OpenVINO on the network that PyTorch exports; in float32, or after `use_mode` in bfloat16."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino
import torch
from networks import Arrays

from . import Step
from .onnxruntime import export
from .torch import build

OPTIONS: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}


def version() -> str:
    return openvino.__version__.split("-")[0]


def use_mode(mode: str) -> None:
    """From here on in bfloat16, where the processor has it."""
    OPTIONS["INFERENCE_PRECISION_HINT"] = {"bfloat16": "bf16"}[mode]


def use_threads(count: int) -> None:
    OPTIONS["INFERENCE_NUM_THREADS"] = count


def threads() -> int:
    """As told to the network when it was compiled."""
    return OPTIONS["INFERENCE_NUM_THREADS"]


def infer(network: str, weights: Arrays, images: np.ndarray) -> Step:
    x = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    core = openvino.Core()
    file = export(build(network, weights).eval(), torch.from_numpy(x))
    request = core.compile_model(core.read_model(file), "CPU", OPTIONS).create_infer_request()
    return lambda: request.infer([x])[0]
