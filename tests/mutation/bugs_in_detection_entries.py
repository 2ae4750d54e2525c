"""What detection is given: names that stand for several things, numbers that are none."""

from .mutants import planted_in

VOC, COCO = "tests/detection/test_voc.py", "tests/detection/test_coco.py"
DETECTIONS, ENTRIES = "tests/detection/test_detections.py", "tests/detection/test_entries.py"

MUTANTS = [
    *planted_in(
        "minires/detection/annotations.py",
        COCO,
        {
            "annotations: a name counts without its folder": (
                "for part in parts for folder in self.folders",
                "for folder in self.folders for part in parts",
            ),
            "annotations: the last of classes called alike": (
                "count(name) > 1]",
                "count(name) > 9]",
            ),
        },
    ),
    *planted_in(
        "minires/detection/annotations.py",
        ENTRIES,
        {
            "annotations: a label too large is one of the next image": (
                "numbers.max() < first + count",
                "numbers.max() < first + 99",
            ),
            "annotations: the background is annotated": ("numbers.min() >= first", "True"),
        },
    ),
    *planted_in(
        "minires/detection/coco.py",
        COCO,
        {
            "COCO: several images are one file": ("!= image.name:", "is None:"),
            "COCO: a text is a flag": ("if crowd not in (0, 1):", "if False:"),
        },
    ),
    *planted_in(
        "minires/detection/voc.py",
        VOC,
        {
            "VOC: of images called alike the first": (
                "return (named or alike)[0]",
                "return alike[0]",
            ),
            "VOC: images called alike pass": ("        if not named:\n", "        if False:\n"),
            "VOC: any flag is 0": (
                'not in ("", "0", "1", "false", "true"):',
                "is None:",
            ),
        },
    ),
    *planted_in(
        "minires/detection/detections.py",
        DETECTIONS,
        {
            "detections: of names with one number the last": ("if times[number] == 1}", "if True}"),
            "detections: files of two detectors are one": (
                "        if times > 1:\n",
                "        if times > 9:\n",
            ),
            "detections: ids count where no listed class is known": (
                "    if not known:\n",
                "    if False:\n",
            ),
            "detections: ids count where no listed image is known": (
                'if listed := listed_names(path, content, "images", "file_name"):',
                'if listed := {} and listed_names(path, content, "images", "file_name"):',
            ),
            "detections: of names of one id the first": (
                "if names.setdefault(key, name) != name:",
                "if names.setdefault(key, name) is None:",
            ),
        },
    ),
    *planted_in(
        "minires/detection/coco_metric.py",
        ENTRIES,
        {
            "COCO's numbers: at the nearest threshold": ("- iou) < 1e-6:", "- iou) < 1:"),
            "COCO's numbers: of no class": ("not 1 <= label <= classes:", "label > 99:"),
            "COCO's numbers: limits may fall": (
                "if list(max_detections) != sorted(max_detections):",
                "if not max_detections:",
            ),
        },
    ),
    *planted_in(
        "minires/detection/voc_metric.py",
        ENTRIES,
        {"VOC's numbers: percents are thresholds": ("if not 0 < threshold <= 1:", "if False:")},
    ),
    *planted_in(
        "minires/detection/settings.py",
        ENTRIES,
        {
            "settings: percents are shares": ("<= 1:", "<= 100:"),
            "settings: anchors of no size": ("self.sizes)) > 0:", "self.sizes)) >= 0:"),
        },
    ),
    *planted_in(
        "minires/detection/detecting.py",
        ENTRIES,
        {
            "detecting: numbers from 0 to 1 are bytes": ("pixels.dtype != np.uint8 or ", ""),
            "detecting: pixels of any kind are seen": (
                "as_rgb(image, image.format) if isinstance(image, Image) else image",
                "image",
            ),
        },
    ),
    *planted_in(
        "minires/detection/training.py",
        ENTRIES,
        {
            "training: classes in another order": (
                "if model.classes != (names := data.annotations.classes):",
                "if len(model.classes) != len(names := data.annotations.classes):",
            ),
        },
    ),
    *planted_in(
        "minires/detection/sets.py",
        ENTRIES,
        {
            "training: the test's classes in another order": (
                "if train.classes != test.classes:",
                "if len(train.classes) != len(test.classes):",
            ),
        },
    ),
    *planted_in(
        "minires/detection/weights.py",
        ENTRIES,
        {
            "weights: names asked for are lost": ("model.classes = tuple(classes)", "pass"),
            "weights: eps asked for is lost": ("if eps is not None:", "if False:"),
        },
    ),
    *planted_in(
        "minires/detection/training.py",
        "tests/detection/test_training.py::"
        "test_a_run_with_other_anchors_or_classes_is_not_gone_on_with",
        {
            "training: other anchors go on": ("asdict(model.numbers)}", "{}}"),
            "training: other classes go on": ('{"labels": model.classes, ', "{"),
        },
    ),
]
