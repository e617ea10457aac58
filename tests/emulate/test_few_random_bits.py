"""Statistics of long sums rounded at random: few random bits do, where what lies beneath them is not cut."""

import numpy as np
import pytest

from macgen import MacSpec, emulate

PERIOD = (1 << 19) - 1


def slope_and_noise(rounding, length, count, seed=1):
    """Return the slope of e6m5 sums of e5m2 products over the exact ones, and their noise-to-signal ratio.

    The numbers begin somewhere else every hundred sums: a single unit's would otherwise be nearly the same ones again
    after 2**19 additions, and so would its errors.
    """
    spec, rng = MacSpec(a="e5m2", b="e5m2", acc="e6m5", rounding=rounding), np.random.default_rng(seed)
    exact, found = [], []
    for _ in range(count // 100):
        a, b = (spec.a.quantize(rng.standard_normal((100, length))) for _ in range(2))
        exact.append(np.einsum("ij,ij->i", a, b))
        found.append(emulate.dots(spec, a, b, taken=int(rng.integers(PERIOD))))
    x, y = np.concatenate(exact), np.concatenate(found)
    return (x @ y) / (x @ x), ((y - x) ** 2).sum() / (x @ x)


def test_sums_go_away_from_zero_as_often_as_they_should():
    """1 + x for many x below the last place: shares of 16 that round up, by chi-square; 0 and 16 of them are exact."""
    spec, count = MacSpec(a="e5m2", b="e5m2", acc="e6m5", rounding="stochastic:4:nearest"), 4000
    significands = (1.0, 1.25, 1.5, 1.75)
    rests = {x * y * 2.0**-e: (x, y * 2.0**-e) for x in significands for y in significands for e in range(1, 8)}
    chi_square = freedom = 0
    for rest, (x, y) in rests.items():
        if rest >= 1:
            continue
        a = np.tile([1.0, x], (count, 1))
        b = np.tile([1.0, y * 2.0**-5], (count, 1))
        away = np.count_nonzero(emulate.dots(spec, a, b) > 1.0)
        share = round(rest * 16) / 16  # of ties to even
        if share in (0, 1):
            assert away == share * count
        else:
            chi_square += (away - share * count) ** 2 / (count * share * (1 - share))
            freedom += 1
    assert freedom > 20
    assert chi_square < freedom + 5 * (2 * freedom) ** 0.5


def test_four_bits_are_as_good_as_thirteen():
    """At length 2048 the slope of cut sums is 0.69; standard errors are 0.012, those of the ratio of noises 0.04."""
    slope, noise = slope_and_noise("stochastic:4:nearest", 2048, 1200)
    assert abs(slope - 1) < 0.035
    assert noise < 1.15 * slope_and_noise("stochastic:13", 2048, 1200)[1]
    assert slope_and_noise("stochastic:4", 2048, 1200)[0] < 0.75


@pytest.mark.prove
def test_four_bits_do_at_length_16384():
    """The slope of cut sums is 0.15 there, that of rounding to nearest 0.75."""
    slope, noise = slope_and_noise("stochastic:4:nearest", 16384, 6000)
    assert abs(slope - 1) < 0.04
    assert noise < 1.1 * slope_and_noise("stochastic:13", 16384, 6000)[1]
