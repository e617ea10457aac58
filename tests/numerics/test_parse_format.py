import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen.errors import MacgenError
from macgen.numerics import FixedFormat, FloatFormat, parse_format
from tests.strategies import formats


@given(formats())
def test_every_format_is_read_back_from_its_name(fmt):
    assert parse_format(str(fmt)) == fmt


@pytest.mark.parametrize("value", [None, 5, 1.5, b"e5m2", ["e5m2"], {}])
def test_what_is_no_string(value):
    with pytest.raises(MacgenError) as caught:
        parse_format(value)
    assert str(caught.value) == (
        f"format {value!r} is not a string; accepted are strings such as e5m2, fp16, int8 or fix8.8"
    )


@pytest.mark.parametrize("text", ["", "fp8", "posit8", "5m2", "ieee"])
def test_unknown_name(text):
    with pytest.raises(MacgenError) as caught:
        parse_format(text)
    assert str(caught.value) == (
        f"format {text!r} is unknown; accepted are floats such as e5m2, e4m3fn, e6m9:flush, fp16, bf16, fp32, fp64, "
        f"and integers or fixed point such as int8, uint4, fix8.8"
    )


TEXT = st.text(max_size=30) | st.text("efmintxub0123456789.:=-" + string.whitespace, max_size=20)


@given(TEXT | st.builds("{}{}".format, formats().map(str), TEXT))
def test_any_text_is_a_format_or_refused_in_one_line(text):
    try:
        fmt = parse_format(text)
    except MacgenError as error:
        sentence = str(error)
    else:
        sentence = ""
        assert parse_format(str(fmt)) == fmt
    assert "\n" not in sentence


@pytest.mark.parametrize("text", ["e5m2", "e4m3fnuz:bias=11", "e6m9:flush", "int8", "ufix0.8", "fix8.8"])
def test_repr_is_what_parses_the_string(text):
    fmt = parse_format(text)
    assert repr(fmt) == f"{type(fmt).__name__}.parse({text!r})"
    assert eval(repr(fmt), {"FloatFormat": FloatFormat, "FixedFormat": FixedFormat}) == fmt
