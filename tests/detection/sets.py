"""Annotated sets and detections for tests, as people have them on disk."""

import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from minires.detection import read_coco, read_detections

SIDE = 200
OBJECT = (
    "<object><name>{name}</name>{more}<bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax>"
    "<ymax>{3}</ymax></bndbox></object>"
)


def xml(*objects, size=(60, 40), more=""):
    """An annotation file: objects are (name, xmin, ymin, xmax, ymax, anything more)."""
    parts = [
        OBJECT.format(*corners, name=name, more="".join(rest))
        for name, *corners in objects
        for rest in [corners[4:]]
    ]
    width, height = size
    head = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation>{head}{more}{''.join(parts)}</annotation>"


def voc_folder(root, files, *, size=(60, 40), pictures=True):
    """A folder in VOC's layout; `files` are the XML texts by the names of their images."""
    for name in ("Annotations", "JPEGImages"):
        (root / name).mkdir(parents=True)
    for stem, text in files.items():
        (root / "Annotations" / f"{stem}.xml").write_text(text)
        if pictures:
            Image.new("RGB", size).save(root / "JPEGImages" / f"{stem}.jpg")
    return root


def coco(images=(1,), categories=((1, "dog"),), annotations=(), size=(60, 40)):
    """COCO's content: annotations are (image, category, bbox, further fields)."""
    width, height = size
    return {
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": width, "height": height} for i in images
        ],
        "categories": [{"id": number, "name": name} for number, name in categories],
        "annotations": [
            {"id": number, "image_id": image, "category_id": category, "bbox": box, **dict(*more)}
            for number, (image, category, box, *more) in enumerate(annotations, 1)
        ],
    }


def result(image, category, box, score):
    """A detection as in COCO's results."""
    return {"image_id": image, "category_id": category, "bbox": box, "score": score}


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def read_both(content, found):
    """Annotations and detections, through files."""
    with tempfile.TemporaryDirectory() as folder:
        annotations = read_coco(write(Path(folder, "a.json"), content))
        return annotations, read_detections(write(Path(folder, "d.json"), found), annotations)


def random_set(seed, images=4, classes=3, first_id=1):
    """Crowds, ties of scores and overlaps, objects of all sizes, images and classes without any.

    Detections are objects moved a little, or random boxes. Boxes have whole and half pixels, so
    that overlaps fall exactly on thresholds.
    """
    rng = np.random.default_rng(seed)
    annotations, found = [], []
    for image in range(1, images + 1):
        boxes = [random_box(rng) for _ in range(rng.integers(0, 7))]
        for box in boxes:
            share = rng.choice([1, 0.5, rng.random()])
            fields = {"iscrowd": int(rng.random() < 0.15), "area": box[2] * box[3] * share}
            annotations.append((image, int(rng.integers(1, classes + 1)), box, fields))
        for _ in range(rng.integers(0, 14)):
            near = boxes and rng.random() < 0.8
            box = moved(rng, boxes[rng.integers(len(boxes))]) if near else random_box(rng)
            category, score = int(rng.integers(1, classes + 1)), rng.integers(1, 10) / 10
            found.append(result(image, category, box, score))
    content = coco(
        range(1, images + 1),
        [(number, f"class {number}") for number in range(1, classes + 1)],
        annotations,
        size=(SIDE, SIDE),
    )
    for entry in content["annotations"]:
        entry["id"] += first_id - 1
    return content, found


def random_box(rng):
    sides = rng.choice([4, 10, 16, 32, 40, 96, 120], 2) + rng.choice([0, 0, 0.5], 2)
    return [*rng.integers(0, SIDE // 2, 2).tolist(), *sides.tolist()]


def moved(rng, box):
    x, y, width, height = box
    by = rng.choice([0, 0, 0, 0.5, 1, 2, 4], 4)
    change = by * rng.choice([-1, 1], 4)
    return [
        float(x + change[0]),
        float(y + change[1]),
        float(max(width + change[2], 1)),
        float(max(height + change[3], 1)),
    ]
