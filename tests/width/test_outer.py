import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macgen import golden
from macgen.catalogue import presets
from macgen.errors import MacgenError
from macgen.numerics import FloatFormat, parse_format
from macgen.spec import MacSpec
from macgen.width.goal import Goal, Sum
from macgen.width.outer import judge
from macgen.width.planning import plan

INT8 = {"a": "int8", "b": "int8", "acc": "int22", "chunk": 64}


@pytest.mark.parametrize(
    ("fields", "length", "holds", "sentence"),
    [
        # 4608 (-128) (-128) = 75 497 472 lies between 2^26 and 2^27.
        ({"outer": "int28"}, 4608, True, "outer int28 holds every sum of 4608 products"),
        ({"outer": "int27"}, 4608, False, "outer int27 does not hold every sum of 4608 products: it takes int28"),
        # 64 of them are 2^20 exactly, 63 are less.
        ({"outer": "int21", "acc": "int21", "chunk": 63}, 63, True, "outer int21 holds every sum of 63 products"),
        ({"outer": "int21"}, 64, False, "outer int21 does not hold every sum of 64 products: it takes int22"),
        # A float with 24 significant bits has all integers up to 2^24, which are 1024 times 2^14.
        ({"outer": "fp32"}, 1024, True, "outer e8m23 holds every sum of 1024 products"),
        (
            {"outer": "fp32"},
            1025,
            False,
            "outer e8m23 reaches every sum of 1025 products, but lacks numbers between them; it takes int26",
        ),
        # 65 504 is the largest number of binary16; three products are 49 152, four 65 536.
        ({"outer": "fp16", "chunk": 2}, 4, False, "outer e5m10 does not hold every sum of 4 products: it takes int18"),
        (
            {"outer": "fp16", "chunk": 2},
            3,
            False,
            "outer e5m10 reaches every sum of 3 products, but lacks numbers between them; it takes int17",
        ),
        # Unsigned: 255 * 15 * 4608 = 17 625 600 lies above 2^24.
        (
            {"a": "uint8", "b": "uint4", "acc": "uint18", "outer": "uint24"},
            4608,
            False,
            "outer uint24 does not hold every sum of 4608 products: it takes uint25",
        ),
        # Fixed point: products are multiples of 2^-8, from -8 (8 - 1/16) up to 64.
        (
            {"a": "fix4.4", "b": "fix4.4", "acc": "fix9.8", "chunk": 2, "outer": "fix9.8"},
            4,
            False,
            "outer fix9.8 does not hold every sum of 4 products: it takes fix10.8",
        ),
        (
            {"a": "fix4.4", "b": "fix4.4", "acc": "fix9.8", "chunk": 2, "outer": "fix10.7"},
            4,
            False,
            "outer fix10.7 reaches every sum of 4 products, but lacks numbers between them; it takes fix10.8",
        ),
        # Products that are rounded to int10 reach -512, eight of them -2^12.
        (
            {"product": "int10", "acc": "int12", "chunk": 2, "outer": "int13"},
            8,
            True,
            "outer int13 holds every sum of 8 products",
        ),
        (
            {"product": "int10", "acc": "int12", "chunk": 2, "outer": "int13"},
            9,
            False,
            "outer int13 does not hold every sum of 9 products: it takes int14",
        ),
        # Chunk sums that saturate at -2^15.
        ({"acc": "int16", "chunk": 64, "outer": "int17"}, 128, True, "outer int17 holds every sum of 128 products"),
        ({"acc": "int16", "chunk": 64, "outer": "int17"}, 129, False, "outer int17 does not hold every sum of 129"),
        # Whole sums go to the outer accumulator at once.
        ({"chunk": None, "outer": "int22"}, 64, True, "outer int22 holds every sum of 64 products"),
        # Floats that are summed exactly, to the last bit: 448^2 = 200 704 = 49 * 2^12.
        (
            {"a": "e4m3fn", "b": "e4m3fn", "acc": "fix31.18", "outer": "fp32"},
            64,
            False,
            "outer e8m23 reaches every sum of 64 products, but lacks numbers between them; it takes fix25.18",
        ),
    ],
)
def test_what_is_decidable(fields, length, holds, sentence):
    verdict = judge(MacSpec(**{**INT8, **fields}), Sum(length=length))
    assert verdict.holds is holds
    assert verdict.reason.startswith(sentence)


@pytest.mark.parametrize(
    "fields",
    [
        {"acc": "e6m9", "outer": "fp32"},
        {"outer": "fp32", "scale": "e8m0fnu"},
        {"a": "fix4.4", "b": "fix4.4", "acc": "fix9.4", "outer": "fix16.4"},  # chunk sums are rounded
        {"acc": "int16", "outer": "int32", "overflow": "wrap"},  # chunk sums wrap
    ],
)
def test_what_is_not(fields):
    verdict = judge(MacSpec(**{**INT8, **fields}), Sum(length=4608))
    assert verdict.holds is None
    outer = parse_format(fields["outer"])
    assert verdict.reason == (
        f"the width is that of the inner accumulator, and nothing says whether outer {outer} is wide enough"
    )


def test_without_an_outer_accumulator_there_is_no_verdict():
    assert judge(presets["default"], Sum(length=4608)) is None


SMALL = st.sampled_from(["int2", "uint2", "fix1.1", "ufix1.1", "e2m1finite"])
OUTER = ["int3", "int4", "int5", "fix4.1", "fix5.2", "fix6.4", "uint4", "e3m1finite", "e3m2finite", "e4m3fn", "e3m4"]


@settings(deadline=None, max_examples=60)
@given(
    SMALL,
    SMALL,
    st.sampled_from(["int4", "fix4.2", "fix6.4", "uint4", "ufix4.2", "fix7.2"]),
    st.sampled_from(OUTER),
    st.sampled_from([None, 1, 2]),
    st.integers(1, 4),
    st.sampled_from(["saturate", "wrap"]),
)
def test_a_verdict_is_what_all_operands_show(a, b, acc, outer, chunk, length, overflow):
    """The golden model on the operands at their ends, next to the exact sums of its own chunk sums."""
    try:
        spec = MacSpec(a=a, b=b, acc=acc, outer=outer, chunk=chunk, overflow=overflow)
    except MacgenError:
        return
    verdict = judge(spec, Sum(length=length))
    if verdict.holds is None:
        return
    ends = [[fmt.largest_code(1), fmt.largest_code(0), _smallest(fmt)] for fmt in (spec.a, spec.b)]
    exact = spec.replace(outer="fix30.10")
    pairs = list(itertools.product(*ends))
    lost = False
    for operands in itertools.combinations_with_replacement(pairs, length):
        a_codes, b_codes = zip(*operands, strict=True)
        code, _ = golden.dot(spec, a_codes, b_codes)
        wanted, _ = golden.dot(exact, a_codes, b_codes)
        value, total = (fmt.number(x).to_fraction() for fmt, x in ((spec.outer, code), (exact.outer, wanted)))
        lost |= value != total
    assert not (verdict.holds and lost)
    # What does not hold every sum loses one of those at the ends, unless a float has these and not those between.
    assert verdict.holds or lost or isinstance(spec.outer, FloatFormat)


def _smallest(fmt):
    return min(range(1 << fmt.width), key=lambda code: abs(fmt.number(code).to_fraction() or 10**6))


# -- in plans --------------------------------------------------------------------------------------------------------


def test_a_plan_with_an_outer_accumulator_is_for_a_chunk():
    planned = plan(Goal(a="int8", b="int8", chunk=64, outer="int28"), Sum(length=4608))
    assert (str(planned.chosen.acc), planned.summed.length, planned.warnings) == ("int22", 64, ())
    assert planned.outer.holds
    assert planned.spec() == MacSpec(a="int8", b="int8", acc="int22", chunk=64, outer="int28")
    narrow = plan(Goal(a="int8", b="int8", chunk=64, outer="int27"), Sum(length=4608))
    assert narrow.warnings == ("outer int27 does not hold every sum of 4608 products: it takes int28",)


def test_an_automatic_chunk_and_a_short_sum():
    planned = plan(Goal(a="int8", b="int8", chunk="auto", outer="int28"), Sum(length=4608))
    assert (planned.chunk, str(planned.chosen.acc)) == (64, "int22")
    assert plan(Goal(a="int8", b="int8", chunk=64, outer="int28"), Sum(length=9)).summed.length == 9


def test_float_accumulators_are_planned_for_a_chunk_and_nothing_is_said_of_the_outer_one():
    planned = plan(Goal(chunk=64, outer="fp32"), Sum(length=4608))
    assert planned.chosen.acc == plan(Goal(), Sum(length=64)).chosen.acc
    assert planned.warnings[-1].endswith("nothing says whether outer e8m23 is wide enough")


def test_known_weights_bound_the_whole_sum():
    # Weights that add up to 1000 in magnitude, 600 positive and 400 negative: sums from -127 400 - 128 600 to
    # 127 600 + 128 400, whatever the length.
    known = Sum(length=4608, weight_l1=1000, weight_range=(400, 600))
    planned = plan(Goal(a="int8", b="int8", chunk=64, outer="int18"), known)
    assert planned.outer.holds
    assert planned.outer.reason == "outer int18 holds every sum of 4608 products with these weights"
    narrow = plan(Goal(a="int8", b="int8", chunk=64, outer="int17"), known)
    assert narrow.warnings == (
        "outer int17 does not hold every sum of 4608 products with these weights: it takes int18",
    )


@pytest.mark.parametrize(
    ("b", "reach"),
    [("int8", (-400, 600)), ("uint8", (0, 600)), ("uint8", None)],
)
def test_weights_that_do_not_fit_their_format_bound_nothing(b, reach):
    """With `uint8` and no reach known, the sum of the negative ones says that they do not fit."""
    known = Sum(length=4608, weight_l1=1000, weight_range=(400, 600), reach=(None, reach))
    planned = plan(Goal(a="int8", b=b, chunk=64, outer="int32"), known)
    assert planned.outer == judge(planned.spec(), Sum(length=4608))
    assert planned.outer.reason == "outer int32 holds every sum of 4608 products"


def test_an_accumulator_that_holds_only_these_weights_is_still_exact():
    """int17 takes 4 products of any weights, but all sums of 200 with these; nothing saturates or wraps."""
    dot = Sum(length=4608, weight_l1=400, weight_range=(200, 200))
    planned = plan(Goal(a="int8", b="int8", chunk=64, outer="int17"), dot)
    assert (planned.chosen.method, str(planned.chosen.acc)) == ("weights", "int17")
    assert planned.outer.holds
    wraps = planned.spec().replace(overflow="wrap")
    assert judge(wraps, Sum(length=4608)).holds is None
    assert judge(wraps, dot).holds
    assert not judge(wraps.replace(outer="int16"), dot).holds


def test_what_is_known_of_exact_products_says_nothing_of_rounded_ones():
    spec = MacSpec(**{**INT8, "product": "int10", "acc": "int20", "outer": "int20"})
    assert judge(spec, Sum(length=4608, weight_l1=1, weight_range=(1, 1))) == judge(spec, Sum(length=4608))


@pytest.mark.parametrize(("length", "bits"), [(1, 16), (4, 18), (4608, 28)])
def test_the_bits_that_hold_every_sum(length, bits):
    assert {judge(MacSpec(**INT8, outer=outer), Sum(length=length)).bits for outer in ("int16", "int40", "fp32")} == {
        bits
    }


def test_an_outer_accumulator_that_does_not_go_with_the_plan_is_refused():
    with pytest.raises(MacgenError, match=r"^outer uint28 is unsigned, but what is rounded to it is signed"):
        plan(Goal(a="int8", b="int8", chunk=64, outer="uint28"), Sum(length=4608))
    with pytest.raises(MacgenError, match=r"^outer: format 'wide' is unknown"):
        Goal(outer="wide")
