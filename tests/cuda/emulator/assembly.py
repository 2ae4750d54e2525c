"""Inline assembly: statements that the emulator knows become calls of the functions in tensor.h."""

from __future__ import annotations

import re
from dataclasses import dataclass

STATEMENT = re.compile(r"\b(?:asm|__asm__)\b\s*(?:volatile\b|__volatile__\b)?\s*\(")
LITERAL = re.compile(r'\s*"((?:[^"\\]|\\.)*)"')
OPENED = re.compile(r"\s*\(")
SUMS = "+f +f +f +f r r r r r r"
LOADED, QUAD = "=r =r =r =r r", "{%0,%1,%2,%3}"
PRODUCT = "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3}"
KNOWN = {  # an instruction: the function, its operands' constraints, what else it changes
    f"mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {PRODUCT}": ("mma_tf32", SUMS, ""),
    f"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {PRODUCT}": ("mma_bf16", SUMS, ""),
    "cvt.rna.tf32.f32 %0,%1": ("cvt_rna_tf32", "=r f", ""),
    "cvt.rn.bf16x2.f32 %0,%1,%2": ("cvt_rn_bf16x2", "=r f f", ""),
    f"ldmatrix.sync.aligned.m8n8.x4.shared.b16 {QUAD},[%4]": ("ldmatrix_x4", LOADED, "memory"),
    f"ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {QUAD},[%4]": (
        *("ldmatrix_x4_trans", LOADED, "memory"),
    ),
    "cp.async.ca.shared.global [%0],[%1],%2,%3": ("cp_async_ca", "r l n r", "memory"),
    "cp.async.cg.shared.global [%0],[%1],%2,%3": ("cp_async_cg", "r l n r", "memory"),
    "cp.async.commit_group": ("cp_async_commit_group", "", "memory"),
    "cp.async.wait_group %0": ("cp_async_wait_group", "n", "memory"),
}


class UnknownAssemblyError(ValueError):
    """A statement that the emulator does not know."""


@dataclass(frozen=True)
class Statement:
    """`asm(instruction : outputs : inputs : clobbers)`, taken apart."""

    instruction: str
    constraints: str
    operands: tuple[str, ...]
    clobbers: str


def translate_assembly(text: str) -> str:
    """Exchange every statement for a call."""
    pieces, end = [], 0
    for match in STATEMENT.finditer(text):
        closed = _closing(text, match.end())
        statement = _take_apart(text[match.end() : closed])
        lines = "\n" * text.count("\n", match.start(), closed)
        pieces += [text[end : match.start()], _call(statement), lines]
        end = closed + 1
    return "".join([*pieces, text[end:]])


def _call(statement: Statement) -> str:
    function, constraints, clobbers = KNOWN.get(statement.instruction, ("", "", ""))
    if not function:
        raise UnknownAssemblyError(
            f'the emulator does not run the inline assembly "{statement.instruction}"; '
            "what it knows stands in emulator/assembly.py"
        )
    if (statement.constraints, statement.clobbers) != (constraints, clobbers):
        raise UnknownAssemblyError(
            f'the inline assembly "{statement.instruction}" must have the operands '
            f'"{constraints}" and the clobbers "{clobbers}", '
            f'but has "{statement.constraints}" and "{statement.clobbers}"'
        )
    return f"emulator::{function}({', '.join(statement.operands)})"


def _take_apart(text: str) -> Statement:
    instruction, place = "", 0
    while match := LITERAL.match(text, place):
        instruction, place = instruction + match[1], match.end()
    constraints, operands, clobbers = [], [], []
    while match := LITERAL.search(text, place):
        opened, place = OPENED.match(text, match.end()), match.end()
        if opened is None:
            clobbers.append(match[1])
            continue
        place = _closing(text, opened.end())
        constraints.append(match[1])
        operands.append(text[opened.end() : place].strip())
    joined = " ".join(constraints), tuple(operands), " ".join(clobbers)
    return Statement(_plain(instruction), *joined)


def _plain(instruction: str) -> str:
    """In one way of writing: no line breaks, no spaces but the one behind the name."""
    words = instruction.replace("\\n", " ").replace("\\t", " ").strip().rstrip(";").split()
    return " ".join([*words[:1], "".join(words[1:])]).strip()


def _closing(text: str, start: int) -> int:
    """Where the bracket closes that was opened before `start`; strings may hold brackets."""
    depth, place = 1, start
    while depth:
        literal = LITERAL.match(text, place)
        if literal:
            place = literal.end()
            continue
        depth += (text[place] == "(") - (text[place] == ")")
        place += 1
    return place - 1
