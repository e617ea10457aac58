"""What the accumulator of a MacSpec, and the formats that sums pass through, have to hold."""

from fractions import Fraction

from macgen.errors import MacgenError
from macgen.numerics import FixedFormat, FloatFormat, Format, Overflow
from macgen.spec_fields import least_int_bits
from macgen.spec_lanes import largest_product


def knows_overflow(fmt: Format, overflow: Overflow) -> bool:
    """Return whether a format knows what is to become of what is too large; all of them can saturate."""
    match overflow:
        case Overflow.INFINITY | Overflow.TO_INFINITY:
            return fmt.has_infinity
        case Overflow.NAN:
            return isinstance(fmt, FloatFormat) and fmt.overflows_to_nan
        case Overflow.WRAP:
            return isinstance(fmt, FixedFormat) and not fmt.narrow
    return True


def largest_addend(a: Format, b: Format, product: Format | None) -> tuple[str, Fraction, int]:
    """Return what is added (in words), its largest finite magnitude and the exponent of its grid."""
    if product is not None:
        ends = [abs(product.number(product.largest_code(sign)).to_fraction()) for sign in (0, 1)]
        return f"product {product}", max(ends), product.lsb_exponent
    return f"products of a {a} and b {b}", *largest_product(a, b)


def check_accumulator(*, a: Format, b: Format, product: Format | None, acc: Format, overflow: Overflow) -> None:
    """Refuse an accumulator that does not reach as far as what is added, or does not know the overflow.

    Raises:
        MacgenError: it is such a one.
    """
    if isinstance(acc, FloatFormat):
        _check_float(acc, a=a, b=b, product=product, overflow=overflow)
    else:
        _check_fixed(acc, a=a, b=b, product=product, overflow=overflow)


def _check_float(acc: FloatFormat, *, a: Format, b: Format, product: Format | None, overflow: Overflow) -> None:
    if not knows_overflow(acc, overflow):
        more = ", infinity or to-infinity" if acc.has_infinity else " or nan" if acc.overflows_to_nan else ""
        accepted = f"saturate{more}"
        raise MacgenError(f"overflow {overflow!r} does not go with acc {acc}; accepted is {accepted}")
    narrow = f"acc {acc} is too narrow: its largest exponent is {acc.max_exponent}, but"
    if product is not None:
        if acc.max_exponent < product.max_exponent:
            raise MacgenError(
                f"{narrow} that of product {product} is {product.max_exponent}; accepted is an acc that reaches as far"
            )
        return
    for field, operand in (("a", a), ("b", b)):
        if acc.max_exponent < operand.max_exponent:
            raise MacgenError(
                f"{narrow} products of {field} {operand} reach beyond {operand.max_exponent}; accepted is an acc "
                f"that reaches as far as the operands"
            )


def _check_fixed(acc: FixedFormat, *, a: Format, b: Format, product: Format | None, overflow: Overflow) -> None:
    if not knows_overflow(acc, overflow):
        accepted = "saturate" if acc.narrow else "saturate or wrap"
        raise MacgenError(f"overflow {overflow!r} does not go with acc {acc}; accepted is {accepted}")
    addends = (a, b) if product is None else (product,)
    if not acc.signed and any(isinstance(fmt, FloatFormat) or fmt.signed for fmt in addends):
        what = f"a {a} or b {b}" if product is None else f"product {product}"
        raise MacgenError(f"acc {acc} is unsigned, but {what} is signed; accepted is a signed acc")
    least = least_int_bits(*addends, frac_bits=acc.frac_bits, signed=acc.signed, narrow=acc.narrow)
    if acc.int_bits < least:
        raise MacgenError(
            f"acc {acc} is too narrow: it ends at {acc.max:g}, but {largest_addend(a, b, product)[0]} reach "
            f"beyond; accepted are at least {least} bits before the point"
        )


def check_signs(operands: tuple[Format, Format], passed: dict[str, Format | None]) -> None:
    """Refuse a format that has no sign where the one before it has.

    Parameters:
        operands: formats of the operands.
        passed: by field, the formats that are rounded to one after the other; None: there is none.

    Raises:
        MacgenError: there is such a one.
    """
    signed = any(isinstance(fmt, FloatFormat) or fmt.signed for fmt in operands)
    for field, fmt in passed.items():
        if fmt is None:
            continue
        if signed and isinstance(fmt, FixedFormat) and not fmt.signed:
            raise MacgenError(
                f"{field} {fmt} is unsigned, but what is rounded to it is signed; accepted is a signed one"
            )
        signed = isinstance(fmt, FloatFormat) or fmt.signed
