"""Changes to emitted Verilog that make it wrong: what a signal is, what a register takes, what an instance gets.

Places are named by module, signal, register, instance and port; how the text is laid out does not matter.
"""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_MODULE = re.compile(r"^module (\w+) \(.*?^endmodule$", re.MULTILINE | re.DOTALL)
_SWAPS = {
    "&": "|", "|": "&", "^": "|", "+": "-", "-": "+", "==": "!=", "!=": "==", ">": ">=", "<": "<=", ">=": ">",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A changed Verilog file and what was changed."""

    description: str
    verilog: str


def drive(verilog: str, signal: str, expression: str, *, module: str = "") -> Mutant:
    """Let a wire or an output be another expression; `{}` in it stands for the original one.

    Parameters:
        verilog: the text.
        signal: a wire or an output port.
        expression: what it shall be.
        module: where; empty: wherever there is one of this name.

    Raises:
        LookupError: there is none.
    """
    return _change(verilog, module, _definition(signal), expression, f"{signal} = {expression}")


def load(verilog: str, register: str, expression: str, *, module: str = "") -> Mutant:
    """Let a register take another value, but by its reset; for the rest see `drive`."""
    return _change(verilog, module, _loads(register), expression, f"{register} <= {expression}", place=-1)


def connect(verilog: str, instance: str, port: str, expression: str, *, module: str = "") -> Mutant:
    """Connect a port of an instance to another expression; for the rest see `drive`."""
    pattern = re.compile(
        rf"^ +\w+ {instance} \((?:[^;]*[\s,])?\.{port}\((?P<value>[^;]*?)\)(?=,\s|\s+\);)", re.MULTILINE
    )
    return _change(verilog, module, pattern, expression, f"{instance}.{port} = {expression}")


def keep_in_reset(verilog: str, register: str, *, module: str = "") -> Mutant:
    """Let a register not take its reset's value; for the rest see `drive`."""
    pattern = re.compile(rf"(?P<value>(?<= ){register} <= [^;]*;)(?=[^;]*(?:;[^;]*)*?\bend else\b)")
    return _change(verilog, module, pattern, "", f"{register} without reset", replaces=True)


def edit(verilog: str, signal: str, pattern: str, replacement: str, *, module: str = "") -> Mutant:
    """Change what matches a pattern in the definition of a wire or an output, or in what a register takes.

    Raises:
        LookupError: there is no such signal, or nothing in it matches.
    """

    def changed(value: str) -> str:
        text, count = re.subn(pattern, replacement, re.sub(r"\s+", " ", value))
        if count == 0:
            raise LookupError(f"nothing in {signal} matches {pattern}: {text}")
        return text

    description = f"{pattern} -> {replacement} in {signal}"
    try:
        return _change(verilog, module, _definition(signal), changed, description)
    except KeyError:
        return _change(verilog, module, _loads(signal), changed, description, place=-1)


def _definition(signal: str) -> re.Pattern[str]:
    # Beside it may stand bits that nobody reads.
    target = rf"(?:{signal}|\{{(?:unused_\w+, )?{signal}(?:, unused_\w+)?\}})"
    return re.compile(rf"^ +(?:wire|assign) +(?:\[\d+:\d+\] +)?{target} =\s*(?P<value>[^;]*);", re.MULTILINE)


def _loads(register: str) -> re.Pattern[str]:
    return re.compile(rf"^ +{register} <=\s*(?P<value>[^;]*);", re.MULTILINE)


class _MissingError(KeyError):
    """No module has what shall be changed."""

    def __str__(self) -> str:
        return str(self.args[0])


def _change(
    verilog: str,
    module: str,
    pattern: re.Pattern[str],
    expression: str | Callable[[str], str],
    description: str,
    *,
    place: int = 0,
    replaces: bool = False,
) -> Mutant:
    """Change the first match in each module, or the one at another place; all of it, or what is meant by `{}`."""
    pieces, end, count = [], 0, 0
    for found in _MODULE.finditer(verilog):
        if module and found[1] != module:
            continue
        matches = list(pattern.finditer(found[0]))
        if not matches:
            continue
        start, stop = matches[place].span("value")
        value = matches[place]["value"].strip()
        if callable(expression):
            text = expression(value)
        else:
            text = expression if replaces else expression.replace("{}", f"({value})")
        pieces += [verilog[end : found.start() + start], text]
        end, count = found.start() + stop, count + 1
    if count == 0:
        raise _MissingError(f"no module {module or 'of the Verilog'} has {description}")
    return Mutant(description, "".join(pieces) + verilog[end:])


def random_mutants(verilog: str, count: int, seed: int) -> list[Mutant]:
    """Return mutants with one operator exchanged, or one choice turned round, at places drawn from all modules."""
    sites = list(_sites(verilog))
    chosen = random.Random(seed).sample(sites, min(count, len(sites)))
    return [Mutant(f"{what} -> {text}", verilog[:start] + text + verilog[end:]) for what, start, end, text in chosen]


def _sites(verilog: str) -> Iterator[tuple[str, int, int, str]]:
    """Yield what stands where, the place, and another text for it."""
    statement = re.compile(r"^ +(?:(?:wire|assign) +(?:\[\d+:\d+\] +)?(\w+|\{.*\}) =|(\w+) <=)([^;]*);", re.MULTILINE)
    for module in _MODULE.finditer(verilog):
        for match in statement.finditer(verilog, *module.span()):
            name = f"{module[1]} {match[1] or match[2]}"
            start, value = match.start(3), match[3]
            for operator in re.finditer(r"(?<= )(?:[&|^+<>-]|[=!<>]=)(?= )", value):
                if operator[0] in _SWAPS:
                    first, last = (start + place for place in operator.span())
                    yield f"{name}: {operator[0]} at {operator.start()}", first, last, _SWAPS[operator[0]]
            condition = value.partition("?")[0]
            if "?" in value and condition.count("(") == condition.count(")") and "{" not in condition:
                yield f"{name}: {condition.strip()}", start, start + len(condition), f" ~({condition.strip()}) "
