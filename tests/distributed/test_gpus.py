"""Several GPUs, a rank each: NCCL's calls, on a stand-in; `pytest -m gpu` takes two real ones.

One real GPU is enough for the tests of a single rank, whose sums go through NCCL all the same.
"""

import importlib
import importlib.util

import pytest

from minires.distributed import ALONE, Alone
from minires.distributed.nccl import Nccl, refuse_shared_gpus, why_no_nccl
from minires.distributed.tree import tree_sum
from tests.cuda.fake_cupy import nccl as stand_in
from tests.device import gpu, is_real
from tests.training import small

from .test_ranks import MPIEXEC, start
from .test_shards_on_gpu import trained

GPUS = "0,1,2,3"  # what ranks choose from; real ones are there already


def why_not_two():
    """Why there are no two ranks with a GPU each, or an empty string."""
    if MPIEXEC is None or importlib.util.find_spec("mpi4py") is None:
        return "several ranks need mpi4py and mpiexec: pip install mpi4py mpich"
    if not is_real():
        return ""
    count = importlib.import_module("cupy").cuda.runtime.getDeviceCount()
    return why_no_nccl() or (f"two GPUs are needed, but there is {count}" if count < 2 else "")


pytestmark = pytest.mark.cuda


@pytest.fixture
def two():
    if reason := why_not_two():
        pytest.skip(reason)


def run(ranks, name, folder, **settings):
    settings = {} if is_real() else {"CUDA_VISIBLE_DEVICES": GPUS} | settings
    return start(ranks, "-m", "tests.distributed.gpu_job", name, folder, **settings)


# ---------------------------------------------------------------------------------- one rank


class OnNccl(Alone):
    """A single rank, whose sums go through NCCL all the same."""

    def __init__(self):
        self.nccl = Nccl(ALONE)
        self.sum, self.gather = self.nccl.sum, self.nccl.gather

    def hang_up(self, failure=None, *_):
        self.nccl.close(failed=failure is not None)


@pytest.fixture
def one():
    """A GPU with NCCL."""
    with gpu() as cupy:
        if reason := why_no_nccl():
            pytest.skip(reason)
        yield cupy


def test_a_single_rank_sums_through_nccl(one, rng):
    line = Nccl(ALONE)
    for dtype in ("f4", "f8"):
        array = rng.standard_normal((3, 5)).astype(dtype)
        ours = one.asarray(array)
        assert line.sum(ours.reshape(-1)).get().tobytes() == array.tobytes()
        assert line.gather(ours).get().tobytes() == array.tobytes()
    line.close(failed=False)


def test_a_training_through_nccl_is_replayed_with_the_same_bits(one, tmp_path):
    def through_nccl(made):
        made.world = OnNccl()

    expected, records = trained(tmp_path / "alone")
    ours, our_records = trained(tmp_path / "nccl", act=through_nccl)
    assert small.same(ours, expected)
    assert our_records == records
    assert is_real() or stand_in._made[-1]._state == "destroyed"


def test_a_missing_nccl_has_a_sentence(monkeypatch):
    with gpu() as cupy:
        monkeypatch.setattr(importlib.import_module("cupy.cuda.nccl"), "available", False)
        with pytest.raises(ValueError, match="need NCCL, which CuPy does not find: pip install"):
            Nccl(ALONE)
        assert cupy


# ------------------------------------------------------------------------------- several ranks


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4])
def test_a_world_of_gpus(ranks, two, tmp_path):
    if is_real() and ranks > 2:
        pytest.skip("two GPUs are enough")
    code, text = run(ranks, "calls", tmp_path)
    assert code == 0, text
    assert text.count("is right") == ranks


@pytest.mark.slow
def test_two_gpus_have_the_bits_of_one_stopped_and_resumed_between(two, tmp_path):
    with gpu():
        trained(tmp_path / "whole")
    code, text = run(2, "stopped", tmp_path / "parts")
    assert code == 0, text
    assert text.count("stopped after 5") == 2
    code, text = run(2, "whole", tmp_path / "parts")
    assert code == 0, text
    arrays, records = (
        [read(tmp_path / name) for name in ("whole", "parts")]
        for read in (small.files_arrays, small.records)
    )
    assert small.same(*arrays)
    assert records[0] == records[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("watched", "net trains without replay: fc (Linear) is watched by a hook"),
        ("fail", "RuntimeError: planted\nminires: rank 1 of 2 has failed"),
    ],
)
def test_what_concerns_one_rank_concerns_all(name, sentence, two, tmp_path):
    code, text = run(2, name, tmp_path)
    assert (code == 0) == (name == "watched"), text
    assert text.count(sentence) == (2 if name == "watched" else 1), text


@pytest.mark.slow
@pytest.mark.skipif(is_real(), reason="a real GPU hangs where the stand-in tells")
def test_calls_that_differ_between_ranks_are_found(two, tmp_path):
    code, text = run(2, "unequal", tmp_path)
    assert code != 0
    assert "Misuse" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["whole", "dealt"])
def test_ranks_with_the_same_gpu_get_a_sentence(name, two, tmp_path):
    if is_real():
        pytest.skip("about fewer GPUs than ranks")
    code, text = run(2, name, tmp_path, CUDA_VISIBLE_DEVICES="0")
    assert code != 0
    assert "ranks 0 and 1 have the same GPU of" in text
    assert "start at most 1 there (mpiexec -n)" in text


def test_gpus_of_two_machines_are_not_shared(one):
    class Ranks(Alone):
        def exchange(self, value):
            return [value, ("another", value[1])]

    refuse_shared_gpus(Ranks())
    assert tree_sum(one.ones((2, 3))).get().tolist() == [2, 2, 2]
