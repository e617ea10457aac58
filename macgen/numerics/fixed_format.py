"""Integer and fixed-point formats (docs/arithmetic.md section 1)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from macgen.errors import MacgenError, check_choice, check_flag, check_integer, check_type, shown
from macgen.numerics.arrays import checked_codes, code_dtype, first_index_text, real_values, rounded_to_integers
from macgen.numerics.choices import Overflow
from macgen.numerics.late_numpy import np
from macgen.numerics.number import Number, Rounded, checked_code
from macgen.numerics.rounding import PLAIN_ROUNDINGS, NumberRounding, PlainRounding, shift_right

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MAX_WIDTH = 256

_PATTERN = re.compile(r"(u?)(?:int(\d{1,4})|fix(-?\d{1,4})\.(-?\d{1,4}))(narrow)?", re.ASCII)


@dataclass(frozen=True)
class FixedFormat:
    """An integer or fixed-point format; instances are immutable, comparable and hashable.

    Parameters:
        int_bits: bits before the binary point, the sign's included; negative where the highest bit is further below it.
        frac_bits: bits after it, -256 to 256 as `int_bits`; negative where the last bit is further above it. The two
            add up to the width, 1 to 256.
        signed: two's complement, or unsigned.
        narrow: without the lowest value, so that the range is symmetric: signed formats from 2 bits on.

    Raises:
        MacgenError: a field is out of range.
    """

    int_bits: int
    frac_bits: int = 0
    signed: bool = True
    narrow: bool = False

    def __post_init__(self) -> None:
        for field, value in (("int_bits", self.int_bits), ("frac_bits", self.frac_bits)):
            self.__dict__[field] = check_integer(field, value, -MAX_WIDTH, MAX_WIDTH)  # the instance is frozen
        for field, flag in (("signed", self.signed), ("narrow", self.narrow)):
            self.__dict__[field] = check_flag(field, flag)
        if not 1 <= self.width <= MAX_WIDTH:
            summed = ", the sum of its two numbers" if self.frac_bits else ""
            raise MacgenError(f"format {self} has {self.width} bits{summed}; accepted are 1 to {MAX_WIDTH}")
        if self.narrow and (not self.signed or self.width < 2):
            raise MacgenError(f"format {self} cannot be narrow; accepted are signed formats of at least 2 bits")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the format that a string such as `int8`, `uint4`, `fix8.8`, `ufix-2.10` or `int8narrow` names.

        Raises:
            MacgenError: the string names no fixed-point format.
        """
        check_type("format", text, str, "a string such as int8 or fix8.8")
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise MacgenError(
                f"format {shown(text)} is not an integer or fixed-point format; accepted are intN, uintN, "
                f"fixI.F and ufixI.F (I and F may be negative and add up to the bits), intNnarrow and fixI.Fnarrow"
            )
        unsigned, integer, int_bits, frac_bits, narrow = match.groups()
        return cls(int(integer or int_bits), int(frac_bits or 0), signed=not unsigned, narrow=bool(narrow))

    def __repr__(self) -> str:
        return f"FixedFormat.parse({str(self)!r})"

    def __str__(self) -> str:
        prefix, suffix = "" if self.signed else "u", "narrow" if self.narrow else ""
        digits = f"fix{self.int_bits}.{self.frac_bits}" if self.frac_bits else f"int{self.int_bits}"
        return prefix + digits + suffix

    # -- limits --------------------------------------------------------------------------------------------------

    @cached_property
    def width(self) -> int:
        """Bits of a code."""
        return self.int_bits + self.frac_bits

    @cached_property
    def max_integer(self) -> int:
        """Largest value in units of the last bit."""
        return (1 << (self.width - self.signed)) - 1

    @cached_property
    def min_integer(self) -> int:
        """Lowest value in units of the last bit."""
        return -(1 << (self.width - 1)) + self.narrow if self.signed else 0

    @property
    def missing_code(self) -> int | None:
        """The code that is no number of a narrow format; None of others, whose codes are all numbers."""
        return 1 << (self.width - 1) if self.narrow else None

    @property
    def _end(self) -> float:
        """The first integer above the range, exact in binary64."""
        return 2.0 ** (self.width - self.signed)

    @cached_property
    def lsb_exponent(self) -> int:
        """Exponent of the grid."""
        return -self.frac_bits

    @property
    def max_exponent(self) -> int:
        """Exponent of the largest magnitude."""
        return max(self.max_integer, -self.min_integer).bit_length() - 1 - self.frac_bits

    @property
    def max(self) -> float:
        """Largest value (beyond 53 bits the nearest double)."""
        return math.ldexp(float(self.max_integer), self.lsb_exponent)

    @property
    def min(self) -> float:
        """Lowest value."""
        return math.ldexp(float(self.min_integer), self.lsb_exponent)

    @property
    def has_infinity(self) -> bool:
        """No code is an infinity."""
        return False

    @property
    def has_nan(self) -> bool:
        """No code is NaN."""
        return False

    # -- one code, exactly ---------------------------------------------------------------------------------------

    def largest_code(self, sign: int) -> int:
        """Return the code of the end of the range on the side of a sign."""
        return self._code(self.min_integer if sign else self.max_integer)

    def zero_code(self, sign: int = 0) -> int:
        """Return the code of zero, which has no sign here."""
        return 0

    def _code(self, integer: int) -> int:
        return integer & ((1 << self.width) - 1)

    def number(self, code: int) -> Number:
        """Decode one code exactly.

        Raises:
            MacgenError: the code is no integer, does not fit the width, or is that which a narrow format lacks.
        """
        code = checked_code(code, self.width, str(self))
        if code == self.missing_code:
            raise MacgenError(f"code {code!r} is no number of {self}; accepted are all others of {self.width} bits")
        integer = code - (1 << self.width) if code > self.max_integer else code
        return Number("finite", int(integer < 0), abs(integer), self.lsb_exponent)

    def round(
        self, sign: int, significand: int, exponent: int, rounding: NumberRounding, overflow: Overflow | str
    ) -> Rounded:
        """Round the exact value (-1)**sign * significand * 2**exponent into this format (docs/arithmetic.md section 3).

        Parameters:
            sign: 1 for negative.
            significand: non-negative integer of any size.
            exponent: power of two of its last bit.
            rounding: `rne`, `rtz`, `floor`, `odd` or a random number.
            overflow: `saturate` or, unless the format is narrow, `wrap`.
        """
        magnitude, _ = shift_right(significand, self.lsb_exponent - exponent, rounding, negative=sign == 1)
        integer = -magnitude if sign else magnitude
        if self.min_integer <= integer <= self.max_integer:
            return Rounded(self._code(integer))
        return Rounded(self._code(integer) if overflow == "wrap" else self.largest_code(sign), overflow=True)

    # -- arrays --------------------------------------------------------------------------------------------------

    def decode(self, codes: ArrayLike) -> NDArray[np.float64]:
        """Decode codes to values; exact up to 53 bits, beyond that the nearest double.

        Parameters:
            codes: unsigned integers of any shape.

        Returns:
            Values of the same shape.

        Raises:
            MacgenError: a code is no integer, does not fit the width, or is that which a narrow format lacks.
        """
        c = checked_codes(codes, self.width, str(self))
        missing = np.asarray(c == self.missing_code, dtype=bool)
        if self.narrow and missing.any():
            where, value = first_index_text(c, missing)
            raise MacgenError(f"code{where} = {value} is no number of {self}; accepted are all others")
        integers = np.where(c > self.max_integer, c - (1 << self.width), c)
        return np.asarray(np.ldexp(integers.astype(np.float64), self.lsb_exponent))

    def quantize(
        self, values: ArrayLike, rounding: PlainRounding = "rne", overflow: Overflow | str = "saturate"
    ) -> NDArray[np.float64]:
        """Round values to this format's grid and range.

        Parameters:
            values: real numbers of any shape, infinities too unless they wrap.
            rounding: `rne`, `rtz`, `floor` or `odd`.
            overflow: `saturate` or `wrap`.

        Returns:
            Values of the same shape (beyond 53 bits: the format's nearest ones that are doubles).

        Raises:
            MacgenError: a value is no number, an infinity is to wrap, or an argument is not one of its choices.
        """
        check_choice("rounding", rounding, PLAIN_ROUNDINGS)
        accepted = ["saturate"] if self.narrow else ["saturate", "wrap"]
        if not isinstance(overflow, str) or overflow not in accepted:
            kind = "narrow formats" if self.narrow else "integer and fixed-point formats"
            raise MacgenError(f"overflow {shown(overflow)} is not one of {', '.join(accepted)} ({kind})")
        x = real_values(values)
        refused = np.isnan(x) if overflow == "saturate" else ~np.isfinite(x)
        if refused.any():
            where, value = first_index_text(x, refused)
            held = "numbers and infinities" if overflow == "saturate" else "finite numbers"
            raise MacgenError(f"value{where} = {value!r} cannot be held by format {self}; accepted are {held}")
        if overflow == "wrap":
            x = np.fmod(x, 2.0**self.int_bits)  # exact, and keeps the scaling below from overflowing
        with np.errstate(over="ignore"):
            scaled = rounded_to_integers(x, self.frac_bits, rounding)
        if overflow == "wrap":
            scaled = np.where(scaled >= self._end, scaled - 2.0**self.width, scaled)
            scaled = np.where(scaled < self.min_integer, scaled + 2.0**self.width, scaled)
        scaled = np.clip(scaled, float(self.min_integer), np.floor(np.nextafter(self._end, 0.0)))
        return np.asarray(np.ldexp(scaled, self.lsb_exponent) + 0.0)

    def encode(self, values: ArrayLike) -> NDArray[Any]:
        """Encode values that lie on this format's grid (`quantize` puts them there).

        Parameters:
            values: real numbers of any shape.

        Returns:
            Codes of the same shape in the smallest unsigned NumPy type (Python integers above 64 bits).

        Raises:
            MacgenError: a value is not one of the format's.
        """
        x = real_values(values)
        with np.errstate(over="ignore"):
            scaled = np.ldexp(x, self.frac_bits)
        off_grid = np.isnan(x) | (np.trunc(scaled) != scaled) | (scaled >= self._end) | (scaled < self.min_integer)
        off_grid |= (scaled == 0) & (x != 0)  # scaled down below binary64
        if off_grid.any():
            where, value = first_index_text(x, off_grid)
            raise MacgenError(
                f"value{where} = {value!r} is not a value of format {self}; accepted are values on its grid"
            )
        if self.width < 63:
            integers = scaled.astype(np.int64)
        else:
            integers = np.array([int(value) for value in scaled.flat], dtype=object).reshape(scaled.shape)
        return np.where(integers < 0, integers + (1 << self.width), integers).astype(code_dtype(self.width))

    def ulp(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return the unit in the last place at each value: the same everywhere, 2**-frac_bits.

        Parameters:
            values: real numbers of any shape.

        Returns:
            Values of the same shape; NaN for infinities and NaN.

        Raises:
            MacgenError: a value is no real number.
        """
        return np.where(np.isfinite(real_values(values)), 2.0**-self.frac_bits, np.nan)
