import dataclasses
import inspect
import itertools
import json
import pickle
import pydoc
import re
import typing
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen import golden
from macgen.errors import MacgenError
from macgen.numerics import FixedFormat, FloatFormat, Rounding, ScaleFormat, parse_format
from macgen.spec import MacSpec
from macgen.spec_modes import Mode
from tests.strategies import formats, specs

GOOD = {"a": "e5m2", "b": "e5m2", "acc": "e6m5"}
FIXED = {"a": "int8", "b": "int8", "acc": "int32"}
EXTENDED = {
    "product": "e5m4",
    "scale": "e8m0fnu",
    "chunk": 12,
    "outer": "e8m23",
    "out": "e8m7",
    "rounding": "rtz",
    "outer_rounding": "rne",
    "lanes": 4,
    "lane_sum": "aligned:7",
}
"""Every newer field but interleave, none with its default."""


def refuses(message, base=GOOD, **fields):
    with pytest.raises(MacgenError) as caught:
        MacSpec(**(base | fields))
    assert str(caught.value) == message


# -- construction ------------------------------------------------------------------------------------------------


def test_defaults():
    spec = MacSpec(**GOOD)
    assert (spec.a, spec.acc) == (FloatFormat(5, 2), FloatFormat(6, 5))
    assert (spec.chunk, spec.rounding, spec.overflow) == (None, "rne", "saturate")
    assert (spec.rows, spec.cols, spec.pipeline, spec.fold) == (4, 4, 1, "bubble")
    assert (spec.product, spec.scale, spec.outer, spec.out, spec.outer_rounding) == (None,) * 5
    assert (spec.lanes, spec.lane_sum, spec.interleave) == (1, "fused", 1)


def test_formats_and_their_strings_are_the_same():
    fmt = FloatFormat(6, 5)
    assert MacSpec(a="e5m2", b=FloatFormat(5, 2), acc=fmt) == MacSpec(**GOOD)
    assert MacSpec(**GOOD).acc == fmt


@pytest.mark.parametrize("field", ["a", "b", "acc"])
def test_missing_format(field):
    with pytest.raises(TypeError, match=f"missing 1 required keyword-only argument: '{field}'"):
        MacSpec(**{name: value for name, value in GOOD.items() if name != field})


@pytest.mark.parametrize("field", ["a", "b", "acc"])
def test_init_wrong_format(field):
    refuses(
        f"{field}: format 'fp8' is unknown; accepted are floats such as e5m2, e4m3fn, e6m9:flush, fp16, bf16, fp32, "
        f"fp64, and integers or fixed point such as int8, uint4, fix8.8",
        **{field: "fp8"},
    )


@pytest.mark.parametrize("field", ["a", "b", "acc"])
@pytest.mark.parametrize("value", [None, 5, True, ["e5m2"], {"exp_bits": 5}])
def test_init_wrong_format_type(field, value):
    refuses(
        f"{field}: format {value!r} is not a string; accepted are strings such as e5m2, fp16, int8 or fix8.8",
        **{field: value},
    )


@pytest.mark.parametrize("field", ["a", "b"])
def test_init_wrong_operand_width(field):
    refuses(f"{field} e11m52 has 64 bits; accepted are operands of up to 32", acc="fp64", **{field: "fp64"})
    refuses(f"{field} int33 has 33 bits; accepted are operands of up to 32", FIXED, acc="int80", **{field: "int33"})


WRONG_INTEGERS = [0, -1, 1.0, 4.5, "4", None, True, [4], float("nan"), float("inf")]


@pytest.mark.parametrize("field", ["rows", "cols"])
@pytest.mark.parametrize("value", [*WRONG_INTEGERS, 257, 2**70])
def test_init_wrong_rows_cols(field, value):
    refuses(f"{field} {value!r} is not an integer from 1 to 256", **{field: value})


@pytest.mark.parametrize("value", [*WRONG_INTEGERS, 4])
def test_init_wrong_pipeline(value):
    refuses(f"pipeline {value!r} is not an integer from 1 to 3", pipeline=value)


@pytest.mark.parametrize("value", [*(value for value in WRONG_INTEGERS if value is not None), 2**20 + 1])
def test_init_wrong_chunk(value):
    refuses(f"chunk {value!r} is not an integer from 1 to 1048576 or none", chunk=value)


@pytest.mark.parametrize(
    "field",
    [
        *("rows", "cols", "pipeline", "chunk", "rounding", "acc", "product", "scale", "outer", "out"),
        *("outer_rounding", "lanes", "lane_sum", "interleave", "counters"),
    ],
)
@pytest.mark.parametrize("value", [10**10_000, -(10**10_000), "e" * 10**6], ids=["large", "low", "long"])
def test_init_enormous_values_are_refused_in_a_short_sentence(field, value):
    with pytest.raises(MacgenError) as caught:
        MacSpec(**(GOOD | {field: value}))
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["RNE", "nearest", None, 0, ["rne"]])
def test_init_wrong_rounding(value):
    refuses(
        f"rounding {value!r} is not one of rne, rtz, floor, odd, drop, stochastic:r[:nearest] with r from 1 to 32",
        rounding=value,
    )


@pytest.mark.parametrize("value", ["clamp", None, True])
def test_init_wrong_overflow(value):
    refuses(f"overflow {value!r} is not one of saturate, infinity, to-infinity, nan, wrap", overflow=value)


def test_init_wrong_overflow_for_acc():
    refuses("overflow 'wrap' does not go with acc e6m5; accepted is saturate, infinity or to-infinity", overflow="wrap")
    for overflow in ("infinity", "wrap"):
        refuses(
            f"overflow '{overflow}' does not go with acc e6m5fn; accepted is saturate or nan",
            acc="e6m5fn",
            overflow=overflow,
        )
    refuses("overflow 'nan' does not go with acc e6m5; accepted is saturate, infinity or to-infinity", overflow="nan")
    refuses("overflow 'nan' does not go with acc e6m5finite; accepted is saturate", acc="e6m5finite", overflow="nan")
    for overflow in ("infinity", "nan"):
        refuses(
            f"overflow '{overflow}' does not go with acc int32; accepted is saturate or wrap", FIXED, overflow=overflow
        )


@pytest.mark.parametrize("acc", ["e5m3fn", "e5m3fnuz"])
def test_where_nan_is_unknown_overflow_saturates(acc):
    spec = MacSpec(a="e4m3fn", b="e4m3fn", acc=acc, overflow="nan")
    assert spec.overflow_into(spec.acc) == "nan"
    for other in ("e5m2", "e5m2finite", "fix8.8"):
        assert spec.overflow_into(parse_format(other)) == "saturate"


@pytest.mark.parametrize("value", ["stall", None, 1])
def test_init_wrong_fold(value):
    refuses(f"fold {value!r} is not one of bubble, overlap", fold=value)


def test_init_wrong_acc_exponent():
    refuses(
        "acc e4m3 is too narrow: its largest exponent is 7, but products of a e5m2 reach beyond 15; accepted is an acc "
        "that reaches as far as the operands",
        acc="e4m3",
    )
    refuses(
        "acc e4m9 is too narrow: its largest exponent is 7, but products of b e5m2 reach beyond 15; accepted is an acc "
        "that reaches as far as the operands",
        a="e4m3",
        acc="e4m9",
    )


def test_init_wrong_acc_sign():
    refuses("acc uint32 is unsigned, but a int8 or b int8 is signed; accepted is a signed acc", FIXED, acc="uint32")
    refuses(
        "acc uint32 is unsigned, but a e5m2 or b uint8 is signed; accepted is a signed acc", b="uint8", acc="uint32"
    )


@pytest.mark.parametrize(
    ("a", "b", "acc", "end", "bits"),
    [
        ("int8", "int8", "int15", "16383", 16),
        ("int8", "uint8", "int15", "16383", 16),
        ("uint8", "uint8", "uint15", "32767", 16),
        ("fix4.4", "fix4.4", "fix6.8", "31.9961", 8),
        ("fix4.4", "fix4.4", "fix7.8", "63.9961", 8),
        ("e2m1finite", "e2m1finite", "fix6.2", "31.75", 7),
        ("int1", "int1", "int1", "0", 2),
    ],
)
def test_init_wrong_acc_width(a, b, acc, end, bits):
    refuses(
        f"acc {acc} is too narrow: it ends at {end}, but products of a {a} and b {b} reach beyond; accepted are at "
        f"least {bits} bits before the point",
        a=a,
        b=b,
        acc=acc,
    )
    accepted = parse_format(acc)
    assert MacSpec(a=a, b=b, acc=dataclasses.replace(accepted, int_bits=bits)).acc.int_bits == bits


def test_accumulators_of_narrow_operands():
    """128 x 127 = 16256 needs 15 bits, 128 x 128 a bit more; a narrow one of 2^7 and more needs a bit more, too."""
    MacSpec(a="int8", b="int8narrow", acc="int15")
    refuses(
        "acc int15 is too narrow: it ends at 16383, but products of a int8 and b int8 reach beyond; accepted are at "
        "least 16 bits before the point",
        a="int8",
        b="int8",
        acc="int15",
    )
    MacSpec(a="int8", b="uint1", acc="int8")
    refuses(
        "acc int8narrow is too narrow: it ends at 127, but products of a int8 and b uint1 reach beyond; accepted are "
        "at least 9 bits before the point",
        a="int8",
        b="uint1",
        acc="int8narrow",
    )
    MacSpec(a="int8", b="uint1", acc="int9narrow")
    assert list(map(str, MacSpec(a="int8", b="fix2.6narrow", acc="fp32").port_formats)) == ["int8", "fix2.6"]


def test_narrow_formats_do_not_wrap():
    refuses(
        "overflow 'wrap' does not go with acc int32narrow; accepted is saturate",
        FIXED,
        acc="int32narrow",
        overflow="wrap",
    )
    spec = MacSpec(**FIXED, out="int8narrow", overflow="wrap")
    assert [spec.overflow_into(fmt) for fmt in (spec.acc, spec.out)] == ["wrap", "saturate"]


@given(formats(5, 4, 16), formats(5, 4, 16), st.integers(1, 80), st.integers(0, 8))
def test_a_fixed_acc_is_accepted_exactly_if_it_holds_the_largest_product(a, b, int_bits, frac_bits):
    acc = FixedFormat(int_bits, frac_bits)
    ends = [[fmt.number(fmt.largest_code(sign)).to_fraction() for sign in (0, 1)] for fmt in (a, b)]
    products = [x * y * Fraction(2) ** frac_bits for x in ends[0] for y in ends[1]]
    holds = acc.min_integer <= min(products) and max(products) <= acc.max_integer
    if holds:
        MacSpec(a=a, b=b, acc=acc)
    else:
        with pytest.raises(MacgenError, match=f"^acc {acc} is too narrow: "):
            MacSpec(a=a, b=b, acc=acc)


@given(formats(6, 4, 16), formats(6, 4, 16), st.integers(2, 8), st.integers(1, 8))
def test_a_float_acc_is_accepted_exactly_if_it_reaches_as_far_as_the_operands(a, b, exp_bits, man_bits):
    def reach(fmt):
        largest = max(abs(fmt.number(fmt.largest_code(sign)).to_fraction()) for sign in (0, 1))
        exponent = -1200
        while Fraction(2) ** (exponent + 1) <= largest:
            exponent += 1
        return exponent

    acc = FloatFormat(exp_bits, man_bits)
    if reach(acc) >= max(reach(a), reach(b)):
        MacSpec(a=a, b=b, acc=acc)
    else:
        with pytest.raises(MacgenError, match=f"^acc {acc} is too narrow: "):
            MacSpec(a=a, b=b, acc=acc)


# -- products, scales, lanes, outer accumulators, results --------------------------------------------------------


@pytest.mark.parametrize("field", ["product", "outer", "out"])
@pytest.mark.parametrize("value", ["none", 5, True, ["e5m2"]])
def test_init_wrong_optional_format(field, value):
    with pytest.raises(MacgenError, match=rf"^{field}: format .* is (unknown|not a string); accepted are "):
        MacSpec(**GOOD, **{field: value})


def test_exact_products_have_no_format():
    assert MacSpec(**GOOD, product="exact") == MacSpec(**GOOD, product=None) == MacSpec(**GOOD)
    with pytest.raises(MacgenError, match=r"^out: format 'exact' is not a float format; accepted are "):
        MacSpec(**GOOD, out="exact")


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ("e9m0fnu", "scale: exp_bits 9 is not an integer from 2 to 8 (scales)"),
        ("e1m0fnu", "scale: exp_bits 1 is not an integer from 2 to 8 (scales)"),
        ("e4m3fnu", "scale: format 'e4m3fnu' is not a scale; accepted are e2m0fnu to e8m0fnu"),
        ("e8m0", "scale 'e8m0' is no format; perhaps e8m0fnu, powers of two, is meant"),
        (
            "e8m24",
            "scale e8m24 is not accepted; accepted are powers of two such as e8m0fnu, and floats of up to 32 bits",
        ),
        ("int8", "scale int8 is not accepted; accepted are powers of two such as e8m0fnu, and floats of up to 32 bits"),
        (8, "scale: format 8 is not a string; accepted are strings such as e5m2, fp16, int8 or fix8.8"),
    ],
)
def test_init_wrong_scale(scale, message):
    refuses(message, scale=scale)


@pytest.mark.parametrize("name", ["e8m0fnu", "e2m0fnu", "e4m3fn", "e5m2", "e3m2finite", "e4m3fnuz"])
def test_scales_and_their_strings_are_the_same(name):
    fmt = ScaleFormat.parse(name) if name.endswith("fnu") else parse_format(name)
    spec = MacSpec(**GOOD, scale=name)
    assert spec == MacSpec(**GOOD, scale=fmt)
    assert spec.scale == fmt
    assert spec.to_dict()["scale"] == str(fmt) == name
    assert pickle.loads(pickle.dumps(spec)) == spec


@pytest.mark.parametrize("value", [*WRONG_INTEGERS, 65])
def test_init_wrong_lanes(value):
    refuses(f"lanes {value!r} is not an integer from 1 to 64", lanes=value)


@pytest.mark.parametrize("value", [*WRONG_INTEGERS, 5])
def test_init_wrong_interleave(value):
    refuses(f"interleave {value!r} is not an integer from 1 to 4", interleave=value)


def test_turns_go_with_chunks_lanes_and_results_of_another_format():
    spec = MacSpec(**GOOD, interleave=4, chunk=8, lanes=4, lane_sum="tree", product="e5m3", out="e5m2")
    assert (spec.interleave, spec.has_outer_adder) == (4, False)


@pytest.mark.parametrize(
    "value", ["Fused", "aligned", "aligned:", "aligned:0", "aligned:65", "aligned:07", "aligned:7 ", None, 7, {}]
)
def test_init_wrong_lane_sum(value):
    refuses(
        f"lane_sum {value!r} is not one of fused, tree, aligned:W with W from 1 to 64, exponents:F, exponents:F/G "
        f"or bulk:F with F from 1 to 64 and G from 2 to 64",
        lane_sum=value,
    )


def test_chunks_are_multiples_of_the_lanes():
    refuses("chunk 20 is not a multiple of lanes 8, as it has to be", chunk=20, lanes=8)
    assert MacSpec(**GOOD, chunk=24, lanes=8).chunk == 24
    assert MacSpec(**GOOD, lanes=7).lanes == 7


def test_trees_have_a_power_of_two_of_lanes():
    refuses("lanes 6 is not a power of two, as lane_sum 'tree' needs", lanes=6, lane_sum="tree")
    assert all(MacSpec(**GOOD, lanes=lanes, lane_sum="tree").lanes == lanes for lanes in (1, 2, 4, 8, 16, 32))


def test_aligned_sums_are_for_float_accumulators_and_not_for_drop():
    sentence = "accepted are float accumulators, and rne, rtz, floor, odd or stochastic:r"
    refuses(
        f"lane_sum 'aligned:7' does not go with acc int32 and rounding 'rne'; {sentence}", FIXED, lane_sum="aligned:7"
    )
    refuses(
        f"lane_sum 'aligned:64' does not go with acc e6m5 and rounding 'drop'; {sentence}",
        lane_sum="aligned:64",
        rounding="drop",
    )
    assert MacSpec(**GOOD, lane_sum="aligned:64").aligned_bits == 64
    assert MacSpec(**GOOD).aligned_bits is None


BY_EXPONENTS = {"lane_sum": "exponents:25", "lanes": 32}
OF_LANES = BY_EXPONENTS | {"scale": "e8m0fnu", "scale_place": "lanes"}


def test_sums_by_exponents_are_of_exact_products_of_floats():
    spec = MacSpec(**GOOD, **BY_EXPONENTS)
    assert (spec.exponent_bits, spec.aligned_bits, spec.lane_sum.group) == (25, None, 1)
    assert MacSpec(**GOOD).exponent_bits is None
    start = "lane_sum 'exponents:25' does not go with"
    refuses(
        f"{start} acc int32 and rounding 'rne'; accepted are float accumulators, and rne, rtz, floor, odd or "
        f"stochastic:r",
        FIXED,
        **BY_EXPONENTS,
    )
    refuses(
        f"{start} acc e6m5 and rounding 'drop'; accepted are float accumulators, and rne, rtz, floor, odd or "
        f"stochastic:r",
        **BY_EXPONENTS,
        rounding="drop",
    )
    for field in "ab":
        refuses(
            f"{start} {field} int8, which has no exponents; accepted are float operands", **BY_EXPONENTS,
            base=GOOD | {field: "int8"},
        )  # fmt: skip
    refuses(
        f"{start} product e5m4, as it aligns by the operands' exponents; accepted are exact products",
        **BY_EXPONENTS,
        product="e5m4",
    )


def test_bulk_normalisation_is_of_exact_products_of_floats_and_rounds_twice():
    bulk = {"lane_sum": "bulk:25", "lanes": 4}
    spec = MacSpec(**GOOD, **bulk, rounding="odd")
    assert (spec.bulk_bits, spec.exponent_bits, spec.aligned_bits) == (25, None, None)
    assert (spec.aligns, spec.rounds_lanes, MacSpec(**GOOD, lane_sum="tree").rounds_lanes) == (True, True, False)
    assert MacSpec(**GOOD, lane_sum="bulk:64").rounds_lanes
    accepted = "accepted are float accumulators, and rne, rtz, floor or odd"
    for rounding in ("drop", "stochastic:4"):
        refuses(f"lane_sum 'bulk:25' does not go with acc e6m5 and rounding {rounding!r}; {accepted}", **bulk,
                rounding=rounding)  # fmt: skip
    refuses(f"lane_sum 'bulk:25' does not go with acc int32 and rounding 'rne'; {accepted}", FIXED, **bulk)
    refuses(
        "lane_sum 'bulk:25' does not go with b int8, which has no exponents; accepted are float operands",
        GOOD | {"b": "int8"},
        **bulk,
    )
    refuses(
        "lane_sum 'bulk:25' does not go with product e5m4, as it aligns by the operands' exponents; accepted are exact "
        "products",
        **bulk,
        product="e5m4",
    )


def test_scales_of_lanes():
    spec = MacSpec(**GOOD, **OF_LANES)
    assert (spec.block, spec.scales_lanes, spec.scales_chunks, spec.has_outer_adder) == (32, True, False, False)
    assert [spec.scale_count(length) for length in (1, 32, 33)] == [1, 1, 2]
    spec = spec.replace(scale_block=16)
    assert (spec.block, [spec.scale_count(length) for length in (1, 32, 33)]) == (16, [1, 2, 3])
    usual = MacSpec(**GOOD, scale="e8m0fnu", chunk=8)
    assert (usual.block, usual.scales_lanes, usual.scales_chunks, usual.has_outer_adder) == (None, False, True, True)
    assert [usual.scale_count(length) for length in (1, 8, 9)] == [1, 1, 2]
    assert MacSpec(**GOOD).scale_count(100) == 0
    refuses("scale_place 'chunk' is not one of outer, lanes", scale_place="chunk")
    refuses(
        "scale_place 'lanes' does not go with scale none; accepted is it with a format of scales",
        **(OF_LANES | {"scale": None}),
    )
    for lane_sum in ("fused", "tree", "aligned:25", "bulk:25"):
        refuses(
            f"scale_place 'lanes' does not go with lane_sum '{lane_sum}'; accepted are exponents:F and exponents:F/G",
            **(OF_LANES | {"lane_sum": lane_sum, "lanes": 2}),
        )
    refuses(
        "scale_block 16 does not go with scale_place 'outer'; accepted is it with 'lanes'",
        scale_block=16,
        scale="e8m0fnu",
    )
    refuses(
        "scale_block 24 does not divide lanes 32; accepted are divisors of lanes up to 64", **OF_LANES, scale_block=24
    )
    for value in (0, 65, 1.5, "16"):
        refuses(f"scale_block {value!r} is not an integer from 1 to 64 or none", **OF_LANES, scale_block=value)


def test_groups_fit_their_scales_and_operands():
    groups = OF_LANES | {"a": "e2m1finite", "b": "e2m1finite", "acc": "fp32", "lane_sum": "exponents:35/16"}
    assert [MacSpec(**groups, scale_block=block).lane_sum.group for block in (None, 16, 32)] == [16, 16, 16]
    refuses(
        "lane_sum 'exponents:35/16' does not go with scale_place 'outer', as groups are aligned by their scales; "
        "accepted is lanes",
        groups,
        scale_place="outer",
    )
    for block, lanes in ((8, 32), (24, 48)):
        refuses(
            f"lane_sum 'exponents:35/16' has groups that blocks of {block} lanes with one scale do not consist of; "
            f"accepted are divisors of {block}",
            groups | {"lanes": lanes},
            scale_block=block,
        )
    refuses(
        "lane_sum 'exponents:35/16' does not go with b e4m3fn, which has infinities or NaN; accepted are operands "
        "without",
        groups | {"b": "e4m3fn"},
    )
    refuses(
        "lane_sum 'exponents:35/16' adds 16 products exactly, which takes 528 bits; accepted are formats with which it "
        "takes up to 256, or exponents:F",
        groups | {"a": "e8m7finite", "b": "e8m7finite", "acc": "e9m23"},
    )
    # A group's sum is aligned by its scales alone: its operands must not move it far from them.
    far = groups | {"lanes": 2, "lane_sum": "exponents:8/2"}
    assert MacSpec(**far | {"a": "e2m1finite:bias=4", "b": "e2m1finite:bias=4"}).lane_sum.group == 2
    for fmt, top in (("e2m1finite:bias=5", -1), ("e3m1finite:bias=-200", 417)):
        refuses(
            f"lane_sum 'exponents:8/2' adds groups whose sums reach up to 2^{top}, so that their scales' exponents say "
            f"too little of them; accepted are operands with which that is 2^1 to 2^64",
            far | {"a": fmt, "b": fmt, "acc": "e11m52"},
        )


CHOICES_OF_PAIRS = {
    "a": ["e4m3fn", "e2m1finite", "fix2.2"],
    "acc": ["e8m13", "e8m13fn", "fix32.18"],
    "product": [None, "e5m10"],
    "scale": [None, "e8m0fnu", "e4m3fn"],
    "scale_place": ["outer", "lanes"],
    "scale_block": [None, 2],
    "chunk": [None, 8],
    "outer": [None, "fp32"],
    "rounding": ["rne", "rtz", "floor", "odd", "drop", "stochastic:4"],
    "outer_rounding": [None, "odd", "stochastic:4"],
    "overflow": ["saturate", "infinity", "to-infinity", "nan", "wrap"],
    "lanes": [1, 4],
    "lane_sum": ["fused", "tree", "aligned:9", "exponents:13", "exponents:13/2", "bulk:13"],
    "interleave": [1, 2],
    "outer_cycles": [1, 2],
    "modes": [(), ("low:acc=e8m7",)],
}
"""Of every field its kinds of choices."""

NEEDED = {  # what a choice cannot be without
    ("scale_place", "lanes"): {"scale": "e8m0fnu", "lane_sum": "exponents:13", "lanes": 4},
    ("scale_block", 2): {"scale_place": "lanes", "scale": "e8m0fnu", "lane_sum": "exponents:13", "lanes": 4},
    ("outer_cycles", 2): {"outer": "fp32"},
    ("lane_sum", "exponents:13/2"): {
        "a": "e2m1finite", "b": "e2m1finite", "scale_place": "lanes", "scale": "e8m0fnu", "lanes": 4
    },
}  # fmt: skip


def test_each_pair_of_choices_works_or_is_refused_by_one_sentence():
    """A spec with both is exact in golden, on one code of each kind, or names a field of the pair, or what it needs."""
    base = {"a": "e4m3fn", "b": "e4m3fn", "acc": "e8m13"}
    refused = 0
    choices = [(field, value) for field, values in CHOICES_OF_PAIRS.items() for value in values]
    for one, other in itertools.combinations(choices, 2):
        if one[0] == other[0]:
            continue
        fields = base | NEEDED.get(one, {}) | NEEDED.get(other, {}) | dict([one, other])
        try:
            spec = MacSpec(**fields)
        except MacgenError as error:
            sentence = str(error)
            named = {one[0], other[0], *NEEDED.get(one, {}), *NEEDED.get(other, {})}
            assert any(re.search(rf"\b{name}\b", sentence) for name in named), (one, other, sentence)
            assert re.search("accepted|as it has to be|needs", sentence)
            assert "\n" not in sentence
            refused += 1
            continue
        assert MacSpec.from_json(spec.to_json()) == spec
        assert eval(repr(spec), {"MacSpec": MacSpec}) == spec
        scales = [0] * spec.scale_count(5)
        a, b = ([1, 2, 3, 4, 5],) * 2
        assert golden.dot(spec, a, b, a_scales=scales, b_scales=scales)[0] >= 0
    assert 100 < refused < 400


def test_exact_sums_of_lanes_have_at_most_256_bits():
    wide = {"a": "e8m7", "b": "e5m2", "acc": "e8m23"}
    single = MacSpec(**wide)  # without lanes nothing is added before the accumulator
    assert single.fused_bits > 256
    refuses(
        f"lane_sum 'fused' adds 2 products exactly, which takes {single.fused_bits + 1} bits; accepted are formats "
        f"with which it takes up to 256, or tree, aligned:W",
        wide,
        lanes=2,
    )
    assert MacSpec(**wide, lanes=2, lane_sum="tree").lanes == 2
    assert MacSpec(**wide, lanes=2, product="e5m10").fused_bits <= 256


@pytest.mark.parametrize("lanes", [1, 2, 3, 32])
@pytest.mark.parametrize(
    ("a", "b"), [("e5m2", "e4m3fn"), ("int8", "uint4"), ("e2m1finite", "fix2.3"), ("int1", "int1")]
)
def test_the_bits_of_an_exact_sum(a, b, lanes):
    spec = MacSpec(a=a, b=b, acc="e8m23", lanes=lanes)
    numbers = [
        [fmt.number(code) for code in range(1 << fmt.width) if fmt.number(code).kind == "finite"]
        for fmt in (spec.a, spec.b)
    ]
    products = {x.to_fraction() * y.to_fraction() for x in numbers[0] for y in numbers[1]}
    largest = lanes * max(map(abs, products))
    grid = Fraction(2) ** (spec.a.lsb_exponent + spec.b.lsb_exponent)
    assert all((product / grid).denominator == 1 for product in products)
    assert 2 ** (spec.fused_bits - 1) <= largest / grid < 2**spec.fused_bits


def test_product_formats_take_the_operands_place_in_the_checks():
    """The accumulator has to reach as far as the products' format, and hold its largest number."""
    refuses(
        "acc e6m5 is too narrow: its largest exponent is 31, but that of product e8m3 is 127; accepted is an acc that "
        "reaches as far",
        product="e8m3",
    )
    refuses(
        "acc int8 is too narrow: it ends at 127, but product int10 reach beyond; accepted are at least 10 bits before "
        "the point",
        FIXED,
        product="int10",
        acc="int8",
    )
    assert MacSpec(a="e8m7", b="e8m7", acc="e4m3", product="e4m3").product == FloatFormat(4, 3)
    assert MacSpec(a="int8", b="int8", acc="int8", product="int8").acc.width == 8


def test_what_is_signed_stays_signed():
    sentence = "what is rounded to it is signed; accepted is a signed one"
    for field in ("product", "outer", "out"):
        refuses(f"{field} uint16 is unsigned, but {sentence}", FIXED, **{field: "uint16"})
    unsigned = {"a": "uint4", "b": "uint4", "acc": "uint9"}
    assert MacSpec(**unsigned, product="uint8", outer="uint12", out="uint6").out_format.signed is False
    refuses(f"out uint6 is unsigned, but {sentence}", unsigned, outer="int12", out="uint6")
    refuses(f"out uint6 is unsigned, but {sentence}", unsigned, outer="fp16", out="uint6")
    refuses(
        "acc uint9 is unsigned, but product e4m3 is signed; accepted is a signed acc",
        unsigned,
        product="e4m3",
        acc="uint9",
    )


@pytest.mark.parametrize("value", ["RNE", "stochastic", "stochastic:33", 0, ["rne"]])
def test_init_wrong_outer_rounding(value):
    refuses(
        f"outer_rounding {value!r} is not one of rne, rtz, floor, odd, drop, stochastic:r[:nearest] with r from 1 to "
        "32",
        outer_rounding=value,
    )


@pytest.mark.parametrize(
    ("fields", "outer_adder"),
    [
        ({}, False),
        ({"chunk": 4}, False),
        ({"chunk": 4, "outer": "e6m5"}, False),
        ({"outer": "e6m5:flush"}, True),
        ({"outer": "fp32"}, True),
        ({"scale": "e8m0fnu"}, True),
        ({"chunk": 4, "outer_rounding": "rtz"}, True),
        ({"chunk": 4, "outer_rounding": "rne"}, False),
        ({"outer_rounding": "rtz"}, False),
        ({"outer_rounding": "rtz", "out": "e5m2"}, False),
    ],
)
def test_an_outer_adder_is_where_the_accumulator_s_cannot_fold(fields, outer_adder):
    assert MacSpec(**GOOD, **fields).has_outer_adder is outer_adder


RANDOM = "stochastic:6"


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({}, None),
        ({"rounding": RANDOM}, "steps"),
        ({"rounding": RANDOM, "chunk": 4}, "steps"),
        ({"rounding": RANDOM, "chunk": 4, "lanes": 4}, "steps"),
        ({"rounding": RANDOM, "lane_sum": "aligned:9", "lanes": 3}, "steps"),
        ({"rounding": RANDOM, "lane_sum": "tree"}, "steps"),  # one lane: no tree
        ({"rounding": RANDOM, "outer": "fp32", "outer_rounding": "rne"}, "steps"),
        ({"outer": "fp32", "outer_rounding": RANDOM}, "chunks"),
        ({"scale": "e4m3fn", "outer_rounding": RANDOM}, "chunks"),
        ({"chunk": 4, "outer_rounding": RANDOM}, "chunks"),
        ({"out": "e5m2", "outer_rounding": RANDOM}, "out"),
        ({"out": "e5m2", "outer_rounding": RANDOM, "product": "e5m3"}, "out"),
        ({"outer_rounding": RANDOM}, None),  # nothing is rounded with it
    ],
)
def test_random_place(fields, place):
    spec = MacSpec(**GOOD, **fields)
    assert spec.random_place == place
    assert spec.random_bits == (6 if place else 0)


@pytest.mark.parametrize(
    "fields",
    [
        {"rounding": RANDOM, "product": "e5m4"},
        {"rounding": RANDOM, "lanes": 2, "lane_sum": "tree"},
        {"rounding": RANDOM, "outer": "fp32"},
        {"rounding": RANDOM, "out": "e5m2"},
        {"rounding": RANDOM, "chunk": 4, "outer_rounding": "stochastic:7"},
        {"outer_rounding": RANDOM, "outer": "fp32", "out": "e5m2"},
    ],
)
def test_one_place_at_most_is_random(fields):
    rounding = fields.get("rounding", "rne")
    outer_rounding = fields.get("outer_rounding", rounding)
    refuses(
        f"rounding {rounding!r} with outer_rounding {outer_rounding!r} would round at random in more than one place "
        f"(product, lane_sum tree, acc, outer, out); accepted is one",
        **fields,
    )


def test_what_overflows_into_another_format():
    floats = MacSpec(**GOOD, overflow="infinity", outer="e8m9fn", out="int16")
    assert [floats.overflow_into(fmt) for fmt in (floats.acc, floats.outer_format, floats.out_format)] == [
        *("infinity", "saturate", "saturate")
    ]
    fixed = MacSpec(**FIXED, overflow="wrap", outer="fp32", out="int8")
    assert [fixed.overflow_into(fmt) for fmt in (fixed.acc, fixed.outer_format, fixed.out_format)] == [
        *("wrap", "saturate", "wrap")
    ]
    assert MacSpec(**GOOD, outer="fp32").overflow_into(parse_format("fp32")) == "saturate"


def test_formats_of_the_outer_accumulator_and_the_results():
    spec = MacSpec(**GOOD)
    assert (spec.outer_format, spec.out_format, spec.fold_rounding) == (spec.acc, spec.acc, "rne")
    spec = dataclasses.replace(spec, outer="fp32", rounding="rtz")
    assert (spec.outer_format, spec.out_format, spec.fold_rounding) == (FloatFormat(8, 23), FloatFormat(8, 23), "rtz")
    spec = dataclasses.replace(spec, out="e5m2", outer_rounding="rne")
    assert (spec.out_format, spec.fold_rounding, spec.acc) == (FloatFormat(5, 2), "rne", FloatFormat(6, 5))


def test_extras_tell_what_is_not_usual():
    assert MacSpec(**GOOD, chunk=64, outer="e6m5", outer_rounding="rne").extras == ()
    assert MacSpec(**GOOD, **EXTENDED).extras == (
        "products rounded to e5m4",
        "4 lanes, aligned:7",
        "scales e8m0fnu",
        "chunk sums into e8m23, rne",
        "results e8m7, rne",
    )
    assert MacSpec(**GOOD, interleave=3, lanes=2).extras == ("2 lanes, fused", "3 turns")
    assert MacSpec(**GOOD, lane_sum="aligned:7").extras == ("aligned:7",)
    assert MacSpec(**GOOD, lane_sum="tree").extras == ()


@pytest.mark.parametrize(
    ("field", "value"), [*EXTENDED.items(), ("product", None), ("scale", None), ("outer", None), ("out", None)]
)
def test_replacing_one_field_leaves_the_others(field, value):
    for base in (MacSpec(**GOOD, chunk=24), MacSpec(**GOOD, **EXTENDED)):
        changed = dataclasses.replace(base, **{field: value})
        fields = [item.name for item in dataclasses.fields(MacSpec) if item.name != field]
        assert all(getattr(changed, name) == getattr(base, name) for name in fields)
        expected = {"product": "exact"}.get(field) if value is None else value
        assert changed.to_dict()[field] == expected
        assert MacSpec.from_json(changed.to_json()) == changed


def test_unknown_parameter():
    with pytest.raises(TypeError, match="unexpected keyword argument 'banks'"):
        MacSpec(**GOOD, banks=4)


# -- immutable, comparable, hashable, picklable ------------------------------------------------------------------


@given(specs())
def test_value_semantics(spec):
    for copy in (pickle.loads(pickle.dumps(spec)), dataclasses.replace(spec), MacSpec(**spec.to_dict())):
        assert copy == spec
        assert hash(copy) == hash(spec)
        assert copy is not spec
    assert spec != dataclasses.replace(spec, rows=spec.rows % 256 + 1)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(MacSpec)])
def test_frozen(field):
    spec = MacSpec(**GOOD)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(spec, field, getattr(spec, field))


def test_replace_validates():
    with pytest.raises(MacgenError, match=r"^rows 0 is not an integer from 1 to 256$"):
        dataclasses.replace(MacSpec(**GOOD), rows=0)


def test_repr_is_short_and_evaluates_to_the_spec():
    assert repr(MacSpec(**GOOD)) == "MacSpec(a='e5m2', b='e5m2', acc='e6m5')"
    spec = MacSpec(**GOOD, chunk=64, rounding="rtz", outer="fp32", rows=8)
    assert repr(spec) == ("MacSpec(a='e5m2', b='e5m2', acc='e6m5', chunk=64, outer='e8m23', rounding='rtz', rows=8)")


@given(specs())
def test_every_repr_evaluates_to_its_spec(spec):
    assert eval(repr(spec), {"MacSpec": MacSpec}) == spec


def test_the_signature_says_what_is_taken_and_the_annotations_what_is_kept():
    parameters = inspect.signature(MacSpec).parameters
    kept = typing.get_type_hints(MacSpec)
    assert list(parameters) == list(kept) == [field.name for field in dataclasses.fields(MacSpec)]
    assert parameters["modes"].annotation == Sequence[Mode | str]
    assert kept["modes"] == tuple[Mode, ...]
    for name, parameter in parameters.items():
        if name == "modes":
            continue
        taken = parameter.annotation
        assert set(typing.get_args(kept[name]) or [kept[name]]) <= set(typing.get_args(taken) or [taken])
        values = (getattr(spec, name) for spec in (MacSpec(**GOOD), MacSpec(**(GOOD | EXTENDED))))
        assert all(isinstance(value, kept[name]) for value in values)
    assert parameters["acc"].annotation == FloatFormat | FixedFormat | str
    assert kept["acc"] == FloatFormat | FixedFormat
    assert parameters["rounding"].annotation == Rounding | str
    assert kept["rounding"] is Rounding
    required = [name for name, parameter in parameters.items() if parameter.default is parameter.empty]
    assert required == ["a", "b", "acc"]


def test_help_shows_no_private_class():
    text = pydoc.render_doc(MacSpec, renderer=pydoc.plaintext)
    assert "acc: macgen.numerics.float_format.FloatFormat | macgen.numerics.fixed_format.FixedFormat | str" in text
    assert not re.search(r"(^|[^_\w])_[A-Za-z]*Field", text)


def test_replace_takes_strings():
    spec = MacSpec(**GOOD)
    assert spec.replace(acc="e6m9", rounding="rtz", rows=2) == MacSpec(
        **(GOOD | {"acc": "e6m9"}), rounding="rtz", rows=2
    )
    assert spec.replace() == spec
    with pytest.raises(MacgenError, match=r"^rows 0 is not an integer from 1 to 256$"):
        spec.replace(rows=0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'row'"):
        spec.replace(row=1)


# -- JSON --------------------------------------------------------------------------------------------------------


@given(specs())
def test_json_round_trip(spec):
    assert MacSpec.from_json(spec.to_json()) == spec
    assert MacSpec.from_dict(spec.to_dict()) == spec
    assert json.loads(spec.to_json()) == spec.to_dict()
    assert spec.to_json().endswith("}\n")


def test_to_dict():
    assert MacSpec(**GOOD, chunk=64).to_dict() == {
        "a": "e5m2",
        "b": "e5m2",
        "acc": "e6m5",
        "product": "exact",
        "scale": None,
        "chunk": 64,
        "outer": None,
        "out": None,
        "rounding": "rne",
        "outer_rounding": None,
        "overflow": "saturate",
        "lanes": 1,
        "lane_sum": "fused",
        "rows": 4,
        "cols": 4,
        "interleave": 1,
        "pipeline": 1,
        "fold": "bubble",
    }
    assert MacSpec(**GOOD, **EXTENDED).to_dict() == {**MacSpec(**GOOD).to_dict(), **EXTENDED, "scale": "e8m0fnu"}
    assert MacSpec(**GOOD, **OF_LANES, scale_block=16).to_dict() == {
        **MacSpec(**GOOD).to_dict(),
        **OF_LANES,
        "scale_block": 16,
    }


def test_absent_keys_take_their_defaults():
    assert MacSpec.from_json('{"a": "fp16", "b": "fp16", "acc": "fp32"}') == MacSpec(a="fp16", b="fp16", acc="fp32")
    assert MacSpec.from_json('{"a": "fp16", "b": "fp16", "acc": "fp32", "chunk": null}').chunk is None


def refuses_json(message, text):
    with pytest.raises(MacgenError) as caught:
        MacSpec.from_json(text)
    assert str(caught.value) == message


def test_from_json_unknown_key():
    refuses_json(
        "spec has the unknown key 'banks'; accepted are a, b, acc, product, scale, scale_place, scale_block, chunk, "
        "outer, out, rounding, outer_rounding, overflow, lanes, lane_sum, rows, cols, interleave, pipeline, fold, "
        "interface, reset, reset_active, clock_enable, modes, counters, preload, outer_cycles",
        json.dumps(GOOD | {"banks": 4}),
    )


@pytest.mark.parametrize("key", ["a", "b", "acc"])
def test_from_json_missing_key(key):
    text = json.dumps({name: value for name, value in GOOD.items() if name != key})
    refuses_json(f"spec lacks the key {key!r}; accepted are specs with at least a, b, acc", text)


def test_from_json_key_twice():
    refuses_json(
        "spec has the key 'acc' twice; accepted is each key once",
        '{"a": "fp16", "b": "fp16", "acc": "fp16", "acc": "fp32"}',
    )


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[]", "a list"),
        ('"e5m2"', "a string"),
        ("12", "a number"),
        ("1.5", "a number"),
        ("true", "a boolean"),
        ("null", "null"),
        ("NaN", "a number"),
    ],
)
def test_from_json_no_object(text, kind):
    refuses_json(f"spec is {kind}; accepted is an object with the fields of MacSpec", text)


@pytest.mark.parametrize(
    "text", ["", "{", '{"a": "e5m2", ', "{'a': 1}", "\0", "[" * 100_000, '{"rows": ' + "9" * 5000 + "}", "\ud800"]
)
def test_from_json_no_json(text):
    with pytest.raises(MacgenError, match=r"^spec is not valid JSON \(.*\); accepted is what MacSpec.to_json writes$"):
        MacSpec.from_json(text)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("rows", "4", "rows '4' is not an integer from 1 to 256"),
        ("rows", 1e300, "rows 1e+300 is not an integer from 1 to 256"),
        ("rows", {}, "rows {} is not an integer from 1 to 256"),
        ("chunk", "none", "chunk 'none' is not an integer from 1 to 1048576 or none"),
        (
            "rounding",
            ["rne"],
            "rounding ['rne'] is not one of rne, rtz, floor, odd, drop, stochastic:r[:nearest] with r from 1 to 32",
        ),
        ("fold", {}, "fold {} is not one of bubble, overlap"),
        ("interface", {}, "interface {} is not one of native, axi-stream"),
        ("reset", 1, "reset 1 is not one of sync, async"),
        ("clock_enable", "yes", "clock_enable 'yes' is not true or false"),
        ("lanes", "4", "lanes '4' is not an integer from 1 to 64"),
        (
            "lane_sum",
            4,
            "lane_sum 4 is not one of fused, tree, aligned:W with W from 1 to 64, exponents:F, exponents:F/G or "
            "bulk:F with F from 1 to 64 and G from 2 to 64",
        ),
        (
            "outer_rounding",
            1,
            "outer_rounding 1 is not one of rne, rtz, floor, odd, drop, stochastic:r[:nearest] with r from 1 to 32",
        ),
    ],
)
def test_from_json_wrong_type(key, value, message):
    refuses_json(message, json.dumps(GOOD | {key: value}))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | formats(5, 5, 16).map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([field.name for field in dataclasses.fields(MacSpec)]), JSON_VALUES))
def test_any_object_is_a_spec_or_refused_in_one_line(values):
    sentence = ""
    try:
        MacSpec.from_json(json.dumps(GOOD | values))
    except MacgenError as error:
        sentence = str(error)
    assert "\n" not in sentence


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")) | JSON_VALUES.map(json.dumps))
def test_any_text_is_a_spec_or_refused(text):
    with pytest.raises(MacgenError):
        MacSpec.from_json(text)


# -- ports ---------------------------------------------------------------------------------------------------------


def test_ports_by_default_are_not_in_the_json():
    """A spec reads as it did before there were choices of ports."""
    assert list(MacSpec(**GOOD).to_dict())[-1] == "fold"
    given = MacSpec(**GOOD, interface="native", reset="sync", reset_active="high", clock_enable=False)
    assert given == MacSpec(**GOOD)
    assert given.to_json() == MacSpec(**GOOD).to_json()


@pytest.mark.parametrize("clock_enable", [False, True])
@pytest.mark.parametrize("reset_active", [None, "high", "low"])
@pytest.mark.parametrize("reset", ["sync", "async"])
@pytest.mark.parametrize("interface", ["native", "axi-stream"])
def test_every_choice_of_ports_works_or_is_refused(interface, reset, reset_active, clock_enable):
    fields = {"interface": interface, "reset": reset, "reset_active": reset_active, "clock_enable": clock_enable}
    if interface == "axi-stream" and reset_active == "high":
        with pytest.raises(MacgenError) as caught:
            MacSpec(**GOOD, **fields)
        assert str(caught.value) == (
            "reset_active 'high' does not go with interface 'axi-stream', whose aresetn is low; accepted is low"
        )
        return
    spec = MacSpec(**GOOD, **fields)
    assert spec.reset_level == ("low" if interface == "axi-stream" or reset_active == "low" else "high")
    assert MacSpec.from_json(spec.to_json()) == spec
    assert spec.core == MacSpec(**GOOD)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("interface", "axi", "interface 'axi' is not one of native, axi-stream"),
        ("reset", 1, "reset 1 is not one of sync, async"),
        ("reset_active", "on", "reset_active 'on' is not one of high, low"),
        ("clock_enable", 1, "clock_enable 1 is not true or false"),
    ],
)
def test_wrong_choices_of_ports(field, value, message):
    with pytest.raises(MacgenError) as caught:
        MacSpec(**GOOD, **{field: value})
    assert str(caught.value) == message
