"""What single fields of a MacSpec accept: their limits and choices, and checks of their formats."""

import math
import re
from fractions import Fraction
from typing import Literal

from macgen.errors import MacgenError, shown
from macgen.numerics import Choice, FixedFormat, FloatFormat, Format, ScaleFormat, as_format


class Fold(Choice):
    """When a finished chunk sum is folded into the outer accumulator."""

    BUBBLE = "bubble"
    """In one cycle between chunks in which no product is taken (smaller)."""
    OVERLAP = "overlap"
    """While the next chunk's first product is loaded (no stall)."""


class ScalePlace(Choice):
    """What a scale belongs to (docs/arithmetic.md section 1)."""

    OUTER = "outer"
    """A chunk: its sum is multiplied as it enters the outer accumulator."""
    LANES = "lanes"
    """A block of elements: their products are multiplied before a step aligns them."""


class Interface(Choice):
    """How the ports of the Verilog carry the streams."""

    NATIVE = "native"
    """A port for each member: valid, ready, data, marks, scales, flags; inputs reach `ready` in the same cycle."""
    AXI_STREAM = "axi-stream"
    """AXI4-Stream: registers at every port, data in whole bytes."""


class Reset(Choice):
    """When a reset takes effect."""

    SYNC = "sync"
    """At a clock edge."""
    ASYNC = "async"
    """At once; it has to end well before a clock edge."""


class ResetActive(Choice):
    """The level of the reset's port that resets."""

    HIGH = "high"
    """1."""
    LOW = "low"
    """0, as AXI wants it."""


Scale = ScaleFormat | FloatFormat
"""A format that scales can have."""

RandomPlace = Literal["steps", "chunks", "out"]
"""Where stochastic rounding takes place: in the accumulator's adder (with it folds, where the same adder does them), in
the outer accumulator's own adder, or in the conversion of results to `out`."""

MAX_SIDE = 256
MAX_CHUNK = 1 << 20
MAX_PIPELINE = 3
MAX_INTERLEAVE = 4
MAX_OUTER_CYCLES = 4
MAX_LANES = 64
MAX_SCALE_BLOCK = 64
MAX_FUSED_BITS = 256
MAX_OPERAND_WIDTH = 32


def parse_scale(value: Scale | str) -> Scale:
    """Return the format of a scale.

    Raises:
        MacgenError: it is no format that scales can have.
    """
    if isinstance(value, str) and value.endswith("fnu"):
        try:
            return ScaleFormat.parse(value)
        except MacgenError as error:
            raise MacgenError(f"scale: {error}") from None
    if isinstance(value, ScaleFormat):
        return value
    if isinstance(value, str) and re.fullmatch(r"e[2-8]m0", value):
        raise MacgenError(f"scale {shown(value)} is no format; perhaps {value}fnu, powers of two, is meant")
    fmt = as_format("scale", value)
    if isinstance(fmt, FixedFormat) or fmt.width > MAX_OPERAND_WIDTH:
        raise MacgenError(
            f"scale {fmt} is not accepted; accepted are powers of two such as e8m0fnu, and floats of up to "
            f"{MAX_OPERAND_WIDTH} bits"
        )
    return fmt


def parse_reset_active(level: ResetActive | str | None, interface: Interface) -> ResetActive | None:
    """Return the level that resets; None where it is the interface's own.

    Raises:
        MacgenError: it is no level, or not that of AXI's aresetn.
    """
    if level is None:
        return None
    try:
        level = ResetActive(level)
    except MacgenError:
        raise MacgenError(f"reset_active {shown(level)} is not one of {', '.join(ResetActive)}") from None
    if interface == Interface.NATIVE:
        return None if level == ResetActive.HIGH else level
    if level == ResetActive.HIGH:
        raise MacgenError(
            f"reset_active 'high' does not go with interface {interface!r}, whose aresetn is low; accepted is low"
        )
    return None


def check_operand(field: str, fmt: Format) -> None:
    """Refuse a format that is too wide for an operand.

    Raises:
        MacgenError: it has more than `MAX_OPERAND_WIDTH` bits.
    """
    if fmt.width > MAX_OPERAND_WIDTH:
        raise MacgenError(f"{field} {fmt} has {fmt.width} bits; accepted are operands of up to {MAX_OPERAND_WIDTH}")


def least_int_bits(*factors: Format, frac_bits: int, signed: bool, narrow: bool = False) -> int:
    """Return how many bits before the point a fixed-point accumulator needs to hold every finite product of numbers of
    one or two formats.

    Parameters:
        factors: the formats.
        frac_bits, signed, narrow: of the accumulator.
    """
    ends = [Fraction(1)]
    for fmt in factors:
        of_format = [fmt.number(fmt.largest_code(sign)).to_fraction() for sign in (0, 1)]
        ends = [x * y for x in ends for y in of_format]
    products = [x * Fraction(2) ** frac_bits for x in ends]
    lowest, largest = math.floor(min(products)), math.ceil(max(products))
    bits = max(largest.bit_length(), (-lowest - (not narrow)).bit_length() if lowest else 0) + signed
    return max(bits, 1 + narrow) - frac_bits
