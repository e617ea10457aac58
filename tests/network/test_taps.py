"""Taps that meet, against a list of every position that every input and tap reach."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen.errors import MacgenError
from macgen.network.taps import Scatter

small = st.integers(1, 7)


@st.composite
def scatters(draw):
    kernel, stride, dilation, size = (draw(small) for _ in range(4))
    reached = stride * (size - 1) + dilation * (kernel - 1) + 1
    first = draw(st.integers(0, reached - 1))
    return kernel, stride, dilation, size, first, draw(st.integers(1, reached - first + 3))


def met(kernel, stride, dilation, size, first, kept):
    """Return the taps of each kept position, by looking at all inputs and all taps."""
    found = {position: set() for position in range(first, first + kept)}
    for i in range(size):
        for tap in range(kernel):
            if (position := stride * i + dilation * tap) in found:
                found[position].add(tap)
    return found


@given(scatters())
def test_every_position(case):
    scatter, expected = Scatter(*case), met(*case)
    for position, taps in expected.items():
        assert set(scatter.at(position)) == taps
    assert scatter.most() == max(1, *map(len, expected.values()))
    largest = {frozenset(taps) for taps in expected.values() if taps}
    largest -= {taps for taps in largest if any(taps < other for other in largest)}
    sets = scatter.sets()
    assert {frozenset(taps) for taps in sets} == largest
    assert len(sets) == len(largest)


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "size", "most"),
    [(4, 4, 1, 8, 1), (2, 2, 1, 8, 1), (3, 2, 1, 8, 2), (4, 2, 1, 8, 2), (4, 2, 2, 8, 4), (5, 4, 6, 99, 3),
     (3, 1, 1, 2, 2), (3, 1, 1, 1, 1), (1 << 40, 3, 1, 1 << 30, 1 << 30)],
)  # fmt: skip
def test_by_hand(kernel, stride, dilation, size, most):
    """With a dilation equal to the stride all taps meet; of one input only one tap is ever met."""
    everything = stride * (size - 1) + dilation * (kernel - 1) + 1
    assert Scatter(kernel, stride, dilation, size, 0, everything).most() == most


def test_huge_kernels_end():
    """No tap begins among the positions kept: a bound at once, whatever the sizes."""
    assert Scatter(1 << 40, 1 << 20, 1 << 30, 1 << 20, 1, 5).most() == 1 << 10


@pytest.mark.parametrize(("field", "value"), [("kernel", 0), ("stride", -1), ("dilation", 1.0), ("first", -1)])
def test_refusals(field, value):
    fields = {"kernel": 1, "stride": 1, "dilation": 1, "size": 1, "first": 0, "kept": 1, field: value}
    with pytest.raises(MacgenError, match=rf"^{field} {value} is not an integer from "):
        Scatter(**fields)
