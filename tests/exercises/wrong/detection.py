"""Overlap, coding, suppression, RoI align, average precision: written with loops over boxes."""

from . import wrongs

IOU = """
def iou(a, b):
    overlap = np.zeros((len(a), len(b)))
    for i, (l, t, r, u) in enumerate(a):
        for j, (x1, y1, x2, y2) in enumerate(b):
            w, h = max(min(r, x2) - max(l, x1), 0), max(min(u, y2) - max(t, y1), 0)
            one, two = (r - l) * (u - t), (x2 - x1) * (y2 - y1)
            if w * h > 0:
                overlap[i, j] = w * h / (one + two - w * h)
    return overlap
"""

ENCODE = """
def encode(boxes, anchors, weights):
    codes = np.empty(boxes.shape)
    for n in range(len(boxes)):
        (x1, y1, x2, y2), (a1, b1, a2, b2) = boxes[n], anchors[n]
        w, h, wa, ha = x2 - x1, y2 - y1, a2 - a1, b2 - b1
        codes[n, 0] = ((x1 + x2) / 2 - (a1 + a2) / 2) / wa
        codes[n, 1] = ((y1 + y2) / 2 - (b1 + b2) / 2) / ha
        codes[n, 2] = np.log(w / wa)
        codes[n, 3] = np.log(h / ha)
    return codes * weights
"""

DECODE = """
def decode(codes, anchors, weights):
    boxes = np.empty(codes.shape)
    for n, (dx, dy, dw, dh) in enumerate(codes / weights):
        a1, b1, a2, b2 = anchors[n]
        wa, ha, most = a2 - a1, b2 - b1, np.log(62.5)
        w, h = wa * np.exp(min(dw, most)), ha * np.exp(min(dh, most))
        x, y = (a1 + a2) / 2 + dx * wa, (b1 + b2) / 2 + dy * ha
        boxes[n] = x - w / 2, y - h / 2, x + w / 2, y + h / 2
    return boxes
"""

NMS = """
def nms(boxes, scores, threshold):
    def overlap(a, b):
        w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        shared = max(w, 0) * max(h, 0)
        one, two = ((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
        return shared / (one + two - shared)

    left = sorted(range(len(boxes)), key=lambda i: -scores[i])
    kept = np.zeros(len(boxes))
    while left:
        best = left.pop(0)
        kept[best] = 1.0
        left = [i for i in left if overlap(boxes[best], boxes[i]) <= threshold]
    return kept
"""

ALIGN = """
def roi_align(x, box, size, samples):
    y = np.zeros((size[0], size[1], x.shape[2]))
    high, wide = (box[3] - box[1]) / size[0], (box[2] - box[0]) / size[1]
    for p in range(size[0]):
        for q in range(size[1]):
            for k in range(samples):
                for m in range(samples):
                    r = box[1] + p * high + (k + 0.5) * high / samples - 0.5
                    c = box[0] + q * wide + (m + 0.5) * wide / samples - 0.5
                    i, j = int(np.floor(r)), int(np.floor(c))
                    u, v = r - i, c - j
                    top = (1 - v) * x[i, j] + v * x[i, j + 1]
                    low = (1 - v) * x[i + 1, j] + v * x[i + 1, j + 1]
                    y[p, q] += (1 - u) * top + u * low
    return y / samples ** 2
"""

ALIGN_GRAD = """
def roi_align_grad(dy, box, x_shape, samples):
    dx = np.zeros(x_shape)
    high, wide = (box[3] - box[1]) / dy.shape[0], (box[2] - box[0]) / dy.shape[1]
    for p in range(dy.shape[0]):
        for q in range(dy.shape[1]):
            g = dy[p, q] / samples ** 2
            for k in range(samples):
                for m in range(samples):
                    r = box[1] + p * high + (k + 0.5) * high / samples - 0.5
                    c = box[0] + q * wide + (m + 0.5) * wide / samples - 0.5
                    i, j = int(np.floor(r)), int(np.floor(c))
                    u, v = r - i, c - j
                    dx[i, j] += (1 - u) * (1 - v) * g
                    dx[i, j + 1] += (1 - u) * v * g
                    dx[i + 1, j] += u * (1 - v) * g
                    dx[i + 1, j + 1] += u * v * g
    return dx
"""

HITS = """
def hits(overlap, scores):
    free = [True] * overlap.shape[1]
    hit = np.zeros(len(scores))
    for d in sorted(range(len(scores)), key=lambda d: -scores[d]):
        o = max(range(len(free)), key=lambda o: overlap[d, o])
        if overlap[d, o] >= 0.5 and free[o]:
            free[o] = False
            hit[d] = 1.0
    return hit
"""

AP = """
def average_precision(hit, scores, objects):
    found, curve = 0, []
    for n, d in enumerate(sorted(range(len(hit)), key=lambda d: -scores[d]), 1):
        found += int(hit[d])
        curve.append((found, found / n))
    by_points, by_area, before = 0.0, 0.0, 0
    for i in range(11):
        by_points += max([p for f, p in curve if 10 * f >= i * objects], default=0.0) / 11
    for k, (f, p) in enumerate(curve):
        by_area += (f - before) / objects * max(q for _, q in curve[k:])
        before = f
    return by_points, by_area
"""


def changed(program, *pairs):
    """With some texts replaced by others."""
    for old, new in pairs:
        assert old in program
        program = program.replace(old, new)
    return program


def iou(*pairs):
    return changed(IOU, *pairs)


def align(*pairs):
    return changed(ALIGN, *pairs)


def grad(*pairs):
    return changed(ALIGN_GRAD, *pairs)


DIVISION = "w * h / (one + two - w * h)"
OVERLAPS = wrongs(
    "iou",
    (
        "overlap",
        "plus_one",
        iou(
            ("- max(l, x1)", "- max(l, x1) + 1"),
            ("- max(t, y1)", "- max(t, y1) + 1"),
            ("(r - l) * (u - t)", "(r - l + 1) * (u - t + 1)"),
            ("(x2 - x1) * (y2 - y1)", "(x2 - x1 + 1) * (y2 - y1 + 1)"),
        ),
    ),
    (
        "overlap",
        "product_clamped",
        iou(
            ("max(min(r, x2) - max(l, x1), 0)", "min(r, x2) - max(l, x1)"),
            ("max(min(u, y2) - max(t, y1), 0)", "min(u, y2) - max(t, y1)"),
        ),
    ),
    (
        "overlap",
        "distances_multiplied",
        iou(
            ("max(min(r, x2) - max(l, x1), 0)", "min(r, x2) - max(l, x1)"),
            ("max(min(u, y2) - max(t, y1), 0)", "min(u, y2) - max(t, y1)"),
            ("if w * h > 0:", "if one + two - w * h:"),
        ),
    ),
    ("overlap", "shared_counted_twice", iou((DIVISION, "w * h / (one + two)"))),
    ("overlap", "dice", iou((DIVISION, "2 * w * h / (one + two)"))),
    ("overlap", "over_smaller", iou((DIVISION, "w * h / min(one, two)"))),
    ("overlap", "over_a", iou((DIVISION, "w * h / one"))),
    ("overlap", "over_b", iou((DIVISION, "w * h / two"))),
    ("overlap", "shared_alone", iou((DIVISION, "w * h"))),
    (
        "overlap",
        "over_enclosing",
        iou((DIVISION, "w * h / ((max(r, x2) - min(l, x1)) * (max(u, y2) - min(t, y1)))")),
    ),
    ("overlap", "nothing_by_nothing", iou(("if w * h > 0:", "if True:"))),
    (
        "overlap",
        "corner_and_sides",
        iou(
            (
                "            w, h",
                "            x2, y2, r, u = x2 + x1, y2 + y1, R, U\n            w, h",
            )
        )
        .replace("(l, t, r, u)", "(l, t, R, U)")
        .replace("r, u = x2 + x1, y2 + y1, R, U", "r, u = x2 + x1, y2 + y1, R + l, U + t"),
    ),
    ("overlap", None, iou((DIVISION, "(w * h / (one + two - w * h)) ** 2"))),
)

CENTRE_X, CENTRE_Y = "(x1 + x2) / 2 - (a1 + a2) / 2", "(y1 + y2) / 2 - (b1 + b2) / 2"
LIMITED = (("min(dw, most)", "dw"), ("min(dh, most)", "dh"))
CODES = wrongs(
    "box_coding",
    (
        "codes",
        "of_corners",
        changed(ENCODE, (CENTRE_X, "x1 - a1"), (CENTRE_Y, "y1 - b1")),
    ),
    ("codes", "in_pixels", changed(ENCODE, (") / wa\n", ")\n"), (") / ha\n", ")\n"))),
    ("codes", "by_own_sides", changed(ENCODE, (") / wa\n", ") / w\n"), (") / ha\n", ") / h\n"))),
    (
        "codes",
        "without_logarithm",
        changed(ENCODE, ("np.log(w / wa)", "w / wa"), ("np.log(h / ha)", "h / ha")),
    ),
    (
        "codes",
        "relative_growth",
        changed(ENCODE, ("np.log(w / wa)", "w / wa - 1"), ("np.log(h / ha)", "(h - ha) / ha")),
    ),
    ("codes", "with_base_2", changed(ENCODE, ("np.log(", "np.log2("))),
    ("codes", "upside_down", changed(ENCODE, ("w / wa)", "wa / w)"), ("h / ha)", "ha / h)"))),
    ("codes", "exchanged", changed(ENCODE, ("= boxes[n], anchors[n]", "= anchors[n], boxes[n]"))),
    ("codes", "divided_by_weights", changed(ENCODE, ("codes * weights", "codes / weights"))),
    ("codes", "weights_left_out", changed(ENCODE, ("codes * weights", "codes"))),
    ("codes", "all_has_the_wrong_sign", changed(ENCODE, ("return codes", "return -codes"))),
    ("codes", None, changed(ENCODE, ("codes[n, 2] = np.log(w / wa)", "codes[n, 2] = w - wa"))),
    ("boxes", "without_limit", changed(DECODE, *LIMITED)),
    (
        "boxes",
        "limit_before_weights",
        changed(
            DECODE, *LIMITED, ("codes / weights", "np.minimum(codes, [9e9, 9e9, L, L]) / weights")
        ).replace("    boxes =", "    L = np.log(1000 / 16)\n    boxes ="),
    ),
    (
        "boxes",
        "limit_on_both_sides",
        changed(
            DECODE,
            ("min(dw, most)", "np.clip(dw, -most, most)"),
            ("min(dh, most)", "np.clip(dh, -most, most)"),
        ),
    ),
    ("boxes", "whole_sides", changed(DECODE, ("w / 2", "w"), ("h / 2", "h"))),
    (
        "boxes",
        "middle_for_corner",
        changed(DECODE, ("x - w / 2, y - h / 2, x + w / 2, y + h / 2", "x, y, x + w, y + h")),
    ),
    (
        "boxes",
        "middle_and_sides_returned",
        changed(DECODE, ("x - w / 2, y - h / 2, x + w / 2, y + h / 2", "x, y, w, h")),
    ),
    ("boxes", "moved_by_new_sides", changed(DECODE, ("dx * wa", "dx * w"), ("dy * ha", "dy * h"))),
    ("boxes", "left_in_place", changed(DECODE, ("dx * wa", "dx"), ("dy * ha", "dy"))),
    ("boxes", "weights_ignored", changed(DECODE, ("codes / weights", "codes"))),
    ("boxes", "multiplied_by_weights", changed(DECODE, ("codes / weights", "codes * weights"))),
    (
        "boxes",
        "linear_growth",
        changed(DECODE, ("np.exp(min(dw, most))", "(1 + min(dw, most))")).replace(
            "np.exp(min(dh, most))", "(1 + min(dh, most))"
        ),
    ),
    ("boxes", None, changed(DECODE, ("y - h / 2, x +", "y - h / 2 - 1, x +"))),
)

SUPPRESSION = wrongs(
    "nms",
    ("kept", "at_the_threshold", changed(NMS, ("<= threshold", "< threshold"))),
    ("kept", "lowest_first", changed(NMS, ("-scores[i]", "scores[i]"))),
    ("kept", "as_they_come", changed(NMS, ("-scores[i]", "i"))),
    ("kept", "last_of_equals", changed(NMS, ("-scores[i]", "(-scores[i], -i)"))),
    (
        "kept",
        "lowest_first_of_equals",
        changed(NMS, ("-scores[i]", "(scores[i], -i)")),
    ),
    (
        "kept",
        "gone_ones_suppress",
        changed(
            NMS,
            ("kept[best] = 1.0", "kept[best] = 1.0 - (best in gone)"),
            ("        left = [i for i in left if", "        gone += [i for i in left if not"),
            ("    while left", "    gone = []\n    while left"),
        ),
    ),
    ("kept", "of_smaller", changed(NMS, ("(one + two - shared)", "min(one, two)"))),
    (
        "kept",
        "in_order_of_scores",
        changed(NMS, ("return kept", "return kept[np.argsort(-scores, kind='stable')]")),
    ),
    ("kept", "the_other_way_round", changed(NMS, ("return kept", "return 1 - kept"))),
    (
        "kept",
        None,
        changed(NMS, ("return kept", "return kept * scores")),
    ),
)
REGIONS = wrongs(
    "roi_align",
    ("y", "half_a_pixel", align((" / samples - 0.5", " / samples"))),
    ("y", "rounded", align(("    y = ", "    box = box.round()\n    y = "))),
    ("y", "one_sample", align(("    y = ", "    samples = 1\n    y = "))),
    ("y", "summed", align(("y / samples ** 2", "y"))),
    ("y", "divided_once", align(("samples ** 2", "samples"))),
    (
        "y",
        "exchanged",
        align(("r = box[1]", "r = box[0]"), ("c = box[0]", "c = box[1]")).replace(
            "(box[3] - box[1]) / size[0], (box[2] - box[0])",
            "(box[2] - box[0]) / size[0], (box[3] - box[1])",
        ),
    ),
    ("y", "corners_of_bins", align(("(k + 0.5)", "k"), ("(m + 0.5)", "m"))),
    ("y", "weights_swapped", align(("r - i, c - j", "1 - r + i, 1 - c + j"))),
    ("y", "pixel_above", align(("r - i, c - j", "0.0, 0.0"))),
    ("y", None, align(("v * x[i + 1, j + 1]", "v * x[i, j + 1]"))),
    ("dx", "grad_half_a_pixel", grad((" / samples - 0.5", " / samples"))),
    ("dx", "grad_of_sum", grad(("dy[p, q] / samples ** 2", "dy[p, q]"))),
    ("dx", "grad_divided_once", grad(("samples ** 2", "samples"))),
    ("dx", "replaced", grad(("+= ", "= "))),
    ("dx", "to_pixel_above", grad(("r - i, c - j", "0.0, 0.0"))),
    ("dx", "to_nearest", grad(("r - i, c - j", "float(r - i >= 0.5), float(c - j >= 0.5)"))),
    ("dx", "grad_weights_swapped", grad(("r - i, c - j", "1 - r + i, 1 - c + j"))),
    ("dx", "quarters", grad(("r - i, c - j", "0.5, 0.5"))),
    ("dx", "grad_one_sample", grad(("    dx = ", "    samples = 1\n    dx = "))),
    ("dx", "all_is_there_twice", grad(("return dx", "return 2 * dx"))),
    ("dx", None, grad(("    return dx", "    dx[0] = 0\n    return dx * (dx > 0)"))),
)

PRECISION = wrongs(
    "average_precision",
    ("hit", "found_twice", changed(HITS, (" and free[o]", ""))),
    (
        "hit",
        "next_free",
        changed(HITS, ("lambda o: overlap[d, o]", "lambda o: overlap[d, o] * free[o]")),
    ),
    ("hit", "above_threshold", changed(HITS, (">= 0.5", "> 0.5"))),
    ("hit", "in_their_order", changed(HITS, ("lambda d: -scores[d]", "lambda d: d"))),
    ("hit", "worst_first", changed(HITS, ("lambda d: -scores[d]", "lambda d: scores[d]"))),
    ("hit", "reversed_order", changed(HITS, ("-scores[d])", "(-scores[d], -d))"))),
    (
        "hit",
        "taken_by_anybody",
        changed(
            HITS,
            ("        if overlap", "        was, free[o] = free[o], False\n        if overlap"),
        ).replace("and free[o]", "and was"),
    ),
    (
        "hit",
        "by_falling_score",
        changed(HITS, ("return hit", "return hit[np.argsort(-scores, kind='stable')]")),
    ),
    ("hit", None, changed(HITS, (">= 0.5", ">= 0.6"))),
    (
        "by_points",
        "in_floating_point",
        changed(AP, ("10 * f >= i * objects", "f / objects >= i * 0.1")),
    ),
    ("by_points", "ten_points", changed(AP, ("range(11)", "range(1, 11)"), (") / 11", ") / 10"))),
    (
        "by_points",
        "precision_there",
        changed(AP, ("max([p for", "next(iter([p for")).replace("], default=0.0)", "] or [0.0]))"),
    ),
    ("by_points", "points_unsorted", changed(AP, ("lambda d: -scores[d]", "lambda d: d"))),
    (
        "by_points",
        "points_worst_first",
        changed(AP, ("lambda d: -scores[d]", "lambda d: scores[d]")),
    ),
    (
        "by_points",
        "points_of_found",
        changed(AP, ("    found, curve", "    objects = max(hit.sum(), 1)\n    found, curve")),
    ),
    ("by_area", "not_raised", changed(AP, ("max(q for _, q in curve[k:])", "p"))),
    ("by_area", "raised_from_the_left", changed(AP, ("curve[k:]", "curve[:k + 1]"))),
    ("by_area", "area_unsorted", changed(AP, ("lambda d: -scores[d]", "lambda d: d"))),
    ("by_area", "area_worst_first", changed(AP, ("lambda d: -scores[d]", "lambda d: scores[d]"))),
    (
        "by_area",
        "area_of_found",
        changed(AP, ("    found, curve", "    objects = max(hit.sum(), 1)\n    found, curve")),
    ),
    (
        "by_area",
        "beginning_forgotten",
        changed(AP, ("    for k, (f", "    before = curve[0][0]\n    for k, (f")),
    ),
    (
        "by_area",
        "all_is_there_twice",
        changed(AP, ("return by_points, by_area", "return by_points, 2 * by_area")),
    ),
    ("by_area", None, changed(AP, ("(f - before) / objects", "(f - before) / (objects + 1)"))),
)

ALL = [*OVERLAPS, *CODES, *SUPPRESSION, *REGIONS, *PRECISION]
