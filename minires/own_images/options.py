"""What `minires train` was asked to do; the folder of the run keeps it, for `--resume`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..common.expecting import COUNT, SEED, expects
from ..common.json_files import read_json, write_json

FILE = "training.json"


@expects(
    data=str,
    share=float,
    network=str,
    weights=str,
    freeze=str,
    image_size=COUNT,
    preset=str,
    epochs=COUNT,
    batch_size=COUNT,
    lr=float,
    balance=bool,
    onnx=bool,
    seed=SEED,
)
@dataclass(frozen=True)
class TrainingOptions:
    """The options of the command line; None stands for what the others suggest."""

    data: str
    share: float = 0.2
    network: str | None = None
    weights: str | None = None
    freeze: str = ""
    image_size: int | None = None
    preset: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    balance: bool = False
    onnx: bool = False
    seed: int = 0

    def save(self, folder: Path) -> None:
        """Write them into the run's folder."""
        write_json(folder / FILE, asdict(self))

    @classmethod
    def load(cls, folder: Path) -> TrainingOptions:
        """Read those of an earlier run.

        Raises: FileNotFoundError, or ValueError where the file is damaged.
        """
        path = folder / FILE
        if not path.exists():
            raise FileNotFoundError(f"{folder} holds no run of minires train: there is no {path}")
        kept: Any = read_json(path, "begin a new run")
        try:
            return cls(**kept)
        except (TypeError, ValueError):
            names = ", ".join(field.name for field in fields(cls))
            raise ValueError(f"{path} is damaged: expected an object with {names}") from None
