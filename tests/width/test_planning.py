import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macgen.errors import MacgenError
from macgen.numerics import FixedFormat, FloatFormat, parse_format
from macgen.width import bounds, exponent, monte_carlo, nsr, planning, truncation, variance
from macgen.width.formulas.chunks import nonzero
from macgen.width.goal import Goal, Sum
from macgen.width.monte_carlo import simulate
from tests.strategies import formats

INTEGERS = Goal(a="uint8", b="int8")


def planned(length, *, nzr=1.0, rms=None, weight_l1=None, **goal):
    return planning.plan(Goal(**goal), Sum(length=length, nzr=nzr, rms=rms, weight_l1=weight_l1))


# -- which method decides --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rounding", "chunk", "method"),
    [
        ("rne", None, "noise"),
        ("rne", 64, "noise"),
        ("rtz", None, "noise"),
        ("rtz", 64, "noise"),
        ("drop", None, "vrr"),
        ("drop", 64, "noise"),  # short sums: the VRR is content with less than the noise
    ],
)
def test_the_rounding_says_which_method_decides(rounding, chunk, method):
    found = planned(4608, rounding=rounding, chunk=chunk)
    assert (found.chosen.method, found.chosen.chunk, found.chunk) == (method, chunk, chunk)
    assert found.chosen is found.answer(method, chunk)
    spec = found.spec()
    assert (str(spec.a), str(spec.b), spec.chunk, spec.rounding) == ("e5m2", "e5m2", chunk, rounding)
    assert spec.acc == found.chosen.acc


@pytest.mark.parametrize(("length", "normal", "noise"), [(576, 7, 6), (1152, 7, 6), (2304, 8, 7), (4608, 9, 7)])
def test_widths_of_e5m2_products(length, normal, noise):
    """The VRR's are those of the formulas of arXiv 1901.06588 with v < 50."""
    found = planned(length, chunk=64)
    assert found.goal.product_man_bits == 5
    assert found.answer("vrr", None).man_bits == normal
    assert found.answer("vrr", 64).man_bits == 5
    assert found.answer("noise", None).man_bits == noise == math.ceil(0.5 * math.log2(0.541 / 24 * length / 0.01))
    assert found.chosen.acc.exp_bits == 5


def test_reasons_name_the_figures():
    found = planned(4608, chunk=64)
    assert [(item.method, item.chunk, str(item.acc)) for item in found.answers] == [
        ("exact", None, "fix45.32"),
        ("vrr", None, "e5m9"),
        ("noise", None, "e5m7"),
        ("vrr", 64, "e5m5"),
        ("noise", 64, "e5m5"),
    ]
    assert [item.reason for item in found.answers[:3]] == [
        "holds every sum of 4608 products",
        "mantissa: v < 50; exponent: sums reach 342 with probability 1e-06",
        "mantissa: NSR 0.0063, at most 0.01; exponent: sums reach 342 with probability 1e-06",
    ]
    assert found.answer("vrr", 64).reason.startswith("mantissa: v < 50, per-level;")
    assert found.answer("exact", None).man_bits is None
    assert found.answer("weights", None) is None
    assert found.warnings == ()


def test_total_reading_asks_for_more():
    per_level, total = (planned(4608, chunk=64, reading=reading) for reading in ("per-level", "total"))
    assert total.answer("vrr", 64).man_bits > per_level.answer("vrr", 64).man_bits
    assert total.answer("vrr", None) == per_level.answer("vrr", None)


@settings(max_examples=60)
@given(
    st.integers(1, 1 << 24),
    st.none() | st.integers(1, 1 << 12),
    st.sampled_from([("e5m2", "e5m2"), ("e4m3", "e5m2"), ("e2m1", "int8"), ("e4m3fn", "e2m3")]),
    st.sampled_from(["rne", "rtz", "drop"]),
    st.floats(1e-4, 0.05),
    st.floats(0.01, 1.0),
)
def test_answers_are_the_methods_own(length, chunk, operands, rounding, target, nzr):
    """Each width passes its method's criterion and one bit less does not; the spec is one that macgen builds."""
    found = planned(length, a=operands[0], b=operands[1], chunk=chunk, rounding=rounding, nsr=target, nzr=nzr)
    m_p = found.goal.product_man_bits
    for part in {None, chunk}:
        inner = None if part is None or part >= length else part
        bits = found.answer("vrr", part).man_bits
        assert bits == variance.min_man_bits(length, m_p, inner, nzr)
        n, short = nonzero(length, part, nzr)
        bits = found.answer("noise", part).man_bits
        noise = (
            (lambda m, n=n, short=short: truncation.nsr(n, m, short))
            if rounding == "rtz"
            else (lambda m, n=n, short=short: nsr.estimate(n, m, rounding, short).nsr)
        )
        assert noise(bits) <= target
        assert bits == 1 or noise(bits - 1) > target
        for method in ("vrr", "noise"):
            acc = found.answer(method, part).acc
            assert (
                acc.exp_bits
                == exponent.choose(
                    *found.goal.formats,
                    length,
                    acc.man_bits,
                    chunk=part,
                    rms=math.sqrt(nzr) * math.prod(map(exponent.default_rms, found.goal.formats)),
                    nzr=nzr,
                ).bits
            )
    assert found.spec().chunk == chunk


# -- warnings --------------------------------------------------------------------------------------------------------


def test_rtz_warns_with_figures():
    found = planned(4608, rounding="rtz")
    assert found.warnings == (
        "rtz truncates every sum toward zero: with the 9 mantissa bits that VRR accepts, a sum of 4608 products keeps "
        "15% of its variance (NSR 0.56); it takes 14 bits, with rne 7",
    )
    assert truncation.vrr(4608, 9) == pytest.approx(0.15, abs=0.005)
    assert found.chosen.acc == FloatFormat(5, 14)


def test_the_warning_about_rtz_is_true():
    """The accumulator that VRR accepts loses most of the variance when its sums are truncated."""
    spec = planned(1152, rounding="rtz").spec()
    narrow = planned(1152, rounding="drop").answer("vrr", None).acc
    assert simulate(type(spec)(a="e5m2", b="e5m2", acc=narrow, rounding="rtz"), 1152, trials=500).vrr.value < 0.3
    assert simulate(spec, 1152, trials=500).nsr.high < 0.01


def test_drop_warns_with_figures():
    assert planned(4608, rounding="drop").warnings == (
        "drop loses what it shifts out: with the 7 mantissa bits that rne needs, a sum of 4608 products keeps 89.7% of "
        "its variance by the VRR (NSR up to 0.038); it takes 9 bits",
    )
    assert variance.vrr(7, 5, 4608) == pytest.approx(0.897, abs=5e-4)


def test_a_narrower_exact_accumulator_is_pointed_out():
    found = planned(64, a="e2m1", b="e2m1")
    exact = found.answer("exact", None)
    assert exact.acc == bounds.exact_format(parse_format("e2m1"), parse_format("e2m1"), 64)
    tight = planned(64, a="e2m1", b="e2m1", nsr=1e-6)
    assert tight.chosen.acc.width >= exact.acc.width
    assert tight.warnings == (
        f"acc {exact.acc} holds every sum of 64 products in {exact.acc.width} bits, no more than {tight.chosen.acc} "
        f"has",
    )


# -- integers --------------------------------------------------------------------------------------------------------


def test_signed_8_by_8_of_4608():
    found = planned(4608, a="int8", b="int8", chunk=64)
    assert (found.chosen.method, str(found.chosen.acc), found.warnings) == ("exact", "int28", ())
    assert found.chosen.reason == "holds every sum of 4608 products"
    assert found.spec().chunk == 64
    assert [item.method for item in found.answers] == ["exact"]


@pytest.mark.parametrize(
    ("a", "b", "length", "acc"),
    [("int8", "int8", 576, "int25"), ("int4", "int4", 576, "int17"), ("uint4", "uint4", 100, "uint15")],
)
def test_other_integers(a, b, length, acc):
    assert str(planned(length, a=a, b=b).chosen.acc) == acc


def test_known_weights_decide():
    found = planning.plan(INTEGERS, Sum(length=4608, weight_l1=20000))
    assert (found.chosen.method, str(found.chosen.acc)) == ("weights", "int24")
    assert found.chosen.reason == "holds every sum of weights with sum |w| = 20000"
    assert 20000 * 255 < 1 << 23
    assert found.answer("exact", None).acc == FixedFormat(29)


@pytest.mark.parametrize(
    ("a", "weight_range", "width"),
    [
        ("uint8", (10000, 10000), 23),  # -2.55 to 2.55 million
        ("uint8", (0, 20000), 24),
        ("uint8", (20000, 0), 24),
        ("uint8", (20000, 20000), 24),  # of different outputs
        ("int8", (12000, 16000), 23),  # no more than 20000 * 128
        ("int8", (12000, 8000), 23),
    ],
)
def test_signs_of_known_weights_decide(a, weight_range, width):
    found = planning.plan(Goal(a=a, b="int8"), Sum(length=4608, weight_l1=20000, weight_range=weight_range))
    assert (found.chosen.method, found.chosen.acc) == ("weights", FixedFormat(width))
    assert found.chosen.reason == "holds every sum of weights with sum |w| = 20000"


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=40), st.sampled_from(["uint8", "int8", "uint1", "int2"]))
def test_one_output_is_held_exactly(weights, a):
    negative, positive = -sum(w for w in weights if w < 0), sum(w for w in weights if w > 0)
    dot = Sum(length=len(weights), weight_l1=negative + positive, weight_range=(negative, positive))
    answer = planning.plan(Goal(a=a, b="int8"), dot).answer("weights", None)
    exact = bounds.exact_bits_of_weights(weights, parse_format(a))
    assert answer.acc.width == exact or answer.reason == "holds every product"


@pytest.mark.parametrize(
    ("a", "b", "reach", "warned"),
    [
        ("int8", "int8", ((-128, 127), (-5, 127)), None),
        ("int8", "int4", ((-128, 127), (-5, 127)), "from -5 to 127, beyond b int4, which holds -8 to 7"),
        ("int8", "uint8", ((-128, 127), (-5, 5)), "from -5 to 5, beyond b uint8, which holds 0 to 255"),
        ("uint8", "int8", ((-1, 1), None), "from -1 to 1, beyond a uint8, which holds 0 to 255"),
        ("int8", "int8", ((-127, 128), None), "from -127 to 128, beyond a int8, which holds -128 to 127"),
        ("fix4.4", "int8", ((-9, 7), None), "from -9 to 7, beyond a fix4.4, which holds -8 to 7.9375"),
    ],
)
def test_operands_beyond_their_format_warn(a, b, reach, warned):
    """Then nothing is known of weights as the array is given them, and only the format's own bound is left."""
    found = planning.plan(Goal(a=a, b=b), Sum(length=64, weight_l1=500, weight_range=(0, 500), reach=reach))
    expected = () if warned is None else (f"operands reach {warned}: the plan is for operands that fit",)
    assert found.warnings == expected
    assert (found.answer("weights", None) is None) is (warned is not None and f"beyond b {b}" in warned)


def test_negative_weights_are_not_unsigned():
    found = planning.plan(Goal(a="uint8", b="uint8"), Sum(length=64, weight_l1=9, weight_range=(4, 5)))
    assert (found.chosen.method, str(found.chosen.acc)) == ("exact", "uint22")  # 64 * 255 * 255 < 2^22
    assert found.warnings == (
        "weights are negative, beyond b uint8, which holds 0 to 255: the plan is for operands that fit",
    )


@given(st.lists(st.integers(0, 255), min_size=1, max_size=40), st.sampled_from(["uint8", "uint1", "int8", "int2"]))
def test_one_output_of_unsigned_weights_is_held_exactly(weights, a):
    """The least format, unsigned where no sum is negative, that holds all sums and every product."""
    dot = Sum(length=len(weights), weight_l1=sum(weights), weight_range=(0, sum(weights)))
    acc = planning.plan(Goal(a=a, b="uint8"), dot).answer("weights", None).acc
    low, high = (sum(weights) * x for x in bounds.operand_range(parse_format(a)))
    products = [x * 255 for x in bounds.operand_range(parse_format(a))]
    ends = min(low, products[0], 0), max(high, products[1])
    widths = range(1, 40)
    held = [width for width in widths if acc.signed and -(1 << (width - 1)) <= ends[0] and ends[1] < 1 << (width - 1)]
    held += [width for width in widths if not acc.signed and ends[1] < 1 << width]
    assert acc == FixedFormat(held[0], signed=a.startswith("int"))


def test_chunks_are_justified_by_the_roundings_noise():
    assert planned(4608, chunk="auto").chunk_reason.endswith("= 136 least; the noise grows with it")
    assert planned(4608, chunk="auto", rounding="rtz").chunk_reason.endswith("noise grows with nearly its square")


def test_exact_sums_of_digits_beyond_the_point():
    """100 products of up to 2^11 x 2^11 = 2^22 in units of 2^8: 100 x 2^14 < 2^21, and the sign."""
    assert str(planned(100, a="fix12.-4", b="fix12.-4").chosen.acc) == "fix30.-8"


@pytest.mark.parametrize(("length", "acc"), [(1024, "int25"), (9, "int19"), (8, "int18")])
def test_exact_sums_of_narrow_operands(length, acc):
    """1024 x 128 x 127 < 2^24, 9 x 128 x 127 < 2^18, 8 x 128 x 127 < 2^17; and that accumulator is accepted."""
    found = planned(length, a="int8", b="int8narrow")
    assert str(found.spec().acc) == str(found.chosen.acc) == acc


def test_operands_whose_products_no_fixed_point_format_holds_are_refused():
    with pytest.raises(MacgenError, match=r"^sums of 3 products of a fix-200.208 .* reach from 2\^-416 to "):
        planned(3, a="fix-200.208", b="fix-200.208")


@given(
    st.integers(1, 16), st.integers(2, 16), st.booleans(), st.integers(0, 8), st.integers(1, 1 << 16), st.integers(0)
)
def test_weights_are_held_and_never_wider_than_exact(width, weight_width, signed, frac_bits, length, l1):
    a = FixedFormat(width - min(width - signed, frac_bits), min(width - signed, frac_bits), signed)
    b = FixedFormat(1, weight_width - 1)
    l1 %= length * (1 << (weight_width - 1)) + 1
    found = planned(length, a=a, b=b, weight_l1=l1)
    acc = found.spec().acc
    exact = found.answer("exact", None).acc
    assert acc.width <= exact.width
    assert acc.frac_bits == exact.frac_bits == a.frac_bits + b.frac_bits
    reach = l1 * max(map(abs, bounds.operand_range(a)))
    assert found.chosen.method == "exact" or acc.min_integer <= -reach <= reach <= acc.max_integer


def test_few_weights_still_hold_a_product():
    """The spec takes no accumulator that a single product overflows."""
    found = planned(9, a="int8", b="int8", weight_l1=3)
    assert (found.chosen.method, str(found.chosen.acc), found.chosen.reason) == (
        "weights",
        "int16",
        "holds every product",
    )
    assert found.spec().acc == FixedFormat(16)


def test_a_float_operand_is_planned_by_noise():
    found = planned(4608, a="int8", b="e4m3", weight_l1=5)
    assert found.chosen.method == "noise"
    assert found.answer("weights", None) is None
    assert found.goal.product_man_bits == 7 + 4 - 1


# -- chunks and sparsity ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "chunk"), [(1, 1), (27, 4), (576, 32), (4608, 64), (3211264, 2048), (1 << 40, 1 << 20)]
)
def test_auto_chunk_is_near_the_root(length, chunk):
    found = planned(length, chunk="auto")
    assert found.chunk == found.chosen.chunk == found.spec().chunk == chunk


def test_one_chunk_is_none():
    assert planned(27, chunk=64).answer("vrr", 64).acc == planned(27).answer("vrr", None).acc
    assert planned(27, chunk=64).answer("noise", 64).acc == planned(27).answer("noise", None).acc


@pytest.mark.parametrize("chunk", [None, 16, 64, 256])
def test_zeros_make_no_noise(chunk):
    """Zeros shorten the chunks and not their number; the accumulator shows it."""
    n, nzr = 4096, 0.25
    length, short = nonzero(n, chunk, nzr)
    planned_noise = nsr.estimate(length, 6, "rne", short).nsr
    goal = Goal(a="e6m5", b="e6m5", chunk=chunk)
    samples = monte_carlo._samples(goal, Sum(length=n, nzr=nzr))
    spec = planning.plan(goal, Sum(length=n)).spec()
    found = simulate(type(spec)(a="e6m5", b="e6m5", acc="e8m6", chunk=chunk), n, trials=500, samples=samples)
    assert found.nsr.value == pytest.approx(planned_noise, rel=0.3)  # 20 % of it for products of two normals


@given(st.integers(1, 1 << 40), st.floats(1e-9, 1.0), st.none() | st.integers(1, 1 << 20))
def test_without_zeros_nothing_changes(length, nzr, chunk):
    inner = None if chunk is None or chunk >= length else chunk
    assert nonzero(length, chunk, 1.0) == (length, inner)
    short, short_chunk = nonzero(length, chunk, nzr)
    assert 1 <= short <= length
    if inner is not None:
        assert math.ceil(short / short_chunk) == math.ceil(length / inner)


# -- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"a": "e5"}, "a: format 'e5' is not a float format; "),
        ({"b": 3}, "b: format 3 is not a string; accepted are strings such as e5m2, fp16, int8 or fix8.8"),
        ({"a": "fp64"}, "a e11m52 has 64 bits; accepted are operands of up to 32"),
        ({"chunk": 0}, "chunk 0 is not an integer from 1 to 1048576"),
        ({"chunk": "some"}, "chunk 'some' is not an integer from 1 to 1048576"),
        ({"chunk": True}, "chunk True is not an integer from 1 to 1048576"),
        (
            {"rounding": "nearest"},
            "rounding 'nearest' is not one of rne, rtz, floor, odd, drop, stochastic:r[:nearest] with r from 1 to 32",
        ),
        (
            {"rounding": []},
            "rounding [] is not one of rne, rtz, floor, odd, drop, stochastic:r[:nearest] with r from 1 to 32",
        ),
        (
            {"rounding": "odd"},
            "rounding 'odd' has no closed form of its noise; accepted are rne, rtz, floor, drop, stochastic:r",
        ),
        ({"nsr": 0.0}, "nsr 0.0 is not a number above 0 and at most 0.05"),
        ({"nsr": 0.06}, "nsr 0.06 is not a number above 0 and at most 0.05"),
        ({"nsr": float("nan")}, "nsr nan is not a number above 0 and at most 0.05"),
        ({"limit": 1}, "limit 1 is not a number above 1 and at most 1e+300"),
        ({"reading": "both"}, "reading 'both' is not one of per-level, total"),
        ({"reading": {}}, "reading {} is not one of per-level, total"),
        ({"overflow_probability": 0}, "overflow_probability 0 is not a number above 0 and at most 0.5"),
    ],
)
@pytest.mark.parametrize("operands", [{}, {"a": "int8", "b": "int8"}])
def test_wrong_goals(fields, sentence, operands):
    """Refused at once, also where the operands make the field idle."""
    with pytest.raises(MacgenError) as caught:
        Goal(**(operands | fields))
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"length": 0}, "length 0 is not an integer from 1 to 2^40"),
        ({"length": (1 << 40) + 1}, "length 1099511627777 is not an integer from 1 to 2^40"),
        ({"length": 4608.0}, "length 4608.0 is not an integer from 1 to 2^40"),
        ({"length": True}, "length True is not an integer from 1 to 2^40"),
        ({"length": [1]}, "length [1] is not an integer from 1 to 2^40"),
        ({"nzr": 0.0}, "nzr 0.0 is not a number above 0 and at most 1"),
        ({"nzr": 1.5}, "nzr 1.5 is not a number above 0 and at most 1"),
        ({"rms": -1.0}, "rms -1.0 is not a number above 0 and at most 1.79769e+308"),
        ({"rms": math.inf}, "rms inf is not a number above 0 and at most 1.79769e+308"),
        ({"weight_l1": -1}, "weight_l1 -1 is not an integer from 0"),
        ({"weight_l1": 1.0}, "weight_l1 1.0 is not an integer from 0"),
    ],
)
def test_wrong_sums(fields, sentence):
    planned(4608)  # an equal sum in the cache must not let 4608.0 through
    with pytest.raises(MacgenError) as caught:
        Sum(**({"length": 4608} | fields))
    assert str(caught.value) == sentence


def test_too_small_a_noise():
    with pytest.raises(MacgenError) as caught:
        planned(1 << 30, nsr=1e-25)
    assert str(caught.value) == (
        "nsr 1e-25 asks for more than 52 mantissa bits at length 1073741824; accepted are ratios from 1.2e-24"
    )


@settings(max_examples=150)
@given(
    formats(8, 10, 24) | formats(),
    formats(8, 10, 24),
    st.integers(0, 1 << 40),
    st.none() | st.just("auto") | st.integers(1, 1 << 20),
    st.sampled_from(["rne", "rtz", "drop"]),
    st.floats(0, 0.05),
    st.floats(0, 1),
    st.none() | st.floats(0),
    st.none() | st.integers(-1, 1 << 80),
)
def test_any_plan_is_a_spec_or_a_sentence(a, b, length, chunk, rounding, target, nzr, rms, weight_l1):
    try:
        found = planned(
            length, a=a, b=b, chunk=chunk, rounding=rounding, nsr=target, nzr=nzr, rms=rms, weight_l1=weight_l1
        )
    except MacgenError as error:
        assert "\n" not in str(error)
        return
    assert found.spec().acc == found.chosen.acc
