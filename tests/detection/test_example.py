"""ResNet against VGG, examples/detection_resnet_vs_vgg.py, at toy size."""

from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from minires.training.records import read_records

from .sets import voc_folder, xml

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def example():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        import detection_resnet_vs_vgg

        yield detection_resnet_vs_vgg


@pytest.fixture
def run(example, monkeypatch):
    """What a call prints, or the sentence that ends it."""
    app = typer.Typer()
    app.command()(example.main)
    monkeypatch.setattr(example, "console", Console(width=150))

    def call(*arguments, ends=0):
        words = ["--preset", "toy", "--device", "cpu", *map(str, arguments)]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == ends, (result.output, result.exception)
        return str(result.exception) if ends else result.output

    return call


@pytest.mark.slow
def test_both_are_pretrained_and_trained_and_a_finished_run_is_shown_again(run, tmp_path):
    text = run("--pretrain", 3, "--out", tmp_path)
    for words in ("small ResNet", "small VGG", "paper: VGG-16", "medium", "points from small VGG"):
        assert words in text
    for kind in ("resnet", "vgg"):
        place = tmp_path / f"{kind}-seed0"
        assert read_records(place / "pretraining" / "records.jsonl")[-1]["step"] == 3
        assert (place / "detector.safetensors").exists()
        assert (tmp_path / f"{kind}-seed0-image0.png").exists()
    page = (tmp_path / "report.html").read_text()
    assert "What the small VGG finds" in page
    assert "VGG, drawings" not in page  # what they were pretrained on is no result
    again = run("--pretrain", 3, "--out", tmp_path)
    assert text.splitlines()[-9:] == again.splitlines()[-9:]
    sentence = run("--out", tmp_path, ends=1)
    assert "begins with: saved '3 iterations on drawings', now None" in sentence


@pytest.mark.slow
def test_own_images(run, tmp_path):
    files = {f"{i}": xml(("dog", 5, 5, 40, 30)) for i in range(3)}
    folder = voc_folder(tmp_path / "data", files)
    sides = ("--sizes", "16,32", "--shorter", 48, "--longer", 80)
    text = run("--data", folder, *sides, "--out", tmp_path / "runs")
    assert "data: 3 images, 3 objects of 1 classes" in text
    assert "There is no test set" in text
    assert "one seed says little" in text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--backbones", "small-vgg"), "expected two that differ"),
        (("--backbones", "small-vgg,small-vgg"), "expected two that differ"),
        (("--backbones", "small-vgg,alexnet"), "backbone must be one of"),
        (("--backbones", "resnet50,vgg16"), "begins with the weights of a classifier"),
        (("--weights", "a.safetensors"), "one for each of small-resnet,small-vgg"),
        (("--weights", "a", "--weights", "b", "--pretrain", 1), "without --weights"),
        (("--data", "nowhere"), "there is no file or folder nowhere"),
    ],
)
def test_bad_options_are_met_with_a_sentence(options, sentence, run, tmp_path):
    assert sentence in run(*options, "--out", tmp_path / "run", ends=1)
    assert not (tmp_path / "run").exists()


def test_what_is_not_there_is_a_dash(example):
    assert example.spread([None]) == "-"
    assert example.spread([0.5]) == "50.0"
    assert example.spread([0.5, 0.6]) == "55.0 ± 7.1"


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ([0.5], [0.4], "+10.0 points from b: one seed says little"),
        ([0.5, 0.52], [0.4, 0.41], "+10.5 points of mAP@.5 from b, beyond two standard errors"),
        ([0.5, 0.3], [0.4, 0.45], "-2.5 points of mAP@.5 from b, within two standard errors"),
    ],
)
def test_the_verdict_follows_from_the_numbers(first, second, words, example):
    results = {n: [{"mAP50": v} for v in values] for n, values in (("a", first), ("b", second))}
    assert f"a is {words}" in example.verdict(results)
