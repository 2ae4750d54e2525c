import hashlib
import io
import json
import os
import re
import signal

import numpy as np
import pytest
from rich.console import Console

from minires import Tensor, kernels, no_grad
from minires.data import Batches, Dataset
from minires.nn import Conv2d, summary
from minires.training import DivergedError, InterruptedTraining, Trainer, evaluate_split
from minires.training.checkpoints import METADATA_KEY, load_checkpoint
from minires.training.claim import claimed
from minires.training.display import Display
from minires.training.divergence import first_faulty_gradient
from minires.training.schedules import LinearWarmUp

from . import small


def test_loss_falls_and_records_say_so(tmp_path):
    small.trainer(tmp_path, iterations=40, batch_size=32).run()
    losses = [r["loss"] for r in small.records(tmp_path) if r["kind"] == "interval"]
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.2


def test_records_come_in_their_rhythm(tmp_path):
    small.trainer(tmp_path).run()
    steps = {kind: [] for kind in ("interval", "evaluation", "gradients")}
    for record in small.records(tmp_path):
        steps[record["kind"]].append(record["step"])
    assert steps["interval"] == [3, 6, 9, 12, 15, 18, 20]
    assert steps["evaluation"] == [7, 14, 20]
    assert steps["gradients"] == [0, 19]


def test_an_evaluations_loss_is_the_mean_of_its_intervals(tmp_path):
    small.trainer(tmp_path, record_every=1, evaluate_every=4, iterations=4).run()
    records = small.records(tmp_path)
    intervals, evaluations = (
        [r["loss"] for r in records if r["kind"] == kind] for kind in ("interval", "evaluation")
    )
    assert len(intervals) == 4
    assert evaluations == pytest.approx([np.mean(intervals)])


def test_the_configuration_tells_how_many_classes_there_are(tmp_path):
    trained = small.trainer(tmp_path, iterations=1)
    trained.begin()
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["classes"] == len(trained.dataset.classes)


def test_gradient_norms_name_every_weight(tmp_path):
    trained = small.trainer(tmp_path, iterations=1)
    trained.run()
    norms = next(r["norms"] for r in small.records(tmp_path) if r["kind"] == "gradients")
    assert list(norms) == [n for n, p in trained.model.named_parameters() if p.ndim > 1]
    assert all(value > 0 for value in norms.values())


def test_resumed_is_uninterrupted_bit_for_bit(tmp_path):
    whole, first, second = (small.trainer(tmp_path / n) for n in ("whole", "parts", "parts"))
    whole.run()

    def interrupt(trainer):
        if trainer.step == 10:
            os.kill(os.getpid(), signal.SIGINT)

    first.watch = interrupt
    with pytest.raises(InterruptedTraining, match="after 10 of 20 iterations; saved in"):
        first.run()
    second.resume()
    assert second.step == 10
    second.run()
    assert small.same(small.state(whole), small.state(second))
    assert small.records(tmp_path / "whole") == small.records(tmp_path / "parts")
    final = [(tmp_path / n / "checkpoint.safetensors") for n in ("whole", "parts")]
    assert final[0].exists()
    assert final[1].exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.training import small
die = lambda t: t.step == 13 and os.kill(os.getpid(), signal.SIGKILL)
small.trainer(Path(sys.argv[1]), watch=die).run()
"""


def test_resumed_after_a_kill_bit_for_bit(tmp_path):
    whole, resumed = small.trainer(tmp_path / "whole"), small.trainer(tmp_path / "killed")
    whole.run()
    assert small.run_python(KILLED, tmp_path / "killed").returncode == -signal.SIGKILL
    with (tmp_path / "killed" / "records.jsonl").open("a") as file:
        file.write('{"kind": "interval", "st')  # as if killed while writing
    resumed.resume()
    assert resumed.step == 10
    resumed.run()
    assert small.same(small.state(whole), small.state(resumed))
    assert small.records(tmp_path / "whole") == small.records(tmp_path / "killed")


THREADS = """
import sys
from pathlib import Path
from tests.training import small
small.trainer(Path(sys.argv[1]), depth=20, iterations=4, batch_size=50).run()
"""


@pytest.mark.skipif(
    "cpu" not in kernels.report()["float32"],
    reason="the NumPy reference leaves the order of its sums to BLAS",
)
def test_results_do_not_depend_on_the_number_of_threads(tmp_path):
    digests = []
    for threads in ("1", "2"):
        folder = tmp_path / threads
        settings = {"NUMBA_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        done = small.run_python(THREADS, folder, **settings)
        assert done.returncode == 0, done.stderr
        arrays = small.files_arrays(folder)
        digest = hashlib.sha256(b"".join(arrays[k].tobytes() for k in sorted(arrays)))
        digests.append((digest.hexdigest(), small.records(folder)))
    assert digests[0] == digests[1]


def test_plain_and_residual_start_alike_and_see_the_same_batches(tmp_path):
    plain = small.trainer(tmp_path / "plain", shortcut=None)
    residual = small.trainer(tmp_path / "residual", shortcut="A")
    assert small.same(plain.model.state_dict(), residual.model.state_dict())
    for step in (0, 7):
        batches = plain.batches.batch(step), residual.batches.batch(step)
        assert all(np.array_equal(a, b) for a, b in zip(*batches, strict=True))
    assert summary(plain.model).multiply_adds == summary(residual.model).multiply_adds


def test_evaluation_weighs_a_short_last_batch_by_its_length():
    data = small.dataset(test=40)
    model = small.cifar_resnet(8)
    in_one, in_parts = (evaluate_split(model, data, batch_size=size) for size in (40, 17))
    assert in_parts.images == 40
    assert in_parts.wrong == in_one.wrong
    assert in_parts.loss == pytest.approx(in_one.loss, rel=1e-6)


def test_evaluation_leaves_the_network_as_it_was():
    """Its parts, too: statistics that a user has frozen stay frozen."""
    model = small.cifar_resnet(8)
    frozen = model.layer2[0]
    frozen.eval()
    modes, before = [m.training for _, m in model.named_modules()], model.state_dict()
    evaluate_split(model, small.dataset())
    assert [m.training for _, m in model.named_modules()] == modes
    assert small.same(before, model.state_dict())


def test_recorded_test_figures_are_those_of_the_first_test_images(tmp_path):
    """By hand: logits of the normalised images, the share that is wrong, the mean loss."""
    run = small.trainer(tmp_path)
    run.run()
    data = run.dataset
    images = ((data.test_images[:30] - data.pixel_mean) * data.channel_scale).astype(np.float32)
    with no_grad():
        logits = run.model.eval()(Tensor(images)).data.astype(np.float64)
    labels = data.test_labels[:30]
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(30), labels]
    last = [r for r in small.records(run.folder) if r["kind"] == "evaluation"][-1]
    assert last["test_error"] == pytest.approx(np.mean(logits.argmax(1) != labels))
    assert last["test_loss"] == pytest.approx(losses.mean(), rel=1e-4)
    assert 0.05 < last["test_error"] < 0.95  # else error and accuracy, or images, could be confused


def test_a_step_uses_the_rate_of_its_own_iteration(tmp_path):
    rates = []
    small.trainer(tmp_path, watch=lambda t: rates.append(t.optimizer.lr)).run()
    assert rates == [small.RECIPE.schedule(step) for step in range(20)]


class TestDivergence:
    def test_a_rate_too_high_is_met_with_advice(self, tmp_path):
        wild = small.trainer(tmp_path, schedule=lambda step: 1e20)
        with pytest.raises(DivergedError, match=r"iteration \d+; the first fault .* Try a smaller"):
            wild.run()
        last = small.records(tmp_path)[-1]
        assert last["kind"] == "diverged"
        assert "the first fault is in" in last["reason"]

    def test_the_first_layer_at_fault_is_named_and_the_checkpoint_kept(self, tmp_path):
        def plant(trainer):
            if trainer.step == 12:
                trainer.model.layer2[0].conv2.weight[0, 0, 0, 0] = np.nan

        hurt = small.trainer(tmp_path, watch=plant)
        with pytest.raises(DivergedError, match=r"the parameter layer2\.0\.conv2\.weight"):
            hurt.run()
        whole = small.trainer(tmp_path)
        whole.resume()
        assert whole.step == 10
        assert "diverged" not in {record["kind"] for record in small.records(tmp_path)}
        assert all(np.isfinite(array).all() for array in whole.model.state_dict().values())

    @pytest.mark.filterwarnings("ignore:overflow encountered")
    def test_an_overflowing_layer_is_named(self, tmp_path):
        def plant(trainer):
            trainer.model.fc.weight[...] = 1e38

        with pytest.raises(DivergedError, match=r"the output of layer fc \(Linear\)"):
            small.trainer(tmp_path, watch=plant).run()

    @pytest.mark.parametrize("wish", [None, 9])
    def test_a_checkpoint_holds_no_nan_although_no_record_is_due(self, wish, tmp_path, monkeypatch):
        """It is due after step 10, or somebody stops after step 9."""

        def interrupt(trainer):
            if trainer.step == wish:
                os.kill(os.getpid(), signal.SIGINT)

        rhythm = {"record_every": 7, "evaluate_every": 7, "checkpoint_every": 5}
        hurt = small.trainer(tmp_path, watch=interrupt, **rhythm)
        look = hurt.look

        def plant_and_look():
            if hurt.step == (wish or 10) - 1:
                hurt.model.fc.weight.grad[0, 0] = np.nan
            look()

        monkeypatch.setattr(hurt, "look", plant_and_look)
        with pytest.raises((DivergedError, InterruptedTraining)) as stopped:
            hurt.run()
        assert "the gradient of fc.weight" in str(stopped.value)
        assert all(np.isfinite(array).all() for array in small.files_arrays(tmp_path).values())

    def test_a_gradient_that_is_not_finite_is_named(self, tmp_path):
        hurt = small.trainer(tmp_path, record_every=1)
        hurt.begin()
        hurt.train_step()
        hurt.model.parameters()[0].grad[...] = np.inf
        assert first_faulty_gradient(hurt.model) == "the gradient of conv1.weight"


class TestUsersChoices:
    def test_a_layer_that_is_put_into_evaluation_stays_there(self, tmp_path):
        trained = small.trainer(tmp_path, iterations=2)
        trained.model.bn1.eval()
        trained.model.layer1[0].eval()
        before = trained.model.state_dict()
        trained.run()
        after = trained.model.state_dict()
        moved = {name for name in before if not np.array_equal(before[name], after[name])}
        frozen = ("bn1.running", "layer1.0.bn1.running", "layer1.0.bn2.running")
        assert not [name for name in moved if name.startswith(frozen)]
        assert "layer2.0.bn1.running_mean" in moved
        assert "bn1.weight" in moved
        assert not trained.model.bn1.training

    def test_a_network_in_evaluation_as_a_whole_is_trained_all_the_same(self, tmp_path):
        trained, usual = (small.trainer(tmp_path / n, iterations=2) for n in "ab")
        trained.model.eval()
        trained.run()
        usual.run()
        assert small.same(small.state(trained), small.state(usual))

    def test_a_finished_run_is_neither_repeated_nor_deleted_unasked(self, tmp_path):
        small.trainer(tmp_path, iterations=2).run()
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(
            ValueError, match=r"holds a run already: call resume\(\) first .*overwr"
        ):
            small.trainer(tmp_path, iterations=2).run()
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
        again = small.trainer(tmp_path, iterations=2)
        again.overwrite = True
        again.run()

    @pytest.mark.parametrize("wrap", [lambda f: f, lambda f: LinearWarmUp(3, f)])
    def test_a_schedule_of_ones_own_is_known_by_its_values(self, wrap, tmp_path):
        def schedules():
            return wrap(lambda step: 0.05), wrap(lambda step: 0.05 - 1e-9 * (step == 17))

        (one, other), (same, _) = schedules(), schedules()
        made = [small.trainer(tmp_path, schedule=s).identity for s in (one, same, other)]
        assert made[0] == made[1] != made[2]
        assert re.match(r"a function from .* to 0.05, sha", made[0]["recipe"]["schedule"])

    def test_grey_images_are_trained_on_and_shown(self, tmp_path):
        colour = small.dataset()
        images = colour.train_images[..., :1], colour.test_images[..., :1]
        grey = Dataset(
            "grey", images[0], colour.train_labels, images[1], colour.test_labels, colour.classes
        )
        trained = small.trainer(tmp_path, iterations=2, data=grey)
        trained.model.conv1 = Conv2d(1, 16, 3, padding=1)
        trained = Trainer(
            trained.model, grey, trained.recipe, folder=tmp_path / "[grey]", seed=0, name="grey"
        )
        with Display(Console(file=io.StringIO())) as display:
            display.add([trained])
            trained.watch = display.watch
            trained.run()


class TestRefusals:
    def test_a_checkpoint_of_another_network(self, tmp_path):
        small.trainer(tmp_path).run()
        with pytest.raises(ValueError, match=r"belongs to another run; (?s:.*)network: saved"):
            small.trainer(tmp_path, depth=14).resume()

    def test_a_checkpoint_of_another_seed(self, tmp_path):
        small.trainer(tmp_path).run()
        with pytest.raises(ValueError, match="seed: saved 0, now 1"):
            small.trainer(tmp_path, seed=1).resume()

    def test_a_checkpoint_of_other_data(self, tmp_path):
        small.trainer(tmp_path).run()
        with pytest.raises(ValueError, match="training_images: saved 100, now 90"):
            small.trainer(tmp_path, data=small.dataset(train=90)).resume()

    def test_a_folder_in_which_another_process_trains(self, tmp_path):
        trained = small.trainer(tmp_path)
        trained.run()
        before = small.records(tmp_path)
        with claimed(tmp_path):
            for act in (trained.run, trained.resume):
                with pytest.raises(ValueError, match="another process is training in"):
                    act()
        assert small.records(tmp_path) == before

    def test_no_checkpoint(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="nothing to resume from"):
            small.trainer(tmp_path).resume()

    def test_a_damaged_checkpoint(self, tmp_path):
        trained = small.trainer(tmp_path)
        trained.run()
        data = trained.checkpoint_path.read_bytes()
        trained.checkpoint_path.write_bytes(data[: len(data) // 2])
        with pytest.raises(ValueError, match="not a whole safetensors file"):
            small.trainer(tmp_path).resume()

    def test_somebody_elses_safetensors(self, tmp_path):
        from safetensors.numpy import save_file

        save_file({"a": np.zeros(3)}, tmp_path / "checkpoint.safetensors")
        with pytest.raises(ValueError, match="not a checkpoint of a minires run"):
            small.trainer(tmp_path).resume()

    @pytest.mark.parametrize(
        "damage",
        [
            lambda text: "{",
            lambda text: "{}",
            lambda text: "[]",
            lambda text: text.replace('"step": 20', '"step": "20"'),
            lambda text: text.replace('"loss_sum"', '"loss"'),
        ],
    )
    def test_a_checkpoint_whose_state_is_damaged(self, damage, tmp_path):
        from safetensors.numpy import save_file

        trained = small.trainer(tmp_path)
        trained.run()
        arrays, state = load_checkpoint(trained.checkpoint_path)
        text = damage(json.dumps(state))
        save_file(arrays, trained.checkpoint_path, metadata={METADATA_KEY: text})
        with pytest.raises(ValueError, match=r"checkpoint\.safetensors is .*not a checkpoint of a"):
            small.trainer(tmp_path).resume()

    def test_more_images_a_batch_than_there_are(self):
        with pytest.raises(ValueError, match="batch_size 200 is more than the 100 training images"):
            Batches(small.dataset(), 200, seed=0)
