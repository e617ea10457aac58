"""Values of a format chosen at random between the two neighbours, as `stochastic:r` does, for arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.errors import MacgenError
from macgen.numerics.arrays import integer_rounding
from macgen.numerics.choices import Rounding, Subnormals
from macgen.numerics.fixed_format import FixedFormat
from macgen.numerics.float_format import FloatFormat

_BITS = 53
"""Of binary64's significands."""


def check_random_bits(fmt: FloatFormat | FixedFormat, rounding: Rounding) -> None:
    """Refuse a rounding at random whose sums below the last place would not fit binary64.

    Raises:
        MacgenError: it has too many random bits.
    """
    kept = fmt.precision if isinstance(fmt, FloatFormat) else fmt.width
    bits = kept + rounding.bits_below
    if bits > _BITS - 1:
        raise MacgenError(f"rounding {str(rounding)!r} to {fmt} takes {bits} bits; accepted are up to {_BITS - 1}")


def quantize_at_random(
    fmt: FloatFormat | FixedFormat, values: NDArray[Any], rounding: Rounding, numbers: NDArray[Any]
) -> NDArray[np.float64]:
    """Return values rounded at random, saturated: `fmt.round` on arrays (docs/arithmetic.md section 3).

    Parameters:
        fmt: the format.
        values: of any shape; infinities become the format's ends.
        rounding: `stochastic:r` or `stochastic:r:nearest`.
        numbers: a random number of r bits for each value, of the same shape.

    Raises:
        MacgenError: a value is NaN, or there are too many bits for the format.
    """
    check_random_bits(fmt, rounding)
    bits, beneath = rounding.random_bits, integer_rounding(rounding.beneath)
    x = np.asarray(values, np.float64)
    if np.isnan(x).any():
        raise MacgenError("values to be rounded at random hold NaN; accepted are numbers and infinities")
    least, most = (-fmt.max if isinstance(fmt, FloatFormat) else fmt.min), fmt.max
    magnitude = np.abs(np.clip(x, least, most))
    if isinstance(fmt, FloatFormat):
        place = np.frexp(magnitude)[1] - 1 - fmt.man_bits
        if fmt.subnormals == Subnormals.GRADUAL:
            place = np.maximum(place, fmt.lsb_exponent)
        kept = beneath(np.ldexp(magnitude, bits - place))
        kept = np.ldexp(np.floor(np.ldexp(kept + numbers, -bits)), place)
    else:  # one place for all: powers of two multiply faster, and as exactly
        kept = beneath(magnitude * 2.0 ** (bits - fmt.lsb_exponent))
        kept = np.floor((kept + numbers) * 2.0**-bits) * 2.0**fmt.lsb_exponent
    signs = x
    if isinstance(fmt, FloatFormat) and fmt.subnormals != Subnormals.GRADUAL:
        tiny = kept < fmt.min_normal
        kept, signs = np.where(tiny, 0.0, kept), np.where(tiny & (x != 0), 1.0, x)
    rounded = np.clip(np.copysign(kept, signs), least, most)
    has_negative_zero = isinstance(fmt, FloatFormat) and fmt.zero_code(1) != fmt.zero_code(0)
    return np.asarray(rounded if has_negative_zero else rounded + 0.0)
