"""From the text of a CUDA module to C++ that g++ compiles: what no header can express.

Three things need more than a macro. `__shared__ float tile[16][17];` becomes a reference into the
block's shared memory, every kernel announces its launch bound when it starts, and inline assembly
becomes calls (assembly.py). The preprocessor
runs first, so comments and macros are gone; its line markers keep the source's lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .assembly import UnknownAssemblyError, translate_assembly

NAME = r"[A-Za-z_]\w*"
KERNEL = re.compile(r"__global__")
SHARED = re.compile(r"(extern\s+)?__shared__\s+([^;{}]*);")
EXTERN_BLOCK = re.compile(r'extern\s+"C"\s*\{')
LAUNCH_BOUNDS = re.compile(r"__launch_bounds__\s*\(")
REFUSED = {
    r"\b(nv)?wmma\b": "tensor cores (wmma)",
    r"\bcooperative_groups\b": "cooperative groups",
    r"\b__activemask\b": "__activemask(), whose value CUDA does not define after divergence",
    r"\b__shfl(_up|_down|_xor)?\s*\(": "shuffles without _sync, which CUDA no longer has",
    r"\bcudaTextureObject_t\b": "textures",
}


class TranslationError(ValueError):
    """The text holds something that can't be run on a processor."""


@dataclass(frozen=True)
class Declaration:
    """A kernel as its text declares it."""

    name: str
    extern_c: bool
    parameters: tuple[str, ...]  # the names
    restrict: tuple[bool, ...]  # which say __restrict__


@dataclass(frozen=True)
class Translation:
    """The C++ text, and the kernels found in it."""

    text: str
    kernels: dict[str, Declaration]


def translate(preprocessed: str) -> Translation:
    """Rewrite what the preprocessor made of a module's text."""
    for pattern, what in REFUSED.items():
        if re.search(pattern, preprocessed):
            raise TranslationError(f"the emulator does not run {what}")
    try:
        text = translate_assembly(preprocessed)
    except UnknownAssemblyError as error:
        raise TranslationError(str(error)) from error
    kernels, text = _announce_bounds(text)
    return Translation(_shared_variables(text), kernels)


def split_outside(text: str, separator: str = ",") -> list[str]:
    """Split where no bracket is open."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{<") - (letter in ")]}>")
        if letter == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def closing(text: str, start: int) -> int:
    """Where the bracket that opens at `start` closes."""
    pairs, depth = {"(": ")", "{": "}", "[": "]"}, 0
    opened, closed = text[start], pairs[text[start]]
    for place in range(start, len(text)):
        depth += (text[place] == opened) - (text[place] == closed)
        if depth == 0:
            return place
    raise TranslationError(f"a {opened} is never closed")


# ----------------------------------------------------------------------------- kernels


def _announce_bounds(text: str) -> tuple[dict[str, Declaration], str]:
    kernels, pieces, end = {}, [], 0
    inside = [(m.start(), closing(text, m.end() - 1)) for m in EXTERN_BLOCK.finditer(text)]
    for match in KERNEL.finditer(text):
        bound, start = _launch_bound(text, match.end())
        opened = text.index("(", start)
        closed = closing(text, opened)
        kernel = _declaration(text, match.start(), start, opened, closed, inside)
        body = re.compile(r"\s*\{").match(text, closed + 1)
        if body is None:
            continue  # a declaration without a body
        kernels[kernel.name] = kernel
        pieces += [text[end : body.end()], f" emulator_enter({bound});"]
        end = body.end()
    return kernels, "".join([*pieces, text[end:]])


def _launch_bound(text: str, start: int) -> tuple[str, int]:
    """The largest block that the kernel allows, and where its name may start."""
    match = LAUNCH_BOUNDS.search(text, start, text.index("(", start) + 1)
    if match is None:
        return "1024", start
    closed = closing(text, match.end() - 1)
    return split_outside(text[match.end() : closed])[0], closed + 1


def _declaration(text, start, name_start, opened, closed, extern_blocks) -> Declaration:
    found = re.search(rf"({NAME})\s*$", text[name_start:opened])
    if found is None:
        raise TranslationError(f"no kernel's name before: {text[opened : opened + 40]!r}")
    before = re.search(r'extern\s+"C"\s*$', text[:start])
    extern_c = before is not None or any(a < start < b for a, b in extern_blocks)
    parameters = split_outside(_without_markers(text[opened + 1 : closed]))
    names = [re.search(rf"({NAME})\s*(\[[^\]]*\])?$", part) for part in parameters]
    return Declaration(
        found[1],
        extern_c,
        tuple(name[1] if name else f"argument {i}" for i, name in enumerate(names)),
        tuple("__restrict__" in part for part in parameters),
    )


def _without_markers(text: str) -> str:
    return re.sub(r"^#.*$", "", text, flags=re.MULTILINE)


# ----------------------------------------------------------------------- shared memory


def _shared_variables(text: str) -> str:
    numbers = iter(range(1_000_000))

    def rewrite(match: re.Match) -> str:
        first, *rest = split_outside(match[2])
        kind, declarator = _split_type(first)
        lines = "\n" * match[0].count("\n")
        declarators = [declarator, *rest]
        if match[1]:
            return _dynamic(kind, declarators[0]) + lines
        return " ".join(_static(kind, d, next(numbers)) for d in declarators) + lines

    return SHARED.sub(rewrite, text)


def _split_type(declaration: str) -> tuple[str, str]:
    """`const float tile[4]` -> (`const float`, `tile[4]`)."""
    match = re.fullmatch(rf"(.*?[\s>])({NAME}\s*(?:\[.*\])?)", declaration, re.DOTALL)
    if match is None or "=" in declaration:
        raise TranslationError(f"not a declaration of shared memory: {declaration!r}")
    return match[1].strip(), match[2].strip()


def _static(kind: str, declarator: str, number: int) -> str:
    name = re.match(NAME, declarator)[0]
    array = f"{name}_in_shared_memory"
    alignment, kind = _split_attribute(kind)
    return (
        f"typedef {kind} {array}{declarator[len(name) :]}; {array}& {name} = "
        f"emulator::shared<{array}>(__PRETTY_FUNCTION__, {number}, {alignment or 1}, "
        f"{_quoted(declarator)});"
    )


def _split_attribute(kind: str) -> tuple[str, str]:
    """`__align__(16) float` -> (`16`, `float`)."""
    match = re.match(r"(alignas|__align__)\s*\(", kind)
    if match is None:
        return "", kind
    end = closing(kind, match.end() - 1)
    return kind[match.end() : end], kind[end + 1 :].strip()


def _dynamic(kind: str, declarator: str) -> str:
    name = re.match(NAME, declarator)[0]
    kind = _split_attribute(kind)[1]
    return (
        f"{kind}* const {name} = static_cast<{kind}*>"
        f"(emulator_dynamic_shared(sizeof({kind}), {_quoted(declarator)}));"
    )


def _quoted(declarator: str) -> str:
    return '"' + re.sub(r"\s+", " ", declarator).replace('"', "") + '"'
