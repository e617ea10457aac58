"""The array in a design of one's own: its streams joined to a source's and a sink's by `wiring.connect`."""

import re

import numpy as np
import pytest
from amaranth.hdl import Array, Const, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from macgen import golden
from macgen.catalogue import presets
from macgen.numerics import Flags
from macgen.rtl import Design, MacArray, Modules
from macgen.rtl.parts.hierarchy import ports_of
from macgen.spec import MacSpec

STREAMS = ("a", "b", "c")


class Source(wiring.Component):
    """Offer the words of a table, one after the other.

    Members:
        o: the stream.
        go: whether a word may be offered.
    """

    def __init__(self, signature, words):
        self._words = words
        super().__init__({"o": Out(signature), "go": In(1)})

    def elaborate(self, platform):
        m = Module()
        index = Signal(range(len(self._words) + 1))
        offered = Signal()  # a word that is offered stays until it is taken
        width = len(Value.cast(self.o.payload))
        m.d.comb += [
            Value.cast(self.o.payload).eq(Array(Const(word, width) for word in [*self._words, 0])[index]),
            self.o.valid.eq((index != len(self._words)) & (self.go | offered)),
        ]
        m.d.sync += offered.eq(self.o.valid & ~self.o.ready)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += index.eq(index + 1)
        return m


class Sink(wiring.Component):
    """Count rows of results and show each for the cycle in which it is taken.

    Members:
        i: the stream.
        go: whether a row may be taken.
        taken: whether one is.
    """

    def __init__(self, signature):
        super().__init__({"i": In(signature), "go": In(1), "taken": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [self.i.ready.eq(self.go), self.taken.eq(self.i.valid & self.go)]
        return m


class System(wiring.Component):
    """Two sources, an array and a sink, joined by `connect` alone."""

    def __init__(self, spec, a_words, b_words):
        self.array = MacArray(spec)
        a, b, c = (self.array.design.streams[name] for name in STREAMS)
        self.sources = Source(a, a_words), Source(b, b_words)
        self.sink = Sink(c)
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.array, m.submodules.sink = self.array, self.sink
        m.submodules.a, m.submodules.b = self.sources
        wiring.connect(m, self.sources[0].o, self.array.a)
        wiring.connect(m, self.sources[1].o, self.array.b)
        wiring.connect(m, self.array.c, self.sink.i)
        return m


def constant(layout, **fields):
    """Return a payload as an integer, its fields given as nested lists."""
    return layout.const(fields).as_value().value


def words(spec, a, b, a_scales=None, b_scales=None):
    """Return the words of both operand streams for a tile."""
    layouts = [Design(spec).streams[name].members["payload"].shape for name in "ab"]
    beats = ([], [])
    for start in range(0, a.shape[1], spec.lanes):
        part = slice(start, start + spec.lanes)
        last = start + spec.lanes >= a.shape[1]
        pad = [0] * (spec.lanes - len(a[0, part]))
        rows, cols = ([[*codes, *pad] for codes in side.tolist()] for side in (a[:, part], b[part].T))
        scales = ({}, {})
        if spec.scale is not None:
            chunk = start // spec.chunk
            scales = ({"scale": a_scales[:, chunk].tolist()}, {"scale": b_scales[chunk].tolist()})
        beats[0].append(constant(layouts[0], data=rows, first=int(start == 0), last=int(last), **scales[0]))
        beats[1].append(constant(layouts[1], data=cols, **scales[1]))
    return beats


SPECS = {
    "default": MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=4, rows=2, cols=3),
    "lanes, scales": presets["mxfp8"].replace(rows=2, cols=2, lanes=2, chunk=4),
    "one unit": MacSpec(a="int4", b="int4", acc="int12", rows=1, cols=1),
}


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("gaps", [False, True])
def test_a_design_that_connects_the_array_computes_a_tile(name, gaps):
    spec, rng = SPECS[name], np.random.default_rng(1)
    length = 7
    a = rng.integers(0, 1 << spec.a.width, (spec.rows, length))
    b = rng.integers(0, 1 << spec.b.width, (length, spec.cols))
    scales = {}
    if spec.scale is not None:
        chunks = -(-length // spec.chunk)
        scales = {"a_scales": rng.integers(118, 136, (spec.rows, chunks))}
        scales |= {"b_scales": rng.integers(118, 136, (chunks, spec.cols))}
    system = System(spec, *words(spec, a, b, **scales))
    codes, flags = [], []

    async def bench(ctx):
        for _ in range(400):
            for part in (*system.sources, system.sink):
                ctx.set(part.go, int(not gaps or rng.random() < 0.4))
            if ctx.get(system.sink.taken):
                row = system.sink.i.payload
                assert ctx.get(row.first) == (len(codes) == 0)
                assert ctx.get(row.last) == (len(codes) == spec.rows - 1)
                codes.append([ctx.get(row.data[col]) for col in range(spec.cols)])
                flags.append([ctx.get(row.flags[col].as_value()) for col in range(spec.cols)])
            await ctx.tick()

    simulator = Simulator(system)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    wanted_codes, wanted_flags = golden.matmul(spec, a, b, **{f"{k[0].upper()}{k[1:]}": v for k, v in scales.items()})
    assert codes == wanted_codes.tolist()
    assert flags == np.asarray(wanted_flags).astype(int).tolist()


@pytest.mark.parametrize("name", SPECS)
def test_each_field_is_a_port_of_the_core_with_its_bits(name):
    """The Verilog's ports are those of the core; a field's bits lie as the port's."""
    design = Design(SPECS[name])
    flat = {}
    for side, signature in design.streams.items():
        into = side != "c"
        flat |= {f"{side}_valid": (into, 1), f"{side}_ready": (not into, 1)}
        for field, place in signature.members["payload"].shape:
            flat[f"{side}_{field}"] = (into, place.width)
    core = design.signature.create(path=("core",))
    assert {port: (into, len(signal)) for port, into, signal in ports_of(core)} == flat


def test_fields_are_addressed_by_row_column_lane_and_flag():
    a, b, c = (signature.create().payload for signature in Design(SPECS["lanes, scales"]).streams.values())
    assert [field for field, _ in a.shape()] == ["data", "scale", "first", "last"]
    assert [field for field, _ in b.shape()] == ["data", "scale"]
    assert [field for field, _ in c.shape()] == ["data", "flags", "first", "last"]
    assert a.data.shape() == data.ArrayLayout(data.ArrayLayout(8, 2), 2)
    assert {name: 1 << place.offset for name, place in c.flags[1].shape()} == {
        flag.name.lower(): flag for flag in Flags
    }


def test_the_array_holds_the_core_that_a_bundle_is_made_of():
    """Also as RTLIL: the module around it has the streams' ports alone, the core those of the Verilog."""
    array = MacArray(SPECS["one unit"])
    for name in STREAMS:
        member = array.signature.members[name]
        inwards = member.signature.flip() if member.flow == In else member.signature
        assert inwards == array.design.streams[name]
        assert isinstance(inwards, stream.Signature)
    text = Modules("array").convert(array)
    core, outside = (
        re.search(rf"module \\{name}\n(.*?)\nend\n", text, re.DOTALL)[1] for name in ("array_core", "array")
    )
    ports = re.findall(r"(?:input|output) \d+ +\\(\w+)", outside)
    members = [f"{name}__{member}" for name in STREAMS for member in ("payload", "valid", "ready")]
    assert sorted(ports) == sorted(["clk", "rst", *members])
    assert set(re.findall(r"(?:input|output) \d+ +\\([abc]_\w+)", core)) == set(array.design.signature.members)
