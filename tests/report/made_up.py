"""Folders of runs that nobody trained, with known numbers."""

import base64
import json

LOSSES = {"plain-20": 1.6, "plain-56": 2.0, "ResNet-20": 1.4, "ResNet-56": 1.5}
ITERATIONS = 80
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def write_run(folder, network, loss, seed=0, *, finished=True, recipe=(), **config):
    """A run whose training loss falls to `loss` and stays there for the last eighth."""
    path = folder / f"{network}-seed{seed}"
    path.mkdir(parents=True)
    settings = {"name": "quick", "iterations": ITERATIONS, "batch_size": 64, **dict(recipe)}
    known = {"network": network, "parameters": 1000, "data": "made up", "seed": seed}
    known |= {"recipe": settings, "training_images": 640, "test_images": 2000, "classes": 10}
    known |= config
    (path / "config.json").write_text(json.dumps(known))
    last = ITERATIONS if finished else ITERATIONS // 2
    lines = [gradients(0), *intervals(loss, last), gradients(last - 1), *evaluations(loss, last)]
    write_records(path, lines)
    return path


def write_records(path, lines):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (path / "records.jsonl").write_text(text)


def read_records(path):
    return [json.loads(line) for line in (path / "records.jsonl").read_text().splitlines()]


def gradients(step):
    norms = {"conv1.weight": 1.0 + step, "layer1.0.conv1.weight": 0.5}
    norms |= {"layer1.0.downsample.0.weight": 9.0, "fc.weight": 0.1}
    return {"kind": "gradients", "step": step, "norms": norms, "seconds": step}


def intervals(loss, last):
    for step in range(5, last + 1, 5):
        late = step - ITERATIONS * 7 / 8  # the last eighth: two intervals, `loss` on average
        value = loss + 0.4 * (late > 5) - 0.4 * (0 < late <= 5) if late > 0 else 9.0
        yield {"kind": "interval", "step": step, "loss": value, "training_error": value / 4} | {
            "lr": 0.1,
            "gradient_norm": loss * step,
            "seconds": step * loss,
        }


def evaluations(loss, last):
    for step in range(20, last + 1, 20):
        yield {
            "kind": "evaluation",
            "step": step,
            "epoch": step / 10,
            "training_error": 0.5,
            "test_loss": 2 * loss,
            "test_error": 0.6 - step / 1000 + 0.1 * (step == ITERATIONS),
            "seconds": step,
        }
