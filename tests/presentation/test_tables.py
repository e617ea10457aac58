"""Tables on wide and narrow terminals: nothing is ever cut."""

import io
import re

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Column

from macgen.presentation.tables import new_table, print_table

ROWS = [("conv1.first", "3,211,264", "fix55.32", "every sum is rounded"), ("x", "147", "", "to nearest")]


def printed(width, rows=ROWS, left_out=()):
    table = new_table(
        Column("Layer", overflow="fold", min_width=5),
        Column("Length", justify="right"),
        "Exact\nsum",
        Column("What", overflow="fold"),
    )
    for row in rows:
        table.add_row(*row)
    buffer = io.StringIO()
    print_table(table, Console(file=buffer, width=width, soft_wrap=True), [table.columns[place] for place in left_out])
    lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
    assert max(map(len, lines)) <= width
    return lines


def test_a_wide_one_is_as_it_is():
    assert printed(60) == [
        "                        Exact",
        "Layer           Length  sum       What",
        "conv1.first  3,211,264  fix55.32  every sum is rounded",
        "x                  147            to nearest",
    ]


def test_text_is_wrapped_first_and_no_further_than_it_may_be():
    assert printed(45) == [
        "                        Exact",
        "Layer           Length  sum       What",
        "conv1.first  3,211,264  fix55.32  every sum",
        "                                  is rounded",
        "x                  147            to nearest",
    ]
    assert printed(36)[2:] == [  # `rounded` and `nearest` stay whole
        "conv1.  3,211,264  fix55.32  every",
        "first                        sum is",
        "                             rounded",
        "x             147            to",
        "                             nearest",
    ]


def test_then_columns_are_left_out_in_order():
    assert printed(33, left_out=[2, 1])[-2:] == ["Left out for 33 columns:", "  Exact sum."]
    assert printed(16, left_out=[2, 1])[-4:] == ["Left out for 16", "  columns:", "  Exact sum,", "  Length."]


def test_then_rows_become_lines():
    assert printed(30) == [
        "Layer:",
        "conv1.first, Length 3,211,264,",
        "  Exact sum fix55.32, What",
        "  every sum is rounded",
        "x, Length 147, What to nearest",
    ]


@given(st.integers(26, 90), st.lists(st.integers(0, 10**9).map("{:,}".format), min_size=1, max_size=5), st.data())
def test_no_number_is_ever_cut(width, numbers, data):
    left_out = data.draw(st.lists(st.sampled_from([1, 2]), unique=True))
    text = "\n".join(printed(width, [("name", number, number, number) for number in numbers], left_out))
    assert set(re.findall(r"[\d,]*\d", text.partition("Left out")[0])) == set(numbers)
