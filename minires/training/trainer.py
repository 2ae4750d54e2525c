"""The training loop. What makes a long run safe lies beside it: records, checkpoints, divergence.

The state of a run is its parameters, buffers, velocities and the number of steps done. Nothing
else: batches, crops and learning rates are functions of the seed and the step. So a run that is
stopped and resumed gives, bit for bit, what an uninterrupted one gives.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..autograd import Tensor
from ..data import Dataset, training_batches
from ..nn import Module
from ..nn import functional as F
from ..optim import SGD
from . import checkpoints
from .claim import claimed
from .configuration import identity, write_configuration
from .divergence import check_gradients, check_loss, first_fault
from .interrupt import InterruptedTraining, StopRequest
from .meters import Meter, Tally, evaluate_split
from .recipes import Recipe
from .records import Records
from .replay import Replay


class Trainer:
    """Trains one network by one recipe and keeps everything about it in one folder.

    Files: `config.json` (network, data, recipe, seed, versions, machine), `records.jsonl` and
    `checkpoint.safetensors`. Records are JSON lines of four kinds; errors are shares (0 to 1),
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

    Raises (in run): DivergedError, InterruptedTraining, and ValueError if another process is
    training in the folder.
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
        self.batches = self.make_batches(seed, **place)
        self.optimizer = SGD(
            model.parameters(),
            lr=recipe.schedule(0),
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )
        self.replay = Replay(model, self.optimizer, self.batches, name)
        self.tally, self.records = Tally(model.device), Records(folder / "records.jsonl")
        self.step, self.seconds = 0, 0.0
        self.loss: float | None = None  # of the last record interval
        self.gradient_norm = math.nan  # where it was last looked at
        self.identity = identity(self)

    # -- the loop --------------------------------------------------------------------------

    def run(self) -> None:
        """Train to the end of the recipe, from wherever the trainer stands."""
        with claimed(self.folder), StopRequest() as stop, self.replay:
            if self.step == 0:
                self.begin()
            self.model.train()
            while self.step < self.recipe.iterations:
                with self.timed():
                    self.train_step()
                self.do_what_is_due()
                self.watch(self)
                if stop.requested:
                    self.stop()

    def train_step(self) -> None:
        """One iteration: gradients, a look at them where one is wanted, update."""
        self.optimizer.lr = self.recipe.schedule(self.step)
        self.batches.seek(self.step)
        self.tally.images += self.recipe.batch_size
        if self.is_looked_at():
            self.replay(self.make_gradients)
            self.look()
            self.optimizer.step()
        else:
            self.replay(self.make_gradients_and_update)
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
        """A whole iteration, whose gradients nobody looks at."""
        self.make_gradients()
        self.optimizer.step()

    def do_what_is_due(self) -> None:
        """Record, evaluate and save, each as often as the recipe says."""
        due = self.recipe.due(self.step)
        if "record" in due:
            self.loss = self.records.interval(self)
        if "evaluation" in due:
            with self.timed():
                test = self.evaluate()
            self.records.evaluation(self, test)
        if "checkpoint" in due:
            self.save()

    # -- what another kind of training does in another way ---------------------------------

    def make_batches(self, seed: int, **place: Any) -> Any:
        """The stream of training batches, of a dtype on a device."""
        return training_batches(self.dataset, self.recipe.batch_size, seed, **place)

    def evaluate(self) -> Meter:
        """Loss and error on the test set."""
        return evaluate_split(self.model, self.dataset, limit=self.recipe.test_images)

    def timed_network(self) -> tuple[Module, Any]:
        """What stands for the whole where times are estimated, and the shape of its input."""
        return self.model, self.dataset.train_images.shape[1:]

    # -- what the loop does beside learning ------------------------------------------------

    def is_looked_at(self) -> bool:
        """Whether the host looks at the gradients: always on a CPU; for a GPU it has to wait."""
        on_gpu = self.replay.on_gpu
        return not on_gpu or self.step == 0 or bool(self.recipe.due(self.step + 1))

    def look(self) -> None:
        """Look at loss and gradients, before the gradients are used."""
        self.count(lambda: first_fault(self.model, self.batches.batch(self.step)[0]))
        if self.step in (0, self.recipe.iterations - 1):
            self.records.gradients(self)
        if self.recipe.due(self.step + 1):
            check_gradients(self)

    def count(self, find_fault: Callable[[], str] = lambda: "the loss") -> None:
        """Take over what has been counted; stop if a loss was not finite, and name the fault.

        On a GPU this waits for the iterations before, so it happens where something is due, not in
        each iteration.
        """
        counted = self.tally.read()
        check_loss(self, counted, find_fault)
        self.records.count(counted)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Adds the time within to that of the training."""
        started = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - started

    # -- beginning, stopping, going on -----------------------------------------------------

    @property
    def checkpoint_path(self) -> Path:
        """Where the last good state lies."""
        return self.folder / checkpoints.CHECKPOINT

    def begin(self) -> None:
        """Write the configuration of a new run; an older one in the folder makes way."""
        write_configuration(self)
        self.records.begin()
        self.checkpoint_path.unlink(missing_ok=True)

    def stop(self) -> None:
        """Save, and end the run, as the user asked."""
        check_gradients(self)
        self.save()
        raise InterruptedTraining(
            f"{self.name}: stopped after {self.step} of {self.recipe.iterations} iterations; "
            f"saved in {self.folder}"
        )

    def save(self) -> None:
        """Write everything that the rest of the run depends on into the checkpoint."""
        self.count()
        checkpoints.save(self)

    def resume(self) -> None:
        """Go back to the folder's checkpoint; records of later steps are dropped.

        Raises: FileNotFoundError, or ValueError if the checkpoint is damaged or of another run, or
        another process is training there.
        """
        checkpoints.restore(self)
        with claimed(self.folder):
            self.records.go_back_to(self.step)


def run_all(trainers: Iterable[Trainer]) -> None:
    """Run each trainer to its end, from its checkpoint where its folder has one."""
    for trainer in trainers:
        if trainer.checkpoint_path.exists():
            trainer.resume()
        trainer.run()
