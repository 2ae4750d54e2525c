"""Packaging. The folder `kernels/` is installed as the import package `minires.kernels`."""

from pathlib import Path

from setuptools import find_packages, setup

ONNX = ["onnx>=1.16", "onnxruntime>=1.18"]
TEST = ["pytest>=8", "hypothesis>=6.100", "threadpoolctl>=3", *ONNX, "scipy"]

setup(
    name="minires-dl",  # `minires` on the package index is an unrelated reservoir simulator
    version="0.1.0",
    description="A from-scratch deep learning engine that shows why residual networks train",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=[
        *find_packages(include=["minires", "minires.*"]),
        "minires.kernels",
        *(f"minires.kernels.{name}" for name in find_packages("kernels")),
    ],
    package_dir={"minires.kernels": "kernels"},
    package_data={
        "minires": ["py.typed"],
        "minires.kernels.cuda": ["*.cu", "*.cuh"],
        "minires.kernels.ladder": ["*.cu", "*.cuh"],
        "minires.report": ["assets/*"],
    },
    entry_points={"console_scripts": ["minires = minires.cli:main"]},
    install_requires=[
        "numpy>=2.0",
        "numba>=0.61",
        "ml_dtypes>=0.4",  # bfloat16, which NumPy has not
        "rich>=13",
        "matplotlib>=3.8",
        "plotly>=6",
        "jinja2>=3.1",
        "pooch>=1.8",
        "tqdm>=4.60",  # pooch's progress bar
        "safetensors>=0.4.3",
        "typer>=0.12",
        "pillow>=10.1",  # from then on its own font has sizes
    ],
    extras_require={
        # CuPy needs NVRTC, which compiles the kernels, and the runtime's headers
        "cuda12": ["cupy-cuda12x>=13.4", "nvidia-cuda-nvrtc-cu12", "nvidia-cuda-runtime-cu12"],
        "cuda13": ["cupy-cuda13x>=14", "nvidia-cuda-nvrtc>=13,<14", "nvidia-cuda-runtime>=13,<14"],
        "ilsvrc": ["scipy"],  # the development kit's table of classes is a MATLAB file
        "mpi": ["mpi4py>=4.1"],  # and an MPI: mpich or openmpi on a laptop, a cluster's own there
        "onnx": ONNX,
        "test": TEST,
        "browser": ["playwright>=1.45", "pypdf>=4"],  # and Chromium: tests of the report's page
        "dev": [*TEST, "pytest-xdist", "ruff", "mypy", "pre-commit"],
        "bench": [*ONNX, "torch", "jax", "tinygrad", "onnxscript", "openvino", "pycocotools"],
    },
)
