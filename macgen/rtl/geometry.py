"""Widths and constants of a float datapath, all of which follow from the formats.

The accumulator is held as significand * 2**(exponent + grid), the significand in two's complement. `exponent` is the
format's biased exponent plus an offset chosen so that the smallest product's is 1: no exponent in the datapath is
negative.
"""

from dataclasses import dataclass

from macgen.numerics import FloatFormat, Format
from macgen.spec import MacSpec


def significand_bits(fmt: Format) -> int:
    """Return the bits of an operand's magnitude: the significand of a float, the absolute value of an integer."""
    return fmt.precision if isinstance(fmt, FloatFormat) else max(fmt.max_integer, -fmt.min_integer).bit_length()


def exponent_field_max(fmt: Format) -> int:
    """Return the largest effective exponent field of a finite operand; 1 for fixed point, whose grid is constant."""
    return fmt.max_code >> fmt.man_bits if isinstance(fmt, FloatFormat) else 1


def rounds_up(spec: MacSpec) -> bool:
    """Return whether a sum can be rounded away from zero, and so to infinity."""
    return spec.rounding == "rne" or spec.random_bits > 0


@dataclass(frozen=True)
class FloatGeometry:
    """What FloatAdder and its neighbours are sized by.

    Attributes:
        precision: p, significand bits of the accumulator.
        product_bits: w, significand bits of an exact product.
        window_bits: magnitude bits to which both addends are left-aligned, max(p, w); p where they are cut before
            the sum (`drop`).
        guard_bits: bits below the window that a shifted addend keeps, before the sticky bit: one for the left shift
            of a sum that cancels, then the ones that rounding looks at.
        random_bits: bits of the random number that an addition takes.
        exponent_bits: width of all exponents.
        offset: what is added to the accumulator's biased exponents.
        min_exponent: exponent of the smallest normal number.
        max_exponent: exponent of the largest finite number.
        max_significand: significand of the largest finite number.
        product_offset: exponent of a product is the sum of the operands' exponent fields plus this, minus its leading
            zeros.
        capped: whether results can be inexact below the smallest normal number, so that normalisation has to stop
            there. Where every sum lies on the subnormal grid anyway, subnormal numbers are kept normalised and only
            the output converts them.
        flush: whether results below the smallest normal number become zero.
        signed_zero: whether a result can be -0.
        nan: whether the accumulator can become NaN and stay so.
        infinite: whether the accumulator can become infinite and stay so.
        operand_infinite: whether a product can be infinite.
        operand_nan: whether a product can be NaN.
    """

    precision: int
    product_bits: int
    window_bits: int
    guard_bits: int
    random_bits: int
    exponent_bits: int
    offset: int
    min_exponent: int
    max_exponent: int
    max_significand: int
    product_offset: int
    capped: bool
    flush: bool
    signed_zero: bool
    nan: bool
    infinite: bool
    operand_infinite: bool
    operand_nan: bool

    @property
    def zero_exponent(self) -> int:
        """Exponent that goes with a zero significand, so that the other addend is aligned without loss."""
        return self.min_exponent if self.capped else 0

    @classmethod
    def of(cls, spec: MacSpec) -> "FloatGeometry":
        """Derive the geometry of a spec with a float accumulator."""
        a, b, acc = spec.a, spec.b, spec.acc
        assert isinstance(acc, FloatFormat)
        p, w = acc.precision, significand_bits(a) + significand_bits(b)
        drops = spec.rounding == "drop"
        window = p if drops else max(p, w)
        product_lsb = a.lsb_exponent + b.lsb_exponent
        # Every sum is a multiple of the products' grid or, after saturation, of the largest number's last bit.
        sum_lsb = min(product_lsb, acc.max_exponent - acc.man_bits)
        gradual = acc.subnormals == "gradual"
        capped = gradual and sum_lsb < acc.lsb_exponent
        offset = max(0, acc.lsb_exponent + p - 1 - sum_lsb)
        product_offset = product_lsb - acc.lsb_exponent + (w - p) + offset - 1
        largest = max(
            offset + (acc.max_code >> acc.man_bits),
            exponent_field_max(a) + exponent_field_max(b) + product_offset,
        )
        operand_infinite = a.has_infinity or b.has_infinity
        operand_nan = operand_infinite or a.has_nan or b.has_nan
        infinite = acc.has_infinity and (operand_infinite or (spec.overflow == "infinity" and rounds_up(spec)))
        return cls(
            precision=p,
            product_bits=w,
            window_bits=window,
            guard_bits=1 if drops else max(w + 1, p + 1 + max(spec.random_bits, 1)) - window,
            random_bits=spec.random_bits,
            exponent_bits=(largest + 2).bit_length(),
            offset=offset,
            min_exponent=1 + offset,
            max_exponent=offset + (acc.max_code >> acc.man_bits),
            max_significand=(1 << acc.man_bits) | (acc.max_code & ((1 << acc.man_bits) - 1)),
            product_offset=product_offset,
            capped=capped,
            flush=not gradual,
            signed_zero=capped and acc.encoding != "fnuz" and not drops,
            nan=acc.has_nan and (operand_nan or infinite),
            infinite=infinite,
            operand_infinite=operand_infinite,
            operand_nan=operand_nan,
        )

    def loads_exactly(self, spec: MacSpec) -> bool:
        """Whether every product, infinities and NaN included, is a value of the accumulator: loading needs no rounding.

        May be false for a few formats without odd significands whose products happen to be values.
        """
        acc = spec.acc
        assert isinstance(acc, FloatFormat)
        ends = [fmt.number(fmt.largest_code(0)).to_fraction() for fmt in (spec.a, spec.b)]
        lows = [fmt.number(fmt.largest_code(1)).to_fraction() for fmt in (spec.a, spec.b)]
        largest = max(abs(x * y) for x in (ends[0], lows[0]) for y in (ends[1], lows[1]))
        in_range = largest <= acc.number(acc.max_code).to_fraction()
        smallest = spec.a.lsb_exponent + spec.b.lsb_exponent
        return (
            self.product_bits <= self.precision
            and (self.nan or not self.operand_nan)
            and (self.infinite or not self.operand_infinite)
            and not self.capped
            and in_range
            and (not self.flush or smallest >= acc.min_exponent)
        )
