"""A matrix product larger than the array: its tiles in their order, what one takes of A and B, what is padded."""

from drawing import A_COLOUR, B_COLOUR, CONTROL_COLOUR, FRAME_COLOUR, INK, RESULT_COLOUR, Drawing

from macgen import MacSpec
from macgen.system import MatrixProduct, Tiling

UNIT = 17
LEFT, TOP = 300, 236
A_LEFT, B_TOP = 70, 56
PADDING_FILL, SHOWN_FILL, GROUND = "#E4E4E4", "#FFE9B8", "#FFFFFF"
SHOWN = 5
DASH = "4 3"


def draw(spec: MacSpec) -> Drawing:
    """Return the picture of a 10 x 7 times 7 x 11 product on an array."""
    tiling = Tiling(spec, MatrixProduct(10, 7, 11))
    product = tiling.product
    width, height = tiling.tile_cols * spec.cols * UNIT, tiling.tile_rows * spec.rows * UNIT
    drawing = Drawing(
        LEFT + width + 250,
        TOP + height + 30,
        f"A product of {product.rows} x {product.cols} results on {spec.rows} x {spec.cols} units: tiles row by row, "
        f"zeros beyond the matrices' edges",
    )
    tiles = [tile for tiles in tiling.order() for tile in tiles]
    shown = tiles[SHOWN]
    assert shown is not None
    length = product.length * UNIT
    _operand(drawing, A_LEFT, TOP, length, height, product.rows * UNIT, vertical=True)
    _operand(drawing, LEFT, B_TOP, width, length, product.cols * UNIT, vertical=False)
    row, col = TOP + shown.row * spec.rows * UNIT, LEFT + shown.col * spec.cols * UNIT
    drawing.rectangle(A_LEFT, row, length, spec.rows * UNIT, stroke=A_COLOUR)
    drawing.rectangle(col, B_TOP, spec.cols * UNIT, length, stroke=B_COLOUR)
    _results(drawing, tiling, width, height)
    drawing.line([(A_LEFT + length, row + 16), (col, row + 16)], colour=A_COLOUR, width=2, dash=DASH, arrow=True)
    drawing.line([(col + 16, B_TOP + length), (col + 16, row)], colour=B_COLOUR, width=2, dash=DASH, arrow=True)
    for number, tile in enumerate(tiles):
        assert tile is not None
        # Below the middle, where the edge of the matrix lies in the last row of tiles.
        x, y = LEFT + (tile.col + 0.5) * spec.cols * UNIT, TOP + (tile.row + 0.75) * spec.rows * UNIT
        drawing.text(x, y + 5, str(number), bold=True, colour=RESULT_COLOUR if number == SHOWN else INK)
    drawing.text(A_LEFT + length / 2, TOP - 12, f"A, {product.rows} x {product.length}", bold=True, colour=A_COLOUR)
    drawing.text(LEFT, B_TOP - 12, f"B, {product.length} x {product.cols}", anchor="start", bold=True, colour=B_COLOUR)
    _legend(drawing, LEFT + width + 24, TOP + 14)
    return drawing


def _operand(
    drawing: Drawing, x: float, y: float, width: float, height: float, filled: float, *, vertical: bool
) -> None:
    """Draw an operand as whole tiles take it; beyond what is filled it is padded."""
    drawing.rectangle(x, y, width, height, fill=PADDING_FILL, stroke=FRAME_COLOUR)
    drawing.rectangle(x, y, width if vertical else filled, filled if vertical else height, fill=GROUND)


def _results(drawing: Drawing, tiling: Tiling, width: float, height: float) -> None:
    spec, product = tiling.spec, tiling.product
    drawing.rectangle(LEFT, TOP, width, height, fill=PADDING_FILL, stroke=FRAME_COLOUR)
    drawing.rectangle(LEFT, TOP, product.cols * UNIT, product.rows * UNIT, fill=GROUND)
    row, col = divmod(SHOWN, tiling.tile_cols)
    x, y = LEFT + col * spec.cols * UNIT, TOP + row * spec.rows * UNIT
    right, bottom = LEFT + product.cols * UNIT, TOP + product.rows * UNIT
    shown = min(right - x, spec.cols * UNIT), min(bottom - y, spec.rows * UNIT)
    drawing.rectangle(x, y, *shown, fill=SHOWN_FILL, stroke="none")
    for line in range(1, tiling.tile_rows):
        at = TOP + line * spec.rows * UNIT
        drawing.line([(LEFT, at), (LEFT + width, at)], colour=CONTROL_COLOUR)
    for line in range(1, tiling.tile_cols):
        at = LEFT + line * spec.cols * UNIT
        drawing.line([(at, TOP), (at, TOP + height)], colour=CONTROL_COLOUR)


def _legend(drawing: Drawing, x: float, y: float) -> None:
    lines = (
        ("tiles go row by row;", ""),
        ("with turns, as many as", ""),
        ("there are turns at a time", ""),
        ("tile 5", SHOWN_FILL),
        ("padding: zeros", PADDING_FILL),
    )
    for place, (text, fill) in enumerate(lines):
        at = y + 24 * place
        if fill:
            drawing.rectangle(x, at - 12, 14, 14, fill=fill, stroke=FRAME_COLOUR)
        drawing.text(x + (22 if fill else 0), at, text, anchor="start")
