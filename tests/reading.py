"""The route through the code, docs/reading.md: what it names, and how many lines that is.

    python -m tests.reading

counts anew after a change: the lines of each file of a stop, and the table at the top.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reading.md"
STOP = re.compile(r"^## (\d+)\. (.+)\n\n(.+)\n\nShape: (.+)\n", re.M)
PART = re.compile(r"^- \[(\S+?)\]\(\.\./\1\): ([^-]+?)\s\((\d+) lines\)$", re.M)
TABLE = re.compile(r"^\| stop \|.*?(?=\n\n)", re.M | re.S)


class Part(NamedTuple):
    """What a stop reads of one file; `counted` lines, as the page says."""

    text: str
    file: str
    names: str
    counted: int


class Stop(NamedTuple):
    """A section of the page."""

    number: str
    title: str
    what: str
    shape: str
    parts: list[Part]


def stops(page: str) -> list[Stop]:
    """The stops of the route, in order."""
    heads = list(STOP.finditer(page))
    ends = [head.start() for head in heads[1:]] + [page.find("\n## Side trips")]
    return [
        Stop(*head.groups(), parts_of(page[head.end() : end]))
        for head, end in zip(heads, ends, strict=True)
    ]


def parts_of(section: str) -> list[Part]:
    """The files that a section lists."""
    found = PART.finditer(section)
    return [Part(m[0], m[1], " ".join(m[2].split()), int(m[3])) for m in found]


def lines_read(part: Part) -> set[int]:
    """The lines of a file that a part names: "all", "the head" (its docstring), functions."""
    source = (ROOT / part.file).read_text(encoding="utf-8")
    if part.names == "all":
        return set(range(1, len(source.splitlines()) + 1))
    module = ast.parse(source)
    lines = set(range(1, module.body[0].end_lineno + 1)) if "the head" in part.names else set()
    for name in re.findall(r"`([\w.]+)`", part.names):
        lines |= lines_of(module, name, part.file)
    return lines


def lines_of(module: ast.Module, name: str, file: str) -> set[int]:
    """Those of a function, class or method, decorators included."""
    node: ast.AST = module
    for word in name.split("."):
        kinds = ast.FunctionDef | ast.ClassDef
        inner = [n for n in node.body if isinstance(n, kinds) and n.name == word]
        if not inner:
            raise LookupError(f"docs/reading.md: {file} has no {name}")
        node = inner[0]
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return set(range(first, node.end_lineno + 1))


def counted_anew(page: str) -> list[tuple[Part, int]]:
    """Each part with the number of its lines that no earlier stop has read."""
    read: set[tuple[str, int]] = set()
    result = []
    for part in (part for stop in stops(page) for part in stop.parts):
        fresh = {(part.file, line) for line in lines_read(part)} - read
        result.append((part, len(fresh)))
        read |= fresh
    return result


def with_counts(page: str) -> str:
    """The page with today's counts and table."""
    for part, count in counted_anew(page):
        new = part.text.replace(f"({part.counted} lines)", f"({count} lines)")
        page = page.replace(part.text, new)
    return TABLE.sub(lambda _: table(page), page)


def table(page: str) -> str:
    """The route at a glance."""
    rows = ["| stop | files | lines | what happens | shape |", "|---|---|---|---|---|"]
    route = stops(page)
    for number, title, what, shape, parts in route:
        anchor = f"{number}-{re.sub(r'[^a-z0-9 ]', '', title.lower()).replace(' ', '-')}"
        files = ", ".join(f"`{part.file.removeprefix('minires/')}`" for part in parts)
        lines = sum(part.counted for part in parts)
        rows.append(f"| [{number}. {title}](#{anchor}) | {files} | {lines} | {what} | {shape} |")
    total = sum(part.counted for stop in route for part in stop.parts)
    return "\n".join([*rows, f"| together | | {total:,} | | |"])


if __name__ == "__main__":
    PAGE.write_text(with_counts(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
