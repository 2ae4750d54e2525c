"""Python with all packages imported, which forks a child for every run of pytest.

Importing PyTorch, Numba and the others takes longer than most of the tests that find a planted bug.
It reads a line of JSON for each run from standard input: pytest's arguments and the file for its
output. It answers with the exit status. Only the children import minires itself, so each sees the
bug that is planted then. No thread may have been started before a fork: nothing is
computed here.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import sys

PACKAGES = ["hypothesis", "matplotlib.figure", "numba", "numpy", "PIL.Image", "torch", "typer"]
SECONDS = 600  # that a run may take


def import_packages() -> None:
    """All but those that aren't installed."""
    for name in PACKAGES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def run_pytest(arguments: list[str], output: str) -> None:
    """In a child: pytest, and the end of the process."""
    signal.alarm(SECONDS)
    target = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(target, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    import pytest

    status = pytest.main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main() -> None:
    """Serve until standard input ends."""
    sys.path[0] = os.getcwd()
    import_packages()
    gc.freeze()  # what is there now need not be looked through in every child
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run_pytest(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
