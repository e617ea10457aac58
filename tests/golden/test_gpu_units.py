"""The presets of GPUs' matrix units on many dot products: golden's twin against an independent restatement."""

import numpy as np
import pytest

from macgen import emulate, golden
from macgen.catalogue import presets
from macgen.numerics import Flags
from tests.golden.gpu_units import dots
from tests.strategies import corner_codes

UNITS = [name for name, spec in presets.items() if spec.exponent_bits is not None and spec.chunk is None]


def drawn(rng, fmt, shape, kind):
    """Return codes: of corners, of any number, or of numbers about one, with zeros among them; few infinities, NaN."""
    if not hasattr(fmt, "man_bits"):
        near = np.clip(127 + rng.integers(-8, 9, shape), 0, 254)
        return np.where(rng.random(shape) < 0.01, rng.integers(0, 256, shape), near)
    near = fmt.encode(fmt.quantize(rng.normal(size=shape) * 2.0 ** rng.integers(-3, 4, shape), "rtz"))
    anything = rng.integers(0, 1 << fmt.width, shape)
    if kind == "any":
        codes = np.where(rng.random(shape) < 0.5, anything, near)
    elif kind == "corners":
        codes = np.where(rng.random(shape) < 0.7, rng.choice(corner_codes(fmt), shape), near)
    else:
        codes = np.where(rng.random(shape) < 0.1, 0, near)
    values = fmt.decode(codes)
    return np.where(np.isfinite(values) | (rng.random(shape) < 0.003), codes, near)


def compare(name, count, seed=1):
    """Compare so many dot products of three to four steps with both; return how many had a special result."""
    spec, rng, special = presets[name], np.random.default_rng(seed), 0
    for kind, steps, share in (("corners", 3, 0.3), ("any", 3, 0.3), ("near", 4, 0.4)):
        shape = max(int(count * share), 1), spec.lanes * steps
        a, b = (drawn(rng, fmt, shape, kind) for fmt in (spec.a, spec.b))
        a, b = (fmt.encode(fmt.decode(codes)) for fmt, codes in ((spec.a, a), (spec.b, b)))
        scales, named = (), {}
        if spec.scale is not None:
            scales = [drawn(rng, spec.scale, (shape[0], spec.scale_count(shape[1])), kind) for _ in "ab"]
            named = dict(zip(("A_scales", "B_scales"), map(spec.scale.decode, scales), strict=True))
        expected, overflows = dots(spec, a, b, scales)
        values, flags = emulate.dots(spec, spec.a.decode(a), spec.b.decode(b), flags=True, **named)
        np.testing.assert_array_equal(values, expected)
        np.testing.assert_array_equal((flags & Flags.OVERFLOW) > 0, overflows)
        special += int((~np.isfinite(expected)).sum())
        for row in range(2):
            of_row = [codes[row].tolist() for codes in scales]
            code, _ = golden.dot(spec, a[row].tolist(), b[row].tolist(),
                                 **dict(zip(("a_scales", "b_scales"), of_row, strict=False)))  # fmt: skip
            np.testing.assert_array_equal(spec.out_format.decode(code), expected[row])
    return special


@pytest.mark.parametrize("name", UNITS)
def test_units(name):
    assert compare(name, 1000) > (0 if "fp4" not in name else -1)


@pytest.mark.prove
@pytest.mark.parametrize("name", UNITS)
def test_units_on_a_hundred_thousand_dot_products(name):
    for seed in range(10):
        compare(name, 10_000, seed)
