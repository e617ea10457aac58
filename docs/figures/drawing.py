"""A sheet to draw block diagrams on, written as SVG: the same calls give the same bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

Point = tuple[float, float]

# Blue, orange and green of the Okabe-Ito palette, told apart by most people.
A_COLOUR, B_COLOUR, RESULT_COLOUR = "#0072B2", "#C04E00", "#00805E"
INK, CONTROL_COLOUR, FRAME_COLOUR = "#222222", "#666666", "#999999"
BLOCK_FILL, REGISTER_FILL, PE_FILL = "#F2F5F8", "#FFE9B8", "#EEF6EE"

SANS = "Helvetica, Arial, 'Liberation Sans', sans-serif"
MONO = "'DejaVu Sans Mono', Menlo, Consolas, monospace"
FONT_SIZE = 13
REGISTER_SIDE = 14
_HEAD_LENGTH, _HEAD_WIDTH = 9, 4
_BRIDGE_BEGINS = 8


@dataclass
class Drawing:
    """A sheet with a white ground, so that it reads on dark pages, too; y grows downwards.

    Parameters:
        width, height: of the sheet, in pixels.
        title: what the picture shows, for those who do not see it.
    """

    width: int
    height: int
    title: str
    _items: list[str] = field(default_factory=list)

    def rectangle(
        self, x: float, y: float, width: float, height: float, *, fill: str = "none", stroke: str = INK, dash: str = ""
    ) -> None:
        """Draw a rectangle with its top left corner at (x, y)."""
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self._items.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3" fill="{fill}" stroke="{stroke}"'
            f"{dashes}/>"
        )

    def polygon(self, points: Sequence[Point], *, fill: str, stroke: str = INK) -> None:
        """Draw a closed shape."""
        self._items.append(f'<polygon points="{_pairs(points)}" fill="{fill}" stroke="{stroke}"/>')

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        anchor: str = "middle",
        size: float = FONT_SIZE,
        colour: str = INK,
        mono: bool = False,
        bold: bool = False,
    ) -> None:
        """Write a line of text; `y` is its base line, `anchor` is start, middle or end."""
        family = f' font-family="{MONO}"' if mono else ""
        weight = ' font-weight="bold"' if bold else ""
        self._items.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size:g}" fill="{colour}"{family}{weight}>'
            f"{escape(text, quote=False)}</text>"
        )

    def line(
        self,
        points: Sequence[Point],
        *,
        colour: str = INK,
        width: float = 1.5,
        dash: str = "",
        arrow: bool = False,
        bridge: bool = False,
    ) -> None:
        """Draw a line through points, perhaps with a head at its end.

        Parameters:
            points: two or more.
            colour, width, dash: of the stroke.
            arrow: whether it ends in a head, whose tip is the last point.
            bridge: whether it passes over the lines drawn before, which it crosses without meeting them, except at
                its first point.
        """
        points = list(points)
        tip = points[-1]
        if arrow:
            points[-1] = _towards(tip, points[-2], _HEAD_LENGTH - 1)
        if bridge:
            begin = _towards(points[0], points[1], _BRIDGE_BEGINS)
            self._stroke([begin, *points[1:]], "#FFFFFF", width + 6, "")
        self._stroke(points, colour, width, dash)
        if arrow:
            self._head(tip, points[-2], colour)

    def dot(self, x: float, y: float, *, colour: str = INK) -> None:
        """Mark that lines meet here."""
        self._items.append(f'<circle cx="{x:g}" cy="{y:g}" r="3" fill="{colour}"/>')

    def block(
        self, x: float, y: float, width: float, height: float, *lines: str, fill: str = BLOCK_FILL, size: float = 13
    ) -> None:
        """Draw a box with centred lines of text."""
        self.rectangle(x, y, width, height, fill=fill)
        pitch = size + 3
        first = y + height / 2 - pitch * (len(lines) - 1) / 2 + 0.35 * size
        for index, line in enumerate(lines):
            self.text(x + width / 2, first + index * pitch, line, size=size)

    def register(self, x: float, y: float, width: float = REGISTER_SIDE, height: float = REGISTER_SIDE) -> None:
        """Draw a register with its centre at (x, y); the notch is its clock."""
        left, bottom = x - width / 2, y + height / 2
        self.rectangle(left, y - height / 2, width, height, fill=REGISTER_FILL)
        notch = [(x - 4, bottom), (x, bottom - 5), (x + 4, bottom)]
        self._stroke(notch, INK, 1, "")

    def svg(self) -> str:
        """Return the sheet as the text of an SVG file."""
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
                f'width="{self.width}" height="{self.height}" role="img" font-family="{SANS}">',
                f"<title>{escape(self.title, quote=False)}</title>",
                f'<rect width="{self.width}" height="{self.height}" rx="8" fill="#FFFFFF"/>',
                *self._items,
                "</svg>",
                "",
            ]
        )

    def _stroke(self, points: Sequence[Point], colour: str, width: float, dash: str) -> None:
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self._items.append(
            f'<polyline points="{_pairs(points)}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dashes}/>'
        )

    def _head(self, tip: Point, before: Point, colour: str) -> None:
        base_x, base_y = _towards(tip, before, _HEAD_LENGTH)
        along_x, along_y = (tip[0] - base_x) / _HEAD_LENGTH, (tip[1] - base_y) / _HEAD_LENGTH
        side_x, side_y = -along_y * _HEAD_WIDTH, along_x * _HEAD_WIDTH
        corners = [tip, (base_x + side_x, base_y + side_y), (base_x - side_x, base_y - side_y)]
        self._items.append(f'<polygon points="{_pairs(corners)}" fill="{colour}"/>')


def _towards(start: Point, end: Point, distance: float) -> Point:
    """Return the point at a distance from `start` on the way to `end`; lines run along an axis."""
    step_x, step_y = end[0] - start[0], end[1] - start[1]
    length = abs(step_x) + abs(step_y)
    return start[0] + step_x / length * distance, start[1] + step_y / length * distance


def _pairs(points: Sequence[Point]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)
