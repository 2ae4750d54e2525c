"""The tables of `benchmarks/gpu.py`, from what it kept: as Markdown, for docs/cuda.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpu_steps import OURS, PRECISIONS, THEIRS

Record = dict[str, Any]
MAKER = "benchmarks/gpu.py"
NAMES = {"float32": "float32", "tf32": "TF32", "bfloat16": "bfloat16"}
MOST_ROWS = 16  # of a profile
WHOLE = (  # columns of the first table
    (OURS, "eager", "minires"),
    (OURS, "graph", "minires, graph"),
    (THEIRS, "eager", "PyTorch"),
    (THEIRS, "graph", "PyTorch, graph"),
    (THEIRS, "compile", "torch.compile"),
)


def markers(maker: str) -> tuple[str, str]:
    """The lines around what a script writes."""
    return f"<!-- made by {maker}: begin -->", f"<!-- made by {maker}: end -->"


def put(path: Path, made: str, maker: str = MAKER) -> None:
    """Write what a script made between its markers of a file; ValueError where it has none."""
    begin, end = markers(maker)
    text = path.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"{path} must hold the line {begin}, and behind it {end}, each once")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    path.write_text(f"{before}{begin}\n\n{made}\n{end}{after}", encoding="utf-8")


def page(record: Record) -> str:
    parts = [made(record)]
    parts += [whole(record), details(record)] if record["steps"] else []
    parts += [ceilings(record)]
    parts += [kernels(profile, record) for profile in record["profiles"] if in_page(profile)]
    return "\n".join(part for part in parts if part)


def made(record: Record) -> str:
    """Where and when; what is missing."""
    facts = record["facts"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    lines = [
        f"Measured on {facts['date']} by `benchmarks/gpu.py` on {facts['card']}, driver "
        f"{facts['driver']}, CUDA {facts['cuda']}; {versions}."
    ]
    if record["missing"]:
        lines += ["", "Not measured:", ""]
        lines += [f"- {cell(sentence)}" for sentence in record["missing"]]
    return "\n".join(lines) + "\n"


def in_page(profile: Record) -> bool:
    """Profiles of PyTorch are kept for their counts of launches."""
    return profile["engine"] == OURS and profile["ms"] > 0


# ------------------------------------------------------------------- training steps


def whole(record: Record) -> str:
    """Milliseconds a step when many are queued."""
    steps = by_way(record)
    heads = [
        head for engine, mode, head in WHOLE if any(key[2:] == (engine, mode) for key in steps)
    ]
    lines = table(
        ["network", "precision", *heads, "ratio, eager", "ratio, graphs"], numbers=len(heads) + 2
    )
    for name, precision in rows_of(record):
        found = {mode: steps.get((name, precision, *mode)) for mode in (w[:2] for w in WHOLE)}
        cells = [spread(found[engine, mode]) for engine, mode, head in WHOLE if head in heads]
        ratios = [ratio(found, mode) for mode in ("eager", "graph")]
        lines.append(line(title(record, name), NAMES[precision], *cells, *ratios))
    text = (
        "Milliseconds a training step when many are queued and waited for once, divided by their "
        "number: medians (quartiles). A ratio above 1 means that minires is faster.\n"
    )
    return text + "\n" + "\n".join(lines) + "\n"


def by_way(record: Record) -> dict[tuple[str, ...], Record]:
    """Rows by network, precision, engine and mode."""
    keys = ("network", "precision", "engine", "mode")
    return {tuple(row[key] for key in keys): row for row in record["steps"]}


def rows_of(record: Record) -> list[tuple[str, str]]:
    """Networks with their precisions: small ones first."""
    found = {(row["network"], row["precision"], row["classes"]) for row in record["steps"]}
    order = sorted(
        found, key=lambda f: (f[2], int(f[0].removeprefix("ResNet-")), PRECISIONS.index(f[1]))
    )
    return [(name, precision) for name, precision, _ in order]


def title(record: Record, name: str) -> str:
    """A network with its batch."""
    batch = next(row["batch"] for row in record["steps"] if row["network"] == name)
    return f"{name}, batch {batch}"


def spread(row: Record | None, key: str = "whole_ms") -> str:
    """A median with its quartiles."""
    if not row or key not in row:
        return ""
    low, high = row[f"{key}_quartiles"]
    return f"{row[key]:.2f} ({low:.2f}, {high:.2f})"


def ratio(found: dict[tuple[str, str], Record | None], mode: str, key: str = "whole_ms") -> str:
    """PyTorch's time by ours."""
    ours, theirs = found[OURS, mode], found[THEIRS, mode]
    if not ours or not theirs or key not in ours or key not in theirs:
        return ""
    return f"{theirs[key] / ours[key]:.2f}"


def details(record: Record) -> str:
    """Step by step, launches."""
    steps, launches = by_way(record), launches_of(record)
    heads = ["step by step, ms", "launches"]
    lines = table(["network", "precision", *heads], numbers=2)
    for name, precision in rows_of(record):
        engines = [(name, precision, engine) for engine in (OURS, THEIRS)]
        pairs = [
            (number(steps.get((*of, "eager"), {}).get("step_ms"), 2) for of in engines),
            (number(launches.get(of)) for of in engines),
        ]
        cells = [" / ".join(pair) for pair in pairs]
        lines.append(line(title(record, name), NAMES[precision], *cells))
    text = (
        "minires / PyTorch: a step from an idle GPU to an idle GPU, both eager; what a step "
        "launches (kernels, copies and fills).\n"
    )
    return text + "\n" + "\n".join(lines) + "\n"


def launches_of(record: Record) -> dict[tuple[str, str, str], float]:
    """By network, precision and engine."""
    keys = ("network", "precision", "engine")
    return {tuple(row[key] for key in keys): row["launches"] for row in record["profiles"]}


# ------------------------------------------------------------------- kernels


def ceilings(record: Record) -> str:
    """What the machine can do."""
    found = dict(record["ceilings"])
    if not found:
        return ""
    copy = found.pop("copy", None)
    parts = [f"copying within the GPU's memory {copy:,.0f} GB/s (read and written)"] * bool(copy)
    parts += [f"a large product in {NAMES[p]} {rate:,.0f} TFLOP/s" for p, rate in found.items()]
    return f"Ceilings, measured in the same run: {', '.join(parts)}.\n"


def kernels(profile: Record, record: Record) -> str:
    """The kernels of a step that take longest."""
    lines = table(["kernel", "launches", "us each", "ms", "reaches", "of the ceiling"], numbers=5)
    first, rest = profile["kernels"][:MOST_ROWS], profile["kernels"][MOST_ROWS:]
    for row in first:
        reached, share = rate_of(row, profile["precision"], record["ceilings"])
        lines.append(
            line(
                f"`{short(row['kernel'])}`",
                number(row["launches"]),
                *(number(row["us"], 1), number(row["ms"], 3), reached, share),
            )
        )
    if rest:
        count, ms = (sum(row[key] for row in rest) for key in ("launches", "ms"))
        lines.append(line(f"{len(rest)} others", number(count), "", number(ms, 3), "", ""))
    lines.append(
        line("together", number(profile["launches"]), "", number(profile["ms"], 3), "", "")
    )
    text = (
        f"The kernels of a training step of {profile['network']}, batch {profile['batch']}, in "
        f"{NAMES[profile['precision']]}:\n"
    )
    return text + "\n" + "\n".join(lines) + "\n"


def rate_of(row: Record, precision: str, ceiling: Record) -> tuple[str, str]:
    """TFLOP/s of a product or GB/s of a pass, and its share of the ceiling."""
    if "gbs" not in row:
        return "", ""
    product = row["operations"] > 0
    value, unit = (row["tflops"], "TFLOP/s") if product else (row["gbs"], "GB/s")
    most = ceiling.get(precision if product else "copy")
    return f"{value:,.{1 if product else 0}f} {unit}", f"{value / most:.0%}" if most else ""


# ------------------------------------------------------------------- Markdown


def table(heads: list[str], numbers: int) -> list[str]:
    """The first two lines: the last columns hold numbers."""
    rule = ["---"] * (len(heads) - numbers) + ["---:"] * numbers
    return [line(*heads), f"|{'|'.join(rule)}|"]


def line(*cells: str) -> str:
    return f"| {' | '.join(map(cell, cells))} |"


def cell(text: str) -> str:
    """Without what ends a cell."""
    return text.replace("|", "\\|").replace("\n", " ")


def number(value: float | None, digits: int = 0) -> str:
    """A number, or a dash."""
    return "–" if value is None else f"{value:,.{digits}f}"


def short(name: str) -> str:
    """A name that fits a table."""
    return name if len(name) <= 60 else f"{name[:57]}..."
