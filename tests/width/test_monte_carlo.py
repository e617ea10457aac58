import dataclasses
import math
import re
from fractions import Fraction

import numpy as np
import pytest

from macgen import MacSpec, golden
from macgen.errors import MacgenError
from macgen.numerics import FloatFormat
from macgen.width import monte_carlo, nsr, truncation, variance
from macgen.width.goal import Goal, Sum
from macgen.width.monte_carlo import confirm, simulate
from macgen.width.planning import plan

RNE = MacSpec(a="e5m2", b="e4m3", acc="e6m4")
NORMAL = np.random.default_rng(11).standard_normal(1 << 16)


def five_bits(m_acc, rounding="rne", chunk=None):
    """An accumulator for products with 5 mantissa bits: normally distributed e6m5 operands times one."""
    return MacSpec(a="e6m5", b="e2m1", acc=f"e8m{m_acc}", rounding=rounding, chunk=chunk)


# -- against the golden model, one product after another -----------------------------------------------------------


def drawn(spec, trials, length, seed):
    rng = np.random.default_rng(seed)
    return tuple(
        fmt.quantize(rng.normal(scale=1.0 if hasattr(fmt, "man_bits") else fmt.max / 4, size=(trials, length)))
        for fmt in (spec.a, spec.b)
    )


@pytest.mark.parametrize(
    "spec",
    [
        RNE,
        MacSpec(a="e5m2", b="e4m3", acc="e6m4", chunk=7, rounding="rtz"),
        MacSpec(a="e4m3", b="e4m3", acc="e5m3", chunk=8, rounding="drop"),
        MacSpec(a="int8", b="uint4", acc="int14"),
        MacSpec(a="int8", b="int8", acc="int17", overflow="wrap"),
        MacSpec(a="e5m2", b="int4", acc="e6m5"),
    ],
    ids=str,
)
def test_equals_the_golden_model(spec):
    trials, length, seed = 40, 30, 5
    a, b = drawn(spec, trials, length, seed)
    sums, exact, beyond = [], [], 0
    for left, right in zip(a, b, strict=True):
        code, _ = golden.dot(spec, spec.a.encode(left).tolist(), spec.b.encode(right).tolist())
        sums.append(spec.acc.number(code).to_fraction())
        products = [Fraction(x) * Fraction(y) for x, y in zip(left, right, strict=True)]
        exact.append(sum(products))
        beyond += overflows(spec, products)
    signal = variance_of(exact)
    noise = sum((s - e) ** 2 for s, e in zip(sums, exact, strict=True)) / trials
    found = simulate(spec, length, trials=trials, seed=seed)
    assert found.vrr.value == pytest.approx(float(variance_of(sums) / signal), rel=1e-12)
    assert found.nsr.value == pytest.approx(float(noise / signal), rel=1e-12)
    assert found.overflow == beyond / trials
    assert (found.trials, found.length, found.seed, found.confidence) == (trials, length, seed, 0.95)


def variance_of(values):
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / len(values)


def overflows(spec, products):
    """Whether an exact partial sum, of the chunk or of the finished chunks, is out of the accumulator's range."""
    ends = [spec.acc.number(spec.acc.largest_code(sign)).to_fraction() for sign in (1, 0)]
    inner = outer = 0
    for k, product in enumerate(products, start=1):
        inner += product
        if not ends[0] <= inner <= ends[1]:
            return True
        if k % (spec.chunk or len(products)) == 0 or k == len(products):
            outer, inner = outer + inner, 0
            if not ends[0] <= outer <= ends[1]:
                return True
    return False


# -- overflow --------------------------------------------------------------------------------------------------------


def test_overflow_share_of_two_values():
    """-128 times -128 or 127: only twice -128 is beyond int16, and that exactly a quarter of the time."""
    spec = MacSpec(a="int8", b="int8", acc="int16")
    found = simulate(spec, 2, trials=4000, samples=([-128], [-128, 127]))
    assert found.overflow == pytest.approx(0.25, abs=0.03)
    assert simulate(spec, 1, trials=100, samples=([-128], [-128, 127])).overflow == 0
    wider = MacSpec(a="int8", b="int8", acc="int17")
    assert simulate(wider, 2, trials=4000, samples=([-128], [-128, 127])).overflow == 0


def test_the_lowest_integer_is_no_overflow():
    """Twice 128 * -128 is -2^15, which int16 holds, though not its negative."""
    found = simulate(MacSpec(a="uint8", b="int8", acc="int16"), 2, trials=400, samples=([128], [-128, 0]))
    assert found.overflow == 0
    assert found.nsr.value == 0


@pytest.mark.parametrize(("chunk", "length"), [(2, 8), (None, 8), (4, 6)])
def test_overflow_counts_partial_sums(chunk, length):
    """Sums that return into the range were beyond it all the same; chunks are looked at one by one."""
    spec = MacSpec(a="int8", b="int8", acc="int16", chunk=chunk)
    rng = np.random.default_rng(1)
    a, b = rng.choice([-100.0], (600, length)), rng.choice([-100.0, 100.0], (600, length))
    expected = sum(overflows(spec, [Fraction(x) for x in row]) for row in a * b)
    found = simulate(spec, length, trials=600, samples=([-100], [-100, 100]))
    assert 0.02 < found.overflow < 0.98
    assert found.overflow == expected / 600


# -- the closed forms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m_acc"), [(256, 4), (1024, 5), (1024, 6)])
def test_rounding_decides_what_a_sum_keeps(n, m_acc):
    """VRR describes an adder that drops; `rne` is better, truncated sums are far worse."""
    found = {
        rounding: simulate(five_bits(m_acc, rounding), n, samples=(NORMAL, [1.0]))
        for rounding in ("rne", "rtz", "drop")
    }
    assert all(estimate.overflow == 0 for estimate in found.values())
    assert found["rne"].nsr.value == pytest.approx(0.0225 * n / 4**m_acc, rel=0.15)
    assert found["rne"].vrr.value > 0.95
    assert found["rtz"].vrr.value == pytest.approx(truncation.vrr(n, m_acc), abs=0.02)
    assert found["rtz"].nsr.value == pytest.approx(truncation.nsr(n, m_acc), rel=0.05)
    assert found["drop"].nsr.value > 2 * found["rne"].nsr.value
    if n == 4**m_acc:
        assert found["drop"].vrr.value == pytest.approx(variance.vrr(m_acc, 5, n), abs=0.05)
        assert found["drop"].vrr.value < 0.8 * found["rne"].vrr.value


@pytest.mark.parametrize(("n", "m_acc", "chunk"), [(256, 5, None), (1024, 6, None), (1024, 4, 32)])
def test_stochastic_rounding_makes_twice_the_noise_of_nearest(n, m_acc, chunk):
    spec = dataclasses.replace(five_bits(m_acc, "stochastic:16"), chunk=chunk)
    found = simulate(spec, n, samples=(NORMAL, [1.0])).nsr
    assert found.value == pytest.approx(2 * nsr.estimate(n, m_acc, "rne", chunk).nsr, rel=0.2)


def test_the_closed_form_lies_in_the_interval():
    found = simulate(five_bits(6), 1024, samples=(NORMAL, [1.0]))
    closed = nsr.estimate(1024, 6).nsr
    assert found.nsr.low <= 1.07 * closed
    assert found.nsr.high >= 0.93 * closed
    assert found.nsr.high - found.nsr.low < 0.2 * closed


def test_intervals_cover_as_often_as_they_say():
    """The mean of all runs stands for the true value."""
    runs = [simulate(five_bits(4), 32, trials=2000, seed=seed, samples=(NORMAL, [1.0])) for seed in range(100)]
    for name in ("vrr", "nsr"):
        intervals = [getattr(run, name) for run in runs]
        true = np.mean([interval.value for interval in intervals])
        covered = np.mean([interval.low <= true <= interval.high for interval in intervals])
        assert 0.89 <= covered <= 0.99  # three standard deviations of 100 runs


def test_higher_confidence_is_wider():
    narrow, wide = (simulate(RNE, 64, trials=200, confidence=confidence) for confidence in (0.5, 0.99))
    assert narrow.nsr.value == wide.nsr.value
    assert wide.nsr.low < narrow.nsr.low < narrow.nsr.value < narrow.nsr.high < wide.nsr.high
    assert (wide.nsr.high - wide.nsr.value) / (narrow.nsr.high - narrow.nsr.value) == pytest.approx(3.819, rel=1e-3)


# -- operands ----------------------------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_operands():
    assert simulate(RNE, 100, trials=50, seed=3) == simulate(RNE, 100, trials=50, seed=3)
    assert simulate(RNE, 100, trials=50, seed=3).nsr != simulate(RNE, 100, trials=50, seed=4).nsr


def test_samples_are_rounded_and_drawn():
    """Operands of any shape and type; 0.3 is no e2m1 number, 0.5 is the next."""
    spec = MacSpec(a="e2m1", b="e2m1", acc="e5m10")
    plain = simulate(spec, 20, trials=100, samples=([0.5, -0.5], [1.0, 2.0]))
    same = simulate(spec, 20, trials=100, samples=(np.array([[0.3], [-0.3]], np.float32), ((1, 2),)))
    assert plain == same
    assert plain.nsr.value == 0


def test_samples_beyond_the_format_saturate():
    spec = MacSpec(a="e2m1", b="e2m1", acc="e5m10")
    same = simulate(spec, 20, trials=100, samples=([1e9, 1.0], [1.0]))
    assert same == simulate(spec, 20, trials=100, samples=([spec.a.max, 1.0], [1.0]))


def test_half_of_the_samples_given():
    spec = MacSpec(a="e5m2", b="e2m1", acc="e6m9")
    found = simulate(spec, 50, trials=100, seed=2, samples=(None, [1.0]))
    a = spec.a.quantize(np.random.default_rng(2).normal(size=(100, 50)))
    codes, ones = spec.a.encode(a).tolist(), [int(spec.b.encode([1.0])[0])] * 50
    sums = np.array([spec.acc.number(golden.dot(spec, row, ones)[0]).to_fraction() for row in codes], dtype=float)
    assert found.vrr.value == pytest.approx(np.var(sums) / np.var(a.sum(axis=1)), rel=1e-12)


def test_progress_is_called_after_each_block(monkeypatch):
    monkeypatch.setattr(monte_carlo, "_BLOCK_PRODUCTS", 100)
    calls = []
    simulate(RNE, 40, trials=5, progress=lambda *call: calls.append(call))
    assert calls == [(2, 5), (4, 5), (5, 5)]


# -- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"length": 0}, "length 0 is not an integer from 1 to 2^24"),
        ({"length": (1 << 24) + 1}, "length 16777217 is not an integer from 1 to 2^24"),
        ({"length": 10.0}, "length 10.0 is not an integer from 1 to 2^24"),
        ({"length": True}, "length True is not an integer from 1 to 2^24"),
        ({"trials": 1}, "trials 1 is not an integer from 2 to 1048576"),
        ({"trials": 1 << 21}, "trials 2097152 is not an integer from 2 to 1048576"),
        ({"seed": -1}, "seed -1 is not an integer from 0 to 2^63 - 1"),
        ({"seed": "1"}, "seed '1' is not an integer from 0 to 2^63 - 1"),
        ({"confidence": 1.0}, "confidence 1.0 is not a number between 0 and 1"),
        ({"confidence": 0}, "confidence 0 is not a number between 0 and 1"),
        ({"confidence": "0.9"}, "confidence '0.9' is not a number between 0 and 1"),
        ({"confidence": float("nan")}, "confidence nan is not a number between 0 and 1"),
        (
            {"samples": ([1.0, 2.0], [])},
            "samples of b are not finite numbers; accepted are arrays with at least one number",
        ),
        (
            {"samples": ([1.0, float("inf")], [1.0])},
            "samples of a are not finite numbers; accepted are arrays with at least one number",
        ),
        (
            {"samples": ("abc", [1.0])},
            "samples of a are not finite numbers; accepted are arrays with at least one number",
        ),
        (
            {"samples": ([[1.0], [1.0, 2.0]], [1.0])},
            "rows of samples of a differ in length; accepted are equal lengths",
        ),
        ({"samples": ([1.0],)}, "samples ([1.0],) are not a pair; accepted are values of a and values of b"),
        ({"samples": 7}, "samples 7 are not a pair; accepted are values of a and values of b"),
        (
            {"samples": ([1.0], [2.0])},
            "samples give sums that are all equal; accepted are operands that vary",
        ),
    ],
)
def test_wrong_arguments(arguments, sentence):
    with pytest.raises(MacgenError) as caught:
        simulate(RNE, **({"length": 10, "trials": 10} | arguments))
    assert str(caught.value) == sentence


def test_products_beyond_binary64():
    spec = MacSpec(a="e11m4", b="e11m4", acc="e11m10")
    with pytest.raises(MacgenError) as caught:
        simulate(spec, 4, trials=4, samples=([1e300, -1e300], [1e300]))
    assert str(caught.value) == ("products of a e11m4 and b e11m4 are beyond binary64; accepted are smaller operands")


# -- a plan confirmed ------------------------------------------------------------------------------------------------


def planned(length, *, nzr=1.0, rms=None, **goal):
    return plan(Goal(**goal), Sum(length=length, nzr=nzr, rms=rms))


@pytest.mark.parametrize(
    ("length", "nzr", "rms", "goal"),
    [
        (300, 1.0, None, {}),
        (300, 1.0, None, {"rounding": "rtz"}),
        (300, 1.0, None, {"rounding": "drop", "chunk": 16}),
        (300, 0.2, 0.01, {"chunk": "auto", "nsr": 0.002}),
        (300, 1.0, None, {"a": "int8", "b": "e4m3"}),
    ],
)
def test_monte_carlo_ends_at_the_smallest_that_passes(length, nzr, rms, goal):
    before = planned(length, nzr=nzr, rms=rms, **goal)
    calls = []
    after = confirm(before, trials=400, progress=lambda *call: calls.append(call))
    chosen = after.chosen
    assert (chosen.method, chosen.chunk) == ("monte-carlo", before.chunk)
    assert after.answers == (*before.answers, chosen)
    assert after.spec().acc == chosen.acc
    assert chosen.acc.exp_bits == before.chosen.acc.exp_bits
    assert set(calls) == {(400, 400)}
    samples = monte_carlo._samples(before.goal, before.sum)
    ratios = [
        simulate(
            type(s)(a=s.a, b=s.b, acc=FloatFormat(chosen.acc.exp_bits, bits), chunk=s.chunk, rounding=s.rounding),
            length,
            trials=400,
            samples=samples,
        ).nsr
        for s in [after.spec()]
        for bits in (chosen.man_bits, chosen.man_bits - 1)
    ]
    assert ratios[0].high <= before.goal.nsr < ratios[1].high
    pattern = (
        r"measured NSR (0\.0*[1-9]\d) \((0\.0*[1-9]\d) to (0\.0*[1-9]\d)\), overflow in [\d.]+% of 400 trials, seed 1"
    )
    match = re.fullmatch(pattern, chosen.reason)
    assert match is not None, chosen.reason
    measured = (ratios[0].value, ratios[0].low, ratios[0].high)
    assert [float(text) for text in match.groups()] == [float(f"{value:.1e}") for value in measured]


@pytest.mark.parametrize(("nzr", "rms"), [(1.0, None), (0.3, None), (1.0, 0.01), (0.1, 2.0)])
def test_monte_carlo_draws_the_sums_operands(nzr, rms):
    a, b = monte_carlo._samples(Goal(a="e5m2", b="int8"), Sum(length=100, nzr=nzr, rms=rms))
    products = a * b
    usual = 127 / 4 * math.sqrt(nzr) if rms is None else rms
    assert (products != 0).mean() == pytest.approx(nzr, abs=0.01)
    assert math.sqrt((products**2).mean()) == pytest.approx(usual, rel=0.05)


def test_monte_carlo_starts_too_narrow():
    """Products of few values round more than the closed form says: the mantissa grows."""
    before = planned(300)
    narrow = dataclasses.replace(before, chosen=dataclasses.replace(before.chosen, acc=FloatFormat(5, 1)))
    assert confirm(narrow, trials=400).chosen.acc == confirm(before, trials=400).chosen.acc


def test_monte_carlo_gives_up_where_the_range_is_too_small():
    before = planned(256, a="e3m2", b="e2m1", overflow_probability=0.5)
    narrow = dataclasses.replace(before, chosen=dataclasses.replace(before.chosen, acc=FloatFormat(3, 6)))
    with pytest.raises(MacgenError) as caught:
        confirm(narrow, trials=400)
    assert re.fullmatch(
        r"nsr 0\.01 is not reached: the measured one is 0\.2\d \(up to 0\.\d+\) at any mantissa, with overflow in "
        r"5\d\.\d% of the trials; accepted are goals with a lower overflow_probability or a larger nsr",
        str(caught.value),
    )


def test_monte_carlo_needs_a_float_accumulator():
    with pytest.raises(MacgenError) as caught:
        confirm(planned(100, a="int8", b="int8"))
    assert str(caught.value) == (
        "monte-carlo does not go with acc int22, which is exact; accepted are float accumulators"
    )
