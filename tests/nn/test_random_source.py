"""Random numbers of rounding units: the register's own sequence, whatever is taken at a time."""

import numpy as np
import pytest

from macgen.errors import MacgenError
from macgen.nn.random_source import RandomSource
from macgen.numerics import Lfsr


@pytest.mark.parametrize("bits", [1, 8, 13, 20, 32])
def test_numbers_are_those_of_the_register(bits):
    lfsr, source = Lfsr.of(bits), RandomSource(bits, seed=3, place=2)
    state, expected = lfsr.seed(3, 2), []
    for _ in range(40):
        expected.append(state % (1 << bits))
        state = lfsr.advance(state, bits)
    found = [source.take(count) for count in (1, 0, 7, 2, 30)]
    assert np.concatenate(found).tolist() == expected
    assert source.state == state


def test_a_state_goes_on_where_it_was():
    source = RandomSource(13)
    source.take(100)
    other = RandomSource(13, seed=5)
    other.state = source.state
    np.testing.assert_array_equal(source.take(50), other.take(50))


def test_bits_and_seeds_are_checked():
    with pytest.raises(MacgenError, match="random bits 33 is not an integer from 1 to 32"):
        RandomSource(33)
    with pytest.raises(MacgenError, match="seed -1 is not an integer from 0"):
        RandomSource(8, seed=-1)
