"""What a string that names no format was perhaps meant to name."""

import difflib
import re
from collections.abc import Callable, Iterator

from macgen.errors import MacgenError
from macgen.numerics.float_layout import ALIASES

_OTHER_NAMES = {
    **dict.fromkeys(("half", "float16", "f16", "binary16"), "fp16"),
    **dict.fromkeys(("single", "float", "float32", "f32", "binary32"), "fp32"),
    **dict.fromkeys(("double", "float64", "f64", "binary64"), "fp64"),
    **dict.fromkeys(("bfloat", "bfloat16", "brain16"), "bf16"),
    "tf32": "e8m10",
}

_OTHER_SPELLINGS = (
    (r"(?:mx)?(?:fp|float)[46](e\dm\d)(?:fn)?", lambda m: f"{m[1]}finite"),  # as ml_dtypes and PyTorch name them
    (r"(?:mx)?fp8(e4m3)", lambda m: f"{m[1]}fn"),  # OCP's
    (r"(?:mx)?(?:fp|float)8(e\dm\d(?:fnuz|fn)?)", lambda m: m[1]),
    (r"(?:s?int|i|s)(\d+)t?(narrow)?", lambda m: f"int{m[1]}{m[2] or ''}"),
    (r"u(?:int)?(\d+)t?", lambda m: f"uint{m[1]}"),
    (r"(u?)s?(?:q|int|fix|fixed)(-?\d+)[.,]\+?(-?\d+)(narrow)?", lambda m: f"{m[1]}fix{m[2]}.{m[3]}{m[4] or ''}"),
    (r"(u?)fix(?:ed)?(\d+)(narrow)?", lambda m: f"{m[1]}int{m[2]}{m[3] or ''}"),
)

_MINUS = dict.fromkeys(map(ord, "\N{MINUS SIGN}\N{EN DASH}\N{HYPHEN}\N{NON-BREAKING HYPHEN}"), "-")


def perhaps_meant(text: str, parse: Callable[[str], object]) -> str | None:
    """Return a format's name that is close to a string, or None.

    Parameters:
        text: what was refused.
        parse: raises `MacgenError` for what names no format.
    """
    for name in _candidates(text[:40]):
        try:
            parse(name)
        except MacgenError:
            continue
        return name
    return None


def _candidates(text: str) -> Iterator[str]:
    name = re.sub(r"[\s_]", "", text.lower()).translate(_MINUS)
    if not any(mark in name for mark in ".,:"):  # there it is a sign
        name = name.replace("-", "")
    yield name
    yield f"{name}finite"
    if name in _OTHER_NAMES:
        yield _OTHER_NAMES[name]
    for pattern, spelled in _OTHER_SPELLINGS:
        if match := re.fullmatch(pattern, name, re.ASCII):
            yield spelled(match)
    for close in difflib.get_close_matches(name, (*ALIASES, *_OTHER_NAMES), 1, 0.75):
        yield _OTHER_NAMES.get(close, close)
