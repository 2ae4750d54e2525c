"""The page about runs: its numbers are those of the records, and nothing odd makes it fall over."""

import json
import re
import shutil
from html import unescape

import numpy as np
import pytest

from minires.report import write_report
from minires.report.paper import comparisons, printed_test_error, schedule_in_words
from minires.report.runs import Group, Run, find_runs
from minires.training import PRESETS
from tests.report.made_up import LOSSES, PNG, read_records, write_records, write_run


def embedded(html):
    """The numbers that the charts draw, by network."""
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)[1]
    return {line["label"]: line for line in json.loads(text)["lines"]}


def words(html):
    """What a reader sees, without charts."""
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


@pytest.fixture
def stills():
    """Asked for by the tests that want still pictures, which take half a second a page."""


@pytest.fixture(autouse=True)
def no_stills(request, monkeypatch):
    if "stills" not in request.fixturenames:
        monkeypatch.setattr("minires.report.page.stills", lambda section: [])


@pytest.fixture
def four(tmp_path):
    """Four networks, three seeds each."""
    for name, loss in LOSSES.items():
        for seed in range(3):
            write_run(tmp_path / "job", name, loss + 0.1 * (seed - 1), seed)
    return tmp_path / "job"


def page(*folders, out=None):
    path, notes = write_report([*folders], out)
    return path.read_text(encoding="utf-8"), notes


class TestNumbers:
    def test_each_curve_is_the_mean_and_spread_of_the_records(self, four):
        html, _ = page(four)
        kinds = {"training loss": ("interval", "loss"), "test loss": ("evaluation", "test_loss")}
        for network in LOSSES:
            records = [read_records(four / f"{network}-seed{seed}") for seed in range(3)]
            for name, (kind, value) in kinds.items():
                curve = embedded(html)[network]["curves"][name]
                values = [[r[value] for r in run if r["kind"] == kind] for run in records]
                seconds = [[r["seconds"] for r in run if r["kind"] == kind] for run in records]
                assert curve["steps"] == [r["step"] for r in records[0] if r["kind"] == kind]
                assert np.allclose(curve["runs"], values, rtol=1e-4)
                assert np.allclose(curve["mean"], np.mean(values, 0), rtol=1e-4)
                assert np.allclose(curve["std"], np.std(values, 0, ddof=1), rtol=1e-4)
                assert np.allclose(curve["seconds"], np.mean(seconds, 0), rtol=1e-4)

    def test_errors_are_in_percent_and_epochs_count_batches(self, four):
        line = embedded(page(four)[0])["plain-20"]
        assert line["curves"]["test error"]["mean"][-1] == pytest.approx(62.0)
        assert line["per epoch"] == 10

    def test_gradients_are_those_of_each_layer(self, four):
        first, last = embedded(page(four)[0])["ResNet-56"]["gradients"]
        assert (first["step"], last["step"]) == (0, 79)
        assert last["layers"] == ["conv1", "layer1.0.conv1", "fc"]
        assert last["mean"] == [80.0, 0.5, 0.1]

    def test_the_table_and_the_verdict_say_the_same_as_the_terminal(self, four):
        text = words(page(four)[0])
        assert "Degradation: plain-56 (2.00) has a higher training loss than plain-20" in text
        assert "plain-56 3 1,000 0.85M 2.00 ± 0.10 50.0% ± 2.5% 62.0% ± 0.0% a curve" in text

    def test_one_seed_has_no_spread(self, tmp_path):
        write_run(tmp_path, "ResNet-20", 1.4)
        assert embedded(page(tmp_path)[0])["ResNet-20"]["curves"]["training loss"]["std"] is None

    def test_seeds_that_recorded_other_steps_meet_at_those_in_common(self, four):
        path = four / "plain-20-seed1"
        write_records(path, [r for r in read_records(path) if r["step"] != 10])
        curve = embedded(page(four)[0])["plain-20"]["curves"]["training loss"]
        assert curve["steps"] == [5, *range(15, 81, 5)]
        assert np.shape(curve["runs"]) == (3, 15)


class TestIncompleteRuns:
    def test_an_unfinished_run_is_drawn_but_not_judged(self, four):
        write_run(four, "plain-20", 0.1, seed=7, finished=False)
        html, _ = page(four)
        line = embedded(html)["plain-20, seed 7 (not finished)"]
        assert line["curves"]["training loss"]["steps"][-1] == 40
        assert embedded(html)["plain-20"]["seeds"] == [0, 1, 2]
        assert "40 of 80 iterations" in words(html)

    def test_no_run_is_finished(self, tmp_path):
        write_run(tmp_path, "plain-20", 1.6, finished=False)
        assert "No run is finished yet, so there is no verdict." in words(page(tmp_path)[0])

    def test_a_run_that_has_just_begun(self, tmp_path):
        write_records(write_run(tmp_path, "plain-20", 1.6), [])
        html, _ = page(tmp_path)
        assert embedded(html)["plain-20, seed 0 (not finished)"]["curves"] == {}
        assert "0 of 80 iterations" in words(html)

    def test_a_run_that_diverged_says_so(self, tmp_path):
        path = write_run(tmp_path, "plain-20", 1.6, finished=False)
        why = {"kind": "diverged", "step": 41, "reason": "the loss is nan at iteration 41"}
        write_records(path, [*read_records(path), why])
        assert "41 of 80 iterations; the loss is nan" in words(page(tmp_path)[0])

    def test_nan_is_left_out_of_the_curves(self, tmp_path):
        path = write_run(tmp_path, "plain-20", 1.6)
        records = read_records(path)
        records[1]["loss"] = float("nan")
        write_records(path, records)
        assert embedded(page(tmp_path)[0])["plain-20"]["curves"]["training loss"]["mean"][0] is None

    def test_older_records_with_less_in_them(self, tmp_path, stills):
        path = write_run(tmp_path, "plain-20", 1.6)
        config = json.loads((path / "config.json").read_text())
        for key in ("parameters", "training_images", "test_images"):
            del config[key]
        config["recipe"] = {"name": "quick", "iterations": 80, "batch_size": 64}
        (path / "config.json").write_text(json.dumps(config))
        kept = [r for r in read_records(path) if r["kind"] != "gradients"]
        drop = ("seconds", "epoch", "test_loss", "lr")
        write_records(path, [{k: r[k] for k in r if k not in drop} for r in kept])
        html, notes = page(tmp_path)
        line = embedded(html)["plain-20"]
        assert line["per epoch"] is None
        assert set(line["curves"]["training loss"]["seconds"]) == {None}
        assert "plain-20 1 not recorded" in words(html)
        assert not notes


class TestWhatIsLeftOut:
    def test_a_damaged_run_is_named_and_the_others_are_shown(self, four):
        (four / "plain-20-seed0" / "config.json").write_text('{"network": "pla')
        path = four / "plain-56-seed0" / "records.jsonl"
        path.write_text("{broken\n" + path.read_text())
        html, notes = page(four)
        assert len(notes) == 2
        assert "plain-20-seed0/config.json is not valid JSON" in notes[0]
        assert "line 1 of" in notes[1]
        assert "is damaged" in notes[1]
        assert all(" ".join(note.split()) in words(html) for note in notes)
        assert embedded(html)["plain-20"]["seeds"] == [1, 2]

    def test_a_half_written_last_line_is_no_damage(self, four):
        with (four / "plain-20-seed0" / "records.jsonl").open("a") as file:
            file.write('{"kind": "inter')
        assert not page(four)[1]

    def test_a_foreign_config(self, four):
        (four / "other").mkdir()
        (four / "other" / "config.json").write_text('{"model": "bert"}')
        assert "is not the configuration of a minires run: it lacks network" in page(four)[1][0]

    def test_nothing_but_damage(self, tmp_path):
        path = write_run(tmp_path, "plain-20", 1.6)
        (path / "config.json").write_text("[]")
        with pytest.raises(ValueError, match="no run that can be read"):
            write_report([tmp_path])

    def test_a_folder_without_runs(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="holds no run: a run is a folder with config"):
            write_report([tmp_path])
        with pytest.raises(FileNotFoundError, match="is not a folder"):
            write_report([tmp_path / "nowhere"])

    def test_a_repeat_is_no_second_draw(self, four, tmp_path):
        shutil.copytree(four / "plain-20-seed0", tmp_path / "again" / "plain-20-seed0")
        html, notes = page(four, tmp_path / "again", out=tmp_path / "both.html")
        assert "repeats" in notes[0]
        assert embedded(html)["plain-20"]["seeds"] == [0, 1, 2]

    def test_a_folder_given_twice(self, four, tmp_path):
        html, notes = page(four, four, out=tmp_path / "both.html")
        assert not notes
        assert embedded(html)["plain-20"]["seeds"] == [0, 1, 2]


class TestConditions:
    def test_other_data_or_another_recipe_get_a_verdict_of_their_own(self, four, tmp_path):
        for name, loss in LOSSES.items():
            write_run(tmp_path / "drawings", name, loss - 1.0, data="drawings")
            write_run(tmp_path / "long", name, loss - 0.5, recipe={"momentum": 0.5})
        html, _ = page(four, tmp_path / "drawings", tmp_path / "long", out=tmp_path / "all.html")
        text = words(html)
        assert "made under 3 different conditions; they differ in data, recipe momentum." in text
        assert {"plain-56 [1]", "plain-56 [2]", "plain-56 [3]"} < set(embedded(html))
        for losses in ("(2.00)", "(1.00)", "(1.50)"):
            assert f"Degradation: plain-56 {losses}" in text

    def test_a_schedule_that_depends_on_the_depth_is_no_other_condition(self, tmp_path):
        for name, warm_up in (("plain-20", "none"), ("plain-110", "400")):
            write_run(tmp_path, name, 1.0, recipe={"schedule": warm_up, "record_every": 7})
        assert "different conditions" not in words(page(tmp_path)[0])


class TestSafety:
    def test_names_are_text_and_never_markup(self, tmp_path):
        evil = "</script><img src=x onerror=alert(1)>"
        write_run(tmp_path, "ResNet-20", 1.4, data=evil)
        html, _ = page(tmp_path)
        assert "<img src=x" not in html
        assert evil in words(html)

    def test_a_network_may_be_called_anything(self, tmp_path):
        path = write_run(tmp_path, "x", 1.4)
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps(config | {"network": "<b>&</script>"}))
        assert list(embedded(page(tmp_path)[0])) == ["<b>&</script>"]

    def test_nothing_is_asked_from_elsewhere(self, four):
        body = page(four)[0]
        charts = re.search(r'id="plotly">(.*?)</script>', body, re.S)[1]
        rest = body.replace(charts, "")
        assert re.findall(r'(?:src|href)="(?!data:|#)', rest) == []
        assert re.findall(r"url\(|@import|https?://", rest) == []

    def test_an_earlier_report_is_replaced_but_no_other_file(self, four, tmp_path):
        path, _ = write_report([four])
        assert path == four / "report.html"
        assert write_report([four])[0] == path
        mine = tmp_path / "homework.html"
        mine.write_text("<html>my own</html>")
        with pytest.raises(FileExistsError, match="is no report of minires: choose another name"):
            write_report([four], mine)
        assert mine.read_text() == "<html>my own</html>"

    def test_a_folder_in_the_way(self, four):
        with pytest.raises(IsADirectoryError, match="is a folder: name a file"):
            write_report([four], four)

    def test_a_page_that_a_teacher_can_mail(self, four, stills):
        html, _ = page(four)
        assert len(html) < 2_500_000
        assert html.count('<img class="still"') == 2


def write_picture(folder, name):
    (folder / "probes").mkdir(exist_ok=True)
    (folder / "probes" / f"{name}.png").write_bytes(PNG)


class TestProbes:
    def test_pictures_come_with_their_explanations(self, four):
        folder = four / "probes"
        folder.mkdir()
        (folder / "lesion.png").write_bytes(PNG)
        about = {"title": "Lesions", "what": "One block is <removed>.", "look_for": "Flat curves."}
        about |= {"source": "Veit et al. 2016", "found": ["It was 4%.", "It was 5%."]}
        (folder / "lesion.json").write_text(json.dumps(about))
        (folder / "zebra.png").write_bytes(PNG)
        (four / "plain-20-seed0" / "probes").mkdir()
        (four / "plain-20-seed0" / "probes" / "inner.png").write_bytes(PNG)
        html, notes = page(four)
        text = words(html)
        assert "Lesions One block is <removed>. Measured here: It was 4%. It was 5%. What" in text
        assert "What to look for: Flat curves. Veit et al. 2016 · from job/probes" in text
        assert "No explanation was stored with this picture. from job/probes/zebra.png" in text
        assert "plain-20-seed0/probes/inner.png" in text
        assert html.count('src="data:image/png;base64,') == 3
        assert not notes

    def test_they_come_in_the_order_of_the_lesson(self, four):
        for name in ("lesions", "abc", "vanishing", "propagation"):
            write_picture(four, name)
        order = re.findall(r"job/probes/(\w+).png", words(page(four)[0]))
        assert order == ["vanishing", "propagation", "lesions", "abc"]

    def test_what_is_no_picture_or_no_explanation_is_named(self, four):
        folder = four / "probes"
        folder.mkdir()
        (folder / "a.png").write_bytes(b"<svg>")
        (folder / "b.png").write_bytes(PNG)
        (folder / "b.json").write_text("{")
        (folder / "c.png").write_bytes(PNG[:50])
        _, notes = page(four)
        assert "a.png is not a whole PNG picture" in notes[0]
        assert "b.json is not valid JSON" in notes[1]
        assert "c.png is not a whole PNG picture" in notes[2]


class TestBesideThePaper:
    def test_the_papers_own_recipe_differs_in_little(self, tmp_path):
        recipe = PRESETS["paper"](110, 50_000).settings()
        config = {"network": "ResNet-110", "data": "CIFAR-10", "recipe": recipe}
        config |= {"training_images": 50_000, "test_images": 10_000}
        lines = {line.what: line.status for line in comparisons([Run(config, [])])}
        assert [what for what, status in lines.items() if status == "differs"] == ["input"]

    def test_the_quick_preset_differs_in_iterations_batch_and_rate(self):
        recipe = PRESETS["quick"](20, 50_000).settings()
        config = {"network": "ResNet-20 (B)", "data": "CIFAR-10 (a copy)", "recipe": recipe}
        differing = {
            c.what: c.here for c in comparisons([Run(config, [])]) if c.status == "differs"
        }
        assert differing["iterations"] == "480"
        assert differing["images"] == "CIFAR-10 (a copy)"
        assert differing["test images"] == "not recorded"
        assert differing["networks"] == "others as well: ResNet-20 (B)"
        assert differing["learning rate"] == (
            "in a straight line up during 96 iterations to 0.05; "
            "from iteration 96 on in a straight line to 0 at 480"
        )

    @pytest.mark.parametrize("preset", PRESETS)
    @pytest.mark.parametrize("depth", [20, 110])
    def test_every_schedule_has_words(self, preset, depth):
        schedule = PRESETS[preset](depth, 50_000).settings()["schedule"]
        assert "(" not in schedule_in_words(schedule)

    @pytest.mark.parametrize("schedule", ["Cosine(peak=1)", "<lambda>", "f", "os.remove('x')"])
    def test_an_unknown_schedule_is_shown_as_it_is(self, schedule):
        assert schedule_in_words(schedule) == schedule

    def test_no_number_is_made_up_for_a_plain_network(self):
        group = Group("plain-56", [])
        assert printed_test_error(group) == "a curve only (Fig. 6)"
        assert printed_test_error(Group("ResNet-56", [])) == "6.97%"
        assert printed_test_error(Group("ResNet-56 (B)", [])) == "none"
        assert printed_test_error(Group("ResNet-110 v2", [])) == "none"
        assert printed_test_error(Group("plain-34", [])) == "none"
        assert printed_test_error(Group("VGG-16", [])) == "none"


def test_a_run_does_not_show_what_it_was_pretrained_by(tmp_path):
    run = write_run(tmp_path, "ResNet-20", 0.5)
    write_run(run, "pretraining", 0.5)
    assert [found.config["network"] for found in find_runs([run])[0]] == ["ResNet-20"]
    assert len(find_runs([tmp_path])[0]) == 2


def test_a_folder_of_one_run_has_a_report_too(tmp_path):
    path = write_run(tmp_path, "ResNet-20", 1.4)
    html, _ = page(path)
    assert (path / "report.html").exists()
    assert "Training of ResNet-20" in words(html)


def test_the_command_that_made_a_folder_is_shown_without_the_users_paths(four):
    options = {"preset": "quick", "data": "auto", "data_dir": "/home/anna/data"}
    options |= {"depths": [20, 56], "seeds": [0, 1, 2]}
    (four / "options.json").write_text(json.dumps(options))
    html, _ = page(four)
    assert "--preset quick --data auto --data-dir FOLDER --depths 20,56 --seed 0 --seeds 3" in html
    assert "anna" not in html


def test_damaged_options_are_named(four):
    (four / "options.json").write_text('{"preset": "quick"}')
    assert "options.json" in page(four)[1][0]
