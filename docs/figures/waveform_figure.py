"""The streams of a 2 x 2 array, simulated: tiles with a bubble each, a pause of the source, results that wait."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from amaranth.sim import Simulator
from drawing import A_COLOUR, B_COLOUR, CONTROL_COLOUR, RESULT_COLOUR, Drawing

from macgen import MacSpec
from macgen.rtl import ArrayCore, Design

SPEC = MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=2, rows=2, cols=2)

WORD_BITS = {
    "a": SPEC.rows * SPEC.a.width,
    "b": SPEC.cols * SPEC.b.width,
    "c": SPEC.cols * SPEC.out_format.width,
}

# Two tiles: rows of A, rows of B.
Rows = list[list[float]]
TILES: tuple[tuple[Rows, Rows], ...] = (
    ([[1, 2, 3, 4], [2, 0.5, 1, -1]], [[1, 2], [0.5, 1], [2, -1], [1, 3]]),
    ([[1, 1, 2, 3], [-2, 4, 1, 0.5]], [[2, 1], [3, 1], [1, -2], [0.5, 4]]),
)

# What happens outside of the array: when the first beat is offered, b is not valid, c is not ready.
CYCLES, START = 26, 1
B_PAUSES = (4,)
C_WAITS = range(10, 15)

LEFT, TOP, BOTTOM = 104, 66, 20
CELL, PITCH, SWING, SLOPE = 36, 31, 19, 3

BUBBLE, PAUSE, HELD = "#FFF0C2", "#E4E4E4", "#FBDADA"
MEANINGS = {
    BUBBLE: "bubble: a chunk sum is folded",
    PAUSE: "b has no beat, so a waits",
    HELD: "the next tile's last beat is held: results wait",
}


@dataclass(frozen=True)
class Beat:
    """A beat of both operand streams: words with lane 0 lowest, and marks."""

    a: int
    b: int
    first: bool
    last: bool


def beats() -> Iterator[Beat]:
    """Yield the beats of all tiles: column k of A with row k of B."""
    for a, b in TILES:
        for k in range(len(b)):
            yield Beat(
                a=_word([int(SPEC.a.encode(row[k])) for row in a], SPEC.a.width),
                b=_word([int(SPEC.b.encode(value)) for value in b[k]], SPEC.b.width),
                first=k == 0,
                last=k == len(b) - 1,
            )


def _word(codes: Sequence[int], width: int) -> int:
    return sum(code << lane * width for lane, code in enumerate(codes))


def simulate() -> dict[str, list[int]]:
    """Return the ports' values in each cycle, by the names that they have in the Verilog."""
    array = ArrayCore(Design(SPEC))
    trace: dict[str, list[int]] = {name: [] for name in array.signature.members}

    async def bench(ctx: Any) -> None:
        for _ in range(4):  # after reset the accumulators are emptied
            await ctx.tick()
        waiting = list(beats())
        for cycle in range(CYCLES):
            offers = bool(waiting) and cycle >= START
            ctx.set(array.a_valid, offers)
            ctx.set(array.b_valid, offers and cycle not in B_PAUSES)
            if offers:
                ctx.set(array.a_data, waiting[0].a)
                ctx.set(array.b_data, waiting[0].b)
                ctx.set(array.a_first, waiting[0].first)
                ctx.set(array.a_last, waiting[0].last)
            ctx.set(array.c_ready, cycle not in C_WAITS)
            for name, values in trace.items():
                values.append(ctx.get(getattr(array, name)))
            if ctx.get(array.a_valid) and ctx.get(array.a_ready):
                waiting.pop(0)
            await ctx.tick()

    simulator = Simulator(array)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return trace


def draw() -> Drawing:
    """Return the waveform of the simulation."""
    trace = simulate()
    assert trace["a_ready"] == trace["b_ready"]
    rows = [
        ("a_valid", A_COLOUR),
        ("a_first", A_COLOUR),
        ("a_last", A_COLOUR),
        ("a_data", A_COLOUR),
        ("b_valid", B_COLOUR),
        ("b_data", B_COLOUR),
        ("a_ready", CONTROL_COLOUR),
        ("c_valid", RESULT_COLOUR),
        ("c_ready", CONTROL_COLOUR),
        ("c_first", RESULT_COLOUR),
        ("c_last", RESULT_COLOUR),
        ("c_data", RESULT_COLOUR),
    ]
    height = TOP + PITCH * (len(rows) + 1) + BOTTOM
    drawing = Drawing(
        LEFT + CELL * CYCLES + 16,
        height,
        "Two tiles of a 2 x 2 array with chunks of two: beats, bubbles, a pause of stream b, and results that wait",
    )
    _shade(drawing, trace, height)
    clock(drawing, TOP)
    for index, (name, colour) in enumerate(rows, 1):
        y = TOP + PITCH * index
        label = "a, b ready" if name == "a_ready" else name
        drawing.text(LEFT - 10, y + SWING - 5, label, anchor="end", size=12, mono=True)
        if name.endswith("_data"):
            stream = name[0]
            moves = both(trace[f"{stream}_valid"], trace[f"{stream}_ready"])
            if stream != "c":
                moves = both(trace["a_valid"], trace["b_valid"], trace["a_ready"])
            words(drawing, y, colour, trace[f"{stream}_valid"], moves, trace[name], WORD_BITS[stream] // 4)
        else:
            shown = trace[name]
            if name in ("a_first", "a_last", "c_first", "c_last"):  # marks mean nothing without a beat
                shown = both(shown, trace[f"{name[0]}_valid"])
            bit(drawing, y, colour, shown)
    return drawing


def both(*signals: Sequence[int]) -> list[int]:
    """Return in which cycles all signals are high."""
    return [int(all(values)) for values in zip(*signals, strict=True)]


def _shade(drawing: Drawing, trace: dict[str, list[int]], height: int) -> None:
    """Shade the cycles in which no beat moves though a source offers one, and say why."""
    x = LEFT
    for colour, meaning in MEANINGS.items():
        drawing.rectangle(x, 18, 16, 16, fill=colour, stroke=CONTROL_COLOUR)
        drawing.text(x + 24, 31, meaning, anchor="start")
        x += 56 + round(6.3 * len(meaning))
    offered = both(trace["a_valid"], trace["b_valid"])
    moves = both(offered, trace["a_ready"])

    def colour_of(cycle: int) -> str | None:
        if not trace["a_valid"][cycle] or moves[cycle]:
            return None
        chunk_is_whole = moves[cycle - 1] and sum(moves[:cycle]) % (SPEC.chunk or 1) == 0
        return BUBBLE if chunk_is_whole else HELD if offered[cycle] else PAUSE

    for shade, group in groupby(range(CYCLES), colour_of):
        cycles = list(group)
        if shade is not None:
            left, width = LEFT + CELL * cycles[0], CELL * len(cycles)
            drawing.rectangle(left, TOP - 6, width, height - TOP - BOTTOM + 10, fill=shade, stroke="none")


def clock(drawing: Drawing, y: int, name: str = "clk") -> None:
    """Draw the clock, and the cycles' numbers above it."""
    drawing.text(LEFT - 10, y + SWING - 5, name, anchor="end", size=12, mono=True)
    points: list[tuple[float, float]] = []
    for cycle in range(CYCLES):
        x = LEFT + CELL * cycle
        points += [(x, y + SWING), (x, y), (x + CELL / 2, y), (x + CELL / 2, y + SWING)]
        drawing.text(x + CELL / 2, y - 10, str(cycle), size=10, colour=CONTROL_COLOUR)
    drawing.line([*points, (LEFT + CELL * CYCLES, y + SWING)], width=1.2)


def bit(drawing: Drawing, y: int, colour: str, values: Sequence[int]) -> None:
    """Draw a signal of one bit."""
    points: list[tuple[float, float]] = []
    for cycle, value in enumerate(values):
        level = y if value else y + SWING
        start = LEFT + CELL * cycle
        points += [(start + SLOPE if cycle else start, level), (start + CELL, level)]
    drawing.line(points, colour=colour, width=1.8)


def words(
    drawing: Drawing,
    y: int,
    colour: str,
    valid: Sequence[int],
    moves: Sequence[int],
    values: Sequence[int],
    digits: int,
) -> None:
    """Draw a bus: a cell from when a word is offered until it moves."""
    middle = y + SWING / 2
    beat = 0
    beats_begun = []
    for cycle in range(CYCLES):
        beats_begun.append((valid[cycle], beat))
        beat += moves[cycle]
    start = 0
    for (offered, _), cycles in groupby(beats_begun):
        length = len(list(cycles))
        left, right = LEFT + CELL * start, LEFT + CELL * (start + length)
        if not offered:
            drawing.line([(left, middle), (right, middle)], colour="#BBBBBB", width=1.2)
        else:
            corners = [
                (left + 1, middle),
                (left + 1 + SLOPE, y),
                (right - 1 - SLOPE, y),
                (right - 1, middle),
                (right - 1 - SLOPE, y + SWING),
                (left + 1 + SLOPE, y + SWING),
            ]
            drawing.polygon(corners, fill="#FFFFFF", stroke=colour)
            assert len({values[cycle] for cycle in range(start, start + length)}) == 1  # a word waits unchanged
            size = min(10 if digits <= 4 else 8, (right - left - 2 * SLOPE) / (0.6 * digits))
            text = f"{values[start]:0{digits}x}"
            drawing.text((left + right) / 2, middle + 0.36 * size, text, size=size, mono=True)
        start += length
