"""The paper's table 6: 20 to 110 layers trained, and a few iterations of 1202."""

from __future__ import annotations

import sys
from dataclasses import replace

from ..distributed import world
from ..models import cifar_resnet
from ..nn import summary
from ..training import Recipe, StepDecay, Trainer
from ..training.records import read_records
from .catalogue import DEPTHS
from .network_comparison import folder_name
from .result import Result
from .setting import Setting

DEEPEST = 1202


def run(setting: Setting) -> Result:
    """Train the table's networks, then show that the deepest runs too."""
    result = DEPTHS.run(setting)
    steps, batch_size = (1, 2) if setting.size == "toy" else (4, 32)
    last = [deepest(setting, steps, batch_size)] if world().rank == 0 else []  # who prints it
    world().wait()
    return replace(result, findings=[*result.findings, *last])


def deepest(setting: Setting, steps: int, batch_size: int) -> str:
    """A few iterations of 1202 layers, with the blocks' maps recomputed: time and memory."""
    dataset = DEPTHS.dataset(setting)
    model = cifar_resnet(DEEPEST, classes=len(dataset.classes), recompute=True)
    recipe = Recipe(
        name="deepest",
        iterations=steps,
        batch_size=batch_size,
        schedule=StepDecay(peak=0.01, drops=()),
        record_every=1,
        evaluate_every=steps,
        checkpoint_every=steps,
        test_images=1,
    )
    folder = setting.folder / "deepest" / folder_name(model.name, seed=0)
    Trainer(
        model,
        dataset,
        recipe,
        folder=folder,
        seed=0,
        name=model.name,
        device=setting.device,
        overwrite=True,
    ).run()
    intervals = [r for r in read_records(folder / "records.jsonl") if r["kind"] == "interval"]
    losses, seconds = [r["loss"] for r in intervals], intervals[-1]["seconds"] / steps
    cost = summary(model)
    return (
        f"ResNet-{DEEPEST} (paper: 19.4 M parameters, test error 7.93) has {cost.parameters:,} "
        f"parameters and {cost.multiply_adds / 1e6:,.0f} M multiply-adds. Recomputing its blocks, "
        f"{steps} iterations of {batch_size} images took {seconds:.1f} s each"
        f"{peak_memory()}; the losses were {', '.join(f'{value:.2f}' for value in losses)}. "
        f"{what_losses_show(losses)}"
    )


def what_losses_show(losses: list[float]) -> str:
    """How much so few iterations can tell."""
    text = f"So few iterations (here {len(losses)}) show that it runs, not that it learns"
    return f"{text}: the loss still rises." if losses[-1] > losses[0] else f"{text}."


def peak_memory() -> str:
    """The most memory that this process has held so far, as half a sentence; "" on Windows."""
    try:
        import resource
    except ImportError:
        return ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    mib = peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return f", and the whole process never held more than {mib:,.0f} MiB"
