import dataclasses
import json
import pickle
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen.errors import MacgenError
from macgen.numerics import FixedFormat, FloatFormat, parse_format
from macgen.spec import MacSpec
from tests.strategies import formats, specs

GOOD = {"a": "e5m2", "b": "e5m2", "acc": "e6m5"}
FIXED = {"a": "int8", "b": "int8", "acc": "int32"}


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


@pytest.mark.parametrize("value", [*WRONG_INTEGERS, 3])
def test_init_wrong_pipeline(value):
    refuses(f"pipeline {value!r} is not an integer from 1 to 2", pipeline=value)


@pytest.mark.parametrize("value", [*(value for value in WRONG_INTEGERS if value is not None), 2**20 + 1])
def test_init_wrong_chunk(value):
    refuses(f"chunk {value!r} is not an integer from 1 to 1048576 or none", chunk=value)


@pytest.mark.parametrize("field", ["rows", "cols", "pipeline", "chunk", "rounding", "acc"])
@pytest.mark.parametrize("value", [10**10_000, -(10**10_000), "e" * 10**6], ids=["large", "low", "long"])
def test_init_enormous_values_are_refused_in_a_short_sentence(field, value):
    with pytest.raises(MacgenError) as caught:
        MacSpec(**(GOOD | {field: value}))
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["RNE", "nearest", None, 0, ["rne"]])
def test_init_wrong_rounding(value):
    refuses(f"rounding {value!r} is not one of rne, rtz, drop, stochastic:r with r from 1 to 32", rounding=value)


@pytest.mark.parametrize("value", ["clamp", None, True])
def test_init_wrong_overflow(value):
    refuses(f"overflow {value!r} is not one of saturate, infinity, wrap", overflow=value)


def test_init_wrong_overflow_for_acc():
    refuses("overflow 'wrap' does not go with acc e6m5; accepted is saturate or infinity", overflow="wrap")
    refuses("overflow 'infinity' does not go with acc e6m5fn; accepted is saturate", acc="e6m5fn", overflow="infinity")
    refuses("overflow 'infinity' does not go with acc int32; accepted is saturate or wrap", FIXED, overflow="infinity")


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


def test_repr_names_every_field():
    assert all(f"{field.name}=" in repr(MacSpec(**GOOD)) for field in dataclasses.fields(MacSpec))


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
        "chunk": 64,
        "rounding": "rne",
        "overflow": "saturate",
        "rows": 4,
        "cols": 4,
        "pipeline": 1,
        "fold": "bubble",
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
        "spec has the unknown key 'banks'; accepted are a, b, acc, chunk, rounding, overflow, rows, cols, pipeline, "
        "fold",
        json.dumps(GOOD | {"lanes": 4}),
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
        ("rounding", ["rne"], "rounding ['rne'] is not one of rne, rtz, drop, stochastic:r with r from 1 to 32"),
        ("fold", {}, "fold {} is not one of bubble, overlap"),
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
