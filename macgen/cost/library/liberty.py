"""A reader of Liberty cell libraries: functions, areas, capacitances, flip-flops and power tables of the cells.

macgen has its own because the readers on PyPI are under the GPL or alpha. It reads what power estimation and netlist
simulation need (no delays: OpenSTA reads the file itself) and passes over every other group and attribute of the format
(Liberty User Guide, volume 1). Units on reading are the file's; everything handed out is in um2, V, fF, fJ, nW and ns.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from macgen.cost.library import boolean, liberty_grammar
from macgen.cost.library.boolean import Expression
from macgen.cost.library.clock_gates import ClockGate, clock_gate
from macgen.cost.library.liberty_grammar import Group
from macgen.errors import MacgenError, shown

_NAND2 = boolean.parse("!(A & B)")
_BUFFER = boolean.parse("A")
_INVERTER = boolean.parse("!A")

_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_LEAST_UNIT, _MOST = 1e-30, 1e30  # products of numbers within them stay far from the ends of binary64

_PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}


@dataclass(frozen=True)
class Table:
    """A look-up table over input slew (ns) and output load (fF); an axis may be missing.

    `values` has the shape (slews, loads), with 1 for a missing axis.
    """

    slews: tuple[float, ...]
    loads: tuple[float, ...]
    values: NDArray[np.float64]

    def __call__(self, slew: float, load: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the value at one slew (ns) for each load (fF): linear between and beyond the tabulated points."""
        at_slew = _interpolate(self.slews, self.values, np.asarray(slew))
        return _interpolate(self.loads, at_slew, np.asarray(load, np.float64))


def _interpolate(axis: tuple[float, ...], values: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate along the first axis of `values` at each of `at`."""
    if len(axis) < 2:
        return np.broadcast_to(values[0], at.shape + values.shape[1:])
    points = np.asarray(axis)
    left = np.clip(np.searchsorted(points, at) - 1, 0, len(axis) - 2)
    fraction = (at - points[left]) / (points[left + 1] - points[left])
    fraction = fraction.reshape(fraction.shape + (1,) * (values.ndim - 1))
    interpolated: NDArray[np.float64] = values[left] * (1 - fraction) + values[left + 1] * fraction
    return interpolated


@dataclass(frozen=True)
class InternalEnergy:
    """Energy (fJ) drawn inside a cell when a pin rises or falls; `related_pin` is the input that causes it."""

    related_pin: str | None
    rise: Table
    fall: Table


@dataclass(frozen=True)
class Pin:
    """A pin of a cell; capacitance in fF, `function` for outputs that have one."""

    name: str
    direction: str
    capacitance: float
    function: Expression | None
    three_state: bool
    energies: tuple[InternalEnergy, ...]


@dataclass(frozen=True)
class FlipFlop:
    """The state of a flip-flop: its two variables and when it changes."""

    state: str
    inverted_state: str
    next_state: Expression
    clocked_on: Expression
    clear: Expression | None
    preset: Expression | None


@dataclass(frozen=True)
class Cell:
    """A library cell; area in um2, leakage in nW.

    `unsupported` says why netlist simulation cannot handle the cell (a latch, a memory, bus pins ...), or is None.
    """

    name: str
    area: float
    leakage: float
    pins: dict[str, Pin]
    flip_flop: FlipFlop | None
    unsupported: str | None
    dont_use: bool
    clock_gate: ClockGate | None = None

    @property
    def inputs(self) -> tuple[Pin, ...]:
        """The input pins."""
        return tuple(pin for pin in self.pins.values() if pin.direction == "input")

    @property
    def outputs(self) -> tuple[Pin, ...]:
        """The output pins."""
        return tuple(pin for pin in self.pins.values() if pin.direction == "output")


@dataclass(frozen=True)
class Library:
    """A cell library; `voltage` in V."""

    name: str
    voltage: float
    cells: dict[str, Cell]

    def smallest(self, function: Expression) -> Cell | None:
        """Return the usable cell of least area that has one output with this function, or None."""
        fitting = [
            cell
            for cell in self.cells.values()
            if cell.flip_flop is None
            and cell.clock_gate is None
            and cell.unsupported is None
            and not cell.dont_use
            and len(cell.outputs) == 1
            and len(cell.inputs) == len(function.variables)
            and (output := cell.outputs[0].function) is not None
            and output.is_equivalent(function)
        ]
        return min(fitting, key=lambda cell: (cell.area, cell.name), default=None)

    @property
    def nand2(self) -> Cell:
        """The smallest two-input NAND: the unit of gate equivalents.

        Raises:
            MacgenError: the library has none.
        """
        cell = self.smallest(_NAND2)
        if cell is None or cell.area <= 0:
            raise MacgenError(f"Liberty library {self.name} has no two-input NAND cell with an area, the unit of size")
        return cell

    @property
    def buffer(self) -> Cell | None:
        """The smallest buffer, or else the smallest inverter."""
        return self.smallest(_BUFFER) or self.smallest(_INVERTER)

    @property
    def inverter(self) -> Cell | None:
        """The smallest inverter."""
        return self.smallest(_INVERTER)


def read(path: Path) -> Library:
    """Read a Liberty file, plain or gzipped.

    Raises:
        MacgenError: the file cannot be read or is malformed; the sentence names file and line.
    """
    root = liberty_grammar.parse(path)
    libraries = [group for group in root.groups if group.kind == "library"]
    if len(libraries) != 1 or not libraries[0].arguments:
        raise MacgenError(f"Liberty file {path} has {len(libraries)} library groups with a name; accepted is one")
    return _LibraryBuilder(libraries[0], path).build()


class _LibraryBuilder:
    """Turns the groups of one library into cells in macgen's units."""

    def __init__(self, group: Group, path: Path) -> None:
        self.group = group
        self.path = path
        self.voltage_unit = self.unit("voltage_unit", "1V", "V")
        self.capacitance_unit = self.capacitance_scale()
        # Liberty has no unit of energy: tables of internal power are in capacitive_load_unit times voltage_unit^2.
        self.energy_unit = self.capacitance_unit * self.voltage_unit**2
        self.time_unit = self.unit("time_unit", "1ns", "s") * 1e9
        self.leakage_unit = self.unit("leakage_power_unit", "1nW", "W") * 1e9
        self.templates = {
            template.arguments[0]: template
            for template in group.find("power_lut_template", "lu_table_template")
            if template.arguments
        }

    def error(self, group: Group, problem: str) -> MacgenError:
        return MacgenError(f"Liberty file {self.path} line {group.line}: {problem}")

    def number(self, group: Group, attribute: str, default: float, *, least: float = -_MOST) -> float:
        text = group.text(attribute)
        if not text:
            return default
        value = _number(text)
        if value is None:
            raise self.error(group, f"{attribute} {shown(text)} is not a number")
        if value < least:
            raise self.error(group, f"{attribute} {shown(text)} is not a number from {least:g}")
        return value

    def numbers(self, group: Group, texts: list[str]) -> list[float]:
        values = []
        for text in re.split(r"[\s,]+", " ".join(texts)):
            if text:
                if (value := _number(text)) is None:
                    raise self.error(group, f"{shown(text)} in a table is not a number")
                values.append(value)
        return values

    def unit(self, attribute: str, default: str, symbol: str) -> float:
        text = self.group.text(attribute, default)
        match = re.fullmatch(rf"\s*([-+.\d]+(?:e[-+]?\d+)?)\s*([munpf]?){symbol}\s*", text, re.IGNORECASE)
        value = None if match is None else _number(match[1])
        if match is None or value is None or value < _LEAST_UNIT:
            raise self.error(self.group, f"{attribute} {shown(text)} is not a positive unit such as {default!r}")
        return value * _PREFIXES[match[2].lower()]

    def capacitance_scale(self) -> float:
        """Femtofarads in one capacitive_load_unit."""
        texts = self.group.attributes.get("capacitive_load_unit", ["1", "pf"])
        number, unit = texts if len(texts) == 2 else ("", "")
        value, scale = _number(number), {"ff": 1.0, "pf": 1e3}.get(unit.lower())
        if value is None or scale is None or value < _LEAST_UNIT:
            problem = f"capacitive_load_unit {shown(', '.join(texts))} is not a positive number and ff or pf"
            raise self.error(self.group, problem)
        return value * scale

    def build(self) -> Library:
        voltage = self.number(self.group, "nom_voltage", math.nan)
        wanted = self.group.text("default_operating_conditions")
        for conditions in self.group.find("operating_conditions"):
            if conditions.arguments[:1] == [wanted]:
                voltage = self.number(conditions, "voltage", voltage)
        if not voltage > 0:
            raise self.error(self.group, "the library states no positive nom_voltage")
        cells = {}
        for group in self.group.find("cell"):
            if not group.arguments:
                raise self.error(group, "the cell has no name")
            cells[group.arguments[0]] = self.cell(group)
        if not cells:
            raise self.error(self.group, "the library has no cells")
        return Library(self.group.arguments[0], voltage * self.voltage_unit, cells)

    def cell(self, group: Group) -> Cell:
        pins: dict[str, Pin] = {}
        for pin_group in group.find("pin"):
            for name in pin_group.arguments:
                pins[name] = self.pin(pin_group, name)
        flip_flops = list(group.find("ff"))
        unsupported = next(
            (f"a {other.kind} group" for other in group.find("latch", "latch_bank", "ff_bank", "statetable", "memory")),
            None,
        )
        gate = clock_gate(group)
        if gate is not None:
            unsupported = None
        elif any(group.find("bus", "bundle")):
            unsupported = "bus pins"
        elif len(flip_flops) > 1:
            unsupported = "several ff groups"
        elif group.text("clock_gating_integrated_cell"):
            unsupported = "a gated clock"
        elif any(pin.three_state for pin in pins.values()):
            unsupported = "a three-state output"
        elif any(pin.direction == "inout" for pin in pins.values()):
            unsupported = "a bidirectional pin"
        return Cell(
            name=group.arguments[0],
            area=self.number(group, "area", 0.0, least=0),
            leakage=self.leakage(group),
            pins=pins,
            flip_flop=self.flip_flop(flip_flops[0]) if flip_flops else None,
            unsupported=unsupported,
            dont_use=group.text("dont_use").lower() == "true",
            clock_gate=gate,
        )

    def leakage(self, group: Group) -> float:
        """The cell's stated leakage, or else the mean over its states."""
        states = [self.number(state, "value", 0.0) for state in group.find("leakage_power")]
        default = sum(states) / len(states) if states else self.number(self.group, "default_cell_leakage_power", 0.0)
        if default < 0:
            raise self.error(
                group, f"the mean leakage of the cell's states is {default:g}; accepted are numbers from 0"
            )
        return self.number(group, "cell_leakage_power", default, least=0) * self.leakage_unit

    def pin(self, group: Group, name: str) -> Pin:
        direction = group.text("direction", "input")
        default = {
            "input": self.number(self.group, "default_input_pin_cap", 0.0, least=0),
            "output": self.number(self.group, "default_output_pin_cap", 0.0, least=0),
        }.get(direction, 0.0)
        return Pin(
            name=name,
            direction=direction,
            capacitance=self.number(group, "capacitance", default, least=0) * self.capacitance_unit,
            function=self.expression(group, "function"),
            three_state=bool(group.text("three_state")),
            energies=tuple(
                self.internal_energy(energy, related)
                for energy in group.find("internal_power")
                for related in energy.text("related_pin").split() or (None,)
            ),
        )

    def expression(self, group: Group, attribute: str) -> Expression | None:
        text = group.text(attribute)
        if not text:
            return None
        try:
            return boolean.parse(text)
        except MacgenError as error:
            raise self.error(group, f"{attribute}: {error}") from None

    def flip_flop(self, group: Group) -> FlipFlop:
        next_state, clocked_on = self.expression(group, "next_state"), self.expression(group, "clocked_on")
        if len(group.arguments) != 2 or next_state is None or clocked_on is None:
            raise self.error(group, "the ff group needs two state variables, next_state and clocked_on")
        return FlipFlop(
            state=group.arguments[0],
            inverted_state=group.arguments[1],
            next_state=next_state,
            clocked_on=clocked_on,
            clear=self.expression(group, "clear"),
            preset=self.expression(group, "preset"),
        )

    def internal_energy(self, group: Group, related_pin: str | None) -> InternalEnergy:
        both = next(group.find("power"), None)
        tables = [next(group.find(kind), both) for kind in ("rise_power", "fall_power")]
        rise, fall = (_ZERO if table is None else self.table(table) for table in tables)
        return InternalEnergy(related_pin, rise, fall)

    def table(self, group: Group) -> Table:
        """An energy table with its axes in the order (slew, load), whatever the file's order is."""
        name = group.arguments[0] if group.arguments else "scalar"
        values = self.numbers(group, group.attributes.get("values", []))
        template = self.templates.get(name)
        axes: list[tuple[str, list[float]]] = []
        if name != "scalar":
            if template is None:
                raise self.error(group, f"table template {name!r} is not defined in the library")
            for place in (1, 2, 3):
                variable = template.text(f"variable_{place}")
                texts = group.attributes.get(f"index_{place}") or template.attributes.get(f"index_{place}", [])
                if variable and texts:
                    axes.append((variable, self.numbers(group, texts)))
        array = np.array(values)
        if array.size != math.prod(len(points) for _, points in axes) or not np.isfinite(array).all():
            shape = " x ".join(str(len(points)) for _, points in axes) or "one"
            raise self.error(group, f"the table has {array.size} values, but its axes ask for {shape} finite ones")
        if any(not points or sorted(set(points)) != points for _, points in axes):
            raise self.error(group, "the points of a table's axis do not ascend")
        return self.ordered(group, axes, array.reshape([len(points) for _, points in axes]))

    def ordered(self, group: Group, axes: list[tuple[str, list[float]]], array: NDArray[np.float64]) -> Table:
        slews: tuple[float, ...] = ()
        loads: tuple[float, ...] = ()
        order: dict[str, int] = {}
        for place, (variable, points) in enumerate(axes):
            if variable in ("input_transition_time", "input_net_transition") and not slews:
                slews = tuple(point * self.time_unit for point in points)
                order["slew"] = place
            elif variable == "total_output_net_capacitance" and not loads:
                loads = tuple(point * self.capacitance_unit for point in points)
                order["load"] = place
            else:
                raise self.error(group, f"a power table over {variable!r} is not supported")
        if len(order) == 2:
            array = array.transpose(order["slew"], order["load"])
        return Table(slews, loads, array.reshape(max(1, len(slews)), max(1, len(loads))) * self.energy_unit)


def _number(text: str) -> float | None:
    """Return the number that a text is; None where it is none, or larger than any in a library can be."""
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    return value if abs(value) <= _MOST else None


_ZERO = Table((), (), np.zeros((1, 1)))
