"""`minires evaluate` and `minires classify`, as a user calls them."""

import json

import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from minires.cli import app, main
from minires.models import resnet18
from minires.weights import save_torchvision

from ..data.photographs import folder_by_class, photograph, save

SMALL = ("--resize", "36", "--crop", "32")
CLASSES = ("ant", "bee", "cat")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    save_torchvision(resnet18(classes=3), path)
    return path


@pytest.fixture
def zoo(tmp_path, rng):
    return folder_by_class(tmp_path / "zoo", rng)


def run(*arguments):
    result = CliRunner().invoke(app, [str(part) for part in arguments])
    return result.exit_code, " ".join(result.output.split()), result.exception


class TestEvaluate:
    def test_one_network(self, weights, zoo, tmp_path):
        out = tmp_path / "new" / "result.json"
        code, text, error = run("evaluate", weights, "--data", zoo, "--out", out, *SMALL)
        assert code == 0, error
        assert "zoo: 6 images, single crop" in text
        assert "ResNet-18" in text
        assert "ensemble" not in text
        result = json.loads(out.read_text())
        [score] = result["scores"].values()
        assert 0 <= score["top1_error"] <= 1
        assert result["broken"] == []

    @pytest.mark.parametrize("protocol", ["single", "10crop"])
    def test_two_networks_and_a_broken_image(self, protocol, weights, zoo, tmp_path):
        (zoo / "ant" / "ant0.jpg").write_bytes(b"no image")
        other = tmp_path / "other.pth"
        save_torchvision(resnet18(classes=3, seed=1), other)
        options = ("--data", zoo, "--protocol", protocol, *SMALL)
        code, text, error = run("evaluate", weights, other, *options)
        assert code == 0, error
        assert "5 images" in text
        assert "ensemble" in text
        assert "can't be read (1):" in text
        assert "ant0.jpg: not an image" in text

    def test_folders_and_networks_are_called_as_they_are(self, weights, zoo):
        folder = zoo.rename(zoo.parent / "[red]zoo[x]")
        named = [weights.with_name(f"[red]{name}.safetensors") for name in "ab"]
        for path in named:
            path.write_bytes(weights.read_bytes())
        code, text, error = run("evaluate", *named, "--data", folder, *SMALL)
        assert code == 0, error
        assert "[red]zoo[x]: 6 images" in text
        assert "[red]a" in text

    def test_a_part_of_the_images(self, weights, zoo):
        code, text, error = run("evaluate", weights, "--data", zoo, "--limit", 3, *SMALL)
        assert code == 0, error
        assert "3 images" in text

    def test_a_broken_image_can_be_refused(self, weights, zoo):
        (zoo / "ant" / "ant0.jpg").write_bytes(b"no image")
        options = ("--data", zoo, "--broken", "refuse", *SMALL)
        code, _, error = run("evaluate", weights, *options)
        assert code == 1
        assert "ant0.jpg: not an image" in str(error)

    def test_other_classes_get_a_sentence(self, weights, tmp_path, rng):
        pair = folder_by_class(tmp_path / "pair", rng, classes=("ant", "bee"))
        code, _, error = run("evaluate", weights, "--data", pair, *SMALL)
        assert code == 1
        assert "has 3 outputs but the data 2 classes" in str(error)
        (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
        code, _, error = run(
            "evaluate", weights, "--data", pair, "--classes", tmp_path / "classes.json", *SMALL
        )
        assert code == 0, error

    def test_missing_weights_get_a_sentence(self, zoo, monkeypatch, capsys):
        monkeypatch.setattr("sys.argv", ["minires", "evaluate", "none.pth", "--data", str(zoo)])
        with pytest.raises(SystemExit):
            main()
        assert "Error: there is no file of weights none.pth" in capsys.readouterr().err


class TestClassify:
    def test_shows_bars_with_names_from_a_file(self, weights, zoo, tmp_path):
        (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
        options = ("--weights", weights, "--classes", tmp_path / "classes.json", *SMALL)
        code, text, error = run("classify", zoo / "ant" / "ant0.jpg", *options)
        assert code == 0, error
        assert all(name in text for name in CLASSES)
        assert "%" in text

    def test_names_may_stand_in_the_weights(self, weights, zoo, tmp_path):
        named = tmp_path / "named.safetensors"
        save_file(load_file(weights), named, metadata={"classes": json.dumps(CLASSES)})
        code, text, error = run(
            "classify", zoo / "ant" / "ant0.jpg", "--weights", named, "--top", 1, *SMALL
        )
        assert code == 0, error
        assert sum(f"{name} " in text for name in CLASSES) == 1

    def test_an_ensemble_is_of_one_list_of_classes(self, weights, zoo, tmp_path):
        """Outputs in another order would be averaged with those of other classes."""
        files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
        for path, names in zip(files, (CLASSES, CLASSES[::-1]), strict=True):
            save_file(load_file(weights), path, metadata={"classes": json.dumps(names)})
        both = ("--weights", files[0], "--weights", files[1], *SMALL)
        code, _, error = run("classify", zoo / "ant" / "ant0.jpg", *both)
        assert code == 1
        assert "name other classes, or in another order: use them one by one" in str(error)
        alike = ("--weights", files[0], "--weights", files[0], *SMALL)
        assert run("classify", zoo / "ant" / "ant0.jpg", *alike)[0] == 0

    def test_classes_are_called_as_they_are(self, weights, zoo, tmp_path):
        names = ["cell[/x]", "[red]bee", ":cat:"]
        (tmp_path / "classes.json").write_text(json.dumps(names))
        options = ("--weights", weights, "--classes", tmp_path / "classes.json", *SMALL)
        code, text, error = run("classify", zoo / "ant" / "ant0.jpg", *options)
        assert code == 0, error
        assert all(name in text for name in names)

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("[]", " names no class"),
            ("{}", " names no class"),
            ("[" * 100_000, " is not valid JSON"),
            ("1", ": expected a list of names"),
        ],
    )
    def test_names_in_the_weights_that_are_none(self, text, sentence, weights, zoo, tmp_path):
        named = tmp_path / "named.safetensors"
        save_file(load_file(weights), named, metadata={"classes": text})
        code, _, error = run("classify", zoo / "ant" / "ant0.jpg", "--weights", named, *SMALL)
        assert code == 1
        assert f"named.safetensors{sentence}" in str(error)

    def test_several_images_each_with_a_picture_and_the_broken_named(self, weights, zoo, tmp_path):
        broken = tmp_path / "broken.png"
        broken.write_bytes(b"")
        images = (zoo / "ant" / "ant0.jpg", broken, zoo / "bee" / "bee1.jpg")
        options = ("--weights", weights, "--picture", tmp_path / "pictures", *SMALL)
        code, text, error = run("classify", *images, *options)
        assert code == 1
        assert "broken.png: not an image" in str(error)
        assert "class 0" in text
        pictures = {path.name for path in (tmp_path / "pictures").iterdir()}
        assert pictures == {"ant0.png", "bee1.png"}

    def test_an_image_that_would_be_gigantic_is_named(self, weights, zoo, tmp_path):
        thin = save(tmp_path / "thin.png", Image.new("RGB", (1, 60_000)))
        options = ("--weights", weights, "--resize", "64", "--crop", "32")
        code, text, error = run("classify", thin, zoo / "ant" / "ant0.jpg", *options)
        assert code == 1
        assert "thin.png: 1 x 60000 pixels would" in str(error)
        assert "ant0.jpg" in text

    def test_images_called_alike_have_pictures_of_their_own(self, weights, tmp_path, rng):
        images = [tmp_path / name for name in ("a/1.jpg", "b/1.jpg", "b/1-2.jpg", "c/1.png")]
        for image in images:
            save(image, photograph(rng, 40, 40))
        options = ("--weights", weights, "--picture", tmp_path / "out", *SMALL)
        code, text, error = run("classify", *images, *options)
        assert code == 0, error
        pictures = {path.name for path in (tmp_path / "out").iterdir()}
        assert pictures == {"1.png", "1-2.png", "1-2-2.png", "1-3.png"}
        assert all(f"out/{name}" in text for name in pictures)

    @pytest.mark.parametrize("picture", ["", "x.png"])
    def test_a_picture_never_overwrites_an_image(self, picture, weights, tmp_path, rng):
        image = save(tmp_path / "x.png", photograph(rng, 40, 40))
        before = image.read_bytes()
        options = ("--weights", weights, "--picture", tmp_path / picture, *SMALL)
        code, _, error = run("classify", image, *options)
        assert code == 1
        assert "x.png would overwrite an image of the input" in str(error)
        assert image.read_bytes() == before

    def test_one_picture_may_be_called_anything(self, weights, tmp_path, rng):
        image = save(tmp_path / "x.png", photograph(rng, 40, 40))
        options = ("--weights", weights, "--picture", tmp_path / "guess.svg", *SMALL)
        code, _, error = run("classify", image, *options)
        assert code == 0, error
        assert (tmp_path / "guess.svg").read_text().startswith("<?xml")


class TestNothingIsDoneInVain:
    def test_a_name_that_is_no_pictures_is_told_before_the_work(self, zoo, weights, tmp_path):
        image = zoo / "ant" / "ant0.jpg"
        code, text, error = run(
            "classify", image, "--weights", weights, *SMALL, "--picture", tmp_path / "x.txt"
        )
        assert code == 1
        assert "%" not in text
        assert "the name of a picture must end in .png" in str(error)

    def test_results_take_the_place_of_no_input(self, zoo, weights):
        before = weights.read_bytes()
        code, _, error = run("evaluate", weights, "--data", zoo, *SMALL, "--out", weights)
        assert code == 1
        assert "would overwrite a file of the input" in str(error)
        assert weights.read_bytes() == before
