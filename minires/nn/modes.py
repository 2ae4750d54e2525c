"""Training or evaluation for a while: afterwards every module is as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..common.expecting import expects
from .module import Module


@expects(model=Module)
@contextmanager
def keeping_modes(model: Module) -> Iterator[None]:
    """At the end of the block, however it ends, every module is back in the mode it was in.

    Modes may differ from module to module: a user may have put some into evaluation alone.
    """
    modes = {module: module.training for _, module in model.named_modules()}
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@expects(model=Module)
@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Within the block the network is in evaluation; then every module is as before."""
    with keeping_modes(model):
        model.eval()
        yield
