"""What a training shows: estimates, and plain lines where the output is no terminal."""

import io
import re

import pytest
from rich.console import Console

from minires.nn import summary
from minires.training.display import EVERY, FIRST, Display, plain_lines
from minires.training.pace import Pace, duration, images

from . import small


class Clock:
    """Stands still unless told."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def shown(trainers, seconds, *, terminal=False, **settings):
    """What is printed while each iteration takes so many seconds."""
    clock, file = Clock(), io.StringIO()
    display = Display(
        Console(file=file, force_terminal=terminal, width=100), clock=clock, **settings
    )

    def watch(trainer):
        clock.now += seconds
        display.watch(trainer)

    with display:
        display.add(trainers)
        for trainer in trainers:
            trainer.watch = watch
            trainer.run()
    return file.getvalue()


def test_no_terminal_gets_a_plain_line_every_half_minute(tmp_path):
    trainer = small.trainer(tmp_path / "net")
    lines = shown([trainer], 7.0).splitlines()
    assert EVERY == 30
    told = [re.match(r"net: iteration (\d+) of 20, ", line) for line in lines]
    assert [int(match[1]) for match in told if match] == [5, 10, 15, 20]
    assert re.fullmatch(
        r"net: iteration 10 of 20, loss \d\.\d\d, \d+ images/s, 7\d s left", lines[2]
    )
    assert re.fullmatch(r"net: iteration 20 of 20, loss \d\.\d\d, \d+ images/s", lines[-1])


def test_a_short_training_says_only_that_it_has_ended(tmp_path):
    trainers = [small.trainer(tmp_path / name) for name in "ab"]
    lines = shown(trainers, 0.01).splitlines()
    assert [line[:24] for line in lines] == ["a: iteration 20 of 20, l", "b: iteration 20 of 20, l"]


def test_the_time_left_is_told_once_after_the_first_seconds(tmp_path):
    """Two networks of 20 iterations of 7 s; the first two iterations count for nothing."""
    trainers = [small.trainer(tmp_path / name, evaluate_every=20) for name in "ab"]
    lines = shown(trainers, 7.0).splitlines()
    assert FIRST < 7
    assert lines[0] == "By the first iterations, about 4 min are left."
    assert sum("By the first" in line for line in lines) == 1
    assert lines[1].endswith("left, 4 min left for all")


def test_where_next_to_nothing_is_left_nothing_is_estimated(tmp_path):
    """Three iterations of 7 s; the third is the first that counts."""
    text = shown([small.trainer(tmp_path / "net", iterations=3)], 7.0)
    assert "net: iteration 3 of 3" in text
    assert "By the first" not in text


@pytest.mark.parametrize("terminal", [False, True])
def test_trainers_that_nobody_knows_beforehand_get_plain_lines(tmp_path, terminal):
    file = io.StringIO()
    watch = plain_lines(Console(file=file, force_terminal=terminal, width=100))
    for name in "ab":
        small.trainer(tmp_path / name, iterations=3, watch=watch).run()
    told = re.findall(r"^(\w): iteration 3 of 3, loss \d", file.getvalue(), re.MULTILINE)
    assert told == ([] if terminal else ["a", "b"])


def test_a_network_among_others_has_no_speed_of_its_own(tmp_path):
    trainers = [small.trainer(tmp_path / name) for name in "ab"]
    lines = shown(trainers, 7.0, side_by_side=True).splitlines()
    assert re.fullmatch(r"a: iteration 10 of 20, loss \d\.\d\d, \d min left for all", lines[2])


def test_a_terminal_gets_bars_and_the_estimate_but_no_lines(tmp_path):
    text = shown([small.trainer(tmp_path / "net")], 7.0, terminal=True)
    assert "about 2 min are left" in text
    assert "net: iteration" not in text
    assert "━" in text


class TestPace:
    def test_a_deep_networks_iterations_cost_more(self, tmp_path):
        shallow, deep = small.trainer(tmp_path), small.trainer(tmp_path, depth=14)
        clock = Clock()
        pace = Pace([shallow, deep], clock)
        for shallow.step in range(1, 7):
            clock.now += 1
            pace.note(shallow)
        assert pace.left(shallow) == pytest.approx(14, rel=0.2)
        costs = [summary(t.model).multiply_adds for t in (shallow, deep)]
        assert pace.left(deep) / 20 == pytest.approx(costs[1] / costs[0], rel=0.2)
        assert costs[1] > 1.5 * costs[0]
        assert pace.left() == pytest.approx(pace.left(shallow) + pace.left(deep))

    def test_compiling_is_left_out(self, tmp_path):
        trainer, clock = small.trainer(tmp_path, evaluate_every=20), Clock()
        pace = Pace([trainer], clock)
        for trainer.step, seconds in enumerate([60, 30, 1, 1, 1], 1):
            clock.now += seconds
            pace.note(trainer)
        assert 15 < pace.left() < 16

    def test_an_earlier_sessions_iterations_have_no_pace(self, tmp_path):
        trainer, clock = small.trainer(tmp_path, evaluate_every=20), Clock()
        pace = Pace([trainer], clock)
        for trainer.step in range(11, 15):
            clock.now += 1
            pace.note(trainer)
        assert 6 < pace.left() < 7

    def test_evaluations_count(self, tmp_path):
        """After 7, 14 and 20 iterations of 16 images, on 30 images."""
        trainer = small.trainer(tmp_path)
        assert [images(trainer, step) for step in (6, 7, 20)] == [288, 336 + 30, 960 + 90]

    def test_nobody_can_tell_before_the_first_iterations(self, tmp_path):
        trainer = small.trainer(tmp_path)
        assert duration(Pace([trainer]).left()) == "not recorded"


class Waiting:
    """Stands for the replay of a trainer on a GPU, where iterations are only launched."""

    on_gpu = True


def test_on_a_gpu_the_clock_is_read_where_the_host_has_waited(tmp_path):
    rhythm = {"record_every": 4, "evaluate_every": 20, "checkpoint_every": 20}
    trainer, clock = small.trainer(tmp_path, **rhythm), Clock()
    trainer.replay = Waiting()
    pace = Pace([trainer], clock)
    for trainer.step in range(1, 12):
        clock.now += 4 if trainer.step % 4 == 0 else 0
        pace.note(trainer)
    assert pace.measured[0] == 4
    assert pace.left() == pytest.approx(9, rel=0.1)


def test_a_notebook_gets_lines(tmp_path, monkeypatch):
    """As its cells show them; bars would need a package more."""
    display, said = Display(Console(force_jupyter=True), clock=(clock := Clock())), []
    monkeypatch.setattr(display, "say", said.append)
    trainer = small.trainer(tmp_path / "net", watch=display.watch)
    with display:
        display.add([trainer])
        for _ in trainer.iterations():
            clock.now += 7
    assert said[0].startswith("By the first iterations, about ")
    assert said[-1].startswith("net: iteration 20 of 20, loss ")
