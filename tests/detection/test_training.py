"""Training of detectors: through the trainer's loop, resumed, saved, by command."""

import io
import json
from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from safetensors.numpy import save_file
from typer.testing import CliRunner

from minires import cli
from minires.detection import DetectorTrainer, detect, load_detector, scenes, train_detector
from minires.detection.backbones import faster_rcnn
from minires.detection.own_data import finish, recipe_of
from minires.detection.pretraining import pretraining
from minires.detection.saved import load_saved, make_detector, save_detector, take_over
from minires.detection.sets import DetectionData
from minires.detection.small import SETTINGS, small_resnet, small_vgg
from minires.detection.training import TERMS, toy
from minires.models import plain18, resnext50_32x4d, vgg16
from minires.training.dealing import hands_of
from minires.training.divergence import DivergedError
from minires.training.interrupt import InterruptedTraining
from minires.training.recipes import Recipe
from minires.training.records import read_records
from minires.training.schedules import LinearDecay, LinearWarmUp

from .sets import voc_folder, xml

VIEW = replace(SETTINGS, shorter=48, longer=48, sizes=((12, 24),), after_nms=(20, 10))


@pytest.fixture(scope="module")
def data():
    return scenes(train=6, test=2, size=48)


def trainer_of(data, folder, recipe=None):
    model = small_resnet(data.classes, settings=VIEW, dtype=np.float64)
    options = {"folder": folder, "seed": 0, "name": model.name}
    return DetectorTrainer(model, data, recipe or toy(), **options)


def test_a_training_leaves_records_and_a_detector(data, tmp_path):
    trainer = trainer_of(data, tmp_path)
    path = train_detector(trainer)
    records = read_records(tmp_path / "records.jsonl")
    kinds = [record["kind"] for record in records]
    expected = {"gradients": 2, "losses": 2, "interval": 2, "detection": 1, "evaluation": 1}
    assert {kind: kinds.count(kind) for kind in kinds} == expected
    losses = [record for record in records if record["kind"] == "losses"]
    intervals = [record for record in records if record["kind"] == "interval"]
    for terms, interval in zip(losses, intervals, strict=True):
        assert sum(terms[name] for name in TERMS) == pytest.approx(interval["loss"])
        assert 0 <= interval["training_error"] <= 1
    last = records[-1]
    assert last["test_error"] == pytest.approx(1 - records[-2]["mAP50"])
    loaded = load_detector(path)
    state = trainer.model.state_dict()
    assert loaded.classes == data.classes
    assert loaded.numbers == VIEW
    for name, array in loaded.state_dict().items():
        np.testing.assert_array_equal(array, state[name].astype(np.float32))


def test_a_resumed_training_gives_the_same_bits(data, tmp_path):
    """Interrupted after two of four iterations, and gone on with by a new trainer."""
    whole, first, second = (trainer_of(data, tmp_path / name) for name in ("a", "b", "b"))
    whole.run()

    class Stop(Exception):
        pass

    def stop(trainer):
        if trainer.step == 3:
            raise Stop

    first.watch = stop
    with pytest.raises(Stop):
        first.run()
    second.resume()
    assert second.step == 2
    second.run()
    for name, array in whole.model.state_dict().items():
        np.testing.assert_array_equal(second.model.state_dict()[name], array, err_msg=name)


def test_runs_of_detectors_are_dealt_by_what_they_cost(data, tmp_path):
    runs = [trainer_of(data, tmp_path / str(n), recipe_of("toy", n, None)) for n in (3, 9, 4)]
    size, hands = hands_of(Namespace(size=2), runs)
    assert (size, hands) == (1, [[1], [2, 0]])


def test_a_run_with_other_scales_is_not_gone_on_with(data, tmp_path):
    options = {"folder": tmp_path, "seed": 0, "name": "a"}
    model = small_resnet(data.classes, settings=VIEW)
    DetectorTrainer(model, data, toy(2), scales=(40, 48), **options).run()
    with pytest.raises(ValueError, match="scales"):
        DetectorTrainer(model, data, toy(2), **options).resume()


def test_a_run_with_other_anchors_or_classes_is_not_gone_on_with(data, tmp_path):
    """Of the same number, so that all weights fit."""
    trainer_of(data, tmp_path, toy(2)).run()
    trainer_of(data, tmp_path, toy(2)).resume()
    anchors = small_resnet(data.classes, settings=replace(VIEW, sizes=((10, 20),)))
    options = {"folder": tmp_path, "seed": 0, "name": "small ResNet"}
    with pytest.raises(ValueError, match=r"belongs to another run.*\n  numbers: saved .*12, 24"):
        DetectorTrainer(anchors, data, toy(2), **options).resume()
    turned = [replace(one, annotations=renamed(one.annotations)) for one in (data.train, data.test)]
    other = DetectionData(data.name, *turned)
    with pytest.raises(ValueError, match=r"belongs to another run.*\n  labels: saved "):
        trainer_of(other, tmp_path, toy(2)).resume()


def renamed(annotations):
    return replace(annotations, classes=annotations.classes[::-1])


def test_one_scene_is_learnt_by_heart(tmp_path):
    """The test of everything: all objects of an image found after 200 iterations."""
    drawn = scenes(train=1, test=0, size=96).train
    settings = replace(SETTINGS, shorter=96, longer=96)
    model = small_resnet(drawn.annotations.classes, settings=settings)
    schedule = LinearWarmUp(20, LinearDecay(peak=0.02, start=120, stop=200))
    recipe = Recipe("one", 200, 1, schedule, 100, 200, 200)
    options = {"folder": tmp_path, "seed": 0, "name": "one"}
    DetectorTrainer(model, DetectionData("one", drawn, drawn), recipe, **options).run()
    (line,) = [r for r in read_records(tmp_path / "records.jsonl") if r["kind"] == "detection"]
    assert len(drawn.annotations) == 4
    assert line["mAP50"] == 1.0


# ------------------------------------------------------------------------ files


def test_large_detectors_are_made_again_from_their_file(tmp_path):
    model = faster_rcnn("resnet18", ["cat"], pooling="max", softmax=False, frozen=False)
    loaded = load_saved(save_detector(model, tmp_path / "detector.safetensors"))
    assert (loaded.name, loaded.pool.method, loaded.rpn.softmax) == ("ResNet-18-C4", "max", False)
    assert not loaded.frozen
    ours, theirs = model.trunk.layer3[1].conv2.weight, loaded.trunk.layer3[1].conv2.weight
    np.testing.assert_array_equal(ours.data, theirs.data)


@pytest.mark.parametrize(
    ("backbone", "make", "options"),
    [
        ("resnet18", plain18, {}),
        ("resnet50", resnext50_32x4d, {}),
        ("vgg16", vgg16, {"batch_norm": True}),
    ],
)
def test_detectors_of_all_kinds_of_networks_are_made_again(backbone, make, options):
    network = make(seed="zeros", **options)
    model = faster_rcnn(backbone, ["cat"], network=network, seed="zeros")
    made_as = json.loads(json.dumps(model.made_as))
    again = make_detector(made_as, ["cat"], model.numbers)
    shapes = ({n: p.shape for n, p in one.named_parameters()} for one in (model, again))
    assert next(shapes) == next(shapes)
    assert again.name == model.name
    trained = ({n for n, p in m.named_parameters() if p.requires_grad} for m in (model, again))
    assert next(trained) == next(trained)


def test_files_that_do_not_say_how_to_make_a_detector_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"x": np.zeros(1)}, path)
    assert load_saved(path) is None
    for about in ("{", "{}", json.dumps({"made_as": {"backbone": "resnet18"}, "settings": 3})):
        save_file({"x": np.zeros(1)}, path, metadata={"minires detector": about})
        with pytest.raises(ValueError, match="does not say how its detector was made"):
            load_saved(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load_saved(path)


# ------------------------------------------------------------------------ commands


def invoke(*arguments):
    return CliRunner().invoke(cli.app, list(map(str, arguments)), catch_exceptions=True)


def test_own_images_are_learnt_and_found_by_command(tmp_path):
    files = {f"{i}": xml(("dog", 5, 5, 40, 30)) for i in range(3)}
    folder = voc_folder(tmp_path / "data", files)
    options = ("--preset", "toy", "--shorter", 48, "--longer", 80, "--sizes", "16,32")
    trained = invoke("train-detector", "--data", folder, "--out", tmp_path / "run", *options)
    assert trained.exit_code == 0, trained.output
    assert "There is no test set" in trained.output
    assert "training images, too" not in trained.output
    assert "nothing is wrong" in trained.output
    assert "On 3 test images: mAP@.5" in trained.output
    assert "4 iterations in" in trained.output
    assert (tmp_path / "run" / "test-image.png").exists()
    page = (tmp_path / "run" / "report.html").read_text()
    assert "What the small ResNet finds" in page
    assert "mAP@[.5,.95] on the test images" in page
    weights = tmp_path / "run" / "detector.safetensors"
    image, picture = folder / "JPEGImages" / "0.jpg", tmp_path / "out.png"
    arguments = (image, "--weights", weights, "--threshold", 0, "--picture", picture)
    found = invoke("detect", *arguments)
    assert found.exit_code == 0, found.output
    assert "objects" in found.output
    assert picture.exists()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    Image.new("RGB", (60, 40)).save(tmp_path / "phone.jpg", exif=exif)
    invoke("detect", tmp_path / "phone.jpg", *arguments[1:])
    assert Image.open(picture).size == (40, 60)
    command = ("train-detector", "--data", folder, "--out", tmp_path / "run")
    for other in (("--sizes", "8,16"), ("--longer", "81")):  # of options twice the last one counts
        again = invoke(*command, *options, *other)
        assert "belongs to another run" in str(again.exception)
    assert invoke(*command, *options).exit_code == 0


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("content", [None, b"no picture"])
def test_images_that_cannot_be_seen_are_named_before_training(split, content, tmp_path):
    sets = {}
    for name in ("train", "test"):
        files = {f"{name}{i}": xml(("dog", 5, 5, 40, 30)) for i in range(2)}
        sets[name] = voc_folder(tmp_path / name, files)
    image = sets[split] / "JPEGImages" / f"{split}1.jpg"
    image.unlink()
    if content:
        image.write_bytes(content)
    folders = ("--data", sets["train"], "--test", sets["test"], "--out", tmp_path / "run")
    result = invoke("train-detector", *folders, "--preset", "toy")
    what = "images that can't be read" if content else "images whose files are missing"
    assert f"{split}: 1 {what}, such as" in str(result.exception)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("objects", [(), (("dog", 5, 5, 40, 30, "<difficult>1</difficult>"),)])
def test_sets_of_nothing_to_find_are_refused(objects, tmp_path):
    """Their mAP is no number."""
    train = voc_folder(tmp_path / "train", {"0": xml(("dog", 5, 5, 40, 30))})
    test = voc_folder(tmp_path / "test", {"1": xml(*objects)})
    for data in (("--data", train, "--test", test), ("--data", test)):
        result = invoke("train-detector", *data, "--out", tmp_path / "run", "--preset", "toy")
        assert "test has no object that counts" in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_training_that_ends_early_says_why():
    """After Ctrl-C how to go on, after divergence what to try."""
    console = Console(file=io.StringIO(), width=200)

    def ended(by):
        def train(trainers):
            raise by

        finish(console, train=train, again="once more")

    with pytest.raises(SystemExit) as ending:
        ended(InterruptedTraining("stopped after 3"))
    assert ending.value.code == 130
    assert console.file.getvalue() == "stopped after 3\nTo go on: once more\n"
    with pytest.raises(ValueError, match="a smaller learning rate"):
        ended(DivergedError("try a smaller learning rate"))


def test_a_pretrained_trunk_is_the_detectors_own(tmp_path):
    model = small_resnet(["dog"], settings=VIEW)
    before = model.state_dict()
    options = {"folder": tmp_path, "seed": 0, "drawings": (20, 10)}
    trainer = pretraining(model, 2, **options)
    assert trainer.dataset.image_shape == (64, 64, 3)  # a map of 8 x 8, as of a region
    trainer.finish()
    changed = {n for n, a in model.state_dict().items() if not np.array_equal(a, before[n])}
    assert {name.split(".")[0] for name in changed} == {"trunk", "head"}


def test_a_detector_begins_with_another_one_of_its_kind(data, tmp_path):
    """With all but the last layers, whose classes are others, and anchors of another number."""
    trained = small_resnet(["dog", "cat"], settings=replace(VIEW, sizes=((12,),)), seed=1)
    path = save_detector(trained, tmp_path / "detector.safetensors")
    model = take_over(small_resnet(["dog", "cat"], settings=VIEW), path)
    theirs, own = trained.state_dict(), small_resnet(["dog", "cat"], settings=VIEW).state_dict()
    for name, array in model.state_dict().items():
        new = name.startswith(("predictor", "rpn.cls", "rpn.bbox"))
        np.testing.assert_array_equal(array, (own if new else theirs)[name], err_msg=name)
    with pytest.raises(ValueError, match="holds a small ResNet: a small VGG begins with"):
        take_over(small_vgg(["dog"]), path)
    save_file({"x": np.zeros(1)}, path)
    with pytest.raises(ValueError, match="no detector that was trained here"):
        take_over(model, path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--backbone", "resnet18", "--weights", "r.pth", "--pretrain", 3), "is for small-resnet"),
        (("--scales", "300,x"), "scales '300,x': expected whole pixels, 32 and more"),
        (("--precision", "bfloat16"), "precision must be one of float32, tf32"),
        (("--backbone", "alexnet"), "backbone must be one of small-resnet"),
        (("--backbone", "resnet50"), "begins with the weights of a classifier"),
        (("--sizes", "a"), "sizes of anchors 'a'"),
        (("--shorter", 300), "300 pixels on the shorter side and at most 128 on the longer"),
        (("--preset", "paper"), "preset must be one of toy, quick"),
    ],
)
def test_bad_options_are_met_with_a_sentence(arguments, sentence, tmp_path):
    folder = voc_folder(tmp_path / "data", {"0": xml(("dog", 5, 5, 40, 30))})
    result = invoke("train-detector", "--data", folder, "--out", tmp_path / "run", *arguments)
    assert sentence in str(result.exception)


@pytest.mark.parametrize("preset", ["toy", "quick"])
def test_one_iteration_is_enough(preset):
    assert recipe_of(preset, 1, None).iterations == 1


def test_iterations_move_the_drop_of_the_rate():
    recipe = recipe_of("quick", 400, 2)
    assert (recipe.iterations, recipe.batch_size) == (400, 2)
    assert recipe.schedule(299) == pytest.approx(10 * recipe.schedule(300))


def test_a_float64_detector_sees_photographs(data):
    model = small_resnet(data.classes, settings=VIEW, dtype=np.float64)
    found = detect(model, data.test.pixels(0))
    assert found.boxes.shape == (len(found.labels), 4)


def test_a_test_on_training_images_is_said(tmp_path):
    folder = voc_folder(tmp_path / "data", {"0": xml(("dog", 5, 5, 40, 30)), "1": xml()})
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "test.txt").write_text("0")
    options = ("--preset", "toy", "--iterations", 1, "--test-split", "test")
    made = invoke("train-detector", "--data", folder, "--out", tmp_path / "run", *options)
    assert made.exit_code == 0, made.output
    assert "1 of the test images are training images, too." in made.output


@pytest.mark.parametrize("preset", ["toy", "quick"])
@pytest.mark.parametrize("numbers", [(0, None), (None, 0)])
def test_a_number_that_can_not_be_is_not_replaced(preset, numbers):
    with pytest.raises(ValueError, match="must be at least 1, not 0"):
        recipe_of(preset, *numbers)
