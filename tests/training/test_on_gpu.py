"""Training on a GPU: it does what training on the CPU does, and the host never waits for it."""

from collections import Counter

import numpy as np
import pytest

from minires import Tensor
from minires.models import cifar_resnet
from minires.nn import functional as F
from minires.optim import SGD
from minires.training import DivergedError, run_all
from tests.cuda import fake_cupy
from tests.device import gpu, is_real

from . import small

pytestmark = pytest.mark.cuda
counted = pytest.mark.skipif(is_real(), reason="only the stand-in counts")
STEPS = 10


def trajectory(device, dtype, *, depth=20, shortcut="A", steps=STEPS):
    """Losses of some steps, then parameters and running statistics."""
    rng = np.random.default_rng(0)
    model = cifar_resnet(depth, shortcut=shortcut, seed=1, dtype=dtype).to(device)
    optimizer = SGD(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(steps):
        x = Tensor(rng.standard_normal((4, 8, 9, 3)).astype(dtype)).to(device)
        loss = F.cross_entropy(model(x), rng.integers(0, 10, 4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {"losses": np.array(losses)} | model.state_dict()


def distance(arrays, exact):
    """Root mean square difference of all arrays together, relative to the size of the exact."""
    difference = sum(np.sum((arrays[n].astype(np.float64) - exact[n]) ** 2) for n in exact)
    return np.sqrt(difference / sum(np.sum(a**2) for a in exact.values()))


@pytest.mark.parametrize(("shortcut", "steps"), [("A", STEPS), ("B", 2), (None, 2)])
def test_training_agrees_with_the_reference_in_float64(shortcut, steps):
    exact = trajectory("cpu", np.float64, shortcut=shortcut, steps=steps)
    with gpu():
        ours = trajectory("cuda", np.float64, shortcut=shortcut, steps=steps)
    assert ours.keys() == exact.keys()
    for name, array in ours.items():
        np.testing.assert_allclose(array, exact[name], rtol=1e-8, atol=1e-10, err_msg=name)


def test_ten_steps_agree_in_float32_to_rounding():
    exact = trajectory("cpu", np.float64)
    on_cpu = trajectory("cpu", np.float32)
    with gpu():
        ours = trajectory("cuda", np.float32)
    assert distance(ours, exact) < 2 * distance(on_cpu, exact)


def test_training_again_gives_the_same_bits():
    with gpu(order=0):
        first = trajectory("cuda", np.float32, depth=8, steps=2)
    with gpu(order=3):
        again = trajectory("cuda", np.float32, depth=8, steps=2)
    assert small.same(first, again)


# ---------------------------------------------------------------- one step, counted

TINY = {"iterations": 6, "batch_size": 4, "record_every": 3, "evaluate_every": 6}
TINY |= {"checkpoint_every": 6, "test_images": 4}


def tiny_data(train=12):
    """Images of 8 x 9."""
    data = small.dataset(train=train, test=4)
    return type(data)(
        data.name,
        np.ascontiguousarray(data.train_images[:, :8, :9]),
        data.train_labels,
        np.ascontiguousarray(data.test_images[:, :8, :9]),
        data.test_labels,
        data.classes,
    )


def tiny_trainer(folder, device, **settings):
    trainer = small.trainer(folder, data=tiny_data(), **(TINY | settings))
    trainer.model.to(device)
    return type(trainer)(
        trainer.model, trainer.dataset, trainer.recipe, folder=folder, seed=0, name="net"
    )


@counted
def test_a_step_makes_the_same_launches_and_copies_nothing(tmp_path):
    """No synchronisation, and nothing to the host or to the device."""
    with gpu():
        trainer = tiny_trainer(tmp_path, "cuda", record_every=6)
        trainer.model.train()
        trainer.train_step()  # records gradients
        launches = []
        for _ in range(2):  # steps 1 and 2 of 6: nothing is due
            fake_cupy.machine.counts = counts = fake_cupy.Counts()
            trainer.train_step()
            launches.append((counts.launches, counts.library_launches))
            assert counts.synchronisations == counts.copies_to_host == 0
            assert counts.copies_to_device == counts.graph_launches == 0
        (own, library), (own_again, library_again) = launches
        assert own == own_again
        assert library - library_again == Counter(zeros=1)  # counters of arrivals, for a new stream
        assert own["sgd_step<float, 4>"] == 1


@counted
def test_a_step_of_resnet_20_makes_few_launches():
    """There were 297 when everything around a convolution was a launch of its own."""
    with gpu():
        model = cifar_resnet(20).to("cuda")
        optimizer = SGD(model.parameters(), lr=0.1)
        x = Tensor(np.ones((2, 8, 8, 3), np.float32)).to("cuda")
        for _ in range(2):
            fake_cupy.machine.counts = counts = fake_cupy.Counts()
            optimizer.zero_grad()
            F.cross_entropy(model(x), np.array([1, 2])).backward()
            optimizer.step()
    own, library = counts.launches.total(), counts.library_launches.total()
    assert own + library <= 110, (counts.launches, counts.library_launches)
    assert not any(name.startswith("update_running_statistics") for name in counts.launches)


@counted
def test_a_due_record_reads_the_loss_once(tmp_path):
    with gpu():
        trainer = tiny_trainer(tmp_path, "cuda")
        trainer.model.train()
        for _ in range(2):
            trainer.train_step()
        fake_cupy.machine.counts = counts = fake_cupy.Counts()
        trainer.train_step()
        assert counts.copies_to_host == 2  # the tally, and the norm of the gradient
        assert trainer.records.since_record.images == 12


# ---------------------------------------------------------------- runs


def records(folder):
    return [line for line in small.records(folder) if line["kind"] != "gradients"]


def assert_same_records(a, b):
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        assert one.keys() == other.keys()
        assert one.pop("kind") == other.pop("kind")
        assert one == pytest.approx(other, rel=2e-4)


def test_records_are_those_of_the_cpu(tmp_path):
    tiny_trainer(tmp_path / "cpu", "cpu").run()
    with gpu():
        tiny_trainer(tmp_path / "cuda", "cuda").run()
    assert_same_records(records(tmp_path / "cuda"), records(tmp_path / "cpu"))


@pytest.mark.parametrize("start", ["cpu", "cuda"])
def test_a_run_goes_on_on_another_device(start, tmp_path):
    """A checkpoint does not say where it was written."""
    other = {"cpu": "cuda", "cuda": "cpu"}[start]
    tiny_trainer(tmp_path / "whole", "cpu").run()
    with gpu():
        first = tiny_trainer(tmp_path / "moved", start)
        first.begin()
        first.model.train()
        for _ in range(4):
            first.train_step()
            first.do_what_is_due()
        first.save()
        second = tiny_trainer(tmp_path / "moved", other)
        run_all([second])
        assert second.model.device == other
    assert_same_records(records(tmp_path / "moved"), records(tmp_path / "whole"))


def test_a_trainer_moves_its_network(tmp_path):
    with gpu():
        trainer = small.trainer(tmp_path)
        moved = type(trainer)(
            trainer.model,
            trainer.dataset,
            trainer.recipe,
            folder=tmp_path,
            seed=0,
            name="net",
            device="auto",
        )
        assert moved.model.device == "cuda"
        assert moved.identity == trainer.identity | {"network": "net"}


def test_divergence_is_noticed_where_a_record_is_due(tmp_path):
    with gpu():
        trainer = tiny_trainer(tmp_path, "cuda")

        def spoil(trainer):
            trainer.model.fc.weight[...] = np.nan

        trainer.watch = spoil  # after step 1
        with pytest.raises(DivergedError, match=r"the loss is nan.*parameter"):
            trainer.run()
        assert trainer.step == 2  # of 3, when the first record would have been due


# ---------------------------------------------------------------- the flat step


class TestFlatParameters:
    def step(self, spoil=None):
        rng = np.random.default_rng(0)
        model = cifar_resnet(8, seed=1).to("cuda")
        optimizer = SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            x = Tensor(rng.standard_normal((2, 8, 8, 3), np.float32)).to("cuda")
            optimizer.zero_grad()
            F.cross_entropy(model(x), np.array([1, 2])).backward()
            if spoil:
                spoil(model)
            optimizer.step()
        return model.state_dict() | optimizer.state_dict()

    @pytest.fixture(autouse=True)
    def device(self):
        with gpu():
            yield

    def test_gives_what_single_steps_give(self):
        def take_away(model):
            for parameter in model.parameters():
                parameter.grad = parameter.grad.copy()

        assert small.same(self.step(), self.step(take_away))

    def test_leaves_a_parameter_without_a_gradient_alone(self):
        def forget(model):
            model.fc.bias.grad = None

        start = cifar_resnet(8, seed=1).fc.bias.data
        np.testing.assert_array_equal(self.step(forget)["fc.bias"], start)

    def test_a_second_backward_adds_up(self, rng):
        model = cifar_resnet(8).to("cuda")
        SGD(model.parameters(), lr=0.1)
        x = Tensor(rng.standard_normal((2, 8, 8, 3), np.float32)).to("cuda")
        sizes = []
        for _ in range(2):
            F.cross_entropy(model(x), np.array([1, 2])).backward()
            sizes.append(float(np.abs(model.fc.weight.grad.get()).sum()))
        assert sizes[1] == pytest.approx(2 * sizes[0], rel=1e-5)
