"""Modes of a spec: what they are read from, what they make of it, what is refused (docs/arithmetic.md section 10)."""

import json
from fractions import Fraction

import numpy as np
import pytest

from macgen import MacSpec, golden, parse_format
from macgen.errors import MacgenError
from macgen.golden import Model
from macgen.numerics.embedding import embedded
from macgen.spec_modes import Mode

FLOAT = MacSpec(a="fp16", b="fp16", acc="e6m9", chunk=8, modes=["low:acc=e6m3", "b8:a=e5m2,b=e5m2,acc=e6m5"])
FIXED = MacSpec(a="fix4.4", b="fix4.4", acc="fix10.8", modes=["half:acc=fix9.4,a=fix3.2"])


def test_a_mode_is_an_ordinary_spec():
    assert FLOAT.mode_names == ("full", "low", "b8")
    assert FLOAT.mode(0) == FLOAT.mode("full") == FLOAT.replace(modes=())
    assert FLOAT.mode(1) == MacSpec(a="fp16", b="fp16", acc="e6m3", chunk=8)
    assert FLOAT.mode("b8") == FLOAT.mode(2) == MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=8)
    assert FIXED.mode("half") == MacSpec(a="fix3.2", b="fix4.4", acc="fix9.4")
    assert FLOAT.extras == ("modes full, low, b8",)


def test_modes_go_through_json_and_repr():
    for spec in (FLOAT, FIXED):
        assert MacSpec.from_json(spec.to_json()) == spec
        assert eval(repr(spec), {"MacSpec": MacSpec}) == spec
        assert hash(MacSpec.from_json(spec.to_json())) == hash(spec)
    # In the order of the fields, whatever the text's.
    assert json.loads(FIXED.to_json())["modes"] == ["half:a=fix3.2,acc=fix9.4"]
    assert "modes" not in json.loads(FLOAT.mode(0).to_json())
    assert "modes" not in repr(FLOAT.mode(0))
    assert MacSpec(a="int4", b="int4", acc="int20", modes=FIXED.modes[:0]).modes == ()
    assert Mode.parse("low:acc=e6m3:flush") == Mode("low", (("acc", parse_format("e6m3:flush")),))


@pytest.mark.parametrize("which", ["half", "", 3, -1, True, None])
def test_an_unknown_mode_is_refused(which):
    with pytest.raises(MacgenError, match=r"^mode .* is not (one of full, low, b8|an integer from 0 to 2)$"):
        FLOAT.mode(which)


EMBEDS = "accepted are formats whose numbers are all numbers of"


@pytest.mark.parametrize(
    ("modes", "sentence"),
    [
        (["low:acc=e5m3"], f"mode low has acc e5m3, which does not embed in e6m9: it has 5 as exponent bits, not 6; "
                           f"{EMBEDS} e6m9"),
        (["low:acc=e6m10"], f"mode low has acc e6m10, which does not embed in e6m9: its mantissa bit 10 does not fit; "
                            f"{EMBEDS} e6m9"),
        (["low:acc=e6m3:flush"], f"mode low has acc e6m3:flush, which does not embed in e6m9: it has flush as "
                                 f"subnormals, not gradual; {EMBEDS} e6m9"),
        (["low:acc=int20"], f"mode low has acc int20, which does not embed in e6m9: it is fixed point; {EMBEDS} e6m9"),
        (["low:acc=e6m3", "low:acc=e6m4"], "modes has the name 'low' twice; accepted is each name once (full is the "
                                           "spec)"),
        (["full:acc=e6m4"], "modes has the name 'full' twice; accepted is each name once (full is the spec)"),
        ([f"m{n}:acc=e6m3" for n in range(8)], "modes are 8; accepted are up to 7 beside full"),
        (["low:out=e6m3"], "mode low has out e6m3, but the spec has no out of its own; accepted are the fields that it "
                           "has"),
        (["low:rows=3"], "mode low has 'rows=3'; accepted is FIELD=FORMAT with one of a, b, product, acc, outer, out, "
                           "or packed=2 or 4"),
        (["low:"], "mode low has ''; accepted is FIELD=FORMAT with one of a, b, product, acc, outer, out, or "
                  "packed=2 or 4"),
        (["low:acc=e6m3,acc=e6m4"], "mode low has acc twice; accepted is each field once"),
        (["Low:acc=e6m3"], "modes has the name 'Low'; accepted are a lower-case letter and up to 31 more, digits, - "
                           "and _"),
        (["8bit:acc=e6m3"], "modes has the name '8bit'; accepted are a lower-case letter and up to 31 more, digits, - "
                            "and _"),
        (["low"], "modes 'low' has no colon behind its name; accepted is a text such as low:acc=e6m3 or "
                  "p8:a=fix4.4,b=fix4.4,packed=2"),
        ("low:acc=e6m3", "modes 'low:acc=e6m3' is no list; accepted is a list of texts such as low:acc=e6m3 or "
                         "p8:a=fix4.4,b=fix4.4,packed=2"),
        (None, "modes None is no list; accepted is a list of texts such as low:acc=e6m3 or "
               "p8:a=fix4.4,b=fix4.4,packed=2"),
        ([7], "modes 7 is of type int; accepted is a text such as low:acc=e6m3 or p8:a=fix4.4,b=fix4.4,packed=2"),
    ],
)  # fmt: skip
def test_what_is_no_mode_of_a_float_array_is_refused(modes, sentence):
    with pytest.raises(MacgenError) as error:
        MacSpec(a="e5m2", b="e5m2", acc="e6m9", modes=modes)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("m:a=fix5.3", "its first bit, 2^4, does not fit"),
        ("m:a=fix3.5", "its last bit, 2^-5, does not fit"),
        ("m:a=ufix2.2", "it is unsigned"),
        ("m:a=e4m1", "it is a float"),
        ("m:b=fix5.-1", "its lowest value does not fit"),
        ("m:acc=fix9.10", "its last bit, 2^-10, does not fit"),
    ],
)
def test_the_bit_that_does_not_fit_is_named(mode, why):
    with pytest.raises(MacgenError, match=f"does not embed in .*: {why.replace('^', '.')}; accepted"):
        MacSpec(a="fix4.4", b="fix5.4narrow", acc="fix10.8", modes=[mode])


def test_a_mode_passes_the_checks_of_its_own_spec():
    with pytest.raises(MacgenError, match=r"^mode m: acc fix3.2 is too narrow: it ends at 3.75, but products"):
        FIXED.replace(modes=["m:acc=fix3.2"])
    with pytest.raises(MacgenError, match=r"^mode fn has acc e4m2fn, .*: its NaN would become a number; accepted"):
        MacSpec(a="e3m1", b="e3m1", acc="e4m3fn", modes=["fn:acc=e4m2fn"])
    outer = {"a": "e5m2", "b": "e5m2", "acc": "e6m5", "chunk": 4}
    with pytest.raises(
        MacgenError, match=r"^mode m has an outer accumulator with an adder of its own, unlike the spec"
    ):
        MacSpec(**outer, outer="e6m5", modes=["m:acc=e6m3"])
    with pytest.raises(MacgenError, match=r"^mode m lacks an out other than the outer accumulator's, unlike the spec"):
        MacSpec(**outer, out="e6m3", modes=["m:acc=e6m3"])
    assert MacSpec(**outer, outer="e6m5", modes=["m:acc=e6m3,outer=e6m3"]).mode(1).outer == parse_format("e6m3")


@pytest.mark.parametrize(
    ("fields", "mode"),
    [
        ({"chunk": 2, "outer": "fix8.4"}, "p:outer=fix6.4narrow"),
        ({"out": "fix8.4narrow"}, "p:out=fix4.4"),
        ({"product": "fix4.2"}, "p:product=fix3.2narrow"),
    ],
)
def test_narrow_ranges_saturate_in_all_modes_or_in_none(fields, mode):
    """`wrap` is unknown to them, and which of both happens is no matter of the mode."""
    field = mode[2:].partition("=")[0]
    with pytest.raises(MacgenError, match=f"^mode p has {field} .*, where overflow 'wrap' is not .*accepted"):
        MacSpec(a="fix3.2", b="fix3.2", acc="fix10.4", overflow="wrap", modes=[mode], **fields)
    assert MacSpec(a="fix3.2", b="fix3.2", acc="fix10.4", modes=[mode], **fields).mode_names == ("full", "p")


@pytest.mark.parametrize(
    "mode",
    [
        Mode("x", (("rows", 3),)),
        Mode("FULL x", FLOAT.modes[0].formats),
        Mode("x", ()),
        Mode("x", None),
        Mode("x", FLOAT.modes[0].formats, True),
        Mode("x", FLOAT.modes[0].formats, "2"),
        Mode("x", FLOAT.modes[0].formats, 3),
    ],
)
def test_modes_that_no_text_describes_are_refused(mode):
    with pytest.raises(MacgenError, match=r"^mode.*accepted"):
        MacSpec(a="e5m2", b="e5m2", acc="e6m9", modes=[mode])


def test_modes_have_an_order():
    with pytest.raises(MacgenError, match=r"^modes \{.*\} is no list; accepted is a list"):
        MacSpec(a="e5m2", b="e5m2", acc="e6m9", modes={"low:acc=e6m3"})


def test_modes_are_found_by_number_and_name():
    assert [FLOAT.mode_number(which) for which in (0, np.int64(2), "b8", "full")] == [0, 2, 2, 0]
    assert FLOAT.mode(np.int64(1)) == FLOAT.mode("low")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"rounding": "drop"}, "rounding 'drop' does not go with mode low"),
        ({"chunk": 4, "fold": "overlap"}, "fold 'overlap' does not go with mode low"),
        ({"lanes": 2, "lane_sum": "tree"}, "mode low has acc e6m3, to which several products are rounded"),
        ({"lanes": 2, "lane_sum": "bulk:9"}, "mode low has acc e6m3, to which several products are rounded"),
        ({"interface": "axi-stream"}, "interface 'axi-stream' does not go with modes full, low"),
    ],
)
def test_choices_that_do_not_go_with_modes(fields, sentence):
    with pytest.raises(MacgenError, match=f"^{sentence}.*accepted"):
        MacSpec(a="e5m2", b="e5m2", acc="e6m9", modes=["low:acc=e6m3"], **fields)
    if fields.get("interface") is None:  # with the same accumulator they do
        assert MacSpec(a="e5m2", b="e5m2", acc="e6m9", modes=["low:a=e5m1"], **fields).mode_names == ("full", "low")


PACKED = MacSpec(a="int8", b="uint8", acc="int24", chunk=8, modes=["two:a=int4,b=uint4,packed=2,acc=int20"])


def test_a_packed_mode_has_more_lanes():
    assert PACKED.mode("two") == MacSpec(a="int4", b="uint4", acc="int20", chunk=8, lanes=2)
    assert PACKED.on_wires("two") == PACKED.mode("two")
    assert PACKED.on_wires("full") == PACKED.mode("full")
    assert FLOAT.on_wires("low") == FLOAT.mode("full")
    assert json.loads(PACKED.to_json())["modes"] == ["two:a=int4,b=uint4,acc=int20,packed=2"]
    assert MacSpec.from_json(PACKED.to_json()) == PACKED


PACKED_SUMS = MacSpec(a="int8", b="int8", acc="int24", modes=["p:a=int4,b=int4,packed=2,acc=int8"])


@pytest.mark.parametrize(("overflow", "code"), [("wrap", 0x80), ("saturate", 0x7F)])
def test_the_corner_cases_of_packed_sums(overflow, code):
    """docs/arithmetic.md section 10: the sum of one step does not fit its accumulator."""
    spec = PACKED_SUMS.replace(overflow=overflow).mode("p")
    assert golden.dot(spec, [8, 8], [8, 8]) == (code, golden.Flags.OVERFLOW)


def test_a_packed_mode_takes_fewer_random_numbers_and_beats():
    spec = PACKED_SUMS.replace(rounding="stochastic:4", acc="fix20.-4", modes=["p:a=int4,b=int4,packed=2"])
    assert [golden.draws(spec.mode(mode), 3) for mode in ("full", "p")] == [3, 2]
    narrow = MacSpec(a="int2narrow", b="int2narrow", acc="int12", modes=["p:a=int1,b=int1,packed=2"])
    assert golden.dot(narrow.mode("p"), [1, 1], [1, 1]) == (2, golden.Flags(0))  # of codes that `narrow` excludes


@pytest.mark.parametrize(
    ("fields", "mode", "sentence"),
    [
        ({}, "a=int4,b=int4,packed=3", "mode p has packed '3'; accepted are 2 and 4"),
        ({}, "a=int4,b=int4,packed=1", "mode p has packed '1'; accepted are 2 and 4"),
        ({}, "packed=2,packed=2", "mode p has packed twice; accepted is each field once"),
        ({}, "a=int4,b=int4,packed", "mode p has 'packed'; accepted is FIELD=FORMAT with one of a, b, product, acc, "
                                     "outer, out, or packed=2 or 4"),
        ({}, "a=int4,packed=2", "mode p, which is packed, has b int8; accepted are formats with the sign of int8 and "
                                "exactly 4 bits"),
        ({}, "a=int4,b=uint4,packed=2", "mode p, which is packed, has b uint4; accepted are formats with the sign of "
                                        "int8 and exactly 4 bits"),
        ({"a": "int7"}, "a=int3,b=int4,packed=2", "mode p, which is packed, does not go with a int7; accepted are "
                                                  "widths that 2 divides"),
        ({"acc": "fp32"}, "a=int4,b=int4,packed=2", "mode p, which is packed, does not go with acc e8m23; accepted are "
                                                    "arrays of fixed point"),
        ({"a": "e4m3", "acc": "fp32"}, "a=e4m3,b=int4,packed=2", "mode p, which is packed, does not go with a e4m3; "
                                                                 "accepted are arrays of fixed point"),
        ({}, "a=e4m3,b=int4,packed=2", "mode p, which is packed, has a e4m3; accepted are fixed-point formats"),
        ({"product": "int16"}, "a=int4,b=int4,packed=2", "mode p, which is packed, does not go with product int16; "
                                                         "accepted are exact products"),
        ({"lanes": 2, "lane_sum": "tree"}, "a=int4,b=int4,packed=2",
         "mode p, which is packed, does not go with lane_sum 'tree'; accepted is fused"),
        ({"lanes": 32}, "a=int2,b=int2,packed=4", "mode p: lanes 128 is not an integer from 1 to 64"),
        ({"chunk": 3}, "a=int4,b=int4,packed=2", "mode p: chunk 3 is not a multiple of lanes 2, as it has to be"),
        ({}, "a=fix8.-4,b=fix8.-4,packed=2", "mode p, which is packed, has sums of 2 products of fix8.-4 and fix8.-4, "
                                             "which do not fit a product of int8 and int8; accepted are formats whose "
                                             "sums do, at both ends"),
        ({"acc": "fix24.8"}, "a=fix0.4,b=fix0.4,packed=2", "mode p, which is packed, has sums of 2 products of fix0.4 "
                                                           "and fix0.4, which do not fit a product of int8 and int8; "
                                                           "accepted are formats whose sums do, at both ends"),
    ],
)  # fmt: skip
def test_packed_modes_that_are_refused(fields, mode, sentence):
    spec = {"a": "int8", "b": "int8", "acc": "int24", **fields}
    with pytest.raises(MacgenError) as error:
        MacSpec(**spec, modes=[f"p:{mode}"])
    assert str(error.value) == sentence


TABLE = [  # docs/arithmetic.md section 10: accumulator's number, what is added, in the mode, in full; flags 1 and 2
    ("e6m9", "e6m3", "rne", "1", (Fraction(1, 16),), (1, 0), (Fraction(17, 16), 0)),
    ("e6m9", "e6m3", "rne", "9/8", (Fraction(1, 16),), (Fraction(5, 4), 0), (Fraction(19, 16), 0)),
    ("e6m9", "e6m3", "rne", str(15 << 28), (1 << 27,), (15 << 28, 1), (31 << 27, 0)),
    ("e6m9", "e6m3", "rne", "0", (Fraction(1, 1 << 34),), (0, 2), (Fraction(1, 1 << 34), 0)),
    ("e6m9", "e6m3", "rne", "0", (Fraction(31, 1 << 35),), (Fraction(1, 1 << 30), 0), (Fraction(31, 1 << 35), 0)),
    ("e6m9", "e6m3", "odd", "1", (Fraction(1, 512),), (Fraction(9, 8), 0), (Fraction(513, 512), 0)),
    ("e6m9:flush", "e6m3:flush", "rne", "0", (Fraction(63, 1 << 36),), (Fraction(1, 1 << 30), 0), (0, 2)),
    ("e6m9", "e6m3", "stochastic:2", "1", (Fraction(3, 32),), (Fraction(9, 8), 0), (Fraction(35, 32), 0)),
    ("fix12.4", "fix8.2", "rne", "1", (Fraction(1, 8),), (1, 0), (Fraction(9, 8), 0)),
    ("fix12.4", "fix8.2", "rne", "511/4", (Fraction(1, 4),), (Fraction(511, 4), 1), (128, 0)),
    ("fix12.4", "fix8.2", "rne wrap", "511/4", (Fraction(1, 4),), (-128, 1), (128, 0)),
    ("fix12.4", "fix8.2", "floor", "0", (Fraction(-1, 16),), (Fraction(-1, 4), 0), (Fraction(-1, 16), 0)),
    ("fix12.4", "fix8.2", "drop", "1", (Fraction(-3, 16),), (1, 0), (Fraction(13, 16), 0)),
    ("fix12.4", "fix8.2", "stochastic:2", "0", (Fraction(3, 16),), (Fraction(1, 4), 0), (Fraction(3, 16), 0)),
]  # fmt: skip


@pytest.mark.parametrize("row", TABLE)
def test_the_corner_cases_of_the_contract(row):
    """In golden: what the hardware computes is compared with it mode by mode."""
    wide, narrow, how, before, (addend,), in_mode, in_full = row
    rounding, _, overflow = how.partition(" ")
    operand = "fp32" if wide.startswith("e") else "fix3.4"
    small = "e6m9" if wide.startswith("e") else operand
    spec = MacSpec(a=small, b=small, acc=wide, rounding=rounding, overflow=overflow or "saturate",
                   modes=[f"low:acc={narrow}"])  # fmt: skip
    for mode, (value, flags) in (("low", in_mode), ("full", in_full)):
        model = Model(spec.mode(mode))
        acc = spec.mode(mode).acc
        a, b = _factors(spec, Fraction(addend))
        code, raised = model.step(_code(acc, Fraction(before)), a, b, 1 if rounding.startswith("stoch") else 0)
        assert (acc.number(code).to_fraction(), raised) == (value, flags), mode
        # The container reads the same.
        assert spec.acc.number(embedded(code, acc, spec.acc)).to_fraction() == value


def _code(fmt, value):
    sign, magnitude = int(value < 0), abs(value)
    exponent = -magnitude.denominator.bit_length() + 1
    return fmt.round(sign, magnitude.numerator, exponent, "rtz", "saturate").code


def _factors(spec, value):
    """Codes of two numbers with this product: a power of two times the rest."""
    if spec.a.max_exponent > 20:
        power = Fraction(2) ** (abs(value).numerator.bit_length() - abs(value).denominator.bit_length() >> 1)
    else:
        power = Fraction(1, 2)
    codes = _code(spec.a, value / power), _code(spec.b, power)
    numbers = [fmt.number(code).to_fraction() for fmt, code in zip((spec.a, spec.b), codes, strict=True)]
    assert numbers[0] * numbers[1] == value
    return codes
