"""The fields of a floating-point format, its limits, and what one code says (docs/arithmetic.md section 1)."""

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from macgen.errors import MacgenError, check_integer, check_type, is_integer, shown
from macgen.numerics.choices import Encoding, Subnormals
from macgen.numerics.number import Number, checked_code

MAX_MAN_BITS = 52
"""Widest mantissa: that of binary64, in which every value is exact."""

ALIASES = {"fp16": "e5m10", "bf16": "e8m7", "fp32": "e8m23", "fp64": "e11m52"}

_PATTERN = re.compile(r"e(\d{1,3})m(\d{1,3})(fnuz|fn|finite|quiet|)(?::bias=(-?\d{1,6}))?(?::(flush|none))?", re.ASCII)


@dataclass(frozen=True, init=False)
class FloatLayout:
    """How a floating-point format reads its codes: its fields, its limits and its special codes.

    `FloatFormat` says what the parameters are, and adds the way from numbers to codes.
    """

    exp_bits: int
    man_bits: int
    bias: int
    encoding: Encoding
    subnormals: Subnormals

    def __init__(
        self,
        exp_bits: int,
        man_bits: int,
        *,
        bias: int | None = None,
        encoding: Encoding | str = "ieee",
        subnormals: Subnormals | str = "gradual",
    ) -> None:
        self.__dict__.update(encoding=Encoding(encoding), subnormals=Subnormals(subnormals))
        least = 1 if self.has_infinity else 0
        for field, value, low, high in (
            ("exp_bits", exp_bits, least + 1, 11),
            ("man_bits", man_bits, least, MAX_MAN_BITS),
        ):
            self.__dict__[field] = check_integer(field, value, low, high, also=f" (encoding {self.encoding!r})")
        if self.encoding == Encoding.FN and exp_bits + man_bits < 2:
            raise MacgenError(f"man_bits 0 leaves e1m0fn no number but zero; accepted are 1 to {MAX_MAN_BITS}")
        if self.subnormals == Subnormals.NONE and man_bits == 0:
            raise MacgenError(
                f"man_bits 0 leaves no number of exponent field 0, which subnormals 'none' would add; accepted are 1 "
                f"to {MAX_MAN_BITS}, or subnormals 'flush'"
            )
        if bias is not None and not is_integer(bias):
            raise MacgenError(f"bias {shown(bias)} is not an integer")
        self.__dict__["bias"] = self.default_bias if bias is None else int(bias)
        if not (self.min_exponent - man_bits >= -1074 and self.max_exponent <= 1023):
            raise MacgenError(
                f"bias {shown(self.bias)} puts values of e{exp_bits}m{man_bits} outside binary64; accepted are biases "
                f"that keep every value within 2^-1074 to 2^1023"
            )

    # -- names ---------------------------------------------------------------------------------------------------

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the format that a string such as `e5m2`, `e4m3fnuz:bias=11`, `e6m9:flush` or `bf16` names.

        Raises:
            MacgenError: the string names no float format.
        """
        check_type("format", text, str, "a string such as e5m2")
        name, colon, options = text.partition(":")
        match = _PATTERN.fullmatch(ALIASES.get(name, name) + colon + options)
        if match is None:
            raise MacgenError(
                f"format {shown(text)} is not a float format; accepted are eXmY with an optional fn, fnuz, finite or "
                f"quiet, then :bias=N, then :flush or :none, or {', '.join(ALIASES)}"
            )
        exp_bits, man_bits, encoding, bias, subnormals = match.groups()
        return cls(
            int(exp_bits),
            int(man_bits),
            bias=None if bias is None else int(bias),
            encoding=encoding or Encoding.IEEE,
            subnormals=subnormals or Subnormals.GRADUAL,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}.parse({str(self)!r})"

    def __str__(self) -> str:
        suffix = "" if self.encoding == Encoding.IEEE else self.encoding
        bias = "" if self.bias == self.default_bias else f":bias={self.bias}"
        subnormals = "" if self._gradual else f":{self.subnormals}"
        return f"e{self.exp_bits}m{self.man_bits}{suffix}{bias}{subnormals}"

    # -- limits --------------------------------------------------------------------------------------------------

    @property
    def default_bias(self) -> int:
        """The bias that the format string need not state."""
        return (1 << (self.exp_bits - 1)) - (0 if self.encoding == Encoding.FNUZ else 1)

    @cached_property
    def width(self) -> int:
        """Bits of a code."""
        return 1 + self.exp_bits + self.man_bits

    @cached_property
    def precision(self) -> int:
        """Bits of a normal number's significand, the hidden one included."""
        return self.man_bits + 1

    @cached_property
    def has_infinity(self) -> bool:
        """Whether some codes are infinities."""
        return self.encoding in (Encoding.IEEE, Encoding.QUIET)

    @cached_property
    def has_nan(self) -> bool:
        """Whether some code is NaN."""
        return self.encoding != Encoding.FINITE

    @property
    def overflows_to_nan(self) -> bool:
        """Whether numbers that are too large can become NaN: the encoding has it and no infinities."""
        return self.has_nan and not self.has_infinity

    @cached_property
    def least_normal_field(self) -> int:
        """Exponent field of the smallest normal number."""
        return 0 if self.subnormals == Subnormals.NONE else 1

    @cached_property
    def min_exponent(self) -> int:
        """Exponent of the smallest normal number."""
        return self.least_normal_field - self.bias

    @property
    def max_exponent(self) -> int:
        """Exponent of the largest finite number."""
        return (self.max_code >> self.man_bits) - self.bias

    @cached_property
    def lsb_exponent(self) -> int:
        """Exponent of the finest grid: every finite value is a multiple of 2 to this power."""
        return self.min_exponent - self.man_bits

    @cached_property
    def sum_exponent(self) -> int:
        """Least exponent e for which every multiple of 2**e is a value, if it is in range and has `precision` bits."""
        match self.subnormals:
            case Subnormals.GRADUAL:
                return self.lsb_exponent
            case Subnormals.FLUSH:
                return self.min_exponent
        return self.min_exponent + 1

    @cached_property
    def max_code(self) -> int:
        """Code of the largest finite number."""
        top = (1 << (self.exp_bits + self.man_bits)) - 1
        if self.has_infinity:
            return top - (1 << self.man_bits)
        return top - 1 if self.encoding == Encoding.FN else top

    @cached_property
    def max(self) -> float:
        """Largest finite value."""
        return float(self.number(self.max_code).to_fraction())

    @property
    def min_normal(self) -> float:
        """Smallest positive normal value."""
        least = 1.0 + self.epsilon if self.subnormals == Subnormals.NONE else 1.0
        return math.ldexp(least, self.min_exponent)

    @property
    def min_subnormal(self) -> float:
        """Smallest positive value (the smallest normal one if the format has no subnormals)."""
        return math.ldexp(1.0, self.lsb_exponent) if self._gradual and self.man_bits else self.min_normal

    @property
    def epsilon(self) -> float:
        """Distance from 1 to the next larger significand of the same precision, 2**-man_bits."""
        return 2.0**-self.man_bits

    @cached_property
    def _gradual(self) -> bool:
        return self.subnormals == Subnormals.GRADUAL

    @cached_property
    def _sign_bit(self) -> int:
        return 1 << (self.width - 1)

    # -- special codes -------------------------------------------------------------------------------------------

    @property
    def nan_code(self) -> int:
        """Code of the canonical NaN.

        Raises:
            MacgenError: the encoding has no NaN.
        """
        match self.encoding:
            case Encoding.IEEE | Encoding.QUIET:
                return (((1 << self.exp_bits) - 1) << self.man_bits) | (1 << (self.man_bits - 1))
            case Encoding.FN:
                return self._sign_bit - 1
            case Encoding.FNUZ:
                return self._sign_bit
        raise MacgenError(f"format {self} has no NaN; accepted are ieee, quiet, fn and fnuz encodings")

    def infinity_code(self, sign: int) -> int:
        """Return the code of an infinity.

        Raises:
            MacgenError: the encoding has no infinity.
        """
        if not self.has_infinity:
            raise MacgenError(f"format {self} has no infinity; accepted are the ieee and quiet encodings")
        return self._signed(sign, self.max_code + 1)

    def largest_code(self, sign: int) -> int:
        """Return the code of the largest finite magnitude of a sign."""
        return self._signed(sign, self.max_code)

    def zero_code(self, sign: int = 0) -> int:
        """Return the code of a zero; `fnuz` has only +0."""
        return self._signed(sign if self.encoding != Encoding.FNUZ else 0, 0)

    def _signed(self, sign: int, magnitude_code: int) -> int:
        return magnitude_code | (self._sign_bit if sign else 0)

    # -- one code, exactly ---------------------------------------------------------------------------------------

    def number(self, code: int) -> Number:
        """Decode one code exactly.

        Raises:
            MacgenError: the code is no integer or does not fit the width.
        """
        code = checked_code(code, self.width, str(self))
        sign, magnitude = code >> (self.width - 1), code & (self._sign_bit - 1)
        if self.encoding == Encoding.FNUZ and code == self._sign_bit:
            return Number("nan", 1)
        if magnitude > self.max_code:
            if self.encoding == Encoding.FN:
                return Number("nan", sign)
            mantissa = magnitude - (self.max_code + 1)
            if mantissa == 0:
                return Number("infinite", sign)
            is_quiet = self.encoding == Encoding.QUIET or mantissa >> (self.man_bits - 1)
            return Number("nan" if is_quiet else "signalling", sign)
        exponent, mantissa = magnitude >> self.man_bits, magnitude & ((1 << self.man_bits) - 1)
        if magnitude == 0 or exponent < self.least_normal_field:
            significand = mantissa if self._gradual else 0
            return Number(
                "finite", sign if significand or self.encoding != Encoding.FNUZ else 0, significand, self.lsb_exponent
            )
        lsb = self.lsb_exponent + exponent - self.least_normal_field
        return Number("finite", sign, mantissa | 1 << self.man_bits, lsb)
