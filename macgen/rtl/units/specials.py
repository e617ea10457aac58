"""Infinities and NaN beside numbers: infinities of both signs are NaN, so that a sum's are those of either addend."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib.wiring import Out

from macgen.rtl.parts.interfaces import member

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
        m: module that gets the logic.
        interface: with those of `SPECIALS` as members that can occur.
        name: prefix of the signals made.

    Attributes:
        positive_infinity, negative_infinity: both are NaN.
        nan, infinite: which of them it is.
        any: whether it is one.
    """

    def __init__(self, m: Module, interface: Any, name: str) -> None:
        self.nan: Value
        self.infinite: Value
        self.any: Value
        if not hasattr(interface, "positive_infinity"):
            self.positive_infinity = self.negative_infinity = self.nan = self.any = member(interface, "nan")
            self.infinite = Const(0, 1)
            return

        # -- Infinities and NaN: two bits, both of them set for NaN
        self.positive_infinity, self.negative_infinity = interface.positive_infinity, interface.negative_infinity
        self.nan = Signal(name=f"{name}_is_nan")
        self.infinite = Signal(name=f"{name}_is_infinite")
        self.any = Signal(name=f"{name}_is_special")
        m.d.comb += [
            self.nan.eq(self.positive_infinity & self.negative_infinity),
            self.infinite.eq(self.positive_infinity ^ self.negative_infinity),
            self.any.eq(self.positive_infinity | self.negative_infinity),
        ]


def addend_specials(number: Any) -> dict[str, Value]:
    """Return the members of an addend that can stand beside its number, from those of an ExactNumber."""
    nan, infinite, negative = (member(number, name) for name in ("nan", "infinite", "negative"))
    return {
        "positive_infinity": nan | (infinite & ~negative),
        "negative_infinity": nan | (infinite & negative),
        "nan": nan,
        "invalid": member(number, "invalid"),
        "opposite": member(number, "opposite"),
    }


def connect_specials(m: Module, operand: Any, product: Any, present: Value) -> None:
    """Drive the members of an operand that stand beside its number from those of a product, an ExactNumber."""
    for name, value in (addend_specials(product) | {"present": Const(1, 1)}).items():
        if name in operand.signature.members:
            m.d.comb += getattr(operand, name).eq(value & present)


def combined_specials(addends: Sequence[Any]) -> dict[str, Value]:
    """Return what a sum is by the infinities and NaN among its addends (docs/arithmetic.md section 4).

    Parameters:
        addends: interfaces with the members of ExactNumber that can occur.

    Returns:
        infinite, negative (of an infinity), nan, invalid, conflict (infinities of both signs are among them), and
        opposite: they are, and no other NaN is.
    """
    infinite = [member(addend, "infinite") for addend in addends]
    negative = [member(addend, "negative") for addend in addends]
    positive_infinity = _any(i & ~n for i, n in zip(infinite, negative, strict=True))
    negative_infinity = _any(i & n for i, n in zip(infinite, negative, strict=True))
    inside = [member(addend, "opposite") for addend in addends]
    other_nan = _any(member(addend, "nan") & ~own for addend, own in zip(addends, inside, strict=True))
    conflict = positive_infinity & negative_infinity
    opposite = (conflict | _any(inside)) & ~other_nan
    nan = other_nan | opposite
    return {
        "infinite": (positive_infinity | negative_infinity) & ~nan,
        "negative": negative_infinity,
        "nan": nan,
        "invalid": _any(member(addend, "invalid") for addend in addends),
        "conflict": conflict,
        "opposite": opposite,
    }


def _any(bits: Any) -> Value:
    return Cat(*bits).any()
