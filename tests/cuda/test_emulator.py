"""The emulator finds each kind of mistake, and runs right kernels in every order."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .emulator import Argument, BuildError, KernelError, TranslationError, build, load, module

FOLDER = Path(__file__).parent
NAMES = ("transpose<float, 16>", "transpose<double, 4>", "packs<4>")
ORDERS = (0, 1, 7)


def right(mode):
    return load((FOLDER / "right.cu").read_text(), NAMES, (), mode, "right.cu")


def mistakes(mode):
    return load((FOLDER / "mistakes.cu").read_text(), (), (), mode, "mistakes.cu")


def numbers(n=64, dtype=np.float32):
    return np.random.default_rng(1).uniform(1, 2, n).astype(dtype)


def aligned(n, dtype):
    raw = np.empty(n * np.dtype(dtype).itemsize + 16, np.uint8)
    start = -raw.ctypes.data % 16
    return raw[start : start + n * np.dtype(dtype).itemsize].view(dtype)


@pytest.fixture(params=["fast", "check"])
def kernels(request):
    return right(request.param)


@pytest.fixture(params=ORDERS)
def order(request):
    return request.param


# ------------------------------------------------------------------------ right kernels


@pytest.mark.parametrize(
    ("name", "rows"), [("transpose<float, 16>", 16), ("transpose<double, 4>", 4)]
)
@pytest.mark.parametrize("shape", [(5, 3), (16, 16), (37, 23)])
def test_transpose(kernels, order, name, rows, shape):
    height, width = shape
    x = numbers(height * width, np.float64 if "double" in name else np.float32).reshape(shape)
    y = np.full((width, height), np.nan, x.dtype)
    grid = (-(-width // 16), -(-height // 16), 1)
    arguments = [x, y, np.int32(height), np.int32(width)]
    kernels[name].launch(grid, (16, rows, 1), arguments, seed=order)
    np.testing.assert_array_equal(y, x.T)


def test_sum_through_shuffles_and_dynamic_shared_memory(kernels, order):
    x, total = aligned(1000, np.float32), np.zeros(1, np.float32)
    x[:] = numbers(1000)
    used = kernels["sum"].launch(
        (1, 1, 1), (128, 1, 1), [x, total, np.int32(250)], shared=16, seed=order
    )
    np.testing.assert_allclose(total[0], x.sum(dtype=np.float64), rtol=1e-6)
    assert used == 16


def test_histogram_through_atomics(kernels, order):
    x = np.random.default_rng(2).integers(0, 11, 999).astype(np.int32)
    counts = np.zeros(11, np.int32)
    arguments = [x, counts, np.int32(999), np.int32(11)]
    kernels["histogram"].launch((5, 1, 1), (64, 1, 1), arguments, shared=44, seed=order)
    np.testing.assert_array_equal(counts, np.bincount(x, minlength=11))


def test_constants_and_doubles(kernels, order):
    x, y = numbers(100), np.zeros(100)
    kernels["smooth"].launch((4, 1, 1), (32, 1, 1), [x, y, np.int64(100)], seed=order)
    expected = np.convolve(x.astype(np.float64), [0.25, 0.5, 0.25], "same")
    np.testing.assert_allclose(y[1:-1], expected[1:-1], rtol=1e-12)


def test_warp_operations(kernels, order):
    y, lane = np.zeros((64, 8), np.int32), np.arange(64) % 32
    kernels["lanes"].launch((1, 1, 1), (64, 1, 1), [y], seed=order)
    expected = [
        np.full(64, 5),
        np.where(lane >= 3, lane - 3, lane),
        np.where(lane % 8 < 5, lane + 3, lane),
        lane ^ 9,
        np.full(64, sum(1 << i for i in range(0, 32, 3))),
        np.full(64, 3),
        np.where(lane < 8, lane ^ 1, -1),
        np.full(64, 14),
    ]
    np.testing.assert_array_equal(y, np.stack(expected, 1).astype(np.int32))


def test_barriers_that_vote(kernels, order):
    y = np.zeros(96, np.int32)
    kernels["predicates"].launch((1, 1, 1), (96, 1, 1), [y], seed=order)
    assert set(y) == {1}


def test_a_synchronised_warp_is_ordered(kernels, order):
    x, y = numbers(), np.zeros(64, np.float32)
    kernels["neighbours"].launch((1, 1, 1), (64, 1, 1), [x, y], seed=order)
    np.testing.assert_array_equal(y, x[np.arange(64) ^ 1])


@pytest.mark.parametrize("name", ["last_block_adds", "one_thread_fences", "last_group_adds"])
def test_the_last_block_may_read_what_all_have_left(kernels, order, name):
    x, parts, counters = numbers(6 * 64), np.zeros(6 * 64, np.float32), np.zeros(4, np.int32)
    y, size = np.zeros(64, np.float32), [np.int32(2)] * (name == "last_group_adds")
    for _ in range(2):  # the counters are left as they were
        kernels[name].launch((6, 1, 1), (64, 1, 1), [x, parts, counters, y, *size], seed=order)
        np.testing.assert_allclose(y, x.reshape(6, 64).sum(0), rtol=1e-6)
        y[:] = 0


def test_grids_and_blocks_of_three_dimensions(kernels, order):
    y = np.zeros((30, 24), np.int32)
    kernels["places"].launch((2, 3, 5), (4, 3, 2), [y], seed=order)
    np.testing.assert_array_equal(y, np.arange(30)[:, None] * 1000 + np.arange(24))


def test_neighbouring_bytes_do_not_race(kernels, order):
    x, y = np.arange(200, dtype=np.uint8), np.zeros(200, np.uint8)
    kernels["bytes"].launch((1, 1, 1), (200, 1, 1), [x, y, np.bool_(True)], seed=order)
    np.testing.assert_array_equal(y, 255 - x)


def test_denormal_numbers_are_zero_as_under_ftz(kernels):
    x, y = np.full(4, 1e-10, np.float32), np.ones(4, np.float32)
    kernels["tiny"].launch((1, 1, 1), (4, 1, 1), [x, y])
    assert set(y) == {0}


def test_a_kernels_parameters_come_from_the_compiler():
    parameters = right("fast")["sum"].parameters
    assert [(p.name, p.code, p.pointer, p.const) for p in parameters] == [
        ("x", "f4x4", True, True),
        ("total", "f4", True, False),
        ("packs", "i4", False, False),
    ]
    assert [p.restrict for p in right("fast")[NAMES[0]].parameters] == [True, True, False, False]


# ----------------------------------------------------------------------------- mistakes

MISTAKES = {
    "reads_behind": ("out-of-bounds", r"reads 4 bytes outside .* nearest is \w+ with 64"),
    "writes_before": ("out-of-bounds", r"writes 4 bytes outside"),
    "reads_null": ("out-of-bounds", r"reads 4 bytes through a null pointer"),
    "leaves_shared": ("out-of-bounds", r"nearest is tile with 32 elements: tile\[\d+\]"),
    "leaves_row": ("language", r"index 9 is outside an array of type 'float \[9\]'"),
    "writes_const": ("read-only", r"writes x\[\d+\], a pointer to const"),
    "misaligned": ("misaligned", r"reads 16 bytes at x\[1\]"),
    "no_barrier": ("uninitialised", r"reads shared row\[\d+\], .* barrier missing"),
    "no_second_barrier": ("race", r"shared row\[\d+\], which .* at mistakes.cu:\d+; no barrier"),
    "two_write_one": ("race", r"writes y\[\d+\].* wrote at"),
    "blocks_add": ("race", r"reads y\[0\], which block \(\d, 0, 0\).*atomics"),
    "block_reads_other": ("race", r"y\[\d\], which block .*nothing orders different blocks"),
    "half_atomic": ("race", r"y\[0\]"),
    "trusts_the_warp": ("uninitialised|race", r"reads shared row|writes shared row"),
    "reads_fresh_shared": ("uninitialised", r"reads shared row\[63\], which nothing has written"),
    "two_barriers": ("divergent-barrier", r"all threads of a block must reach the same barrier"),
    "leaves_early": ("missed-barrier", r"thread \(60, 0, 0\) has ended without it"),
    "lane_has_ended": ("warp-missing", r"mask 0xffffffff waits for lane 7, which has ended"),
    "mask_without_caller": ("warp-source", r"lane \d+, which the mask leaves out"),
    "source_outside_mask": ("warp-source", r"lane 20, which the mask leaves out"),
    "two_operations": ("warp-mismatch", r"lane \d is in another operation"),
    "lane_at_barrier": ("warp-missing", r"lane 3, which waits at line \d+"),
    "wants_dynamic": ("no-dynamic-shared", r"shared_mem=0"),
    "wants_too_much": ("too-much-shared", r"needs 49600 bytes"),
    "small_blocks": ("block-too-large", r"64 threads a block; __launch_bounds__ says 32"),
    "overflows": ("language", r"\d+ \* 1048576 does not fit into 'int'"),
    "divides_by_zero": ("language", r"7 / 0"),
    "shifts_too_far": ("language", r"shift of 1 by \d+ bits"),
    "casts_nan": ("language", r"does not fit"),
    "reads_other_stack": ("other-stack", r"reads a local variable of thread \(0, 0, 0\)"),
    "block_without_fence": ("race", r"reads y\[\d+\].*nothing orders different blocks"),
    "block_fences_for_itself": ("race", r"reads y\[\d+\].*nothing orders different blocks"),
    "block_fences_before": ("race", r"missing between that and the other block's atomic"),
    "block_counts_too_soon": ("race", r"missing between that and the other block's atomic"),
    "block_trusts_the_count": ("race", r"missing between this block's atomic operation and this"),
    "block_reads_too_soon": ("race", r"missing between this block's atomic operation and this"),
    "block_fences_elsewhere": ("race", r"between this block's atomic operation and this"),
    "block_counts_plainly": ("race", r"reads y\[63\], which block"),
    "block_resets_too_soon": ("race", r"y\[63\], which block .* nothing orders"),
    "block_reads_through_l1": ("stale", r"reads y\[\d+\] by way of the L1 cache.*__ldcg"),
    "asserts": ("language", r"assertion failed: threadIdx.x < 63"),
}
ALSO_FAST = {
    *("two_barriers", "leaves_early", "lane_has_ended", "mask_without_caller", "wants_dynamic"),
    *("source_outside_mask", "two_operations", "lane_at_barrier", "wants_too_much"),
    *("small_blocks", "asserts"),
}


def launch(mode, name, *, seed=0, threads=64, blocks=3):
    blocks = blocks if "block" in name else 1
    x, y = aligned(64, np.float32), aligned(64, np.float32)
    x[:], y[:] = numbers(), 0
    mistakes(mode)[name].launch((blocks, 1, 1), (threads, 1, 1), [x, y], seed=seed)


def marked_lines(name):
    """The lines of a kernel that say `here`."""
    text = (FOLDER / "mistakes.cu").read_text()
    start = text.index(f" {name}(")
    body = text[start : text.index("\n}\n", start)].splitlines()
    first = text[:start].count("\n") + 1
    return [first + i for i, line in enumerate(body) if re.search("//.* here", line)]


@pytest.mark.parametrize("name", MISTAKES)
def test_check_finds(name, order):
    kind, sentence = MISTAKES[name]
    with pytest.raises(KernelError, match=sentence) as raised:
        launch("check", name, seed=order)
    assert re.fullmatch(kind, raised.value.kind)
    assert raised.value.kernel == name
    assert re.search(r"block \(\d, 0, 0\) thread \(\d+, 0, 0\)", str(raised.value))
    if raised.value.line:
        assert raised.value.line in marked_lines(name)


@pytest.mark.parametrize("name", sorted(ALSO_FAST))
def test_fast_finds(name, order):
    with pytest.raises(KernelError) as raised:
        launch("fast", name, seed=order)
    assert raised.value.kind == MISTAKES[name][0]


def test_a_race_gives_other_results_in_another_order():
    """That is why mode fast runs in several orders."""
    x, results = numbers(), []
    for order in (0, 1):
        y = np.zeros(64, np.float32)
        mistakes("fast")["no_barrier"].launch((1, 1, 1), (64, 1, 1), [x, y], seed=order)
        results.append(y)
    assert not np.array_equal(*results)


def test_a_block_of_48_threads_has_no_lane_16_in_its_second_warp():
    for mode in ("fast", "check"):
        with pytest.raises(KernelError, match=r"lane 16, which does not exist"):
            launch(mode, "lane_does_not_exist", threads=48)


def test_a_crash_of_mode_fast_is_a_sentence():
    with pytest.raises(KernelError, match=r"crashes at address .*mode check") as raised:
        launch("fast", "reads_null")
    assert raised.value.kind == "crash"
    launch("fast", "two_write_one")  # and the emulator goes on


def test_a_kernel_that_does_not_end_is_stopped(monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 1)
    with pytest.raises(KernelError, match=r"still runs after its time limit") as raised:
        launch("fast", "never_ends")
    assert raised.value.kind == "endless"


def test_an_element_that_nothing_has_written_is_found():
    x, y, written = numbers(), np.zeros(64, np.float32), np.ones(256, np.uint8)
    written[40:44] = 0
    with pytest.raises(KernelError, match=r"reads x\[10\], which nothing has written"):
        right("check")["neighbours"].launch((1, 1, 1), (64, 1, 1), [Argument(x, written), y])


def test_what_a_kernel_has_written_counts_as_written():
    x, written = aligned(16, np.float32), np.zeros(64, np.uint8)
    y = aligned(16, np.float32)
    x[:] = 1
    right("check")["packs<4>"].launch((1, 1, 1), (4, 1, 1), [x, Argument(y, written)])
    assert written.all()
    assert (y == 2).all()


# ------------------------------------------------------------------- texts and libraries


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('__device__ void f() { asm("exit;"); }', "inline assembly"),
        ("using namespace nvcuda::wmma;", "tensor cores"),
        ("__device__ int f() { return __activemask(); }", "__activemask"),
    ],
)
def test_what_is_not_emulated_is_refused(text, what):
    with pytest.raises(TranslationError, match=re.escape(what)):
        load(text)


def test_the_compilers_message_names_file_and_line():
    text = 'extern "C" __global__ void f(float* x) {\n  x[0] = undeclared;\n}'
    with pytest.raises(BuildError, match=r"named.cu:2:\d+: error: 'undeclared' was not declared"):
        load(text, (), (), "fast", "named.cu")


def test_definitions_and_kernels_made_by_macros():
    text = """
    #define KERNEL(name, op) extern "C" __global__ void name(int* x) { x[threadIdx.x] op FACTOR; }
    KERNEL(times, *=)
    KERNEL(plus, +=)
    """
    x = np.arange(4, dtype=np.int32)
    kernels = load(text, (), ("-DFACTOR=3",))
    kernels["times"].launch((1, 1, 1), (4, 1, 1), [x])
    kernels["plus"].launch((1, 1, 1), (4, 1, 1), [x])
    np.testing.assert_array_equal(x, [3, 6, 9, 12])


def test_libraries_are_built_once_and_old_ones_forgotten(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIRES_CUDA_CACHE", str(tmp_path))
    old = tmp_path / "fast-old.so"
    old.touch()
    os.utime(old, (0, 0))
    text = 'extern "C" __attribute__((visibility("default"))) int answer() { return 42; }'
    first = build.library(text, "fast")
    before = first.stat().st_mtime_ns
    assert build.library(text, "fast") == first
    assert first.stat().st_mtime_ns == before
    assert [path.name for path in tmp_path.iterdir()] == [first.name]


def test_two_processes_may_build_at_once(tmp_path):
    program = (
        "from tests.cuda.emulator import load\n"
        "text = 'extern \"C\" __global__ void f(int* x) { x[0] = 1; }'\n"
        "print(*load(text, (), (), 'check').kernels)"
    )
    environment = os.environ | {"MINIRES_CUDA_CACHE": str(tmp_path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=FOLDER.parents[1],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    assert [process.communicate()[0] for process in processes] == ["f\n", "f\n"]
    names = sorted(path.name.split("-")[0] for path in tmp_path.iterdir())
    assert names == ["check", "runtime"]
