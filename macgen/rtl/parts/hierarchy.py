"""Submodules that can be elaborated in place (simulation) or emitted once and instantiated many times (Verilog).

Amaranth neither merges equal submodules nor keeps the port names of submodules. `Modules`, given as the platform, has
every component emitted on its own, once per kind, with its own ports, and connects it by an Instance.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from amaranth.back import rtlil
from amaranth.hdl import (
    ClockDomain,
    ClockSignal,
    Elaboratable,
    EnableInserter,
    Fragment,
    Instance,
    Module,
    ResetSignal,
    Signal,
    Value,
)
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from macgen.rtl.parts.clocking import ENABLE, Clocking

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


class _Elaborated(Elaboratable):
    """A component ready to be converted: its ports, those of its clocking that have other names than inside, its logic.

    Logic comes before registers, so that signals come in the order in which the source tells of them: Amaranth emits
    first what stands in the domain of a module's first statement.

    Parameters:
        component: it.
        platform: as for its `elaborate`.
        clocking: what moves its registers.
        enable: the clock enable, where there is one.
    """

    def __init__(self, component: wiring.Component, platform: object, clocking: Clocking, enable: Signal) -> None:
        self._component = component
        fragment = Fragment.get(component, platform)
        fragment.statements = dict(sorted(fragment.statements.items(), key=lambda item: item[0] != "comb"))
        self._clocks: dict[str, Signal] = {}
        if not clocking.names_are_inner:
            domain = ClockDomain("sync", async_reset=clocking.asynchronous)
            domain.clk, reset = (Signal(name=name, src_loc_at=1) for name in (clocking.clock, clocking.reset))
            fragment.add_domains(domain)
            fragment.add_statements("comb", domain.rst.eq(~reset if clocking.reset_low else reset))
            self._clocks |= {clocking.clock: domain.clk, clocking.reset: reset}
        if clocking.enable is not None and _has_registers(fragment):
            fragment = EnableInserter({"sync": enable})(fragment)
            self._clocks[clocking.enable] = enable
        self._fragment = fragment
        self.signature = wiring.Signature({**dict.fromkeys(self._clocks, In(1)), **component.signature.members})

    def __getattr__(self, name: str) -> Any:  # the ports
        return self._clocks[name] if name in self._clocks else getattr(self._component, name)

    def elaborate(self, platform: object) -> Fragment:
        return self._fragment


def _has_registers(fragment: Fragment) -> bool:
    """Return whether a fragment, or a module that it instantiates, has any."""
    if isinstance(fragment, Instance) and ENABLE in fragment.ports:
        return True
    return "sync" in fragment.statements or any(_has_registers(inside) for inside, *_ in fragment.subfragments)


class Modules:
    """The modules of one design as RTLIL, each kind once, submodules before the modules that use them.

    Parameters:
        name: the top module's name; the others get it as a prefix.
        clocking: the ports of the top module that move its registers.

    Attributes:
        name: the top module's name.
        components: by module, what it was emitted from.
        sources: by module, where each of its signals and instances is made, by name and in the order in which the
            module's statements come to them. The texts hold no path.
    """

    def __init__(self, name: str, clocking: Clocking = Clocking()) -> None:  # noqa: B008 - immutable
        self.name = name
        self.clocking = clocking
        self._enable = Signal(name=ENABLE, src_loc_at=1)
        self._texts: dict[str, str] = {}
        self._domain: dict[str, tuple[str, ...]] = {}
        self.components: dict[str, wiring.Component] = {}
        self.sources: dict[str, dict[str, Source]] = {}

    def convert(self, top: wiring.Component) -> str:
        """Return the RTLIL of a component and of all that it contains."""
        text = self._emit(top, self.name, self.clocking)
        return "\n".join([*self._texts.values(), text])

    def _emit(self, component: wiring.Component, module: str, clocking: Clocking) -> str:
        self.components[module] = component
        elaborated = _Elaborated(component, self, clocking, self._enable)
        text = rtlil.convert(
            elaborated,
            name=module,
            platform=self,
            missing_domain=lambda name: ClockDomain(name, async_reset=clocking.asynchronous),
        )
        found = _SOURCE_OF_NAME.findall(text)
        self.sources[module] = {name: Source(file, int(line)) for file, line, name in found}
        return _SOURCE.sub("", text)

    def instance(
        self, m: Module, name: str, kind: str, make: Callable[[], wiring.Component], src_loc_at: int = 0
    ) -> Any:
        """Add an Instance of a kind and return its ports."""
        module = f"{self.name}_{kind}"
        if kind not in self._texts:
            component = make()
            text = self._texts[kind] = self._emit(component, module, self.clocking.inner)
            clocks = getattr(component, "clocks", ("clk", "rst", ENABLE))  # a memory takes no reset
            self._domain[kind] = tuple(port for port in clocks if _has_input(text, port))
        ports = self.components[module].signature.create(path=(name,))
        connections: dict[str, Any] = {}
        for port, is_input, signal in ports_of(ports):
            connections[f"{'i' if is_input else 'o'}_{port}"] = signal
        signals = {"clk": ClockSignal(), "rst": ResetSignal(), ENABLE: self._enable}
        for port in self._domain[kind]:
            connections[f"i_{port}"] = signals[port]
        m.submodules[name] = Instance(module, src_loc_at=src_loc_at + 1, **connections)
        return ports


def _has_input(text: str, port: str) -> bool:
    """Return whether a module in RTLIL has an input of this name."""
    return re.search(rf"^\s*wire .*\binput \d+\s+\\{port}$", text, re.MULTILINE) is not None
