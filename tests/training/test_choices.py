"""What a recipe of one's own may choose, against PyTorch; and a run that goes on by another."""

import dataclasses
import json

import numpy as np
import pytest
from minires.kernels.devices import copy_to_host

from minires import Tensor, nn
from minires.data import Dataset, mixup
from minires.models import cifar_resnet
from minires.nn import WeightAverage
from minires.training import CosineDecay, InterruptedTraining, Recipe, StepDecay, Trainer
from minires.training.checkpoints import load_checkpoint
from tests.device import quick_gpu

from . import small

EVERYTHING = {
    "nesterov": True,
    "decay_norms": False,
    "clip_norm": 1.0,
    "label_smoothing": 0.1,
    "class_weights": tuple(range(1, 11)),
    "mixup": 0.4,
    "average": 0.8,
    "schedule": CosineDecay(peak=0.05, start=2, stop=20),
}
CHOICES = {
    "everything": EVERYTHING,
    "AdamW": {"optimizer": "adamw", "clip_norm": 2.0, "schedule": lambda step: 1e-3 * 0.9**step},
    "AdamW without decay of norms": {"optimizer": "adamw", "decay_norms": False},
    "weights and smoothing": {"class_weights": tuple(range(10)), "label_smoothing": 0.2},
}
EACH = pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)


def theirs(torch, trained):
    """PyTorch's twin of a trainer's network after its batches, by the same recipe; its average."""
    from tests.torch_oracle import images_to_torch, torch_twin

    recipe, batches = trained.recipe, trained.batches
    model = torch_twin(cifar_resnet(8, dtype=np.float64), 8, "A", torch.float64)
    norms, weights = ([p for p in model.parameters() if (p.ndim > 1) == w] for w in (0, 1))
    kept = 1 if recipe.decay_norms else 0
    groups = [
        {"params": weights, "weight_decay": recipe.weight_decay},
        {"params": norms, "weight_decay": recipe.weight_decay * kept},
    ]
    if recipe.optimizer == "adamw":
        optimizer = torch.optim.AdamW(groups, lr=0.1)
    else:
        optimizer = torch.optim.SGD(groups, 0.1, recipe.momentum, nesterov=recipe.nesterov)
    weight = None if recipe.class_weights is None else torch.tensor(recipe.class_weights).double()
    loss_of = torch.nn.CrossEntropyLoss(weight, label_smoothing=recipe.label_smoothing)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.average)
    )
    average.update_parameters(model)  # the first one copies
    for step in range(recipe.iterations):
        images, labels = batches.batch(step)
        truth = torch.tensor(labels, dtype=torch.int64)
        if recipe.mixup:
            rng = np.random.default_rng([batches.seed, 2, step])
            share, order = rng.beta(recipe.mixup, recipe.mixup), rng.permutation(len(images))
            images = share * images + (1 - share) * images[order]
            hot = torch.eye(10, dtype=torch.float64)[truth]
            truth = share * hot + (1 - share) * hot[order]
        for group in optimizer.param_groups:
            group["lr"] = recipe.schedule(step)
        optimizer.zero_grad()
        loss_of(model(images_to_torch(images)), truth).backward()
        if recipe.clip_norm:
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        optimizer.step()
        average.update_parameters(model)
    return model, average.module


def trainer(folder, **changes):
    """In float64, with images of 8 x 8."""
    data = small.dataset()
    return Trainer(
        cifar_resnet(8, dtype=np.float64),
        Dataset(
            "noise",
            data.train_images[:, ::4, ::4],
            data.train_labels,
            data.test_images[:, ::4, ::4],
            data.test_labels,
            data.classes,
        ),
        dataclasses.replace(small.RECIPE, **changes),
        folder=folder,
        seed=0,
        name="net-8",
    )


@EACH
def test_twenty_iterations_are_pytorchs(choices, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    from tests.torch_oracle import weight_to_torch

    trained = trainer(tmp_path, **choices)
    trained.run()
    for model, state in zip(
        theirs(torch, trained),
        [trained.model.state_dict(), trained.average.state_dict() if trained.average else {}],
        strict=True,
    ):
        right = model.state_dict()
        for name, array in state.items():
            np.testing.assert_allclose(
                weight_to_torch(array), right[name], rtol=1e-7, atol=1e-9, err_msg=name
            )


@EACH
def test_resumed_is_uninterrupted_bit_for_bit(choices, tmp_path):
    whole, first, second = (trainer(tmp_path / n, **choices) for n in ("whole", "parts", "parts"))
    whole.run()
    first.watch = lambda t: setattr(t.stopping, "requested", t.step == 9)
    with pytest.raises(InterruptedTraining):
        first.run()
    second.resume()
    assert second.step == 9
    second.run()
    assert small.same(
        small.files_arrays(tmp_path / "whole"), small.files_arrays(tmp_path / "parts")
    )
    assert small.records(tmp_path / "whole") == small.records(tmp_path / "parts")


@pytest.mark.cuda
@EACH
def test_a_gpu_does_the_same(choices, tmp_path):
    on_cpu = trainer(tmp_path / "cpu", iterations=6, **choices)
    on_cpu.run()
    with quick_gpu():
        made = trainer(tmp_path / "cuda", iterations=6, **choices)
        settings = {"folder": made.folder, "seed": 0, "name": "net-8", "device": "cuda"}
        on_gpu = Trainer(made.model, made.dataset, made.recipe, **settings)
        if "mixup" in choices:
            with pytest.warns(UserWarning, match="without replay: the recipe's mixup draws"):
                on_gpu.run()
        else:
            on_gpu.run()
    expected, actual = (small.files_arrays(tmp_path / name) for name in ("cpu", "cuda"))
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(actual[name], array, rtol=1e-7, atol=1e-9, err_msg=name)


def test_evaluations_use_the_average_and_training_goes_on_with_the_weights(tmp_path):
    trained = trainer(tmp_path, average=0.5, iterations=7)
    trained.run()
    recorded = small.records(tmp_path)[-1]
    before = trained.model.state_dict()
    with trained.average.in_use():
        assert trained.evaluate().loss == recorded["test_loss"]
    assert trained.evaluate().loss != recorded["test_loss"]
    assert small.same(trained.model.state_dict(), before)


def test_what_a_recipe_does_not_choose_is_not_mentioned():
    """So runs of earlier versions can be resumed."""
    names = {"name", "iterations", "batch_size", "schedule", "record_every", "evaluate_every"}
    names |= {"checkpoint_every", "test_images", "momentum", "weight_decay"}
    assert set(small.RECIPE.settings()) == names
    settings = dataclasses.replace(small.RECIPE, **EVERYTHING).settings()
    assert set(settings) == names | set(EVERYTHING)
    assert json.loads(json.dumps(settings)) == settings


# ------------------------------------------------------------------- a changed recipe


def test_a_run_goes_on_longer_and_slower_if_asked_and_records_say_so(tmp_path):
    small.trainer(tmp_path).run()
    changes = {"iterations": 25, "schedule": StepDecay(0.001, ())}
    longer = small.trainer(tmp_path, **changes)
    with pytest.raises(ValueError, match=r"if the change is meant: resume\(changed=True\)"):
        longer.resume()
    longer.resume(changed=True)
    longer.run()
    kinds = [(r["kind"], r["step"]) for r in small.records(tmp_path)]
    assert kinds.index(("changed", 20)) == kinds.index(("evaluation", 20)) + 1
    assert kinds[-1] == ("evaluation", 25)
    (line,) = (r for r in small.records(tmp_path) if r["kind"] == "changed")
    assert line["recipe"] == {
        "iterations": [20, 25],
        "schedule": [repr(small.RECIPE.schedule), "StepDecay(peak=0.001, drops=(), factor=0.1)"],
    }
    recipe = json.loads((tmp_path / "config.json").read_text())["recipe"]
    assert (recipe["iterations"], recipe["schedule"]) == (25, line["recipe"]["schedule"][1])
    again = small.trainer(tmp_path, **changes)
    again.resume()  # it is the run's own recipe now
    assert again.step == 25


@pytest.mark.parametrize("changes", [{"batch_size": 8}, {"nesterov": True}, {"average": 0.5}])
def test_other_changes_are_refused_even_if_asked_for(changes, tmp_path):
    small.trainer(tmp_path, iterations=1).run()
    with pytest.raises(ValueError, match="belongs to another run") as caught:
        small.trainer(tmp_path, **({"iterations": 1} | changes)).resume(changed=True)
    assert "if the change is meant" not in str(caught.value)


def test_a_run_cannot_go_on_to_fewer_iterations(tmp_path):
    small.trainer(tmp_path, iterations=2).run()
    with pytest.raises(ValueError, match="has done 2 iterations, more than the recipe's 1"):
        small.trainer(tmp_path, iterations=1).resume(changed=True)


# ------------------------------------------------------------------- the pieces


def test_mixed_images_lie_between_two_of_the_batch_and_labels_with_them(rng):
    images, labels = rng.random((6, 2, 2, 3), np.float32), np.array([0, 1, 2, 0, 1, 2])
    mixed, truth = mixup(images, labels, classes=3, rng=np.random.default_rng(0), alpha=0.5)
    same = np.random.default_rng(0)
    share, order = same.beta(0.5, 0.5), same.permutation(6)
    np.testing.assert_allclose(mixed, share * images + (1 - share) * images[order], rtol=1e-6)
    np.testing.assert_allclose(truth.sum(1), 1, rtol=1e-6)
    assert truth[0, labels[0]] >= np.float32(share)
    assert mixed.dtype == truth.dtype == np.float32
    with pytest.raises(ValueError, match="alpha must be more than 0, but is 0"):
        mixup(images, labels, classes=3, rng=rng, alpha=0)


def test_an_average_by_hand_and_only_within():
    layer = nn.Linear(1, 1, bias=False)
    layer.weight[...] = Tensor(np.zeros((1, 1), np.float32))
    average = WeightAverage(layer, 0.75)
    layer.weight[...] = Tensor(np.full((1, 1), 4, np.float32))
    average.update()
    array = layer.weight.data
    with average.in_use():
        assert copy_to_host(layer.weight.data) == 1.0
        assert layer.weight.data is array
    assert copy_to_host(layer.weight.data) == 4.0
    assert average.state_dict()["weight"] == 1.0


def test_averages_of_another_network_are_refused():
    average = WeightAverage(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="these averages do not fit the Linear") as caught:
        average.load_state_dict(nn.Linear(2, 3).state_dict())
    assert "bias: expected (2,) float32, but got (3,) float32" in str(caught.value)
    with pytest.raises(ValueError, match="decay must be 0 to below 1, but is 1"):
        WeightAverage(nn.Linear(2, 2), 1)


def test_checkpoints_hold_the_average(tmp_path):
    trained = small.trainer(tmp_path, iterations=1, average=0.9)
    trained.run()
    arrays, _ = load_checkpoint(tmp_path / "checkpoint.safetensors")
    np.testing.assert_array_equal(
        arrays["average.fc.weight"], trained.average.averages["fc.weight"]
    )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"optimizer": "adam"}, "optimizer must be 'sgd' or 'adamw', not 'adam'"),
        ({"mixup": 0.2, "shards": 2}, "mixup mixes whole batches, so that shards must be 1"),
    ],
)
def test_recipes_that_do_not_fit_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(small.RECIPE, **settings)


def test_half_a_wave_of_the_cosine_is_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    optimizer = torch.optim.SGD([torch.zeros(1)], 0.3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    ours = CosineDecay(peak=0.3, start=5, stop=25)
    assert [ours(step) for step in (0, 4, 25, 30)] == pytest.approx([0.3, 0.3, 0, 0])
    for step in range(20):
        assert ours(step + 5) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        theirs.step()
    with pytest.raises(ValueError, match="CosineDecay: stop must come after start, 5, but is 5"):
        CosineDecay(0.1, 5, 5)


def test_a_recipes_fields_may_still_be_given_in_their_order():
    recipe = Recipe("a", 1, 2, StepDecay(0.1, ()), 3, 4, 5, 6, 0.7, 0.8, 1)
    assert (recipe.test_images, recipe.momentum, recipe.weight_decay) == (6, 0.7, 0.8)
