"""The paper's tables in small: each experiment trains, and prints the paper's rows beside ours."""

from . import depths, ensemble, multi_view
from .catalogue import BOTTLENECK, DRAWINGS, SHORTCUTS
from .result import Result, load_result
from .setting import Setting

EXPERIMENTS = {
    SHORTCUTS.key: SHORTCUTS.run,
    BOTTLENECK.key: BOTTLENECK.run,
    "depths": depths.run,
    DRAWINGS.key: DRAWINGS.run,
    multi_view.KEY: multi_view.run,
    "ensemble": ensemble.run,
}

__all__ = ["EXPERIMENTS", "Result", "Setting", "load_result"]
