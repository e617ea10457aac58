"""Submodules that can be elaborated in place (simulation) or emitted once and instantiated many times (Verilog).

Amaranth neither merges equal submodules nor keeps the port names of submodules. `Modules`, given as the platform, has
every component emitted on its own, once per kind, with its own ports, and connects it by an Instance.
"""

import re
from collections.abc import Callable
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In


def ports_of(interface: Any) -> list[tuple[str, bool, Signal]]:
    """Return name in the Verilog, whether it is an input, and signal of every port of a component."""
    return [
        ("__".join(map(str, path)), member.flow == In, Value.cast(value))
        for path, member, value in interface.signature.flatten(interface)
    ]


def submodule(m: Module, platform: object, name: str, kind: str, make: Callable[[], wiring.Component]) -> Any:
    """Add a submodule and return its ports as an interface.

    Parameters:
        m: the module that gets it.
        platform: a `Modules` to instantiate a module emitted on its own; anything else to elaborate the component here.
        name: the instance's name.
        kind: names the component's parameters: all components of a kind are equal.
        make: makes the component.
    """
    if isinstance(platform, Modules):
        return platform.instance(m, name, kind, make)
    component = make()
    m.submodules[name] = component
    return component


class Modules:
    """The modules of one design as RTLIL, each kind once, submodules before the modules that use them.

    Parameters:
        name: the top module's name; the others get it as a prefix.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._kinds: dict[str, wiring.Component] = {}
        self._texts: dict[str, str] = {}

    def convert(self, top: wiring.Component) -> str:
        """Return the RTLIL of a component and of all that it contains."""
        text = rtlil.convert(top, name=self._name, platform=self, emit_src=False)
        return "\n".join([*self._texts.values(), text])

    def instance(self, m: Module, name: str, kind: str, make: Callable[[], wiring.Component]) -> Any:
        """Add an Instance of a kind and return its ports."""
        module = f"{self._name}_{kind}"
        if kind not in self._kinds:
            self._kinds[kind] = make()
            self._texts[kind] = rtlil.convert(self._kinds[kind], name=module, platform=self, emit_src=False)
        ports = self._kinds[kind].signature.create(path=(name,))
        connections: dict[str, Any] = {}
        for port, is_input, signal in ports_of(ports):
            connections[f"{'i' if is_input else 'o'}_{port}"] = signal
        for port, signal in (("clk", ClockSignal()), ("rst", ResetSignal())):
            if re.search(rf"^\s*wire .*\binput \d+\s+\\{port}$", self._texts[kind], re.MULTILINE):
                connections[f"i_{port}"] = signal
        m.submodules[name] = Instance(module, **connections)
        return ports
