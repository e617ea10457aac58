"""Power-of-two scales of blocks, such as E8M0 of OCP Microscaling (MX)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from macgen.errors import MacgenError, check_integer, check_type, shown
from macgen.numerics.arrays import checked_codes, code_dtype, first_index_text, real_values
from macgen.numerics.late_numpy import np
from macgen.numerics.number import Number, checked_code

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MAX_SCALE_BITS = 8

_PATTERN = re.compile(r"e([1-9])m0fnu", re.ASCII)


@dataclass(frozen=True)
class ScaleFormat:
    """An unsigned power of two: code c means 2**(c - bias), bias 2**(exp_bits-1) - 1, the code of all ones NaN.

    `ScaleFormat(8)` is E8M0 (OCP Microscaling Formats 1.0, 5.4.1). No sign, no zero, no infinity.

    Parameters:
        exp_bits: width of a code, 2 to 8.

    Raises:
        MacgenError: it is out of range.
    """

    exp_bits: int = 8

    def __post_init__(self) -> None:
        bits = check_integer("exp_bits", self.exp_bits, 2, MAX_SCALE_BITS, also=" (scales)")
        self.__dict__["exp_bits"] = bits  # the instance is frozen

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the scale format that a string such as `e8m0fnu` names.

        Raises:
            MacgenError: it names none.
        """
        check_type("format", text, str, "a string such as e8m0fnu")
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise MacgenError(f"format {shown(text)} is not a scale; accepted are e2m0fnu to e{MAX_SCALE_BITS}m0fnu")
        return cls(int(match[1]))

    def __repr__(self) -> str:
        return f"ScaleFormat.parse({str(self)!r})"

    def __str__(self) -> str:
        return f"e{self.exp_bits}m0fnu"

    @property
    def width(self) -> int:
        """Bits of a code."""
        return self.exp_bits

    @property
    def bias(self) -> int:
        """What is subtracted from a code to give the exponent."""
        return (1 << (self.exp_bits - 1)) - 1

    @property
    def nan_code(self) -> int:
        """Code of NaN."""
        return (1 << self.exp_bits) - 1

    def number(self, code: int) -> Number:
        """Decode one code exactly.

        Raises:
            MacgenError: the code is no integer or does not fit the width.
        """
        code = checked_code(code, self.width, str(self))
        return Number("nan", 0) if code == self.nan_code else Number("finite", 0, 1, code - self.bias)

    def decode(self, codes: ArrayLike) -> NDArray[np.float64]:
        """Decode codes to values.

        Raises:
            MacgenError: a code is no integer or does not fit the width.
        """
        c = checked_codes(codes, self.width, str(self))
        return np.asarray(np.where(c == self.nan_code, np.nan, np.ldexp(1.0, c.astype(np.int64) - self.bias)))

    def encode(self, values: ArrayLike) -> NDArray[Any]:
        """Encode powers of two and NaN.

        Raises:
            MacgenError: a value is not one of the format's.
        """
        x = real_values(values)
        fraction, exponent = np.frexp(x)
        code = exponent.astype(np.int64) - 1 + self.bias
        off_grid = ~np.isnan(x) & ((fraction != 0.5) | (code < 0) | (code >= self.nan_code))
        if off_grid.any():
            where, value = first_index_text(x, off_grid)
            raise MacgenError(
                f"value{where} = {value!r} is not a value of format {self}; accepted are 2^{-self.bias} to "
                f"2^{self.nan_code - 1 - self.bias} and NaN"
            )
        return np.where(np.isnan(x), self.nan_code, code).astype(code_dtype(self.width))
