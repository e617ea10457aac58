"""AXI4-Stream ports: cycles beside the core's, no path from an input to an output, what stands in tdata."""

import json
import re

import numpy as np
import pytest
from amaranth.sim import Simulator

from macgen import MacSpec
from macgen.bundle.manifest import Manifest
from macgen.bundle.verilog import to_verilog
from macgen.rtl import ArrayCore, AxiArray, Design
from tests.rtl.gates import run_yosys

SMALL = MacSpec(a="int4", b="int4", acc="int12", rows=2, cols=1)


def cycles(array, offer, tiles, length, phase):
    """Return the cycle in which the last result of some tiles leaves; their beats are offered from `phase` on."""
    spec = array.spec
    left = []

    async def bench(ctx):
        a_valid, b_valid, a_ready, b_ready, a_last, c_valid, c_ready = (getattr(array, name) for name in offer)
        ctx.set(c_ready, 1)
        turns = spec.interleave
        beats = [beat for _ in range(tiles) for beat in range(length * turns)]
        # The mark: with the first turn's beat at the core, at the end of the packet at AXI4-Stream ports.
        marked = length * turns - (1 if array.__class__ is AxiArray else turns)
        waiting = [list(beats), list(beats)]
        for cycle in range(400):
            offers = cycle >= phase
            ctx.set(a_valid, offers and bool(waiting[0]))
            ctx.set(b_valid, offers and bool(waiting[1]))
            ctx.set(a_last, bool(waiting[0]) and waiting[0][0] >= marked)
            moved = [ctx.get(v) and ctx.get(r) for v, r in ((a_valid, a_ready), (b_valid, b_ready))]
            if ctx.get(c_valid):
                left.append(cycle)
            await ctx.tick()
            for queue, moves in zip(waiting, moved, strict=True):
                if moves:
                    queue.pop(0)

    simulator = Simulator(array)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(left) == tiles * spec.rows * spec.interleave
    return left[-1]


CORE = ("a_valid", "b_valid", "a_ready", "b_ready", "a_last", "c_valid", "c_ready")
PORTS = ("a_tvalid", "b_tvalid", "a_tready", "b_tready", "a_tlast")
AXI = (*(f"s_axis_{port}" for port in PORTS), "m_axis_c_tvalid", "m_axis_c_tready")


@pytest.mark.parametrize("tiles", [1, 3])
@pytest.mark.parametrize(
    "fields",
    [{}, {"chunk": 2}, {"interleave": 2}, {"interleave": 3, "chunk": 2}],
    ids=lambda fields: "_".join(map(str, fields.values())) or "plain",
)
def test_at_most_two_cycles_a_tile_more_than_the_core(fields, tiles):
    """With turns, tiles are those of all turns; from whichever slot on they are offered."""
    design = Design(SMALL.replace(**fields))
    turns = design.spec.interleave
    for phase in range(6, 6 + turns):
        core, axi = (
            cycles(kind(design), offer, tiles, 5, phase) for kind, offer in ((ArrayCore, CORE), (AxiArray, AXI))
        )
        assert core < axi <= core + 2 * turns
        assert turns > 1 or axi == core + 2  # however many tiles follow each other


@pytest.mark.thinned(2)
@pytest.mark.parametrize("fields", [{}, {"interleave": 2}, {"reset": "async", "clock_enable": True}])
def test_no_input_reaches_an_output_in_the_same_cycle(fields):
    """On the netlist: an output follows from registers alone."""
    spec = SMALL.replace(interface="axi-stream", **fields)
    for port, reached in reachable(to_verilog(spec, "dut")).items():
        assert not reached, f"{port} depends on {sorted(reached)}"
    native = reachable(to_verilog(SMALL, "dut"))
    assert {"a_valid", "b_valid"} <= native["a_ready"]  # so that the search finds what there is


def reachable(verilog):
    """Return by output the inputs that reach it through cells that are no registers."""
    script = "read_verilog dut.v; hierarchy -top dut; proc; flatten; opt_clean; write_json netlist.json"
    module = json.loads(run_yosys(script, "dut.v", verilog))["modules"]["dut"]
    sources = {}
    for cell in module["cells"].values():
        if "dff" in cell["type"]:
            continue
        goes = cell["port_directions"]
        taken = {bit for pin, bits in cell["connections"].items() if goes[pin] == "input" for bit in bits}
        for pin, bits in cell["connections"].items():
            if goes[pin] == "output":
                sources |= dict.fromkeys(bits, taken)
    names = {}
    for name, port in module["ports"].items():
        if port["direction"] == "input":
            names |= dict.fromkeys(port["bits"], name)
    found = {}
    for name, port in module["ports"].items():
        if port["direction"] == "output":
            waiting, seen = list(port["bits"]), set()
            while waiting:
                bit = waiting.pop()
                if bit not in seen:
                    seen.add(bit)
                    waiting += sources.get(bit, ())
            found[name] = {names[bit] for bit in seen if bit in names}
    return found


def test_what_stands_in_tdata():
    """Each code in whole bytes, rows and lanes in order, scales above; results with their sign."""
    spec = MacSpec(
        a="e4m3fn", b="e2m1", acc="e6m9", chunk=4, outer="fp32", scale="e4m0fnu", lanes=2, rows=3, cols=2,
        interface="axi-stream",
    )  # fmt: skip
    manifest = Manifest.of(spec, "mac")
    widths = {port.name: port.width for port in manifest.ports}
    assert widths["s_axis_a_tdata"] == 8 * (3 * 2 + 3)
    assert widths["s_axis_b_tdata"] == 8 * (2 * 2 + 2)
    assert widths["m_axis_c_tdata"] == 2 * 32
    assert widths["m_axis_c_tuser"] == 2 * 3
    assert (manifest.clock, manifest.reset, manifest.enable) == ("aclk", "aresetn", None)
    a, b = manifest.streams["a"], manifest.streams["b"]
    assert (a["field_bits"], a["scale_field_bits"], a["scale_low"]) == (8, 8, 48)
    assert (b["field_bits"], b["lane_bits"], b["scale_low"]) == (8, 4, 32)


def test_results_have_their_sign_above_them():
    design = Design(SMALL.replace(interface="axi-stream"))
    array = AxiArray(design)
    seen = []

    async def bench(ctx):
        ctx.set(array.m_axis_c_tready, 1)
        ctx.set(array.s_axis_a_tdata, 0xF3_07)  # rows 7 and 3; what is above a code is not looked at
        ctx.set(array.s_axis_b_tdata, 0x0F)  # -1
        ctx.set(array.s_axis_a_tlast, 1)
        for cycle in range(20):
            ctx.set(array.s_axis_a_tvalid, cycle == 5)
            ctx.set(array.s_axis_b_tvalid, cycle == 5)
            if ctx.get(array.m_axis_c_tvalid):
                seen.append((ctx.get(array.m_axis_c_tdata), ctx.get(array.m_axis_c_tlast)))
            await ctx.tick()

    simulator = Simulator(array)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == [(np.uint16(np.int16(-7)), 0), (np.uint16(np.int16(-3)), 1)]


def test_the_last_place_of_a_round_takes_only_what_comes():
    """It has no place above it to take a beat from: a register that loads without need costs energy."""
    text = to_verilog(SMALL.replace(interface="axi-stream", interleave=2), "dut")
    assigned = re.findall(r"beat_\d+ <= .*", text)
    assert len(assigned) == 3
    for line in assigned:
        assert not re.search(r"\? (\w+) : \1;", line), line
