"""How fast are detectors? Beside torchvision's, on the same cores, in turns; and how much memory.

    python benchmarks/detectors.py [--rounds 3] [--cases nms,roi_align] [--threads 2] [--json FILE]

Each case runs in a process of its own, once a round for each engine, so that what slows one slows
the other, and peaks of memory are those of the case alone. The table shows medians, FILE has all
runs. Where torchvision can't be imported that is said, and ours alone is timed. `--torchvision
FOLDER` is an unpacked wheel for CUDA beside a PyTorch for the CPU: see
`tests/detection/torchvision_on_cpu.py`. `--small` shows that all runs.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from tables import console, machine, new_table

from minires.environment import environment

sys.path.append(str(Path(__file__).parents[1]))  # for `tests`, whose loader of torchvision is used

Work = Callable[[], object]
VOC = [f"class {number}" for number in range(20)]
REGIONS, CHANNELS, BOXES, SCENES = 300, 1024, 6000, 8
THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(
    rounds: Annotated[int, typer.Option(min=1, help="runs of each case and engine")] = 3,
    cases: Annotated[str, typer.Option(help="separated by commas; all if left out")] = "",
    threads: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
    torchvision: Annotated[Path | None, typer.Option(help="folder of its unpacked wheel")] = None,
    small: Annotated[bool, typer.Option("--small", help="small sizes, which tell nothing")] = False,
    out: Annotated[Path | None, typer.Option("--json", help="write the rows here")] = None,
) -> None:
    """Time all cases."""
    chosen = cases.split(",") if cases else list(OURS)
    if unknown := set(chosen) - set(OURS):
        raise typer.BadParameter(f"no case {', '.join(unknown)}: there are {', '.join(OURS)}")
    engines, reason = ["minires"], why_not(torchvision)
    if reason:
        console.print(f"torchvision can't be used here ({reason}): only ours is timed")
    else:
        engines.append("torchvision")
    rows = []
    for case in chosen:
        runs: dict[str, list[dict[str, float]]] = {engine: [] for engine in engines}
        for _ in range(rounds):
            for engine in engines:
                runs[engine].append(child(engine, case, threads, torchvision, small))
        engines_of_case = {e: middle(parts) | {"runs": parts} for e, parts in runs.items()}
        rows.append({"case": case, "engines": engines_of_case})
    show(rows, engines, threads)
    if out:
        made_on = {"machine": machine(threads), "versions": environment()}
        out.write_text(json.dumps(made_on | {"rows": rows}, indent=1) + "\n")


def why_not(folder: Path | None) -> str:
    """Why torchvision can't be imported, or an empty string.

    A child tries: the most memory that a process ever held counts as that of its children, too.
    """
    words = [sys.executable, __file__, "--try", str(folder or "")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def load(folder: Path | None) -> Any:
    """torchvision, from the folder of its wheel or as it is installed."""
    if folder:
        from tests.detection import torchvision_on_cpu

        return torchvision_on_cpu.load(folder)
    import torchvision

    return torchvision


def load_from(folder: str) -> Any:
    """The same, with the folder, or nothing, as a text."""
    return load(Path(folder) if folder else None)


def child(
    engine: str, case: str, threads: int, folder: Path | None, small: bool
) -> dict[str, float]:
    """A case in a process of its own: milliseconds, and MiB at its peak."""
    words = [sys.executable, __file__, "--child", engine, case, str(folder or ""), str(int(small))]
    environment = os.environ | dict.fromkeys(THREADS, str(threads))
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def middle(runs: list[dict[str, float]]) -> dict[str, Any]:
    """Medians over the rounds."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def show(rows: list[dict[str, Any]], engines: list[str], threads: int) -> None:
    """A row a case."""
    headings = [f"{engine}, {unit}" for engine in engines for unit in ("ms", "MiB")]
    ratio = ["times as fast"] if len(engines) > 1 else []
    table = new_table(f"Detectors: {machine(threads)}", ["case"], [*headings, *ratio])
    for row in rows:
        figures = [row["engines"][engine] for engine in engines]
        cells = [f"{part[name]:,.1f}" for part in figures for name in ("ms", "mib")]
        if ratio:
            cells.append(f"{figures[1]['ms'] / figures[0]['ms']:.2f}")
        table.add_row(row["case"], *cells)
    console.print(table)


# ------------------------------------------------------------------------ in the child


def run_child(engine: str, case: str, folder: str, small: str) -> None:
    """Print the figures of a case: the best of three calls after one that warms up."""
    if engine == "torchvision":
        load_from(folder)
    work = (OURS if engine == "minires" else THEIRS)[case](small == "1")
    times = []
    for _ in range(4):
        started = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - started))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"ms": min(times[1:]), "mib": peak}))


def regions(small: bool) -> tuple[np.ndarray, np.ndarray]:
    """A map (1, 38, 50, C), as of 600 x 800 pixels, and boxes (R, 4)."""
    rng, count = np.random.default_rng(0), 10 if small else REGIONS
    x = rng.standard_normal((1, 38, 50, 16 if small else CHANNELS)).astype(np.float32)
    return x, random_boxes(rng, count)


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Boxes in an image of 600 x 800 pixels."""
    corner, side = rng.uniform(0, (600, 400), (count, 2)), rng.uniform(16, 200, (count, 2))
    return np.concatenate([corner, corner + side], axis=1).astype(np.float32)


def our_inference(backbone: str) -> Callable[[bool], Work]:
    """A detector of the paper's on an image of 600 x 800 pixels."""

    def make(small: bool) -> Work:
        from minires import Tensor, no_grad
        from minires.detection import faster_rcnn

        model = faster_rcnn(backbone, VOC).eval()
        damp(model.named_parameters(), lambda weight: weight.data.__imul__(0.2))
        side = (64, 80) if small else (600, 800)
        x = Tensor(np.random.default_rng(0).standard_normal((1, *side, 3)).astype(np.float32))
        if not small:
            with no_grad():
                must_be_all(model.proposed(model.trunk(x), side, [side])[0])
        return lambda: model(x)

    return make


def damp(weights: Any, shrink: Callable[[Any], object]) -> None:
    """A small scale at the end of each block: random networks with held norms overflow."""
    for name, weight in weights:
        if name.endswith("bn3.weight"):
            shrink(weight)


def must_be_all(proposals: Any) -> None:
    """Raises: RuntimeError for few: a head without regions takes no time, and would be praised."""
    if len(proposals) != REGIONS:
        raise RuntimeError(f"{len(proposals)} regions reach the head, not {REGIONS}")


def our_step(small: bool) -> Work:
    """A training step of the small ResNet on the built-in scenes."""
    import tempfile

    from minires.detection import DetectorTrainer, scenes
    from minires.detection.small import small_resnet
    from minires.detection.training import quick

    data = scenes(train=SCENES, test=0, size=48 if small else 128)
    model = small_resnet(data.classes)
    options: dict[str, Any] = {"folder": Path(tempfile.mkdtemp()), "seed": 0, "name": "bench"}
    trainer = DetectorTrainer(model, data, quick(), **options)
    return trainer.make_gradients_and_update


def our_roi_align(small: bool) -> Work:
    """14 x 14 bins."""
    from minires import kernels

    x, boxes = regions(small)
    images = np.zeros(len(boxes), np.int64)
    return lambda: kernels.roi_align(x, boxes, images, size=(14, 14), scale=1 / 16)


def our_roi_align_grad(small: bool) -> Work:
    from minires import kernels

    x, boxes = regions(small)
    images, dy = np.zeros(len(boxes), np.int64), np.ones((len(boxes), 14, 14, x.shape[3]), "f4")
    return lambda: kernels.roi_align_grad(dy, boxes, images, x_shape=x.shape, scale=1 / 16)


def our_roi_max_pool(small: bool) -> Work:
    """The paper's pooling, of as many bins."""
    from minires import kernels

    x, boxes = regions(small)
    images = np.zeros(len(boxes), np.int64)
    return lambda: kernels.roi_max_pool(x, boxes, images, size=(14, 14), scale=1 / 16)


def our_roi_max_pool_grad(small: bool) -> Work:
    from minires import kernels

    x, boxes = regions(small)
    images = np.zeros(len(boxes), np.int64)
    y, argmax = kernels.roi_max_pool(x, boxes, images, size=(14, 14), scale=1 / 16)
    dy = np.ones_like(y)
    return lambda: kernels.roi_max_pool_grad(dy, argmax, images, x_shape=x.shape)


def our_nms(small: bool) -> Work:
    """Random boxes: a hard case, as most of them stay."""
    from minires import kernels

    boxes = random_boxes(np.random.default_rng(0), 100 if small else BOXES)
    return lambda: kernels.nms(boxes, threshold=0.7)


OURS: dict[str, Callable[[bool], Work]] = {
    "resnet101": our_inference("resnet101"),
    "vgg16": our_inference("vgg16"),
    "step": our_step,
    "roi_align": our_roi_align,
    "roi_align_grad": our_roi_align_grad,
    "roi_max_pool": our_roi_max_pool,
    "roi_max_pool_grad": our_roi_max_pool_grad,
    "nms": our_nms,
}


# ------------------------------------------------------------------------ torchvision's


def their_inference(backbone: str) -> Callable[[bool], Work]:
    """torchvision's FasterRCNN of the parts that ours has."""

    def make(small: bool) -> Work:
        import torch

        model = their_resnet() if backbone == "resnet101" else their_vgg()
        damp(model.eval().state_dict().items(), lambda weight: weight.mul_(0.2))
        side = (64, 80) if small else (600, 800)
        x = [torch.randn(3, *side, generator=torch.Generator().manual_seed(0))]
        if not small:
            model.rpn.register_forward_hook(lambda *call: must_be_all(call[2][0][0]))

        def run() -> None:
            with torch.inference_mode():
                model(x)

        return run

    return make


def their_parts(trunk: Any, channels: int, size: int, head: Any, features: int) -> Any:
    """A detector with the paper's numbers, whose images stay as they are."""
    from torchvision import ops
    from torchvision.models.detection import FasterRCNN, anchor_utils
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor

    trunk.out_channels = channels
    anchors = anchor_utils.AnchorGenerator(((128, 256, 512),), ((0.5, 1.0, 2.0),))
    return FasterRCNN(
        trunk,
        min_size=600,
        max_size=1000,
        rpn_anchor_generator=anchors,
        rpn_pre_nms_top_n_test=6000,
        rpn_post_nms_top_n_test=300,
        box_roi_pool=ops.MultiScaleRoIAlign(["0"], size, 0),
        box_head=head,
        box_predictor=FastRCNNPredictor(features, len(VOC) + 1),
        box_nms_thresh=0.3,
    )


def their_resnet() -> Any:
    """ResNet-101-C4."""
    from torch import nn
    from torchvision import ops
    from torchvision.models import resnet101

    network = resnet101(norm_layer=ops.FrozenBatchNorm2d)
    layers = [layer for name, layer in network.named_children() if name not in ("avgpool", "fc")]
    head = nn.Sequential(layers[-1], nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return their_parts(nn.Sequential(*layers[:-1]), 1024, 14, head, 2048)


def their_vgg() -> Any:
    """VGG-16."""
    from torch import nn
    from torchvision.models import vgg16

    network = vgg16()
    head = nn.Sequential(nn.Flatten(), *list(network.classifier)[:-1])
    return their_parts(network.features[:-1], 512, 7, head, 4096)


def their_step(small: bool) -> Work:
    """A training step of the same small ResNet."""
    import torch
    from torch import nn
    from torchvision import ops
    from torchvision.models.detection import FasterRCNN, anchor_utils
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
    from torchvision.models.resnet import BasicBlock

    from minires.detection import scenes

    def stage(before: int, width: int, stride: int) -> nn.Sequential:
        moved = stride > 1 or before != width
        across = nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width)
        shortcut = nn.Sequential(*across) if moved else None
        return nn.Sequential(BasicBlock(before, width, stride, shortcut), BasicBlock(width, width))

    first = nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
    trunk: Any = nn.Sequential(*first, stage(16, 16, 1), stage(16, 32, 2), stage(32, 64, 2))
    trunk.out_channels, side = 64, 48 if small else 128
    model = FasterRCNN(
        trunk,
        min_size=side,
        max_size=side,
        rpn_anchor_generator=anchor_utils.AnchorGenerator(((14, 28, 56),), ((0.5, 1.0, 2.0),)),
        rpn_pre_nms_top_n_train=1000,
        rpn_post_nms_top_n_train=300,
        rpn_batch_size_per_image=64,
        box_batch_size_per_image=32,
        box_roi_pool=ops.MultiScaleRoIAlign(["0"], 8, 0),
        box_head=nn.Sequential(stage(64, 128, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        box_predictor=FastRCNNPredictor(128, 11),
    ).train()
    data = scenes(train=SCENES, test=0, size=side).train
    images = [torch.tensor(data.pixels(n)).permute(2, 0, 1) / 255 for n in range(SCENES)]
    objects = [data.objects(n) for n in range(SCENES)]
    targets = [
        {"boxes": torch.tensor(boxes).float(), "labels": torch.tensor(labels)}
        for boxes, labels in objects
    ]
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, momentum=0.9, weight_decay=1e-4)

    def run() -> None:
        optimizer.zero_grad()
        sum(model(images, targets).values()).backward()
        optimizer.step()

    return run


def their_regions(small: bool) -> tuple[Any, Any]:
    """The same map and boxes, (1, C, H, W) and (R, 5)."""
    import torch

    x, boxes = regions(small)
    numbered = np.concatenate([np.zeros((len(boxes), 1), np.float32), boxes], axis=1)
    return torch.tensor(x).permute(0, 3, 1, 2).contiguous(), torch.tensor(numbered)


def their_roi_align(small: bool) -> Work:
    from torchvision import ops

    x, boxes = their_regions(small)
    return lambda: ops.roi_align(x, boxes, 14, 1 / 16, 0, aligned=True)


def their_roi_align_grad(small: bool) -> Work:
    import torch
    from torchvision import ops

    x, boxes = their_regions(small)
    y = ops.roi_align(x.requires_grad_(), boxes, 14, 1 / 16, 0, aligned=True)
    ones = torch.ones_like(y)
    return lambda: torch.autograd.grad(y, x, ones, retain_graph=True)


def their_roi_max_pool(small: bool) -> Work:
    from torchvision import ops

    x, boxes = their_regions(small)
    return lambda: ops.roi_pool(x, boxes, 14, 1 / 16)


def their_roi_max_pool_grad(small: bool) -> Work:
    import torch
    from torchvision import ops

    x, boxes = their_regions(small)
    y = ops.roi_pool(x.requires_grad_(), boxes, 14, 1 / 16)
    ones = torch.ones_like(y)
    return lambda: torch.autograd.grad(y, x, ones, retain_graph=True)


def their_nms(small: bool) -> Work:
    import torch
    from torchvision import ops

    boxes = torch.tensor(random_boxes(np.random.default_rng(0), 100 if small else BOXES))
    scores = torch.arange(len(boxes), 0, -1).float()
    return lambda: ops.nms(boxes, scores, 0.7)


THEIRS: dict[str, Callable[[bool], Work]] = dict(
    zip(
        OURS,
        [
            their_inference("resnet101"),
            their_inference("vgg16"),
            their_step,
            their_roi_align,
            their_roi_align_grad,
            their_roi_max_pool,
            their_roi_max_pool_grad,
            their_nms,
        ],
        strict=True,
    )
)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        run_child(*sys.argv[2:])
    elif sys.argv[1:2] == ["--try"]:
        load_from(sys.argv[2])
    else:
        typer.run(main)
