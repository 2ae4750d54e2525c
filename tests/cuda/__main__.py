"""Writes the pages that the tests compare: `python -m tests.cuda [resources] [traffic]`."""

import sys

from . import resources, traffic_report

PAGES = {"resources": resources, "traffic": traffic_report}


def main(names: list[str]) -> None:
    """Write the pages named, or all."""
    for name in names or PAGES:
        page = PAGES[name]
        page.PLACE.write_text(page.page(page.measure()), encoding="utf-8")
        print(f"wrote {page.PLACE}")


if __name__ == "__main__":
    main(sys.argv[1:])
