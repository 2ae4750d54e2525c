"""`minires train` on small folders of drawings: what it leaves, how it goes on, what it refuses."""

import json
import re
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from minires.cli import app
from minires.data import find_images, find_photographs
from minires.evaluation.networks import about, find_preprocessing
from minires.models import cifar_resnet, googlenet, resnet
from minires.own_images import PhotographTrainer, begin, recipe_of
from minires.own_images.command import BEST, MODEL
from minires.own_images.options import TrainingOptions
from minires.own_images.results import Judgement
from minires.training import InterruptedTraining, Meter, Trainer
from minires.training.checkpoints import load_checkpoint
from minires.weights import load_torchvision, save_torchvision
from tests.data.own import drawings

SMALL = ("--preset", "toy", "--image-size", 32)
TOY = ("--network", "resnet8", "--preset", "toy", "--epochs", 2)


def run(*arguments):
    made = CliRunner().invoke(app, ["train", *map(str, arguments)])
    return made.exit_code, " ".join(made.output.split()), made.exception


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return drawings(tmp_path_factory.mktemp("own") / "drawings", count=30, classes=3)


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "toy [b]"
    code, text, error = run("--data", folder, *TOY, "--out", out)
    assert code == 0, error
    return out, text


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A ResNet-18 of random weights, as torchvision would save it."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    save_torchvision(resnet(18, classes=20), path)
    return path


def trainer_in(folder, out, **options):
    data = find_photographs(folder, size=24)
    recipe = recipe_of("toy", len(data.train), epochs=3)
    settings = {"folder": out, "seed": 1, "name": "ResNet-8"}
    return PhotographTrainer(cifar_resnet(8, classes=3), data, recipe, **settings, **options)


class TestARun:
    def test_it_says_what_it_does(self, trained):
        _, text = trained
        assert (
            "Data: drawings, 72 training and 18 test images of 3 classes, seen as 32 x 32" in text
        )
        assert "Network: ResNet-8, 74,835 parameters, from random weights; frozen: nothing" in text
        assert "Recipe: toy, 18 iterations of 8 images" in text

    def test_it_leaves_files(self, trained):
        out, text = trained
        assert {path.name for path in out.iterdir()} == {
            *("best.safetensors", "checkpoint.safetensors", "model.safetensors"),
            *("config.json", "records.jsonl", "training.json", "command.txt"),
            *("mistakes.json", "probes", "report.html"),
        }
        for name in (MODEL, BEST, "report.html"):
            assert str(out / name) in text
        assert (out / "command.txt").read_text().startswith("minires train --resume ")

    def test_the_report_shows_the_users_images_and_no_paper(self, trained):
        page = (trained[0] / "report.html").read_text()
        assert "What is taken for what" in page
        assert "The most confident mistakes" in page
        assert "of the test images are wrong at the end" in page
        assert "Beside the paper" not in page
        assert "in the paper" not in page

    def test_mistakes_are_listed_the_most_confident_first(self, trained, folder):
        kept = json.loads((trained[0] / "mistakes.json").read_text())
        assert np.array(kept["confusion"]).sum(axis=1).tolist() == [6, 6, 6]
        wrong = 18 - np.trace(kept["confusion"])
        sure = [mistake["probability"] for mistake in kept["mistakes"]]
        assert len(sure) == wrong
        assert sure == sorted(sure, reverse=True)
        for mistake in kept["mistakes"]:
            assert f"/{mistake['is']}/" in mistake["image"]
            assert mistake["said"] != mistake["is"]

    def test_the_network_is_read_with_classes_and_sizes(self, trained, folder):
        for name in (MODEL, BEST, "checkpoint.safetensors"):
            path = trained[0] / name
            assert load_torchvision(path).name == "ResNet-8"
            assert about(path).classes.names == find_images(folder).classes.names
            seen = find_preprocessing([path])
            assert (seen.resize, seen.crop) == (37, 32)

    def test_the_last_network_is_that_of_the_checkpoint(self, trained):
        out, _ = trained
        last = load_torchvision(out / MODEL).state_dict()
        for name, array in load_torchvision(out / "checkpoint.safetensors").state_dict().items():
            np.testing.assert_array_equal(last[name], array)

    def test_it_is_evaluated_as_in_training(self, trained, folder, tmp_path):
        """The images of the test, in folders of their own."""
        data = find_photographs(folder)
        for path in data.test.paths:
            place = tmp_path / "test" / path.parent.name / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
        out = tmp_path / "out.json"
        arguments = ["evaluate", trained[0] / MODEL, "--data", tmp_path / "test", "--out", out]
        made = CliRunner().invoke(app, list(map(str, arguments)))
        assert made.exit_code == 0, made.exception
        [scores] = json.loads(out.read_text())["scores"].values()
        records = (trained[0] / "records.jsonl").read_text().splitlines()
        assert scores["top1_error"] == pytest.approx(json.loads(records[-1])["test_error"])

    def test_classify_knows_the_names(self, trained, folder):
        image = next(folder.rglob("*.png"))
        arguments = ["classify", str(image), "--weights", str(trained[0] / MODEL)]
        made = CliRunner().invoke(app, arguments)
        assert made.exit_code == 0, made.exception
        assert all(name in made.output for name in find_images(folder).classes.names)

    def test_onnx(self, folder, tmp_path):
        pytest.importorskip("onnx")
        code, text, error = run("--data", folder, *TOY, "--onnx", "--out", tmp_path / "o")
        assert code == 0, error
        assert "ONNX: " in text
        assert (tmp_path / "o" / "model.onnx").stat().st_size > 250_000


class TestGoingOn:
    def test_a_resumed_run_gives_the_same_bits(self, folder, tmp_path):
        """Stopped once within an epoch and once at its end."""
        whole = trainer_in(folder, tmp_path / "whole")
        whole.run()
        for stop in (9, 13):
            trainer = trainer_in(folder, tmp_path / "parts", watch=stop_after(stop))
            with pytest.raises(InterruptedTraining):
                trainer.finish()
        parts = trainer_in(folder, tmp_path / "parts")
        parts.finish()
        for name, array in whole.model.state_dict().items():
            np.testing.assert_array_equal(parts.model.state_dict()[name], array)
        losses = [losses_in(tmp_path / name) for name in ("whole", "parts")]
        assert losses[0] == losses[1]

    def test_the_command_goes_on(self, folder, tmp_path, monkeypatch):
        out = tmp_path / "run"
        monkeypatch.setattr(PhotographTrainer, "train_step", stopping(PhotographTrainer, 5))
        code, text, _ = run("--data", folder, *TOY, "--out", out)
        assert code == 130
        assert f"stopped after 5 of 18 iterations; saved in {out}" in text
        assert f"To go on: minires train --resume {out}" in text
        monkeypatch.undo()
        code, text, error = run("--resume", out)
        assert code == 0, error
        assert "looking through" not in text
        assert json.loads((out / "records.jsonl").read_text().splitlines()[-1])["step"] == 18

    def test_a_stop_before_training_can_be_gone_on_with(self, folder, tmp_path, monkeypatch):
        def interrupted(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr("minires.own_images.command.refuse_broken", interrupted)
        code, text, _ = run("--data", folder, *TOY, "--out", tmp_path / "run")
        assert code == 130
        assert "Stopped before training began. To go on: minires train --resume" in text
        monkeypatch.undo()
        assert run("--resume", tmp_path / "run")[0] == 0

    def test_a_finished_run_makes_its_results_again(self, trained):
        before = load_file(trained[0] / MODEL)
        code, text, error = run("--resume", trained[0])
        assert code == 0, error
        assert "Test error" in text
        for name, array in load_file(trained[0] / MODEL).items():
            np.testing.assert_array_equal(before[name], array)

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (("--epochs", 9, "--lr", 0.5), r"other options \(epochs, lr\): leave them out beside"),
            (("--network", "resnet14"), r"was begun with other options \(network\)"),
            (("--out", "elsewhere"), "leave out --out, or --resume"),
        ],
    )
    def test_what_is_asked_for_beside_a_run_is_as_it_was_begun(self, options, sentence, trained):
        code, _, error = run("--resume", trained[0], *options)
        assert (code, type(error)) == (1, ValueError)
        assert re.search(sentence, str(error))

    def test_another_folder_of_images_is_no_resumption(self, trained, folder, tmp_path):
        out = shutil.copytree(trained[0], tmp_path / "copy")
        other = drawings(tmp_path / "other", count=31, classes=3)
        options = json.loads((out / "training.json").read_text()) | {"data": str(other)}
        (out / "training.json").write_text(json.dumps(options))
        code, _, error = run("--resume", out)
        assert code == 1
        assert "belongs to another run" in str(error)


class TestTheBest:
    def test_it_is_the_earliest_of_the_least_errors(self, folder, tmp_path):
        errors = iter([0.5, 0.25, 0.25, 0.75])
        trainer = trainer_in(folder, tmp_path)
        kept = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Trainer, "evaluate", lambda self: Meter(1.0, next(errors) * 4, 4))
            patch.setattr(
                "minires.own_images.trainer.save_network", lambda *_: kept.append(trainer.step)
            )
            for trainer.step in (1, 2, 3, 4):
                trainer.records.add("evaluation", trainer, test_error=trainer.evaluate().error)
        assert kept == [1, 2]


class TestFineTuning:
    def test_a_new_head_and_frozen_layers(self, folder, pretrained, tmp_path):
        options = ("--weights", pretrained, "--freeze", "conv1, bn1,layer1", "--image-size", 32)
        options += ("--preset", "toy", "--batch-size", 16, "--out", tmp_path)
        code, text, error = run("--data", folder, *options)
        assert code == 0, error
        assert "from resnet18.pth; frozen: conv1, bn1, layer1; batch norm: trained but in" in text
        before = load_torchvision(pretrained).state_dict()
        after = load_torchvision(tmp_path / MODEL).state_dict()
        assert after["fc.weight"].shape == (512, 3)
        for name, array in before.items():
            if not name.startswith("fc"):
                frozen = name.startswith(("conv1", "bn1", "layer1"))
                assert np.array_equal(array, after[name]) == frozen, name

    def test_small_batches_freeze_all_batch_norm(self, folder, pretrained, tmp_path):
        options = ("--weights", pretrained, "--image-size", 32, "--preset", "toy", "--lr", 1e-5)
        code, text, error = run("--data", folder, *options, "--out", tmp_path)
        assert code == 0, error
        assert "batch norm: all of it is frozen, for a batch has fewer than 16 images" in text
        before = load_torchvision(pretrained).state_dict()
        after = load_torchvision(tmp_path / MODEL).state_dict()
        norms = [name for name in before if ".bn" in name or name.startswith("bn")]
        assert len(norms) == 17 * 4
        for name in norms:
            np.testing.assert_array_equal(before[name], after[name])
        assert not np.array_equal(before["conv1.weight"], after["conv1.weight"])

    def test_a_network_of_minires_train_goes_on_at_its_size(self, trained, folder, tmp_path):
        options = ("--weights", trained[0] / BEST, "--preset", "toy", "--balance")
        code, text, error = run("--data", folder, *options, "--out", tmp_path)
        assert code == 0, error
        assert "seen as 32 x 32" in text
        assert "Network: ResNet-8" in text

    def test_googlenet_comes_without_its_auxiliary_classifiers(self, folder, tmp_path):
        given = googlenet(version="torchvision", aux=True, transform_input=True, classes=9)
        save_torchvision(given, tmp_path / "googlenet.pth")
        model = begin(None, tmp_path / "googlenet.pth", 3)
        assert not any(name.startswith("aux") for name in model.state_dict())
        assert model.fc.weight.shape == (1024, 3)
        np.testing.assert_array_equal(model.conv1.conv.weight.data, given.conv1.conv.weight.data)

    def test_weights_of_another_network(self, folder, pretrained, tmp_path):
        options = (
            "--weights",
            pretrained,
            "--network",
            "resnet34",
            *SMALL,
            "--out",
            tmp_path / "o",
        )
        code, _, error = run("--data", folder, *options)
        assert code == 1
        assert "holds the weights of a ResNet-18, but --network resnet34 is a ResNet-34" in str(
            error
        )
        assert not (tmp_path / "o").exists()


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (("--freeze", "conv1,layer9"), "--freeze layer9: there is no such layer; there are"),
            (("--freeze", "fc"), "--freeze fc: the new head would stay as it was drawn"),
            (("--preset", "quick"), "preset must be one of toy, finetune, scratch, not 'quick'"),
            (("--network", "resnet9"), "depth must be 6n + 2"),
            (("--network", "cat"), "there is no network 'cat'"),
            (("--weights", "none.pth"), "there is no file of weights"),
            (("--batch-size", "100"), "batch_size must be 1 to 72, the training images"),
            (("--val-share", "1"), "between 0 and 1"),
        ],
    )
    def test_a_sentence_and_nothing_written(self, options, sentence, folder, tmp_path):
        code, _, error = run("--data", folder, *TOY, "--out", tmp_path / "o", *options)
        assert code == 1
        assert sentence in str(error)
        assert not (tmp_path / "o").exists()

    def test_no_images_named(self):
        code, _, error = run()
        assert code == 1
        assert "name the images with --data FOLDER" in str(error)

    def test_a_missing_folder(self, tmp_path):
        code, _, error = run("--data", tmp_path / "none", "--out", tmp_path / "o")
        assert (code, type(error)) == (1, FileNotFoundError)

    def test_a_broken_image(self, tmp_path):
        folder = drawings(tmp_path / "f", count=4)
        broken = next(folder.rglob("*.png"))
        broken.write_bytes(broken.read_bytes()[:100])
        code, _, error = run("--data", folder, *TOY, "--out", tmp_path / "o")
        assert code == 1
        assert f"1 of 8 images can't be read; remove or repair them:\n  {broken}: " in str(error)
        assert not (tmp_path / "o").exists()

    def test_results_are_not_overwritten(self, trained, folder):
        code, _, error = run("--data", folder, "--out", trained[0])
        assert code == 1
        assert "already holds something: go on with it by --resume" in str(error)

    @pytest.mark.parametrize(
        "content", ["[]", "{", '{"x": 1}', "3", '{"data": 5}', '{"data": "a", "epochs": 0}']
    )
    def test_damaged_options(self, content, tmp_path):
        (tmp_path / "training.json").write_text(content)
        code, _, error = run("--resume", tmp_path)
        assert (code, type(error)) == (1, ValueError)

    def test_no_run_to_resume(self, tmp_path):
        code, _, error = run("--resume", tmp_path)
        assert (code, type(error)) == (1, FileNotFoundError)
        assert "holds no run of minires train" in str(error)

    def test_uneven_classes_are_noticed(self, tmp_path):
        folder = drawings(tmp_path / "f", count=20)
        for path in sorted(folder.rglob("*.png"))[5:20]:
            path.unlink()
        code, text, error = run("--data", folder, *TOY, "--out", tmp_path / "o")
        assert code == 0, error
        assert "The classes have 4 to 16 images: --balance makes them count alike." in text


class TestWeightsOfClasses:
    def test_they_are_those_of_the_recipe(self, tmp_path):
        folder = drawings(tmp_path / "f", count=20)
        for path in sorted(folder.rglob("*.png"))[5:20]:
            path.unlink()
        code, _, error = run("--data", folder, *TOY, "--balance", "--out", tmp_path / "o")
        assert code == 0, error
        recipe = json.loads((tmp_path / "o" / "config.json").read_text())["recipe"]
        assert recipe["class_weights"] == pytest.approx([20 / 8, 20 / 32])


class TestRecipes:
    def test_a_small_folder_gets_iterations_enough(self):
        recipe = recipe_of("finetune", 100)
        assert (recipe.iterations, recipe.batch_size, recipe.evaluate_every) == (300, 32, 6)

    def test_a_large_one_its_epochs(self):
        recipe = recipe_of("finetune", 3200)
        assert (recipe.iterations, recipe.evaluate_every) == (1000, 100)
        assert recipe.schedule(0) == pytest.approx(0.01 / 50)
        assert max(map(recipe.schedule, range(1000))) == pytest.approx(0.01)

    def test_wishes_are_followed(self):
        recipe = recipe_of("scratch", 640, epochs=2, batch_size=16, lr=0.3)
        assert (recipe.iterations, recipe.batch_size) == (80, 16)
        assert recipe.schedule(4) == pytest.approx(0.3)

    def test_tiny_ones(self):
        assert recipe_of("toy", 2, epochs=1).iterations == 2


class TestJudgements:
    def test_names_of_any_kind_are_drawn(self, tmp_path):
        folder = drawings(tmp_path / "f", count=5)
        for old, new in zip(sorted(folder.iterdir()), ("$x_{1$ [b]", "é" * 50), strict=True):
            old.rename(folder / new)
        data = find_photographs(folder, size=16)
        Judgement(data, np.tile([0.9, 0.1], (2, 1))).save(tmp_path / "out")
        kept = json.loads((tmp_path / "out" / "mistakes.json").read_text())
        assert kept["confusion"] == [[1, 0], [1, 0]]

    def test_without_mistakes_there_is_no_picture_of_them(self, tmp_path):
        data = find_photographs(drawings(tmp_path / "f", count=5), size=16)
        judgement = Judgement(data, np.eye(2)[data.test_labels])
        judgement.save(tmp_path / "out")
        assert [path.name for path in (tmp_path / "out" / "probes").glob("*.png")] == [
            "confusion.png"
        ]
        assert judgement.sentences() == ["0 of 2 test images are wrong."]


def test_options_are_kept(tmp_path):
    options = TrainingOptions(data="x", freeze="conv1", lr=0.1)
    options.save(tmp_path)
    assert TrainingOptions.load(tmp_path) == options


def losses_in(folder):
    records = map(json.loads, (folder / "records.jsonl").read_text().splitlines())
    return [{k: v for k, v in r.items() if k != "seconds"} for r in records]


def stop_after(step):
    def watch(trainer):
        trainer.stopping.requested = trainer.step == step

    return watch


def stopping(kind, step):
    """A training step after which a user seems to have pressed Ctrl-C."""
    original = kind.train_step

    def train_step(self):
        original(self)
        self.stopping.requested = self.step == step

    return train_step


def test_checkpoints_say_how_images_are_seen(trained):
    arrays, state = load_checkpoint(trained[0] / "checkpoint.safetensors")
    assert state["sizes"] == {"resize": 37, "crop": 32}
    np.testing.assert_allclose(arrays["images.mean"], [0.485, 0.456, 0.406])


def test_a_network_for_other_classes_is_refused_before_training(folder, tmp_path):
    data = find_photographs(folder, size=24)
    recipe = recipe_of("toy", len(data.train))
    options = {"folder": tmp_path, "seed": 0, "name": "n"}
    with pytest.raises(ValueError, match="has 10 outputs, but the images are of 3 classes: begin"):
        PhotographTrainer(cifar_resnet(8), data, recipe, **options)


@pytest.mark.parametrize("options", [{"epochs": 0}, {"batch_size": 0}, {"lr": 0}, {"lr": -1.0}])
def test_a_number_that_can_not_be_is_not_replaced(options):
    with pytest.raises(ValueError, match=r"must be (at least 1|more than 0), but is "):
        recipe_of("toy", 20, **options)
