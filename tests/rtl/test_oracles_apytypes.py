"""Emitted Verilog against APyTypes: dot products in its accumulator contexts, and the moments of stochastic rounding.

Where its contexts mean something else than docs/arithmetic.md (they round each product before it is added, and saturate
a finished sum only), sums are formed in one of its formats that holds them exactly, and cast once per addition.
"""

import apytypes as apy
import numpy as np
import pytest

from macgen import MacSpec
from macgen.numerics import Flags, FloatFormat
from tests.rtl.step import RtlArray, RtlStep, rtl_step, ties_to_odd

SEED = 2029
ROWS, COLUMNS, LENGTH = 24, 25, 150
MODES = {"rne": apy.QuantizationMode.TIES_EVEN, "rtz": apy.QuantizationMode.TO_ZERO}
OVERFLOW_MODES = {"saturate": apy.OverflowMode.SAT, "wrap": apy.OverflowMode.WRAP}
EXACT = 11, 60


def float_spec(operand, acc, **options):
    return MacSpec(a=operand, b=operand, acc=acc, overflow="infinity", rows=1, cols=1, **options)


def matrices(spec, kind="any numbers"):
    """Return codes (ROWS, LENGTH) and (LENGTH, COLUMNS) of numbers."""
    rng = np.random.default_rng([SEED, spec.acc.width, spec.chunk or 0])

    def codes(fmt, shape):
        if kind == "like weights":
            return fmt.encode(fmt.quantize(rng.standard_normal(shape)))
        # Magnitudes of all exponents: swamping, cancellation, sums that overflow now and then.
        drawn = rng.integers(0, 1 << fmt.width, shape)
        return np.where(np.isfinite(fmt.decode(drawn)), drawn, 0)

    return codes(spec.a, (ROWS, LENGTH)), codes(spec.b, (LENGTH, COLUMNS))


def rtl_matmul(rtl, a, b):
    """Return codes and flags of all rows with all columns."""
    pairs = np.repeat(a, b.shape[1], axis=0), np.tile(b.T, (a.shape[0], 1))
    return [x.reshape(a.shape[0], b.shape[1]) for x in rtl.sums(*pairs)]


def chunk_sums(spec, products, zero, add):
    """Return the dot product of a list of products, in chunks (docs/arithmetic.md section 2)."""
    total, chunk = None, spec.chunk or len(products)
    for start in range(0, len(products), chunk):
        inner = zero
        for product in products[start : start + chunk]:
            inner = add(inner, product)
        total = inner if total is None else add(total, inner)
    return total


# -- float accumulators ------------------------------------------------------------------------------------------------


def float_array(fmt, codes):
    return apy.APyFloatArray.from_bits(codes.tolist(), exp_bits=fmt.exp_bits, man_bits=fmt.man_bits, bias=fmt.bias)


def in_context(spec, a, b):
    """Return codes by their accumulator context, which rounds every product first: for these formats that is exact."""
    mode, bits = MODES[spec.rounding], (spec.acc.exp_bits, spec.acc.man_bits)
    left, right = float_array(spec.a, a), float_array(spec.b, b)
    step = spec.chunk or LENGTH
    with apy.APyFloatAccumulatorContext(*bits, quantization=mode):
        sums = [left[:, k : k + step] @ right[k : k + step, :] for k in range(0, LENGTH, step)]
    with apy.APyFloatQuantizationContext(mode):
        total = sums[0].cast(*bits)
        for chunk_sum in sums[1:]:
            total = total + chunk_sum.cast(*bits)
    return np.array(total.to_bits())


def by_casts(spec, a, b):
    """Return codes by exact sums, cast once per addition."""
    left, right = float_array(spec.a, a).cast(*EXACT), float_array(spec.b, b).cast(*EXACT)
    products = [left[:, k : k + 1] * right[k : k + 1, :] for k in range(LENGTH)]

    def add(acc, x):
        rounded = (acc + x).cast(spec.acc.exp_bits, spec.acc.man_bits, quantization=MODES[spec.rounding])
        return rounded.cast(*EXACT)

    total = chunk_sums(spec, products, apy.APyFloatArray.zeros((ROWS, COLUMNS), *EXACT), add)
    return np.array(total.cast(spec.acc.exp_bits, spec.acc.man_bits).to_bits())


def float_differences(rtl, theirs, kind):
    """Return how many sums differ: their codes, or the canonical NaN with `invalid` where they have any NaN."""
    fmt, (a, b) = rtl.spec.acc, matrices(rtl.spec, kind)
    codes, flags = rtl_matmul(rtl, a, b)
    expected = theirs(rtl.spec, a, b)
    nan = (expected & (1 << fmt.width - 1) - 1) > fmt.infinity_code(0)
    assert nan.mean() < 0.25
    invalid = flags & Flags.INVALID != 0
    return np.count_nonzero((codes != np.where(nan, fmt.nan_code, expected)) | (invalid != nan))


FLOATS = {
    "e5m2-e6m5": (in_context, float_spec("e5m2", "e6m5")),
    "e5m2-e6m5-64": (in_context, float_spec("e5m2", "e6m5", chunk=64)),
    "e5m2-e6m9-16": (in_context, float_spec("e5m2", "e6m9", chunk=16, fold="overlap")),
    "e4m3-e6m9-7-rtz": (in_context, float_spec("e4m3", "e6m9", chunk=7, rounding="rtz")),
    "e4m3-e6m5": (by_casts, float_spec("e4m3", "e6m5", chunk=32)),
    "e3m4-e5m4-rtz": (by_casts, float_spec("e3m4", "e5m4", rounding="rtz")),
    "e4m4-e7m3": (by_casts, float_spec("e4m4", "e7m3", chunk=9, fold="overlap")),
}


KINDS = ["any numbers", "like weights"]


@pytest.mark.thinned(5)
@pytest.mark.parametrize("name", FLOATS)
def test_float_accumulators(name):
    theirs, spec = FLOATS[name]
    assert [float_differences(rtl_step(spec), theirs, kind) for kind in KINDS] == [0, 0]


def test_a_wrong_tie_rule_is_seen():
    theirs, spec = FLOATS["e5m2-e6m5"]
    rtl = RtlStep(spec, ties_to_odd)
    assert min(float_differences(rtl, theirs, kind) for kind in KINDS) > ROWS * COLUMNS / 3


# -- fixed-point accumulators ------------------------------------------------------------------------------------------


def fixed_array(fmt, codes):
    """Return codes as their fixed-point numbers; those of small floats as exact fixed-point numbers."""
    if isinstance(fmt, FloatFormat):
        return apy.APyFixedArray.from_float(
            fmt.decode(codes), int_bits=fmt.max_exponent + 2, frac_bits=-fmt.lsb_exponent
        )
    return apy.APyFixedArray(codes.tolist(), int_bits=fmt.int_bits, frac_bits=fmt.frac_bits)


def fixed_by_casts(spec, a, b):
    """Return codes and whether sums overflow, by exact sums, cast once per addition."""
    left, right, acc_format = fixed_array(spec.a, a), fixed_array(spec.b, b), spec.acc
    products = [left[:, k : k + 1] * right[k : k + 1, :] for k in range(LENGTH)]
    overflow = np.zeros((ROWS, COLUMNS), bool)

    def add(acc, x):
        rounded = (acc + x).cast(
            int_bits=acc_format.int_bits + 2, frac_bits=acc_format.frac_bits, quantization=MODES[spec.rounding]
        )
        kept = rounded.cast(int_bits=acc_format.int_bits, overflow=OVERFLOW_MODES[spec.overflow])
        np.logical_or(overflow, np.array((kept - rounded).to_bits()) != 0, out=overflow)
        return kept

    zero = apy.APyFixedArray.zeros((ROWS, COLUMNS), int_bits=acc_format.int_bits, frac_bits=acc_format.frac_bits)
    total = chunk_sums(spec, products, zero, add)
    return np.array(total.to_bits()), overflow


def fixed_spec(a, b, acc, **options):
    return MacSpec(a=a, b=b, acc=acc, rows=1, cols=1, **options)


FIXED = {
    "saturate": fixed_spec("fix3.5", "fix4.4", "fix9.3"),
    "wrap": fixed_spec("fix3.5", "fix4.4", "fix9.4", rounding="rtz", overflow="wrap", chunk=8, fold="overlap"),
    "saturate-rtz": fixed_spec("fix2.6", "fix4.4", "fix8.2", rounding="rtz", chunk=20),
    "wrap-rne": fixed_spec("int8", "fix1.7", "fix10.5", overflow="wrap"),
    "kulisch": fixed_spec("e4m3fn", "e4m3fn", "fix24.18", chunk=16, fold="overlap"),
}


@pytest.mark.thinned(5)
@pytest.mark.parametrize("name", FIXED)
def test_fixed_accumulators(name):
    spec = FIXED[name]
    a, b = matrices(spec)
    codes, flags = rtl_matmul(rtl_step(spec), a, b)
    theirs, overflow = fixed_by_casts(spec, a, b)
    np.testing.assert_array_equal(codes.astype(np.int64), theirs)
    np.testing.assert_array_equal(flags, Flags.OVERFLOW * overflow)
    assert overflow.mean() > 0.03 or name == "kulisch"


@pytest.mark.parametrize("overflow", OVERFLOW_MODES)
def test_fixed_accumulator_context(overflow):
    """Exact products; their saturating context clamps a finished sum, so sums there must not leave the range before."""
    spec = fixed_spec("int8", "int8", {"wrap": "int17", "saturate": "int22"}[overflow], overflow=overflow)
    a, b = matrices(spec)
    codes, flags = rtl_matmul(rtl_step(spec), a, b)
    with apy.APyFixedAccumulatorContext(int_bits=spec.acc.width, frac_bits=0, overflow=OVERFLOW_MODES[overflow]):
        theirs = fixed_array(spec.a, a) @ fixed_array(spec.b, b)
    np.testing.assert_array_equal(codes.astype(np.int64), np.array(theirs.to_bits()))
    assert np.any(flags & Flags.OVERFLOW) == (overflow == "wrap")


# -- stochastic rounding -----------------------------------------------------------------------------------------------

BITS = 13
STOCHASTIC = float_spec("e5m2", "e6m5", rounding=f"stochastic:{BITS}")
FIXED_STOCHASTIC = fixed_spec("fix2.6", "fix2.6", "fix8.4", rounding="stochastic:8")
WEIGHTED = apy.QuantizationMode.STOCH_WEIGHTED
PERIOD = (1 << 19) - 1
"""Additions after which the random numbers of a PE repeat."""

SIGMAS = 5
"""Standard errors that a sample's moment may be away from the true one: by chance once in 1.7 million."""


@pytest.fixture(scope="module", autouse=True)
def _their_random_numbers():
    apy.set_float_quantization_seed(SEED)
    apy.set_fixed_quantization_seed(SEED)


@pytest.fixture(scope="module")
def stochastic_array():
    return RtlArray(STOCHASTIC)


def split(fmt, x):
    """Return the magnitudes of normal sums cut at the last place, the last place, and the rest as a part of it."""
    place = np.ldexp(1.0, np.frexp(x)[1] - 1 - fmt.man_bits)
    cut = np.floor(np.abs(x) / place)
    return cut * place, place, np.abs(x) / place - cut


def single_sums(count):
    """Return operand codes (count, 2) of x * 1 + a * b, and the exact sums; the rest below the last place is anything.

    Some have rests of more than the 13 bits that the random numbers have.
    """
    rng = np.random.default_rng(SEED)
    fmt = STOCHASTIC.a
    x = rng.choice([-1, 1], count) * rng.choice([1.0, 1.25, 1.5, 1.75], count) * np.exp2(rng.integers(-4, 10, count))
    y = rng.choice([-1, 1], count) * rng.choice([1.0, 1.25, 1.5, 1.75], count)
    z = np.exp2(np.frexp(x)[1] - rng.integers(2, 22, count)) * rng.choice([1.0, 1.25, 1.5, 1.75], count)
    a, b = np.stack([x, y], 1), np.stack([np.ones(count), z], 1)
    keep = (fmt.quantize(a) == a).all(1) & (fmt.quantize(b) == b).all(1)
    a, b = a[keep], b[keep]
    return fmt.encode(a), fmt.encode(b), a[:, 0] + a[:, 1] * b[:, 1]


def away(codes, cut, place):
    """Return which sums (N, count) were rounded away from zero, the others being cut: codes mean one or the other."""
    magnitude = np.abs(STOCHASTIC.acc.decode(codes))
    assert ((magnitude == cut) | (magnitude == cut + place)).all()
    return magnitude > cut


def probabilities(rest):
    """Return with what probability a sum is rounded away from zero (docs/arithmetic.md section 3)."""
    return np.floor(rest * (1 << BITS)) / (1 << BITS)


def test_every_random_number():
    """Of all 2^13 numbers exactly as many round away from zero as the rest's first 13 bits say."""
    a, b, x = single_sums(60)
    assert len(x) > 40
    cut, place, rest = split(STOCHASTIC.acc, x)
    numbers = np.arange(1 << BITS)
    random = np.stack([np.roll(numbers, 1), numbers], 1)  # the first addition is exact
    rtl = rtl_step(STOCHASTIC)
    counts = [
        np.count_nonzero(away(rtl.sums(*(np.tile(v, (len(numbers), 1)) for v in pair), random)[0], *where))
        for *pair, where in zip(a, b, zip(cut, place, strict=True), strict=True)
    ]
    assert counts == (probabilities(rest) * (1 << BITS)).tolist()
    assert len(set(counts)) > 15


def near(shares, expected, count):
    """Whether shares of `count` trials are near probabilities; two trials more or less where that is a rare case."""
    return np.abs(shares - expected) <= SIGMAS * np.sqrt(expected * (1 - expected) / count) + 2 / count


def test_single_sums_like_theirs(stochastic_array):
    """Shares rounded away: with drawn numbers, with those of the array, and by their cast, which cuts no bits."""
    a, b, x = single_sums(60)
    cut, place, rest = split(STOCHASTIC.acc, x)
    chance = probabilities(rest)
    count = PERIOD // (2 * len(x))
    assert count > 4_000
    many = [np.tile(codes, (count, 1)) for codes in (a, b)]
    drawn = np.random.default_rng(SEED).integers(0, 1 << BITS, (count * len(x), 2))
    for codes, _ in (rtl_step(STOCHASTIC).sums(*many, drawn), stochastic_array.sums(*many)):
        assert near(away(codes.reshape(count, len(x)), cut, place).mean(0), chance, count).all()
    exact = apy.APyFloatArray.from_float(np.tile(x, (count, 1)), *EXACT)
    theirs = np.array(exact.cast(6, 5, quantization=WEIGHTED).to_bits())
    assert near(away(theirs, cut, place).mean(0), rest, count).all()


def test_an_array_without_random_numbers_is_seen():
    def constant(verilog):
        assert ".random(random)" in verilog
        return verilog.replace(".random(random)", f".random({BITS}'d0)")

    a, b, x = single_sums(60)
    cut, place, rest = split(STOCHASTIC.acc, x)
    count = 2_000
    drawn = np.random.default_rng(SEED).integers(0, 1 << BITS, (count * len(x), 2))
    codes, _ = RtlStep(STOCHASTIC, constant).sums(*(np.tile(v, (count, 1)) for v in (a, b)), drawn)
    shares = away(codes.reshape(count, len(x)), cut, place).mean(0)
    assert not near(shares, probabilities(rest), count)[rest > 0.1].any()


def one_dot_product(fmt, length):
    """Return operand codes (1, length) and the exact products, sums of which stay in e6m5's normal range."""
    rng = np.random.default_rng([SEED, length])
    x, y = fmt.quantize(rng.normal(0.5, 1, (1, length))), fmt.quantize(rng.normal(0.5, 0.5, (1, length)))
    return fmt.encode(x), fmt.encode(y), (x * y)[0]


def variance_error(errors):
    """Return the variance around 0 of a sample, and its standard error."""
    squares = errors**2
    return squares.mean(), squares.std() / np.sqrt(len(squares))


def check_moments(errors, variance):
    """Assert that errors have the mean 0 and a variance."""
    assert abs(errors.mean()) <= SIGMAS * errors.std() / np.sqrt(len(errors))
    measured, error = variance_error(errors)
    assert abs(measured - variance) <= SIGMAS * error
    assert error < 0.03 * variance


@pytest.mark.prove
def test_moments_of_dot_products(stochastic_array):
    """The error is a martingale: its variance is the mean of the sum of p (1 - p) ulp^2 over all additions.

    p and the bias by the bits that the random numbers do not reach follow from the accumulators before each addition,
    which the Verilog gives; the errors of the array's own numbers, and theirs, have the same moments.
    """
    spec, length = STOCHASTIC, 25
    count = PERIOD // length
    a, b, products = one_dot_product(spec.a, length)
    rows = [np.tile(codes, (count, 1)) for codes in (a, b)]
    drawn = np.random.default_rng(SEED).integers(0, 1 << BITS, (count, length))
    rtl, acc = rtl_step(spec), np.zeros(count)
    bias, variance = np.zeros(count), np.zeros(count)
    for k, product in enumerate(products):
        exact = acc + product
        assert (np.abs(exact) > 2 * spec.acc.min_normal).all()
        _, place, rest = split(spec.acc, exact)
        chance = probabilities(rest)
        bias += np.sign(exact) * (chance - rest) * place
        variance += chance * (1 - chance) * place**2
        acc = spec.acc.decode(rtl.sums(*(x[:, : k + 1] for x in rows), drawn[:, : k + 1])[0])
    errors = acc - products.sum() - bias
    difference = errors**2 - variance
    assert abs(difference.mean()) <= SIGMAS * difference.std() / np.sqrt(count)
    check_moments(errors, variance.mean())

    own = spec.acc.decode(stochastic_array.sums(*rows)[0])
    check_moments(own - products.sum() - bias.mean(), variance.mean())
    with apy.APyFloatAccumulatorContext(6, 5, quantization=WEIGHTED):
        sums = float_array(spec.a, rows[0]) @ float_array(spec.b, b.T)
    check_moments(sums.to_numpy()[:, 0] - products.sum(), variance.mean())


@pytest.mark.prove
def test_moments_of_fixed_point_dot_products():
    """The rest of each product alone decides, so that the variance is known exactly: the sum of p (1 - p) units^2."""
    spec, length = FIXED_STOCHASTIC, 25
    count = PERIOD // length
    a, b, products = one_dot_product(spec.a, length)
    rows = [np.tile(codes, (count, 1)) for codes in (a, b)]
    unit = 2.0**-spec.acc.frac_bits
    rest = np.mod(products / unit, 1)
    assert (rest * 256 % 1 == 0).all()
    variance = np.sum(rest * (1 - rest)) * unit**2
    drawn = np.random.default_rng(SEED).integers(0, 256, (count, length))
    for codes, flags in (rtl_step(spec).sums(*rows, drawn), RtlArray(spec).sums(*rows)):
        assert not flags.any()
        check_moments(spec.acc.decode(codes) - products.sum(), variance)
    sums = apy.APyFixedArray.zeros((count,), int_bits=8, frac_bits=4)
    left, right = fixed_array(spec.a, a[0]), fixed_array(spec.b, b[0])
    for x, y in zip(left, right, strict=True):
        sums = (sums + x * y).cast(int_bits=8, frac_bits=4, quantization=WEIGHTED)
    check_moments(sums.to_numpy() - products.sum(), variance)
