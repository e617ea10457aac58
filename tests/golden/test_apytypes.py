"""golden.dot against the accumulator contexts of APyTypes, for the (1,6,m) accumulators of FP8 training."""

import apytypes as apy
import numpy as np
import pytest

from macgen import MacSpec, golden

QUANTIZATION = {
    "rne": apy.QuantizationMode.TIES_EVEN,
    "rtz": apy.QuantizationMode.TO_ZERO,
    "floor": apy.QuantizationMode.TO_NEG,
}
FIXED_QUANTIZATION = {
    "rne": apy.QuantizationMode.RND_CONV,
    "rtz": apy.QuantizationMode.TRN_ZERO,
    "floor": apy.QuantizationMode.TRN,
}
ROWS, COLUMNS, LENGTH = 6, 12, 200
KINDS = ["any numbers", "like weights"]


def operands(spec, kind):
    """Return codes (ROWS, LENGTH) and (LENGTH, COLUMNS)."""
    rng = np.random.default_rng([64, LENGTH, spec.chunk or 0])
    shapes = (ROWS, LENGTH), (LENGTH, COLUMNS)
    if kind == "like weights":
        return [spec.a.encode(spec.a.quantize(rng.standard_normal(shape))) for shape in shapes]
    # Magnitudes of all exponents: swamping, cancellation, sums that overflow now and then.
    sign_bit = 1 << spec.a.width - 1
    return [rng.integers(0, spec.a.max_code + 1, shape) + sign_bit * rng.integers(0, 2, shape) for shape in shapes]


def array(fmt, codes):
    return apy.APyFloatArray.from_bits(codes.tolist(), exp_bits=fmt.exp_bits, man_bits=fmt.man_bits, bias=fmt.bias)


def assert_golden_gives(spec, a, b, theirs):
    codes, flags = golden.matmul(spec, a, b)
    invalid = (flags & golden.Flags.INVALID) != 0  # sums of opposite infinities: their NaN is not our canonical one
    assert np.count_nonzero(invalid) < codes.size // 4
    np.testing.assert_array_equal(np.where(invalid, -1, codes.astype(np.int64)), np.where(invalid, -1, theirs))


@pytest.mark.thinned(5)
@pytest.mark.parametrize("rounding", QUANTIZATION)
@pytest.mark.parametrize("chunk", [None, 1, 7, 64])
@pytest.mark.parametrize(("operand", "acc"), [("e5m2", "e6m5"), ("e5m2", "e6m9"), ("e4m3", "e6m9")])
@pytest.mark.parametrize("kind", KINDS)
def test_accumulator_context(operand, acc, chunk, rounding, kind):
    """Their context rounds every product to the accumulator's format first; for these formats that is exact."""
    spec = MacSpec(a=operand, b=operand, acc=acc, chunk=chunk, rounding=rounding, overflow="infinity")
    bits = spec.acc.exp_bits, spec.acc.man_bits
    a, b = operands(spec, kind)
    theirs_a, theirs_b = array(spec.a, a), array(spec.b, b)
    step = chunk or LENGTH
    with apy.APyFloatAccumulatorContext(*bits, quantization=QUANTIZATION[rounding]):
        sums = [theirs_a[:, k : k + step] @ theirs_b[k : k + step, :] for k in range(0, LENGTH, step)]
    with apy.APyFloatQuantizationContext(QUANTIZATION[rounding]):
        total = sums[0].cast(*bits)
        for chunk_sum in sums[1:]:
            total = total + chunk_sum.cast(*bits)
    assert_golden_gives(spec, a, b, np.array(total.to_bits()))


@pytest.mark.parametrize("rounding", QUANTIZATION)
@pytest.mark.parametrize("acc", ["e6m5", "e6m9"])
@pytest.mark.parametrize("operand", ["e4m3", "e3m4"])
def test_exact_sums_cast(operand, acc, rounding):
    """Products with more bits than E6M5 keeps: sums in a format that holds them exactly, cast once per step."""
    spec = MacSpec(a=operand, b=operand, acc=acc, rounding=rounding, overflow="infinity")
    a, b = operands(spec, "any numbers")
    exact = 11, 60
    theirs_a, theirs_b = array(spec.a, a).cast(*exact), array(spec.b, b).cast(*exact)
    total = apy.APyFloatArray.zeros((ROWS, COLUMNS), *exact)
    for k in range(LENGTH):
        sums = total + theirs_a[:, k : k + 1] * theirs_b[k : k + 1, :]
        rounded = sums.cast(spec.acc.exp_bits, spec.acc.man_bits, quantization=QUANTIZATION[rounding])
        total = rounded.cast(*exact)
    assert_golden_gives(spec, a, b, np.array(rounded.to_bits()))


@pytest.mark.parametrize("rounding", QUANTIZATION)
@pytest.mark.parametrize(
    ("a", "b", "acc"),
    [("fix10.-4", "ufix3.-1", "fix13.-3"), ("fix-2.7", "ufix-1.5", "fix-1.9"), ("fix10.-4", "fix-2.7", "fix10.-1")],
)
def test_fixed_point_beyond_the_bits(a, b, acc, rounding):
    """Every product of every pair of codes, added to a few accumulators, rounded once and saturated."""
    spec = MacSpec(a=a, b=b, acc=acc, rounding=rounding)

    def array(fmt, codes):  # an unsigned number is a signed one with a bit more
        return apy.APyFixedArray(codes, int_bits=fmt.int_bits + (not fmt.signed), frac_bits=fmt.frac_bits)

    rng = np.random.default_rng(1)
    pairs = np.array(list(np.ndindex(1 << spec.a.width, 1 << spec.b.width)))
    accs = rng.integers(0, 1 << spec.acc.width, len(pairs))
    theirs = array(spec.acc, accs.tolist()) + array(spec.a, pairs[:, 0].tolist()) * array(spec.b, pairs[:, 1].tolist())
    theirs = theirs.cast(
        int_bits=spec.acc.int_bits, frac_bits=spec.acc.frac_bits, quantization=FIXED_QUANTIZATION[rounding],
        overflow=apy.OverflowMode.SAT,
    )  # fmt: skip
    ours = [golden.step(spec, *map(int, case))[0] for case in zip(accs, *pairs.T, strict=True)]
    assert ours == np.array(theirs.to_bits()).tolist()
