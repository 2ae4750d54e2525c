"""What all tests share: Hypothesis profiles, a seeded generator, and what the markers do.

`HYPOTHESIS_PROFILE=ci` draws more examples than the default `dev`, the same ones every time. Tests
marked `mutation` plant bugs and run other tests; they take part only where `-m` names them.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, settings

TOOLS = Path(__file__).parent / "cuda"  # their tests are about the stand-in

settings.register_profile("dev", max_examples=15, deadline=None)
settings.register_profile("ci", max_examples=15, deadline=None, derandomize=True)
settings.register_profile(
    "mutation",
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),  # that a test fails is enough, no need to shrink
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture
def rng():
    """A generator that starts alike in every test."""
    return np.random.default_rng(2015)


def pytest_configure(config):
    marks = config.option.markexpr
    if "gpu" in marks and "not gpu" not in marks:
        os.environ["MINIRES_TEST_BACKEND"] = "cupy"


def pytest_collection_modifyitems(config, items):
    from tests.device import is_real, why_not

    reason = why_not()
    for item in items:
        if item.get_closest_marker("cuda"):
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))
            if is_real() and TOOLS not in item.path.parents:
                item.add_marker(pytest.mark.gpu)
    if "mutation" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("mutation")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
