"""The rules once more, slow and obvious: one image, one threshold, one object after the other."""

import numpy as np

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RANGES = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}


def overlap(a, b, crowd=False):
    """Intersection over union of (x, y, width, height), or over a's own area."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared, own = width * height, a[2] * a[3]
    return shared / (own if crowd else own + b[2] * b[3] - shared)


def iou(a, b):
    """Intersection over union of corners, from counting: boxes of whole pixels alone."""
    cells = [
        {(x, y) for x in range(int(x1), int(x2)) for y in range(int(y1), int(y2))}
        for x1, y1, x2, y2 in (a, b)
    ]
    union = len(cells[0] | cells[1])
    return len(cells[0] & cells[1]) / union if union else 0.0


def coco_flags(objects, found, threshold, limits, most):
    """For one image and class: (score, true, ignored) of each detection; how many objects count."""
    low, high = limits

    def ignored(entry):
        return bool(entry["iscrowd"]) or not low <= entry["area"] <= high

    objects = sorted(objects, key=ignored)
    taken, flags = set(), []
    for detection in sorted(found, key=lambda d: -d["score"])[:most]:
        best, least = None, min(threshold, 1 - 1e-10)
        for number, entry in enumerate(objects):
            if number in taken and not entry["iscrowd"]:
                continue
            if best is not None and not ignored(objects[best]) and ignored(entry):
                break
            value = overlap(detection["bbox"], entry["bbox"], entry["iscrowd"])
            if value >= least:
                best, least = number, value
        if best is None:
            area = detection["bbox"][2] * detection["bbox"][3]
            flags.append((detection["score"], False, not low <= area <= high))
        else:
            taken.add(best)
            flags.append((detection["score"], True, ignored(objects[best])))
    return flags, sum(not ignored(entry) for entry in objects)


def coco_class(content, found, category, threshold, limits, most):
    """Precision at 101 recalls and the recall of a class; None where it has no objects."""
    flags, count = [], 0
    for image in sorted(entry["id"] for entry in content["images"]):

        def here(e, image=image):
            return e["image_id"] == image and e["category_id"] == category

        objects = [e for e in content["annotations"] if here(e)]
        some, objects = coco_flags(objects, [d for d in found if here(d)], threshold, limits, most)
        flags, count = flags + some, count + objects
    if not count:
        return None
    true = false = 0
    curve = []
    for _, hit, ignored in sorted(flags, key=lambda flag: -flag[0]):
        true, false = true + (hit and not ignored), false + (not hit and not ignored)
        curve.append((true / count, true / (true + false + np.spacing(1))))
    at_recalls = [
        max((p for r, p in curve if r >= recall), default=0) for recall in np.linspace(0, 1, 101)
    ]
    return at_recalls, true / count


def coco(content, found, max_detections=(1, 10, 100)):
    """Precision (10, 101, classes, 4) and recall (10, classes, 4, len(max_detections))."""
    categories = sorted(entry["id"] for entry in content["categories"])
    precision = np.full((10, 101, len(categories), 4), -1.0)
    recall = np.full((10, len(categories), 4, len(max_detections)), -1.0)
    for t, k, a, m in np.ndindex(10, len(categories), 4, len(max_detections)):
        limits = [*RANGES.values()][a]
        made = coco_class(content, found, categories[k], THRESHOLDS[t], limits, max_detections[m])
        if made:
            recall[t, k, a, m] = made[1]
            if m == len(max_detections) - 1:
                precision[t, :, k, a] = made[0]
    return precision, recall


def voc(objects, found, threshold=0.5):
    """One class: objects (image, box, difficult), found (image, box, score) -> AP 11, AP, by VOC.

    Boxes are (xmin, ymin, xmax, ymax), pixels counted from 1: the "+ 1" of the development kit.
    """
    count = sum(not difficult for _, _, difficult in objects)
    if not count:
        return float("nan"), float("nan")
    true = false = 0
    taken, curve = set(), []
    for image, box, _ in sorted(found, key=lambda d: -d[2]):
        best, which = -1, None
        for number, (place, frame, _) in enumerate(objects):
            value = overlap(inclusive(box), inclusive(frame))
            if place == image and value > best:
                best, which = value, number
        if best < threshold:
            false += 1
        elif not objects[which][2]:
            true, false = true + (which not in taken), false + (which in taken)
            taken.add(which)
        curve.append((true, true / max(true + false, 1)))
    points = [max((p for t, p in curve if 10 * t >= i * count), default=0) for i in range(11)]
    area = sum(max(p for t, p in curve if t >= found) / count for found in range(1, true + 1))
    return sum(points) / 11, area


def inclusive(box):
    """(x, y, width, height) of inclusive corners."""
    x1, y1, x2, y2 = box
    return x1, y1, x2 - x1 + 1, y2 - y1 + 1
