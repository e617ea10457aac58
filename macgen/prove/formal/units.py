"""One-bit versions of an array's arithmetic, for the proofs of its control.

An accumulator state, an addend, a product and a scale carry one bit each, in every bit of their vectors; what computes
with them is any function of such bits, the same one everywhere (tables that the solver chooses), but for one thing:
where a PE counts on that it does not matter which addend is the accumulator, as it loads products as they are, the
tables of its proof are symmetric. The lanes' products become the parity of any of them; so does a group of them before
its scales. Vectors whose bits disagree decode to any bit. A beat that is lost, repeated or out of order, and a member
that a multiplexer forgets, then change a result for some function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from amaranth.hdl import Shape

from macgen.numerics.flags import FLAG_BITS
from macgen.prove.formal.tables import Arithmetic, Tables, added_numbers, combines_lanes, lane_flags, rounded, scaled
from macgen.prove.verilog_text import Ports, decoded, joined, module, part
from macgen.rtl import Design
from macgen.spec import MacSpec


def zero_state(design: Design) -> str:
    """Return the empty accumulator whose states leave the PEs as it stands in a packed result, member 0 lowest."""
    arithmetic = design.results
    widths = {key: Shape.cast(item.shape).width for key, item in arithmetic.value.members.items()}
    return joined(f"{width}'d{arithmetic.zero.get(key, 0)}" for key, width in reversed(widths.items()))


@dataclass
class AbstractUnits:
    """The one-bit versions, which leave every port of the emitted modules as it is.

    Attributes:
        design: the array.
        name: its top module's name.
        modules: ports of the emitted modules.
        texts: the units written so far, and their Verilog.
        used: their tables.
    """

    design: Design
    name: str
    modules: Mapping[str, Ports]
    texts: dict[str, str] = field(default_factory=dict)
    used: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        spec, inner, outer = self.spec, self.design.steps.zero, self.design.outer
        steps, fold = Arithmetic(self.design).steps, Arithmetic(self.design).folds
        self._products()
        if self.design.window is None:
            self._operand("product")
            self._adder("adder", steps, inner, spec.interleave)
        else:
            self._adder("aligned_adder", steps, inner, spec.interleave)
            if self._has("adder"):
                self._adder("adder", fold, inner, spec.interleave)
        if self._has("folded"):
            body = self._state_in("folded", "value__", inner) + self._deferred("flags", steps)
            self._add("folded", body + self._addend_out("folded", "present", "s"), [steps.deferred])
        if self._has("loaded"):
            body = "  wire s = 1'b0;\n" + self._addend_in("loaded", "operand__") + self._sum(steps)
            out = self._state_out("loaded", "value__", "sum", inner)
            self._add(
                "loaded",
                body + "  assign flags = raised;\n" + out,
                [table for table in steps.widths if table != steps.deferred],
            )
        if outer is not None:
            self._chunk_sums(inner)
            self._operand("outer_operand")
            self._adder("outer_adder", fold, outer.zero, self.design.adder_cycles)

    @property
    def spec(self) -> MacSpec:
        """The array's spec."""
        return self.design.spec

    @property
    def verilog(self) -> str:
        """The units' text."""
        return "".join(self.texts.values())

    @property
    def replaced(self) -> tuple[str, ...]:
        """The emitted modules in whose place they are."""
        return tuple(f"{self.name}_{unit}" for unit in self.texts)

    def connections(self, pe: str) -> tuple[tuple[str, str], ...]:
        """Return the pairs of a unit's table in a PE and the harness's."""
        spec = self.spec
        lanes = [""] if spec.lanes == 1 else [f"_{lane}" for lane in range(spec.lanes)]
        places = {
            "multiplier": [f"multiplier{lane}" for lane in lanes],
            "rounding": [f"rounding{lane}" for lane in lanes],
        }
        places["adder"] = ["adder"]
        if self.design.loads_products:
            places["loaded"] = ["loader"]
        elif self.design.folds_overlap and self.design.window is None:
            places["adder"] += ["loader"]
        for unit, instance in (("number", "number"), ("scaler", "scaler"), ("outer_adder", "adder")):
            places[unit] = [f"outer.{instance}"]
        return tuple(
            (f"{pe}.{place}.{table}", table)
            for unit, tables in self.used.items()
            for place in places.get(unit, [unit])
            for table in tables
        )

    # -- units -----------------------------------------------------------------------------------------------------

    def _products(self) -> None:
        spec = self.spec
        products = self._ports("multiplier", "product__", "output")
        self._add(
            "multiplier",
            "  wire [3:0] product_table;\n"
            + decoded("x", "a", spec.a.width)
            + decoded("y", "b", spec.b.width)
            + _all_bits(products, "`LOOK_UP(product_table, x, y)"),
            ["product_table"],
        )
        if spec.product is not None:
            numbers = self._ports("rounding", "number__", "input")
            body = f"  wire [1:0] rounding_table;\n  wire [{FLAG_BITS - 1}:0] rounding_flags;\n"
            body += decoded("v", joined(numbers), sum(numbers.values()))
            body += _all_bits(self._ports("rounding", "rounded__", "output"), rounded("v"))
            body += f"  assign flags = {_flags('v', 'rounding_flags')};\n"
            self._add("rounding", body, ["rounding_table", "rounding_flags"])
        if not combines_lanes(spec):
            return
        if spec.scales_lanes:
            self._terms()
        unit, numbered, out = (
            ("lanes", "products", "sum") if self.design.window is None else ("aligner", "numbers", "aligned")
        )
        count = added_numbers(self.design)
        body = f"  wire [{count - 1}:0] lane_mask;\n"
        for lane in range(count):
            members = self._ports(unit, f"{numbered}__{lane}__", "input")
            body += decoded(f"v_{lane}", joined(members), sum(members.values()))
        body += f"  wire v = ^({joined(f'v_{lane}' for lane in reversed(range(count)))} & lane_mask);\n"
        body += _all_bits(self._ports(unit, f"{out}__", "output"), "v")
        tables = ["lane_mask"]
        if lane_flags(spec):
            body += f"  wire [{FLAG_BITS - 1}:0] lane_flags;\n  assign flags = {_flags('v', 'lane_flags')};\n"
            tables.append("lane_flags")
        elif "flags" in self.modules[f"{self.name}_{unit}"]:
            body += "  assign flags = 0;\n"
        self._add(unit, body, tables)

    def _terms(self) -> None:
        """Add what makes terms of products: the parity of any of a group's, and any function of it and its scales."""
        spec, plan = self.spec, self.design.terms
        assert plan is not None
        assert spec.scale is not None
        assert spec.block is not None
        body = f"  wire [7:0] scale_table;\n  wire [{spec.lanes - 1}:0] group_mask;\n"
        for lane in range(spec.lanes):
            members = self._ports("terms", f"products__{lane}__", "input")
            body += decoded(f"v_{lane}", joined(members), sum(members.values()))
        for block in range(spec.scales_in_beat):
            body += decoded(f"p_{block}", part("a_scale", block, spec.scale.width), spec.scale.width)
            body += decoded(f"q_{block}", part("b_scale", block, spec.scale.width), spec.scale.width)
        for index in range(plan.count):
            lanes = range(index * plan.group, (index + 1) * plan.group)
            mask = part("group_mask", index, plan.group)
            body += f"  wire u_{index} = ^({joined(f'v_{lane}' for lane in reversed(lanes))} & {mask});\n"
            block = lanes[0] // spec.block
            term = scaled(f"u_{index}", f"p_{block}", f"q_{block}")
            body += _all_bits(self._ports("terms", f"terms__{index}__", "output"), term)
        self._add("terms", body, ["scale_table", "group_mask"])

    def _chunk_sums(self, zero: Mapping[str, int]) -> None:
        steps, numbers = Arithmetic(self.design).steps, self._ports("number", "number__", "output")
        self._add(
            "number",
            self._state_in("number", "value__", zero) + self._deferred("flags", steps) + _all_bits(numbers, "s"),
            [steps.deferred],
        )
        if self.spec.scale is None or not self.spec.scales_chunks:
            return
        width = self.spec.scale.width
        members = self._ports("scaler", "number__", "input")
        self._add(
            "scaler",
            "  wire [7:0] scale_table;\n"
            + decoded("v", joined(members), sum(members.values()))
            + decoded("p", "a_scale", width)
            + decoded("q", "b_scale", width)
            + _all_bits(self._ports("scaler", "scaled__", "output"), scaled("v", "p", "q")),
            ["scale_table"],
        )

    def _operand(self, unit: str) -> None:
        members = self._ports(unit, "product__", "input")
        body = decoded("v", joined(members), sum(members.values()))
        self._add(unit, body + self._addend_out(unit, "present", "v"), [])

    def _adder(self, unit: str, tables: Tables, zero: Mapping[str, int], cycles: int) -> None:
        """Add an adder, whose sum is there some cycles later."""
        if unit == "aligned_adder":
            members = self._ports(unit, "lanes__", "input")
            operand = "  wire there = 1'b1;\n" + decoded("v", joined(members), sum(members.values()))
        else:
            operand = self._addend_in(unit, "operand__")
        body = self._state_in(unit, "acc__", zero) + operand + self._sum(tables)
        body += self._deferred("deferred_flags", tables)
        body += f"  wire sum_0 = sum;\n  wire [{FLAG_BITS - 1}:0] raised_0 = raised;\n"
        for cycle in range(1, cycles):
            body += f"  reg sum_{cycle};\n  reg [{FLAG_BITS - 1}:0] raised_{cycle};\n"
            body += f"  always @(posedge clk) begin sum_{cycle} <= sum_{cycle - 1}; "
            body += f"raised_{cycle} <= raised_{cycle - 1}; end\n"
        body += f"  assign flags = raised_{cycles - 1};\n"
        body += self._state_out(unit, "result__", f"sum_{cycles - 1}", zero)
        self._add(unit, body, list(tables.widths))

    @staticmethod
    def _deferred(port: str, tables: Tables) -> str:
        return f"  wire [{FLAG_BITS - 1}:0] {tables.deferred};\n  assign {port} = {tables.deferred_by('s')};\n"

    @staticmethod
    def _sum(tables: Tables) -> str:
        return (
            "".join(f"  wire [3:0] {name};\n" for name in tables.widths if name != tables.deferred)
            + f"  wire sum = there ? {tables.sum('s', 'v')} : s;\n"
            f"  wire [{FLAG_BITS - 1}:0] raised = there ? {tables.raised('s', 'v')} : {FLAG_BITS}'b0;\n"
        )

    # -- what they are made of ------------------------------------------------------------------------------------

    def _has(self, unit: str) -> bool:
        return f"{self.name}_{unit}" in self.modules

    def _add(self, unit: str, body: str, tables: list[str]) -> None:
        self.texts[unit] = module(f"{self.name}_{unit}", self.modules[f"{self.name}_{unit}"], body)
        self.used[unit] = tables

    def _ports(self, unit: str, prefix: str, direction: str) -> dict[str, int]:
        found = self.modules[f"{self.name}_{unit}"]
        ports = sorted(found.items())
        return {port: width for port, (goes, width) in ports if port.startswith(prefix) and goes == direction}

    def _state_in(self, unit: str, prefix: str, zero: Mapping[str, int]) -> str:
        members = self._ports(unit, prefix, "input")
        return decoded("s", f"{joined(members)} ^ {_constant(members, prefix, zero)}", sum(members.values()))

    def _state_out(self, unit: str, prefix: str, bit: str, zero: Mapping[str, int]) -> str:
        members = self._ports(unit, prefix, "output")
        bits = sum(members.values())
        return f"  assign {joined(members)} = {{{bits}{{{bit}}}}} ^ {_constant(members, prefix, zero)};\n"

    def _addend_in(self, unit: str, prefix: str) -> str:
        members = self._ports(unit, prefix, "input")
        bits = sum(members.values())
        return f"  wire [{bits - 1}:0] addend = {joined(members)};\n  wire there = addend[0];\n" + decoded(
            "v", f"addend[{bits - 1}:1]", bits - 1
        )

    def _addend_out(self, unit: str, there: str, bit: str) -> str:
        members = self._ports(unit, "operand__", "output")
        return f"  assign {joined(members)} = {{{{{sum(members.values()) - 1}{{{bit} & {there}}}}}, {there}}};\n"


def _all_bits(members: Mapping[str, int], bit: str) -> str:
    return f"  assign {joined(members)} = {{{sum(members.values())}{{{bit}}}}};\n"


def _constant(members: Mapping[str, int], prefix: str, zero: Mapping[str, int]) -> str:
    return joined(f"{width}'d{zero.get(port[len(prefix) :], 0)}" for port, width in members.items())


def _flags(bit: str, flags: str) -> str:
    return f"{bit} ? {flags} : {FLAG_BITS}'b0"
