"""Number formats: parse, print, decode, quantize, encode. Pure Python and NumPy; no files, no hardware."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from macgen.errors import MacgenError, check_type, shown
from macgen.numerics.arrays import code_dtype
from macgen.numerics.choices import (
    MAX_ALIGNED_BITS,
    MAX_GROUP,
    MAX_RANDOM_BITS,
    Choice,
    Encoding,
    LaneSum,
    LaneSumKind,
    Overflow,
    Rounding,
    RoundingKind,
    Subnormals,
)
from macgen.numerics.fixed_format import FixedFormat
from macgen.numerics.flags import Flags
from macgen.numerics.float_format import FloatFormat
from macgen.numerics.float_layout import ALIASES, MAX_MAN_BITS
from macgen.numerics.late_numpy import np
from macgen.numerics.number import Number, Rounded
from macgen.numerics.random_sequence import Lfsr
from macgen.numerics.rounding import (
    PLAIN_ROUNDINGS,
    NumberRounding,
    PlainRounding,
    Stochastic,
    shift_right,
)
from macgen.numerics.scale_format import MAX_SCALE_BITS, ScaleFormat
from macgen.numerics.spelling import perhaps_meant

if TYPE_CHECKING:
    from numpy.typing import NDArray

Format = FloatFormat | FixedFormat
"""A format that operands and accumulators can have."""


SUM_ROUNDINGS = tuple(Rounding(kind) for kind in RoundingKind if kind != RoundingKind.STOCHASTIC)
"""The roundings of sums that take no random numbers."""


def parse_format(text: str) -> Format:
    """Return the format that a string names (docs/arithmetic.md section 1).

    Raises:
        MacgenError: it names none.
    """
    if not isinstance(text, str):
        raise MacgenError(
            f"format {shown(text)} is not a string; accepted are strings such as e5m2, fp16, int8 or fix8.8"
        )
    try:
        return _parse(text)
    except MacgenError as error:
        meant = perhaps_meant(text, _parse)
        raise error if meant is None else MacgenError(f"{error}; perhaps {meant} is meant") from None


def _parse(text: str) -> Format:
    for kind, letters in ((FixedFormat, ("int", "uint", "fix", "ufix")), (FloatFormat, ("e", *ALIASES))):
        if text.startswith(letters):
            return kind.parse(text)
    raise MacgenError(
        f"format {shown(text)} is unknown; accepted are floats such as e5m2, e4m3fn, e6m9:flush, {', '.join(ALIASES)}, "
        f"and integers or fixed point such as int8, uint4, fix8.8"
    )


def as_format(field: str, value: Format | str) -> Format:
    """Return the format that a field was given, itself or its string.

    Raises:
        MacgenError: it is none; the sentence names the field.
    """
    try:
        return value if isinstance(value, FloatFormat | FixedFormat) else parse_format(value)
    except MacgenError as error:
        raise MacgenError(f"{field}: {error}") from None


def all_codes(fmt: Format | ScaleFormat) -> NDArray[Any]:
    """Return every code of a format in ascending order, but for that which a narrow format lacks.

    Raises:
        MacgenError: the format has more than 24 bits.
    """
    check_type("format", fmt, (FloatFormat, FixedFormat, ScaleFormat), "a format, such as parse_format's")
    if fmt.width > 24:
        raise MacgenError(f"format {fmt} has 2^{fmt.width} codes, too many to enumerate; accepted are up to 24 bits")
    codes = np.arange(1 << fmt.width, dtype=np.int64)
    if isinstance(fmt, FixedFormat) and fmt.narrow:
        codes = codes[codes != fmt.missing_code]
    return codes.astype(code_dtype(fmt.width))


def all_values(fmt: Format | ScaleFormat) -> NDArray[np.float64]:
    """Return every finite value of a format in ascending order, each once.

    Raises:
        MacgenError: the format has more than 24 bits.
    """
    codes = all_codes(fmt)
    values = fmt.decode(codes)
    return np.unique(values[np.isfinite(values)] + 0.0)


__all__ = [
    "ALIASES",
    "MAX_ALIGNED_BITS",
    "MAX_GROUP",
    "MAX_MAN_BITS",
    "MAX_RANDOM_BITS",
    "MAX_SCALE_BITS",
    "PLAIN_ROUNDINGS",
    "SUM_ROUNDINGS",
    "Choice",
    "Encoding",
    "FixedFormat",
    "Flags",
    "FloatFormat",
    "Format",
    "LaneSum",
    "LaneSumKind",
    "Lfsr",
    "Number",
    "NumberRounding",
    "Overflow",
    "PlainRounding",
    "Rounded",
    "Rounding",
    "RoundingKind",
    "ScaleFormat",
    "Stochastic",
    "Subnormals",
    "all_codes",
    "all_values",
    "as_format",
    "parse_format",
    "shift_right",
]
