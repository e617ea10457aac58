"""Products that one float64 does not hold: as the nearest one and what remains of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SPLITTER = float((1 << 27) + 1)


def multiply(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """Replace float64 numbers by their products with others, rounded to nearest, and return what remains: the products
    are the exact sums of the two (T. J. Dekker, "A floating-point technique for extending the available precision",
    1971, section 5).

    Nothing may overflow, nor fall below the smallest normal number; of infinities and NaN the remainder is none.
    """
    (x_high, x_low), (y_high, y_low) = _halves(x), _halves(y)
    np.multiply(x, y, out=x)
    return np.asarray(((x_high * y_high - x) + x_high * y_low + x_low * y_high) + x_low * y_low)


def _halves(x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two numbers of up to 26 bits each whose sum is x (Veltkamp's splitting)."""
    scaled = x * _SPLITTER
    high = scaled - (scaled - x)
    return high, x - high
