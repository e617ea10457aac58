"""Large arrays are rounded as `quantize` does it, bit for bit."""

import numpy as np
import pytest

from macgen.numerics import all_values, parse_format
from macgen.numerics.nearest import applies, nearest

FORMATS = ["e4m3fn", "e5m2", "e2m1finite", "e3m2finite", "e3m4finite", "e8m7", "fp16", "e6m9", "fp32", "e1m2finite",
           "e10m20", "e4m3fn:bias=11"]  # fmt: skip


def same(fmt, x):
    found, expected = nearest(fmt, x), fmt.quantize(x)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


@pytest.mark.parametrize("name", FORMATS)
def test_equal_to_quantize(name):
    """Around each value and each tie of small formats; over all magnitudes, and beyond both ends, of all."""
    fmt = parse_format(name)
    if not applies(fmt):
        pytest.fail(f"{name} is to be served")
    random = np.random.default_rng(0)
    exponents = random.uniform(fmt.lsb_exponent - 4, fmt.max_exponent + 4, 20_000)
    same(fmt, 2.0**exponents * random.choice([-1.0, 1.0], exponents.shape))
    if fmt.width <= 12:
        values = all_values(fmt)
        middles = (values[1:] + values[:-1]) / 2
        ends = np.array([fmt.max * 1.01, fmt.max * 4, 1e300, 5e-324, 0.0, -0.0])
        points = np.concatenate([values, middles, ends, -ends])
        same(fmt, np.concatenate([points, np.nextafter(points, np.inf), np.nextafter(points, -np.inf)]))


def test_shapes_and_types():
    fmt = parse_format("e4m3fn")
    x = np.random.default_rng(1).normal(size=(3, 7, 50, 60))
    assert nearest(fmt, x).dtype == np.float32
    assert nearest(parse_format("e10m20"), x).dtype == np.float64
    same(fmt, x.transpose(2, 0, 3, 1))
    same(fmt, x[::2, :, ::3])
    same(fmt, np.zeros((0, 4)))
    same(fmt, np.array(1.3))


@pytest.mark.parametrize("name", ["e4m3fn:flush", "e5m4:none", "e11m52", "e4m3fnuz", "e5m0finite"])
def test_what_is_not_served(name):
    assert not applies(parse_format(name))
