"""A PE of the default preset: how a product joins the accumulator, and a chunk sum the total."""

from drawing import A_COLOUR, B_COLOUR, CONTROL_COLOUR, FRAME_COLOUR, INK, RESULT_COLOUR, Drawing

from macgen import MacSpec

WIDTH, HEIGHT = 1000, 500

PASS_A, PASS_B, PASS_CONTROL = 40, 72, 104
MAIN, LOOP, TOTAL = 220, 334, 424
REGISTER_WIDTH, REGISTER_HEIGHT = 18, 76
BLOCK_HEIGHT = 60

MULTIPLY, NORMALISE, SELECT, OPERAND = 92, 200, 310, 366
ALIGN, ADD, NORMALISE_SUM, ROUND = 436, 518, 600, 704
SUM, ACC, ACC_OUT = 796, 830, 864
RESULT = 930
DASH = "5 3"


def draw(spec: MacSpec) -> Drawing:
    """Return the diagram of a PE that folds chunk sums in bubbles, with one lane, one turn and without scales."""
    drawing = Drawing(
        WIDTH,
        HEIGHT,
        "A processing element: multiplier, operand register, adder with align, add, normalise and round, accumulator, "
        "total of the chunk sums, result register",
    )
    _operands(drawing, spec)
    _product(drawing)
    _adder(drawing)
    _loop(drawing, spec)
    _total(drawing)
    _result(drawing)
    return drawing


def _operands(drawing: Drawing, spec: MacSpec) -> None:
    """Draw what passes through to the neighbours, and the operands' way to the multiplier."""
    for y, name, to, colour, dash in (
        (PASS_A, f"a, {spec.a}", "to the right", A_COLOUR, ""),
        (PASS_B, f"b, {spec.b}", "to below", B_COLOUR, ""),
        (PASS_CONTROL, "control", "to the right", CONTROL_COLOUR, DASH),
    ):
        drawing.text(16, y + 5, name, anchor="start", bold=True, colour=colour)
        drawing.line([(82, y), (256, y)], colour=colour, dash=dash, width=2, arrow=True)
        drawing.register(222, y)
        drawing.text(264, y + 5, to, anchor="start")
    top = MAIN - BLOCK_HEIGHT / 2
    for x, y, colour in ((MULTIPLY + 18, PASS_B, B_COLOUR), (MULTIPLY + 52, PASS_A, A_COLOUR)):
        drawing.line([(x, y), (x, top)], colour=colour, width=2, arrow=True, bridge=True)
        drawing.dot(x, y, colour=colour)


def _product(drawing: Drawing) -> None:
    """Draw the way from the multiplier to the operand register."""
    top = MAIN - BLOCK_HEIGHT / 2
    drawing.block(MULTIPLY, top, 70, BLOCK_HEIGHT, "multiply", "exactly", size=12)
    drawing.line([(MULTIPLY + 70, MAIN), (NORMALISE, MAIN)], arrow=True)
    drawing.block(NORMALISE, top, 76, BLOCK_HEIGHT, "normalise", size=12)
    drawing.line([(NORMALISE + 76, MAIN), (SELECT, MAIN)], arrow=True)
    _selector(drawing)
    drawing.line([(SELECT + 22, MAIN + 12), (OPERAND, MAIN + 12)], arrow=True)
    y = MAIN + 12
    drawing.register(OPERAND + REGISTER_WIDTH / 2, y, REGISTER_WIDTH, REGISTER_HEIGHT)
    drawing.text(OPERAND + REGISTER_WIDTH / 2, y - REGISTER_HEIGHT / 2 - 8, "operand")
    drawing.line([(OPERAND + REGISTER_WIDTH, MAIN), (ALIGN, MAIN)], arrow=True)


def _selector(drawing: Drawing) -> None:
    top, bottom = MAIN - 24, MAIN + 48
    corners = [(SELECT, top), (SELECT + 22, top + 14), (SELECT + 22, bottom - 14), (SELECT, bottom)]
    drawing.polygon(corners, fill="#FFFFFF")
    drawing.line([(SELECT + 11, top - 26), (SELECT + 11, top + 7)], colour=CONTROL_COLOUR, dash=DASH, arrow=True)
    drawing.text(SELECT + 11, top - 32, "fold", size=12, colour=CONTROL_COLOUR)


def _adder(drawing: Drawing) -> None:
    top = MAIN - BLOCK_HEIGHT / 2
    drawing.rectangle(ALIGN - 14, top - 44, 350, LOOP + 30 - (top - 44), stroke=FRAME_COLOUR, dash="4 4")
    drawing.text(ALIGN - 6, top - 26, "adder: one addition a cycle", anchor="start")
    parts = ((ALIGN, 58, "align"), (ADD, 58, "add"), (NORMALISE_SUM, 80, "normalise"), (ROUND, 62, "round"))
    for index, (x, width, name) in enumerate(parts):
        drawing.block(x, top, width, BLOCK_HEIGHT, name, size=12)
        end = parts[index + 1][0] if index + 1 < len(parts) else ACC
        drawing.line([(x + width, MAIN), (end, MAIN)], arrow=True)


def _loop(drawing: Drawing, spec: MacSpec) -> None:
    """Draw the accumulator and its way back to the adder."""
    x = ACC + REGISTER_WIDTH / 2
    drawing.register(x, MAIN, REGISTER_WIDTH, REGISTER_HEIGHT)
    drawing.text(x, MAIN - REGISTER_HEIGHT / 2 - 26, "acc", bold=True)
    drawing.text(x, MAIN - REGISTER_HEIGHT / 2 - 10, str(spec.acc), size=12)
    settle, width = 540, 150
    drawing.line([(ACC + REGISTER_WIDTH, MAIN), (ACC_OUT, MAIN), (ACC_OUT, LOOP), (settle + width, LOOP)], arrow=True)
    drawing.block(settle, LOOP - 18, width, 36, "add the rounding's 1", size=12)
    x = ALIGN + 29
    drawing.line([(settle, LOOP), (x, LOOP), (x, MAIN + BLOCK_HEIGHT / 2)], arrow=True)


def _total(drawing: Drawing) -> None:
    """Draw the outer accumulator: a sum goes there, and comes back in the operand's place."""
    register = 700
    drawing.dot(SUM, MAIN)
    drawing.line([(SUM, MAIN), (SUM, TOTAL), (register + REGISTER_WIDTH, TOTAL)], arrow=True, bridge=True)
    drawing.register(register + REGISTER_WIDTH / 2, TOTAL, REGISTER_WIDTH, 52)
    drawing.text(register + REGISTER_WIDTH / 2, TOTAL + 46, "total, renewed by a fold")
    settle, width = 480, 150
    drawing.line([(register, TOTAL), (settle + width, TOTAL)], arrow=True)
    drawing.block(settle, TOTAL - 18, width, 36, "add the rounding's 1", size=12)
    x = SELECT - 30
    drawing.line([(settle, TOTAL), (x, TOTAL), (x, MAIN + 30), (SELECT, MAIN + 30)], arrow=True)


def _result(drawing: Drawing) -> None:
    """Draw the result register, a stage of the column's shift register."""
    sum_x, below_x, y = RESULT - 16, RESULT + 16, 300
    way = [(SUM, y - 26), (sum_x, y - 26), (sum_x, y - 58)]
    drawing.line(way, colour=RESULT_COLOUR, bridge=True, arrow=True, width=2)
    drawing.dot(SUM, y - 26, colour=INK)
    drawing.line([(below_x, HEIGHT - 44), (below_x, y - 58)], colour=RESULT_COLOUR, arrow=True, width=2)
    top = y - 80
    corners = [(RESULT - 32, y - 58), (RESULT + 32, y - 58), (RESULT + 20, top), (RESULT - 20, top)]
    drawing.polygon(corners, fill="#FFFFFF")
    drawing.text(RESULT, y - 64, "done", size=12, colour=CONTROL_COLOUR)
    drawing.line([(RESULT, top), (RESULT, 70)], colour=RESULT_COLOUR, arrow=True, width=2)
    drawing.register(RESULT, 150, 64, 34)
    drawing.text(RESULT, 150, "result", size=12)
    drawing.text(RESULT, 58, "to the PE above")
    drawing.text(WIDTH - 16, HEIGHT - 28, "from the PE below", anchor="end")
