"""Trained networks on images: the paper's test protocols, ensembles, and single photographs."""

from .classify import Guess, classify, draw_guesses
from .evaluate import ENSEMBLE, Evaluation, Score, evaluate
from .fully_convolutional import score_map
from .predict import predict
from .protocols import PROTOCOLS, SCALES, MultiScale, SingleCrop, TenCrop
from .tables import bars, evaluation_table, share_waited

__all__ = [
    "ENSEMBLE",
    "PROTOCOLS",
    "SCALES",
    "Evaluation",
    "Guess",
    "MultiScale",
    "Score",
    "SingleCrop",
    "TenCrop",
    "bars",
    "classify",
    "draw_guesses",
    "evaluate",
    "evaluation_table",
    "predict",
    "score_map",
    "share_waited",
]
