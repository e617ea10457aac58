"""By which name each bit of a netlist is read.

A bit has often several names: the signal of a component, its port, the port of an instance that it goes to. One of them
owns it; others stay where they help a reader.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from macgen.bundle.verilog.landmarks import NOWHERE, Place
from macgen.bundle.verilog.netlist import BITWISE, Bit, Bits, Cell, Instance, Netlist, Register, Wire

Driver = Cell | Register | Instance | Wire
"""What gives a bit: as a wire only an input port."""


@dataclass(eq=False, slots=True)
class Ownership:
    """Which wire owns which bits.

    Attributes:
        owner: by bit, the wire that it is read from and its place there.
        driver: by bit, what gives it.
        owners: the wires that own bits.
        weak: names of wires that are ports of instances: they name a bit where nothing else does.
    """

    netlist: Netlist
    places: Mapping[str, Place]
    owner: dict[Bit, tuple[Wire, int]] = field(default_factory=dict)
    driver: dict[Bit, Driver] = field(default_factory=dict)
    owners: dict[str, Wire] = field(default_factory=dict)
    weak: dict[str, str] = field(default_factory=dict)
    _found: dict[Bit, list[tuple[Wire, int]]] = field(default_factory=lambda: defaultdict(list))
    _kinds: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, netlist: Netlist, places: Mapping[str, Place]) -> "Ownership":
        """Decide it.

        Parameters:
            netlist: the module.
            places: by name, where a signal belongs.
        """
        names = cls(netlist, places)
        names._prepare()
        for wire in netlist.wires.values():
            if wire.direction == "input":
                names._give(wire, range(len(wire.bits)), wire.bits)
        for register in netlist.registers:
            names._own_runs(register.output, "register")
        for instance in netlist.instances:
            for port, bits in instance.outputs.items():
                names._own_port(instance, port, bits)
        for cell in netlist.cells:
            if cell.kind == "$not" and len(cell.output) == 1:
                names._own_inverse(cell)
            elif cell.kind in BITWISE:
                names._own_runs(cell.output, "cell")
            else:
                names._own_whole(cell)
        return names

    def _prepare(self) -> None:
        netlist = self.netlist
        instances = {instance.name for instance in netlist.instances}
        for wire in netlist.wires.values():
            prefix, separator, _ = wire.name.partition("__")
            if not wire.direction and separator and prefix in instances:
                self.weak[wire.name] = prefix
            for place, bit in enumerate(wire.bits):
                if wire.direction != "input":
                    self._found[bit].append((wire, place))
                else:
                    self.driver[bit] = wire
        drivers: list[Cell | Register] = [*netlist.cells, *netlist.registers]
        for driver in drivers:
            for bit in driver.output:
                self.driver[bit] = driver
        for instance in netlist.instances:
            for bits in instance.outputs.values():
                for bit in bits:
                    self.driver[bit] = instance

    def _is_made_of(self, wire: Wire, kind: str) -> bool:
        """Return whether all bits of a wire that count are of one kind, and of an output not another's already."""
        if wire.name not in self._kinds:
            counted = wire.bits if wire.direction else [bit for bit in wire.bits if bit in self.netlist.live]
            self._kinds[wire.name] = {self._kind(bit) for bit in counted}
        if self._kinds[wire.name] != {kind}:
            return False
        return not wire.direction or (
            len(set(wire.bits)) == len(wire.bits)
            and all(self.owner.get(bit, (wire, place)) == (wire, place) for place, bit in enumerate(wire.bits))
        )

    def _kind(self, bit: Bit) -> str:
        if isinstance(bit, str):
            return "constant"
        driver = self.driver.get(bit)
        return {Cell: "cell", Register: "register", Instance: "instance"}.get(type(driver), "other")

    def _give(self, wire: Wire, places: range, bits: Bits) -> None:
        self.owners[wire.name] = wire
        for place, bit in zip(places, bits, strict=True):
            self.owner.setdefault(bit, (wire, place))

    def _candidates(self, bits: Bits, kind: str, instance: str = "") -> list[tuple[tuple[object, ...], Wire, int, int]]:
        """Return wires that hold the first of some bits: how well each suits, it, where, how many of the bits."""
        found = []
        for wire, start in self._found.get(bits[0], ()):
            length = 0
            while (
                length < len(bits)
                and start + length < len(wire.bits)
                and wire.bits[start + length] == bits[length]
                and bits[length] not in self.owner
            ):
                length += 1
            if length == 0:
                continue
            own = [bit for bit in wire.bits if not isinstance(bit, str)]
            if kind == "cell" and len(set(own)) < len(own):
                continue  # it repeats a bit, such as a sign: a part of what a cell does cannot be written
            if kind != "cell" and not self._is_made_of(wire, kind):
                continue  # it could not be declared as what it is
            weak = wire.name in self.weak and self.weak[wire.name] != instance
            if weak and kind == "cell":
                continue
            exact = length == len(wire.bits)
            partial_output = wire.direction == "output" and not exact and kind == "cell"
            rank = (not exact, partial_output, weak, not self._is_shown(wire, kind) if exact else False)
            place = self.places.get(wire.name, NOWHERE)
            made = place.made if kind == "register" else ()
            found.append(((-length, *rank, len(wire.bits), made, place, wire.name), wire, start, length))
        return sorted(found, key=lambda entry: entry[0])

    def _is_shown(self, wire: Wire, kind: str) -> bool:
        """Return whether a wire is an output that owns what it shows.

        Of a register only if it has the name of it: what is equal to a register but means another thing does not.
        """
        if wire.direction != "output" or kind != "register":
            return wire.direction == "output"
        same = [other.name for other, _ in self._found[wire.bits[0]] if other.bits == wire.bits and not other.direction]
        return not same or any(wire.name.endswith(name) for name in same)

    def _own_runs(self, bits: Bits, kind: str) -> None:
        """Find owners of a register's or a bitwise cell's bits, each of which may be another wire's."""
        position = 0
        while position < len(bits):
            candidates = self._candidates(bits[position:], kind)
            if not candidates:
                position += 1
                continue
            _, wire, start, length = candidates[0]
            self._give(wire, range(start, start + length), bits[position : position + length])
            position += length

    def _own_whole(self, cell: Cell) -> None:
        """Find one owner of all of a cell's live bits."""
        live = [place for place, bit in enumerate(cell.output) if bit in self.netlist.live]
        bits = cell.output[live[0] : live[-1] + 1]
        alone = len(bits) < len(cell.output)  # what nobody reads beside them would stand among others
        for _, wire, start, length in self._candidates(bits, "cell"):
            others = set(wire.bits) - set(bits)
            if length == len(bits) and not (alone and (others if wire.direction else others & self.netlist.live)):
                self._give(wire, range(start, start + length), bits)
                return

    def _own_inverse(self, cell: Cell) -> None:
        """Give a bit that is another's inverse to an output alone; elsewhere it is written as that."""
        for _, wire, start, length in self._candidates(cell.output, "cell"):
            if wire.direction == "output" and len(wire.bits) == length:
                self._give(wire, range(start, start + length), cell.output)
                return

    def _own_port(self, instance: Instance, port: str, bits: Bits) -> None:
        """Find the owner of what an instance gives: a name of its own if there is none."""
        position = 0
        while position < len(bits):
            if bits[position] in self.owner or bits[position] not in self.netlist.live:
                position += 1
                continue
            candidates = self._candidates(bits[position:], "instance", instance.name)
            if candidates:
                _, wire, start, length = candidates[0]
                self._give(wire, range(start, start + length), bits[position : position + length])
                position += length
            else:
                wire = Wire(f"{instance.name}__{port}", bits)
                self.netlist.wires.setdefault(wire.name, wire)
                self._give(wire, range(position, len(bits)), bits[position:])
                position = len(bits)
