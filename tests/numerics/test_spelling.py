"""Which format a refusal thinks was meant."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen.errors import MacgenError
from macgen.numerics import parse_format

MEANT = {
    "e1m6": "e1m6finite",
    "e4m0": "e4m0finite",
    "E5M2": "e5m2",
    " e4m3fn ": "e4m3fn",
    "FP16": "fp16",
    "fp-16": "fp16",
    "INT8": "int8",
    "half": "fp16",
    "float32": "fp32",
    "float": "fp32",
    "double": "fp64",
    "bfloat16": "bf16",
    "bf61": "bf16",
    "TF32": "e8m10",
    "float8_e4m3fn": "e4m3fn",
    "float8_e5m2fnuz": "e5m2fnuz",
    "fp8-e5m2": "e5m2",
    "float4_e2m1fn": "e2m1finite",
    "float6_e3m2fn": "e3m2finite",
    "mxfp8-e4m3": "e4m3fn",
    "float8_e4m3": "e4m3",
    "i8": "int8",
    "s16": "int16",
    "int8_t": "int8",
    "u4": "uint4",
    "uint16_t": "uint16",
    "q8.8": "fix8.8",
    "uq0.8": "ufix0.8",
    "int4.4": "fix4.4",
    "fixed8.8": "fix8.8",
    "fix8": "int8",
    "q12.-4": "fix12.-4",
    "Fix-2.10": "fix-2.10",
    "fix8.\N{MINUS SIGN}4": "fix8.-4",
    "fix8,-4": "fix8.-4",
    "fix8.+4": "fix8.4",
    "int8_narrow": "int8narrow",
    "int8 Narrow": "int8narrow",
    "i8narrow": "int8narrow",
    "q4.4narrow": "fix4.4narrow",
}


@pytest.mark.parametrize(("text", "meant"), MEANT.items())
def test_close_names_are_told(text, meant):
    with pytest.raises(MacgenError, match=rf"^[^\n]*; perhaps {re.escape(meant)} is meant$"):
        parse_format(text)
    parse_format(meant)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "posit8",
        "e99m99",
        "e0m3",
        "int0",
        "int999",
        "fix300.2",
        "x" * 10_000,
        "e5m2:up",
        "fix-300.8",
        "fix8.-300",
        "fix8.-8",
        "q4.-4",
        "uint8narrow",
        "e5m2:bias=-1000",
    ],
)
def test_what_is_close_to_none_gets_no_hint(text):
    with pytest.raises(MacgenError) as error:
        parse_format(text)
    assert "perhaps" not in str(error.value)


@given(st.text(max_size=12) | st.text(alphabet="efpimntufnuzixq0123456789._-: ", max_size=12))
def test_any_text_is_a_format_or_one_sentence(text):
    try:
        parse_format(text)
    except MacgenError as error:
        assert "\n" not in str(error)
        if meant := re.search("; perhaps (.*) is meant$", str(error)):
            parse_format(meant[1])
