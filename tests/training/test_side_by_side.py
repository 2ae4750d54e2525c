"""Networks that take turns learn what each learns alone, bit for bit."""

import dataclasses
import os
import signal

import pytest
from minires.kernels.cuda import launch
from minires.kernels.devices import is_cuda

from minires.training import DivergedError, InterruptedTraining, run_side_by_side
from minires.training.side_by_side import take_turns
from tests.cuda import fake_cupy
from tests.device import is_real, quick_gpu

from . import small
from .test_replay import trainer

SEEDS = (0, 1)


def pair(folder, make=small.trainer, **settings):
    return [make(folder / str(seed), seed=seed, **settings) for seed in SEEDS]


def left_by(trainers):
    return [(small.state(t), small.records(t.folder)) for t in trainers]


def assert_same(trainers, others):
    for (state, records), (expected, expected_records) in zip(
        left_by(trainers), left_by(others), strict=True
    ):
        assert records == expected_records
        assert small.same(state, expected)


def of_full_size(folder, seed):
    """ResNet-20 with batches of 128 images, on the GPU."""
    made = small.trainer(folder, depth=20, seed=seed, data=small.dataset(train=1000))
    recipe = dataclasses.replace(made.recipe, iterations=60, batch_size=128, record_every=20)
    settings = {"folder": folder, "seed": seed, "name": "net", "device": "cuda"}
    return type(made)(made.model, made.dataset, recipe, **settings)


class TestInTurns:
    def test_everybody_gets_an_iteration(self, tmp_path):
        turns = []
        trainers = pair(tmp_path, watch=lambda t: turns.append(t.batches.seed), iterations=3)
        assert take_turns(trainers) == []
        assert turns == [0, 1] * 3

    def test_gives_what_each_alone_gives(self, tmp_path):
        trainers, alone = pair(tmp_path / "turns"), pair(tmp_path / "alone")
        take_turns(trainers)
        for one in alone:
            one.run()
        assert_same(trainers, alone)

    def test_a_stop_saves_all_and_the_same_call_goes_on(self, tmp_path):
        def interrupt(trainer):
            if (trainer.step, trainer.batches.seed) == (8, 0):
                os.kill(os.getpid(), signal.SIGINT)

        first, whole = pair(tmp_path / "parts", watch=interrupt), pair(tmp_path / "whole")
        with pytest.raises(InterruptedTraining) as stopped:
            take_turns(first)
        assert str(stopped.value).count("stopped after 8 of 20 iterations; saved in") == 2
        steps = []
        second = pair(tmp_path / "parts", watch=lambda trainer: steps.append(trainer.step))
        take_turns(second)
        assert steps[:2] == [9, 9]
        take_turns(whole)
        assert_same(second, whole)

    def test_who_diverges_drops_out(self, tmp_path):
        wild, tame = small.trainer(tmp_path / "wild", schedule=lambda step: 1e20), pair(tmp_path)[1]
        faults = take_turns([wild, tame])
        assert [type(fault) for fault in faults] == [DivergedError]
        assert tame.step == 20
        assert not (tmp_path / "wild" / "running").exists()


def test_on_a_cpu_they_run_in_order(tmp_path):
    turns = []
    run_side_by_side(pair(tmp_path, watch=lambda t: turns.append(t.batches.seed), iterations=3))
    assert turns == [0] * 3 + [1] * 3


def test_divergence_is_told_at_the_end(tmp_path):
    trainers = [small.trainer(tmp_path / "wild", schedule=lambda step: 1e20), *pair(tmp_path)]
    with pytest.raises(DivergedError, match="Try a smaller learning rate"):
        run_side_by_side(trainers)
    assert [t.step for t in trainers[1:]] == [20, 20]


@pytest.mark.cuda
class TestOnAGPU:
    @pytest.fixture(autouse=True)
    def device(self):
        with quick_gpu() as cupy:
            yield cupy

    def test_gives_what_each_alone_gives(self, tmp_path):
        trainers, alone = pair(tmp_path / "turns", trainer), pair(tmp_path / "alone", trainer)
        run_side_by_side(trainers)
        for one in alone:
            one.run()
        assert_same(trainers, alone)
        assert not any(one.replay.graphs for one in trainers)

    @pytest.mark.skipif(not is_real(), reason="the stand-in does one thing at a time")
    def test_networks_whose_kernels_overlap_give_the_same_bits(self, tmp_path):
        trainers, alone = (
            [of_full_size(tmp_path / place / str(seed), seed) for seed in range(4)]
            for place in ("together", "alone")
        )
        run_side_by_side(trainers)
        for one in alone:
            one.run()
        assert_same(trainers, alone)

    @pytest.mark.skipif(is_real(), reason="only the stand-in tells what a kernel works on")
    def test_recordings_of_two_networks_have_no_memory_in_common(self, tmp_path, monkeypatch):
        """Else kernels that run at once would overwrite it: counters of arrivals, above all."""
        trainers = pair(tmp_path, trainer)
        used = {one: set() for one in trainers}
        function, turn = launch.function, []

        def noting(*names):
            def start(grid, threads, arguments, **settings):
                if fake_cupy.machine.recording is not None:
                    used[turn[-1]] |= {a.data.ptr for a in arguments if is_cuda(a)}
                function(*names)(grid, threads, arguments, **settings)

            return start

        def announcing(one, step):
            return lambda: (turn.append(one), step())

        monkeypatch.setattr(launch, "function", noting)
        for one in trainers:
            monkeypatch.setattr(one, "train_step", announcing(one, one.train_step))
        run_side_by_side(trainers)
        assert all(len(addresses) > 50 for addresses in used.values())
        assert not set.intersection(*used.values())

    def test_each_has_a_stream_of_its_own(self, tmp_path, device):
        streams = {seed: set() for seed in SEEDS}

        def note(trainer):
            streams[trainer.batches.seed].add(device.cuda.get_current_stream().ptr)

        run_side_by_side(pair(tmp_path, trainer, watch=note))
        assert all(len(own) == 1 for own in streams.values())
        assert len(set.union(*streams.values()) - {0}) == len(SEEDS)
