"""What a PE needs of its accumulator's arithmetic, the same for float and fixed-point accumulators."""

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Any, TypeAlias

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import FloatFormat
from macgen.numerics.events import EVENTS
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.parts.bits import extend
from macgen.rtl.parts.hierarchy import NamedConstant
from macgen.rtl.parts.interfaces import member
from macgen.rtl.parts.modes import mode_port
from macgen.rtl.units.exact_number import Addend
from macgen.rtl.units.exact_state import FixedNumber, FloatNumber
from macgen.rtl.units.fixed import FixedAdder, FixedOperand, FixedOutput, FixedProduct, FixedValue
from macgen.rtl.units.fixed_geometry import FixedGeometry
from macgen.rtl.units.float_adder import FloatAdder
from macgen.rtl.units.float_ports import FloatOutput, FloatProduct
from macgen.rtl.units.float_value import FloatOperand, FloatValue, Settled
from macgen.rtl.units.geometry import FloatGeometry
from macgen.rtl.units.rounded_sum import RoundedSum
from macgen.rtl.units.specials import SPECIALS


class Datapath(ABC):
    """Signatures and components for one kind of addition.

    Attributes:
        rounded_sum: what is added to what, and how it is rounded.
        value: signature of an accumulator state.
        operand: signature of the addend.
        random_bits: bits of the random number that the adder takes; 0: it takes none.
        constants: names for the ends of the accumulator's range.
    """

    rounded_sum: RoundedSum
    value: wiring.Signature
    operand: wiring.Signature
    random_bits: int
    constants: dict[str, NamedConstant]

    def __init__(self, rounded_sum: RoundedSum) -> None:
        self.rounded_sum = rounded_sum

    @property
    @abstractmethod
    def zero(self) -> dict[str, int]:
        """Members of the state +0 that are not 0."""

    @property
    @abstractmethod
    def loads_exactly(self) -> bool:
        """Whether a product is loaded into an empty accumulator without rounding: each is one of its values.

        Overlapping folds then let the next chunk's first product and the total change places. They rely on this: such
        a product is of the same value as a state and as an addend, loading it raises no flag but `invalid`, and the sum
        and the flags of an addition are the same whichever of the two is the accumulator.
        """

    @property
    @abstractmethod
    def events(self) -> tuple[str, ...]:
        """What can happen in an addition, of `numerics.events.EVENTS`."""

    @property
    @abstractmethod
    def adder_keys(self) -> tuple[Hashable, ...]:
        """What an adder has to know of each mode, see `mode_port`."""

    @property
    @abstractmethod
    def reader_keys(self) -> tuple[Hashable, ...]:
        """What a reader of states has to know of each mode, see `mode_port`."""

    @abstractmethod
    def adder(self, cycles: int = 1) -> wiring.Component:
        """Make an adder whose additions take so many cycles."""

    @abstractmethod
    def output(self) -> wiring.Component:
        """Make a converter from a state to a code."""

    @abstractmethod
    def states(self, *, integer: bool) -> Addend:
        """Describe the states as exact numbers.

        Parameters:
            integer: whether those of a fixed-point accumulator shall be signed integers.
        """

    @abstractmethod
    def number(self, *, integer: bool) -> wiring.Component:
        """Make the converter from a state to an exact number, see `states`."""

    @abstractmethod
    def product(self) -> wiring.Component:
        """Make the converter from a raw product to an operand."""

    @abstractmethod
    def as_operand(
        self, m: Module, value: Any, present: Value, mode: Value | None = None
    ) -> tuple[dict[str, Value], Value]:
        """Return the members of the operand that adds a state, zeros where it is not present, and the state's flags."""

    @abstractmethod
    def as_value(self, operand: Any) -> dict[str, Value]:
        """Return the members of the state that an operand is, if `loads_exactly`."""


class FloatDatapath(Datapath):
    """Float accumulators.

    Attributes:
        geometry: widths and constants.
        Others: see Datapath.
    """

    def __init__(self, rounded_sum: RoundedSum) -> None:
        super().__init__(rounded_sum)
        self.geometry = g = FloatGeometry.of(rounded_sum)
        self.value, self.operand, self.random_bits = FloatValue(g), FloatOperand(g), g.random_bits
        self.constants = g.constants

    @property
    def zero(self) -> dict[str, int]:
        return {"exponent": self.geometry.zero_exponent}

    @property
    def events(self) -> tuple[str, ...]:
        return EVENTS

    @property
    def adder_keys(self) -> tuple[Hashable, ...]:
        return self.geometry.dropped

    @property
    def reader_keys(self) -> tuple[Hashable, ...]:
        return self.geometry.dropped

    @property
    def loads_exactly(self) -> bool:
        return self.geometry.loads_exactly

    def adder(self, cycles: int = 1) -> FloatAdder:
        return FloatAdder(self.geometry, cycles)

    def output(self) -> FloatOutput:
        return FloatOutput(self.geometry)

    def states(self, *, integer: bool) -> Addend:
        return self.geometry.states

    def number(self, *, integer: bool) -> FloatNumber:
        return FloatNumber(self.geometry)

    def product(self) -> FloatProduct:
        return FloatProduct(self.geometry)

    def as_operand(
        self, m: Module, value: Any, present: Value, mode: Value | None = None
    ) -> tuple[dict[str, Value], Value]:
        g, p = self.geometry, self.geometry.precision

        # -- Settle: the rounding that the state put off
        settled = Settled(m, g, value, "value", mode)

        # -- Normalise: a carry of the rounding moves the significand right by one place
        carry = Signal()
        significand = Signal(signed(p + 1))
        sign, high, low = settled.significand[p + 1], settled.significand[p], settled.significand[p - 1]
        m.d.comb += [
            carry.eq(~sign & high),
            significand.eq(Cat(settled.significand[: p - 1], low | carry, high & ~carry)),
        ]
        exponent = Signal(g.exponent_bits)
        m.d.comb += exponent.eq(settled.exponent + extend(carry, g.exponent_bits))
        members: dict[str, Value] = {
            "significand": Mux(present, significand, 0) << (g.window_bits - p),
            "exponent": Mux(present, exponent, 0),
            "present": present,
        }
        specials = {name: getattr(settled.specials, name) & present for name in SPECIALS}
        return members | specials, settled.flags

    def as_value(self, operand: Any) -> dict[str, Value]:
        members = {"significand": operand.significand, "exponent": operand.exponent}
        return members | {name: member(operand, name) for name in SPECIALS}


class FixedDatapath(Datapath):
    """Integer and fixed-point accumulators.

    Attributes:
        geometry: widths.
        Others: see Datapath.
    """

    def __init__(self, rounded_sum: RoundedSum) -> None:
        super().__init__(rounded_sum)
        self.geometry = g = FixedGeometry.of(rounded_sum)
        self.value, self.operand, self.random_bits = FixedValue(g), FixedOperand(g), g.random_bits
        self.constants = g.constants

    @property
    def zero(self) -> dict[str, int]:
        return {}

    @property
    def events(self) -> tuple[str, ...]:
        rounds = self.geometry.extra_bits > 0 or any(self.geometry.dropped)
        return ("saturated", "swamped") if rounds else ("saturated",)

    @property
    def adder_keys(self) -> tuple[Hashable, ...]:
        return self.geometry.modes

    @property
    def reader_keys(self) -> tuple[Hashable, ...]:
        return (0,)

    @property
    def loads_exactly(self) -> bool:
        return self.geometry.loads_exactly

    def adder(self, cycles: int = 1) -> FixedAdder:
        return FixedAdder(self.geometry, cycles)

    def output(self) -> FixedOutput:
        return FixedOutput(self.geometry)

    def states(self, *, integer: bool) -> Addend:
        return self.geometry.states(integer=integer)

    def number(self, *, integer: bool) -> FixedNumber:
        return FixedNumber(self.geometry, integer=integer)

    def product(self) -> FixedProduct:
        return FixedProduct(self.geometry)

    def as_operand(
        self, m: Module, value: Any, present: Value, mode: Value | None = None
    ) -> tuple[dict[str, Value], Value]:
        return {"integer": Mux(present, value.integer, 0) << self.geometry.extra_bits}, Const(0, FLAG_BITS)

    def as_value(self, operand: Any) -> dict[str, Value]:
        return {"integer": operand.integer}


AnyDatapath: TypeAlias = FloatDatapath | FixedDatapath
"""Either of them."""


def datapath_of(rounded_sum: RoundedSum) -> AnyDatapath:
    """Return the datapath of a rounded sum."""
    return FloatDatapath(rounded_sum) if isinstance(rounded_sum.acc, FloatFormat) else FixedDatapath(rounded_sum)


class Folded(wiring.Component):
    """A chunk sum or total as the operand that adds it.

    Members:
        value: the state.
        present: whether it is added; without it the operand is all 0.
        mode: the mode, where modes differ.
        operand: the addend; see `Datapath.operand`.
        flags: raised by the addition that made the state, and not among that one's.
    """

    def __init__(self, arithmetic: Datapath) -> None:
        self._arithmetic = arithmetic
        self.constants = arithmetic.constants
        super().__init__(
            {
                "value": In(arithmetic.value),
                "present": In(1),
                **mode_port(arithmetic.reader_keys),
                "operand": Out(arithmetic.operand),
                "flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()

        # -- Operand: the state as an addend
        mode = getattr(self, "mode", None)
        members, flags = self._arithmetic.as_operand(m, self.value, self.present, mode)
        m.d.comb += self.flags.eq(flags)
        for name, value in members.items():
            if name in self.operand.signature.members:
                m.d.comb += getattr(self.operand, name).eq(value)
        return m


class Loaded(wiring.Component):
    """A product as the state that an empty accumulator has after it, where `Datapath.loads_exactly`.

    Members:
        operand: the product; see `Datapath.operand`.
        value: the state.
        flags: raised by the product.
    """

    def __init__(self, arithmetic: Datapath) -> None:
        self._arithmetic = arithmetic
        super().__init__({"operand": In(arithmetic.operand), "value": Out(arithmetic.value), "flags": Out(FLAG_BITS)})

    def elaborate(self, platform: object) -> Module:
        m = Module()

        # -- State: the product as it is
        for name, value in self._arithmetic.as_value(self.operand).items():
            if name in self.value.signature.members:
                m.d.comb += getattr(self.value, name).eq(value)
        invalid = member(self.operand, "invalid") | member(self.operand, "opposite")
        m.d.comb += self.flags.eq(Cat(Const(0, 2), invalid))
        return m
