"""Training: the loop, recipes and schedules, records and checkpoints, comparisons of networks."""

from .diagnosis import DivergedError
from .interrupt import InterruptedTraining
from .recipes import PRESETS, Recipe
from .schedules import ConstantWarmUp, LinearDecay, LinearWarmUp, Schedule, StepDecay
from .trainer import Meter, Trainer, evaluate

__all__ = [
    "PRESETS",
    "ConstantWarmUp",
    "DivergedError",
    "InterruptedTraining",
    "LinearDecay",
    "LinearWarmUp",
    "Meter",
    "Recipe",
    "Schedule",
    "StepDecay",
    "Trainer",
    "evaluate",
]
