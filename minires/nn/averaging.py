"""Averages of a network's weights over its training, which often classify better than the last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from ..autograd.function import Array
from ..common.expecting import expects
from ..kernels.devices import copy_to_host, device_of, move
from .module import Module, mismatches


class WeightAverage:
    """The exponential moving average of all parameters: average += (1 - decay) * (now - average).

    It begins with the parameters as they are. Batch norm's running statistics are averages already:
    within `with average.in_use():` the network has the averaged parameters and its own buffers, as
    PyTorch's `AveragedModel` has.
    """

    @expects(model=Module, decay=float)
    def __init__(self, model: Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"WeightAverage: decay must be 0 to below 1, but is {decay}")
        self.model, self.decay = model, decay
        self.averages = {name: p.data.copy() for name, p in model.named_parameters()}

    @np.errstate(under="ignore")  # 0 is right, whatever np.seterr says
    def update(self) -> None:
        """Move the average towards the parameters, after a step of the optimiser."""
        for name, parameter in self.model.named_parameters():
            average = self.averages[name]
            average += (1 - self.decay) * (parameter.data - average)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within, the network computes with the averages."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()

    def exchange(self) -> None:
        """Exchange parameters and averages, in place."""
        for name, parameter in self.model.named_parameters():
            parameter.changes_in_place()
            average = self.averages[name]
            now = parameter.data.copy()
            parameter.data[...], average[...] = average, now

    def state_dict(self) -> dict[str, Array]:
        """Copies of the averages, by the parameters' names: NumPy arrays."""
        return {name: copy_to_host(average) for name, average in self.averages.items()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take over all averages; ValueError if they belong to another network."""
        if problems := mismatches(self.averages, state):
            text = "\n  ".join(problems)
            raise ValueError(
                f"these averages do not fit the {type(self.model).__name__}:\n  {text}"
            )
        for name, average in self.averages.items():
            average[...] = move(state[name], device_of(average))
