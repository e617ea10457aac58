"""Floating-point formats of any exponent and mantissa width (docs/arithmetic.md section 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from macgen.errors import MacgenError, check_choice, shown
from macgen.numerics.arrays import (
    checked_codes,
    code_dtype,
    first_index_text,
    nearest_of_precision,
    real_values,
    rounded_to_integers,
)
from macgen.numerics.choices import Encoding, Overflow
from macgen.numerics.float_layout import FloatLayout
from macgen.numerics.late_numpy import np
from macgen.numerics.number import Rounded
from macgen.numerics.rounding import PLAIN_ROUNDINGS, NumberRounding, PlainRounding, shift_right

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class FloatFormat(FloatLayout):
    """A binary floating-point format; instances are immutable, comparable and hashable.

    Parameters:
        exp_bits: exponent field width, 1 to 11 (2 to 11 for `ieee` and `quiet`).
        man_bits: mantissa field width, 0 to 52 (1 to 52 for `ieee` and `quiet`).
        bias: exponent bias; None for the encoding's usual one, `2**(exp_bits-1) - 1` (`fnuz`: one more).
        encoding: `ieee`, `fn`, `fnuz` (OCP OFP8 and its neighbours), `finite` (OCP Microscaling elements) or
            `quiet` (as `ieee`, no NaN is signalling).
        subnormals: `gradual`, `flush` or `none` (M from 1): what the exponent field 0 means.

    Raises:
        MacgenError: a field is out of range, or some value would not be exact in binary64.
    """

    # -- one number, exactly -------------------------------------------------------------------------------------

    def round(
        self, sign: int, significand: int, exponent: int, rounding: NumberRounding, overflow: Overflow | str
    ) -> Rounded:
        """Round the exact value (-1)**sign * significand * 2**exponent into this format.

        This is R of docs/arithmetic.md section 3 for a value other than an exact zero sum, whose sign is the caller's
        business: a zero significand gives the zero of the given sign.

        Parameters:
            sign: 1 for negative.
            significand: non-negative integer of any size.
            exponent: power of two of its last bit.
            rounding: `rne`, `rtz`, `floor`, `odd` or a random number.
            overflow: `saturate`, or `infinity`, `to-infinity` or `nan` where the encoding has that.
        """
        negative = sign == 1
        if significand == 0:
            return Rounded(self.zero_code(sign))
        value_exponent = exponent + significand.bit_length() - 1
        lsb = value_exponent - self.man_bits
        kept, _ = shift_right(significand, lsb - exponent, rounding, negative=negative)
        if kept >> self.precision:  # rounding carried into the next binade
            kept, lsb = kept >> 1, lsb + 1
        # Counted in codes from zero, whose place is the power of two that `none` lacks.
        magnitude = ((lsb - self.lsb_exponent + self.least_normal_field - 1) << self.man_bits) + kept
        if lsb < self.lsb_exponent or magnitude == 0:  # tiny after rounding with unbounded exponent range
            if not self._gradual:
                return Rounded(self.zero_code(), underflow=True)
            kept, inexact = shift_right(significand, self.lsb_exponent - exponent, rounding, negative=negative)
            code = self.zero_code(sign) if kept == 0 else self._signed(sign, kept)
            return Rounded(code, underflow=inexact)
        if magnitude <= self.max_code:
            return Rounded(self._signed(sign, magnitude))
        if overflow == "nan":
            return Rounded(self.nan_code, overflow=True)
        away = rounding not in ("rtz", "odd") and (negative or rounding != "floor")
        if overflow == "to-infinity" or (overflow == "infinity" and away):
            return Rounded(self.infinity_code(sign), overflow=True)
        return Rounded(self.largest_code(sign), overflow=True)

    # -- arrays --------------------------------------------------------------------------------------------------

    def decode(self, codes: ArrayLike) -> NDArray[np.float64]:
        """Decode codes to values; exact.

        Parameters:
            codes: unsigned integers of any shape.

        Returns:
            Values of the same shape; infinities and NaN where the codes say so.

        Raises:
            MacgenError: a code is no integer or does not fit the width.
        """
        c = checked_codes(codes, self.width, str(self))
        sign = np.asarray(c >> (self.width - 1)).astype(np.int64)
        magnitude = np.asarray(c & (self._sign_bit - 1)).astype(np.int64)  # 63 bits at most, whatever c's type
        field, mantissa = magnitude >> self.man_bits, (magnitude & ((1 << self.man_bits) - 1)).astype(np.float64)
        subnormal = (magnitude == 0) | (field < self.least_normal_field)
        significand = np.where(subnormal, mantissa if self._gradual else 0.0, mantissa + 2.0**self.man_bits)
        binade = np.where(subnormal, 0, field - self.least_normal_field).astype(np.int64)
        with np.errstate(over="ignore"):  # the codes above max_code may lie beyond binary64
            value = np.ldexp(significand, binade + self.lsb_exponent)
        if self.has_infinity:
            value = np.where(magnitude == self.max_code + 1, np.inf, value)
            value = np.where(magnitude > self.max_code + 1, np.nan, value)
        elif self.encoding == Encoding.FN:
            value = np.where(magnitude > self.max_code, np.nan, value)
        value = np.where(sign == 1, -value, value)
        if self.encoding == Encoding.FNUZ:
            value = np.where(c == self._sign_bit, np.nan, value + 0.0)
        return np.asarray(value)

    def quantize(
        self, values: ArrayLike, rounding: PlainRounding = "rne", overflow: Overflow | str = "saturate"
    ) -> NDArray[np.float64]:
        """Round values to this format's grid.

        Parameters:
            values: real numbers of any shape.
            rounding: `rne`, `rtz`, `floor` or `odd`.
            overflow: `saturate` to the largest finite value (infinite values too, where the encoding has no
                infinity), or `infinity`: infinity where the encoding has it, NaN in `fn` and `fnuz`, the largest
                value in `finite`; `rtz` and `odd` never round a finite value to infinity or NaN (IEEE 754 7.4), nor
                does `floor` a positive one. In every rounding: `to-infinity`, where the encoding has infinities, and
                `nan`, NaN, in `fn` and `fnuz`.

        Returns:
            Values of the same shape; NaN stays NaN.

        Raises:
            MacgenError: a value is NaN and the encoding has none, or an argument is not one of its choices.
        """
        check_choice("rounding", rounding, PLAIN_ROUNDINGS)
        always = ["to-infinity"] if self.has_infinity else ["nan"] if self.overflows_to_nan else []
        accepted = ["saturate", "infinity", *always]
        if not isinstance(overflow, str) or overflow not in accepted:
            raise MacgenError(
                f"overflow {shown(overflow)} is not one of {', '.join(accepted)} (formats with a float encoding)"
            )
        x = real_values(values)
        if not self.has_nan and np.isnan(x).any():
            where, _ = first_index_text(x, np.isnan(x))
            raise MacgenError(
                f"value{where} is NaN, which format {self} cannot hold; accepted are numbers and infinities"
            )
        if (rounding, overflow) == ("rne", "saturate") and self._is_usual(x):
            return self._saturated_to_nearest(x)
        finite = np.isfinite(x)
        safe = np.where(finite, x, 0.0)
        lsb = np.frexp(safe)[1].astype(np.int64) - 1 - self.man_bits
        with np.errstate(over="ignore", under="ignore"):
            normal = np.ldexp(rounded_to_integers(safe, -lsb, rounding), lsb)
            tiny = np.abs(normal) < self.min_normal
            if self._gradual:
                below = np.where(tiny, safe, 0.0)
                small = np.ldexp(rounded_to_integers(below, -self.lsb_exponent, rounding), self.lsb_exponent)
                rounded = np.where(tiny, np.copysign(small, safe), normal)
            else:
                rounded = np.where(tiny & (safe != 0), 0.0, normal)
        special = np.inf if self.has_infinity else np.nan if self.has_nan and overflow != "saturate" else self.max
        reached = (overflow in ("nan", "to-infinity")) | (
            (overflow == "infinity") & ((rounding == "rne") | ((rounding == "floor") & (safe < 0)))
        )
        limit = np.where(reached, special, self.max)
        rounded = np.where(np.abs(rounded) > self.max, np.copysign(limit, safe), rounded)
        rounded = np.where(finite, rounded, np.where(np.isnan(x), x, np.copysign(special, x)))
        return np.asarray(rounded + 0.0 if self.encoding == Encoding.FNUZ else rounded)

    def _is_usual(self, x: NDArray[np.float64]) -> bool:
        """Return whether no number or format is near the ends of binary64."""
        if x.ndim == 0 or x.size == 0 or self.precision > 50 or not -950 <= self.min_exponent <= 900:
            return False
        return bool(max(x.max(), -x.min()) < 2.0**900)

    def _saturated_to_nearest(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return usual numbers quantised, in a few operations."""
        rounded = nearest_of_precision(x, self.precision, self.min_exponent if self._gradual else None)
        if not self._gradual:
            np.copyto(rounded, 0.0, where=(np.abs(rounded) < self.min_normal) & (x != 0))
        np.clip(rounded, -self.max, self.max, out=rounded)
        return rounded + 0.0 if self.encoding == Encoding.FNUZ else rounded

    def encode(self, values: ArrayLike) -> NDArray[Any]:
        """Encode values that lie on this format's grid (`quantize` puts them there).

        Parameters:
            values: real numbers of any shape.

        Returns:
            Codes of the same shape in the smallest unsigned NumPy type; NaN becomes the canonical NaN.

        Raises:
            MacgenError: a value is not one of the format's.
        """
        x = real_values(values)
        if self.encoding == Encoding.FNUZ:
            x = x + 0.0  # -0 has no code of its own
        nan, infinite = np.isnan(x), np.isinf(x)
        magnitude = np.where(nan | infinite, 0.0, np.abs(x))
        exponent = np.frexp(magnitude)[1].astype(np.int64) - 1
        exponent = np.where(magnitude == 0, self.min_exponent, np.maximum(exponent, self.min_exponent))
        scaled = np.ldexp(magnitude, self.man_bits - exponent)
        significand = np.where(scaled < 2.0**self.precision, scaled, 0.0).astype(np.int64)
        normal = significand >> self.man_bits
        code = ((exponent - self.min_exponent + self.least_normal_field - 1) << self.man_bits) + significand
        code = np.where(magnitude == 0, 0, code)
        off_grid = (scaled != significand) | (code > self.max_code) | ((scaled == 0) & (magnitude != 0))
        if not self._gradual:
            off_grid |= ((normal == 0) | (code == 0)) & (significand != 0)
        off_grid |= infinite & (not self.has_infinity) | nan & (not self.has_nan)
        if off_grid.any():
            where, value = first_index_text(x, off_grid)
            raise MacgenError(
                f"value{where} = {value!r} is not a value of format {self}; accepted are values on its grid"
            )
        dtype = code_dtype(self.width)
        code = np.asarray(code.astype(dtype) | np.where(np.signbit(x), self._sign_bit, 0).astype(dtype))
        if self.has_infinity:
            code[infinite] += self.max_code + 1
        if self.has_nan:
            code[nan] = self.nan_code
        return np.asarray(code)

    def ulp(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return the unit in the last place at each value: from a value of the format, the step to the next larger one.

        Parameters:
            values: real numbers of any shape. Beyond the largest finite value its binade's unit holds.

        Returns:
            Values of the same shape; NaN for infinities and NaN.

        Raises:
            MacgenError: a value is no real number.
        """
        x = real_values(values)
        finite = np.isfinite(x)
        magnitude = np.where(finite, np.abs(x), 0.0)
        exponent = np.where(magnitude < self.min_normal, self.min_exponent, np.frexp(magnitude)[1].astype(np.int64) - 1)
        ulp = np.ldexp(1.0, np.minimum(exponent, self.max_exponent) - self.man_bits)
        if not self._gradual:
            ulp = np.where(magnitude < self.min_normal, self.min_normal, ulp)
        return np.where(finite, ulp, np.nan)
