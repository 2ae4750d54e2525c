"""Make the picture and the lists of the lesson's page 8, on detection, from trained detectors.

    python examples/detection_resnet_vs_vgg.py --seeds 3 --out FOLDER
    python examples/detection_figures.py FOLDER

looks at the built-in scenes with the small ResNet and the small VGG of each seed in FOLDER: what
their proposals cover, what is wrong with their detections, what becomes of both when one network
judges the other's proposals, and how well a linear classifier tells the classes from the maps of
each depth. What was seen of a seed is kept in FOLDER and not looked at anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from lesson_figures import LESSON, shrink, with_measurements
from minires.kernels.devices import choose, move, to_host

from minires import Tensor, no_grad
from minires.common.json_files import read_json, write_json
from minires.common.output import escape_what_cannot_be_printed
from minires.common.pictures import COLOURS, new_figure, save
from minires.detection import FasterRCNN, load_detector, scenes
from minires.detection.boxes import iou
from minires.detection.detecting import normalised
from minires.detection.detections import Detection, Detections
from minires.detection.errors import KINDS, error_kinds
from minires.detection.regions import best_of_each_class
from minires.detection.scales import Observer
from minires.detection.sets import DetectionData, DetectionSet
from minires.detection.small import SMALL
from minires.detection.training import SCENES, precisions, rows_of
from minires.nn import Conv2d, MaxPool2d, Module
from minires.nn import functional as F

PAGE = "8-why-did-detection-get-better.md"
OVERLAPS = np.round(np.arange(0.5, 0.96, 0.05), 2)
TRUTH = "the true boxes"
BINS, RIDGE, BATCH = 2, 1e-2, 20
SHORT = {"resnet": "small ResNet", "vgg": "small VGG"}
Values = dict[str, Any]


# ------------------------------------------------------------------------ proposals and judges


@dataclass
class Looked:
    """What two detectors of a seed say of the test scenes, and of each other's proposals."""

    covered: dict[str, list[float]] = field(default_factory=dict)  # each object's best overlap
    found: dict[tuple[str, str], list[Detection]] = field(default_factory=dict)

    def add(self, place: int, observers: dict[str, Observer], data: DetectionSet) -> None:
        """Another scene."""
        truth, _ = data.objects(place)
        boxes = {kind: observer.proposals() for kind, observer in observers.items()}
        for kind, some in boxes.items():
            best = iou(truth, some).max(axis=1, initial=0)
            self.covered.setdefault(kind, []).extend(best.tolist())
        boxes[TRUTH] = truth.astype(np.float32)
        for proposer, some in boxes.items():
            for judge, observer in observers.items():
                self.found.setdefault((proposer, judge), []).extend(judged(place, observer, some))

    def figures(self, data: DetectionSet) -> Values:
        """Shares of objects covered, both precisions of each pair, kinds of errors."""
        everything = {pair: Detections.of(rows) for pair, rows in self.found.items()}
        return {
            "covered": {
                kind: [float((np.array(best) >= least).mean()) for least in OVERLAPS]
                for kind, best in self.covered.items()
            },
            "pairs": {" / ".join(pair): precisions(data, f) for pair, f in everything.items()},
            "errors": {k: error_kinds(data.annotations, everything[k, k]) for k in self.covered},
        }


def judged(place: int, observer: Observer, boxes: np.ndarray) -> Iterator[Detection]:
    """What a detector finds where somebody proposes boxes."""
    if not len(boxes):
        return
    numbers = observer.model.numbers
    likely = observer.judge(boxes).likely(observer.size, numbers)
    yield from rows_of(place, best_of_each_class(likely, numbers))


def look(models: dict[str, FasterRCNN], data: DetectionSet) -> Values:
    """All scenes, through all detectors."""
    looked = Looked()
    with no_grad():
        for place in range(len(data)):
            observers = {
                kind: Observer(model, data.pixels(place)) for kind, model in models.items()
            }
            looked.add(place, observers, data)
    return looked.figures(data)


# ------------------------------------------------------------------------ depth


def depths(trunk: Module) -> list[tuple[int, int]]:
    """(layers, convolutions) from the image to where a size of the maps ends."""
    layers, ends, convolutions = list(trunk.children()), [], 0
    for number, layer in enumerate(layers, 1):
        convolutions += sum(
            isinstance(m, Conv2d) and m.weight.shape[0] > 1 for m in layer.modules()
        )
        after = layers[number] if number < len(layers) else None
        is_stage = after is None or isinstance(after, MaxPool2d) or bool(list(layer.children()))
        before_stage = after is not None and bool(list(after.children()))
        if is_stage or before_stage:
            ends.append((number, convolutions))
    return ends


def features(model: FasterRCNN, data: DetectionSet) -> tuple[list[np.ndarray], np.ndarray]:
    """Of each depth what the maps hold at the true boxes, (objects, features); and the labels."""
    parts: list[list[np.ndarray]] = [[] for _ in depths(model.trunk)]
    labels = []
    for start in range(0, len(data), BATCH):
        places = range(start, min(start + BATCH, len(data)))
        objects = [data.objects(place) for place in places]
        boxes = np.concatenate([box for box, _ in objects]).astype(np.float32)
        images = np.repeat(np.arange(len(objects)), [len(box) for box, _ in objects])
        labels.append(np.concatenate([label for _, label in objects]))
        pixels = normalised(np.stack([data.pixels(place) for place in places]), np.float32)
        for part, pooled in zip(parts, maps_at(model, pixels, boxes, images), strict=True):
            part.append(pooled)
    return [np.concatenate(part) for part in parts], np.concatenate(labels)


def maps_at(
    model: FasterRCNN, pixels: np.ndarray, boxes: np.ndarray, images: np.ndarray
) -> Iterator[np.ndarray]:
    """RoI align of 2 x 2 bins of the map at each depth."""
    x, done = Tensor(move(pixels, model.parameters()[0].device)), 0
    for end, _ in depths(model.trunk):
        for layer in list(model.trunk.children())[done:end]:
            x = layer(x)
        done, scale = end, x.shape[1] / pixels.shape[1]
        pooled = F.roi_align(x, boxes, images, size=(BINS, BINS), scale=scale)
        yield to_host(pooled.data).reshape(len(boxes), -1)


def probe(model: FasterRCNN, data: DetectionData) -> list[float]:
    """At each depth the share of test objects whose class a linear classifier names."""
    with no_grad():
        train, labels = features(model, data.train)
        test, truth = features(model, data.test)
    shares = []
    for seen, asked in zip(train, test, strict=True):
        mean, spread = seen.mean(axis=0), seen.std(axis=0) + 1e-6
        known, new = (np.c_[(f - mean) / spread, np.ones(len(f))] for f in (seen, asked))
        wanted = (labels[:, None] == np.arange(1, len(data.classes) + 1)).astype(np.float64)
        ridge = RIDGE * len(known) * np.eye(known.shape[1])
        weights = np.linalg.solve(known.T @ known + ridge, known.T @ wanted)
        shares.append(float(((new @ weights).argmax(axis=1) + 1 == truth).mean()))
    return shares


# ------------------------------------------------------------------------ words and picture


def sentences(rows: Sequence[Values], convolutions: Values, about: str) -> dict[str, list[str]]:
    """What was measured, a list for each of the page's marks."""
    kinds, made = list(SHORT), {}
    made["detection-proposals"] = [about]
    for kind in kinds:
        column = [row["covered"][kind] for row in rows]
        cover = [
            spread([one[list(OVERLAPS).index(at)] for one in column]) for at in (0.5, 0.7, 0.9)
        ]
        made["detection-proposals"].append(
            f"{SHORT[kind]}: its proposals cover {cover[0]} of the objects by .5, {cover[1]} by "
            f".7, {cover[2]} by .9."
        )
    made["detection-judges"] = [pair_in_words(rows, p, j) for p in (*kinds, TRUTH) for j in kinds]
    made["detection-judges"].append(comparison(rows))
    made["detection-errors"] = [errors_in_words(rows, kind) for kind in kinds]
    made["detection-errors"].append(commonest(rows))
    made["detection-depth"] = [depth_in_words(rows, kind, convolutions[kind]) for kind in kinds]
    return made


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation in percent; of one seed the figure alone."""
    mean = f"{100 * np.mean(values):.1f}"
    return f"{mean} %" if len(values) < 2 else f"{mean} ± {100 * np.std(values, ddof=1):.1f} %"


def pair_in_words(rows: Sequence[Values], proposer: str, judge: str) -> str:
    """mAP where one proposes and another judges."""
    said = [row["pairs"][f"{proposer} / {judge}"] for row in rows]
    whose = SHORT.get(proposer, proposer)
    verb = "are judged" if proposer == TRUTH else "proposes, judged"
    return (
        f"{whose} {verb} by the {SHORT[judge]}: mAP@.5 {spread([s['mAP50'] for s in said])}, "
        f"mAP@[.5,.95] {spread([s['mAP'] for s in said])}."
    )


def comparison(rows: Sequence[Values]) -> str:
    """Which exchange changes more: that of the proposals, or that of the judge."""

    def mean(proposer: str, judge: str) -> float:
        return float(np.mean([row["pairs"][f"{proposer} / {judge}"]["mAP50"] for row in rows]))

    a, b = SHORT
    by_judge = (mean(a, b) + mean(b, b) - mean(a, a) - mean(b, a)) / 2
    by_proposer = (mean(b, a) + mean(b, b) - mean(a, a) - mean(a, b)) / 2
    return (
        f"So {SHORT[b]} in the place of {SHORT[a]} changes mAP@.5 by {100 * by_judge:+.1f} points "
        f"as the judge, and by {100 * by_proposer:+.1f} as the proposer."
    )


def errors_in_words(rows: Sequence[Values], kind: str) -> str:
    """The four shares."""
    right, box, confused, nothing = (spread([r["errors"][kind][k] for r in rows]) for k in KINDS)
    return (
        f"{SHORT[kind]}: of its first detections {right} are right, {box} are of the right class "
        f"but badly placed or found twice, {confused} are of another class, {nothing} are nothing."
    )


def commonest(rows: Sequence[Values]) -> str:
    """Which kind of error each has most of."""

    def worst(kind: str) -> str:
        return max(KINDS[1:], key=lambda k: np.mean([row["errors"][kind][k] for row in rows]))

    words = {"box": "the box", "class": "the class", "background": "nothing there"}
    said = [f"{words[worst(kind)]} ({name})" for kind, name in SHORT.items()]
    return f"The commonest error: {', '.join(said)}."


def depth_in_words(rows: Sequence[Values], kind: str, convolutions: Sequence[int]) -> str:
    """Trained and untrained, depth by depth."""
    trained, untrained = (
        [spread([row[name][kind][depth] for row in rows]) for depth in range(len(convolutions))]
        for name in ("depth", "untrained")
    )
    places = [
        f"{one} after {n} (untrained {other})"
        for n, one, other in zip(convolutions, trained, untrained, strict=True)
    ]
    return f"{SHORT[kind]}, by number of convolutions: {', '.join(places)}."


def draw(rows: Sequence[Values], convolutions: Values, path: Path) -> Path:
    """Three panels: what proposals cover, what is wrong, what the maps know."""
    figure, (cover, errors, depth) = new_figure(
        "A small ResNet and a small VGG on the built-in scenes", 3, share_y=False
    )
    for number, (kind, colour) in enumerate(zip(SHORT, COLOURS, strict=False)):
        mean = 100 * np.mean([row["covered"][kind] for row in rows], axis=0)
        cover.plot(OVERLAPS, mean, color=colour, marker="o", label=SHORT[kind])
        left = 0.0
        for k, shade in zip(KINDS, (COLOURS[2], COLOURS[5], COLOURS[4], "0.6"), strict=True):
            width = 100 * float(np.mean([row["errors"][kind][k] for row in rows]))
            label = {"right": "right", "box": "box", "class": "class"}.get(k, "nothing there")
            errors.barh(number, width, left=left, color=shade, label=None if number else label)
            left += width
        for name, style in (("depth", "-"), ("untrained", ":")):
            known = 100 * np.mean([row[name][kind] for row in rows], axis=0)
            label = SHORT[kind] if name == "depth" else "untrained"
            depth.plot(convolutions[kind], known, style, color=colour, marker="o", label=label)
    cover.set(title="proposals", xlabel="least overlap", ylabel="objects covered, %")
    errors.set(title="first detections", xlabel="%", yticks=[0, 1], yticklabels=SHORT.values())
    errors.set_ylim(-0.6, 2.1)
    depth.set_ylim(top=105)  # room for the names
    depth.set(title="class told from the map", xlabel="convolutions", ylabel="objects, %")
    for axis in (cover, errors, depth):
        axis.legend(fontsize="small", loc="upper right", ncols=1 if axis is cover else 2)
    return save(figure, path)


def main(
    folder: Annotated[Path, typer.Argument(help="of detection_resnet_vs_vgg.py --out")],
    seeds: Annotated[str, typer.Option(help="with commas")] = "0,1,2",
    train_scenes: Annotated[int, typer.Option(min=1, help="for the linear classifiers")] = 1000,
    test_scenes: Annotated[int, typer.Option(min=1)] = SCENES["quick"][1],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "cpu",
    pages: Annotated[Path, typer.Option(help="where picture and lists go")] = LESSON,
) -> None:
    """Look at every seed's detectors; write the lists and the picture."""
    place, data = choose(device), scenes(train=train_scenes, test=test_scenes)
    rows = [of_seed(folder, int(seed), data, place) for seed in seeds.split(",")]
    convolutions = {kind: [n for _, n in depths(SMALL[kind](data.classes).trunk)] for kind in SHORT}
    steps = read_steps(folder, seeds.split(",")[0])
    about = (
        f"{len(rows)} seed{'s' * (len(rows) > 1)}, {steps:,} iterations of 8 scenes; {test_scenes} "
        "test scenes, 100 proposals each."
    )
    for name, found in sentences(rows, convolutions, about).items():
        write_json(pages / f"{name}.json", {"found": found})
    record = {"about": about, "seeds": rows, "convolutions": convolutions}
    write_json(pages / "detection.json", record)
    shrink(draw(rows, convolutions, folder / "detection.png"), pages / "detection.png")
    page = pages / PAGE
    if page.exists():
        page.write_text(with_measurements(page), encoding="utf-8")


def of_seed(folder: Path, seed: int, data: DetectionData, device: str) -> Values:
    """All figures of one seed, kept in a file."""
    path = folder / f"figures-seed{seed}-{len(data.train)}-{len(data.test)}.json"
    if not path.exists():
        write_json(path, measured(folder, seed, data, device))
    return dict(read_json(path, "delete it to look anew"))


def measured(folder: Path, seed: int, data: DetectionData, device: str) -> Values:
    """The same, from the seed's detectors."""
    paths = {kind: folder / f"{kind}-seed{seed}" / "detector.safetensors" for kind in SHORT}
    models = {kind: load_detector(path).to(device) for kind, path in paths.items()}
    known = {kind: probe(model, data) for kind, model in models.items()}
    fresh = {k: SMALL[k](data.classes, seed=seed).eval().to(device) for k in SHORT}
    untrained = {kind: probe(model, data) for kind, model in fresh.items()}
    return look(models, data.test) | {"depth": known, "untrained": untrained}


def read_steps(folder: Path, seed: str) -> int:
    """How long the detectors were trained."""
    config = read_json(folder / f"resnet-seed{seed}" / "config.json", "train it anew")
    return int(config["recipe"]["iterations"])


if __name__ == "__main__":
    escape_what_cannot_be_printed()
    typer.run(main)
