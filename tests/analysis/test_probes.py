"""Every probe from the lab to its picture and its words, at toy size."""

import dataclasses
import json

import numpy as np
import pytest

from minires.analysis import (
    PROBES,
    Lab,
    activity,
    branches,
    identity,
    landscape,
    lesions,
    paths,
    propagation,
    responses,
    shattering,
    shortcuts,
    vanishing,
)
from minires.training.main_job import Entry

from .networks import dataset

SMALL = {  # what each probe measures, as small as it can be
    "vanishing": lambda lab: vanishing.measure(lab, seeds=1),
    "propagation": lambda lab: propagation.measure_at_initialisation(lab, depths=(4, 6), seeds=1),
    "first-steps": lambda lab: propagation.measure_first_steps(lab, depth=8, images=4),
    "activity": lambda lab: activity.measure(lab, images=4),
    "identity": lambda lab: identity.measure(lab, images=10),
    "shortcuts": lambda lab: shortcuts.measure(lab, depth=8),
    "shattering": lambda lab: shattering.measure(lab, depths=(2, 4), seeds=1),
    "branches": lambda lab: branches.measure(lab, depth=8, images=4),
    "responses": lambda lab: responses.measure(lab, images=4),
    "lesions": lambda lab: lesions.measure(lab, images=10),
    "paths": lambda lab: paths.measure(lab, depth=8, images=4, samples=1),
    "landscape": lambda lab: landscape.measure(lab, images=4, points=5, size=3),
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = Lab(tmp_path_factory.mktemp("lab"), preset="toy")
    made.__dict__["dataset"] = dataset(100)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBES)
def test_a_probe_leaves_a_picture_and_its_words(name, lab):
    probe = dataclasses.replace(PROBES[name], measure=SMALL[name])
    picture = probe.run(lab)
    assert picture == lab.folder / "probes" / f"{name}.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    words = json.loads(picture.with_suffix(".json").read_text())
    assert list(words) == ["title", "what", "look_for", "source", "found"]
    assert all(words.values())
    assert all(isinstance(sentence, str) and "nan" not in sentence for sentence in words["found"])


def test_every_probe_is_tried():
    assert list(SMALL) == list(PROBES)


def test_titles_and_texts_fit_a_page():
    for probe in PROBES.values():
        assert len(probe.title) < 90
        assert len(probe.look_for) < 600
        assert probe.source


@pytest.mark.slow
class TestLab:
    def test_trains_once_and_then_takes_what_is_there(self, lab):
        steps = []
        lab.watch = lambda trainer: steps.append(trainer.step)
        first = lab.trained(14, "A")
        assert steps == list(range(1, 17))
        second = lab.trained(14, "A")
        lab.watch = None
        assert len(steps) == 16
        for name, array in first.state_dict().items():
            assert np.array_equal(array, second.state_dict()[name])

    def test_puts_networks_where_the_main_job_puts_them(self, lab):
        lab.trained(8, None)
        assert (lab.folder / Entry(8, None, 0).folder / "checkpoint.safetensors").exists()
        assert not list(lab.folder.glob("probes/*/config.json"))  # not taken for one of its runs


def test_a_folder_of_the_main_job_gives_its_settings(tmp_path):
    options = {
        "preset": "standard",
        "data": "cifar10",
        "data_dir": "/x",
        "depths": [20],
        "seeds": [4],
    }
    (tmp_path / "options.json").write_text(json.dumps(options))
    lab = Lab.like(tmp_path, preset=None, seed=None)
    assert (lab.preset, lab.data, str(lab.data_dir), lab.seed) == ("standard", "cifar10", "/x", 4)
    assert Lab.like(tmp_path, preset="quick", seed=1).preset == "quick"
    assert Lab.like(tmp_path, preset="quick", seed=1).seed == 1


OPTIONS = {"preset": "quick", "data": "builtin", "data_dir": None, "depths": [20], "seeds": [0]}


@pytest.mark.parametrize("missing", [*OPTIONS, "all"])
def test_options_that_lack_something_get_a_sentence(missing, tmp_path):
    damaged = {key: value for key, value in OPTIONS.items() if key != missing}
    (tmp_path / "options.json").write_text(json.dumps([] if missing == "all" else damaged))
    with pytest.raises(ValueError, match="does not hold the options of the main job"):
        Lab.like(tmp_path)


@pytest.mark.parametrize(
    "change", [{"seeds": []}, {"seeds": ["0"]}, {"depths": 20}, {"preset": "fast"}, {"data": 3}]
)
def test_options_of_another_kind_get_a_sentence(change, tmp_path):
    (tmp_path / "options.json").write_text(json.dumps(OPTIONS | change))
    with pytest.raises(ValueError, match="does not hold the options of the main job"):
        Lab.like(tmp_path)


def test_a_new_folder_has_the_built_in_drawings_and_the_quick_preset(tmp_path):
    lab = Lab.like(tmp_path / "new")
    assert (lab.preset, lab.data, lab.data_dir, lab.seed) == ("quick", "builtin", None, 0)
