"""The AXI4-Stream ports of the array in waveform_figure, simulated: two packets, pauses of a source and of the sink."""

from typing import Any

import waveform_figure
from amaranth.sim import Simulator
from drawing import A_COLOUR, B_COLOUR, CONTROL_COLOUR, RESULT_COLOUR, Drawing
from waveform_figure import BOTTOM, C_WAITS, CELL, CYCLES, LEFT, PITCH, START, SWING, TOP

from macgen.rtl import AxiArray, Design

SPEC = waveform_figure.SPEC.replace(interface="axi-stream")

B_PAUSES = (4, 5)

A, B, C = "s_axis_a", "s_axis_b", "m_axis_c"
COLOURS = {A: A_COLOUR, B: B_COLOUR, C: RESULT_COLOUR}
ROWS = {A: ("tvalid", "tready", "tlast", "tdata"), B: ("tvalid", "tready", "tdata"), C: ("tvalid", "tready", "tlast")}


def simulate() -> dict[str, list[int]]:
    """Return the ports' values in each cycle, by the names that they have in the Verilog."""
    array = AxiArray(Design(SPEC))
    trace: dict[str, list[int]] = {name: [] for name in array.signature.members}

    async def bench(ctx: Any) -> None:
        for _ in range(4):  # after reset the accumulators are emptied
            await ctx.tick()
        waiting = {A: list(waveform_figure.beats()), B: list(waveform_figure.beats())}
        for cycle in range(CYCLES):
            for stream, queue in waiting.items():
                offers = bool(queue) and cycle >= START and (stream == A or cycle not in B_PAUSES)
                ctx.set(getattr(array, f"{stream}_tvalid"), offers)
                if offers:
                    ctx.set(getattr(array, f"{stream}_tdata"), queue[0].a if stream == A else queue[0].b)
                    ctx.set(getattr(array, f"{stream}_tlast"), queue[0].last)
            ctx.set(array.m_axis_c_tready, cycle not in C_WAITS)
            for name, values in trace.items():
                values.append(ctx.get(getattr(array, name)))
            for stream, queue in waiting.items():
                if trace[f"{stream}_tvalid"][-1] and trace[f"{stream}_tready"][-1]:
                    queue.pop(0)
            await ctx.tick()

    simulator = Simulator(array)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return trace


def draw() -> Drawing:
    """Return the waveform of the simulation."""
    trace = simulate()
    rows = [(stream, name) for stream, names in ROWS.items() for name in names] + [(C, "tdata")]
    drawing = Drawing(
        LEFT + CELL * CYCLES + 16,
        TOP + PITCH * (len(rows) + 1) + BOTTOM,
        "Two packets through the AXI4-Stream ports of a 2 x 2 array: each stream waits on its own",
    )
    waveform_figure.clock(drawing, TOP, "aclk")
    for index, (stream, name) in enumerate(rows, 1):
        y = TOP + PITCH * index
        port = f"{stream}_{name}"
        drawing.text(LEFT - 10, y + SWING - 5, port, anchor="end", size=10, mono=True)
        valid = trace[f"{stream}_tvalid"]
        if name == "tdata":
            moves = waveform_figure.both(valid, trace[f"{stream}_tready"])
            waveform_figure.words(drawing, y, COLOURS[stream], valid, moves, trace[port], 8 if stream == C else 4)
        else:
            shown = waveform_figure.both(trace[port], valid) if name == "tlast" else trace[port]
            waveform_figure.bit(drawing, y, CONTROL_COLOUR if name == "tready" else COLOURS[stream], shown)
    return drawing
