"""`python -m tests.cuda [resources] [traffic]` writes the pages that the tests compare.

`python -m tests.cuda workload` runs each kernel once on a GPU that is there, for checkers:

    compute-sanitizer --tool racecheck python -m tests.cuda workload
"""

import sys

import minires

from . import resources, traffic_report
from .workload import Workload, training_step

PAGES = {"resources": resources, "traffic": traffic_report}


def main(names: list[str]) -> None:
    """Write the pages named, or all; or run the workload."""
    if names == ["workload"]:
        run_workload()
        return
    for name in names or PAGES:
        page = PAGES[name]
        page.PLACE.write_text(page.page(page.measure()), encoding="utf-8")
        print(f"wrote {page.PLACE}")


def run_workload() -> None:
    """The kernels of each precision, on the GPU itself."""
    import cupy

    for precision in ("float32", "tf32"):
        with minires.precision(precision):
            Workload(cupy).run()
    with minires.precision("bfloat16"):
        training_step()
    cupy.cuda.Device().synchronize()


if __name__ == "__main__":
    main(sys.argv[1:])
