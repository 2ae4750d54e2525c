"""Training: the loop, recipes and schedules, records and checkpoints."""

from .divergence import DivergedError
from .interrupt import InterruptedTraining
from .meters import Meter, evaluate_split
from .recipes import PRESETS, Recipe
from .schedules import ConstantWarmUp, CosineDecay, LinearDecay, LinearWarmUp, Schedule, StepDecay
from .side_by_side import run_side_by_side
from .trainer import Trainer, run_all

__all__ = [
    "PRESETS",
    "ConstantWarmUp",
    "CosineDecay",
    "DivergedError",
    "InterruptedTraining",
    "LinearDecay",
    "LinearWarmUp",
    "Meter",
    "Recipe",
    "Schedule",
    "StepDecay",
    "Trainer",
    "evaluate_split",
    "run_all",
    "run_side_by_side",
]
