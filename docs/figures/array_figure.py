"""The array of the default preset: PEs, skew registers, control, the way of the results."""

from drawing import (
    A_COLOUR,
    B_COLOUR,
    CONTROL_COLOUR,
    PE_FILL,
    RESULT_COLOUR,
    Drawing,
)

from macgen import MacSpec

PE_WIDTH, PE_HEIGHT = 104, 76
LEFT, TOP = 306, 268
PITCH_X, PITCH_Y = 146, 112

# Where the four ways pass a PE, from its top left corner.
A_WAY, CONTROL_WAY = 24, 54
B_WAY, RESULT_WAY = 26, 80
RESULT_REGISTER = 20

A_BUS, CONTROL_BUS = 124, LEFT - 20
B_BUS, C_BUS = 132, 40
REGISTER_PITCH = 21
DASH = "5 3"


def corner(row: int, col: int) -> tuple[int, int]:
    """Return the top left corner of a PE."""
    return LEFT + col * PITCH_X, TOP + row * PITCH_Y


def draw(spec: MacSpec) -> Drawing:
    """Return the diagram of an array without scales and turns, with one lane."""
    right = LEFT + spec.cols * PITCH_X
    bottom = TOP + spec.rows * PITCH_Y
    drawing = Drawing(
        right + 18,
        bottom + 34,
        f"A {spec.rows} x {spec.cols} array of processing elements: rows of A enter from the left, columns of B from "
        f"above, sums leave upwards",
    )
    _operands_a(drawing, spec)
    _operands_b(drawing, spec)
    _control(drawing, spec)
    _results(drawing, spec, right)
    for row in range(spec.rows):
        for col in range(spec.cols):
            _pe(drawing, row, col, result_from_below=row < spec.rows - 1)
    y = bottom + 10
    drawing.register(LEFT + 8, y)
    drawing.text(LEFT + 22, y + 5, "register: a cycle later", anchor="start")
    drawing.line([(LEFT + 200, y), (LEFT + 240, y)], colour=CONTROL_COLOUR, dash=DASH, arrow=True)
    drawing.text(LEFT + 248, y + 5, "control: step, fold, done", anchor="start")
    return drawing


def _pe(drawing: Drawing, row: int, col: int, *, result_from_below: bool) -> None:
    x, y = corner(row, col)
    drawing.rectangle(x, y, PE_WIDTH, PE_HEIGHT, fill=PE_FILL)
    drawing.text(x + 8, y + 33, f"PE {row},{col}", anchor="start", bold=True)
    drawing.text(x + 8, y + 54, "acc += a b", anchor="start", size=12)
    lower_end = y + PE_HEIGHT if result_from_below else y + RESULT_REGISTER
    drawing.line([(x + RESULT_WAY, lower_end), (x + RESULT_WAY, y)], colour=RESULT_COLOUR, width=2)
    drawing.register(x + RESULT_WAY, y + RESULT_REGISTER)


def _operands_a(drawing: Drawing, spec: MacSpec) -> None:
    ways = [corner(row, 0)[1] + A_WAY for row in range(spec.rows)]
    enters = (ways[0] + ways[-1]) / 2
    drawing.text(16, enters - 50, "stream a", anchor="start", bold=True, colour=A_COLOUR)
    drawing.text(16, enters - 32, "beat k brings", anchor="start")
    drawing.text(16, enters - 14, "column k of A", anchor="start")
    drawing.line([(16, enters), (A_BUS, enters)], colour=A_COLOUR, width=3)
    drawing.text(16, enters + 20, f"{spec.rows} x {spec.a}", anchor="start")
    drawing.line([(A_BUS, ways[0] - 1), (A_BUS, ways[-1] + 1)], colour=A_COLOUR, width=3)
    for row, y in enumerate(ways):
        drawing.line([(A_BUS, y), (LEFT, y)], colour=A_COLOUR, width=2, arrow=True)
        for stage in range(row + 1):
            drawing.register(CONTROL_BUS - 26 - stage * REGISTER_PITCH, y)
        for col in range(1, spec.cols):
            x = corner(row, col)[0]
            drawing.line([(x - PITCH_X + PE_WIDTH, y), (x, y)], colour=A_COLOUR, width=2, arrow=True)


def _operands_b(drawing: Drawing, spec: MacSpec) -> None:
    ways = [corner(0, col)[0] + B_WAY for col in range(spec.cols)]
    drawing.text(16, B_BUS - 30, "stream b", anchor="start", bold=True, colour=B_COLOUR)
    drawing.text(16, B_BUS - 12, f"beat k brings row k of B, {spec.cols} x {spec.b}", anchor="start")
    drawing.line([(16, B_BUS), (ways[-1] + 1, B_BUS)], colour=B_COLOUR, width=3)
    for col, x in enumerate(ways):
        drawing.line([(x, B_BUS), (x, TOP)], colour=B_COLOUR, width=2, arrow=True)
        for stage in range(col + 1):
            drawing.register(x, TOP - 24 - stage * REGISTER_PITCH)
        for row in range(1, spec.rows):
            y = corner(row, col)[1]
            drawing.line([(x, y - PITCH_Y + PE_HEIGHT), (x, y)], colour=B_COLOUR, width=2, arrow=True)


def _control(drawing: Drawing, spec: MacSpec) -> None:
    left, top, width, height = 92, 172, 110, 46
    drawing.line([(left + 40, top), (left + 40, B_BUS + 2)], colour=CONTROL_COLOUR, arrow=True)
    drawing.line([(left + 66, B_BUS + 2), (left + 66, top)], colour=CONTROL_COLOUR, arrow=True)
    drawing.text(left + 74, top - 12, "valid, ready", anchor="start", size=12, colour=CONTROL_COLOUR)
    a_top = corner(0, 0)[1] + A_WAY - 2
    drawing.line([(A_BUS + 8, top + height), (A_BUS + 8, a_top)], colour=CONTROL_COLOUR, arrow=True)
    drawing.line([(A_BUS + 34, a_top), (A_BUS + 34, top + height)], colour=CONTROL_COLOUR, arrow=True)
    drawing.text(A_BUS - 2, a_top - 40, "valid, ready,", anchor="end", size=12, colour=CONTROL_COLOUR)
    drawing.text(A_BUS - 2, a_top - 24, "first, last", anchor="end", size=12, colour=CONTROL_COLOUR)
    y = top + height / 2
    last = corner(spec.rows - 1, 0)[1] + CONTROL_WAY
    drawing.line(
        [(left + width, y), (CONTROL_BUS, y), (CONTROL_BUS, last)], bridge=True, dash=DASH, colour=CONTROL_COLOUR
    )
    drawing.block(left, top, width, height, "sequencer", "counts chunks")
    for row in range(spec.rows):
        x, top_of_pe = corner(row, 0)
        way = top_of_pe + CONTROL_WAY
        drawing.register(CONTROL_BUS, top_of_pe - 10)
        drawing.line([(CONTROL_BUS, way), (x, way)], arrow=True, dash=DASH, colour=CONTROL_COLOUR)
        for col in range(1, spec.cols):
            right = corner(row, col)[0]
            drawing.line(
                [(right - PITCH_X + PE_WIDTH, way), (right, way)], arrow=True, dash=DASH, colour=CONTROL_COLOUR
            )


def _results(drawing: Drawing, spec: MacSpec, right: int) -> None:
    box_width, box_height = 86, 28
    for col in range(spec.cols):
        x = corner(0, col)[0] + RESULT_WAY
        drawing.line([(x, TOP), (x, 96)], colour=RESULT_COLOUR, width=2, arrow=True, bridge=True)
        drawing.block(x - box_width / 2, 96 - box_height, box_width, box_height, f"to {spec.out_format}")
        drawing.line([(x, 96 - box_height), (x, C_BUS)], colour=RESULT_COLOUR, width=2)
        for row in range(1, spec.rows):
            y = corner(row, col)[1]
            drawing.line([(x, y), (x, y - PITCH_Y + PE_HEIGHT)], colour=RESULT_COLOUR, width=2, arrow=True)
    first = corner(0, 0)[0] + RESULT_WAY
    drawing.line([(first - 1, C_BUS), (right + 8, C_BUS)], colour=RESULT_COLOUR, width=3, arrow=True)
    drawing.text(first, C_BUS - 14, "stream c", anchor="start", bold=True, colour=RESULT_COLOUR)
    text = f"one row of A B a beat, row 0 first: {spec.cols} x {spec.out_format} and their flags"
    drawing.text(first + 66, C_BUS - 14, text, anchor="start")
