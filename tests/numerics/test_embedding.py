"""Formats that embed in others: their codes stand for the same numbers there."""

import numpy as np
import pytest

from macgen import parse_format
from macgen.numerics import FixedFormat
from macgen.numerics.embedding import embedded, low_bits, obstacle

PAIRS = [
    ("e4m2", "e4m5"), ("e5m1quiet", "e5m2quiet"), ("e3m0finite", "e3m4finite"), ("e4m1fnuz", "e4m3fnuz"),
    ("e4m1finite:none", "e4m3finite:none"), ("e4m3fn", "e4m3fn"), ("e4m2:bias=3:flush", "e4m4:bias=3:flush"),
    ("int4", "int8"), ("fix2.2", "fix5.4"), ("uint3", "ufix4.2"), ("fix3.-1", "fix4.1"), ("int4", "int5narrow"),
    ("fix4.2narrow", "fix4.4narrow"), ("int1", "fix2.3"),
]  # fmt: skip


@pytest.mark.parametrize(("narrow", "wide"), PAIRS)
def test_every_code_is_the_same_number_in_the_wide_format(narrow, wide):
    narrow, wide = parse_format(narrow), parse_format(wide)
    assert obstacle(narrow, wide) is None
    codes = np.arange(1 << narrow.width)
    if isinstance(narrow, FixedFormat) and narrow.narrow:
        codes = codes[codes != narrow.missing_code]
    there = embedded(codes, narrow, wide)
    assert np.array_equal(wide.decode(there), narrow.decode(codes), equal_nan=True)
    assert not np.any(there & ((1 << low_bits(narrow, wide)) - 1))
    assert [embedded(int(code), narrow, wide) for code in codes[:9]] == there[:9].tolist()


@pytest.mark.parametrize(("narrow", "wide"), [("fix4.4", "fix8.8"), ("e5m2", "e5m9"), ("int4", "int80")])
def test_codes_of_short_integers_become_wide_ones(narrow, wide):
    """Formats encode into the shortest integers of NumPy that hold their codes."""
    narrow, wide = parse_format(narrow), parse_format(wide)
    codes = narrow.encode(np.array([1.0, -2.0, 0.0]))
    assert codes.dtype == np.uint8
    assert embedded(codes, narrow, wide).tolist() == [embedded(code, narrow, wide) for code in codes.tolist()]


@pytest.mark.parametrize(("narrow", "wide"), [pair for pair in PAIRS if pair[0] != pair[1]])
def test_the_wide_format_does_not_embed(narrow, wide):
    assert obstacle(parse_format(wide), parse_format(narrow)) is not None


def test_what_embeds_has_no_other_numbers():
    """Against the sets of numbers: small formats of one kind, each in each."""
    formats = [parse_format(f"{u}fix{i}.{f}") for u in ("", "u") for i in (-1, 0, 1, 2, 3) for f in (0, 1, 2)
               if 1 <= i + f <= 4]  # fmt: skip
    formats += [parse_format(f"{fmt}narrow") for fmt in formats if fmt.signed and fmt.width > 1]
    numbers = {fmt: {float(fmt.decode(code)) for code in range(1 << fmt.width) if code != fmt.missing_code}
               for fmt in formats}  # fmt: skip
    for narrow in formats:
        for wide in formats:
            if narrow.signed == wide.signed and obstacle(narrow, wide) is None:
                assert numbers[narrow] <= numbers[wide], (narrow, wide)
