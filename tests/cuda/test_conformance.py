"""The stand-in promises nothing that real CuPy does not have. Real CuPy is imported, not run.

Its wheel (`pip install cupy-cuda13x`) imports without a GPU and without a driver; where it is
absent, these tests are skipped.
"""

import importlib
import inspect
import warnings

import numpy as np
import pytest

from . import fake_cupy, nvrtc
from .fake_cupy import array, cuda, functions, launching, modules, pools


@pytest.fixture(scope="module")
def real():
    """The wheel's `cupy`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("cupy", reason="real CuPy is not installed: cupy-cuda13x")


def without_device(call):
    """What a call says on a machine without a GPU; None where it succeeds."""
    try:
        call()
    except Exception as error:
        return error
    return None


@pytest.fixture
def no_gpu(real):
    if real.cuda.is_available():
        pytest.skip("this machine has a GPU")


# --------------------------------------------------------------------------------- names


@pytest.mark.parametrize("module", sorted(modules.MODULES))
def test_every_name_of_the_stand_in_exists(real, module):
    theirs = importlib.import_module(module)
    if not getattr(theirs, "available", True):
        pytest.skip("NCCL is not installed: nvidia-nccl-cu13")
    names = [name for name in vars(modules.MODULES[module]) if not name.startswith("_")]
    assert names
    assert [name for name in names if not hasattr(theirs, name)] == []


@pytest.mark.parametrize(
    ("ours", "name"),
    [
        (array.ndarray, "ndarray"),
        (launching.RawModule, "RawModule"),
        (cuda.Device, "cuda.Device"),
        (cuda.Stream, "cuda.Stream"),
        (cuda.Graph, "cuda.Graph"),
        (cuda.Event, "cuda.Event"),
        (pools.MemoryPool, "cuda.MemoryPool"),
        (pools.PinnedMemoryPool, "cuda.PinnedMemoryPool"),
    ],
)
def test_every_method_of_the_stand_in_exists(real, ours, name):
    theirs = real
    for part in name.split("."):
        theirs = getattr(theirs, part)
    names = [n for n in dir(ours) if not n.startswith("_")]
    assert names
    assert [n for n in names if not hasattr(theirs, n)] == []


def parameters_of(function):
    """Names of the parameters, None where Python can't tell."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
        return None
    return list(parameters)


COMPARED = [
    name
    for name in modules.FUNCTIONS
    if name not in functions.UFUNCS and name not in ("abs", "get_array_module", "matmul")
]


@pytest.mark.parametrize("name", COMPARED)
def test_every_parameter_of_the_stand_in_exists_in_the_same_place(real, name):
    ours, theirs = parameters_of(modules.FUNCTIONS[name]), parameters_of(getattr(real, name))
    if ours is None or theirs is None:
        pytest.skip(f"{name} hides its parameters")
    if "kwargs" in theirs:
        theirs = theirs[: theirs.index("kwargs")]
        ours = [p for p in ours if p in theirs]
    assert [p for p in ours if p not in theirs] == []
    shared = [p for p in theirs if p in ours]
    assert ours == shared


# ------------------------------------------------------------------ what a launch passes

SCALARS = [
    *(True, False, 0, 1, -1, 2**31, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 1.5, 1j),
    *(np.float16(1), np.float32(1), np.float64(1), np.int8(1), np.int16(1), np.int32(1)),
    *(np.int64(1), np.uint8(1), np.uint16(1), np.uint32(1), np.uint64(1), np.bool_(True)),
]


@pytest.mark.parametrize("value", SCALARS, ids=repr)
def test_scalars_are_passed_alike(real, value):
    from cupy._core._scalar import CScalar

    dtype = np.dtype(CScalar(value).dtype)
    assert launching.code_of(value) == f"{dtype.kind}{dtype.itemsize}"


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, "text", b"bytes", [1], None])
def test_what_is_no_scalar_is_refused_alike(real, value):
    from cupy._core._scalar import CScalar

    theirs = without_device(lambda: CScalar(value))
    ours = without_device(lambda: launching.code_of(value))
    assert theirs is not None
    assert type(ours) is type(theirs)


def test_real_cupy_adds_bfloat16(real):
    """Gradients that meet are added by it; it computes in float, and rounds once."""
    bfloat16 = np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    signatures = [(loop.in_types, loop.out_types) for loop in real.add._ops.ops]
    assert ((bfloat16, bfloat16), (bfloat16,)) in signatures
    assert bfloat16.char == array.BFLOAT16


def test_modules_refuse_the_same_arguments(real):
    for keywords in ({}, {"code": "", "path": "x"}, {"code": "", "options": "-D"}):
        theirs = without_device(lambda k=keywords: real.RawModule(**k))
        ours = without_device(lambda k=keywords: launching.RawModule(**k))
        assert type(ours) is type(theirs) is TypeError


# ---------------------------------------------------------------------- options, failures


def test_the_gate_compiles_with_the_options_of_cupy(real, monkeypatch):
    """The options that reach NVRTC for a module with `-std=c++17`, as they leave CuPy."""
    compiler, seen = real.cuda.compiler, []

    class Program:
        def __init__(self, *args, **keywords):
            pass

        def compile(self, options, log_stream=None):
            seen.append(options)
            raise InterruptedError

    monkeypatch.setenv("CUPY_CACHE_IN_MEMORY", "1")
    monkeypatch.setattr(compiler, "_NVRTCProgram", Program)
    monkeypatch.setattr(compiler, "_preprocess", lambda *args: "")
    monkeypatch.setattr(
        compiler, "_get_arch_for_options_for_nvrtc", lambda arch=None: ("-arch=sm_80", "cubin")
    )
    with pytest.raises(InterruptedError):
        compiler._compile_module_with_cache("", ("-std=c++17",), arch="80", name_expressions=("f",))
    assert set(seen[0]) == {*nvrtc.CUPY_OPTIONS, "-arch=sm_80"}


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    "call",
    [
        lambda cp: cp.cuda.runtime.getDeviceCount(),
        lambda cp: cp.zeros(3),
        lambda cp: cp.cuda.Device(0).use(),
        lambda cp: cp.RawModule(code="", name_expressions=("f",)).get_function("f"),
    ],
)
def test_a_machine_without_a_driver_fails_alike(real, call):
    if real.cuda.runtime.driverGetVersion():
        pytest.skip("this machine has a driver")
    theirs = without_device(lambda: call(real))
    with fake_cupy.installed(fault="no driver") as cupy:
        ours = without_device(lambda: call(cupy))
        assert not cupy.cuda.is_available()
        assert cupy.cuda.runtime.driverGetVersion() == 0
    assert str(ours) == str(theirs)
    assert type(ours).__name__ == type(theirs).__name__ == "CUDARuntimeError"
    assert type(ours).__mro__[1] is type(theirs).__mro__[1] is RuntimeError
