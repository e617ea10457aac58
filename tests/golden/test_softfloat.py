"""The golden step against Berkeley SoftFloat's fused multiply-add: codes and flags (docs/arithmetic.md 3 to 5).

Two documented differences: an exact zero sum is +0 (SoftFloat: -0 for -0 + -0), and a NaN is the canonical one.
"""

import itertools
from functools import partial

import numpy as np
import pytest
import softfloatpy as sf

from macgen import MacSpec, golden
from macgen.numerics import FloatFormat
from tests.strategies import corner_codes

SEED = 2026
PARTS = 4
TRIPLES = 80_000  # per part: 320 000 per format and rounding
ROUNDINGS = {"rne": sf.RoundingMode.NEAR_EVEN, "rtz": sf.RoundingMode.MIN_MAG, "floor": sf.RoundingMode.MIN}
SOFTFLOAT = {"e5m10": (sf.Float16, sf.f16_mul_add), "e8m23": (sf.Float32, sf.f32_mul_add)}
OVERFLOW, UNDERFLOW, INVALID = map(int, (golden.Flags.OVERFLOW, golden.Flags.UNDERFLOW, golden.Flags.INVALID))
FLAGS = {
    theirs: (OVERFLOW if theirs & sf.ExceptionFlag.OVERFLOW else 0)
    | (UNDERFLOW if theirs & sf.ExceptionFlag.UNDERFLOW else 0)
    | (INVALID if theirs & sf.ExceptionFlag.INVALID else 0)
    for theirs in range(32)
}


@pytest.fixture(params=ROUNDINGS)
def rounding(request):
    sf.set_tininess_mode(sf.TininessMode.AFTER_ROUNDING)
    sf.set_rounding_mode(ROUNDINGS[request.param])
    yield request.param
    sf.set_rounding_mode(sf.RoundingMode.NEAR_EVEN)


def random_triples(fmt, count, seed):
    """Return codes (accumulators, left operands, right operands) of four kinds, a quarter of each.

    Any codes; sums that cancel all but a few units in the last place; sums around and below the smallest normal value;
    terms of similar size near 1 or near the largest value.
    """
    rng = np.random.default_rng(seed)
    quarter = count // 4
    mantissas, sign_bit = 1 << fmt.man_bits, 1 << fmt.width - 1

    def signed(fields):
        """Codes of any sign and mantissa with given exponent fields."""
        fields = np.clip(fields, 0, (1 << fmt.exp_bits) - 2)
        return rng.integers(0, 2, quarter) * sign_bit + (fields << fmt.man_bits) + rng.integers(0, mantissas, quarter)

    anything = rng.integers(0, 1 << fmt.width, (3, quarter))

    bias = fmt.bias
    spread = fmt.exp_bits * 3
    a, b = signed(bias + rng.integers(-spread, spread, quarter)), signed(bias + rng.integers(-spread, spread, quarter))
    few = rng.random(quarter) < 0.5
    b[few] &= ~(mantissas - 1)  # products that need few bits cancel exactly
    opposite = fmt.encode(fmt.quantize(-fmt.decode(a) * fmt.decode(b))).astype(np.int64)
    nudged = np.clip((opposite & sign_bit - 1) + rng.integers(-3, 4, quarter), 0, fmt.max_code)
    cancelling = (opposite & sign_bit) + nudged, a, b

    field_a = rng.integers(0, bias + 2, quarter)
    field_b = bias + 1 - field_a + rng.integers(-fmt.man_bits - 2, 4, quarter)
    subnormal = signed(rng.integers(0, 3, quarter)), signed(field_a), signed(field_b)

    center = np.where(rng.random(quarter) < 0.5, bias, 2 * bias)
    field_a = rng.integers(bias // 2, bias * 3 // 2, quarter)
    field_b = center + bias - field_a + rng.integers(-3, 2, quarter)
    similar = signed(center + rng.integers(-fmt.man_bits - 2, 2, quarter)), signed(field_a), signed(field_b)

    kinds = [np.stack(kind) for kind in (anything, cancelling, subnormal, similar)]
    return np.concatenate(kinds, axis=1).tolist()


def spec_of(name, rounding):
    return MacSpec(a=name, b=name, acc=name, rounding=rounding, overflow="infinity")


def check(spec, step, triples):
    """Compare a step function on all triples of (accumulator, left operand, right operand); return the flags seen."""
    their_type, fused_multiply_add = SOFTFLOAT[str(spec.acc)]
    from_bytes, size = their_type.from_bytes, spec.acc.width // 8
    infinity, magnitudes = spec.acc.max_code + 1, (1 << spec.acc.width - 1) - 1
    seen = 0
    for acc, a, b in triples:
        operands = [from_bytes(code.to_bytes(size, "big")) for code in (a, b, acc)]
        sf.set_exception_flags(0)
        code = int.from_bytes(fused_multiply_add(*operands).to_bytes(), "big")
        flags = FLAGS[sf.get_exception_flags()]
        if code & magnitudes > infinity:
            code = spec.acc.nan_code
        elif code & magnitudes == 0 and not flags & UNDERFLOW:
            code = 0
        assert step(acc, a, b) == (code, flags), (spec, acc, a, b)
        seen |= flags
    return seen


@pytest.mark.thinned("rne-e5m10-0", "rtz-e5m10-0", "rne-e8m23-0", "floor-e8m23-0")
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", SOFTFLOAT)
def test_random_triples(name, rounding, part):
    fmt = FloatFormat.parse(name)
    triples = random_triples(fmt, TRIPLES, [SEED, fmt.width, part])
    assert len(triples[0]) == TRIPLES
    spec = spec_of(name, rounding)
    assert check(spec, golden.Model(spec).step, zip(*triples, strict=True)) == OVERFLOW | UNDERFLOW | INVALID


@pytest.mark.parametrize("name", SOFTFLOAT)
def test_all_triples_of_corners(name, rounding):
    corners = corner_codes(FloatFormat.parse(name))
    assert len(corners) >= 30
    spec = spec_of(name, rounding)
    step = partial(golden.step, spec)  # looks for its model anew each time, which takes longer than the step
    assert check(spec, step, itertools.product(corners, repeat=3)) == OVERFLOW | UNDERFLOW | INVALID
