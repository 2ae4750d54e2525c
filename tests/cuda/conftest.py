"""Everything in this folder needs a C++ compiler, and is marked `cuda`."""

from pathlib import Path

import pytest

from .emulator import compiler

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cuda)
            if compiler() is None:
                item.add_marker(pytest.mark.skip(reason="no C++ compiler: install g++"))
