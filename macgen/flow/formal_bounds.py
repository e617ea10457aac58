"""Verilog harness for the proof that an accumulator never leaves its format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from macgen.flow.formal_harness import Harness, Ports, Property, harness_module, instance
from macgen.flow.formal_states import FloatStates, special
from macgen.numerics import FixedFormat
from macgen.rtl.addition import Addition
from macgen.rtl.datapath import datapath
from macgen.spec import MacSpec


@dataclass
class _Bench:
    """The emitted modules side by side, joined by bundles of nets `<bundle>__<member>`."""

    name: str
    modules: Mapping[str, Ports]
    inputs: dict[str, int] = field(default_factory=dict)
    body: list[str] = field(default_factory=list)

    def has(self, unit: str) -> bool:
        """Whether there is such a module."""
        return f"{self.name}_{unit}" in self.modules

    def members(self, unit: str, interface: str) -> dict[str, int]:
        """Return the members of a module's interface and their widths."""
        prefix = f"{interface}__"
        ports = self.modules[f"{self.name}_{unit}"]
        return {port[len(prefix) :]: width for port, (_, width) in ports.items() if port.startswith(prefix)}

    def free(self, bundle: str, members: Mapping[str, int]) -> None:
        """Let a bundle be anything."""
        self.inputs |= {f"{bundle}__{key}": width for key, width in members.items()}

    def unit(self, unit: str, nets: Mapping[str, str], given: Mapping[str, str], makes: Mapping[str, str]) -> None:
        """Add a module.

        Parameters:
            unit: which one.
            nets: ports that are no interface's, and their nets.
            given: interfaces to bundles that there are.
            makes: interfaces to bundles that it makes.
        """
        connections = dict(nets)
        for interface, bundle in [*given.items(), *makes.items()]:
            members = self.members(unit, interface)
            connections |= {f"{interface}__{key}": f"{bundle}__{key}" for key in members}
            if interface in makes:
                self.body += [f"  wire [{width - 1}:0] {bundle}__{key};\n" for key, width in members.items()]
        number = len(self.body)
        self.body.append(instance(f"{self.name}_{unit}", f"{unit}_{number}", connections))


def bounds_harness(spec: MacSpec, name: str, modules: Mapping[str, Ports]) -> Harness:
    """Return the proof, by induction over additions, that every state is one of the format and every code in range.

    Products, addends and states are any that are valid, and each module makes valid ones of valid ones; the empty
    accumulator is valid. So what is proved of one addition holds after any number of them.

    Parameters:
        spec: the array.
        name: its top module's name.
        modules: ports of the emitted modules.
    """
    bench = _Bench(name, modules)
    addition = Addition.of_steps(spec)
    raw, operand = bench.members("product", "product"), bench.members("product", "operand")
    state = bench.members("adder", "acc")
    bench.inputs = {"a": spec.a.width, "b": spec.b.width, "present": 1}
    for bundle, members in {"raw": raw, "addend": operand, "acc": state}.items():
        bench.free(bundle, members)
    random = modules[f"{name}_adder"].get("random")
    if random is not None:
        bench.inputs["random"] = random[1]
    bench.unit("multiplier", {"a": "a", "b": "b"}, {}, {"product": "multiplied"})
    bench.unit("product", {"present": "present"}, {"product": "raw"}, {"operand": "product"})
    bench.unit("adder", {"random": "random"} if random else {}, {"acc": "acc", "operand": "addend"}, {"result": "sum"})
    folds, loads = bench.has("folded"), bench.has("loaded")
    if folds:
        bench.unit("folded", {"present": "present"}, {"value": "acc"}, {"operand": "folded"})
    if loads:
        bench.unit("loaded", {}, {"operand": "product"}, {"value": "load"})
    zero = datapath(spec).zero
    bench.body += [f"  wire [{width - 1}:0] zero__{key} = {zero.get(key, 0)};\n" for key, width in state.items()]
    for bundle in ("acc", "sum"):
        bench.body.append(f"  wire [{spec.acc.width - 1}:0] {bundle}_code;\n")
        bench.unit("output", {"code": f"{bundle}_code"}, {"value": bundle}, {})

    properties = []
    results = {"zero": "1'b1", "sum": "acc_valid & addend_valid"} | ({"load": "raw_valid"} if loads else {})
    if isinstance(spec.acc, FixedFormat):
        for bundle in ("acc", *results):
            bench.body.append(_fixed_range(spec.acc, bundle))
        bench.body.append("  wire addend_valid = 1'b1, raw_valid = 1'b1;\n")
        code = "acc_code == acc__integer"
    else:
        valid = FloatStates(addition)
        bench.body += [valid.state(bundle, state) for bundle in ("acc", *results)]
        bench.body += [valid.product(bundle, raw) for bundle in ("raw", "multiplied")]
        addends = {"product": "raw_valid"} | ({"folded": "acc_valid"} if folds else {})
        for bundle, may_fold in {"product": False, "addend": folds, **({"folded": True} if folds else {})}.items():
            bench.body.append(valid.addend(bundle, operand, folded=may_fold))
        bench.body.append(f"  wire ok_addends = multiplied_valid & {_implications(addends)};\n")
        properties.append(
            Property("addends", "every product and every sum that is folded is an addend as the adder needs it")
        )
        code = valid.code("acc", state)
    bench.body.append(f"  wire ok_states = {_implications(results)};\n  wire ok_range = ~acc_valid | {code};\n")
    properties += [
        Property("states", "every accumulator state is one that stands for a number of the format, NaN or an infinity"),
        Property("range", f"every code is one of the format's; of a finite number, no larger than {spec.acc.max:g}"),
    ]
    numbers = f"acc_valid & addend_valid & ~{special('acc', state)} & ~{special('addend', operand)}"
    bench.body.append(f"  wire numbers = {numbers};\n")
    if spec.overflow == "saturate":
        bench.body.append(f"  wire ok_finite = ~numbers | ~{special('sum', state)};\n")
        properties.append(Property("finite", "finite operands never give NaN or infinity"))
    if spec.overflow != "wrap":
        bench.body += _direction(spec, operand)
        properties.append(
            Property(
                "direction", "a positive addend never lowers a sum, a negative one never raises it, none leaves it"
            )
        )
    return Harness(
        name="bounds",
        verilog=harness_module(bench.inputs, bench.body, properties),
        properties=tuple(properties),
        depth=None,
    )


def _implications(conditions: Mapping[str, str]) -> str:
    """Return that each bundle is valid under its condition."""
    return "(" + " & ".join(f"(~({condition}) | {bundle}_valid)" for bundle, condition in conditions.items()) + ")"


def _fixed_range(acc: FixedFormat, bundle: str) -> str:
    """Return Verilog for `<bundle>_valid`."""
    kind, bits = ("$signed", acc.width) if acc.signed else ("$unsigned", acc.width)
    low, high = (_number(limit, bits, acc.signed) for limit in (acc.min_integer, acc.max_integer))
    value = f"{kind}({bundle}__integer)"
    return f"  wire {bundle}_valid = {value} >= {low} & {value} <= {high};\n"


def _order(spec: MacSpec, bundle: str) -> str:
    """Return Verilog for `<bundle>_order`, a signed number that is the larger, the larger the code's number."""
    code, bits = f"{bundle}_code", spec.acc.width
    if isinstance(spec.acc, FixedFormat):
        order = f"$signed({code})" if spec.acc.signed else f"$signed({{1'b0, {code}}})"
    else:
        magnitude = f"$signed({{2'b0, {code}[{bits - 2}:0]}})"
        order = f"{code}[{bits - 1}] ? -{magnitude} : {magnitude}"
    return f"  wire signed [{bits}:0] {bundle}_order = {order};\n"


def _direction(spec: MacSpec, operand: Mapping[str, int]) -> list[str]:
    """Return Verilog for `ok_direction`."""
    key = "integer" if isinstance(spec.acc, FixedFormat) else "significand"
    addend = f"addend__{key}"
    return [
        *(_order(spec, bundle) for bundle in ("acc", "sum")),
        f"  wire lowers = {addend}[{operand[key] - 1}];\n",
        f"  wire ok_direction = ~numbers | ({addend} == 0 ? sum_order == acc_order\n"
        "    : lowers ? sum_order <= acc_order : sum_order >= acc_order);\n",
    ]


def _number(value: int, bits: int, signed: bool) -> str:
    return f"-{bits + 1}'sd{-value}" if value < 0 else f"{bits + 1}'{'s' if signed else ''}d{value}"
