"""How long do COCO's twelve numbers take? Beside pycocotools, on as many images as COCO's val2017.

    pip install pycocotools && python benchmarks/detections.py [--images 5000] [--repeats 3]

makes a set like COCO's in number and kind (80 classes, 7 objects an image, 1 % crowds, up to 100
detections an image), writes it as JSON, and lets both programs read and evaluate it in turns. The
numbers must be the same, bit for bit. Without pycocotools only ours is timed.
"""

from __future__ import annotations

import contextlib
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from minires.detection import evaluate_coco, evaluate_voc, read_coco, read_detections

CLASSES, OBJECTS, DETECTIONS, SIDE = 80, 7, 100, 640
console = Console()
Times = dict[str, float]


def main(
    images: Annotated[int, typer.Option(min=1)] = 5000,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Time both programs in turns."""
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder, "annotations.json"), Path(folder, "detections.json")
        write_set(images, *paths)
        programs: dict[str, Callable[[Path, Path], tuple[Times, Any]]] = {"minires": ours}
        with contextlib.suppress(ImportError):
            import pycocotools  # noqa: F401

            programs["pycocotools"] = theirs
        runs: dict[str, list[Times]] = {name: [] for name in programs}
        numbers = {}
        for _ in range(repeats):
            for name, program in programs.items():
                times, numbers[name] = program(*paths)
                runs[name].append(times)
    show(runs, images)
    if len(numbers) > 1:
        same = list(numbers["minires"]) == list(numbers["pycocotools"])
        console.print("the same numbers" if same else "DIFFERENT NUMBERS")
        raise typer.Exit(not same)


def write_set(images: int, annotations: Path, detections: Path) -> None:
    """Objects of log-uniform sizes, each found some times with some error; and false detections."""
    rng = np.random.default_rng(0)
    objects, found = [], []
    for image in range(1, images + 1):
        count = rng.poisson(OBJECTS)
        classes = rng.choice(rng.integers(1, CLASSES + 1, 3), count)  # few classes in one image
        boxes = random_boxes(rng, count)
        for box, category in zip(boxes, classes, strict=True):
            objects.append(
                {
                    "id": len(objects) + 1,
                    "image_id": image,
                    "category_id": int(category),
                    "bbox": box.round(2).tolist(),
                    "area": float(box[2] * box[3] * rng.uniform(0.4, 1)),
                    "iscrowd": int(rng.random() < 0.01),
                }
            )
        near = rng.integers(0, count, DETECTIONS // 2) if count else []
        moved = boxes[near] + rng.normal(0, 0.1, (len(near), 4)) * boxes[near][:, [2, 3, 2, 3]]
        guesses = np.concatenate([moved, random_boxes(rng, DETECTIONS - len(near))])
        guesses[:, 2:] = np.maximum(guesses[:, 2:], 1)
        kinds = [*classes[near], *rng.integers(1, CLASSES + 1, DETECTIONS - len(near))]
        for box, category, score in zip(guesses, kinds, rng.random(DETECTIONS), strict=True):
            found.append(
                {
                    "image_id": image,
                    "category_id": int(category),
                    "bbox": box.round(2).tolist(),
                    "score": round(float(score), 3),
                }
            )
    content = {
        "images": [{"id": i, "width": SIDE, "height": SIDE} for i in range(1, images + 1)],
        "categories": [{"id": i, "name": f"class {i}"} for i in range(1, CLASSES + 1)],
        "annotations": objects,
    }
    annotations.write_text(json.dumps(content))
    detections.write_text(json.dumps(found))


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """(x, y, width, height), sides from 8 to 400 pixels."""
    sides = np.exp(rng.uniform(np.log(8), np.log(400), (count, 2)))
    return np.concatenate([rng.random((count, 2)) * (SIDE - sides), sides], axis=1)


def ours(annotations: Path, detections: Path) -> tuple[Times, Any]:
    """Seconds of this project's program."""
    times, start = {}, time.perf_counter()
    truth = read_coco(annotations)
    found = read_detections(detections, truth)
    times["read"], start = time.perf_counter() - start, time.perf_counter()
    result = evaluate_coco(truth, found).twelve
    times["evaluate"], start = time.perf_counter() - start, time.perf_counter()
    evaluate_voc(truth, found)
    times["VOC's rules"] = time.perf_counter() - start
    return times, result.values()


def theirs(annotations: Path, detections: Path) -> tuple[Times, Any]:
    """Seconds of pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    times, start = {}, time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        found = truth.loadRes(str(detections))
        times["read"], start = time.perf_counter() - start, time.perf_counter()
        program = COCOeval(truth, found, "bbox")
        program.evaluate()
        program.accumulate()
        program.summarize()
    times["evaluate"] = time.perf_counter() - start
    return times, program.stats


def show(runs: dict[str, list[Times]], images: int) -> None:
    """Medians in seconds, and all runs."""
    title = f"{images:,} images, {DETECTIONS * images:,} detections: seconds, median (all runs)"
    table = Table(title=title)
    table.add_column("")
    for name in runs:
        table.add_column(name, justify="right")
    for part in next(iter(runs.values()))[0]:
        times = [[run[part] for run in some if part in run] for some in runs.values()]
        table.add_row(part, *map(in_words, times))
    console.print(table)


def in_words(times: list[float]) -> str:
    """The median of some seconds, and all of them; of none a dash."""
    runs = ", ".join(f"{seconds:.2f}" for seconds in times)
    return f"{statistics.median(times):.2f} ({runs})" if times else "-"


if __name__ == "__main__":
    typer.run(main)
