"""Infinities and NaN beside numbers: infinities of both signs are NaN, so that a sum's are those of either addend."""

from typing import Any

from amaranth.hdl import Const, Module, Value
from amaranth.lib.wiring import Out

from macgen.rtl.interfaces import member

SPECIALS = ("positive_infinity", "negative_infinity", "nan")
"""Members of an addend or an accumulator state. Both infinities together are NaN; `nan` stands alone, where there are
no infinities."""


def special_members(*, infinite: bool, nan: bool) -> dict[str, Any]:
    """Return the members of a signature for what can be infinite, and then NaN as well, or NaN only, or neither."""
    names = SPECIALS[:2] if infinite else SPECIALS[2:] if nan else ()
    return {name: Out(1) for name in names}


class Specials:
    """What stands beside a number.

    Parameters:
        interface: with those of `SPECIALS` as members that can occur.

    Attributes:
        positive_infinity, negative_infinity: both are NaN.
        nan, infinite: which of them it is.
        any: whether it is one.
    """

    def __init__(self, interface: Any) -> None:
        nan = member(interface, "nan")
        self.positive_infinity = member(interface, "positive_infinity") | nan
        self.negative_infinity = member(interface, "negative_infinity") | nan
        self.nan = self.positive_infinity & self.negative_infinity
        self.infinite = self.positive_infinity ^ self.negative_infinity
        self.any = self.positive_infinity | self.negative_infinity


def connect_specials(m: Module, operand: Any, product: Any, present: Value) -> None:
    """Drive the members of an operand that stand beside its number from a raw product's, see ExactNumber."""
    nan, infinite, negative = (member(product, name) for name in ("nan", "infinite", "negative"))
    beside = {
        "positive_infinity": nan | (infinite & ~negative),
        "negative_infinity": nan | (infinite & negative),
        "nan": nan,
        "invalid": member(product, "invalid"),
        "opposite": member(product, "opposite"),
        "present": Const(1, 1),
    }
    for name, value in beside.items():
        if name in operand.signature.members:
            m.d.comb += getattr(operand, name).eq(value & present)
