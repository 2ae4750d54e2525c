"""What can be known of several ranks with one process alone."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from minires import cli
from minires.distributed import ALONE, launcher, place, rank_name, world
from minires.distributed.launcher import LAUNCHERS, Place
from minires.distributed.shards import Shards, largest_group
from minires.distributed.tree import Tree, tree_sum
from minires.distributed.watch import seconds_of
from minires.models import cifar_resnet
from minires.nn import BatchNorm2d, Dropout, Linear, Sequential
from minires.training import evaluate_split
from minires.training.checkpoints import load_checkpoint
from minires.training.dealing import deal, plan
from minires.training.display import Display
from tests.helpers import relative_error
from tests.training.small import RECIPE, ROOT, dataset, same, state, trainer

OPEN_MPI, MPICH, SLURM = LAUNCHERS


class Pretended:
    """Rank `rank` of `size`, for what needs no other."""

    def __init__(self, rank, size):
        self.rank, self.size = rank, size

    def agree(self, what, value):
        pass


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in sum(LAUNCHERS, ()):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("names", LAUNCHERS)
def test_the_environment_says_who_one_is(names, monkeypatch):
    for name, value in zip(names, "431", strict=True):
        monkeypatch.setenv(name, value)
    assert place() == Place(rank=3, size=4, local_rank=1)


def test_lists_name_all_ranks_of_a_run(monkeypatch):
    assert rank_name(1) == ""
    for name, value in zip(MPICH, "420", strict=True):
        monkeypatch.setenv(name, value)
    assert rank_name().startswith("rank 2 on ")
    assert rank_name(2).startswith("ranks 2 to 3 on ")


def test_a_batch_script_of_slurm_is_one_process(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert place() == Place()


def program(code, **settings):
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": "", **settings},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_launcher_mpi_is_never_imported():
    done = program(
        "import sys, minires.experiments, minires.training.dealing; "
        "from minires.distributed import world; print(world().size, 'mpi4py' in sys.modules)"
    )
    assert done.stdout == "1 False\n", done.stderr


def test_a_launcher_without_mpi4py_gets_a_sentence():
    code = "import sys; sys.modules['mpi4py'] = None; import minires.distributed as d; d.world()"
    done = program(code, PMI_SIZE="4", PMI_RANK="0")
    assert "a launcher has started 4 processes, but mpi4py can't be used" in done.stderr


def test_one_process_that_open_mpi_has_tied_to_a_core_is_told(monkeypatch, capsys):
    monkeypatch.setattr(launcher, "available_cores", lambda: {3})
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert world.__wrapped__() is ALONE
    assert not capsys.readouterr().err
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "1")
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "0")
    assert world.__wrapped__() is ALONE
    assert "tied each process to one core and leaves 7 unused" in capsys.readouterr().err
    launcher.tell_of_unused_cores([{0, 1}, {2, 3}])  # they have two each
    launcher.tell_of_unused_cores([{number} for number in range(5)])  # too few for another each
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [("train", "--data", "."), ("train-detector", "--data", ".", "--out", "runs")]
)
def test_commands_that_train_one_network_take_one_process(arguments, monkeypatch):
    for name, value in zip(MPICH, "200", strict=True):
        monkeypatch.setenv(name, value)
    failure = CliRunner().invoke(cli.app, arguments).exception
    assert str(failure).startswith(
        f"minires {arguments[0]} runs in one process, but a launcher has started 2: leave mpiexec"
    )


def test_of_several_processes_that_are_refused_one_says_so():
    code = "from minires.distributed import one_process_only; one_process_only('this')"
    texts = [program(code, PMI_SIZE="2", PMI_RANK=rank).stderr for rank in "01"]
    assert "ValueError: this runs in one process" in texts[0]
    assert not texts[1]


def test_no_file_but_one_imports_mpi4py_and_none_forks():
    for path in (ROOT / "minires").glob("**/*.py"):
        text = path.read_text(encoding="utf-8")
        assert ("from mpi4py" in text) == (path.name == "mpi.py"), path
        assert not any(word in text for word in ("import multiprocessing", "os.fork(")), path


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_vectors_one_by_one_and_all_at_once_have_one_sum(count, rng):
    rows = (rng.standard_normal((count, 99)) * 10 ** rng.uniform(-3, 3, (count, 1))).astype("f4")
    tree = Tree()
    for row in rows:
        tree.add(row.copy())
    assert tree.root().tobytes() == tree_sum(rows).tobytes()
    for ranks in (1, 2, 4):
        if ranks <= count:
            blocks = np.stack([tree_sum(block) for block in np.split(rows, ranks)])
            assert tree_sum(blocks).tobytes() == tree_sum(rows).tobytes()


def test_a_sum_in_the_order_of_rows_has_other_bits(rng):
    rows = (rng.standard_normal((8, 999)) * 10 ** rng.uniform(-3, 3, (8, 1))).astype("f4")
    assert (tree_sum(rows) != np.add.accumulate(rows)[-1]).any()


def one_step(shards, folder, **changes):
    run = trainer(folder, shards=shards, batch_size=32, weight_decay=0.1, **changes)
    for _, module in run.model.named_modules():
        if isinstance(module, BatchNorm2d):
            module.eval()
    run.begin()
    run.train_step()
    return run


@pytest.mark.parametrize(
    ("dtype", "most", "moved"), [(np.float32, 1e-6, 1e-6), (np.float64, 1e-14, 1e-13)]
)
def test_with_frozen_batch_norm_shards_are_the_whole_batch(dtype, most, moved, tmp_path):
    whole, parts = (one_step(count, tmp_path / str(count), dtype=dtype) for count in (1, 4))
    for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        assert relative_error(b.grad, a.grad) < 10 * most
        assert relative_error(b.data, a.data) < moved
    a, b = (run.records.since_record for run in (whole, parts))
    assert (b.images, b.wrong) == (a.images, a.wrong)
    assert b.loss_sum == pytest.approx(a.loss_sum, rel=1e-6)
    a, b = (np.concatenate([g.ravel() for g in r.optimizer.gradients()]) for r in (whole, parts))
    assert np.linalg.norm(a - b) < most * np.linalg.norm(a)
    assert same(
        {k: v for k, v in state(whole).items() if "running" in k},
        {k: v for k, v in state(parts).items() if "running" in k},
    )


def test_running_statistics_follow_the_mean_over_shards(tmp_path):
    run = trainer(tmp_path, shards=2, batch_size=8)
    norm, before = run.model.bn1, run.model.bn1.running_var.copy()
    images, _ = run.batches.batch(0)
    run.begin()
    halves = [run.model.conv1(images_of(half)).data for half in np.split(images, 2)]
    means = [half.mean((0, 1, 2)) for half in halves]
    variances = [half.var((0, 1, 2), ddof=1) for half in halves]
    run.train_step()
    assert relative_error(norm.running_mean, 0.1 * np.mean(means, 0)) < 1e-5
    assert relative_error(norm.running_var, 0.9 * before + 0.1 * np.mean(variances, 0)) < 1e-5
    assert norm.momentum == 0.1


def images_of(array):
    from minires import Tensor

    return Tensor(np.ascontiguousarray(array))


def test_each_shard_has_a_dropout_mask_of_its_own_on_whichever_rank():
    def masks(rank, ranks):
        layer = Dropout(0.5, seed=3)
        model = Sequential(Linear(2, 2), layer)
        shards = Shards(model, [], 4, 8, Pretended(rank, ranks))
        found = []
        for shard in shards.own:
            with shards.alone(shard, []):
                found.append(layer(images_of(np.ones((2, 50), np.float32))).data)
        shards.count_batches()
        return found, int(layer.batches[0])

    alone, counted = masks(0, 1)
    first, second = (masks(rank, 2) for rank in range(2))
    assert counted == first[1] == second[1] == 4
    assert [m.tobytes() for m in alone] == [m.tobytes() for m in first[0] + second[0]]
    assert len({m.tobytes() for m in alone}) == 4


def test_a_run_without_shards_says_nothing_of_them(tmp_path):
    assert "shards" not in trainer(tmp_path).identity["recipe"]
    assert trainer(tmp_path, shards=2).identity["recipe"]["shards"] == 2


def test_a_checkpoint_of_other_shards_is_refused(tmp_path):
    trainer(tmp_path, shards=2, iterations=1).run()
    assert load_checkpoint(tmp_path / "checkpoint.safetensors")
    with pytest.raises(ValueError, match="belongs to another run"):
        trainer(tmp_path, iterations=1).resume()


def test_ranks_share_an_evaluation_and_its_bits_stay():
    class Shared(Pretended):
        def exchange(self, value):
            return [value] if self.size == 1 else [parts[rank] for rank in range(self.size)]

    model, data, parts = cifar_resnet(8), dataset(test=65), {}
    settings = {"batch_size": 10}
    expected = evaluate_split(model, data, **settings)
    assert expected.images == 65

    class Noting(Pretended):
        def exchange(self, value):
            parts[self.rank] = value
            return [value]

    for rank in range(3):
        evaluate_split(model, data, world=Noting(rank, 3), **settings)
    assert evaluate_split(model, data, world=Shared(0, 3), **settings) == expected


@pytest.mark.parametrize(
    ("shards", "batch", "ranks", "sentence"),
    [
        (3, 12, 1, "shards must be a power of two"),
        (8, 12, 1, "8 shards don't divide a batch of 12 images into parts of 2 or more"),
        (8, 8, 1, "into parts of 2 or more"),
        (4, 16, 3, "4 shards can't be computed by 3 ranks alike"),
        (2, 16, 4, "at most 2"),
    ],
)
def test_numbers_that_do_not_fit_get_a_sentence(shards, batch, ranks, sentence):
    if ranks == 1:  # before there is a folder
        with pytest.raises(ValueError, match=sentence):
            dataclasses.replace(RECIPE, shards=shards, batch_size=batch)
    with pytest.raises(ValueError, match=sentence):
        Shards(cifar_resnet(8), [], shards, batch, Pretended(0, ranks))


@pytest.mark.parametrize(
    ("shards", "ranks", "size"), [(1, 4, 1), (4, 4, 4), (4, 3, 2), (2, 8, 2), (8, 6, 4)]
)
def test_ranks_form_the_largest_groups_that_can_share_a_run(shards, ranks, size):
    assert largest_group(shards, ranks) == size


def test_the_longest_runs_are_dealt_first():
    assert deal([1, 3, 1, 3], 2) == [[1, 0], [3, 2]]
    assert deal([9, 1, 1, 1], 2) == [[0], [1, 2, 3]]
    assert deal([1], 2) == [[0], []]


def test_the_plan_names_ranks_and_runs(tmp_path):
    runs = [trainer(tmp_path / f"net{depth}", depth=depth, shards=2) for depth in (8, 14)]
    assert plan(Pretended(0, 5), runs) == (
        "Ranks 0 to 1: net14.\nRanks 2 to 3: net8.\nRank 4: left over, since 2 ranks train a run."
    )


def test_the_display_takes_a_run_that_goes_on_elsewhere(tmp_path):
    made, now = [trainer(tmp_path / str(i)) for i in range(2)], [0.0]
    display = Display(clock=lambda: now[0])
    display.add(made)
    for step in (2, 4, 12):
        now[0] += step
        for run in made:
            run.step, run.seconds = step, now[0]
            display.watch(run)
    assert display.pace.done() == sum(display.pace.done(run) for run in made)
    assert display.pace.measured[1] <= display.pace.done()


def test_a_single_process_is_a_world():
    assert ALONE.share(lambda: 3) == ALONE.in_turn(lambda: 3) == 3
    assert ALONE.group(1) is ALONE
    assert ALONE.exchange("x") == ["x"]
    assert not list(ALONE.reports())


@pytest.mark.parametrize(("given", "taken"), [("", ""), ("-1", "-1"), ("4,7", "7")])
def test_a_process_takes_no_gpu_that_it_may_not(given, taken, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    monkeypatch.setattr(launcher.Path, "glob", lambda *_: iter([Path("/dev/nvidia0")]))
    launcher.take_gpu(1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == taken
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    launcher.take_gpu(1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "1 h"])
def test_patience_is_a_number_of_seconds(text):
    assert (seconds_of(""), seconds_of("90"), seconds_of("0.5")) == (1800, 90, 0.5)
    with pytest.raises(ValueError, match=f"must be a number of seconds, but is '{text}'"):
        seconds_of(text)
