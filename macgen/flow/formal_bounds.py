"""Verilog harness for the proof that an accumulator never leaves its format."""

from __future__ import annotations

from collections.abc import Mapping

from macgen.flow.formal_harness import Harness, Ports, Property, harness_module, instance
from macgen.numerics import FixedFormat, FloatFormat
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.datapath import datapath
from macgen.spec import MacSpec

_SPECIALS = ("nan", "infinite")


def bounds_harness(spec: MacSpec, name: str, modules: Mapping[str, Ports]) -> Harness:
    """Return the proof, by induction over additions, that every state is one of the format and every code in range.

    The invariant holds of the empty accumulator, and of the result of each addition where it holds of the addends: a
    product of any two operand codes or none, with chunks also any state as a total that is folded.

    Parameters:
        spec: the array.
        name: its top module's name.
        modules: ports of the emitted modules.
    """
    inputs = {"a": spec.a.width, "b": spec.b.width, "present": 1}
    body: list[str] = []
    zero = datapath(spec).zero
    # States: the old one, a total, and what each unit makes of them.
    for state in ("acc", "total") if spec.chunk is not None else ("acc",):
        for port, width in _members(modules[f"{name}_adder"], "acc__").items():
            inputs[f"{state}__{port}"] = width
    random = modules[f"{name}_adder"].get("random")
    if random is not None:
        inputs["random"] = random[1]
    body += _product(name, modules)
    steps = {"sum": ("adder", "acc", "product")}
    if spec.chunk is not None:
        operand = _members(modules[f"{name}_folded"], "operand__")
        body += [_wires("folded", operand)]
        connections = {f"value__{key}": f"total__{key}" for key in _members(modules[f"{name}_folded"], "value__")}
        connections |= {"present": "present"} | {f"operand__{key}": f"folded__{key}" for key in operand}
        body.append(instance(f"{name}_folded", "fold", connections))
        steps["fold_sum"] = ("adder", "acc", "folded")
        if f"{name}_loaded" in modules:
            steps["load"] = ("loaded", "", "product")
    for result, (unit, state, operand_name) in steps.items():
        ports = modules[f"{name}_{unit}"]
        out = "result" if unit == "adder" else "value"
        members = _members(ports, f"{out}__")
        body.append(_wires(result, members) + f"  wire [{FLAG_BITS - 1}:0] {result}_flags;\n")
        connections = {f"{out}__{key}": f"{result}__{key}" for key in members} | {"flags": f"{result}_flags"}
        connections |= {f"operand__{key}": f"{operand_name}__{key}" for key in _members(ports, "operand__")}
        connections |= {f"acc__{key}": f"{state}__{key}" for key in _members(ports, "acc__")}
        if "random" in ports:
            connections["random"] = "random"
        body.append(instance(f"{name}_{unit}", f"make_{result}", connections))
    members = _members(modules[f"{name}_adder"], "acc__")
    body.append(
        "".join(f"  wire [{width - 1}:0] zero__{key} = {zero.get(key, 0)};\n" for key, width in members.items())
    )
    states = ["zero", *(state for state in ("acc", "total") if f"{state}__{next(iter(members))}" in inputs), *steps]
    for state in states:
        body.append(f"  wire [{spec.acc.width - 1}:0] {state}_code;\n")
        connections = {f"value__{key}": f"{state}__{key}" for key in members} | {"code": f"{state}_code"}
        body.append(instance(f"{name}_output", f"convert_{state}", connections))
        body.append(_invariant(spec, state, members))
    addends = [state for state in states if state in ("acc", "total")]
    assumed = " & ".join(f"{state}_valid" for state in addends)
    finite = " & ".join(
        [f"~{state}_special" for state in addends]
        + [
            f"~product__{key}"
            for key in _SPECIALS
            if f"{name}_product" in modules and f"operand__{key}" in modules[f"{name}_product"]
        ]
    )
    made = " & ".join(f"{state}_valid" for state in ("zero", *steps))
    body.append(f"  wire ok_states = ~({assumed}) | ({made});\n")
    properties = [
        Property("states", "every accumulator state is one of the format's: its code in range, or NaN or infinite")
    ]
    if spec.overflow == "saturate":
        body.append(
            f"  wire ok_finite = ~({assumed} & {finite}) | ({' & '.join(f'~{state}_special' for state in steps)});\n"
        )
        properties.append(
            Property("finite", f"finite operands never give NaN or infinity; no code lies beyond {spec.acc.max:g}")
        )
    if spec.overflow == "saturate" and isinstance(spec.acc, FixedFormat):
        key = "integer"
        body += [_order(spec, state) for state in ("acc", "sum")]
        top = _members(modules[f"{name}_product"], "operand__")[key] - 1
        sign = f"product__{key}[{top}]"
        body.append(
            f"  wire ok_direction = ~({assumed} & {finite})"
            f" | ({sign} ? sum_order <= acc_order : sum_order >= acc_order);\n"
        )
        properties.append(Property("direction", "a positive addend never lowers a sum, a negative one never raises it"))
    return Harness(
        name="bounds",
        verilog=harness_module(inputs, body, properties),
        properties=tuple(properties),
        depth=None,
    )


def _product(name: str, modules: Mapping[str, Ports]) -> list[str]:
    raw = _members(modules[f"{name}_multiplier"], "product__")
    operand = _members(modules[f"{name}_product"], "operand__")
    connections = {f"product__{key}": f"raw__{key}" for key in raw}
    return [
        _wires("raw", raw),
        _wires("product", operand),
        instance(f"{name}_multiplier", "multiply", {"a": "a", "b": "b"} | connections),
        instance(
            f"{name}_product",
            "align",
            {"present": "present"} | connections | {f"operand__{key}": f"product__{key}" for key in operand},
        ),
    ]


def _invariant(spec: MacSpec, state: str, members: Mapping[str, int]) -> str:
    """Return Verilog for `<state>_special` and `<state>_valid`."""
    special = " | ".join(f"{state}__{key}" for key in _SPECIALS if key in members) or "1'b0"
    text = f"  wire {state}_special = {special};\n"
    if not isinstance(spec.acc, FloatFormat):
        low, high = spec.acc.min_integer, spec.acc.max_integer
        signed = "$signed" if spec.acc.signed else ""
        bits = spec.acc.width
        return text + (
            f"  wire {state}_valid = {signed}({state}__integer) >= {_number(low, bits, spec.acc.signed)}"
            f" & {signed}({state}__integer) <= {_number(high, bits, spec.acc.signed)}"
            f" & {state}_code == {state}__integer;\n"
        )
    # Of a float the code tells: how a state stands for a number is the adder's and the output's affair.
    largest = spec.acc.infinity_code(0) if spec.overflow == "infinity" else spec.acc.max_code
    conditions = [f"{state}_code[{spec.acc.width - 2}:0] <= {largest}"]
    if spec.acc.encoding == "fnuz":
        conditions.append(f"{state}_code != {spec.acc.nan_code}")
    return text + f"  wire {state}_valid = {state}_special | ({' & '.join(conditions)});\n"


def _order(spec: MacSpec, state: str) -> str:
    """Return Verilog for `<state>_order`, the signed number that a fixed-point code is."""
    code = f"{state}_code"
    value = (
        f"$signed({code})" if isinstance(spec.acc, FixedFormat) and spec.acc.signed else f"$signed({{1'b0, {code}}})"
    )
    return f"  wire signed [{spec.acc.width}:0] {state}_order = {value};\n"


def _number(value: int, bits: int, signed: bool) -> str:
    return f"-{bits + 1}'sd{-value}" if value < 0 else f"{bits + 1}'{'s' if signed else ''}d{value}"


def _members(ports: Ports, prefix: str) -> dict[str, int]:
    return {port[len(prefix) :]: width for port, (_, width) in ports.items() if port.startswith(prefix)}


def _wires(prefix: str, members: Mapping[str, int]) -> str:
    return "".join(f"  wire [{width - 1}:0] {prefix}__{key};\n" for key, width in members.items())
