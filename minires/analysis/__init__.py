"""Probes: experiments that look into networks, each a function, a picture and a paragraph.

`PROBES` holds them by name in the order of the lesson; `PROBES["lesions"].run(lab)` leaves
`probes/lesions.png` and `probes/lesions.json` in the lab's folder. The functions take any network
and return arrays.
"""

from .activity import ACTIVITY, dead_shares, update_ratios
from .branches import BRANCHES, branch_to_skip
from .identity import IDENTITY, embed
from .lab import Lab
from .landscape import LANDSCAPE, filter_normalised_direction, loss_surface
from .lesions import LESIONS, lesion_errors
from .paths import PATHS, measure_paths, path_gradient
from .probe import Probe
from .propagation import FIRST_STEPS, PROPAGATION, Propagation, propagate
from .responses import RESPONSES, response_stds
from .shattering import SHATTERING, autocorrelation, gradient_curve
from .shortcuts import SHORTCUTS
from .vanishing import VANISHING

PROBES: dict[str, Probe] = {
    probe.name: probe
    for probe in (
        VANISHING,
        PROPAGATION,
        FIRST_STEPS,
        ACTIVITY,
        IDENTITY,
        SHORTCUTS,
        SHATTERING,
        BRANCHES,
        RESPONSES,
        LESIONS,
        PATHS,
        LANDSCAPE,
    )
}

__all__ = [
    "PROBES",
    "Lab",
    "Probe",
    "Propagation",
    "autocorrelation",
    "branch_to_skip",
    "dead_shares",
    "embed",
    "filter_normalised_direction",
    "gradient_curve",
    "lesion_errors",
    "loss_surface",
    "measure_paths",
    "path_gradient",
    "propagate",
    "response_stds",
    "update_ratios",
]
