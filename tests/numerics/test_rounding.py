import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen.numerics import shift_right


@given(st.integers(0, 1 << 80), st.integers(-40, 100))
def test_rne_is_the_nearest_integer_with_ties_to_even(magnitude, distance):
    exact = Fraction(magnitude) / Fraction(2) ** distance
    assert shift_right(magnitude, distance, "rne") == (round(exact), round(exact) != exact)


@given(st.integers(0, 1 << 80), st.integers(-40, 100))
def test_rtz_is_the_integer_part(magnitude, distance):
    exact = Fraction(magnitude) / Fraction(2) ** distance
    assert shift_right(magnitude, distance, "rtz") == (int(exact), int(exact) != exact)


@given(st.integers(0, 1 << 80), st.integers(-40, 100), st.booleans())
def test_floor_is_the_next_integer_down(magnitude, distance, negative):
    exact = Fraction(magnitude) / Fraction(2) ** distance * (-1 if negative else 1)
    found, inexact = shift_right(magnitude, distance, "floor", negative=negative)
    assert ((-found if negative else found), inexact) == (math.floor(exact), int(exact) != exact)


@pytest.mark.parametrize(
    ("magnitude", "rne", "rtz"),
    [(0b100, 1, 1), (0b101, 1, 1), (0b110, 2, 1), (0b111, 2, 1), (0b1001, 2, 2), (0b1010, 2, 2), (0b1011, 3, 2)],
)
def test_ties_and_their_neighbours(magnitude, rne, rtz):
    inexact = magnitude % 4 != 0
    assert shift_right(magnitude, 2, "rne") == (rne, inexact)
    assert shift_right(magnitude, 2, "rtz") == (rtz, inexact)
