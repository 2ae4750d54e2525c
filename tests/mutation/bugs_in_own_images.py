"""Training on a user's own images: views, batches, folders, heads, what is frozen and kept."""

from .mutants import planted_in

PHOTOGRAPHS = "tests/data/test_photographs.py"
OWN = "tests/own_images/test_train.py"

DATA = [
    *planted_in(
        "minires/data/augmentation.py",
        PHOTOGRAPHS,
        {
            "own images: the area is that of a side": ("math.sqrt(area * ratio)", "area * ratio"),
            "own images: ratios are not uniform in the logarithm": (
                "LOW * (HIGH / LOW) ** rng.random()",
                "LOW + (HIGH - LOW) * rng.random()",
            ),
            "own images: the last place is never drawn": (
                "(width - w + 1) * rng.random()",
                "(width - w) // 2 * rng.random()",
            ),
            "own images: nothing is mirrored": ("rng.random() < 0.5", "rng.random() < 0"),
            "own images: a thin image is taken whole": (
                "min(width, round(height * HIGH))",
                "width",
            ),
        },
    ),
    *planted_in(
        "minires/data/augmentation.py",
        "tests/data/test_scaled.py",
        {
            "scales: the largest is never drawn": (
                "rng.integers(sides[0], sides[1], endpoint=True)",
                "rng.integers(sides[0], max(sides[1], sides[0] + 1))",
            ),
            "scales: that of the longer side": ("/ min(height, width)", "/ max(height, width)"),
            "scales: parts begin at the left": ("rng.uniform(0, width - side)", "0"),
            "scales: parts are as large as without": ("side = size / zoom", "side = size"),
        },
    ),
    *planted_in(
        "minires/data/photographs.py",
        "tests/data/test_scaled.py",
        {
            "scales: of one image for all": (
                "self.sides, rng)",
                "self.sides, np.random.default_rng(0))",
            ),
            "scales: the test images": ("self.data.train.open(n)", "self.data.test.open(n)"),
        },
    ),
    *planted_in(
        "minires/data/folders.py",
        "tests/data/test_scaled.py",
        {
            "first images: some are taken twice": ("    count = min(count, length)\n", ""),
            "first images: with the labels of others": (
                "[self.labels[n] for n in numbers]",
                "self.labels[: len(numbers)]",
            ),
        },
    ),
    *planted_in(
        "minires/data/images.py",
        "tests/data/test_kept_images.py",
        {
            "kept images: there is always room": ("            self.room -= needed\n", ""),
            "kept images: the last byte stays free": ("needed <= self.room", "needed < self.room"),
            "kept images: nothing is kept": (
                "self.kept[key] = image.size, image.tobytes()",
                "self.kept.get(key)",
            ),
            "kept images: turned and as it lies are one": (
                "self.keep((path, upright), image)",
                "self.keep((path, False), image)",
            ),
            "kept images: nobody knows of which file": (
                "            image.info[IMAGE_FILE] = path\n        else:",
                "        else:",
            ),
            "kept images: an image takes room each time": (" and key not in self.kept", ""),
            "kept images: two threads take the same room": ("with self.lock:", "if self.lock:"),
        },
    ),
    *planted_in(
        "minires/data/photographs.py",
        PHOTOGRAPHS,
        {
            "own images: a view does not depend on its step": (
                "[self.seed, 1, step, part]",
                "[self.seed, 1, part]",
            ),
            "own images: all parts of a batch are drawn alike": (
                "[self.seed, 1, step, part]",
                "[self.seed, 1, step]",
            ),
            "own images: the stream begins at the first batch": (
                "first = step * self.parts\n        return ahead(",
                "first = 0 * self.parts\n        return ahead(",
            ),
            "own images: labels of another batch": (
                "self.labels_of(step)), self.device)",
                "self.labels_of(step + 1)), self.device)",
            ),
            "own images: a stream that has ended is taken for the next": (
                "        self.due = -1  # if an image can't be read, the stream ends\n",
                "",
            ),
            "own images: tests see the whole image": (
                "resize(files.open(number), self.preprocessing.resize)",
                "resize(files.open(number), self.size)",
            ),
            "own images: a test leaves out every 16th image": (
                "numbers[start : start + AT_ONCE]",
                "numbers[start : start + AT_ONCE - 1]",
            ),
            "own images: each rank tests all images": (
                "starts = range(first * batch_size, len(files), every * batch_size)",
                "starts = range(0, len(files), batch_size)",
            ),
            "own images: large ones fill the memory": (
                "max(1, min(batch_size, TEST_PIXELS // self.size**2))",
                "batch_size",
            ),
            "own images: levels are not scaled": (
                "1 / (255 * np.array(IMAGENET_STD))",
                "1 / np.array(IMAGENET_STD)",
            ),
        },
    ),
    *planted_in(
        "minires/data/own_folders.py",
        PHOTOGRAPHS,
        {
            "own images: the split does not depend on the seed": (
                "default_rng([seed, label])",
                "default_rng([0, label])",
            ),
            "own images: test images are trained on, too": (
                "train += order[held_out:]",
                "train += order[0:]",
            ),
            "own images: a class may be missing from the test": (
                "        refuse_missing(train, test, place)\n",
                "        pass\n",
            ),
            "own images: test images are read each time": (
                "test = replace(found, upright=True, opener=opener)",
                "test = replace(found, upright=True)",
            ),
            "own images: one class is enough": ("if len(found) < 2:", "if not found:"),
            "own images: weights grow with the class": (
                "len(files) / (len(counts) * counts[label])",
                "len(counts) * counts[label] / len(files)",
            ),
            "own images: photographs lie on their side": (
                "train = replace(found, upright=True",
                "train = replace(found, upright=False",
            ),
        },
    ),
]

TRAINING = [
    *planted_in(
        "minires/own_images/starting.py",
        f"{OWN}::TestFineTuning",
        {
            "own images: the head is that of the pretrained classes": (
                "    put_head(model, classes, seed)\n",
                "",
            ),
            "own images: frozen layers go on gathering statistics": (
                "    hold(norm for layer in chosen for norm in norms(layer))\n",
                "",
            ),
            "own images: frozen layers are trained": ("    freeze(chosen)\n", ""),
            "own images: small batches have statistics of their own": (
                "        hold(norms(model))\n",
                "",
            ),
            "own images: weights of any network are taken": (
                "if model.name != expected:",
                "if not model:",
            ),
        },
    ),
    *planted_in(
        "minires/own_images/trainer.py",
        f"{OWN}::TestTheBest",
        {
            "own images: the best is the last of several": (
                "if test.error < best_error",
                "if test.error <= best_error",
            ),
        },
    ),
    *planted_in(
        "minires/own_images/command.py",
        f"{OWN}::TestWeightsOfClasses",
        {
            "own images: classes have no weights": ("    if options.balance:", "    if False:"),
        },
    ),
    *planted_in(
        "minires/own_images/results.py",
        f"{OWN}::TestARun",
        {
            "own images: the file does not say its images' size": (
                "IMAGE_SIZE: str(data.size)",
                "IMAGE_SIZE: str(224)",
            ),
            "own images: rows and columns are exchanged": (
                "(self.data.test_labels, self.said), 1",
                "(self.said, self.data.test_labels), 1",
            ),
            "own images: the least confident mistakes come first": (
                "np.argsort(-sure[wrong]",
                "np.argsort(sure[wrong]",
            ),
        },
    ),
    *planted_in(
        "minires/own_images/command.py",
        f"{OWN}::TestGoingOn",
        {
            "own images: a stop before training leaves nothing to go on with": (
                "        keep(folder, options, shlex.join(command))  # perhaps nobody has yet\n",
                "",
            ),
        },
    ),
    *planted_in(
        "minires/own_images/command.py",
        f"{OWN}::TestBadInput",
        {
            "own images: results are written over": (
                "if folder.exists() and any(folder.iterdir()):",
                "if False:",
            ),
        },
    ),
    *planted_in(
        "minires/evaluation/commands.py",
        f"{OWN}::TestARun",
        {
            "own images: evaluated at the size of ImageNet's": (
                "(weights, *sizes)\n    models = load_networks(",
                "(weights, 256, 224)\n    models = load_networks(",
            ),
        },
    ),
    *planted_in(
        "minires/own_images/command.py",
        OWN,
        {
            "own images: options beside --resume are lost": (
                '        refuse_changes(resume, asked, kept, TrainingOptions(data=""))\n',
                "",
            ),
        },
    ),
]

MUTANTS = [*DATA, *TRAINING]
