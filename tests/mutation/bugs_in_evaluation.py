"""Pixels, folders of images, test protocols, scores."""

from .mutants import planted_in

PIXELS, FOLDERS = "tests/data/test_images.py", "tests/data/test_folders.py"
PROTOCOLS, SCORES = "tests/evaluation/test_protocols.py", "tests/evaluation/test_evaluate.py"

MUTANTS = [
    *planted_in(
        "minires/data/images.py",
        PIXELS,
        {
            "pixels: the longer side is rounded, not cut": (
                "int(shorter * max(width, height) / min(width, height))",
                "round(shorter * max(width, height) / min(width, height))",
            ),
            "pixels: bicubic": (
                "Resampling.BILINEAR)\n\n\ndef center",
                "Resampling.BICUBIC)\n\n\ndef center",
            ),
            "pixels: the middle is rounded down": (
                "round((height - size) / 2), round((width - size) / 2)",
                "(height - size) // 2, (width - size) // 2",
            ),
            "pixels: corners by columns": (
                "(0, 0), (0, right), (bottom, 0)",
                "(0, 0), (bottom, 0), (0, right)",
            ),
            "pixels: 256 grey levels for 255": ("np.float32(255)", "np.float32(256)"),
            "pixels: 16 bits are cut at 255": (
                "((levels + 128) // 257)",
                "np.minimum(levels, 255)",
            ),
            "pixels: photographs lie on their side": ("if upright else", "if False else"),
            "pixels: broken files raise what Pillow raises": (
                "except Exception as error",
                "except ZeroDivisionError as error",
            ),
        },
    ),
    *planted_in(
        "minires/data/labels.py",
        FOLDERS,
        {
            "folders: the ground truth counts from 0": (
                "enumerate(self.lines, 1)",
                "enumerate(self.lines)",
            ),
            "folders: a name may stand for two images": ("if len(paths) > 1", "if False"),
            "folders: of two classes of an image the first counts": (
                "if keys.setdefault(name, key) != key",
                "if keys.setdefault(name, key) is None",
            ),
            "folders: the first word of a cell is the class": (
                "key = synset[1] if synset else key",
                "key = key.split()[0]",
            ),
        },
    ),
    *planted_in(
        "minires/data/folders.py",
        FOLDERS,
        {
            "folders: classes in the order of the directory": (
                "called(sorted(str(key) for key in keys))",
                "called(sorted((str(key) for key in keys), reverse=True))",
            ),
            "folders: numbers are ordered as text": (
                "return numbers\n",
                "return itself\n",
            ),
            "folders: one that can't be read is left out": ("yield from unreadable", "pass"),
            "folders: one without images moves the others' classes": (
                "if empty and classes is None",
                "if False",
            ),
            "folders: hidden folders are searched": (
                'sorted(name for name in folders if not name.startswith("."))',
                "sorted(folders)",
            ),
            "folders: images behind two links count twice": ("seen.add(place)", "pass"),
            "folders: hidden files are images": (' and not name.startswith("."):', ":"),
            "folders: the first images are of the first class": (
                "[number * length // count for number",
                "[number for number",
            ),
        },
    ),
    *planted_in(
        "minires/data/prefetch.py",
        "tests/data/test_prefetch.py",
        {
            "prefetch: everything is begun at once": (
                "len(pending) == self.ahead",
                "len(pending) == self.count",
            ),
            "prefetch: the last results come first": ("popleft()", "pop()"),
            "prefetch: who leaves waits for the threads": ("wait=False, ", ""),
        },
    ),
    *planted_in(
        "minires/evaluation/protocols.py",
        PROTOCOLS,
        {
            "10-crop: nothing is mirrored": (
                "five_crops(mirror(whole), size)",
                "five_crops(whole, size)",
            ),
            "multi-scale: nothing is mirrored": (
                "for view in (whole, mirror(whole))",
                "for view in (whole, whole)",
            ),
        },
    ),
    *planted_in(
        "minires/evaluation/predict.py",
        PROTOCOLS,
        {
            "multi-scale: not fully convolutional": (
                "mean_scores(model, batch) if fully_convolutional else",
                "model(batch[:, :24, :24]) if fully_convolutional else",
            ),
            "predict: probabilities come back in the order of the batches": (
                "logits[number] for number in range(len(views))",
                "array for array in logits.values()",
            ),
        },
    ),
    *planted_in(
        "minires/evaluation/evaluate.py",
        SCORES,
        {
            "scores: ties count as right": (
                'best = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]\n'
                "        hits = best == labels[:, None]",
                "true = probabilities[np.arange(len(labels)), labels]\n"
                "        ranks = (probabilities > true[:, None]).sum(1)\n"
                "        hits = ranks[:, None] == np.arange(5)",
            ),
            "scores: top-4": ("[:, :5]", "[:, :4]"),
            "ensemble: the best member's probabilities": (
                "np.mean(members, axis=0)",
                "np.max(members, axis=0)",
            ),
            "evaluate: broken images are forgotten": (
                "broken=[faults[number] for number in sorted(faults)]",
                "broken=[]",
            ),
            "evaluate: only the first view counts": (
                "-1, result.classes).mean(axis=1)",
                "-1, result.classes)[:, 0]",
            ),
        },
    ),
    *planted_in(
        "minires/evaluation/networks.py",
        "tests/evaluation/test_commands.py",
        {
            "evaluation: an ensemble's outputs in another order": (
                "if found != known[0][1]:",
                "if len(found) != len(known[0][1]):",
            ),
        },
    ),
    *planted_in(
        "minires/evaluation/evaluate.py",
        SCORES,
        {
            "evaluation: broken images may be anything": (
                "if broken not in get_args(Broken):",
                "if not broken:",
            ),
        },
    ),
]
