"""Tensor cores and asynchronous copies: `tensor.cuh` in the emulator, against NumPy."""

import numpy as np
import pytest
from minires.kernels.cuda import source

from . import nvrtc
from .emulator import KernelError, TranslationError, load
from .fragments import accumulators, bf16, fragments_of_bf16, fragments_of_tf32, text, tf32

MISTAKES = {
    "LANE_MISSING": ("warp-missing", r"waits for lane 5, which has ended"),
    "UNCONVERTED": ("not-converted", r"operand a\[\d\] of a tf32 product is no tf32.*to_tf32"),
    "NO_WAIT": ("in-flight", r"reads shared \w+\[\d+\], to which an asynchronous copy of thread"),
    "WAIT_TOO_SHORT": ("in-flight", r"has not waited for it"),
    "NO_COMMIT": ("in-flight", r"has not waited for it"),
    "NO_BARRIER": ("uninitialised", r"reads shared a_tile.* is a barrier missing"),
    "NO_LAST_BARRIER": ("race|in-flight", r"(no barrier lies between|has not waited)"),
    "WRONG_STAGE": ("in-flight", r"reads shared a_tile\[\d+\].* from tensor.cuh:\d+"),
    "OVERWRITTEN": ("in-flight", r"writes shared a_tile\[\d+\], to which"),
    "COPIED_TWICE": ("in-flight", r"writes shared a_tile\[\d+\], to which"),
    "ALL_EXIST": ("out-of-bounds", r"reads 16 bytes outside"),
    "MISALIGNED": ("misaligned", r"writes 16 bytes at shared a_tile\[\d+\]"),
}
WRONG = ("SWAPPED", "NO_WAIT", "WAIT_TOO_SHORT", "NO_COMMIT", "WRONG_STAGE")  # in mode fast


def kernels(mode):
    names = [f"staged<{name}>" for name in ("NONE", "SWAPPED", *MISTAKES)]
    return load(text(), (*names, "fragments<false>", "fragments<true>"), (), mode, "tensor.cu")


def random(*shape):
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def toward_zero(x):
    """float64 to float32, rounded toward zero."""
    near = x.astype(np.float32)
    return np.where(abs(near.astype(np.float64)) > abs(x), np.nextafter(near, np.float32(0)), near)


def aligned(x):
    raw = np.empty(x.nbytes + 16, np.uint8)
    start = -raw.ctypes.data % 16
    copy = raw[start : start + x.nbytes].view(x.dtype).reshape(x.shape)
    copy[...] = x
    return copy


@pytest.fixture(params=["fast", "check"])
def mode(request):
    return request.param


@pytest.fixture(params=[0, 1, 7])
def order(request):
    return request.param


# ------------------------------------------------------------------------------ fragments


@pytest.mark.parametrize("kind", ["tf32", "bf16"])
def test_fragments(mode, order, kind):
    k, rounding, fragments = {
        "tf32": (8, tf32, fragments_of_tf32),
        "bf16": (16, bf16, fragments_of_bf16),
    }[kind]
    a, b, c = rounding(random(16, k)), rounding(random(k, 8)), random(16, 8)
    arguments = [*fragments(a, b), np.ascontiguousarray(accumulators(c))]
    d = np.zeros((32, 4), np.float32)
    kernel = kernels(mode)[f"fragments<{'true' if kind == 'bf16' else 'false'}>"]
    kernel.launch((1, 1, 1), (32, 1, 1), [*arguments, d], seed=order)
    exact = c.astype(np.float64) + a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_array_equal(d, accumulators(toward_zero(exact)))


def test_unconverted_operands_are_cut_in_mode_fast():
    a, b, c = random(16, 8), random(8, 8), np.zeros((32, 4), np.float32)
    d = np.zeros((32, 4), np.float32)
    arguments = [*fragments_of_tf32(a, b), c, d]
    kernels("fast")["fragments<false>"].launch((1, 1, 1), (32, 1, 1), arguments)
    a, b = ((x.view(np.uint32) & 0xFFFFE000).view(np.float32).astype(np.float64) for x in (a, b))
    np.testing.assert_array_equal(d, accumulators(toward_zero(a @ b)))


def test_numbers_are_rounded_as_by_ptx(mode):
    halves = np.array([0x3F801000, 0xBF801000, 0x3F808000, 0x3F818000], np.uint32).view(np.float32)
    odd = np.float32([0, -0.0, np.inf, -np.inf, 3e38, -3.4028235e38, 1e-38, 65504])
    x = np.concatenate([random(52), halves, odd])
    y = np.zeros((3, 64), np.float32)
    kernels(mode)["rounded"].launch((1, 1, 1), (64, 1, 1), [x, y])
    np.testing.assert_array_equal(y, [tf32(x), bf16(x), bf16(x[::-1])])


def test_nan_stays_nan(mode):
    x = np.array([0x7FC00000, 0xFFFFFFFF, 0x7F800001], np.uint32).view(np.float32)
    y = np.zeros((3, 3), np.float32)
    kernels(mode)["rounded"].launch((1, 1, 1), (3, 1, 1), [x, y])
    assert np.isnan(y).all()


# ------------------------------------------------------------------------------- matrices


def matrices(mode, seed=0, *, pitch=4, absent=-1, shared=32 * 5 * 4):
    x, y = random(32, 4), np.zeros((32, 4), np.float32)
    kernel = load(text(), ("matrices<4>", "matrices<5>"), (), mode, "tensor.cu")[
        f"matrices<{pitch}>"
    ]
    arguments = [x, y, np.int32(absent)]
    kernel.launch((1, 1, 1), (32, 1, 1), arguments, seed=seed, shared=shared)
    return x, y


@pytest.mark.parametrize("shared", [640, 100 << 10])
def test_matrices_are_handed_out_as_fragments(mode, order, shared):
    """Register i of lane 4 g + t is number t of row g of matrix i."""
    x, y = matrices(mode, order, shared=shared)
    np.testing.assert_array_equal(y.reshape(8, 4, 4), x.reshape(4, 8, 4).transpose(1, 2, 0))


@pytest.mark.parametrize("turned", [False, True])
def test_pairs_are_handed_out_as_fragments(mode, order, turned):
    """Register i of lane 4 g + t has numbers 2 t and 2 t + 1 of row, or column, g of matrix i."""
    x, y = np.arange(256, dtype=np.uint16).reshape(4, 8, 8), np.zeros((32, 4), np.uint32)
    name = f"pairs<{str(turned).lower()}>"
    kernel = load(text(), (name,), (), mode, "tensor.cu")[name]
    kernel.launch((1, 1, 1), (32, 1, 1), [x, y], seed=order)
    expected = (x.swapaxes(1, 2) if turned else x).reshape(4, 8, 4, 2)
    np.testing.assert_array_equal(
        y.view(np.uint16).reshape(8, 4, 4, 2), expected.transpose(1, 2, 0, 3)
    )


@pytest.mark.parametrize(
    ("settings", "kind", "sentence"),
    [
        ({"pitch": 5}, "misaligned", "reads 16 bytes at shared rows"),
        ({"absent": 7}, "warp-missing", "waits for lane 7, which has ended"),
    ],
    ids=["rows that are not multiples of 16 bytes", "a lane that does not come"],
)
def test_check_finds_wrong_matrices(settings, kind, sentence):
    with pytest.raises(KernelError, match=sentence) as raised:
        matrices("check", **settings)
    assert raised.value.kind == kind


# --------------------------------------------------------------- products of whole tiles


def staged(mode, mistake, seed=0, size=20):
    a, b, d = aligned(random(32, size)), random(size, 8), np.zeros((32, 8), np.float32)
    kernel = kernels(mode)[f"staged<{mistake}>"]
    kernel.launch((1, 1, 1), (64, 1, 1), [a, b, d, np.int32(size)], seed=seed)
    return d, tf32(a).astype(np.float64) @ tf32(b).astype(np.float64)


@pytest.mark.parametrize("size", [4, 8, 20, 64])
def test_a_product_in_stages(mode, order, size):
    d, exact = staged(mode, "NONE", order, size)
    np.testing.assert_allclose(d, exact, rtol=0, atol=1e-6 * np.sqrt(size))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_check_finds(mistake, order):
    kind, sentence = MISTAKES[mistake]
    with pytest.raises(KernelError, match=sentence) as raised:
        staged("check", mistake, order)
    assert raised.value.kind in kind.split("|")
    assert "tensor.cu" in str(raised.value)


@pytest.mark.parametrize(("order", "kind"), [(0, "race"), (1, "in-flight")])
def test_a_barrier_before_the_wait_is_not_enough(order, kind):
    kernel, x = kernels("check")["barrier_before_the_wait"], random(64)
    with pytest.raises(KernelError, match=r"reads shared row\[\d+\]") as raised:
        kernel.launch((1, 1, 1), (64, 1, 1), [x, np.zeros(64, np.float32)], seed=order)
    assert raised.value.kind == kind


@pytest.mark.parametrize("mistake", WRONG)
def test_fast_gives_wrong_numbers(mistake, order):
    d, exact = staged("fast", mistake, order)
    assert not np.allclose(d, exact, atol=1e-3)


def test_a_warp_of_16_lanes_has_no_product(mode):
    registers, sums = np.zeros((32, 4), np.uint32), np.zeros((32, 4), np.float32)
    kernel = kernels(mode)["fragments<false>"]
    with pytest.raises(KernelError, match=r"waits for lane 16, which does not exist"):
        kernel.launch((1, 1, 1), (16, 1, 1), [registers, registers, sums, sums.copy()])


# ------------------------------------------------------------------------------- assembly


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ('asm volatile("mov.u32 %0, %%laneid;" : "=r"(i));', r'"mov.u32 %0,%%laneid"'),
        ('asm("cvt.rna.tf32.f32 %0, %1;" : "=f"(y) : "f"(x));', r'operands "=r f" .* has "=f f"'),
        ('asm volatile("cp.async.commit_group;");', r'clobbers "memory"'),
        ('asm("mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32 {%0}" :);', r"does not run the"),
    ],
)
def test_other_assembly_is_refused_and_quoted(statement, what):
    with pytest.raises(TranslationError, match=what):
        load(f"__device__ void f(unsigned i, float x, float y) {{ {statement} }}")


def test_a_copy_to_global_memory_is_refused(mode):
    kernel = """extern "C" __global__ void f(float* x) {
      copy_async<4>(x, x + 1, true);
    }"""
    module = load((source.FOLDER / "tensor.cuh").read_text() + kernel, (), (), mode)
    with pytest.raises(KernelError, match="does not point to shared memory"):
        module["f"].launch((1, 1, 1), (1, 1, 1), [np.zeros(4, np.float32)])


@pytest.mark.skipif(bool(nvrtc.why_not()), reason=nvrtc.why_not() or "-")
@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
def test_nvrtc_compiles_it(architecture):
    names = ("staged<NONE>", "matrices<4>", "fragments<false>", "fragments<true>", "rounded")
    needs = nvrtc.compile_module(text(), names, architecture)
    assert {name: n for name, n in needs.items() if n.spills or n.local} == {}
