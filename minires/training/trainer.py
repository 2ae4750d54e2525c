"""The training loop. What makes a long run safe lies beside it: records, checkpoints, divergence.

The state of a run is its parameters, their average where one is kept, buffers, velocities and the
number of steps done. Batches, crops and learning rates are functions of the seed and the step. So a
run that is stopped and resumed gives, bit for bit, what an uninterrupted one gives.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

from ..autograd import Tensor
from ..common.expecting import expects
from ..data import Dataset, Photographs, training_batches
from ..distributed import ALONE, rank_name, world
from ..distributed.shards import Shards
from ..nn import Module
from ..nn import functional as F
from ..optim import clip_gradients
from . import checkpoints
from .choices import average_of, loss_options, mixed, optimizer_of, why_never_replayed
from .claim import claimed
from .configuration import identity, update_configuration, write_configuration
from .divergence import check_gradients, check_loss, first_fault
from .interrupt import InterruptedTraining, StopRequest
from .meters import Meter, Tally, evaluate_split
from .norms import digest
from .recipes import Recipe
from .records import Records
from .replay import Replay


class Trainer:
    """Trains one network by one recipe and keeps everything about it in one folder.

    Files: `config.json` (network, data, recipe, seed, versions, machine), `records.jsonl` and
    `checkpoint.safetensors`. Records are JSON lines of five kinds; errors are shares (0 to 1),
    `step` counts the iterations done, `seconds` the wall-clock time of training so far:

    - interval: every `record_every` iterations; mean training loss and error since the last such
      line (on augmented batches, while the network learns), lr, norm of the last gradient.
    - evaluation: every `evaluate_every` iterations; training loss and error since the last such
      line, test loss and error.
    - gradients: at the first and the last iteration; norm of each weight's gradient.
    - changed: where a run was resumed with another schedule or number of iterations; both recipes'
      values.
    - diverged: where training broke down; the reason.

    On a GPU, iterations are replayed as CUDA graphs where they can be: see `replay.py`.

    Args:
        model: the network; its parameters are changed.
        dataset: the images, in memory, or `Photographs` as files.
        recipe: see `recipes.py`.
        folder: where the files go; created if need be.
        seed: of the batches' order and crops.
        name: what tables and pictures call the network.
        device: "cpu", "cuda" or "auto": the network is moved there; left out, it stays where it is.
            Checkpoints do not depend on it: a run may go on on another device.
        watch: called with the trainer after every step, for a progress bar.
        overwrite: a finished or interrupted run in the folder may be deleted.

    Modules that are in evaluation while the network itself is in training stay so: such a batch
    norm is frozen. A network that is in evaluation as a whole is put into training.

    Raises (in run): DivergedError, InterruptedTraining, and ValueError if another process is
    training in the folder, or has trained there and this is neither to `resume` nor to `overwrite`.
    """

    @expects(
        model=Module,
        recipe=Recipe,
        folder=Path,
        seed=int,
        name=str,
        device=str,
        watch=Callable,
        overwrite=bool,
    )
    def __init__(
        self,
        model: Module,
        dataset: Dataset | Photographs,
        recipe: Recipe,
        *,
        folder: Path,
        seed: int,
        name: str,
        device: str | None = None,
        watch: Callable[[Trainer], None] | None = None,
        overwrite: bool = False,
    ) -> None:
        if device:
            model.to(device)
        self.model, self.recipe = model, recipe
        self.dataset: Any = dataset
        self.folder, self.name, self.overwrite = Path(folder), name, overwrite
        self.watch = watch or (lambda trainer: None)
        self.world = ALONE if recipe.shards == 1 else world()  # the ranks that train this run
        place: dict[str, Any] = {"dtype": model.parameters()[0].dtype, "device": model.device}
        self.batches = self.make_batches(seed, **place)
        self.optimizer = optimizer_of(model, recipe)
        self.average, self.loss_options = average_of(model, recipe), loss_options(model, recipe)
        never = why_never_replayed(recipe)
        self.replay = Replay(model, self.optimizer, self.batches, name, never, self.any_reason)
        self.tally, self.records = Tally(model.device), Records(self.folder / "records.jsonl")
        self.step, self.seconds = 0, 0.0
        self.loss: float | None = None  # of the last record interval
        self.gradient_norm = math.nan  # where it was last looked at
        self.identity = identity(self)
        self.stopping, self.all_stop = StopRequest(), False

    # -- the loop --------------------------------------------------------------------------

    def run(self) -> None:
        """Train to the end of the recipe, from wherever the trainer stands."""
        with StopRequest() as self.stopping, closing(self.iterations()) as iterations:
            for _ in iterations:
                if self.is_to_stop():
                    self.stop()

    def iterations(self) -> Generator[None, None, None]:
        """The training as `run` does it, with a pause after every iteration: others may take turns.

        Nobody else may train in the folder until the generator is closed.
        """
        with ExitStack() as held, self.replay:
            held.push(self.world.hang_up)
            who = rank_name(self.world.size)
            self.world.share(lambda: held.enter_context(claimed(self.folder, who)))
            if self.step == 0:
                self.begin()
            if not self.model.training:
                self.model.train()
            while self.step < self.recipe.iterations:
                with self.timed():
                    self.train_step()
                self.do_what_is_due()
                self.watch(self)
                yield

    def train_step(self) -> None:
        """One iteration: gradients, a look at them where one is wanted, update."""
        self.optimizer.lr = self.recipe.schedule(self.step)
        self.batches.seek(self.step)
        self.tally.images += self.recipe.batch_size  # here: a replayed step runs no Python
        if self.is_looked_at():
            self.replay(self.make_gradients)
            self.ask_ranks()
            self.look()
            self.update()
        else:
            self.replay(self.make_gradients_and_update)
            self.ask_ranks()
        self.step += 1

    def make_gradients(self) -> None:
        """Forward and backward, of the whole batch or of this rank's shards."""
        images, labels = self.batches.next()
        if self.recipe.shards == 1:
            self.make_gradients_of(images, labels)
            return
        for row in self.shards(images, labels, self.make_gradients_of_shard):
            self.tally.totals += row

    def make_gradients_of_shard(self, images: Any, labels: Any, row: Any) -> None:
        """The same of one shard, counted in a row of zeros."""
        totals, self.tally.totals = self.tally.totals, row
        try:
            self.make_gradients_of(images, labels)
        finally:
            self.tally.totals = totals

    def make_gradients_of(self, images: Any, labels: Any) -> None:
        """Forward and backward of these images."""
        images, truth = mixed(self, images, labels)
        logits = self.model(Tensor(images))
        loss = F.cross_entropy(logits, truth, **self.loss_options)
        self.tally.sum(loss, logits, labels)
        self.optimizer.zero_grad()
        loss.backward()

    def make_gradients_and_update(self) -> None:
        """A whole iteration, whose gradients nobody looks at."""
        self.make_gradients()
        self.update()

    def update(self) -> None:
        """Move the parameters, and their average where there is one."""
        if self.recipe.clip_norm is not None:
            clip_gradients(self.optimizer.parameters, self.recipe.clip_norm)
        self.optimizer.step()
        if self.average:
            self.average.update()

    def do_what_is_due(self) -> None:
        """Record, evaluate and save, each as often as the recipe says."""
        due = self.recipe.due(self.step)
        if "record" in due:
            self.loss = self.records.interval(self)
            self.compare_ranks()
        if "evaluation" in due:
            with self.timed(), self.average.in_use() if self.average else nullcontext():
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
        count = self.recipe.test_images
        return evaluate_split(self.model, self.dataset, limit=count, world=self.world)

    def timed_network(self) -> tuple[Module, Any]:
        """What stands for the whole where times are estimated, and the shape of its input."""
        return self.model, self.dataset.image_shape

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

    # -- with several ranks ----------------------------------------------------------------

    @cached_property
    def shards(self) -> Shards:
        """How the batches are cut, from the first step on."""
        self.world.agree("what is trained", self.identity)
        self.world.agree("the device", self.model.device)
        recipe, parameters = self.recipe, self.optimizer.parameters
        flats = self.optimizer.flats
        return Shards(self.model, parameters, recipe.shards, recipe.batch_size, self.world, flats)

    def ask_ranks(self) -> None:
        """Whether any rank is asked to stop; before a GPU is waited for, since one may be gone."""
        self.all_stop = self.world.any(self.stopping.requested)

    def any_reason(self, reason: str) -> str:
        """The first reason that a rank has, for all of them: they replay a step, or none does."""
        return next(filter(None, self.world.exchange(reason)), "")

    def arrays(self) -> list[Any]:
        """All arrays of the state."""
        buffers = [buffer for _, buffer in self.model.named_buffers()]
        averages = self.average.averages.values() if self.average else ()
        memory = self.optimizer.state_arrays().values()
        return [*(p.data for p in self.optimizer.parameters), *buffers, *memory, *averages]

    def compare_ranks(self) -> None:
        """See that all ranks still have the same network. Raises: ValueError if not."""
        if self.world.size > 1:
            self.world.agree("the state of the network", digest(self.arrays()))

    # -- beginning, stopping, going on -----------------------------------------------------

    @property
    def checkpoint_path(self) -> Path:
        """Where the last good state lies."""
        return self.folder / checkpoints.CHECKPOINT

    def begin(self) -> None:
        """Write the configuration of a new run; an older one makes way only if it may.

        Without a checkpoint there is nothing that could be gone on with, so that it always may.
        """
        self.world.share(self.begin_files)

    def begin_files(self) -> None:
        if self.checkpoint_path.exists() and not self.overwrite:
            raise ValueError(
                f"{self.folder} holds a run already: call resume() first to go on with it, choose "
                "another folder, or make the Trainer with overwrite=True to delete it"
            )
        write_configuration(self)
        self.records.begin()
        self.checkpoint_path.unlink(missing_ok=True)

    def is_to_stop(self) -> bool:
        """Whether the user has asked for it, on any rank: they all stop after the same step."""
        return self.stopping.requested if self.recipe.shards == 1 else self.all_stop

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
        self.world.share(lambda: checkpoints.save(self))

    def resume(self, *, changed: bool = False) -> None:
        """Go back to the folder's checkpoint; records of later steps are dropped.

        With `changed` the schedule and the number of iterations may be others than before. A line
        of the records says which, and from where on: what was, and what is from then on.

        Raises: FileNotFoundError, or ValueError if the checkpoint is damaged or of another run, or
        another process is training there.
        """
        changes = self.restore(changed=changed)
        self.world.share(self.drop_later_records)
        if changes:
            self.records.add("changed", self, recipe=changes)
            self.world.share(lambda: update_configuration(self))

    def restore(self, *, changed: bool = False) -> dict[str, Any]:
        """Take over the state of the checkpoint; rank 0 reads it, the others get it from there.

        Returns what is another than in the checkpoint, which only `changed` allows.
        """
        state = self.world.share(lambda: checkpoints.restore_arrays(self, changed=changed))
        for array in self.arrays():
            self.world.broadcast(array)
        checkpoints.restore_counts(self, state)
        return checkpoints.changes_of(state["identity"]["recipe"], self.identity["recipe"])

    def drop_later_records(self) -> None:
        with claimed(self.folder):
            self.records.go_back_to(self.step)

    def resume_if_begun(self) -> None:
        """Go back to the folder's checkpoint if there is one; see `resume`."""
        if self.world.share(self.checkpoint_path.exists):
            self.resume()

    def finish(self) -> None:
        """Run to the end, from the checkpoint if the folder has one."""
        self.resume_if_begun()
        self.run()


def run_all(trainers: Iterable[Trainer]) -> None:
    """Run each trainer to its end, from its checkpoint where its folder has one.

    Where a launcher has started several ranks, the runs are dealt to them: see `dealing.py`.
    """
    if (ranks := world()).size > 1:
        from .dealing import run_dealt

        run_dealt(ranks, list(trainers))
        return
    for trainer in trainers:
        trainer.finish()
