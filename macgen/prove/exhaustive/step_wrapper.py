"""Verilog around the combinational modules of an emitted array, so that one step of a PE can be driven from outside.

A PE's loop consists of emitted modules: multiplier, rounding and product make an operand of two codes, the adder adds
it to an accumulator state, `folded` makes an operand of a state, `loaded` a state of an operand, the output makes a
code of a state; an outer accumulator has modules of its own. The wrapper packs members into vectors.

With `interleave` = I a step takes its inputs, but for the random number, before the first edge of its clock `clk`, and
gives its result after I - 1 edges.

A state tells some of the flags that the addition which made it raised: a step's flags are the adder's with those that
its result tells. Whatever settles a state has to tell the same. Where the adder does not tell of its accumulator what
the output does, the step raises all flags, which no addition does (with `interleave`, `agrees` is 0 before the first
edge); where what takes the state further does not, the code is inverted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import wiring

from macgen.bundle.verilog import rtlil_to_verilog
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl import Design, Modules
from macgen.rtl.units.aligned import AlignedLanes
from macgen.rtl.units.datapath import Datapath
from macgen.rtl.units.exact_number import ExactNumber

_ALL_FLAGS = f"{FLAG_BITS}'d{(1 << FLAG_BITS) - 1}"
_FLAGS_OUT = f"output [{FLAG_BITS - 1}:0] flags"


@dataclass(frozen=True)
class Vectors:
    """The packed vectors of one accumulator and its adder.

    Attributes:
        state_bits: width of a state.
        operand_bits: width of what is added.
        random_bits: width of the adder's input `random`; 0: it has none.
        zero: the packed state of an empty accumulator.
    """

    state_bits: int
    operand_bits: int
    random_bits: int
    zero: int


@dataclass(frozen=True)
class StepWrapper:
    """A wrapper and what its vectors are.

    Attributes:
        verilog: its text; it needs the array's Verilog beside it.
        modules: unit to the name of its module: `product`, `step`, `code`; where the accumulator's adder folds
            `folded`, where that is not the steps' `fold`; where products load exactly `loaded`; with an outer adder
            `addend` (a chunk sum with its scales as the outer adder's operand), `outer_step`, `outer_code`; with
            results in another format `result`.
        inner: the accumulator's, with what the adder of steps takes.
        folds: the outer accumulator's, or where it has no adder of its own the accumulator's; with what the adder that
            folds takes.
        idles: whether the adder can be given no product.
        result_random_bits: width of the input `random` of `result`; 0: it has none.
    """

    verilog: str
    modules: dict[str, str]
    inner: Vectors
    folds: Vectors
    idles: bool
    result_random_bits: int


def step_wrapper(design: Design, name: str) -> StepWrapper:
    """Return the wrapper for an array's Verilog.

    Parameters:
        design: the array.
        name: its top module's name.
    """
    spec, arithmetic, outer, operand = design.spec, design.steps, design.outer, design.operand
    converts = design.out is not None
    inner_output = f"{name}_output"
    texts = {}
    if converts or outer is not None:  # the array has no converter of such a state to a code
        inner_output = f"{name}_exhaustive_inner_output"
        texts["inner output"] = _output(arithmetic, inner_output)
    adder = f"{name}_adder" if spec.aligned_bits is None else f"{name}_aligned_adder"
    texts |= {
        "product": _product(design, name),
        "step": _step(arithmetic, f"{name}_exhaustive_step", adder, inner_output, operand, spec.interleave),
    }
    folds = design.folds_in_loop
    others = [(f"{name}_folded", [("present", "1'b1")])] if folds else []
    if outer is not None:
        others.append((f"{name}_number", []))
    elif converts:
        others.append((f"{name}_out_number", []))
    if folds and spec.aligned_bits is not None:
        texts["fold"] = _step(
            arithmetic,
            f"{name}_exhaustive_fold",
            f"{name}_adder",
            inner_output,
            arithmetic.operand,
            spec.interleave,
        )
    texts["code"] = _code(arithmetic, f"{name}_exhaustive_code", inner_output, others)
    if folds:
        texts["folded"] = _module(
            f"{name}_exhaustive_folded",
            [_state_in(arithmetic), "input present", _operand_port("output", arithmetic.operand)],
            [
                _instance(
                    f"{name}_folded",
                    ["present"],
                    _members("value", arithmetic.value, "state") + _members("operand", arithmetic.operand),
                )
            ],
        )
    if design.loads_products:
        texts["loaded"] = _module(
            f"{name}_exhaustive_loaded",
            [_operand_port("input", operand), _port("output", "state", _width(arithmetic.value)), _FLAGS_OUT],
            [
                _instance(
                    f"{name}_loaded",
                    ["flags"],
                    _members("operand", arithmetic.operand) + _members("value", arithmetic.value, "state"),
                )
            ],
        )
    if outer is not None:
        outer_output = f"{name}_output"
        if converts:
            outer_output = f"{name}_exhaustive_outer_output"
            texts["outer output"] = _output(outer, outer_output)
        texts["addend"] = _addend(design, name, outer)
        texts["outer_step"] = _step(
            outer, f"{name}_exhaustive_outer_step", f"{name}_outer_adder", outer_output, outer.operand, spec.interleave
        )
        others = [(f"{name}_out_number", [])] if converts else []
        texts["outer_code"] = _code(outer, f"{name}_exhaustive_outer_code", outer_output, others)
    if converts:
        texts["result"] = _result(design, name)
    return StepWrapper(
        verilog="\n".join(texts.values()),
        modules={unit: f"{name}_exhaustive_{unit}" for unit in texts if " " not in unit},
        inner=_vectors(arithmetic, operand),
        folds=_vectors(arithmetic if outer is None else outer, (arithmetic if outer is None else outer).operand),
        idles=spec.aligned_bits is None,
        result_random_bits=design.out_random_bits,
    )


# -- units -------------------------------------------------------------------------------------------------------------


def _product(design: Design, name: str) -> str:
    spec, arithmetic = design.spec, design.steps
    exact, product = ExactNumber(design.exact_product), ExactNumber(design.product)
    body, flags, products = [], [f"{FLAG_BITS}'d0"], []
    for lane in range(spec.lanes):
        codes = [
            (side, f"{side}[{(lane + 1) * fmt.width - 1}:{lane * fmt.width}]")
            for side, fmt in (("a", spec.a), ("b", spec.b))
        ]
        body += _wires(f"exact_{lane}", exact)
        body.append(_instance(f"{name}_multiplier", [], codes + _joined("product", f"exact_{lane}", exact), str(lane)))
        products.append(f"exact_{lane}")
        if spec.product is not None:
            flags.append(f"rounding_{lane}")
            products[-1] = f"rounded_{lane}"
            ports = _joined("number", f"exact_{lane}", exact) + _joined("rounded", products[-1], product)
            body += [f"wire [{FLAG_BITS - 1}:0] {flags[-1]};", *_wires(products[-1], product)]
            body.append(_instance(f"{name}_rounding", [], [("flags", flags[-1]), *ports], str(lane)))
    if spec.aligned_bits is not None:
        ports = [port for lane in range(spec.lanes) for port in _joined(f"numbers__{lane}", products[lane], product)]
        body.append(_instance(f"{name}_aligner", [], ports + _members("aligned", design.operand, "operand")))
    else:
        last = products[0]
        if spec.lanes > 1:
            last, total = "lane_sum", ExactNumber(arithmetic.rounded_sum.addend)
            flags.append("lane_flags")
            ports = [
                port for lane in range(spec.lanes) for port in _joined(f"products__{lane}", products[lane], product)
            ]
            ports += [*_joined("sum", last, total), ("flags", flags[-1])]
            body += [f"wire [{FLAG_BITS - 1}:0] {flags[-1]};", *_wires(last, total)]
            body.append(_instance(f"{name}_lanes", [], ports))
        ports = _joined("product", last, ExactNumber(arithmetic.rounded_sum.addend))
        ports += _members("operand", arithmetic.operand)
        body.append(_instance(f"{name}_product", ["present"], ports))
    return _module(
        f"{name}_exhaustive_product",
        [
            _port("input", "a", spec.lanes * spec.a.width),
            _port("input", "b", spec.lanes * spec.b.width),
            *(["input present"] if spec.aligned_bits is None else []),
            _operand_port("output", design.operand),
            _FLAGS_OUT,
        ],
        [*body, f"assign flags = {' | '.join(flags)};"],
    )


def _step(arithmetic: Datapath, name: str, adder: str, output: str, operand: wiring.Signature, cycles: int) -> str:
    value = arithmetic.value
    random = ["random"] if arithmetic.random_bits else []
    clock = ["clk"] if cycles > 1 else []
    acc, result = (_members("value", value, packed) for packed in ("state", "result"))
    sum_ports = _members("acc", value, "state") + _members("result", value)
    sum_ports += _members("lanes" if isinstance(operand, AlignedLanes) else "operand", operand, "operand")
    return _module(
        name,
        [
            _state_in(arithmetic),
            _operand_port("input", operand),
            *(_port("input", port, arithmetic.random_bits) for port in random),
            *(f"input {port}" for port in clock),
            _port("output", "result", _width(value)),
            _FLAGS_OUT,
            *(["output agrees"] if clock else []),
        ],
        [
            f"wire [{FLAG_BITS - 1}:0] raised, settled, told, told_before;",
            _instance(adder, [*random, *clock, "settled"], [("flags", "raised"), *sum_ports]),
            _instance(output, [], [("flags", "told_before"), *acc], "state"),
            _instance(output, [], [("flags", "told"), *result], "result"),
            *(
                ["assign agrees = settled == told_before;", "assign flags = raised | told;"]
                if clock
                else [f"assign flags = settled == told_before ? raised | told : {_ALL_FLAGS};"]
            ),
        ],
    )


def _code(arithmetic: Datapath, name: str, output: str, others: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> str:
    """Return the module that gives a state's code, inverted unless all others tell the same flags of the state."""
    state, width = _members("value", arithmetic.value, "state"), arithmetic.rounded_sum.acc.width
    body = [
        f"wire [{FLAG_BITS - 1}:0] told;",
        f"wire [{width - 1}:0] right;",
        _instance(output, [], [("code", "right"), ("flags", "told"), *state]),
    ]
    same = []
    for index, (other, ports) in enumerate(others):
        body.append(f"wire [{FLAG_BITS - 1}:0] told_{index};")
        body.append(_instance(other, [], [("flags", f"told_{index}"), *ports, *state]))
        same.append(f"told == told_{index}")
    body.append(f"assign code = {' & '.join(same) or 1} ? right : ~right;")
    return _module(name, [_state_in(arithmetic), _port("output", "code", width)], body)


def _addend(design: Design, name: str, outer: Datapath) -> str:
    spec, arithmetic = design.spec, design.steps
    number = ExactNumber(design.chunk_sum)
    ports = _members("value", arithmetic.value, "state") + _joined("number", "number", number)
    body = [*_wires("number", number), _instance(f"{name}_number", [], ports)]
    scales, last, addend = [], "number", number
    if spec.scale is not None:
        scales = ["a_scale", "b_scale"]
        addend, last = ExactNumber(outer.rounded_sum.addend), "scaled"
        ports = _joined("number", "number", number) + _joined("scaled", "scaled", addend)
        body += [*_wires("scaled", addend), _instance(f"{name}_scaler", scales, ports)]
    ports = _joined("product", last, addend) + _members("operand", outer.operand)
    return _module(
        f"{name}_exhaustive_addend",
        [
            _state_in(arithmetic),
            *(_port("input", scale, spec.scale.width) for scale in scales if spec.scale is not None),
            _operand_port("output", outer.operand),
        ],
        [*body, _instance(f"{name}_outer_operand", [], [("present", "1'b1"), *ports])],
    )


def _result(design: Design, name: str) -> str:
    arithmetic = design.results
    assert design.out is not None
    number = ExactNumber(design.out.rounded_sum.addend)
    random = ["random"] if design.out_random_bits else []
    ports = _members("value", arithmetic.value, "state") + _joined("number", "number", number)
    return _module(
        f"{name}_exhaustive_result",
        [
            _state_in(arithmetic),
            *(_port("input", port, design.out_random_bits) for port in random),
            _port("output", "code", design.out.rounded_sum.acc.width),
            _FLAGS_OUT,
        ],
        [
            *_wires("number", number),
            _instance(f"{name}_out_number", [], ports),
            _instance(f"{name}_out_conversion", [*random, "code", "flags"], _joined("number", "number", number)),
        ],
    )


def _output(arithmetic: Datapath, name: str) -> str:
    """Return a converter from states to codes that the array does not have, to see what its states mean."""
    return rtlil_to_verilog(Modules(name).convert(arithmetic.output()), name)


def _vectors(arithmetic: Datapath, operand: wiring.Signature) -> Vectors:
    zero, low = 0, 0
    for key, item in arithmetic.value.members.items():
        zero |= arithmetic.zero.get(key, 0) << low
        low += _bits(item)
    return Vectors(low, _width(operand), arithmetic.random_bits, zero)


# -- text --------------------------------------------------------------------------------------------------------------


def _bits(item: Any) -> int:
    width: int = Shape.cast(item.shape).width
    return width


def _width(signature: wiring.Signature) -> int:
    return sum(_bits(item) for item in signature.members.values())


def _port(direction: str, name: str, width: int) -> str:
    return f"{direction} [{width - 1}:0] {name}"


def _state_in(arithmetic: Datapath) -> str:
    return _port("input", "state", _width(arithmetic.value))


def _operand_port(direction: str, operand: wiring.Signature) -> str:
    return _port(direction, "operand", _width(operand))


def _wires(name: str, signature: wiring.Signature) -> list[str]:
    """Declare a wire for each member."""
    return [f"wire [{_bits(item) - 1}:0] {name}__{key};" for key, item in signature.members.items()]


def _joined(interface: str, name: str, signature: wiring.Signature) -> list[tuple[str, str]]:
    """Return port and connection of each member of an interface that has wires."""
    return [(f"{interface}__{key}", f"{name}__{key}") for key in signature.members]


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
