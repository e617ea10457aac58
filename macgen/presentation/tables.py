"""Tables that are never cut: on a narrow terminal text is wrapped, columns are left out, or rows become lines."""

import textwrap
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table

_GAP = 2
_TOGETHER = "\xa0"  # holds a title and its value together while lines are broken


def new_table(*columns: Column | str) -> Table:
    """Return a table without lines, for `print_table`; columns with `overflow="fold"` hold text that may be wrapped."""
    return Table(*columns, box=None, padding=(0, _GAP, 0, 0), pad_edge=False)


def print_table(table: Table, console: Console, left_out: Sequence[Column] = ()) -> None:
    """Print a table of `new_table` so that no number or word is cut.

    Where it is too wide, text is wrapped; then columns are left out, which a line below says. Where that is not enough,
    each row becomes a sentence: its first cell, if that is text, then titles and values.

    Parameters:
        table: its cells are strings. A text column's `min_width` is how narrow it may become; without one it is that of
            its longest word.
        console: where to.
        left_out: columns that may be left out, in this order.
    """
    for count in range(len(left_out) + 1):
        without = left_out[:count]
        kept = [column for column in table.columns if all(column is not other for other in without)]
        widths = _fitted([_widths(column, console) for column in kept], console.width - _GAP * (len(kept) - 1))
        if widths is not None:
            break
    else:
        _print_lines(table, console)
        return
    fitting = new_table()
    for column, width in zip(kept, widths, strict=True):
        wraps = column.overflow == "fold"
        fitting.add_column(column.header, justify=column.justify, overflow="fold", width=width, no_wrap=not wraps)
    for cells in zip(*(column.cells for column in kept), strict=True):
        fitting.add_row(*cells)
    console.print(fitting)
    if without:
        titles = [_title(column).replace(" ", _TOGETHER) for column in without]
        titles[0] = f"Left out for {console.width} columns: {titles[0]}"
        titles[-1] += "."
        console.print(_lines(titles, console))


def _widths(column: Column, console: Console) -> tuple[int, int]:
    """Return the width that a column needs, and the one that it would have."""
    lines = [
        line for cell in (column.header, *column.cells) for line in console.render_str(str(cell)).plain.split("\n")
    ]
    natural = max(cell_len(line) for line in lines)
    if column.overflow != "fold":
        return natural, natural
    least = column.min_width or max((cell_len(word) for line in lines for word in line.split()), default=1)
    return min(least, natural), natural


def _fitted(ranges: list[tuple[int, int]], room: int) -> list[int] | None:
    """Return widths within their ranges that fit, the widest ones as narrow as they have to be; None if none do."""
    if sum(least for least, _ in ranges) > room:
        return None
    widths = [natural for _, natural in ranges]
    while sum(widths) > room:
        _, widest = max((width, place) for place, width in enumerate(widths) if width > ranges[place][0])
        widths[widest] -= 1
    return widths


def _title(column: Column) -> str:
    return " ".join(str(column.header).split())


def _print_lines(table: Table, console: Console) -> None:
    named = table.columns[0].justify == "left"
    if named:
        console.print(f"{_title(table.columns[0])}:")
    for cells in zip(*(map(str, column.cells) for column in table.columns), strict=True):
        parts = []
        for column, cell in zip(table.columns, cells, strict=True):
            if cell:
                parts.append(cell if named and column is table.columns[0] else f"{_title(column)} {cell}")
        console.print(_lines(parts, console))


def _lines(parts: list[str], console: Console) -> str:
    """Return parts separated by commas, on lines that break in none of the short ones."""
    whole = [part if len(part) > console.width // 2 else part.replace(" ", _TOGETHER) for part in parts]
    lines = textwrap.wrap(
        ", ".join(whole),
        console.width,
        subsequent_indent=" " * _GAP,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines).replace(_TOGETHER, " ")
