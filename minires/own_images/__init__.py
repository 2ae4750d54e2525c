"""`minires train`: a network learns a user's own folders of images, from scratch or fine-tuned."""

from .recipes import PRESETS_OF_EPOCHS, recipe_of
from .results import save_network
from .starting import begin, freeze_layers
from .trainer import PhotographTrainer

__all__ = [
    "PRESETS_OF_EPOCHS",
    "PhotographTrainer",
    "begin",
    "freeze_layers",
    "recipe_of",
    "save_network",
]
