"""Boxes, anchors, annotated sets, the evaluations of detections."""

from .mutants import planted_in

BOXES, ANCHORS = "tests/detection/test_boxes.py", "tests/detection/test_anchors.py"
VOC, COCO = "tests/detection/test_voc.py", "tests/detection/test_coco.py"
DETECTIONS, CHECK = "tests/detection/test_detections.py", "tests/detection/test_check.py"
VOC_METRIC = "tests/detection/test_voc_metric.py"
COCO_METRIC = "tests/detection/test_coco_metric.py"
COMMANDS = "tests/detection/test_commands.py"

MUTANTS = [
    *planted_in(
        "minires/detection/tables.py",
        COMMANDS,
        {
            "tables: classes are markup": ("Text(name), *(f", "name, *(f"),
            "tables: evaluated classes are markup": ('Text(name), f"{coco', 'name, f"{coco'),
        },
    ),
    *planted_in(
        "minires/evaluation/commands.py",
        COMMANDS,
        {
            "pictures: images of the set are overwritten": ("(*images, *kept)", "images"),
            "pictures: links are other folders": ("if target.resolve() in", "if target in"),
        },
    ),
    *planted_in(
        "minires/detection/annotations.py",
        COCO,
        {"images: a long name ends the check": ("except OSError:", "except KeyError:")},
    ),
    *planted_in(
        "minires/detection/boxes.py",
        BOXES,
        {
            "boxes: a pixel is added to the sides": (
                "np.maximum(boxes[..., 2:] - boxes[..., :2], 0)",
                "np.maximum(boxes[..., 2:] - boxes[..., :2] + 1, 0)",
            ),
            "boxes: a pixel is added to what they share": (
                "np.maximum(ends - np.maximum(a[..., :2], b[..., :2]), 0)",
                "np.maximum(ends - np.maximum(a[..., :2], b[..., :2]) + 1, 0)",
            ),
            "boxes: inverted ones overlap": (
                "np.maximum(ends - np.maximum(a[..., :2], b[..., :2]), 0)",
                "ends - np.maximum(a[..., :2], b[..., :2])",
            ),
            "boxes: the union counts what is shared twice": (
                "area(b)[None] - shared)",
                "area(b)[None])",
            ),
            "coding: moves are shares of the box, not of the anchor": (
                "(centres - from_centres) / from_sides, np.log",
                "(centres - from_centres) / sides, np.log",
            ),
            "coding: growth is not held": (
                "np.minimum(codes[..., 2:], LARGEST_LOG)",
                "codes[..., 2:]",
            ),
            "coding: weights are not taken back": (
                "codes = codes / np.asarray(weights, codes.dtype)",
                "codes = codes / np.ones(4, codes.dtype)",
            ),
            "coding: a box without area is coded": (
                '    refuse_empty("a box", sides)\n',
                "",
            ),
            "boxes: clipped to the last pixel": (
                "np.array([width, height, width, height], boxes.dtype)",
                "np.array([width, height, width, height], boxes.dtype) - 1",
            ),
            "boxes: height and width exchanged in images of their own": (
                "np.tile(sizes[:, ::-1], 2)",
                "np.tile(sizes, 2)",
            ),
            "resizing: the longer side is not held": (
                "shorter * most > longer * least",
                "shorter * most > 100 * longer * least",
            ),
            "resizing: the shorter side times the other's scale": (
                "sizes * longer // most, sizes * shorter // least",
                "sizes * longer // most, sizes * shorter // most",
            ),
        },
    ),
    *planted_in(
        "minires/detection/anchors.py",
        ANCHORS,
        {
            "anchors: ratios are width / height": (
                "[(sizes / roots).ravel(), (roots * sizes).ravel()]",
                "[(roots * sizes).ravel(), (sizes / roots).ravel()]",
            ),
            "anchors: not rounded": (
                "return np.round(np.concatenate([-sides, sides], axis=1) / 2)",
                "return np.concatenate([-sides, sides], axis=1) / 2",
            ),
            "anchors: all ratios of a size first": (
                "(cells[:, None] * np.asarray(scales)[:, None])",
                "(cells * np.asarray(scales)[:, None, None])",
            ),
            "anchors: the paper's lie around the middle of the cell": (
                "centre, halves = (cell - 1) / 2, (sides - 1) / 2",
                "centre, halves = cell / 2, (sides - 1) / 2",
            ),
            "anchors: column by column": (
                "y, x = np.mgrid[:height, :width]",
                "x, y = np.mgrid[:width, :height]",
            ),
            "anchors: beyond the edge of the map": (
                "np.zeros(len(anchors)), places[:, None] - 1.0",
                "np.zeros(len(anchors)), places[:, None]",
            ),
            "anchors: one side of the image for the other": (
                "(images[:, 1 - axis, None] -",
                "(images[:, axis, None] -",
            ),
            "anchors: those too large for the image overlap": (
                "            shared *= first <= last\n",
                "",
            ),
            "anchors: rows for columns in the best overlap": (
                "((0, maps[:, 1]), (1, maps[:, 0]))",
                "((0, maps[:, 0]), (1, maps[:, 1]))",
            ),
        },
    ),
    *planted_in(
        "minires/detection/voc.py",
        VOC,
        {
            "VOC: pixels counted from 0": (
                "box, size = (x1 - 1, y1 - 1, x2, y2)",
                "box, size = (x1, y1, x2, y2)",
            ),
            "VOC: nothing is difficult": ('in ("1", "true")', 'in ("yes",)'),
            "VOC: document types are read": (
                "    parser.StartDoctypeDeclHandler = refuse_entities\n",
                "",
            ),
            "VOC: files of any size are read": (
                "(size := path.stat().st_size) > LARGEST",
                "(size := 0) > LARGEST",
            ),
            "VOC: boxes of NaN are boxes": (
                "len(corners) < 4 or not finite(corners)",
                "len(corners) < 4",
            ),
            "VOC: a part's box is the object's": (
                'text(element, "name"), element.find("bndbox")',
                'text(element, "name"), next(element.iter("bndbox"), None)',
            ),
            "VOC: labels count from 0": (
                "enumerate(names, 1)}\n        known",
                "enumerate(names)}\n        known",
            ),
            "VOC: objects of unknown classes vanish": (
                "faults=[*self.faults, *unknown]",
                "faults=self.faults",
            ),
            "VOC: images of a split that are missing vanish": (
                "            self.faults.append(Fault(NO_FILE, path.stem))\n",
                "",
            ),
            "VOC: all years of a kit are its first": ("if len(years) > 1:", "if len(years) > 9:"),
        },
    ),
    *planted_in(
        "minires/detection/annotations.py",
        COCO,
        {
            "annotations: a name leads out of the folder": (
                "inner.is_absolute() or",
                "not inner.is_absolute() and",
            ),
        },
    ),
    *planted_in(
        "minires/detection/coco.py",
        COCO,
        {
            "COCO: the first class is the background": (
                "enumerate(self.categories, 1)",
                "enumerate(self.categories)",
            ),
            "COCO: corners are width and height": (
                "(x, y, x + width, y + height)",
                "(x, y, width, height)",
            ),
            "COCO: images in the order of the file": ("sorted(found, key=in_order)", "found"),
            "COCO: the mask's area is not read": ("own if area is None else area", "own"),
            "COCO: nothing is a crowd": ("crowd=bool(crowd)", "crowd=False"),
            "COCO: the same image twice": ("not is_key(key) or key in found", "not is_key(key)"),
            "COCO: files of any size are read": (
                "(size := path.stat().st_size) > LARGEST",
                "(size := 0) > LARGEST",
            ),
            "COCO: deep JSON raises": (
                "except (ValueError, RecursionError) as",
                "except ValueError as",
            ),
            "COCO: boxes of NaN are boxes": ("len(box) != 4 or not finite(box)", "len(box) != 4"),
        },
    ),
    *planted_in(
        "minires/detection/detections.py",
        DETECTIONS,
        {
            "detections: VOC's pixels count from 0": (
                "(x1 - 1, y1 - 1, x2, y2), size",
                "(x1, y1, x2, y2), size",
            ),
            "detections: the shortest class that fits": (
                "fitting[max(fitting)]",
                "fitting[min(fitting)]",
            ),
            "detections: ids count where names are listed": (
                "classes = labels_of_listed(path, listed, annotations.classes)",
                "classes",
            ),
            "detections: of images called alike the first counts": (
                "        if others:\n",
                "        if len(others) > 99:\n",
            ),
            "detections: names without folders count first": (
                "self.whole.get(name) or self.stems.get(stem)",
                "self.stems.get(stem) or self.whole.get(name)",
            ),
            "detections: two listed images are one": (
                "if last[place] != key:",
                "if last[place] is None:",
            ),
            "detections: scores of NaN": (
                "for array in (box, score))",
                "for array in (box,))",
            ),
            "detections: texts and booleans are numbers": (" <= {int, float}:", " <= {object}:"),
            "detections: true is image 1": ("if bool in set(map(type, ids)) or ", "if "),
            "detections: of no known class": ("    if not known.any():", "    if not len(known):"),
            "detections: those left out are not counted": ("int((~known).sum())", "0"),
            "detections: images that are not annotated are the last": (
                "    if (made.image < 0).any():",
                "    if (made.image < -1).any():",
            ),
        },
    ),
    *planted_in(
        "minires/detection/overlaps.py",
        COCO_METRIC,
        {
            "COCO's numbers: an overlap on the threshold is too little": (
                "iou >= least",
                "iou > least",
            ),
            "COCO's numbers: a crowd's overlap is over the union": (
                "np.where(annotations.crowd[object_], own, union) if crowds else union",
                "union",
            ),
            "COCO's numbers: of equal scores the last counts": (
                "order = np.lexsort((-scores, group))",
                "order = np.lexsort((-np.arange(len(group)), -scores, group))",
            ),
            "COCO's numbers: pairs behind the first block are lost": (
                "        start = end\n",
                "        start = len(wanted)\n",
            ),
        },
    ),
    *planted_in(
        "minires/detection/coco_metric.py",
        COCO_METRIC,
        {
            "COCO's numbers: any number of detections": (
                "few = rank < max_detections[-1]",
                "few = rank < 10**9",
            ),
            "COCO's numbers: the box's area for the mask's": (
                "annotations.crowd | outside(annotations.area)",
                "annotations.crowd | outside(annotations.box_area)",
            ),
            "COCO's numbers: the upper end is outside": (
                "(area > RANGES[:, 1:])",
                "(area >= RANGES[:, 1:])",
            ),
            "COCO's numbers: crowds count": (
                "ignored = annotations.crowd | outside(annotations.area)",
                "ignored = outside(annotations.area)",
            ),
            "COCO's numbers: detections outside the range are false": (
                "    idle |= ~taking & outside(detections.box_area)[:, None]\n",
                "",
            ),
            "COCO's numbers: ignored objects come first": (
                "np.where(ignored[:, None, theirs], places, places + len(them))",
                "np.where(ignored[:, None, theirs], places + len(them), places)",
            ),
            "COCO's numbers: ignored objects are as good as others": (
                "np.where(ignored[:, None, theirs], places, places + len(them))",
                "np.where(ignored[:, None, theirs], places, places)",
            ),
            "COCO's numbers: objects are taken twice": (
                "free[area, threshold, theirs[chosen]] = crowd[theirs[chosen]]",
                "pass",
            ),
            "COCO's numbers: a crowd is taken once": (
                "free[area, threshold, theirs[chosen]] = crowd[theirs[chosen]]",
                "free[area, threshold, theirs[chosen]] = False",
            ),
            "COCO's numbers: of equal overlaps the first": (
                "np.lexsort((pairs.object, pairs.iou,",
                "np.lexsort((-pairs.object, pairs.iou,",
            ),
            "COCO's numbers: images in no order": (
                "np.lexsort((rank, detections.image, -detections.score,",
                "np.lexsort((rank, -detections.image, -detections.score,",
            ),
            "COCO's numbers: precision is not monotone": (
                "    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]\n",
                "",
            ),
            "COCO's numbers: a recall must be exceeded": (
                "np.searchsorted(recalls, RECALLS)",
                'np.searchsorted(recalls, RECALLS, "right")',
            ),
            "COCO's numbers: classes without objects count": (
                "values[values > -1]",
                "values[values > -2]",
            ),
            "COCO's numbers: recall of all detections alone": (
                "(hits & (rank[them] < most))",
                "(hits & (rank[them] < 10**9))",
            ),
        },
    ),
    *planted_in(
        "minires/detection/voc_metric.py",
        VOC_METRIC,
        {
            "VOC's numbers: difficult objects count": (
                "counting = ~(annotations.difficult | annotations.crowd)",
                "counting = ~annotations.crowd",
            ),
            "VOC's numbers: hits of difficult objects are false": (
                "    false[detection] = counting[best]\n",
                "",
            ),
            "VOC's numbers: an object is found again and again": (
                "    true[detection[earliest]] = counting[best[earliest]]\n",
                "    true[detection] = counting[best]\n",
            ),
            "VOC's numbers: the worst object of a detection": (
                "(pairs.object, -pairs.iou, by_score",
                "(pairs.object, pairs.iou, by_score",
            ),
            "VOC's numbers: of equal overlaps the last": (
                "(pairs.object, -pairs.iou, by_score",
                "(-pairs.object, -pairs.iou, by_score",
            ),
            "VOC's numbers: recalls are compared as floats": (
                "self.true * 10 >= np.arange(11)[:, None] * self.objects",
                "self.recall >= np.arange(11)[:, None] * 0.1",
            ),
            "VOC's numbers: ten points": ("np.arange(11)[:, None]", "np.arange(1, 11)[:, None]"),
            "VOC's numbers: precision is not monotone": (
                "np.maximum.accumulate(self.precision[::-1])[::-1]",
                "self.precision",
            ),
            "VOC's numbers: classes without objects are 0": (
                "[value for value in values if not np.isnan(value)]",
                "list(np.nan_to_num(values))",
            ),
        },
    ),
    *planted_in(
        "minires/detection/check.py",
        CHECK,
        {
            "check: a set of nothing is right": ("*empty(annotations), ", ""),
            "check: boxes without area pass": (
                '"boxes without area", sides <= 0',
                '"boxes without area", sides < -9e9',
            ),
            "check: boxes outside pass": (
                "outside = (sides > 0) & known & ~inside",
                "outside = (sides > 0) & known & False",
            ),
            "check: sizes of files are not compared": (
                "image.size and size != image.size",
                "not image.size",
            ),
            "check: sizes as annotated are believed": (
                'return size, Fault("images of another',
                'return image.size, Fault("images of another',
            ),
            "check: crowds want anchors": (
                "(area(self.cut) > 0) & ~self.annotations.crowd",
                "area(self.cut) > 0",
            ),
            "check: anchors across the edge count always": (
                "None if view.border else images",
                "None",
            ),
            "check: boxes reach beyond their image": (
                "clip_each(self.annotations.box, self.image_sizes[self.annotations.image])",
                "self.annotations.box",
            ),
            "check: boxes are scaled by the other side": (
                "(new / sizes)[:, ::-1]",
                "(new / sizes)[:, :1]",
            ),
            "check: maps are cut": ("-(-new // view.stride)", "new // view.stride"),
        },
    ),
    *planted_in(
        "minires/detection/draw.py",
        COMMANDS,
        {
            "drawing: a line around the box": (
                "max(x1, x2, left + 1) - 1, max(y1, y2, top + 1) - 1",
                "max(x1, x2, left + 1), max(y1, y2, top + 1)",
            ),
        },
    ),
]
