"""The presets of RISC-V bulk normalisation on many dot products: golden and its twin against a restatement of Spike."""

import numpy as np
import pytest

from macgen import emulate, golden
from macgen.catalogue import presets
from macgen.golden import Flags
from macgen.numerics import parse_format
from tests.golden.rvbna import FORMATS, dots
from tests.strategies import corner_codes

NAMES = [name for name in presets if name.startswith("rvbna-")]
RAISED = int(Flags.OVERFLOW | Flags.INVALID)
STEPS = 3
FP32 = parse_format("fp32")


def drawn(rng, fmt, shape):
    """Return codes, each row of one kind: any, of one magnitude with zeros, corners, or small ones among others."""
    anything = rng.integers(0, 1 << fmt.width, shape)
    sign = rng.integers(0, 2, shape) << (fmt.width - 1)
    top = (fmt.max_code >> fmt.man_bits) - 1
    field = np.clip(rng.integers(0, top + 1, (shape[0], 1)) + rng.integers(-3, 4, shape), 0, top)
    near = field << fmt.man_bits | rng.integers(0, 1 << fmt.man_bits, shape) | sign
    near = np.where(rng.random(shape) < 0.1, sign, near)
    tiny = rng.integers(0, 2 << fmt.man_bits, shape) | sign
    corners = np.where(rng.random(shape) < 0.7, rng.choice(corner_codes(fmt), shape), near)
    spread = np.where(rng.random(shape) < 0.5, tiny, near)
    kind = rng.integers(0, 4, (shape[0], 1))
    codes = np.select([kind == 0, kind == 1, kind == 2], [anything, near, corners], spread)
    # Few infinities and NaN, so that most rows of 32 have none.
    is_number = np.isfinite(fmt.decode(codes))
    return np.where(is_number | (rng.random(shape) < 0.02), codes, near)


def kind_and_n(name):
    _, kind, n = name.split("-")
    return kind, int(n[1:])


def expected(kind, n, a, b):
    """Return values, codes and flags of the restatement."""
    codes, flags = dots(kind, n, a, b)
    return FP32.decode(codes), codes, flags


def compare_twin(name, count, seed):
    """Compare so many dot products of three steps; return how many were infinite or NaN."""
    spec, rng = presets[name], np.random.default_rng(seed)
    a, b = (drawn(rng, spec.a, (count, STEPS * spec.lanes)) for _ in "ab")
    # Values know the canonical NaN only.
    a, b = (spec.a.encode(spec.a.decode(codes)) for codes in (a, b))
    values, _, flags = expected(*kind_and_n(name), a, b)
    found, raised = emulate.dots(spec, spec.a.decode(a), spec.a.decode(b), flags=True)
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(values) & ~np.isnan(values))
    np.testing.assert_array_equal(raised & RAISED, flags)
    return int((~np.isfinite(values)).sum())


def compare_golden(name, count, seed):
    """The same with golden, and with every NaN."""
    spec, rng = presets[name], np.random.default_rng(seed)
    a, b = (drawn(rng, spec.a, (count, STEPS * spec.lanes)) for _ in "ab")
    _, codes, flags = expected(*kind_and_n(name), a, b)
    for row in range(count):
        code, raised = golden.dot(spec, a[row].tolist(), b[row].tolist())
        assert (code, int(raised) & RAISED) == (codes[row], flags[row]), (name, a[row], b[row])


@pytest.mark.parametrize("name", NAMES)
def test_the_twin(name):
    assert compare_twin(name, 4000, 1) > 4


@pytest.mark.parametrize("name", NAMES)
def test_golden(name):
    compare_golden(name, 40, 2)


@pytest.mark.prove
@pytest.mark.parametrize("name", NAMES)
def test_golden_on_a_thousand_dot_products(name):
    compare_golden(name, 1000, 3)


@pytest.mark.prove
@pytest.mark.parametrize("name", NAMES)
def test_the_twin_on_a_hundred_thousand_dot_products(name):
    for seed in range(5):
        compare_twin(name, 20_000, 10 + seed)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_product_alone(kind):
    """n = 1: every product of the 8-bit formats; of BF16 those of the corners with every code."""
    fmt = presets[f"rvbna-{kind}-n4"].a
    spec = presets[f"rvbna-{kind}-n4"].replace(lanes=1, lane_sum="bulk:23")
    every = np.arange(1 << fmt.width)
    some = every if fmt.width == 8 else np.array(corner_codes(fmt)[::3])
    a, b = (codes.reshape(-1, 1) for codes in np.meshgrid(some, every))
    values, _, flags = expected(kind, 1, a, b)
    quiet = np.isnan(fmt.decode(every)) & (every & (1 << fmt.man_bits - 1) > 0)
    known = ~np.isnan(fmt.decode(every)) | quiet | (kind != "bf16")  # of the others values do not tell
    rows = known[a[:, 0]] & known[b[:, 0]]
    found, raised = emulate.dots(spec, fmt.decode(a), fmt.decode(b), flags=True)
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal((raised & RAISED)[rows], flags[rows])


def test_two_products_of_every_kind_of_e4m3_and_e5m2():
    """n = 2: 2^16 pairs of products of corner codes, the signs among them."""
    for kind in ("e4m3", "e5m2"):
        fmt = presets[f"rvbna-{kind}-n4"].a
        spec = presets[f"rvbna-{kind}-n4"].replace(lanes=2, lane_sum="bulk:24")
        some = np.array(corner_codes(fmt))
        some = some[~np.isnan(fmt.decode(some)) | (some == fmt.nan_code)][:: 2 if kind == "e4m3" else 1][:16]
        grid = np.array(np.meshgrid(some, some, some, some)).reshape(4, -1).T
        a, b = grid[:, :2], grid[:, 2:]
        values, _, flags = expected(kind, 2, a, b)
        found, raised = emulate.dots(spec, fmt.decode(a), fmt.decode(b), flags=True)
        np.testing.assert_array_equal(found, values)
        np.testing.assert_array_equal(raised & RAISED, flags)
