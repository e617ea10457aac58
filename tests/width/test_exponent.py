import math
import re
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen import MacSpec
from macgen.errors import MacgenError
from macgen.numerics import FloatFormat, parse_format
from macgen.width import nsr
from macgen.width.exponent import Exponent, choose, default_rms, largest_sum
from macgen.width.monte_carlo import simulate

NORMAL = np.random.default_rng(7).standard_normal(1 << 16)
VERY_WIDE = 8


def measured(a, b, exp_bits, man_bits, n, samples=None, chunk=None):
    spec = MacSpec(a=a, b=b, acc=FloatFormat(exp_bits, man_bits), chunk=chunk)
    return simulate(spec, n, trials=4000, samples=samples)


# -- by Monte Carlo: the chosen bits do, one less does not -----------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "n", "man_bits", "chunk", "probability", "bits"),
    [
        ("e2m3", "e2m3", 4, 6, None, 1e-2, 3),
        ("e2m3", "e2m3", 12, 6, None, 1e-3, 3),
        ("e3m2", "e2m1", 64, 6, None, 1e-2, 4),
        ("e3m2", "e2m1", 256, 6, None, 1e-3, 4),
        ("e3m2", "e2m1", 256, 6, 16, 1e-3, 4),
    ],
)
def test_overflow_asks_for_the_bits(a, b, n, man_bits, chunk, probability, bits):
    needed = choose(parse_format(a), parse_format(b), n, man_bits, chunk=chunk, probability=probability)
    assert needed.bits == bits
    assert re.fullmatch(rf"sums reach [\d.]+ with probability {probability:g}", needed.reason)
    assert measured(a, b, bits, man_bits, n, chunk=chunk).overflow <= probability
    assert measured(a, b, bits - 1, man_bits, n, chunk=chunk).overflow > 5 * probability


@pytest.mark.parametrize("scale", [2.0**-10, 2.0**-11, 2.0**-12])
@pytest.mark.parametrize("chunk", [None, 32])
def test_underflow_asks_for_the_bits(scale, chunk):
    """Operands far below one, in a format whose largest is 2^-6: only the underflow needs a wide exponent."""
    a, b, n, man_bits = "e4m6:bias=20", "e2m1", 256, 6
    needed = choose(parse_format(a), parse_format(b), n, man_bits, chunk=chunk, rms=scale, probability=1e-3)
    assert needed == Exponent(5, "underflow has to stay below 10% of the rounding noise")
    samples = NORMAL * scale, [1.0]
    ideal = measured(a, b, VERY_WIDE, man_bits, n, samples, chunk).nsr.value
    assert measured(a, b, needed.bits, man_bits, n, samples, chunk).nsr.value == pytest.approx(ideal, rel=0.1)
    assert measured(a, b, needed.bits - 1, man_bits, n, samples, chunk).nsr.value > 2 * ideal


def test_underflow_adds_the_stated_share():
    """Just where the rule goes from 4 bits to 5, 4 still add no more than a tenth; the noise is 0.1 of the whole."""
    a, b, n, man_bits = parse_format("e4m6:bias=20"), parse_format("e2m1"), 256, 6

    def bits(rms):
        return choose(a, b, n, man_bits, rms=rms, probability=1e-3).bits

    low, high = 2.0**-12, 1.0
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if bits(middle) > 4 else (low, middle)
    assert (bits(low), bits(high)) == (5, 4)
    samples = NORMAL * high, [1.0]
    ideal = measured(str(a), "e2m1", VERY_WIDE, man_bits, n, samples).nsr.value
    assert 1.0 < measured(str(a), "e2m1", 4, man_bits, n, samples).nsr.value / ideal < 1.15


def test_partial_sums_stay_below_the_largest():
    """Levy's inequality on a normal random walk: the share of walks beyond is at most the probability, and near it."""
    walks = np.cumsum(np.random.default_rng(3).standard_normal((20000, 400)), axis=1)
    for probability in (0.3, 0.05, 0.01):
        beyond = np.mean(np.abs(walks).max(axis=1) > largest_sum(400, 1.0, probability))
        assert 0.6 * probability < beyond < 1.1 * probability


# -- the rule --------------------------------------------------------------------------------------------------------


NEAR_0, NEAR_1 = np.geomspace(1e-9, 0.5, 20_000), 1 - np.geomspace(0.5, 1e-9, 20_000)
TILTS = np.concatenate([NEAR_0, NEAR_1])


def tail(x, n, nzr=1.0):
    """Q(sqrt(2 I)) with Chernoff's I by trying many t."""
    exponents = TILTS * x - n * np.log1p(nzr * ((1 - TILTS**2) ** -0.5 - 1))
    return NormalDist().cdf(-math.sqrt(2 * max(exponents.max(), 0.0)))


@given(
    st.sampled_from(["e5m2", "e4m3", "e3m4", "e2m1", "int8", "uint4", "fix2.6", "e4m3fn"]),
    st.sampled_from(["e5m2", "e4m3", "e2m1", "int8"]),
    st.integers(1, 1 << 30),
    st.integers(1, 23),
    st.none() | st.integers(1, 1 << 12),
    st.none() | st.floats(1e-6, 1e6),
    st.floats(1e-9, 0.5),
)
def test_chosen_is_the_smallest_that_meets_every_condition(a, b, n, man_bits, chunk, rms, probability):
    a, b = parse_format(a), parse_format(b)
    found = choose(a, b, n, man_bits, chunk=chunk, rms=rms, probability=probability)
    product = default_rms(a) * default_rms(b) if rms is None else rms
    noise = nsr.estimate(n, man_bits, "rne", chunk).nsr * product**2  # of one addition, times n

    def does(bits):
        acc = FloatFormat(bits, man_bits)
        lsb = acc.min_subnormal
        exact = acc.lsb_exponent <= a.lsb_exponent + b.lsb_exponent
        return (
            4 * tail(acc.max / product, n) <= probability * (1 + 1e-4)
            and (exact or lsb**2 / 12 <= 0.1 * noise * (1 + 1e-9))
            and acc.max_exponent >= max(a.max_exponent, b.max_exponent)
        )

    assert does(found.bits)
    assert found.bits == 2 or not does(found.bits - 1)
    MacSpec(a=a, b=b, acc=FloatFormat(found.bits, man_bits))


@pytest.mark.parametrize(("n", "nzr"), [(1, 1.0), (9, 1.0), (27, 0.1), (576, 0.02), (4608, 1.0), (100, 1e-4)])
@pytest.mark.parametrize("probability", [0.4, 1e-3, 1e-6, 1e-12])
def test_largest_sum_is_the_inverse_of_the_tail(n, nzr, probability):
    x = largest_sum(n, 3.0, probability, nzr) / 3 * math.sqrt(nzr)
    assert 4 * tail(x, n, nzr) == pytest.approx(probability, rel=1e-3)


@pytest.mark.parametrize("pairs", [1, 2, 3, 8])
@pytest.mark.parametrize("probability", [0.3, 1e-2, 1e-4, 1e-6, 1e-9])
def test_tail_holds_for_products_of_normals(pairs, probability):
    """Two such products add up to a Laplace variable; the tail of m of those is a finite sum."""
    x = largest_sum(2 * pairs, 1.0, probability)
    tail = 0.0
    for k in range(pairs):
        ways = math.comb(pairs - 1 + k, k) / 2.0 ** (pairs + k)
        tail += ways * math.exp(-x) * sum(x**j / math.factorial(j) for j in range(pairs - k))
    assert 0.2 * probability < 4 * tail < probability


@pytest.mark.parametrize(
    ("a", "n", "nzr", "chunk"),
    [
        ("e5m2", 9, 1.0, None),
        ("e5m2", 27, 1.0, None),
        ("e5m2", 27, 0.1, None),
        ("e5m2", 27, 0.1, 4),
        ("e5m2", 576, 0.02, None),
        ("fp16", 27, 1.0, None),
    ],
)
@pytest.mark.parametrize("probability", [1e-2, 1e-3])
def test_stated_probability_is_kept(a, n, nzr, chunk, probability):
    """Short and sparse sums of products have longer tails than the normal distribution."""
    rng = np.random.default_rng(11)
    operands = rng.normal(size=(2, 100_000, n if n < 100 else 1))
    x, y = (parse_format(a).quantize(values) for values in operands)
    if n < 100:
        walks = np.cumsum(x * y * (rng.random(x.shape) < nzr), axis=1)
    else:  # a sum's few products that are not zero; their places do not matter
        counts = rng.binomial(n, nzr, 20_000)
        products = rng.permutation((x * y).ravel())[: 20_000 * 9]
        walks = np.cumsum(rng.choice(products, (20_000, counts.max())), axis=1)
        walks[np.arange(counts.max()) >= counts[:, None]] = 0.0
    beyond = np.abs(walks).max(axis=1) > largest_sum(n, math.sqrt(nzr), probability, nzr)
    assert beyond.mean() <= probability


def test_sparse_sums_reach_further():
    e2m1 = parse_format("e2m1")
    dense, sparse = (choose(e2m1, e2m1, 27, 4, nzr=nzr, probability=1e-4, rms=0.5) for nzr in (1.0, 0.1))
    assert sparse.bits == dense.bits + 1


def test_reasons():
    e5m2, e2m1 = parse_format("e5m2"), parse_format("e2m1")
    assert choose(e5m2, e5m2, 576, 7) == Exponent(5, "operands reach 2^15")
    assert choose(e2m1, e2m1, 1, 2, probability=0.5) == Exponent(2, "the narrowest is enough")
    assert choose(e2m1, e2m1, 100, 4).reason == "sums reach 53.1 with probability 1e-06"


def test_operands_of_which_nothing_is_known():
    assert default_rms(parse_format("e5m2")) == 1
    assert default_rms(parse_format("int8")) == 127 / 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"n": 0}, "n 0 is not an integer from 1 to 2^40"),
        ({"n": 1.5}, "n 1.5 is not an integer from 1 to 2^40"),
        ({"man_bits": 0}, "man_bits 0 is not an integer from 1 to 52"),
        ({"man_bits": 53}, "man_bits 53 is not an integer from 1 to 52"),
        ({"chunk": 0}, "chunk 0 is not an integer from 1 to 2^40"),
        ({"probability": 0.0}, "probability 0.0 is not a number above 0 and at most 0.5"),
        ({"probability": 0.6}, "probability 0.6 is not a number above 0 and at most 0.5"),
        ({"rms": 0.0}, "rms 0.0 is not a number above 0 and at most 1.79769e+308"),
        ({"rms": math.inf}, "rms inf is not a number above 0 and at most 1.79769e+308"),
        ({"rms": 10**400}, f"rms 1{'0' * 79}... is not a number above 0 and at most 1.79769e+308"),
        ({"rms": "1"}, "rms '1' is not a number above 0 and at most 1.79769e+308"),
        (
            {"rms": 1e307},
            "rms 1e+307 of the products asks for more than 11 exponent bits: sums reach inf with probability 1e-06",
        ),
        (
            {"rms": 1e-320},
            "rms 9.99989e-321 of the products asks for more than 11 exponent bits: underflow has to stay below 10% of "
            "the rounding noise",
        ),
    ],
)
def test_wrong_arguments(arguments, sentence):
    given_ = {"n": 4608, "man_bits": 5} | arguments
    fmt = parse_format("e11m4")
    with pytest.raises(MacgenError) as caught:
        choose(fmt, fmt, given_.pop("n"), given_.pop("man_bits"), **given_)
    assert str(caught.value) == sentence
