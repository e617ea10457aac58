"""Emitted Verilog against Berkeley SoftFloat's fused multiply-add: codes and exception flags of binary16 and binary32.

Two documented differences (docs/arithmetic.md): an exact zero sum is +0, and a NaN is the canonical one.
"""

import itertools

import numpy as np
import pytest
import softfloatpy as sf

from macgen import MacSpec
from macgen.numerics import Flags, FloatFormat
from tests.golden.test_softfloat import FLAGS, ROUNDINGS, SOFTFLOAT, random_triples
from tests.rtl.step import RtlStep, rtl_step, ties_to_odd
from tests.strategies import corner_codes

SEED = 2027
RANDOM_TRIPLES = 80_000
TIES = 30_000
_FLAGS = np.array([int(FLAGS[theirs]) for theirs in range(32)], np.uint8)


def spec_of(name, rounding):
    return MacSpec(a=name, b=name, acc=name, rounding=rounding, overflow="infinity", rows=1, cols=1)


def fused_multiply_add(name, rounding, triples):
    """Return their codes and flags of triples (accumulators, left operands, right operands), as ours should be."""
    fmt = FloatFormat.parse(name)
    their_type, operation = SOFTFLOAT[str(fmt)]
    size, from_bytes = fmt.width // 8, their_type.from_bytes
    packed = (np.ascontiguousarray(codes, f">u{size}").tobytes() for codes in triples)
    acc, a, b = ([data[place : place + size] for place in range(0, len(data), size)] for data in packed)
    results, flags = [], []
    sf.set_tininess_mode(sf.TininessMode.AFTER_ROUNDING)
    sf.set_rounding_mode(ROUNDINGS[rounding])
    for x, y, z in zip(a, b, acc, strict=True):
        sf.set_exception_flags(0)
        results.append(operation(from_bytes(x), from_bytes(y), from_bytes(z)).to_bytes())
        flags.append(sf.get_exception_flags())
    sf.set_rounding_mode(sf.RoundingMode.NEAR_EVEN)
    codes, flags = np.frombuffer(b"".join(results), f">u{size}").astype(np.uint64), _FLAGS[flags]
    magnitudes = codes & (1 << fmt.width - 1) - 1
    codes[magnitudes > fmt.infinity_code(0)] = fmt.nan_code
    codes[(magnitudes == 0) & (flags & Flags.UNDERFLOW == 0)] = 0
    return codes, flags


def from_one(rtl, triples):
    """Return codes and flags of acc * 1 + a * b."""
    acc, a, b = np.asarray(triples)
    one = np.full_like(acc, rtl.spec.b.encode(1.0))
    return rtl.sums(np.stack([acc, a], 1), np.stack([one, b], 1))


def from_two(rtl, triples):
    """Return codes and flags of acc * 2 - acc * 1 + a * b: another way to the same accumulator, if it is finite."""
    acc, a, b = np.asarray(triples)
    two, minus_one = (np.full_like(acc, rtl.spec.b.encode(value)) for value in (2.0, -1.0))
    return rtl.sums(np.stack([acc, acc, a], 1), np.stack([two, minus_one, b], 1))


def differences(rtl, name, rounding, triples):
    """Return how many sums differ from theirs, of how many, and the flags that occurred."""
    codes, flags = fused_multiply_add(name, rounding, triples)
    ours, our_flags = from_one(rtl, triples)
    wrong, compared = np.count_nonzero((ours != codes) | (our_flags != flags)), codes.size
    small = np.abs(rtl.spec.acc.decode(triples[0])) <= rtl.spec.acc.max / 2
    again, flags_again = from_two(rtl, triples[:, small])
    wrong += np.count_nonzero((again != codes[small]) | (flags_again != flags[small]))
    return wrong, compared + again.size, np.bitwise_or.reduce(flags)


def ties(fmt, count, seed):
    """Return triples whose sum is halfway between two numbers, or next to it: subnormal and normal, with both signs.

    The product is an odd number of half units of the accumulator's last place, and for half of them a bit more or less.
    """
    rng = np.random.default_rng([seed, fmt.width])
    sign, mantissas = 1 << fmt.width - 1, 1 << fmt.man_bits
    fields = rng.integers(0, (1 << fmt.exp_bits) - 1, count)
    # Also sums that overflow by a tie, and those around the smallest normal number.
    fields = np.where(rng.random(count) < 0.1, (1 << fmt.exp_bits) - 2, fields)
    fields = np.where(rng.random(count) < 0.2, rng.integers(0, 2, count), fields)
    mantissa = np.where(rng.random(count) < 0.2, mantissas - 1, rng.integers(0, mantissas, count))
    acc = rng.integers(0, 2, count) * sign + fields * mantissas + mantissa
    half_place = np.maximum(fields, 1) - fmt.bias - fmt.man_bits - 1
    odd = 2 * rng.integers(0, 8, count) + 1
    nudge = rng.choice([0, 0, 1, -1], count) * np.ldexp(1.0, -rng.integers(1, fmt.man_bits - 4, count))
    a_exponent = half_place // 2
    a = np.ldexp(1.0, a_exponent)
    b = np.ldexp(odd + nudge, half_place - a_exponent) * rng.choice([-1, 1], count)
    assert (fmt.quantize(b) == b).all()
    return np.stack([acc, fmt.encode(a).astype(np.int64), fmt.encode(b).astype(np.int64)])


@pytest.mark.thinned(3)
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("name", SOFTFLOAT)
def test_fused_multiply_add(name, rounding):
    fmt = FloatFormat.parse(name)
    corners = np.array(list(itertools.product(corner_codes(fmt), repeat=3))).T
    kinds = [random_triples(fmt, RANDOM_TRIPLES, [SEED, fmt.width]), ties(fmt, TIES, SEED), corners]
    triples = np.concatenate([np.asarray(kind, np.int64) for kind in kinds], axis=1)
    assert triples.shape[1] > 130_000
    wrong, compared, flags = differences(rtl_step(spec_of(name, rounding)), name, rounding, triples)
    assert wrong == 0
    assert compared > 200_000
    assert flags == Flags.OVERFLOW | Flags.UNDERFLOW | Flags.INVALID


@pytest.mark.parametrize("name", SOFTFLOAT)
def test_the_ties_are_ties(name):
    """Half of the products are an odd number of half units of the accumulator's last place."""
    fmt = FloatFormat.parse(name)
    triples = ties(fmt, 2_000, SEED)
    acc, a, b = (fmt.decode(codes) for codes in triples)
    product = a * b
    place = np.ldexp(1.0, np.maximum(np.frexp(acc)[1] - 1, fmt.min_exponent) - fmt.man_bits)
    halfway = np.mod(product / place, 1) == 0.5
    assert 0.4 < halfway.mean() < 0.6


def test_a_wrong_tie_rule_is_seen():
    wrong, compared, _ = differences(
        RtlStep(spec_of("fp16", "rne"), ties_to_odd), "fp16", "rne", ties(FloatFormat.parse("fp16"), 10_000, SEED)
    )
    assert compared / 10 < wrong < compared


def test_the_other_rounding_is_seen():
    triples = np.asarray(random_triples(FloatFormat.parse("fp32"), 10_000, SEED), np.int64)
    wrong, compared, _ = differences(rtl_step(spec_of("fp32", "rtz")), "fp32", "rne", triples)
    assert compared / 20 < wrong < compared
