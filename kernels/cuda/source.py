"""The CUDA C of this folder: the files of each module, and the kernels it is compiled for.

A kernel's name in `KERNELS` is a C++ name expression, such as `relu<float, 4>`. A module is
compiled in variants, so that unused kernels cost no time. Nothing here needs CuPy, a GPU or a
driver, so a test can compile everything for every architecture.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path

NamesFor = Callable[[str], Iterable[str]]  # from a variant, such as a type, to name expressions

FOLDER = Path(__file__).parent
OPTIONS = ("-std=c++17",)
PRODUCT_FILES = ("common.cuh", "arrival.cuh", "tensor.cuh", "loading.cuh", "product.cuh")
FILES = {
    "augment": ("common.cuh", "augment.cu"),
    "batch_norm": ("common.cuh", "arrival.cuh", "batch_norm.cu"),
    "columns": ("common.cuh", "columns.cu"),
    "convolution": (*PRODUCT_FILES, "large.cuh", "bfloat16.cuh", "sums.cuh", "convolution.cu"),
    "elementwise": ("common.cuh", "elementwise.cu"),
    "gemm": (*PRODUCT_FILES, "gemm.cu"),
    "loss": ("common.cuh", "loss.cu"),
    "pooling": ("common.cuh", "pooling.cu"),
    "regions": ("common.cuh", "regions.cu"),
    "runs": (*PRODUCT_FILES, "bfloat16.cuh", "sums.cuh", "runs.cu", "runs_weight.cu"),
}


@dataclass(frozen=True)
class MultiplyAdds:
    """An engine of `product.cuh`: `m` x `n` results per block, `k` terms of the sum at a time in
    shared memory, and `tm` x `tn` results per thread."""

    type_name: str
    m: int
    n: int
    k: int
    tm: int
    tn: int

    @property
    def threads(self) -> int:
        return self.m // self.tm * (self.n // self.tn)

    @property
    def resident(self) -> int:
        """Blocks per multiprocessor: RESIDENT in `product.cuh`."""
        return 512 // self.threads

    def __str__(self) -> str:
        return f"MultiplyAdds<{', '.join(map(str, astuple(self)))}>"


@dataclass(frozen=True)
class Warps:
    """What engines on tensor cores share: `m` x `n` results per block, `k` terms of the sum at a
    time, `wm` x `wn` results per warp, and `stages` tiles in shared memory."""

    m: int
    n: int
    k: int
    wm: int
    wn: int
    stages: int

    @property
    def threads(self) -> int:
        return self.m // self.wm * (self.n // self.wn) * 32

    @property
    def resident(self) -> int:
        """Blocks per multiprocessor: RESIDENT in `product.cuh`."""
        return (384 if self.wm * self.wn > 512 else 512) // self.threads

    def __str__(self) -> str:
        return f"{type(self).__name__}<{', '.join(map(str, astuple(self))).lower()}>"


@dataclass(frozen=True)
class TensorCores(Warps):
    """An engine of `product.cuh`: 3 TF32 products for one in float32, or 1."""

    products: int


@dataclass(frozen=True)
class Bfloat16Cores(Warps):
    """The engine of `bfloat16.cuh`."""


@dataclass(frozen=True)
class Large(Warps):
    """What engines for large products share: `blocks` run on a multiprocessor at once."""

    blocks: int

    @property
    def resident(self) -> int:
        return self.blocks

    @property
    def dynamic_memory(self) -> int:
        """Bytes of dynamic shared memory for the tiles: lines of float32 are 4 values longer, and
        those of bfloat16 8."""
        return 4 * self.stages * (self.m + self.n) * (self.k + 4)


@dataclass(frozen=True)
class LargeTensorCores(Large):
    """An engine of `large.cuh`: tiles of the left and of the right matrix have a line for each row
    or column that goes along k, or else for each k."""

    left_along_k: bool
    right_along_k: bool


@dataclass(frozen=True)
class LargeBfloat16Cores(Large):
    """The same in `bfloat16.cuh`, where either layout is read alike."""

    @property
    def dynamic_memory(self) -> int:
        return 2 * self.stages * (self.m + self.n) * (self.k + 8)


@dataclass(frozen=True)
class Runs:
    """An engine of `runs.cu`: `m` x `n` results per block, `wm` x `wn` per warp; the taps of a
    block's positions read a run of at most `longest`. Without TF32 products, maps are bfloat16."""

    m: int
    n: int
    wm: int
    wn: int
    longest: int
    products: int

    @property
    def threads(self) -> int:
        return self.m // self.wm * (self.n // self.wn) * 32

    def holds(self, width: int) -> bool:
        """Whether the run of a tile fits, for maps of this width."""
        return self.m + 2 * (width + 2) <= self.longest

    def __str__(self) -> str:
        if not self.products:
            return f"Bfloat16Runs<{', '.join(map(str, astuple(self)[:-1]))}>"
        return f"Runs<{', '.join(map(str, astuple(self)))}>"


@dataclass(frozen=True)
class WeightRuns:
    """An engine of `runs_weight.cu`: `warps` of a block, `steps` of a warp in a chunk, `chunks` in
    shared memory at once, the `longest` run; `blocks` run on a multiprocessor at once."""

    warps: int
    steps: int
    chunks: int
    longest: int
    products: int
    blocks: int

    @property
    def threads(self) -> int:
        return self.warps * 32

    @property
    def resident(self) -> int:
        return self.blocks

    @property
    def of_a_warp(self) -> int:
        """Positions that a warp multiplies at a time."""
        return 8 * self.steps * (1 if self.products else 2)

    def holds(self, width: int) -> bool:
        """Whether the run of a chunk fits, for maps of this width."""
        return self.warps * self.of_a_warp + 2 * (width + 1) <= self.longest

    @property
    def dynamic_memory(self) -> int:
        """Bytes of the chunks, whose lines are 16 bytes longer than their channels; later of the
        warps' sums."""
        lines = self.longest + self.warps * self.of_a_warp + 2
        chunks = self.chunks * lines * (SLICE * (4 if self.products else 2) + 16)
        return max(chunks, self.warps * 4 * 9 * SLICE**2)

    def __str__(self) -> str:
        sizes = (self.warps, self.steps, self.chunks, self.longest)
        if not self.products:
            return f"Bfloat16WeightRuns<{', '.join(map(str, (*sizes, self.blocks)))}>"
        return f"WeightRuns<{', '.join(map(str, (*sizes, self.products, self.blocks)))}>"


Engine = MultiplyAdds | TensorCores | Bfloat16Cores | Large
Engines = dict[int, tuple[Engine, ...]]  # by the number of values moved at once


def small(type_name: str) -> MultiplyAdds:
    """The engine for float64 and matrices without packs of four: speed does not matter there."""
    return MultiplyAdds(type_name, 32, 16, 16, 4, 1)


def on_threads(kernel: str) -> Engines:
    """Engines for float32 with the threads' multiply-adds."""
    shapes = {
        "conv2d_weight_grad": ((64, 16, 16, 2, 4), (64, 32, 16, 4, 4), (64, 64, 16, 8, 4)),
        "gemm": ((128, 16, 16, 4, 4), (64, 64, 16, 8, 4)),
    }
    pixels = ((128, 16, 16, 4, 4), (128, 32, 16, 8, 4), (64, 64, 16, 8, 4))
    engines = tuple(MultiplyAdds("float", *shape) for shape in shapes.get(kernel, pixels))
    return {1: (small("float"),) if kernel == "gemm" else engines[:1], 4: engines}


def on_tensor_cores(kernel: str, products: int) -> Engines:
    """Engines for float32 as three TF32 products, or one; shapes measured on a Hopper GPU."""
    pixels = ((128, 16, 16, 32, 16, 3), (128, 32, 16, 32, 16, 3), (64, 64, 16, 32, 32, 3))
    weights = ((48, 16, 32, 16, 16, 3), (64, 32, 32, 32, 16, 3), (64, 64, 16, 32, 32, 4))
    of_weights = kernel == "conv2d_weight_grad"
    fours = tuple(TensorCores(*shape, products) for shape in (weights if of_weights else pixels))
    first = TensorCores(64, 16, 16, 16, 16, 2, products) if of_weights else fours[0]
    singles = (replace(first, stages=2),)
    if not of_weights:
        fours = (*fours, TensorCores(64, 32, 16, 32, 16, 4, products))
    return {
        1: (small("float"),) if kernel == "gemm" else singles,
        4: (*fours, *(large_engines(kernel) if products == 1 else ())),
    }


def on_bfloat16(kernel: str) -> Engines:
    """Engines for maps in bfloat16. Copies past the registers move 4 bytes at least, so single
    values pass through them, in one stage."""
    if kernel == "gemm":
        return {}  # linear layers compute with float32
    of_weights = kernel == "conv2d_weight_grad"
    pixels = ((128, 16, 32, 32, 16, 3), (128, 32, 32, 32, 16, 2), (64, 64, 32, 32, 32, 2))
    weights = ((48, 16, 64, 16, 16, 3), (64, 32, 64, 32, 16, 3), (64, 64, 32, 32, 32, 4))
    packs = tuple(Bfloat16Cores(*shape) for shape in (weights if of_weights else pixels))
    single = Bfloat16Cores(*((64, 16, 16, 16, 16, 1) if of_weights else (128, 16, 16, 32, 16, 1)))
    small = Bfloat16Cores(64, 32, 32, 32, 16, 3)
    rest = () if of_weights else (small,)
    return {1: (single,), 8: (*packs, *rest, *large_of_bfloat16(kernel))}


WIDTHS = ((128, 2), (64, 3))  # of large engines, and their blocks on a multiprocessor
LAYOUTS = {  # of tiles: whether the left and the right one go along k
    "conv2d": (True, False),
    "conv2d_input_grad": (True, True),
    "conv2d_weight_grad": (False, False),
}


def large_engines(kernel: str) -> tuple[LargeTensorCores, ...]:
    """Engines for products so large that their tiles fill the GPU, the widest first."""
    kernel = "conv2d_input_grad" if kernel == "gradient_sums" else kernel
    if kernel not in LAYOUTS:
        return ()
    left, right = LAYOUTS[kernel]
    stages = (32, 64, 32, 2) if left else (16, 64, 32, 4)
    return tuple(LargeTensorCores(128, n, *stages, blocks, left, right) for n, blocks in WIDTHS)


def large_of_bfloat16(kernel: str) -> tuple[LargeBfloat16Cores, ...]:
    """The same for maps in bfloat16; with 64 terms at once, the weight gradient would run out of
    registers."""
    stages = (32, 64, 32, 3) if kernel == "conv2d_weight_grad" else (64, 64, 32, 2)
    return tuple(LargeBfloat16Cores(128, n, *stages, blocks) for n, blocks in WIDTHS)


ARITHMETIC: dict[str, Callable[[str], Engines]] = {
    "double": lambda kernel: {1: (small("double"),)},
    "float": on_threads,
    "tf32x3": functools.partial(on_tensor_cores, products=3),
    "tf32": functools.partial(on_tensor_cores, products=1),
    "bfloat16": on_bfloat16,
}
RUNS = ((128, 16, 32, 16, 200), (64, 32, 32, 16, 136))
PRODUCTS_OF_RUNS = {"tf32x3": 3, "tf32": 1, "bfloat16": 0}
WEIGHT_RUNS = {  # by arithmetic
    "tf32x3": WeightRuns(8, 3, 2, 258, 3, 1),
    "tf32": WeightRuns(8, 3, 2, 258, 1, 2),
    "bfloat16": WeightRuns(8, 3, 2, 450, 0, 2),
}
SLICE = 16  # channels of x, and of dy, that a block of these multiplies
WIDEST_OF_RUNS = 64  # columns; for more, the larger tiles of `convolution.cu` are as fast


def runs(arithmetic: str) -> tuple[Runs, ...]:
    """The engines of `runs.cu`, narrowest first."""
    return tuple(Runs(*shape, PRODUCTS_OF_RUNS[arithmetic]) for shape in RUNS)


@functools.cache
def choose_run(arithmetic: str, width: int, columns: int) -> Runs | None:
    """The narrowest run that holds all columns, else the widest, for this map width; or None."""
    fitting = [run for run in runs(arithmetic) if run.holds(width)]
    if not fitting or columns > WIDEST_OF_RUNS:
        return None
    return next((run for run in fitting if run.n >= columns), fitting[-1])


@functools.cache
def choose_weight_run(
    arithmetic: str, width: int, channels: int, filters: int
) -> WeightRuns | None:
    """The engine for the weight's gradient, for maps of this width; or None."""
    engine = WEIGHT_RUNS.get(arithmetic)
    fits = engine and engine.holds(width) and not (channels % SLICE or filters % SLICE)
    return engine if fits and max(channels, filters) <= WIDEST_OF_RUNS else None


TRANSPOSED = ("false, false", "false, true", "true, false")  # of a and b
MULTIPROCESSORS = 132  # for which work is cut: those of an H100


MOST_TILES_DOWN = 65_535  # of large engines, whose grids are turned
TERMS_OF_A_PART = 1024  # at least, if a large engine cuts a sum into parts


@functools.cache
def choose_engine(
    kernel: str, arithmetic: str, vector: int, lines: int, columns: int, terms: int = 0
) -> Engine:
    """The narrowest engine that holds all columns of a product, else the widest.

    A wide product of few lines takes the fourth engine, which is smaller, if there is one: so that
    no multiprocessor is idle. The first large engine that leaves none idle comes before them. Sums
    of so many `terms` may be cut into parts, 0 may not.
    """
    engines = ARITHMETIC[arithmetic](kernel)[vector]
    large = [e for e in engines if isinstance(e, Large)]
    for engine in large:
        tiles = -(-lines // engine.m) * -(-columns // engine.n) * max(1, terms // TERMS_OF_A_PART)
        fits = engine.n <= columns and engine.m <= lines <= engine.m * MOST_TILES_DOWN
        if fits and tiles >= MULTIPROCESSORS:
            return engine
    engines = tuple(e for e in engines if e not in large)
    chosen = next((e for e in engines[:3] if e.n >= columns), engines[:3][-1])
    blocks = -(-lines // chosen.m) * -(-columns // chosen.n)
    is_small = engines[2:3] == (chosen,) and blocks < 2 * MULTIPROCESSORS
    return engines[-1] if is_small else chosen


def resident_blocks(engine: Engine | WeightRuns) -> int:
    """The number of its blocks that run at once on a large GPU."""
    return MULTIPROCESSORS * engine.resident


@functools.cache
def dynamic_memory(kernel: str) -> int:
    """Bytes of dynamic shared memory for a kernel's tiles, from its name expression."""
    large = (e for name in LAYOUTS for e in (*large_engines(name), *large_of_bfloat16(name)))
    engines: tuple[Large | WeightRuns, ...] = (*large, *WEIGHT_RUNS.values())
    return next((e.dynamic_memory for e in engines if f"<{e}" in kernel), 0)


def vectors(type_name: str) -> tuple[int, ...]:
    """The numbers of values that a thread may move at once."""
    return (1, *{"float": (4,), "bfloat16": (8,)}.get(type_name, ()))


@functools.cache
def product(kernel: str, engine: Engine, vector: int, *rest: str) -> str:
    """Name expression of a tiled product."""
    return f"{kernel}<{', '.join((str(engine), str(vector), *rest))}>"


def plain(*names: str) -> NamesFor:
    """Kernels whose only parameter is the type."""
    return lambda type_name: [f"{name}<{type_name}>" for name in names]


def packed(*names: str) -> NamesFor:
    """Kernels that move one value or four at once."""
    return lambda type_name: [
        f"{name}<{type_name}, {vector}>" for name in names for vector in vectors(type_name)
    ]


def tiled(kernel: str, *rests: str) -> NamesFor:
    """A tiled product, for each engine of an arithmetic."""
    ends: list[tuple[str, ...]] = [(text,) for text in rests] or [()]
    return lambda arithmetic: [
        product(kernel, engine, vector, *end)
        for vector, engines in ARITHMETIC[arithmetic](kernel).items()
        for engine in engines
        for end in ends
    ]


def of_numbers(names: NamesFor) -> NamesFor:
    """Kernels that touch no map."""
    return lambda type_name: [] if type_name == "bfloat16" else names(type_name)


def all_of(*parts: NamesFor) -> NamesFor:
    return lambda type_name: [name for part in parts for name in part(type_name)]


WITHOUT_A_TYPE = ("winners_axis<true>", "winners_axis<false>", "unsuppressed<256>")

KERNELS: dict[str, NamesFor] = {
    "augment": plain("crop_flip", "epoch_batch"),
    "batch_norm": all_of(
        plain("moments"),
        packed("normalise", "normalise_grad"),
        of_numbers(plain("update_running_statistics")),
    ),
    "columns": packed("im2col", "col2im"),
    "convolution": all_of(
        *map(tiled, ("conv2d", "conv2d_input_grad", "conv2d_weight_grad", "gradient_sums"))
    ),
    "elementwise": all_of(packed("relu", "relu_grad"), of_numbers(packed("sgd_step"))),
    "gemm": tiled("gemm", *TRANSPOSED),
    "loss": plain("softmax_cross_entropy", "softmax_cross_entropy_grad", "tally"),
    "runs": lambda arithmetic: [
        *(
            f"{kernel}<{run}>"
            for kernel in ("conv3x3", "conv3x3_input_grad")
            for run in runs(arithmetic)
        ),
        f"conv3x3_weight_grad<{WEIGHT_RUNS[arithmetic]}>",
    ],
    "pooling": all_of(
        packed("max_pool", "max_pool_grad"),
        plain("avg_pool", "avg_pool_grad", "global_avg_pool", "global_avg_pool_grad"),
    ),
    "regions": all_of(
        plain("align_axis", "max_pool_axis", "overlaps_of_boxes"),
        packed("roi_align", "roi_align_grad", "roi_max_pool", "roi_max_pool_grad"),
        lambda type_name: WITHOUT_A_TYPE if type_name == "float" else (),
    ),
}


ARITHMETIC_OF = {
    "convolution": tuple(ARITHMETIC),
    "gemm": tuple(name for name in ARITHMETIC if name != "bfloat16"),
    "runs": tuple(PRODUCTS_OF_RUNS),
}
OF_MAPS = ("batch_norm", "elementwise", "pooling")


def variants(module: str) -> tuple[str, ...]:
    """The variants of a module, each compiled on its own: types, or kinds of arithmetic."""
    types = ("float", "double", *(("bfloat16",) if module in OF_MAPS else ()))
    return ARITHMETIC_OF.get(module, types)


@functools.cache
def kernels_of(module: str, variant: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(KERNELS[module](variant)))


def all_kernels() -> Iterator[str]:
    for module in FILES:
        for variant in variants(module):
            yield from kernels_of(module, variant)


def variant_of(module: str, kernel: str) -> str:
    return next(v for v in variants(module) if kernel in kernels_of(module, v))


def text(module: str) -> str:
    """The whole source of a module. The `#line` makes compilers' messages name the file."""
    return "".join(
        f'#line 1 "{name}"\n{(FOLDER / name).read_text(encoding="utf-8")}' for name in FILES[module]
    )
