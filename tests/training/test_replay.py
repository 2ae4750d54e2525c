"""A training that replays its steps does what one that runs them does, bit for bit."""

import math
import os
import re
import signal
import warnings
from contextlib import ExitStack

import numpy as np
import pytest
from minires.kernels.recording import Recording

import minires
from minires import Tensor, fusing, kernels, nn
from minires.data import Batches, resident
from minires.models import cifar_resnet
from minires.nn import functional as F
from minires.training import DivergedError, InterruptedTraining, LinearDecay, evaluate_split
from minires.training.replay import RESTLESS, Replay
from tests.cuda import fake_cupy
from tests.device import is_real, products_on, quick_gpu

from . import small
from .test_on_gpu import tiny_data

pytestmark = pytest.mark.cuda
counted = pytest.mark.skipif(is_real(), reason="only the stand-in counts")

RECIPE = {"iterations": 14, "batch_size": 4, "record_every": 5, "evaluate_every": 7}
RECIPE |= {"checkpoint_every": 7, "test_images": 4}
RECIPE |= {"schedule": LinearDecay(peak=0.05, start=4, stop=14)}


def trainer(folder, *, model=None, seed=0, **settings):
    """On the GPU; an epoch has five batches."""
    watch, data = settings.pop("watch", None), tiny_data(train=21)
    made = small.trainer(folder, seed=seed, data=data, **(RECIPE | settings))
    return type(made)(
        model or made.model,
        made.dataset,
        made.recipe,
        folder=folder,
        seed=seed,
        name="net",
        device="cuda",
        watch=watch,
        overwrite=True,  # a test may run twice in a folder
    )


def at(step, act):
    """A watch that does something to the trainer after so many steps."""
    return lambda trainer: act(trainer) if trainer.step == step else None


@pytest.fixture(autouse=True)
def device():
    with quick_gpu() as cupy:
        yield cupy


@pytest.fixture
def both(tmp_path, monkeypatch):
    """What a run leaves behind, replayed and not, of trainers made by a function of the folder.

    Without replay, batches go over one by one.
    """

    def run(make, run=lambda trainer: trainer.run()):
        results = []
        for name in ("replayed", "as it is"):
            with monkeypatch.context() as patch:
                if name == "as it is":
                    patch.setattr(Replay, "__call__", lambda self, part: part())
                    patch.setattr(resident, "LARGEST_SHARE", 0)
                made = make(tmp_path / name)
                run(made)
            results.append((small.state(made), small.records(tmp_path / name)))
        return results

    return run


def assert_same(results):
    (state, records), (expected, expected_records) = results
    assert records == expected_records
    for name, array in expected.items():
        np.testing.assert_array_equal(state[name], array, err_msg=name)


@pytest.fixture
def replays(monkeypatch):
    """How many steps were replayed so far; only those that launch a recording count."""
    launched, launch = [], Recording.launch

    def count(recording):
        launched.append(recording)
        launch(recording)

    monkeypatch.setattr(Recording, "launch", count)
    return launched


def test_a_run_gives_the_same_bits(both, replays):
    """Three epochs with a schedule that falls, evaluations and records in between."""
    with products_on(tensor_cores=True):
        assert_same(both(trainer))
    assert len(replays) >= 5


def test_a_run_is_the_loop_that_one_would_write(tmp_path, replays):
    """By hand, with SGD parameter by parameter."""
    made = trainer(tmp_path)
    made.run()
    model, recipe = cifar_resnet(8).to("cuda"), made.recipe
    batches = Batches(made.dataset, recipe.batch_size, 0, device="cuda")
    velocities = [0 * p.data for p in model.parameters()]
    settings = {"momentum": recipe.momentum, "weight_decay": recipe.weight_decay}
    for step in range(recipe.iterations):
        images, labels = batches.batch(step)
        model.zero_grad()
        F.cross_entropy(model(Tensor(images)), labels).backward()
        for p, velocity in zip(model.parameters(), velocities, strict=True):
            kernels.sgd_step(p.data, p.grad, velocity, lr=recipe.schedule(step), **settings)
    expected = model.state_dict()
    assert small.same(expected, made.model.state_dict())
    assert replays


def test_in_float64_too(both, replays):
    assert_same(both(lambda folder: trainer(folder, model=cifar_resnet(8, dtype=np.float64))))
    assert replays


def test_in_bfloat16_too(both, replays):
    with minires.precision("bfloat16"):
        assert_same(both(trainer))
    assert len(replays) >= 5


CHOICES = {
    "AdamW": {"optimizer": "adamw", "decay_norms": False},
    "nesterov, clipped, averaged": {"nesterov": True, "clip_norm": 1.0, "average": 0.9},
    "weights and smoothing": {"class_weights": tuple(range(1, 11)), "label_smoothing": 0.1},
}


@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
def test_what_a_recipe_chooses_is_replayed_with_the_same_bits(choices, both, replays):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(both(lambda folder: trainer(folder, **choices)))
    assert len(replays) >= 5


def test_recomputed_blocks_give_the_same_bits(both, replays):
    assert_same(both(lambda folder: trainer(folder, model=cifar_resnet(8, recompute=True))))
    assert replays


def test_a_resumed_run_gives_the_same_bits(both, tmp_path, replays):
    def in_two_parts(first):
        def interrupt(trainer):
            if trainer.step == 9:
                os.kill(os.getpid(), signal.SIGINT)

        first.watch = interrupt
        with pytest.raises(InterruptedTraining, match="after 9 of 14"):
            first.run()
        second = trainer(first.folder)
        second.resume()
        second.run()
        first.model.load_state_dict(second.model.state_dict())
        first.optimizer.load_state_dict(second.optimizer.state_dict())

    parts = both(trainer, in_two_parts)
    assert_same(parts)
    whole = trainer(tmp_path / "whole")
    whole.run()
    assert_same([parts[0], (small.state(whole), small.records(tmp_path / "whole"))])


# ---------------------------------------------------------------- what happens between steps


def exchange_relu(trainer):
    class Half(nn.ReLU):
        def forward(self, x):
            return super().forward(x) * 0.5

    trainer.model.layer2[0].relu = Half()


def exchange_data(trainer):
    weight = trainer.model.fc.weight
    weight.data = weight.data * 2


def exchange_buffer(trainer):
    norm = trainer.model.bn1
    norm.running_mean = norm.running_mean * 2


def load_halves(trainer):
    state = trainer.model.state_dict()
    trainer.model.load_state_dict({name: array / 2 for name, array in state.items()})


CHANGES = {
    "a layer is exchanged": exchange_relu,
    "a part is frozen": lambda trainer: trainer.model.layer1.eval(),
    "an attribute": lambda trainer: setattr(trainer.model.layer1[0].bn1, "eps", 0.1),
    "other parameters are loaded": load_halves,
    "an array is exchanged": exchange_data,
    "a buffer is exchanged": exchange_buffer,
    "a parameter is changed in place": lambda trainer: trainer.model.fc.weight.__imul__(2),
    "weight decay": lambda trainer: setattr(trainer.optimizer, "weight_decay", 0.1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_followed(change, both, replays):
    assert_same(both(lambda folder: trainer(folder, watch=at(8, CHANGES[change]))))
    assert len(replays) >= 4


def test_fusing_switched_off_is_followed(both, replays):
    def run(trainer):
        with ExitStack() as off:
            trainer.watch = at(8, lambda _: off.enter_context(fusing(False)))
            trainer.run()

    assert_same(both(trainer, run))
    assert len(replays) >= 4


def test_what_others_do_between_steps_disturbs_nothing(both, replays, device):
    """Evaluations, arrays that come and go, memory given back, gradients forgotten."""
    kept = []

    def disturb(trainer):
        evaluate_split(trainer.model, trainer.dataset, "train", batch_size=7)
        device.get_default_memory_pool().free_all_blocks()
        kept.append(device.full(1000 * trainer.step, math.nan, np.float32))
        kept[:] = kept[-2:]
        trainer.model.zero_grad()

    assert_same(both(lambda folder: trainer(folder, watch=disturb)))
    assert len(replays) >= 5


def test_a_new_trainer_is_needed_for_a_new_layer(both, replays):
    """Its gradients add up from step to step, as nobody forgets them: in Python alone."""
    layer = nn.Linear(64, 10, rng=np.random.default_rng(0))

    def exchange(trainer):
        trainer.model.fc = layer.to("cuda")
        layer.zero_grad()

    with pytest.warns(UserWarning, match="the optimiser does not know the parameter fc.weight"):
        assert_same(both(lambda folder: trainer(folder, watch=at(6, exchange))))


# ---------------------------------------------------------------- what must run as it is


def said(caught):
    """The sentences about replay among warnings."""
    return [str(w.message) for w in caught if "without replay" in str(w.message)]


@pytest.mark.parametrize("kind", ["module", "parameter"])
def test_a_hook_sees_every_step_while_it_is_there(kind, both, replays):
    seen, removers = [], []

    def hook(*seen_by_it):
        seen.append(1)

    def watch(trainer):
        if trainer.step == 4 and kind == "module":
            removers.append(trainer.model.layer1.register_forward_hook(hook).remove)
        elif trainer.step == 4:
            removers.append(trainer.model.fc.weight.register_hook(hook).remove)
        elif trainer.step == 6:
            removers.pop()()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert_same(both(lambda folder: trainer(folder, watch=watch)))
    assert len(seen) == 2 * 2  # steps, runs
    (sentence,) = said(caught)
    assert "net trains without replay" in sentence
    assert "hook" in sentence
    assert len(replays) >= 4


class CopyingLayer(nn.Linear):
    """Adds 0 that comes from the host."""

    def forward(self, x):
        return super().forward(x) + Tensor(np.zeros(10, np.float32)).to("cuda")


class RestlessLayer(nn.Linear):
    """Counts in Python, and halves its result every other time."""

    def __init__(self, *sizes, **settings):
        super().__init__(*sizes, **settings)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) * (0.5 if self.calls % 2 else 1.0)


def with_dropout(rng):
    return nn.Sequential(nn.Dropout(0.5), nn.Linear(64, 10, rng=rng))


def with_generator(rng):
    layer = CopyingLayer(64, 10, rng=rng)
    layer.rng = rng
    return layer


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (with_dropout, r"fc\.0 \(Dropout\) has a state on the host"),
        (with_generator, r"fc \(CopyingLayer\) has a state on the host"),
        (lambda rng: CopyingLayer(64, 10, rng=rng), r"copies from the host.*test_replay\.py, line"),
        (lambda rng: RestlessLayer(64, 10, rng=rng), "it changes something about itself"),
    ],
)
def test_what_cannot_be_replayed_runs_as_it_is_and_says_so_once(make, sentence, both, replays):
    def fresh(folder):
        model = cifar_resnet(8)
        model.fc = make(np.random.default_rng(0))
        return trainer(folder, model=model, iterations=RESTLESS + 4)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert_same(both(fresh))
    assert not replays
    assert len(said(caught)) == 1
    assert re.search(sentence, said(caught)[0])


def test_images_that_take_too_much_memory_go_over_batch_by_batch(both, replays, monkeypatch):
    results = both(trainer)
    monkeypatch.setattr(resident, "LARGEST_SHARE", 1e-9)
    with pytest.warns(UserWarning, match="the training images take too much of the GPU's memory"):
        assert_same([results[0], both(trainer)[0]])


# ---------------------------------------------------------------- endings


def divergence(trainer):
    with pytest.raises(DivergedError) as error:
        trainer.run()
    trainer.sentence = str(error.value).replace(str(trainer.folder), "")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda trainer: trainer.model.layer2[0].conv2.weight.__setitem__((0, 0, 0, 0), math.nan),
        lambda trainer: trainer.model.fc.weight.__setitem__(..., 1e38),
        lambda trainer: trainer.model.layer1[0].bn1.weight.__imul__(1e38),
    ],
)
def test_divergence_is_noticed_at_the_same_step_with_the_same_words(spoil, both, replays):
    made = []

    def make(folder):
        made.append(trainer(folder, watch=at(8, spoil)))
        return made[-1]

    assert_same(both(make, divergence))
    assert made[0].sentence == made[1].sentence
    assert made[0].step == made[1].step
    assert replays


def test_a_stop_looks_at_the_last_gradients(tmp_path, replays):
    def spoil_and_stop(trainer):
        if trainer.step == 8:
            trainer.model.fc.bias[...] = math.inf
        if trainer.step == 9:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(DivergedError, match="gradient norm is nan at iteration 9"):
        trainer(tmp_path, watch=spoil_and_stop).run()
    assert replays


@counted
@pytest.mark.parametrize("let_go", [lambda made: made.model.eval(), lambda made: None])
def test_recordings_are_let_go_only_when_they_have_run(let_go, tmp_path):
    """After a change, and at the end: what they use may be given to others then."""
    made = trainer(tmp_path, record_every=14, evaluate_every=14, checkpoint_every=14)
    with made.replay:
        for _ in range(5):
            made.train_step()
        assert made.replay.graphs
        let_go(made)
        counts = fake_cupy.machine.counts = fake_cupy.Counts()
        if not made.model.training:
            made.train_step()
            assert counts.synchronisations == 1
    assert counts.synchronisations >= 1


def test_memory_is_given_back_after_the_run(tmp_path):
    made = trainer(tmp_path)
    made.run()
    assert not made.replay.graphs


# ---------------------------------------------------------------- one step, counted


def counts_of(step):
    fake_cupy.machine.counts = counts = fake_cupy.Counts()
    step()
    return counts


@counted
def test_a_replayed_step_is_one_launch(tmp_path):
    """And one that puts the learning rate there if it has changed."""
    made = trainer(tmp_path, iterations=30, record_every=14, evaluate_every=30, checkpoint_every=30)
    steps = [counts_of(made.train_step) for _ in range(13)]
    for step, counts in enumerate(steps[5:], 5):
        assert counts.graph_launches == 1
        assert not counts.launches
        assert counts.allocations == counts.copies_to_host == counts.synchronisations == 0 or (
            step % 5 == 0  # a new epoch
        )
        assert counts.copies_to_device == (step % 5 == 0)
        if step % 5:
            assert dict(counts.library_launches) == ({"fill": 1} if step < 14 else {})


@counted
def test_a_step_that_is_looked_at_is_a_launch_and_the_update(tmp_path):
    made = trainer(tmp_path, record_every=2, iterations=40, evaluate_every=40, checkpoint_every=40)
    for _ in range(9):
        made.train_step()
    counts = counts_of(made.train_step)
    assert counts.graph_launches == 1
    assert set(counts.launches) == {"sgd_step<float, 4>"}
