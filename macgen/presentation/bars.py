"""Bars as inline SVG: they are as wide as the page lets them be, and their text stays as large as it is.

So places along a bar are percentages; rows have heights in pixels. Colours are classes, which the page's style sets.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from macgen.presentation.html import Element, element

_TEXT, _BAR, _GAP = 20, 14, 8


@dataclass(frozen=True)
class Piece:
    """A part of a bar: its length as a share of the whole width, its colour's class, and what it is."""

    length: float
    colour: str
    title: str


@dataclass(frozen=True)
class Row:
    """Bars below a line of text.

    Attributes:
        label: at the left of the line.
        value: at its right.
        bars: one below the other, each of pieces in a line.
    """

    label: str
    value: str
    bars: Sequence[Sequence[Piece]]


def picture(title: str, rows: Iterable[Row], mark: float | None = None) -> Element:
    """Return rows of bars.

    Parameters:
        title: what it shows, for those who do not see it.
        rows: from the top.
        mark: where to draw a line across all bars, as a share of the width.
    """
    items: list[Element] = [element("title", title)]
    y = 0
    for row in rows:
        items.append(element("text", row.label, x="0", y=y + 14))
        items.append(element("text", row.value, x="100%", y=y + 14, class_="value"))
        y += _TEXT
        for bar in row.bars:
            place = 0.0
            for piece in bar:
                what = element("title", piece.title)
                x, width = _percent(place), _percent(piece.length)
                items.append(element("rect", what, class_=piece.colour, x=x, y=y, width=width, height=_BAR))
                place += piece.length
            if mark is not None:
                at = _percent(mark)
                items.append(element("line", x1=at, x2=at, y1=y - 2, y2=y + _BAR + 2, class_="mark"))
            y += _BAR + 2
        y += _GAP
    return element("svg", *items, role="img", height=y, class_="bars")


def legend(entries: Iterable[tuple[str, str]]) -> Element:
    """Return what the colours mean: pairs of a class and a text."""
    return element(
        "p", *(element("span", element("i", class_=colour), text) for colour, text in entries), class_="legend"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3f}%"
