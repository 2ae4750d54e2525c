"""What detection needs has no kernels for a GPU yet: each call says so."""

from __future__ import annotations

from typing import Any, NoReturn


def refuse(*_: Any, **__: Any) -> NoReturn:
    """Raises: ValueError that says what to do."""
    raise ValueError(
        "regions of maps can't be pooled on a GPU yet, nor boxes suppressed: move the detector and "
        'its images to the CPU, by model.to("cpu")'
    )


nms = roi_align = roi_align_grad = roi_max_pool = roi_max_pool_grad = refuse
