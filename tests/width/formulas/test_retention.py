import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen.width.formulas import retention


@pytest.mark.parametrize("m_acc", [1, 4, 9, 10, 12, 14])
@pytest.mark.parametrize(("first", "last"), [(2, 150_000), (1_000, 99_999), (65_537, 131_071), (513, 545)])
def test_sums_by_quadrature_are_the_sums_term_by_term(m_acc, first, last):
    end = last + 7.5
    terms = [
        math.erfc(2**m_acc / math.sqrt(2 * i)) * math.erf(2**m_acc / math.sqrt(2 * (i - 1)))
        for i in range(first, last + 1)
    ]
    lost = math.fsum((end - i) * q for i, q in zip(range(first, last + 1), terms, strict=True))
    assert retention._sums(m_acc, first, last, end) == pytest.approx((math.fsum(terms), lost), rel=1e-11, abs=1e-300)


def test_a_sum_of_a_million_by_quadrature_is_that_term_by_term():
    first, last, power = 11_000, 1_000_002, 2**12
    assert math.erfc(power / math.sqrt(2 * first)) == 0  # as all terms before it
    q = [math.erfc(power / math.sqrt(2 * i)) * math.erf(power / math.sqrt(2 * i - 2)) for i in range(first, last + 1)]
    lost = math.fsum((last + 1 - i) * q_i for i, q_i in zip(range(first, last + 1), q, strict=True))
    assert retention._sums(12, 2, last, last + 1.0) == pytest.approx((math.fsum(q), lost), rel=1e-11)


@pytest.mark.parametrize("length", [33, 40, 64, 100, 1 << 12, 12_345])
def test_rule_sums_powers_exactly(length):
    nodes, weights = retention._rule(length)
    assert (nodes > -1e-9 * length).all()
    assert (nodes < length - 1 + 1e-9 * length).all()
    assert (weights > 0).all()
    # In units of the length, so that no power is out of range.
    for degree in range(64):
        exact = float(sum(Fraction(i, length) ** degree for i in range(length))) if length <= 100 else None
        if exact is None:
            exact = math.fsum((i / length) ** degree for i in range(length))
        assert (weights * (nodes / length) ** degree).sum() == pytest.approx(exact, rel=1e-11)


@given(st.integers(2, 1 << 40), st.integers(0, 1 << 40))
def test_blocks_cover_every_integer_once(first, more):
    blocks = retention._blocks(first, first + more)
    assert blocks[0][0] == first
    assert all(start + length == following for (start, length), (following, _) in itertools.pairwise(blocks))
    assert sum(blocks[-1]) == first + more + 1
    assert all(length <= 32 or length <= start / 8 for start, length in blocks)
