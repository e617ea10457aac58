import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen.bundle.names import check_name
from macgen.catalogue import presets
from macgen.cli.arguments import accumulator_of_width, default_name, name_and_directory, resolve_spec
from macgen.errors import MacgenError
from macgen.numerics import FixedFormat, FloatFormat, parse_format
from macgen.spec import MacSpec
from tests.strategies import fixed_formats, specs

DEFAULT = presets["default"]


def resolve(base=DEFAULT, **given):
    return resolve_spec(base, given)


def refuses(message, base=DEFAULT, **given):
    with pytest.raises(MacgenError) as caught:
        resolve_spec(base, given)
    assert str(caught.value) == message


# -- single fields -----------------------------------------------------------------------------------------------


@given(specs())
def test_without_options_the_base_stays(spec):
    assert resolve(spec) == spec


@given(specs(), specs())
def test_every_field_given_replaces_the_base(base, spec):
    assert resolve_spec(base, spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rows", 8),
        ("cols", 1),
        ("chunk", None),
        ("chunk", 7),
        ("rounding", "rtz"),
        ("fold", "overlap"),
        ("pipeline", 2),
    ],
)
def test_one_field(field, value):
    assert resolve(**{field: value}) == dataclasses.replace(DEFAULT, **{field: value})


def test_the_main_job():
    spec = resolve(acc_bits=12, chunk=64)
    assert spec == MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=64)


@pytest.mark.parametrize("field", ["a", "b", "acc"])
def test_wrong_format(field):
    with pytest.raises(MacgenError, match=f"^{field}: format 'fp8' is unknown; accepted are "):
        resolve(**{field: "fp8"})
    with pytest.raises(MacgenError, match=f"^{field}: format 'fp8' is unknown; accepted are "):
        resolve(**{field: "fp8", "acc_bits": 12})


# -- accumulator widths ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "acc"), [(8, "e6m1"), (12, "e6m5"), (16, "e6m9"), (32, "e6m25"), (59, "e6m52")])
def test_width_with_float_operands(bits, acc):
    assert accumulator_of_width(bits, parse_format("e5m2"), parse_format("e4m3fn")) == parse_format(acc)
    assert accumulator_of_width(bits, parse_format("e5m2"), parse_format("int8")) == parse_format(acc)
    assert accumulator_of_width(bits, parse_format("int8"), parse_format("e5m2")) == parse_format(acc)


@pytest.mark.parametrize("bits", [7, 1, 0, -5, 60, 10**18])
def test_wrong_width_with_float_operands(bits):
    refuses(
        f"acc-bits {bits} is not from 8 to 59: 1 sign, 6 exponent and 1 to 52 mantissa bits; acc eXmY accepts other "
        f"splits",
        acc_bits=bits,
    )


@pytest.mark.parametrize(
    ("a", "b", "bits", "acc"),
    [
        ("int8", "int8", 16, "int16"),
        ("int8", "int8", 24, "int24"),
        ("uint8", "uint8", 17, "int17"),
        ("uint8", "int8", 16, "int16"),
        ("fix4.4", "fix4.4", 20, "fix12.8"),
        ("ufix0.8", "int8", 16, "fix8.8"),
        ("fix4.4", "int4", 256, "fix252.4"),
    ],
)
def test_width_with_fixed_operands(a, b, bits, acc):
    assert accumulator_of_width(bits, parse_format(a), parse_format(b)) == parse_format(acc)


@pytest.mark.parametrize(("a", "b", "least"), [("int8", "int8", 16), ("uint8", "uint8", 17), ("fix4.4", "int8", 16)])
@pytest.mark.parametrize("bits", [-1, 0, 15, 257])
def test_wrong_width_with_fixed_operands(a, b, least, bits):
    refuses(
        f"acc-bits {bits} is not from {least} to 256, the two's complement widths that hold the products of a {a} and "
        f"b {b}",
        a=a,
        b=b,
        acc_bits=bits,
    )


@given(fixed_formats(16), fixed_formats(16), st.integers(1, 64))
def test_the_least_width_is_the_least_that_a_spec_accepts(a, b, bits):
    frac_bits = a.frac_bits + b.frac_bits
    try:
        acc = accumulator_of_width(bits, a, b)
    except MacgenError:
        with pytest.raises(MacgenError, match="too narrow"):
            MacSpec(a=a, b=b, acc=FixedFormat(bits - frac_bits, frac_bits))
    else:
        assert MacSpec(a=a, b=b, acc=acc).acc.width == bits


def test_operands_too_wide_are_refused_as_such():
    refuses("a int200 has 200 bits; accepted are operands of up to 32", a="int200", b="int200", acc_bits=32)


def test_width_and_format_that_agree():
    assert resolve(acc="e5m6", acc_bits=12).acc == FloatFormat(5, 6)
    assert resolve(a="int8", b="int8", acc="fix16.4", acc_bits=20).acc == FixedFormat(16, 4)


def test_width_and_format_that_contradict_each_other():
    refuses(
        "acc-bits 12 contradicts acc e6m9, which has 16 bits; accepted is one of the two, or the same width in both",
        acc="e6m9",
        acc_bits=12,
    )


def test_width_that_cannot_reach_the_operands():
    with pytest.raises(
        MacgenError, match=r"^acc e6m9 is too narrow: its largest exponent is 31, but products of a e8m7"
    ):
        resolve(a="bf16", b="bf16", acc_bits=16)


# -- subnormals --------------------------------------------------------------------------------------------------


def test_subnormals_of_the_accumulator():
    flushing = resolve(subnormals="flush")
    assert flushing.acc == parse_format("e6m5:flush")
    assert resolve(flushing, subnormals="gradual") == DEFAULT
    assert resolve(acc_bits=16, subnormals="flush").acc == parse_format("e6m9:flush")
    assert resolve(acc="e6m9", subnormals="flush").acc == parse_format("e6m9:flush")
    assert resolve(acc="e6m9:flush", subnormals="flush").acc == parse_format("e6m9:flush")


def test_wrong_subnormals():
    refuses("subnormals 'off' is not one of gradual, flush, none", subnormals="off")
    refuses(
        "subnormals 'gradual' contradicts acc e6m9:flush; accepted is one of the two",
        acc="e6m9:flush",
        subnormals="gradual",
    )
    refuses(
        "subnormals 'flush' does not go with acc int32; accepted are float accumulators",
        presets["int8-int32"],
        subnormals="flush",
    )


def test_a_width_holds_products_rounded_to_their_format():
    assert resolve(product="int10", acc_bits=20) == resolve(product="int10", acc="int20", chunk=None)
    assert resolve(a="int8", b="int8", product="e4m3", acc_bits=14).acc == FloatFormat(6, 7)
    refuses(
        "acc-bits 9 is not from 10 to 256, the two's complement widths that hold the products int10",
        product="int10",
        acc_bits=9,
    )


def test_chunks_stay_where_their_sums_go_to_another_accumulator():
    assert resolve(presets["mxfp8"], acc="fix24.18").chunk == 32
    assert resolve(presets["deepseek-v3"], acc="fix24.18", lane_sum="fused").chunk == 128
    assert resolve(acc="fix38.32").chunk is None


# -- what belongs to the kind of accumulator ---------------------------------------------------------------------


def test_another_kind_of_accumulator_saturates_and_a_fixed_one_has_no_chunks():
    to_fixed = resolve(a="int8", b="int8", acc_bits=24)
    assert to_fixed == MacSpec(a="int8", b="int8", acc="int24")
    assert resolve(a="int8", b="int8", acc_bits=24, chunk=64, overflow="wrap") == MacSpec(
        a="int8", b="int8", acc="int24", chunk=64, overflow="wrap"
    )
    assert resolve(presets["int8-int32"], a="e5m2", b="e5m2", acc="e6m9") == MacSpec(a="e5m2", b="e5m2", acc="e6m9")


def test_overflow_stays_where_it_fits():
    assert resolve(presets["fp16"], acc="fp32").overflow == "infinity"
    assert resolve(presets["int8-int32"], acc="int24").overflow == "wrap"


def test_overflow_falls_back_to_saturation_where_it_does_not_fit():
    assert resolve(presets["fp16"], acc="e6m9fn").overflow == "saturate"


@pytest.mark.parametrize(("overflow", "acc"), [("wrap", "e6m9"), ("infinity", "e6m9fn"), ("infinity", "int32")])
def test_overflow_that_is_asked_for_must_fit(overflow, acc):
    with pytest.raises(MacgenError, match=f"^overflow '{overflow}' does not go with acc {acc}; accepted is "):
        resolve(a="int8", b="int8", acc=acc, overflow=overflow)


# -- names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (DEFAULT, "mac_e5m2_e6m5_c64"),
        (presets["bf16-fp32"], "mac_e8m7_e8m23"),
        (MacSpec(a="e4m3fnuz:bias=11", b="int8", acc="e6m9:flush"), "mac_e4m3fnuz_bias_11_int8_e6m9_flush"),
        (MacSpec(a="fix4.4", b="fix4.4", acc="fix12.8"), "mac_fix4_4_fix12_8"),
        (presets["lba-m7e4"], "mac_e3m4finite_pe4m7finite_e4m7finite_c16"),
        (presets["deepseek-v3"], "mac_e4m3fn_e8m13_l32exponents_13_c128_to_e8m23"),
        (presets["gupta2015"], "mac_fix8_8_fix32_16_out_fix8_8"),
        (presets["nvfp4"], "mac_e2m1finite_fix11_2_c16_se4m3fn_to_e8m23"),
        (dataclasses.replace(DEFAULT, lanes=4, interleave=2), "mac_e5m2_e6m5_l4_c64_i2"),
        (dataclasses.replace(DEFAULT, product="e5m4:flush"), "mac_e5m2_pe5m4_flush_e6m5_c64"),
    ],
)
def test_default_name(spec, name):
    assert default_name(spec) == name


def test_default_names_tell_digits_below_the_point_from_digits_beyond_it():
    names = {default_name(MacSpec(a=a, b="int4", acc="fix20.8")) for a in ("fix12.4", "fix12.-4", "fix-2.12")}
    assert names == {"mac_fix12_4_int4_fix20_8", "mac_fix12_m4_int4_fix20_8", "mac_fixm2_12_int4_fix20_8"}


def test_no_two_presets_have_the_same_name():
    names = {default_name(spec) for spec in presets.values()}
    assert len(names) == len(set(presets.values()))


@given(specs(max_exp_bits=11, max_man_bits=52, max_width=100))
def test_default_names_are_identifiers(spec):
    assert check_name(default_name(spec)) == default_name(spec)


@pytest.mark.parametrize(
    ("name", "output", "expected"),
    [
        (None, None, ("mac_e5m2_e6m5_c64", "build/mac_e5m2_e6m5_c64")),
        ("mac", None, ("mac", "build/mac")),
        (None, "out/mac12", ("mac12", "out/mac12")),
        (None, "out/mac12/", ("mac12", "out/mac12")),
        ("mac", "out/mac12", ("mac", "out/mac12")),
        (None, "out/12-bit", ("mac_e5m2_e6m5_c64", "out/12-bit")),
        (None, "out/module", ("mac_e5m2_e6m5_c64", "out/module")),
        (None, "..", ("mac_e5m2_e6m5_c64", "..")),
        (None, "/", ("mac_e5m2_e6m5_c64", "/")),
    ],
)
def test_name_and_directory(name, output, expected):
    found = name_and_directory(DEFAULT, name, None if output is None else Path(output))
    assert found == (expected[0], Path(expected[1]))


def test_the_current_directory_gives_its_name(tmp_path, monkeypatch):
    (tmp_path / "mac7").mkdir()
    monkeypatch.chdir(tmp_path / "mac7")
    assert name_and_directory(DEFAULT, None, Path())[0] == "mac7"


@pytest.mark.parametrize("name", ["12mac", "", "mac-12", "module", "a b", "mäc"])
def test_wrong_name(name):
    with pytest.raises(MacgenError, match=r"^name '.*' is "):
        name_and_directory(DEFAULT, name, Path("out"))
