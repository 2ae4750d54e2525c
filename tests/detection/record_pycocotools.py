"""Records what pycocotools says of some random sets, into `pycocotools.json` beside this file.

    pip install pycocotools && python -m tests.detection.record_pycocotools

from the repository's folder. The tests compare with the record, and need no pycocotools.
"""

import contextlib
import io
import json
import zlib
from pathlib import Path

import numpy as np

from tests.detection.sets import random_set

SEEDS = range(8)


def evaluate(content, found):
    """Precision at the largest number of detections, recall, and the twelve numbers."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = json.loads(json.dumps(content))
        truth.createIndex()
        program = COCOeval(truth, loaded(truth, found), "bbox")
        program.evaluate()
        program.accumulate()
        program.summarize()
    return program.eval["precision"][..., -1], program.eval["recall"], program.stats


def loaded(truth, found):
    """Detections as pycocotools reads them; it reads none of an empty list."""
    if found:
        return truth.loadRes(json.loads(json.dumps(found)))
    empty = type(truth)()
    empty.dataset = truth.dataset | {"annotations": []}
    empty.createIndex()
    return empty


def main():
    cases = []
    for seed in SEEDS:
        content, found = random_set(seed, images=3 + seed % 3, classes=1 + seed % 3)
        precision, recall, twelve = evaluate(content, found)
        sums = [zlib.crc32(np.ascontiguousarray(a, "<f8").tobytes()) for a in (precision, recall)]
        case = {"annotations": content, "detections": found, "twelve": list(twelve)}
        cases.append(case | dict(zip(("precision", "recall"), sums, strict=True)))
    path = Path(__file__).with_name("pycocotools.json")
    path.write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
