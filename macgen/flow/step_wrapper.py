"""Verilog around the combinational modules of an emitted array, so that one step of a PE can be driven from outside.

A PE's loop consists of emitted modules: multiplier and product make an operand of two codes, the adder adds it to an
accumulator state, `folded` makes an operand of a state, `loaded` a state of an operand, the output makes a code of a
state. The wrapper packs members into vectors.

With `interleave` = I the step is there after I - 1 cycles of its clock `clk`, during which the inputs stay.

A state tells some of the flags that the addition which made it raised: a step's flags are the adder's with those that
its result tells. Whatever settles a state has to tell the same. Where the adder does not tell of its accumulator what
the output does, the step raises all flags, which no addition does; where `folded` does not, the code is inverted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import wiring

from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.addition import ExactNumber
from macgen.rtl.datapath import datapath
from macgen.spec import MacSpec

_ALL_FLAGS = f"{FLAG_BITS}'d{(1 << FLAG_BITS) - 1}"


@dataclass(frozen=True)
class StepWrapper:
    """A wrapper and what its vectors are.

    Attributes:
        verilog: its text; it needs the array's Verilog beside it.
        modules: unit (`product`, `step`, `code`, with chunks `folded`, where products load exactly `loaded`) to the
            name of its module.
        state_bits: width of a packed accumulator state.
        operand_bits: width of a packed operand.
        random_bits: width of the input `random` of `step`; 0: it has none.
        zero: the packed state of an empty accumulator.
    """

    verilog: str
    modules: dict[str, str]
    state_bits: int
    operand_bits: int
    random_bits: int
    zero: int


def step_wrapper(spec: MacSpec, name: str) -> StepWrapper:
    """Return the wrapper for an array's Verilog.

    Parameters:
        spec: the array.
        name: its top module's name.
    """
    arithmetic = datapath(spec)
    raw = ExactNumber(arithmetic.addition.addend)
    value, operand = arithmetic.value, arithmetic.operand
    flags = f"output [{FLAG_BITS - 1}:0] flags"
    state_in = _port("input", "state", _width(value))
    operand_in, operand_out = (_port(direction, "operand", _width(operand)) for direction in ("input", "output"))
    random = [("random", arithmetic.random_bits)] if arithmetic.random_bits else []
    texts = {
        "product": _module(
            f"{name}_exhaustive_product",
            [_port("input", "a", spec.a.width), _port("input", "b", spec.b.width), "input present", operand_out],
            [f"wire [{_bits(item) - 1}:0] product__{member};" for member, item in raw.members.items()]
            + [
                _instance(f"{name}_multiplier", ["a", "b"], [(f"product__{key}",) * 2 for key in raw.members]),
                _instance(
                    f"{name}_product",
                    ["present"],
                    [(f"product__{key}",) * 2 for key in raw.members] + _members("operand", operand),
                ),
            ],
        ),
        "step": _module(
            f"{name}_exhaustive_step",
            [
                *(["input clk"] if spec.interleave > 1 else []),
                state_in,
                operand_in,
                *(_port("input", *port) for port in random),
                _port("output", "result", _width(value)),
                flags,
            ],
            _step(spec, name),
        ),
        "code": _module(
            f"{name}_exhaustive_code",
            [state_in, _port("output", "code", spec.acc.width)],
            _code(spec, name),
        ),
    }
    if spec.chunk is not None:
        texts["folded"] = _module(
            f"{name}_exhaustive_folded",
            [state_in, "input present", operand_out],
            [
                _instance(
                    f"{name}_folded", ["present"], _members("value", value, "state") + _members("operand", operand)
                )
            ],
        )
    if spec.chunk is not None and spec.fold == "overlap" and arithmetic.loads_exactly:
        texts["loaded"] = _module(
            f"{name}_exhaustive_loaded",
            [operand_in, _port("output", "state", _width(value)), flags],
            [_instance(f"{name}_loaded", ["flags"], _members("operand", operand) + _members("value", value, "state"))],
        )
    zero, low = 0, 0
    for key, item in value.members.items():
        zero |= arithmetic.zero.get(key, 0) << low
        low += _bits(item)
    return StepWrapper(
        verilog="\n".join(texts.values()),
        modules={unit: f"{name}_exhaustive_{unit}" for unit in texts},
        state_bits=_width(value),
        operand_bits=_width(operand),
        random_bits=arithmetic.random_bits,
        zero=zero,
    )


def _step(spec: MacSpec, name: str) -> list[str]:
    value, operand = datapath(spec).value, datapath(spec).operand
    same = ["settled", *(["random"] if datapath(spec).random_bits else []), *(["clk"] if spec.interleave > 1 else [])]
    acc, result = (_members("value", value, packed) for packed in ("state", "result"))
    sum_ports = _members("acc", value, "state") + _members("operand", operand) + _members("result", value)
    return [
        f"wire [{FLAG_BITS - 1}:0] raised, settled, told, told_before;",
        _instance(f"{name}_adder", same, [("flags", "raised"), *sum_ports]),
        _instance(f"{name}_output", [], [("flags", "told_before"), *acc], "state"),
        _instance(f"{name}_output", [], [("flags", "told"), *result], "result"),
        f"assign flags = settled == told_before ? raised | told : {_ALL_FLAGS};",
    ]


def _code(spec: MacSpec, name: str) -> list[str]:
    state = _members("value", datapath(spec).value, "state")
    if spec.chunk is None:
        return [_instance(f"{name}_output", ["code"], state)]
    return [
        f"wire [{FLAG_BITS - 1}:0] told, told_folded;",
        f"wire [{spec.acc.width - 1}:0] right;",
        _instance(f"{name}_output", [], [("code", "right"), ("flags", "told"), *state]),
        _instance(f"{name}_folded", [], [("present", "1'b1"), ("flags", "told_folded"), *state]),
        "assign code = told == told_folded ? right : ~right;",
    ]


def _bits(item: Any) -> int:
    width: int = Shape.cast(item.shape).width
    return width


def _width(signature: wiring.Signature) -> int:
    return sum(_bits(item) for item in signature.members.values())


def _port(direction: str, name: str, width: int) -> str:
    return f"{direction} [{width - 1}:0] {name}"


def _members(interface: str, signature: wiring.Signature, packed: str | None = None) -> list[tuple[str, str]]:
    """Return port and connection of each member of an interface that a vector holds, the first member lowest."""
    connections, low = [], 0
    for key, item in signature.members.items():
        connections.append((f"{interface}__{key}", f"{packed or interface}[{low + _bits(item) - 1}:{low}]"))
        low += _bits(item)
    return connections


def _instance(module: str, same: Sequence[str], connections: Sequence[tuple[str, ...]], suffix: str = "unit") -> str:
    ports = [(port, port) for port in same] + list(connections)
    return f"{module} {module}_{suffix} ({', '.join(f'.{port}({net})' for port, net in ports)});"


def _module(name: str, ports: Sequence[str], body: Sequence[str]) -> str:
    lines = "\n".join(f"  {line}" for line in body)
    return f"module {name} ({', '.join(ports)});\n{lines}\nendmodule\n"
