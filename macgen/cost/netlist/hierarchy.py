"""Hierarchies of modules as Yosys writes them: which of them stand several times, and what all of it counts."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

_REGISTERS = r"\$(a|s|al)?dff\w*|\$ff|\$mem\w*"


def read_modules(path: Path) -> dict[str, Any]:
    """Return the modules of a file of Yosys's `write_json`."""
    modules: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["modules"]
    return modules


def _children(modules: Mapping[str, Any], name: str) -> Counter[str]:
    """Return the number of instances of each cell type or module in one module."""
    return Counter(
        cell["type"] for cell in modules[name]["cells"].values() if cell["type"] not in ("$scopeinfo", "$print")
    )


def repeated_modules(modules: Mapping[str, Any], top: str) -> tuple[str, ...]:
    """Return the modules worth keeping: those with registers, at any depth, of which one level has several instances.

    A level is the top module or a kept one, with every module that is not kept dissolved into it. Modules without
    registers are not kept, as their logic belongs together with what is around them.

    Parameters:
        modules: the modules of Yosys's JSON after `proc`.
        top: the top module.
    """

    @cache
    def children(name: str) -> Counter[str]:
        return Counter({child: n for child, n in _children(modules, name).items() if child in modules})

    @cache
    def has_registers(name: str) -> bool:
        cells = _children(modules, name)
        return any(re.fullmatch(_REGISTERS, cell) or (cell in modules and has_registers(cell)) for cell in cells)

    order: dict[str, None] = {}  # children before their parents

    def visit(name: str) -> None:
        for child in children(name):
            if child not in order:
                visit(child)
        order[name] = None

    visit(top)
    kept: list[str] = []
    levels = [top]
    for level in levels:
        inside = children(level).copy()
        for name in reversed(order):
            # All that could hold the module have been looked at, so its number of instances is known.
            if inside[name] > 1 and has_registers(name):
                if name not in kept:
                    kept.append(name)
                    levels.append(name)
            else:
                inside.update({child: n * inside[name] for child, n in children(name).items() if inside[name]})
    return tuple(sorted(kept))


def instance_counts(modules: Mapping[str, Any], top: str, names: Iterable[str]) -> tuple[int, ...]:
    """Return how often each of some modules stands in the whole hierarchy; the top module once."""

    @cache
    def inside(name: str) -> Counter[str]:
        found = Counter({name: 1})
        for child, count in _children(modules, name).items():
            if child in modules:
                found.update({module: count * number for module, number in inside(child).items()})
        return found

    return tuple(inside(top)[name] for name in names)


def total_cells(modules: Mapping[str, Any], top: str) -> dict[str, int]:
    """Return the number of cells of each type in the whole hierarchy."""

    @cache
    def total(name: str) -> Counter[str]:
        cells: Counter[str] = Counter()
        for child, count in _children(modules, name).items():
            is_module = child in modules and not modules[child]["attributes"].get("blackbox")
            inside = total(child) if is_module else {child: 1}
            cells.update({cell: count * number for cell, number in inside.items()})
        return cells

    return dict(sorted(total(top).items()))
