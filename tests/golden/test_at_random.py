"""Corner cases of roundings at random: the table of docs/arithmetic.md section 3, with e4m3 (M = 3) and 2 bits."""

from fractions import Fraction

import pytest

from macgen.golden.model import RoundedSum
from macgen.numerics import Flags, Number, Overflow, Rounding, parse_format

E4M3 = parse_format("e4m3")
LEAST, NORMAL, LARGEST = Fraction(2) ** -9, Fraction(2) ** -6, Fraction(240)  # u, m and X
TINY = Fraction(2) ** -40
NONE, OVERFLOW, UNDERFLOW = Flags(0), Flags.OVERFLOW, Flags.UNDERFLOW

# |S|, the two results that a number N from 0 to 3 decides between, and from which N on it is the second one: with
# `stochastic:2`, then with `stochastic:2:nearest`; 4: with none.
TABLE = [
    (8 + Fraction(1, 8), (8, NONE), (9, NONE), 4, 4),
    (8 + Fraction(1, 8) + TINY, (8, NONE), (9, NONE), 4, 3),
    (8 + Fraction(1, 4), (8, NONE), (9, NONE), 3, 3),
    (8 + Fraction(3, 8), (8, NONE), (9, NONE), 3, 2),
    (8 + Fraction(5, 8), (8, NONE), (9, NONE), 2, 2),
    (9 - Fraction(1, 8) - TINY, (8, NONE), (9, NONE), 1, 1),
    (9 - Fraction(1, 8), (8, NONE), (9, NONE), 1, 0),
    (9 - TINY, (8, NONE), (9, NONE), 1, 0),
    (16 - TINY, (15, NONE), (16, NONE), 1, 0),
    (LARGEST + 16 * (1 - Fraction(1, 8)), (LARGEST, NONE), (LARGEST, OVERFLOW), 1, 0),
    (LEAST / 8, (0, UNDERFLOW), (LEAST, UNDERFLOW), 4, 4),
    (LEAST - LEAST / 8, (0, UNDERFLOW), (LEAST, UNDERFLOW), 1, 0),
    (NORMAL - LEAST / 16, (NORMAL - LEAST, UNDERFLOW), (NORMAL, NONE), 1, 0),
]


def rounded(magnitude, rounding, number):
    """Return value and flags, for both signs the same but for the sign."""
    target = RoundedSum(E4M3, Rounding(rounding), Overflow.SATURATE)
    significand, exponent = magnitude.numerator, 1 - magnitude.denominator.bit_length()
    results = set()
    for sign in (0, 1):
        code, flags = target.of((Number("finite", sign, significand, exponent),), number)
        assert code >> (E4M3.width - 1) == sign
        results.add((abs(E4M3.number(code).to_fraction()), Flags(flags)))
    (result,) = results
    return result


@pytest.mark.parametrize(("magnitude", "below", "above", "cut", "nearest"), TABLE)
def test_the_table_of_the_contract(magnitude, below, above, cut, nearest):
    for rounding, least in (("stochastic:2", cut), ("stochastic:2:nearest", nearest)):
        found = [rounded(magnitude, rounding, number) for number in range(4)]
        assert found == [below] * least + [above] * (4 - least)


def test_a_tie_on_the_grid_of_the_subnormals_only():
    """The last row: at full precision no tie, and tiny with N = 0; the grid rounds that up, which is inexact."""
    magnitude = NORMAL - LEAST / 8
    cut = [rounded(magnitude, "stochastic:2", number) for number in range(4)]
    assert cut == [(NORMAL - LEAST, UNDERFLOW)] + [(NORMAL, NONE)] * 3
    nearest = [rounded(magnitude, "stochastic:2:nearest", number) for number in range(4)]
    assert nearest == [(NORMAL, UNDERFLOW)] + [(NORMAL, NONE)] * 3


def test_fixed_point():
    """Ties at 2 bits below the place, of both signs: 1/8 goes to 0, 3/8 to 2/4, 5/8 to 2/4, 7/8 to 4/4."""
    fmt = parse_format("fix4.0")
    for eighths, least in ((1, 4), (3, 2), (5, 2), (7, 0)):
        for sign in (1, -1):
            target = RoundedSum(fmt, Rounding("stochastic:2:nearest"), Overflow.SATURATE)
            number = Number("finite", int(sign < 0), 16 + eighths, -3)
            found = [target.of((number,), random) for random in range(4)]
            assert found == [(2 * sign % 16, 0)] * least + [(3 * sign % 16, 0)] * (4 - least)
