"""A training that takes a second: eight layers, a hundred images, twenty iterations."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from minires.data import Dataset
from minires.models import cifar_resnet
from minires.training import LinearDecay, Recipe, Trainer
from minires.training.checkpoints import load_checkpoint

ROOT = Path(__file__).parents[2]

RECIPE = Recipe(
    name="small",
    iterations=20,
    batch_size=16,
    schedule=LinearDecay(peak=0.05, start=5, stop=20),
    record_every=3,
    evaluate_every=7,
    checkpoint_every=10,
    test_images=30,
)


def dataset(train=100, test=40, seed=0):
    rng = np.random.default_rng(seed)

    def split(count):
        labels = rng.integers(0, 10, count)
        images = rng.integers(0, 200, (count, 32, 32, 3)) + 5 * labels[:, None, None, None]
        return images.astype(np.uint8), labels.astype(np.uint8)

    return Dataset("noise", *split(train), *split(test), tuple("abcdefghij"))


def trainer(
    folder,
    *,
    depth=8,
    shortcut="A",
    seed=0,
    watch=None,
    data=None,
    dtype=np.float32,
    **changes,
):
    return Trainer(
        cifar_resnet(depth, shortcut=shortcut, seed=seed, dtype=dtype),
        data or dataset(),
        dataclasses.replace(RECIPE, **changes),
        folder=folder,
        seed=seed,
        name=f"net-{depth}",
        watch=watch,
    )


def state(trained):
    """All arrays that a run leaves behind."""
    model, optimizer = trained.model.state_dict(), trained.optimizer.state_dict()
    return {**model, **optimizer}


def records(folder):
    """All records without their wall-clock times."""
    lines = (folder / "records.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def same(a, b):
    """Whether two states are equal bit for bit."""
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def run_python(code, *arguments, **environment):
    """Run a program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def files_arrays(folder):
    """The arrays of a run's checkpoint."""
    return load_checkpoint(folder / "checkpoint.safetensors")[0]
