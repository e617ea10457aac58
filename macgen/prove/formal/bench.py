"""Modules of an array side by side, joined by nets, and what is claimed of what they make: a harness in parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from macgen.bundle.verilog import rtlil_to_verilog
from macgen.prove.formal.harness import Harness, Property, harness_module
from macgen.prove.formal.states import number_valid
from macgen.prove.verilog_text import Ports, instance
from macgen.rtl import Modules
from macgen.rtl.parts.hierarchy import ports_of
from macgen.rtl.units.datapath import AnyDatapath
from macgen.rtl.units.exact_number import Addend


@dataclass
class Bench:
    """The emitted modules side by side, joined by bundles of nets `<bundle>__<member>`.

    Attributes:
        name: the array's.
        modules: ports of the emitted modules.
        inputs: what may be anything.
        body: the harness's text so far.
        extra: modules that are made for the proof.
        made: conditions under which bundles that modules make are numbers or addends as the next module needs them.
        properties: what is claimed so far.
    """

    name: str
    modules: dict[str, Ports]
    inputs: dict[str, int] = field(default_factory=dict)
    body: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)
    properties: list[Property] = field(default_factory=list)

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
        ports = self.modules[f"{self.name}_{unit}"]
        connections = dict(nets)
        connections |= {
            port: net for port, net in (("clk", "clk"), ("rst", "1'b0"), ("clk_en", "1'b1")) if port in ports
        }
        if "random" in ports:
            self.inputs[f"random_{unit}"] = ports["random"][1]
            connections["random"] = f"random_{unit}"
        if "mode" in ports:  # any, and everywhere the same
            declared = f"  (* anyconst *) wire [{ports['mode'][1] - 1}:0] mode;\n"
            if declared not in self.body:
                self.body.insert(0, declared)
            connections["mode"] = "mode"
        for interface, bundle in [*given.items(), *makes.items()]:
            members = self.members(unit, interface)
            connections |= {f"{interface}__{key}": f"{bundle}__{key}" for key in members}
            if interface in makes:
                self.body += [f"  wire [{width - 1}:0] {bundle}__{key};\n" for key, width in members.items()]
        number = len(self.body)
        self.body.append(instance(f"{self.name}_{unit}", f"{unit}_{number}", connections))

    def any_number(self, bundle: str, unit: str, interface: str, addend: Addend) -> None:
        """Let a bundle that a module takes be anything, and say when it is a number."""
        members = self.members(unit, interface)
        self.free(bundle, members)
        self.body.append(number_valid(bundle, members, addend))

    def makes_number(self, bundle: str, unit: str, interface: str, addend: Addend, condition: str) -> None:
        """Claim that a bundle that a module makes is a number under a condition."""
        self.body.append(number_valid(bundle, self.members(unit, interface), addend))
        self.made[bundle] = condition

    def output(self, arithmetic: AnyDatapath, emitted: bool) -> str:
        """Return the module that gives the code of a state: the emitted one, or one made for the proof."""
        if emitted:
            return "output"
        unit = "formal_output"
        component = arithmetic.output()
        self.extra.append(rtlil_to_verilog(Modules(f"{self.name}_{unit}").convert(component), unit))
        self.modules[f"{self.name}_{unit}"] = {
            port: ("input" if is_input else "output", len(signal)) for port, is_input, signal in ports_of(component)
        }
        return unit

    def harness(self, name: str, cycles: int, unproved: Sequence[str]) -> Harness:
        """Return the harness."""
        if self.made:
            self.body.append(f"  wire ok_addends = {implications(self.made)};\n")
            claim = "every number that a module hands to the next, and every sum folded, is as that one needs it"
            self.properties.insert(0, Property("addends", claim))
        return Harness(
            name=name,
            verilog="".join(self.extra) + harness_module(self.inputs, self.body, self.properties),
            properties=tuple(self.properties),
            depth=None,
            cycles=cycles,
            unproved=tuple(unproved),
        )


def implications(conditions: Mapping[str, str]) -> str:
    """Return that each bundle is valid under its condition."""
    return "(" + " & ".join(f"(~({condition}) | {bundle}_valid)" for bundle, condition in conditions.items()) + ")"
