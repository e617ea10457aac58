"""The multiply-accumulate of Blumenfeld, Hubara, Soudry (ICLR 2024, arXiv 2401.14110), written down from the paper.

FMAq(x, w, s) = Q_acc(Q_prod(x w) + s). Q keeps M mantissa bits and cuts the rest toward zero, clamps to the largest
magnitude and makes zero of what is below the smallest, 2^-b; 2^-b itself has no code, so it becomes zero as well.
"""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from macgen import MacSpec, golden, parse_format

ACC, PRODUCT = "e4m7finite:bias=10:none", "e4m7finite:bias=12:none"


def quantise(value, mantissa, exponent_bits, bias):
    """Return Q of a fraction in the format M`mantissa`E`exponent_bits`."""
    magnitude = abs(value)
    if magnitude <= Fraction(2) ** -bias:
        return Fraction(0)
    largest = Fraction(2) ** (2**exponent_bits - bias - 1) * (2 - Fraction(2) ** -mantissa)
    binade = math.frexp(magnitude)[1] - 1  # exact: no value here has more than 53 bits
    unit = Fraction(2) ** (binade - mantissa)
    cut = min(magnitude // unit * unit, largest)
    if cut == Fraction(2) ** -bias:
        return Fraction(0)
    return cut if value > 0 else -cut


def fma(x, w, s):
    product = quantise(Fraction(x) * Fraction(w), 7, 4, 12)
    return quantise(product + s, 7, 4, 10)


def dot(xs, ws, chunk=16):
    """Return chunk sums from zero on, added one after another and quantised after each."""
    sums = []
    for start in range(0, len(xs), chunk):
        s = Fraction(0)
        for x, w in zip(xs[start : start + chunk], ws[start : start + chunk], strict=True):
            s = fma(x, w, s)
        sums.append(s)
    total = sums[0]
    for s in sums[1:]:
        total = quantise(total + s, 7, 4, 10)
    return total


def test_the_ranges_that_the_paper_states():
    for text, least, largest in ((ACC, 2.0**-10, 63.75), (PRODUCT, 2.0**-12, 15.9375)):
        fmt = parse_format(text)
        assert (fmt.width, fmt.max) == (12, largest)
        assert fmt.min_subnormal == fmt.min_normal == least * (1 + 2.0**-7)


@pytest.mark.parametrize(("text", "bias"), [(ACC, 10), (PRODUCT, 12)])
def test_rounding_is_the_quantiser(text, bias):
    fmt, rng = parse_format(text), np.random.default_rng(1)
    values = fmt.decode(range(1 << fmt.width))
    some = np.concatenate(
        [
            values,
            [(below + above) / 2 for below, above in pairwise(sorted(values.tolist()))],
            np.ldexp(rng.uniform(-2, 2, 2000), rng.integers(-bias - 3, 20 - bias, 2000)),
            np.ldexp(1.0, np.arange(-bias - 4, 12)),
            np.nextafter(np.ldexp(1.0, np.arange(-bias - 4, 12)), 0),
        ]
    )
    expected = [float(quantise(Fraction(x), 7, 4, bias)) for x in some.tolist()]
    assert fmt.quantize(some, "rtz").tolist() == expected
    for x, wanted in zip(some.tolist(), expected, strict=True):
        numerator, denominator = abs(Fraction(x)).as_integer_ratio()
        rounded = fmt.round(int(x < 0), numerator, 1 - denominator.bit_length(), "rtz", "saturate")
        assert float(fmt.number(rounded.code).to_fraction()) == wanted
        assert rounded.overflow == (abs(x) >= 2.0 ** (16 - bias))
        assert rounded.underflow == (wanted == 0 != x)


def test_dot_products():
    spec = MacSpec(a="e3m4finite", b="e3m4finite", product=PRODUCT, acc=ACC, chunk=16, rounding="rtz")
    rng = np.random.default_rng(2)
    results = []
    for length, scale in [(1, 0.05), (15, 1.0), (16, 0.1), (17, 1.0), (100, 0.3), (100, 0.02), (200, 8.0)] * 4:
        x, w = (spec.a.quantize(rng.standard_normal(length) * scale) for _ in range(2))
        code, _ = golden.dot(spec, spec.a.encode(x), spec.b.encode(w))
        value = float(spec.acc.decode(code))
        assert value == dot(x.tolist(), w.tolist())
        results.append(value)
    assert len(set(results)) > 15
