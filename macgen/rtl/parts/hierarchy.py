"""Submodules that can be elaborated in place (simulation) or emitted once and instantiated many times (Verilog).

Amaranth neither merges equal submodules nor keeps the port names of submodules. `Modules`, given as the platform, has
every component emitted on its own, once per kind, with its own ports, and connects it by an Instance.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Elaboratable, Fragment, Instance, Module, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

_SOURCE = re.compile(r'^ *attribute \\src "[^"]*"\n', re.MULTILINE)
_SOURCE_OF_NAME = re.compile(
    r'^  attribute \\src "(.*):(\d+)"\n(?:  attribute .*\n)*  (?:wire .*|cell \\\S+) \\(\S+)$', re.MULTILINE
)


class Source(NamedTuple):
    """Where a signal or an instance is made."""

    file: str
    line: int


class NamedConstant(NamedTuple):
    """A number that has a name in the Verilog of a component that lists it in its attribute `constants`.

    Attributes:
        width, value: of the number.
        text: what it is.
    """

    width: int
    value: int
    text: str


def ports_of(interface: Any) -> list[tuple[str, bool, Signal]]:
    """Return name in the Verilog, whether it is an input, and signal of every port of a component."""
    return [
        ("__".join(map(str, path)), member.flow == In, Value.cast(value))
        for path, member, value in interface.signature.flatten(interface)
    ]


def submodule(
    m: Module, platform: object, name: str, kind: str, make: Callable[[], wiring.Component], src_loc_at: int = 0
) -> Any:
    """Add a submodule and return its ports as an interface.

    Parameters:
        m: the module that gets it.
        platform: a `Modules` to instantiate a module emitted on its own; anything else to elaborate the component here.
        name: the instance's name.
        kind: names the component's parameters: all components of a kind are equal.
        make: makes the component.
        src_loc_at: how many calls above the caller the instance belongs to, as to Amaranth's signals.
    """
    if isinstance(platform, Modules):
        return platform.instance(m, name, kind, make, src_loc_at + 1)
    component = make()
    m.submodules[name] = component
    return component


class _CombinationalFirst(Elaboratable):
    """A component, its logic before its registers, so that signals come in the order in which the source tells of them.

    Amaranth emits first what stands in the domain of a module's first statement.
    """

    def __init__(self, component: wiring.Component) -> None:
        self._component = component

    def __getattr__(self, name: str) -> Any:  # the ports
        return getattr(self._component, name)

    def elaborate(self, platform: object) -> Fragment:
        fragment = Fragment.get(self._component, platform)
        fragment.statements = dict(sorted(fragment.statements.items(), key=lambda item: item[0] != "comb"))
        return fragment


class Modules:
    """The modules of one design as RTLIL, each kind once, submodules before the modules that use them.

    Parameters:
        name: the top module's name; the others get it as a prefix.

    Attributes:
        name: the top module's name.
        components: by module, what it was emitted from.
        sources: by module, where each of its signals and instances is made, by name and in the order in which the
            module's statements come to them. The texts hold no path.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._texts: dict[str, str] = {}
        self._domain: dict[str, tuple[str, ...]] = {}
        self.components: dict[str, wiring.Component] = {}
        self.sources: dict[str, dict[str, Source]] = {}

    def convert(self, top: wiring.Component) -> str:
        """Return the RTLIL of a component and of all that it contains."""
        text = self._emit(top, self.name)
        return "\n".join([*self._texts.values(), text])

    def _emit(self, component: wiring.Component, module: str) -> str:
        self.components[module] = component
        text = rtlil.convert(_CombinationalFirst(component), name=module, platform=self)
        found = _SOURCE_OF_NAME.findall(text)
        self.sources[module] = {name: Source(file, int(line)) for file, line, name in found}
        return _SOURCE.sub("", text)

    def instance(
        self, m: Module, name: str, kind: str, make: Callable[[], wiring.Component], src_loc_at: int = 0
    ) -> Any:
        """Add an Instance of a kind and return its ports."""
        module = f"{self.name}_{kind}"
        if kind not in self._texts:
            text = self._texts[kind] = self._emit(make(), module)
            self._domain[kind] = tuple(port for port in ("clk", "rst") if _has_input(text, port))
        ports = self.components[module].signature.create(path=(name,))
        connections: dict[str, Any] = {}
        for port, is_input, signal in ports_of(ports):
            connections[f"{'i' if is_input else 'o'}_{port}"] = signal
        for port in self._domain[kind]:
            connections[f"i_{port}"] = ClockSignal() if port == "clk" else ResetSignal()
        m.submodules[name] = Instance(module, src_loc_at=src_loc_at + 1, **connections)
        return ports


def _has_input(text: str, port: str) -> bool:
    """Return whether a module in RTLIL has an input of this name."""
    return re.search(rf"^\s*wire .*\binput \d+\s+\\{port}$", text, re.MULTILINE) is not None
