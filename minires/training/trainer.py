"""The training loop, with everything that makes a long run safe: records, checkpoints, resuming.

The state of a run is its parameters, buffers, velocities and the number of steps done. Nothing
else: batches, crops and learning rates are functions of the seed and the step. So a run that is
stopped and resumed gives, bit for bit, what an uninterrupted one gives.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Tensor, no_grad
from ..data import Dataset, evaluation_batches, training_batches
from ..info import environment
from ..kernels import precision
from ..kernels.devices import move, to_host
from ..nn import Module, evaluating
from ..nn import functional as F
from ..optim import SGD
from . import files
from .diagnosis import DivergedError, first_fault, first_faulty_gradient
from .interrupt import InterruptedTraining, StopRequest
from .recipes import Recipe
from .replay import Replay


@dataclasses.dataclass
class Meter:
    """Running sums over images; their means are what records hold."""

    loss_sum: float = 0.0
    wrong: int = 0
    images: int = 0

    def add(self, other: Meter) -> None:
        """Count what another meter has counted, too."""
        self.loss_sum += other.loss_sum
        self.wrong += other.wrong
        self.images += other.images

    @property
    def loss(self) -> float:
        """Mean loss, in nats."""
        return self.loss_sum / self.images

    @property
    def error(self) -> float:
        """Share of images whose most likely class is not the true one, 0 to 1."""
        return self.wrong / self.images


METERS = ("since_record", "since_evaluation")  # what a checkpoint keeps of them


class Tally:
    """Counts batches where the network computes; only `read` waits for a GPU."""

    def __init__(self, device: str) -> None:
        self.totals, self.images = move(np.zeros(2), device), 0

    def add(self, loss: Tensor, logits: Tensor, labels: np.ndarray) -> None:
        """Count one batch with its mean loss."""
        self.sum(loss, logits, labels)
        self.images += len(labels)

    def sum(self, loss: Tensor, logits: Tensor, labels: np.ndarray) -> None:
        """The part of `add` that is done where the network computes."""
        kernels.tally(self.totals, loss.data, logits.data, labels)

    def read(self) -> Meter:
        """What has been counted since the last time."""
        loss_sum, wrong = to_host(self.totals).tolist()
        meter = Meter(loss_sum, int(wrong), self.images)
        self.totals[...], self.images = 0, 0
        return meter


def evaluate(
    model: Module,
    dataset: Dataset,
    split: str = "test",
    *,
    limit: int | None = None,
    batch_size: int = 250,
) -> Meter:
    """Loss and error over a split, or its first `limit` images, with the running statistics.

    Every part of the network is put back into its mode.
    """
    tally = Tally(model.device)
    place: dict[str, Any] = {"dtype": model.parameters()[0].dtype, "device": model.device}
    with no_grad(), evaluating(model):
        for images, labels in evaluation_batches(dataset, split, batch_size, limit=limit, **place):
            logits = model(Tensor(images))
            tally.add(F.cross_entropy(logits, labels), logits, labels)
    return tally.read()


class Trainer:
    """Trains one network by one recipe and keeps everything about it in one folder.

    Files: `config.json` (network, data, recipe, seed, versions, machine), `records.jsonl` and
    `checkpoint.safetensors`. Records are JSON lines of three kinds; errors are shares (0 to 1),
    `step` counts the iterations done, `seconds` the wall-clock time of training so far:

    - interval: every `record_every` iterations; mean training loss and error since the last such
      line (on augmented batches, while the network learns), lr, norm of the last gradient.
    - evaluation: every `evaluate_every` iterations; training loss and error since the last such
      line, test loss and error.
    - gradients: at the first and the last iteration; norm of each weight's gradient.
    - diverged: where training broke down; the reason.

    On a GPU, iterations are replayed as CUDA graphs where they can be: see `replay.py`.

    Args:
        model: the network; its parameters are changed.
        dataset: the images.
        recipe: see `recipes.py`.
        folder: where the files go; created if need be.
        seed: of the batches' order and crops.
        name: what tables and pictures call the network.
        device: "cpu", "cuda" or "auto": the network is moved there; left out, it stays where it is.
            Checkpoints do not depend on it: a run may go on on another device.
        watch: called with the trainer after every step, for a progress bar.

    Raises (in run): DivergedError, InterruptedTraining.
    """

    def __init__(
        self,
        model: Module,
        dataset: Dataset,
        recipe: Recipe,
        *,
        folder: Path,
        seed: int,
        name: str,
        device: str | None = None,
        watch: Callable[[Trainer], None] | None = None,
    ) -> None:
        if device:
            model.to(device)
        self.model, self.dataset, self.recipe = model, dataset, recipe
        self.folder, self.name = folder, name
        self.watch = watch or (lambda trainer: None)
        place: dict[str, Any] = {"dtype": model.parameters()[0].dtype, "device": model.device}
        self.batches = training_batches(dataset, recipe.batch_size, seed, **place)
        self.on_gpu = model.device == "cuda"
        self.tally = Tally(model.device)
        self.optimizer = SGD(
            model.parameters(),
            lr=recipe.schedule(0),
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )
        self.replay = Replay(model, self.optimizer, self.batches, name)
        self.step, self.seconds = 0, 0.0
        self.loss: float | None = None  # of the last record interval
        self.since_record, self.since_evaluation = Meter(), Meter()
        self.identity = {
            "network": name,
            "parameters": sum(p.data.size for p in model.parameters()),
            "data": dataset.name,
            "training_images": len(dataset.train_images),
            "test_images": len(dataset.test_labels[: recipe.test_images]),
            "seed": seed,
            "recipe": recipe.settings(),
        }

    @property
    def checkpoint_path(self) -> Path:
        """Where the last good state lies."""
        return self.folder / "checkpoint.safetensors"

    @property
    def records_path(self) -> Path:
        """Where the records lie."""
        return self.folder / "records.jsonl"

    # -- the loop --------------------------------------------------------------------------

    def run(self) -> None:
        """Train to the end of the recipe, from wherever the trainer stands."""
        if self.step == 0:
            self.begin()
        self.model.train()
        with StopRequest() as stop, self.replay:
            while self.step < self.recipe.iterations:
                started = time.perf_counter()
                self.train_step()
                self.seconds += time.perf_counter() - started
                self.write_what_is_due()
                self.watch(self)
                if stop.requested:
                    self.stop()

    def begin(self) -> None:
        """Write the configuration of a new run; an older one in the folder makes way."""
        about = {
            "classes": len(self.dataset.classes),
            "begun": time.strftime("%Y-%m-%d %H:%M %Z"),
            "precision": precision.current(),
            "made with": environment(),
        }
        files.write_json(self.folder / "config.json", self.identity | about)
        files.write_records(self.records_path, [])
        self.checkpoint_path.unlink(missing_ok=True)

    def train_step(self) -> None:
        """One iteration: gradients, a look at them where one is wanted, update."""
        self.optimizer.lr = self.recipe.schedule(self.step)
        self.batches.seek(self.step)
        is_looked_at = self.is_looked_at()
        self.replay(self.make_gradients if is_looked_at else self.make_gradients_and_update)
        self.tally.images += self.recipe.batch_size
        if is_looked_at:
            self.look()
            self.optimizer.step()
        self.step += 1

    def make_gradients(self) -> None:
        """Forward and backward."""
        images, labels = self.batches.next()
        logits = self.model(Tensor(images))
        loss = F.cross_entropy(logits, labels)
        self.tally.sum(loss, logits, labels)
        self.optimizer.zero_grad()
        loss.backward()

    def make_gradients_and_update(self) -> None:
        """All of an iteration in which nobody looks at anything."""
        self.make_gradients()
        self.optimizer.step()

    def is_looked_at(self) -> bool:
        """Whether the host looks at this iteration's gradients, for which it waits for a GPU."""
        return not self.on_gpu or self.step == 0 or self.something_is_due(self.step + 1)

    def look(self) -> None:
        """At what has been counted, then at the gradients."""
        self.read_tally(self.first_fault)
        self.record_gradients()

    def first_fault(self) -> str:
        """The first layer whose output is not finite, for this iteration's images."""
        return first_fault(self.model, self.batches.batch(self.step)[0])

    def read_tally(self, fault: Callable[[], str] = lambda: "the loss") -> None:
        """Take over what has been counted; stop if a loss was not finite, and say what is at fault.

        On a GPU this waits for the iterations before, so it happens where something is due, not in
        each iteration.
        """
        counted = self.tally.read()
        if not np.isfinite(counted.loss_sum):
            self.diverge("loss", counted.loss, fault())
        for meter in (self.since_record, self.since_evaluation):
            meter.add(counted)

    def something_is_due(self, step: int) -> bool:
        """Whether a record, an evaluation or a checkpoint is due after `step` iterations."""
        recipe = self.recipe
        rhythms = recipe.record_every, recipe.evaluate_every, recipe.checkpoint_every
        return any(self.due(every, step) for every in rhythms)

    def record_gradients(self) -> None:
        """Look at the gradients where something is due, before they are used."""
        last = self.step + 1 == self.recipe.iterations
        if self.step == 0 or last:
            norms = {
                name: norm(p.grad)
                for name, p in self.model.named_parameters()
                if p.grad is not None and p.ndim > 1
            }
            self.record("gradients", step=self.step, norms=norms)
        if self.something_is_due(self.step + 1):
            self.check_gradients()

    def check_gradients(self) -> None:
        """Stop if a gradient is not finite; what it has made, or would make, is not saved."""
        self.gradient_norm = norm(*self.optimizer.gradients())
        if not np.isfinite(self.gradient_norm):
            self.diverge("gradient norm", self.gradient_norm, first_faulty_gradient(self.model))

    def due(self, every: int, step: int) -> bool:
        """Whether something done every so many iterations is due after `step` of them."""
        return step % every == 0 or step == self.recipe.iterations

    def write_what_is_due(self) -> None:
        """Records, evaluation and checkpoint, each in its rhythm."""
        if self.due(self.recipe.record_every, self.step):
            self.record_interval()
        if self.due(self.recipe.evaluate_every, self.step):
            self.record_evaluation()
        if self.due(self.recipe.checkpoint_every, self.step):
            self.save()

    def record_interval(self) -> None:
        """The line of a record interval."""
        self.loss = self.since_record.loss
        self.record(
            "interval",
            step=self.step,
            loss=self.loss,
            training_error=self.since_record.error,
            lr=self.optimizer.lr,
            gradient_norm=self.gradient_norm,
        )
        self.since_record = Meter()

    def record_evaluation(self) -> None:
        """The line of an evaluation; its time counts too."""
        started = time.perf_counter()
        test = evaluate(self.model, self.dataset, limit=self.recipe.test_images)
        self.seconds += time.perf_counter() - started
        self.record(
            "evaluation",
            step=self.step,
            epoch=self.step / len(self.batches),
            loss=self.since_evaluation.loss,
            training_error=self.since_evaluation.error,
            test_loss=test.loss,
            test_error=test.error,
        )
        self.since_evaluation = Meter()

    def record(self, kind: str, *, step: int, **values: Any) -> None:
        """Append one line to the records."""
        line = {"kind": kind, "step": step, **values, "seconds": round(self.seconds, 3)}
        files.append_record(self.records_path, line)

    def diverge(self, what: str, value: float, fault: str) -> None:
        """Stop, naming the first layer at fault; the last good checkpoint stays."""
        kept = (
            f"the last good checkpoint is {self.checkpoint_path}"
            if self.checkpoint_path.exists()
            else "no checkpoint had been written yet"
        )
        reason = f"the {what} is {value} at iteration {self.step}; the first fault is in {fault}"
        self.record("diverged", step=self.step, reason=reason)
        raise DivergedError(
            f"{self.name}: {reason}. Try a smaller learning rate (it is "
            f"{self.recipe.schedule(self.step):g}) or a longer warm-up; {kept}."
        )

    def stop(self) -> None:
        """Save at the user's wish."""
        self.check_gradients()
        self.save()
        raise InterruptedTraining(
            f"{self.name}: stopped after {self.step} of {self.recipe.iterations} iterations; "
            f"saved in {self.folder}"
        )

    # -- state -----------------------------------------------------------------------------

    def save(self) -> None:
        """Write everything that the rest of the run depends on into the checkpoint."""
        self.read_tally()
        model = {f"model.{name}": array for name, array in self.model.state_dict().items()}
        optimizer = {f"sgd.{name}": array for name, array in self.optimizer.state_dict().items()}
        state = {
            "identity": self.identity,
            "step": self.step,
            "seconds": self.seconds,
            "since_record": dataclasses.asdict(self.since_record),
            "since_evaluation": dataclasses.asdict(self.since_evaluation),
        }
        files.save_checkpoint(self.checkpoint_path, model | optimizer, state)

    def resume(self) -> None:
        """Go back to the folder's checkpoint; records of later steps are dropped.

        Raises: FileNotFoundError, or ValueError if the checkpoint is damaged or of another run.
        """
        arrays, state = files.load_checkpoint(self.checkpoint_path)
        refuse_no_state(self.checkpoint_path, arrays, state)
        refuse_other_run(self.checkpoint_path, self.identity, state["identity"])
        parts: dict[str, files.Arrays] = {"model": {}, "sgd": {}}
        for name, array in arrays.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = array
        self.model.load_state_dict(parts["model"])
        self.optimizer.load_state_dict(parts["sgd"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.since_record = Meter(**state["since_record"])
        self.since_evaluation = Meter(**state["since_evaluation"])
        records = files.read_records(self.records_path)
        files.write_records(self.records_path, [r for r in records if self.is_past(r)])

    def is_past(self, record: dict[str, Any]) -> bool:
        """Whether a record belongs to the steps done; gradients are noted at a step's beginning."""
        return record["step"] + (record["kind"] == "gradients") <= self.step


def norm(*arrays: np.ndarray) -> float:
    """Euclidean norm of all elements together, summed in float64: of gradients, of all parameters.

    Not by np.linalg.norm: BLAS splits a long sum by the number of threads, and records must not
    depend on that.
    """
    return float(np.sqrt(sum(np.square(a, dtype=np.float64).sum() for a in arrays)))


STATE = {"identity": dict, "step": int, "seconds": float, **dict.fromkeys(METERS, dict)}


def refuse_no_state(path: Path, arrays: files.Arrays, state: dict[str, Any]) -> None:
    """A checkpoint holds what `save` writes, or it is none."""
    meter = {field.name for field in dataclasses.fields(Meter)}
    if (
        not all(isinstance(state.get(key), kind) for key, kind in STATE.items())
        or not all(set(state[key]) == meter for key in METERS)
        or not all(name.startswith(("model.", "sgd.")) for name in arrays)
    ):
        raise ValueError(
            f"{path} is damaged, or not a checkpoint of a minires run: delete it to start afresh"
        )


def refuse_other_run(path: Path, own: dict[str, Any], saved: dict[str, Any]) -> None:
    """A checkpoint may only be resumed by the run that wrote it."""
    differing = [key for key in own if own[key] != saved.get(key)]
    if differing:
        lines = [f"{key}: saved {saved.get(key)!r}, now {own[key]!r}" for key in differing]
        raise ValueError(
            f"{path} belongs to another run; resume with the same options, or choose another "
            "folder:\n  " + "\n  ".join(lines)
        )
