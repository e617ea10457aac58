"""A compressor: its blocks, and a layer of six elements in bins of four, simulated."""

from typing import Any

import waveform_figure
from amaranth.sim import Simulator
from drawing import A_COLOUR, B_COLOUR, CONTROL_COLOUR, FRAME_COLOUR, RESULT_COLOUR, Drawing
from waveform_figure import BOTTOM, CELL, CYCLES, LEFT, PITCH, START, SWING, TOP

from macgen.compress import CompressSpec
from macgen.compress.rtl import Compressor

SPEC = CompressSpec("int6", 4, learners=0, most_bins=7)
GRADIENTS = (1, -7, 0, 4, 2, -1)
KEPT, OUT = "kept", "out"
ROWS = {
    "in": ("valid", "ready", "last", "gradient"),
    KEPT: ("valid", "sent", "last", "data"),
    OUT: ("valid", "end", "last", "index", "scale"),
}
COLOURS = {"in": A_COLOUR, KEPT: B_COLOUR, OUT: RESULT_COLOUR}
MARKS = ("last", "sent", "end")
WORDS = ("gradient", "data", "index", "scale")


def simulate() -> dict[str, list[int]]:
    """Return the ports' values in each cycle."""
    unit = Compressor(SPEC)
    trace: dict[str, list[int]] = {name: [] for name in unit.signature.members}

    async def bench(ctx: Any) -> None:
        waiting = list(GRADIENTS)
        ctx.set(unit.kept_ready, 1)
        ctx.set(unit.out_ready, 1)
        for cycle in range(CYCLES):
            offers = bool(waiting) and cycle >= START
            ctx.set(unit.in_valid, offers)
            if offers:
                ctx.set(unit.in_gradient, waiting[0] & 63)
                ctx.set(unit.in_last, len(waiting) == 1)
            for name, values in trace.items():
                values.append(ctx.get(getattr(unit, name)))
            if offers and ctx.get(unit.in_ready):
                waiting.pop(0)
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return trace


def draw_waveform() -> Drawing:
    """Return the waveform of the simulation."""
    trace = simulate()
    rows = [(stream, name) for stream, names in ROWS.items() for name in names]
    drawing = Drawing(
        LEFT + CELL * CYCLES + 16,
        TOP + PITCH * (len(rows) + 1) + BOTTOM,
        "A layer of six elements in bins of four: what is kept follows bin by bin, what is sent ends with the scale",
    )
    waveform_figure.clock(drawing, TOP)
    for place, (stream, name) in enumerate(rows, 1):
        y = TOP + PITCH * place
        port = f"{stream}_{name}"
        drawing.text(LEFT - 10, y + SWING - 5, port, anchor="end", size=12, mono=True)
        valid = trace[f"{stream}_valid"]
        if name in WORDS:
            shown = waveform_figure.both(valid, trace["out_last"]) if name == "scale" else valid
            moves = waveform_figure.both(shown, trace[f"{stream}_ready"])
            waveform_figure.words(drawing, y, COLOURS[stream], shown, moves, trace[port], 1 if name == "index" else 2)
        else:
            bits = waveform_figure.both(trace[port], valid) if name in MARKS else trace[port]
            waveform_figure.bit(drawing, y, CONTROL_COLOUR if name == "ready" else COLOURS[stream], bits)
    return drawing


def draw() -> Drawing:
    """Return the blocks of a unit."""
    drawing = Drawing(880, 400, "A compressor and, beside it, the receiver that sums what learners sent")
    drawing.rectangle(120, 30, 640, 220, stroke=FRAME_COLOUR, dash="4 3")
    drawing.text(132, 48, "compressor", anchor="start", colour=CONTROL_COLOUR)
    drawing.block(140, 70, 120, 70, "element", "R, G, |G|, |H|", "three stages")
    drawing.block(320, 70, 130, 70, "buffer", "two bins,", "largest |G|")
    drawing.block(320, 180, 130, 50, "mean", "of the largest")
    drawing.block(520, 70, 120, 70, "selector", "|H| >= g, G not 0")
    drawing.register(690, 90)
    drawing.register(690, 130)
    drawing.line([(20, 105), (140, 105)], colour=A_COLOUR, arrow=True)
    drawing.text(16, 92, "in: G', s', S', D", anchor="start", colour=A_COLOUR)
    drawing.line([(260, 105), (320, 105)], arrow=True)
    drawing.line([(450, 105), (520, 105)], arrow=True)
    drawing.line([(385, 140), (385, 180)], arrow=True)
    drawing.line([(450, 205), (580, 205), (580, 140)], arrow=True)
    drawing.text(515, 198, "S at the layer's end", size=11)
    drawing.line([(640, 90), (683, 90)])
    drawing.line([(640, 130), (683, 130)])
    drawing.line([(697, 90), (860, 90)], colour=B_COLOUR, arrow=True)
    drawing.line([(697, 130), (860, 130)], colour=RESULT_COLOUR, arrow=True)
    drawing.text(864, 80, "kept: G, s", anchor="end", colour=B_COLOUR)
    drawing.text(864, 122, "out: index, sign", anchor="end", colour=RESULT_COLOUR)
    drawing.rectangle(120, 280, 640, 100, stroke=FRAME_COLOUR, dash="4 3")
    drawing.text(132, 298, "expander", anchor="start", colour=CONTROL_COLOUR)
    drawing.block(240, 310, 150, 50, "one peer a learner", "its next beat")
    drawing.block(470, 310, 120, 50, "sum", "of sgn times S")
    drawing.register(690, 335)
    drawing.line([(20, 335), (240, 335)], colour=RESULT_COLOUR, width=3, arrow=True)
    drawing.text(16, 322, "peer: learners", anchor="start", colour=RESULT_COLOUR)
    drawing.line([(390, 335), (470, 335)], width=3, arrow=True)
    drawing.line([(590, 335), (683, 335)])
    drawing.line([(697, 335), (860, 335)], colour=A_COLOUR, arrow=True)
    drawing.text(864, 327, "sum", anchor="end", colour=A_COLOUR)
    return drawing
