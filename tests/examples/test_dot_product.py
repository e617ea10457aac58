from fractions import Fraction

import ml_dtypes
import numpy as np

from tests.examples.runner import output_of


def test_it_prints_the_codes_and_the_same_sum_twice():
    a = np.array([1.25, -0.5, 3, 0.875, 24, 0.0625, -1.75, 5], ml_dtypes.float8_e5m2)
    b = np.array([2, 6, -0.25, 1.5, 1, 0.5, 4, 0.375], ml_dtypes.float8_e5m2)
    chunks = [nearest_e6m5_sum(a[k : k + 4], b[k : k + 4]) for k in (0, 4)]
    value = nearest_e6m5(sum(chunks))
    mantissa, exponent = np.frexp(float(value))
    code = (exponent - 1 + 31) << 5 | int((2 * mantissa - 1) * 32)
    exact = float(a.astype(float) @ b.astype(float))
    assert output_of("dot_product.py").splitlines() == [
        "codes of a " + a.tobytes().hex(" "),
        "codes of b " + b.tobytes().hex(" "),
        f"golden: code {code:03x}, which is {float(value):g}; flags: none",
        f"emulate: {float(value):g}; without rounding: {exact:g}",
    ]
    assert float(value) != exact


def nearest_e6m5_sum(a, b):
    total = Fraction(0)
    for x, y in zip(a.astype(float), b.astype(float), strict=True):
        total = nearest_e6m5(total + Fraction(x) * Fraction(y))
    return total


def nearest_e6m5(value):
    """To 6 significant bits, ties to even, which is what Python's round does; the exponents here are all normal."""
    unit = Fraction(2) ** (np.frexp(float(value))[1] - 6) if value else Fraction(1)
    return round(value / unit) * unit
