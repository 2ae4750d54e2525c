"""From the records of runs to a table, a verdict in plain words, pictures, and an HTML page."""

from .architecture import draw_architectures
from .figures import draw_error_curves, draw_gradient_norms
from .kept import keep_runs, kept_runs
from .page import write_report
from .runs import Group, Run, group_runs, load_runs
from .tables import results_table
from .verdict import verdict

__all__ = [
    "Group",
    "Run",
    "draw_architectures",
    "draw_error_curves",
    "draw_gradient_norms",
    "group_runs",
    "keep_runs",
    "kept_runs",
    "load_runs",
    "results_table",
    "verdict",
    "write_report",
]
