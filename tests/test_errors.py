import re

import pytest

from macgen.errors import MacgenError, ToolError, capitalized, check_integer, escaped, shown, significant


def test_both_are_value_errors():
    assert issubclass(MacgenError, ValueError)
    assert issubclass(ToolError, MacgenError)


@pytest.mark.parametrize(("value", "text"), [(0, "0"), ("e5m2", "'e5m2'"), (None, "None"), ("a\nb", r"'a\nb'")])
def test_short_values_are_shown_as_they_are(value, text):
    assert shown(value) == text


def test_long_values_are_cut():
    assert shown("x" * 1000) == "'" + "x" * 79 + "..."
    assert shown(list(range(1000)), longest=10) == "[0, 1, 2, ..."


def test_integers_that_python_does_not_print():
    assert shown(10**10_000) == "an enormous int"


def test_values_of_several_lines_are_shown_in_one():
    class Matrix:
        def __repr__(self):
            return "Matrix\n  1 2\n  3 4"

    assert shown(Matrix()) == "Matrix   1 2   3 4"


@pytest.mark.parametrize(
    ("value", "low", "high", "accepted"),
    [
        (0, 1, None, "from 1"),
        (True, 1, None, "from 1"),
        (2.0, 1, None, "from 1"),
        (5, -1, 4, "from -1 to 4"),
        ((1 << 24) + 1, 0, 1 << 24, r"from 0 to 2\^24"),
        (-1, 0, (1 << 31) - 1, r"from 0 to 2\^31 - 1"),
        (-1, 0, 1_000_000_000, "from 0 to 1000000000"),
    ],
)
def test_what_is_no_integer_in_range_is_refused(value, low, high, accepted):
    with pytest.raises(MacgenError, match=f"^n {re.escape(repr(value))} is not an integer {accepted}$"):
        check_integer("n", value, low, high)


def test_integers_in_range_pass():
    for value, high in ((1, None), (10**100, None), (1, 4), (4, 4)):
        check_integer("n", value, 1, high)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1.8, 3, "1.80"), (1.797, 3, "1.80"), (2.88, 3, "2.88"), (14.1, 3, "14.1"), (14.0, 3, "14.0"),
        (0.6, 3, "0.600"), (9.996, 3, "10.0"), (999.6, 3, "1,000"), (123.4, 3, "123"), (12345.6, 3, "12,346"),
        (0.0, 3, "0.00"), (-1.5, 3, "-1.50"), (0.003, 2, "0.0030"), (0.01, 2, "0.010"), (12.0, 2, "12"),
        (1e-9, 2, "1.0e-09"), (1e20, 3, "1.00e+20"), (float("nan"), 3, "nan"), (float("inf"), 3, "inf"),
    ],
)  # fmt: skip
def test_figures_have_the_digits_that_count(value, digits, text):
    assert significant(value, digits) == text


@pytest.mark.parametrize(
    ("text", "keep", "shown_as"),
    [
        ("plain, \u00fc and \u6f22", "", "plain, \u00fc and \u6f22"),
        ("\x1b[31mred\x07\n", "", r"\x1b[31mred\x07\n"),
        ("two\nlines\t", "\n", "two\nlines\\t"),
        ("\u202egnp.x", "", r"\u202egnp.x"),  # from right to left
        ("\x9b1A", "", r"\x9b1A"),  # a terminal's command in one character
        ("a\udcffb", "", r"a\udcffb"),  # of a path that is no UTF-8
    ],
)
def test_what_does_not_print_is_escaped(text, keep, shown_as):
    assert escaped(text, keep) == shown_as


@pytest.mark.parametrize(
    ("clause", "sentence"), [("", ""), ("outer e8m23 reaches", "Outer e8m23 reaches"), ("A and B", "A and B")]
)
def test_a_sentence_begins_with_a_capital(clause, sentence):
    assert capitalized(clause) == sentence
