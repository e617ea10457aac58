"""The float accumulator's loop: align, add, normalise, round once (docs/arithmetic.md sections 3 to 5).

Significands are two's complement, so that neither a swap by sign nor an absolute value stands in the loop, and
rounding to nearest even works on them as they are. A negative significand may be as low as -2**p, which is -1.0 of the
next binade.
"""

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import FloatFormat
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.addition import Addition
from macgen.rtl.bits import count_leading_zeros, extend, is_zero, rounds_away, shift_left, shift_right_sticky
from macgen.rtl.cuts import Cuts, delay
from macgen.rtl.geometry import SHORT_SHIFTS, FloatGeometry
from macgen.rtl.hierarchy import submodule
from macgen.rtl.rounding_place import BitsBelow


class FloatValue(wiring.Signature):
    """An accumulator state, the rounding of which the next addition completes (see `settle`).

    Members:
        significand: p + 1 bits, two's complement, rounded down. Its two top bits differ in normal numbers only.
        up: it is rounded up: one is still to be added to it.
        exponent: see FloatGeometry; of a normal number, otherwise it does not matter. Beyond the range of the format
            it stands for what overflow or flushing makes of it.
        nan, infinite: absorbing states; present where they can occur. `infinite` is never set together with `nan`.
        negative: sign of an infinity or of a zero; present where one of them can occur.
    """

    def __init__(self, geometry: FloatGeometry) -> None:
        members: dict[str, Any] = {
            "significand": Out(signed(geometry.precision + 1)),
            "up": Out(1),
            "exponent": Out(unsigned(geometry.exponent_bits)),
        }
        if geometry.nan:
            members["nan"] = Out(1)
        if geometry.infinite:
            members["infinite"] = Out(1)
        if geometry.infinite or geometry.signed_zero:
            members["negative"] = Out(1)
        super().__init__(members)


class FloatOperand(wiring.Signature):
    """The other addend: a product, or a chunk sum that is folded.

    Members:
        significand: aligned to the top of the window, window_bits + 1 bits, two's complement.
        exponent: see FloatGeometry.
        infinite, nan, invalid, opposite: of an addend, see ExactNumber; the significand is 0 beside them.
        negative: sign of an infinity.
        present: whether there is an addend in this cycle; without one everything else is 0.
    """

    def __init__(self, geometry: FloatGeometry) -> None:
        members: dict[str, Any] = {
            "significand": Out(signed(geometry.window_bits + 1)),
            "exponent": Out(unsigned(geometry.exponent_bits)),
        }
        if geometry.operand_infinite or geometry.infinite:
            members |= {"infinite": Out(1), "negative": Out(1)}
        if geometry.operand_nan or geometry.nan:
            members["nan"] = Out(1)
        if geometry.operand_nan:
            members["invalid"] = Out(1)
        if geometry.operand_opposite:
            members["opposite"] = Out(1)
        if geometry.signed_zero:
            members["present"] = Out(1)
        super().__init__(members)


def member(interface: Any, name: str) -> Value:
    """Return an interface's member, or constant 0 where the geometry leaves it out."""
    return getattr(interface, name, Const(0, 1))


class Settled:
    """An accumulator state as a number: what `up` and the exponent's range make of it.

    Attributes:
        significand: p + 2 bits, two's complement, from -2**p to 2**p.
        exponent: see FloatGeometry.
        nan, infinite, negative: see FloatValue; `negative` also of an underflow to zero.
        flags: those that the rounding raised.
    """

    def __init__(self, m: Module, geometry: FloatGeometry, value: Any, name: str) -> None:
        g, p = geometry, geometry.precision
        kept = value.significand
        rounded = Signal(signed(p + 2), name=f"{name}_rounded")
        normal = Signal(name=f"{name}_normal")
        beyond = Signal(name=f"{name}_beyond")
        outside = Signal(name=f"{name}_outside")
        highest, lowest = Signal(name=f"{name}_highest"), Signal(name=f"{name}_lowest")
        finite = ~(member(value, "nan") | member(value, "infinite"))
        self.exponent = Signal(g.exponent_bits, name=f"{name}_exponent")
        self.significand = Signal(signed(p + 2), name=f"{name}_significand")
        self.nan = member(value, "nan")
        m.d.comb += [
            rounded.eq(extend(kept, p + 2) + extend(value.up, p + 2)),
            normal.eq(kept[-1] ^ kept[-2] if g.capped else kept[-1] | kept[-2]),
            beyond.eq(normal & (value.exponent > g.max_exponent)),
            highest.eq(~kept[-1] & kept[:-1].all() & value.up),
            lowest.eq(kept[-1] & is_zero(kept[:-1]) & ~value.up),
        ]
        at_limit: Value = highest | lowest
        if g.max_significand != (1 << p) - 1:
            at_limit = (rounded > g.max_significand) | (rounded < -g.max_significand)
        m.d.comb += outside.eq(beyond | (normal & (value.exponent == g.max_exponent) & at_limit))
        overflow = Signal(name=f"{name}_overflow")
        m.d.comb += overflow.eq(outside & finite)
        exponent = Mux(normal, value.exponent, g.zero_exponent)
        significand: Value = rounded
        self.infinite = member(value, "infinite")
        if g.overflow_infinite:
            self.infinite = self.infinite | overflow
        else:
            exponent = Mux(beyond, g.max_exponent, exponent)
            significand = Mux(
                outside, Mux(kept[-1], Const(-g.max_significand, signed(p + 2)), g.max_significand), rounded
            )
        flushed = Signal(name=f"{name}_flushed")
        if g.flush:
            if g.least_missing:  # 2**min_exponent itself has no code
                is_power = (rounded == 1 << (p - 1)) | (rounded == -(1 << (p - 1)))
                below = (value.exponent < g.min_exponent) | ((value.exponent == g.min_exponent) & is_power)
            else:
                reaches = (highest | lowest) & (value.exponent == g.min_exponent - 1)
                below = (value.exponent < g.min_exponent) & ~reaches
            m.d.comb += flushed.eq(normal & below)
            exponent = Mux(flushed, g.zero_exponent, exponent)
            significand = Mux(flushed, 0, significand)
        m.d.comb += [self.exponent.eq(exponent), self.significand.eq(significand)]
        self.negative: Value = Const(0, 1)
        if g.infinite:
            sign = kept[-1] & ~flushed if g.flush else kept[-1]
            self.negative = Mux(value.infinite, value.negative, sign | value.negative)
        elif g.signed_zero:
            self.negative = kept[-1] | value.negative
        tiny = flushed & finite if g.flush else Const(0, 1)
        self.flags = Cat(overflow, tiny, Const(0, 1))


class FloatSpecials(wiring.Signature):
    """What an accumulator state is beside a number; see FloatValue. Members are there where they can occur."""

    def __init__(self, geometry: FloatGeometry) -> None:
        names = [name for name in FloatValue(geometry).members if name in ("nan", "infinite", "negative")]
        super().__init__({name: Out(1) for name in names})


CUTS: dict[int, tuple[str, ...]] = {
    1: (),
    2: ("aligned",),
    3: ("compared", "added"),
    4: ("compared", "added", "counted"),
}
"""After which parts of an addition registers stand if it takes so many cycles, where they shorten its path most. Parts:
exponents compared, smaller addend aligned, exact sum, leading bits counted."""


class FloatAdder(wiring.Component):
    """Add an operand to the accumulator and round once.

    Parameters:
        addition: what is added to what.
        cycles: 1 to 4; an addition may begin in each, and ends `cycles` - 1 later.

    Members:
        acc: the accumulator.
        operand: the other addend.
        random: with stochastic rounding the random number; taken when the addition ends.
        result: the rounded sum; when the addition ends.
        flags: raised by this addition, as far as `result` does not say so itself; when it ends.
        settled: raised by the addition that made `acc`, and not among its `flags`; at once.
    """

    def __init__(self, addition: Addition, cycles: int = 1) -> None:
        self._addition = addition
        self._cuts = CUTS[cycles]
        self._geometry = FloatGeometry.of(addition)
        super().__init__(
            {
                "acc": In(FloatValue(self._geometry)),
                "operand": In(FloatOperand(self._geometry)),
                **random_port(self._geometry.random_bits),
                "result": Out(FloatValue(self._geometry)),
                "flags": Out(FLAG_BITS),
                "settled": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self._geometry
        settled = Settled(m, g, self.acc, "acc")
        m.d.comb += self.settled.eq(settled.flags)
        acc = Signal(signed(g.window_bits + 2))
        m.d.comb += acc.eq(settled.significand << (g.window_bits - g.precision))

        # operand.exponent - acc.exponent - 1: its carry tells which is larger, its XOR gives the distance either way.
        # When the operand is larger, the 1 that is missing is made up by a constant shift.
        difference = Signal(g.exponent_bits + 1)
        operand_larger = Signal()
        distance = Signal(g.exponent_bits)
        m.d.comb += [
            difference.eq(self.operand.exponent + (~settled.exponent)[: g.exponent_bits]),
            operand_larger.eq(difference[-1]),
            distance.eq(difference[:-1] ^ (~operand_larger).replicate(g.exponent_bits)),
        ]
        larger: Value = Signal(signed(g.window_bits + 2), name="larger")
        smaller: Value = Signal(signed(g.window_bits + 1 + g.guard_bits), name="smaller")
        exponent: Value = Signal(g.exponent_bits, name="exponent")
        m.d.comb += [
            larger.eq(Mux(operand_larger, self.operand.significand, acc)),
            smaller.eq(Mux(operand_larger, acc << (g.guard_bits - 1), self.operand.significand << g.guard_bits)),
            exponent.eq(Mux(operand_larger, self.operand.exponent, settled.exponent)),
        ]
        beside = {f"acc_{name}": getattr(settled, name) for name in FloatSpecials(g).members}
        beside |= {
            f"operand_{name}": getattr(self.operand, name)
            for name in self.operand.signature.members
            if name not in ("significand", "exponent")
        }

        cuts = Cuts(m, self._cuts, beside)
        larger, smaller, away, exponent = cuts.after("compared", larger, smaller, distance, exponent)
        aligned, sticky = shift_right_sticky(m, smaller, away, "align")
        larger, aligned, sticky, exponent = cuts.after("aligned", larger, aligned, sticky, exponent)
        sum_bits = g.window_bits + 2 + g.guard_bits
        exact_sum = Signal(signed(sum_bits))
        if self._addition.rounding == "drop":
            # What lies below the larger addend's last place is cut, which moves a negative addend up.
            kept = Signal(signed(g.window_bits + 1))
            raised = Signal()
            m.d.comb += [
                kept.eq(aligned[g.guard_bits :].as_signed()),
                raised.eq(aligned[-1] & (aligned[: g.guard_bits].any() | sticky)),
                exact_sum[g.guard_bits :].eq(
                    extend(larger, g.window_bits + 2)
                    + extend(kept, g.window_bits + 2)
                    + extend(raised, g.window_bits + 2)
                ),
            ]
        else:
            m.d.comb += exact_sum.eq(extend(larger << g.guard_bits, sum_bits) + extend(aligned, sum_bits))

        added, sticky, exponent = cuts.after("added", exact_sum, sticky, exponent)
        rounder = submodule(
            m,
            platform,
            "rounder",
            f"{self._addition.prefix}rounder",
            lambda: FloatRounder(self._addition, cycles=1 + ("counted" in self._cuts), of_two=True),
        )
        m.d.comb += [
            rounder.sum[0].eq(Const(0, 1) if self._addition.rounding == "drop" else sticky),
            rounder.sum[1:].eq(added),
            rounder.exponent.eq(exponent),
            self.flags.eq(rounder.flags),
        ]
        if g.random_bits:
            m.d.comb += rounder.random.eq(self.random)
        for name, value in cuts.beside.items():
            interface, key = name.split("_", 1)
            m.d.comb += getattr(getattr(rounder, interface), key).eq(value)
        connect_members(m, self.result, rounder.result)
        return m


def random_port(bits: int) -> dict[str, Any]:
    """Return the member of an adder that takes a random number, if it has any bits."""
    return {"random": In(bits)} if bits else {}


def connect_specials(m: Module, operand: Any, product: Any, present: Value) -> None:
    """Drive the members of an operand that stand beside its number from a raw product's."""
    for name in ("infinite", "nan", "invalid", "opposite", "negative"):
        if name in operand.signature.members:
            m.d.comb += getattr(operand, name).eq(member(product, name) & present)
    if "present" in operand.signature.members:
        m.d.comb += operand.present.eq(present)


def connect_members(m: Module, target: Any, source: Any) -> None:
    """Drive every member of an interface object that the target has from the source's of the same name."""
    for name in target.signature.members:
        m.d.comb += getattr(target, name).eq(member(source, name))


class FloatRounder(wiring.Component):
    """Normalise and round an exact sum, resolve infinities and NaN, raise flags.

    Parameters:
        addition: what is added to what.
        cycles: 1, or 2 with registers between the counting of leading bits and the shift.
        of_two: whether it is a sum of two addends, the one of the larger exponent aligned to the top of the window.

    Members:
        sum: the exact sum, two's complement: two bits above the window's magnitude, then the window, the guard bits
            and the sticky bit.
        exponent: of the sum, were it normalised with one bit to spare.
        acc, operand: the addends; only their special members are used.
        random, result, flags: see FloatAdder.
    """

    def __init__(self, addition: Addition, cycles: int = 1, *, of_two: bool = False) -> None:
        self._addition = addition
        self._cycles = cycles
        self._of_two = of_two
        self._geometry = g = FloatGeometry.of(addition)
        self.sum_bits = g.window_bits + 2 + g.guard_bits + 1
        super().__init__(
            {
                "sum": In(signed(self.sum_bits)),
                "exponent": In(g.exponent_bits),
                "acc": In(FloatSpecials(g)),
                "operand": In(FloatOperand(g)),
                **random_port(g.random_bits),
                "result": Out(FloatValue(g)),
                "flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g, acc_format = self._geometry, self._addition.acc
        assert isinstance(acc_format, FloatFormat)
        kept, below, exponent, nonzero = self._normalise(m)

        p = g.precision
        inexact = Signal()
        up = Signal()
        m.d.comb += inexact.eq(below.any())
        if self._addition.rounding == "rne":
            m.d.comb += up.eq(below[-1] & (below[:-1].any() | kept[0]))
        elif g.random_bits:
            m.d.comb += up.eq(rounds_away(below, self.random, kept[-1]))
        else:
            m.d.comb += up.eq(kept[-1] & inexact)
        if self._addition.rounding == "drop":
            # The exponent decides what is cut from the other addend: -1.0 of the next binade has to say so.
            lowest = Signal()
            m.d.comb += lowest.eq(kept[-1] & is_zero(kept[:-1]) & ~inexact)
            m.d.comb += [
                self.result.significand.eq(Mux(lowest, Const(-(1 << (p - 1)) - 1, signed(p + 1)), kept)),
                self.result.up.eq(up | lowest),
                self.result.exponent.eq(exponent + extend(lowest, g.exponent_bits)),
            ]
        else:
            m.d.comb += [self.result.significand.eq(kept), self.result.up.eq(up), self.result.exponent.eq(exponent)]

        acc, operand = self._specials(m)
        acc_nan, acc_infinite = member(acc, "nan"), member(acc, "infinite")
        operand_nan, operand_infinite = member(operand, "nan"), member(operand, "infinite")
        finite = Signal()
        opposite = Signal()
        m.d.comb += [
            finite.eq(~(acc_nan | acc_infinite | operand_nan | operand_infinite)),
            opposite.eq(acc_infinite & operand_infinite & (member(acc, "negative") ^ member(operand, "negative"))),
        ]
        tiny: Value = Const(0, 1)
        if g.capped:
            tiny = inexact & (kept[-1] == kept[-2]) & ~self._reaches_normal(kept, below)
        overflow: Value = Const(0, 1)
        invalid = member(operand, "invalid") | opposite
        if g.operand_opposite:
            invalid = invalid | (operand.opposite & ~acc_nan)
        if g.infinite:
            m.d.comb += self.result.infinite.eq((acc_infinite | operand_infinite) & ~opposite & ~operand_nan & ~acc_nan)
        elif g.operand_infinite:
            overflow = operand_infinite & ~acc_nan
        if g.nan:
            m.d.comb += self.result.nan.eq(acc_nan | operand_nan | opposite)
        elif g.operand_nan:
            invalid = operand_nan
        clamp = Const(0, 1)
        if not g.infinite and g.operand_infinite:
            clamp = operand_infinite
        if not g.nan and g.operand_nan:  # an encoding without NaN takes its largest value instead
            clamp = clamp | operand_nan
        if (not g.infinite and g.operand_infinite) or (not g.nan and g.operand_nan):
            with m.If(clamp):
                negative = member(operand, "negative") & ~operand_nan
                m.d.comb += [
                    self.result.significand.eq(g.max_significand ^ negative.replicate(p + 1)),
                    self.result.up.eq(negative),
                    self.result.exponent.eq(g.max_exponent),
                ]
        kept_sign: Value = Const(0, 1)
        if g.signed_zero:
            kept_sign = ~nonzero & ~member(operand, "present") & member(acc, "negative")
        if g.infinite:
            infinite_sign = Mux(acc_infinite, member(acc, "negative"), member(operand, "negative"))
            m.d.comb += self.result.negative.eq(Mux(acc_infinite | operand_infinite, infinite_sign, kept_sign))
        elif g.signed_zero:
            m.d.comb += self.result.negative.eq(kept_sign)
        m.d.comb += self.flags.eq(Cat(overflow, finite & tiny, invalid))
        return m

    def _specials(self, m: Module) -> tuple[Any, Any]:
        """Return what the addends are beside numbers, when the rounding takes place."""
        delayed = []
        for name, interface in (("acc", self.acc), ("operand", self.operand)):
            names = [key for key in interface.signature.members if key not in ("significand", "exponent")]
            values = [getattr(interface, key) for key in names]
            if self._cycles == 2:
                values = delay(m, f"counted_{name}", *values)
            delayed.append(SimpleNamespace(**dict(zip(names, values, strict=True))))
        return delayed[0], delayed[1]

    def _normalise(self, m: Module) -> tuple[Signal, Signal, Signal, Signal]:
        """Shift the sum left until its sign bit and the next differ, or its exponent is the least.

        Returns the top bits that are kept, what is below them (see BitsBelow), the exponent and whether it is not 0.
        """
        g, p = self._geometry, self._geometry.precision
        # With a single guard bit nothing is gained: what cancels is then as long as all sums are.
        early = self._of_two and g.guard_bits > 1
        bits = g.cancelling_bits if early else self.sum_bits
        head = self.sum[-bits:]
        transitions = Signal(bits)
        m.d.comb += transitions.eq(head ^ Cat(Const(0, 1), head[:-1]))
        stops: Value = transitions
        if g.capped:
            # A one where normalisation has to stop: the exponent is then that of the smallest normal number.
            room = Signal(g.exponent_bits)
            marker = Signal(bits)
            m.d.comb += room.eq(self.exponent - g.min_exponent)
            m.d.comb += Cat(*reversed(marker[:-1])).eq(Cat(*(room == i for i in range(bits - 1))))
            stops = transitions | marker
        # As many bits as rounding looks at; tininess is a matter of the place below.
        count = (g.random_bits or int(self._addition.rounding == "rne")) + g.capped
        places = BitsBelow(m, self.sum, stops, precision=p, count=count, short=SHORT_SHIFTS if early else 0)
        distance, found = count_leading_zeros(m, stops, "leading")
        nonzero = Signal()
        m.d.comb += nonzero.eq(transitions.any() if g.capped else found)
        before = [head.as_unsigned(), distance, self.exponent, nonzero, *places.early]
        if self._cycles == 2:
            before = delay(m, "counted", *before)
        unshifted, distance, largest, nonzero, *known = before
        normalised = shift_left(m, unshifted, distance, "normalise")
        kept = Signal(signed(p + 1))
        below = Signal(count + 1)
        exponent = Signal(g.exponent_bits, name="normalised_exponent")
        m.d.comb += [
            kept.eq(normalised[-p - 1 :].as_signed()),
            below.eq(places.completed(known, normalised[: -p - 1])),
            exponent.eq(largest + Const(1, g.exponent_bits) - extend(distance, g.exponent_bits)),
        ]
        return kept, below, exponent, nonzero

    def _reaches_normal(self, kept: Value, below: Value) -> Value:
        """Whether an inexact sum below the smallest normal number rounds up to it at full precision: not tiny then."""
        p = self._geometry.precision
        if self._geometry.random_bits:
            # At full precision the last place is one lower: below[-1], which a magnitude short of one unit has set.
            away = rounds_away(below[:-1], self.random, kept[-1])
            positive = (kept == (1 << (p - 1)) - 1) & below[-1] & away
            negative = (kept == -(1 << (p - 1))) & ~below[-1] & ~away
            return positive | negative
        if self._addition.rounding != "rne":
            return Const(0, 1)
        positive = (kept == (1 << (p - 1)) - 1) & below[-2:].all()
        negative = (kept == -(1 << (p - 1))) & ~below[-1] & (~below[-2] | ~below[:-2].any())
        return positive | negative
