from fractions import Fraction

import numpy as np

from macgen.emulate import long_products


def test_products_are_exact_sums():
    rng = np.random.default_rng(1)
    significands = rng.integers(1 << 52, 1 << 53, (2, 2000)).astype(float)
    significands[:, :300] = 2.0**53 - rng.integers(1, 4, (2, 300))  # near the top of a binade
    significands[:, 300:600] = 2.0**26 + rng.integers(-3, 4, (2, 300))  # where numbers are split
    x, y = np.ldexp(significands, rng.integers(-400, 350, (2, 2000))) * rng.choice([-1, 1], (2, 2000))
    product = x.copy()
    rest = long_products.multiply(product, y)
    np.testing.assert_array_equal(product, x * y)
    numbers = (map(Fraction, row) for row in zip(x, y, product, rest, strict=True))
    assert all(p + r == s * t for s, t, p, r in numbers)
