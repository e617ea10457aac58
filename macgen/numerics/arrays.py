"""What the codecs of all formats share: checked arrays of codes and values, and where in one something is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from macgen.errors import MacgenError, shown
from macgen.numerics.late_numpy import np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def code_dtype(width: int) -> Any:
    """Return the smallest NumPy type that holds unsigned codes of a width; Python integers above 64 bits."""
    for bits, dtype in ((8, np.uint8), (16, np.uint16), (32, np.uint32), (64, np.uint64)):
        if width <= bits:
            return dtype
    return object


_MOST_NESTED = 4
"""Levels of lists that are searched for masked arrays: those of a stack of matrices, and one more."""


_MOST_DIMENSIONS = 32
"""As many as NumPy's iterators take."""


def plain_array(name: str, values: object, dtype: Any = None) -> NDArray[Any]:
    """Return what NumPy makes an array of, if nothing in it is masked: what a mask hides would count otherwise.

    Raises:
        MacgenError: it has masked elements, or NumPy makes no array of it.
    """
    if _has_mask(values, _MOST_NESTED):
        raise MacgenError(f"elements of {name} are masked; accepted are arrays without a mask, such as filled() gives")
    try:
        array = np.asarray(values, dtype=dtype)
    except ValueError:
        raise MacgenError(f"rows of {name} differ in length; accepted are equal lengths") from None
    except Exception as error:  # whatever an object's own conversion raises
        reason = " ".join(str(error).split()) or type(error).__name__
        raise MacgenError(
            f"no array can be made of {name} ({reason:.100}); accepted are arrays and nested lists"
        ) from None
    if array.ndim > _MOST_DIMENSIONS:
        raise MacgenError(f"{name} has {array.ndim} dimensions; accepted are up to {_MOST_DIMENSIONS}")
    return array


def _has_mask(values: object, levels: int) -> bool:
    if isinstance(values, np.ma.MaskedArray):
        return bool(np.ma.is_masked(values))
    return levels > 0 and isinstance(values, list | tuple) and any(_has_mask(item, levels - 1) for item in values)


def checked_codes(codes: ArrayLike, width: int, name: str) -> NDArray[Any]:
    """Return codes as an array of int64 (Python integers from 63 bits on), each checked to fit the width.

    Raises:
        MacgenError: a code is no integer or does not fit.
    """
    # As objects first: NumPy makes floats of a list of 64-bit integers.
    c = plain_array(f"codes of {name}", codes, None if isinstance(codes, np.ndarray) else object)
    if c.dtype == object or c.size == 0:
        integers = all(isinstance(code, (int, np.integer)) and not isinstance(code, bool) for code in c.flat)
    else:
        integers = np.issubdtype(c.dtype, np.integer)
    if not integers:
        raise MacgenError(f"codes of {name} are not all integers; accepted are unsigned integers")
    wide = width > 62
    c = c.astype(object) if wide or c.dtype == object else c
    outside = np.asarray(
        (c < 0) | (c >= (1 << width))
        if c.dtype == object or c.dtype.itemsize * 8 > width or c.dtype.kind == "i"
        else False
    )
    if outside.any():
        where, value = first_index_text(c, np.broadcast_to(outside, c.shape))
        raise MacgenError(f"code{where} = {shown(value)} is not from 0 to {(1 << width) - 1}, the codes of {name}")
    return c if wide else c.astype(np.int64)


def real_values(values: ArrayLike) -> NDArray[np.float64]:
    """Return values as an array of binary64, none of them changed.

    Raises:
        MacgenError: a value is no real number, or an integer that binary64 does not hold exactly.
    """
    given = plain_array("values", values)
    try:
        if given.dtype.kind in "cSUMm":  # complex, text, dates: NumPy would convert some of them
            raise TypeError
        x = given.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise MacgenError(f"values {shown(values)} cannot be read; accepted are real numbers within binary64") from None
    largest = 1 << 53  # every integer up to here is exact
    if given.dtype.kind == "O" or (given.dtype.kind in "iu" and ((given > largest) | (given < -largest)).any()):
        exact = given.astype(object)  # Python compares integers with floats exactly, NumPy does not
        changed = np.asarray((x.astype(object) != exact) & (exact == exact), dtype=bool)
        if changed.any():
            where, value = first_index_text(exact, changed)
            raise MacgenError(
                f"value{where} = {shown(value)} is not exact in binary64; accepted are real numbers that it holds"
            )
    return x


def first_index_text(values: NDArray[Any], mask: NDArray[np.bool_]) -> tuple[str, Any]:
    """Return where a mask first holds, as text for an error (`[2, 3]`, empty for a scalar), and the value there."""
    index = tuple(int(i) for i in np.argwhere(mask)[0])
    value = values[index]
    return (f"[{', '.join(map(str, index))}]" if index else ""), value.item() if isinstance(
        value, np.generic
    ) else value


def integer_rounding(rounding: str) -> np.ufunc:
    """Return NumPy's function that rounds to integers so: `rne` to nearest even, `floor` down, others toward zero."""
    match rounding:
        case "rne":
            return np.rint
        case "floor":
            return np.floor
    return np.trunc


def rounded_to_integers(
    x: NDArray[np.float64], exponent: int | NDArray[np.int64], rounding: str
) -> NDArray[np.float64]:
    """Return x * 2**exponent rounded to integers; zeros and results of zero keep the sign of x.

    Parameters:
        x: finite values.
        exponent: of one or of each.
        rounding: `rne`, `rtz`, `floor` or `odd`.
    """
    scaled = np.ldexp(x, exponent)
    integers = np.asarray(integer_rounding(rounding)(scaled))
    if rounding == "odd":  # what has become zero is inexact, too
        inexact = (integers != scaled) | ((scaled == 0) & (x != 0))
        with np.errstate(invalid="ignore"):  # infinities are neither
            even = np.fmod(integers, 2.0) == 0
        integers = np.where(inexact & even, integers + np.copysign(1.0, x), integers)
    if rounding == "floor":  # a product below binary64's range has become zero, whatever its sign
        integers = np.where((scaled == 0) & (x < 0), -1.0, integers)
    return integers


def nearest_of_precision(x: NDArray[np.float64], precision: int, least_exponent: int | None) -> NDArray[np.float64]:
    """Return numbers rounded to nearest even to so many significant bits; their signs stay, those of zeros, too.

    What is added and subtracted again has its last place where the number's last kept bit is, and ends in an even one.

    Parameters:
        x: magnitudes below 2**900.
        precision: 1 to 50.
        least_exponent: numbers below 2 to this power are rounded at the place of its last bit, as subnormal ones are;
            from -950 to 900. None: all keep so many bits, but for binary64's own subnormal numbers, which stay.
    """
    place = (x.view(np.uint64) & np.uint64(0x7FF << 52)).view(np.float64)
    if least_exponent is not None:
        np.maximum(place, 2.0**least_exponent, out=place)
    place *= 1.5 * 2.0 ** (53 - precision)
    rounded = x + place
    rounded -= place
    return np.copysign(rounded, x, out=rounded)
