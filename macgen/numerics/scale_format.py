"""The power-of-two scale of OCP Microscaling (MX) blocks, E8M0."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macgen.errors import MacgenError
from macgen.numerics.arrays import checked_codes, code_dtype, first_index_text, real_values

_BIAS = 127
_NAN_CODE = 255


@dataclass(frozen=True)
class ScaleFormat:
    """E8M0 (OCP Microscaling Formats 1.0, 5.4.1): code c means 2**(c - 127), code 255 NaN; no sign, no zero."""

    width = 8

    def __str__(self) -> str:
        return "e8m0fnu"

    def decode(self, codes: ArrayLike) -> NDArray[np.float64]:
        """Decode codes to values.

        Raises:
            MacgenError: a code is no integer or does not fit 8 bits.
        """
        c = checked_codes(codes, self.width, str(self))
        return np.asarray(np.where(c == _NAN_CODE, np.nan, np.ldexp(1.0, c - _BIAS)))

    def encode(self, values: ArrayLike) -> NDArray[Any]:
        """Encode powers of two from 2**-127 to 2**127, and NaN.

        Raises:
            MacgenError: a value is not one of the format's.
        """
        x = real_values(values)
        fraction, exponent = np.frexp(x)
        code = exponent.astype(np.int64) - 1 + _BIAS
        off_grid = ~np.isnan(x) & ((fraction != 0.5) | (code < 0) | (code >= _NAN_CODE))
        if off_grid.any():
            where, value = first_index_text(x, off_grid)
            raise MacgenError(
                f"value{where} = {value!r} is not a value of format {self}; accepted are 2^-127 to 2^127 and NaN"
            )
        return np.where(np.isnan(x), _NAN_CODE, code).astype(code_dtype(self.width))
