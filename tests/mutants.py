"""Changes to emitted Verilog that make it wrong: named ones, and small ones at any place of its logic."""

import random
import re
from dataclasses import dataclass

_ASSIGN = re.compile(r"^  assign (?P<left>.+?) = (?P<right>.+);$", re.MULTILINE)
_WIRING = re.compile(r"[\w\[\]:.\\ ]+")

_CONSTANT = re.compile(r"^~ 1'h|(^| [&|] )1'h\d( [&|] |$)")
"""A gate with a constant input: changing it often changes nothing."""

_SWAPS = [
    (re.compile(r" & "), " | "),
    (re.compile(r" \| "), " & "),
    (re.compile(r" \^ "), " | "),
    (re.compile(r" \+ "), " - "),
    (re.compile(r" - "), " + "),
    (re.compile(r" == "), " != "),
    (re.compile(r" != "), " == "),
    (re.compile(r" > "), " >= "),
    (re.compile(r" < "), " <= "),
    (re.compile(r"^~ "), ""),
    (re.compile(r"^\| "), "& "),
    (re.compile(r"^& "), "| "),
]


@dataclass(frozen=True)
class Mutant:
    """A changed Verilog file and what was changed."""

    description: str
    verilog: str


def replace_net(verilog: str, net: str, expression: str) -> Mutant:
    """Drive a net, wherever a module has one of this name, by an expression; `{}` in it stands for the original one.

    Raises:
        LookupError: no module assigns such a net, so that the mutant would be none.
    """
    changed, count = re.subn(
        rf"^  assign {re.escape(net)} = (.+);$",
        lambda match: f"  assign {net} = {expression.replace('{}', f'({match[1]})')};",
        verilog,
        flags=re.MULTILINE,
    )
    if count == 0:
        raise LookupError(f"no module of the Verilog assigns {net}")
    return Mutant(f"{net} = {expression}", changed)


def replace_text(verilog: str, pattern: str, replacement: str) -> Mutant:
    """Replace what matches a pattern everywhere.

    Raises:
        LookupError: nothing matches.
    """
    changed, count = re.subn(pattern, replacement, verilog)
    if count == 0 or changed == verilog:
        raise LookupError(f"nothing in the Verilog matches {pattern}")
    return Mutant(f"{pattern} -> {replacement}", changed)


def random_mutants(verilog: str, count: int, seed: int) -> list[Mutant]:
    """Return mutants with one operator or arm of a multiplexer exchanged, at places drawn from all modules."""
    sites = list(_sites(verilog))
    chosen = random.Random(seed).sample(sites, min(count, len(sites)))
    mutants = []
    for module, start, end, right in chosen:
        original = verilog[start:end]
        mutants.append(Mutant(f"{module}: {original} -> {right}", verilog[:start] + right + verilog[end:]))
    return mutants


def _sites(verilog: str) -> list[tuple[str, int, int, str]]:
    """Return module, position of the right side of an assignment, and a changed right side; several of each."""
    found = []
    for match in _ASSIGN.finditer(verilog):
        right = match["right"]
        if _WIRING.fullmatch(right) or right.startswith("{") or _CONSTANT.search(right):
            continue
        module = re.findall(r"^module (\w+)", verilog[: match.start()], re.MULTILINE)[-1]
        start, end = match.span("right")
        found += [(f"{module} {match['left']}", start, end, changed) for changed in _changes(right)]
    return found


def _changes(right: str) -> list[str]:
    arms = re.fullmatch(r"([^?]+) \? (.+) : ([^:]+)", right)
    if arms:
        return [f"{arms[1]} ? {arms[3]} : {arms[2]}"] if arms[2] != arms[3] else []
    return [pattern.sub(swapped, right, count=1) for pattern, swapped in _SWAPS if pattern.search(right)]
