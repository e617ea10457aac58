"""Sums of numbers each of which is cut at a place below the largest one (docs/arithmetic.md section 2).

Magnitudes are cut, so that cutting is toward zero and may be done in several steps: the lanes align their products to
the largest of these before the loop, and the loop aligns all of them to the accumulator.
"""

from collections.abc import Sequence
from functools import reduce
from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.parts.bits import extend, shift_right_sticky
from macgen.rtl.parts.hierarchy import submodule
from macgen.rtl.parts.interfaces import connect_members, random_port
from macgen.rtl.parts.modes import mode_port
from macgen.rtl.parts.pipeline import PipelineRegisters
from macgen.rtl.units.exact_number import Addend, ExactNumber, Window
from macgen.rtl.units.exact_state import FloatNumber, cut_states
from macgen.rtl.units.float_ports import normalise
from macgen.rtl.units.float_rounder import FloatRounder, connect_carried
from macgen.rtl.units.float_value import FloatValue, sum_specials
from macgen.rtl.units.geometry import FloatGeometry
from macgen.rtl.units.specials import addend_specials, combined_specials


class AlignedLanes(wiring.Signature):
    """Some of a window's addends, aligned to the largest of them and cut.

    Members:
        negatives: signs, one bit each, lane 0 lowest.
        magnitudes: `Window.magnitude_bits` each, lane 0 lowest; 0 beside infinities and NaN.
        exponent: of the magnitudes' top bit, with an offset. See `Window.base`; at least `Window.lowest_top`.
        infinite, nan, invalid, opposite, negative: of their sum; those that can occur. See ExactNumber.
    """

    def __init__(self, window: Window, lanes: int) -> None:
        members: dict[str, Any] = {
            "negatives": Out(lanes),
            "magnitudes": Out(lanes * window.magnitude_bits),
            "exponent": Out(window.exponent_bits),
        }
        super().__init__(members | specials_of_sum(window.addends[0], lanes))


def specials_of_sum(addend: Addend, count: int) -> dict[str, Any]:
    """Return the members that tell of infinities and NaN among so many numbers."""
    members: dict[str, Any] = {}
    total = Addend.of_sum(addend, count)
    if total.infinite:
        members |= {"infinite": Out(1), "negative": Out(1)}
    if total.opposite:
        members["opposite"] = Out(1)
    if total.nan:
        members |= {"nan": Out(1), "invalid": Out(1)}
    return members


class Aligner(wiring.Component):
    """Align lanes to the largest of them.

    Parameters:
        window: its first addends are what stands on the lanes, all of one kind.
        lanes: how many.
        normal: whether a number is only then not normalised when its exponent is the least, which is then at or below
            the window's lowest position.

    Members:
        numbers: products, one of each lane; see ExactNumber.
        aligned: the same, all with one exponent; see AlignedLanes.
    """

    def __init__(self, window: Window, lanes: int, *, normal: bool = False) -> None:
        self._window = window
        self._lanes = lanes
        self._normal = normal
        super().__init__(
            {
                "numbers": In(ExactNumber(window.addends[0])).array(lanes),
                "aligned": Out(AlignedLanes(window, lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        window, addend = self._window, self._window.addends[0]

        # -- Exponents: of each product's top bit
        lanes = [
            window_addend(m, window, addend, number, f"exponent_{lane}", normal=self._normal)
            for lane, number in enumerate(self.numbers)
        ]

        # -- Largest exponent: a tournament of the lanes
        largest = largest_of(m, [exponent for _, exponent in lanes], window.lowest_top, "largest")

        # -- Align: each product moves right by what its exponent lacks; what falls off is cut
        magnitudes = [
            cut(m, window, magnitude, largest - exponent, f"align_{lane}")
            for lane, (magnitude, exponent) in enumerate(lanes)
        ]
        m.d.comb += [
            self.aligned.exponent.eq(largest),
            self.aligned.magnitudes.eq(Cat(*magnitudes)),
            self.aligned.negatives.eq(Cat(*(number.negative for number in self.numbers))),
        ]

        # -- Infinities and NaN: what those of all lanes make of the sum
        for name, value in combined_specials(self.numbers).items():
            if name in self.aligned.signature.members:
                m.d.comb += getattr(self.aligned, name).eq(value)
        return m


ALIGNED_REGISTERS_AFTER: dict[int, tuple[str, ...]] = {
    1: (),
    2: ("aligned",),
    3: ("aligned", "added"),
    4: ("compared", "aligned", "added"),
}
"""As `REGISTERS_AFTER` of FloatAdder, for sums of aligned addends: exponents compared, addends aligned, exact sum."""


class AlignedAdder(wiring.Component):
    """Add the lanes' products to the accumulator, all cut below the largest one's exponent, and round once.

    Parameters:
        geometry: of the window's sums.
        window: its last addend is the accumulator.
        cycles: see FloatAdder.

    Members:
        acc: the accumulator.
        lanes: the products, aligned to the largest of them; see AlignedLanes.
        random: with stochastic rounding the random number; taken when the addition ends.
        mode: the mode, where modes differ; when the addition begins.
        result: the rounded sum; when the addition ends.
        flags: raised by this addition, as far as `result` does not say so itself; when it ends.
        deferred_flags: raised by the addition that made `acc`, and not among its `flags`; at once.
    """

    def __init__(self, geometry: FloatGeometry, window: Window, cycles: int = 1) -> None:
        self._window = window
        self._registers_after = ALIGNED_REGISTERS_AFTER[cycles]
        self._lanes = len(window.addends) - 1
        self._geometry = g = geometry
        super().__init__(
            {
                "acc": In(FloatValue(g)),
                "lanes": In(AlignedLanes(window, self._lanes)),
                **random_port(g.random_bits),
                **mode_port(g.dropped),
                "result": Out(FloatValue(g)),
                "flags": Out(FLAG_BITS),
                "deferred_flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        window, g = self._window, self._geometry

        # -- Settle: the accumulator as an exact number
        # Where it is normalised, its last bits are cut wherever it stands.
        dropped = 0 if g.states.leading_zeros else max(g.precision - window.magnitude_bits, 0)
        state = submodule(m, platform, "number", "number", lambda: FloatNumber(g, dropped))
        connect_members(m, state.value, self.acc)
        mode = {name: getattr(self, name) for name in mode_port(g.dropped)}
        if mode:
            m.d.comb += state.mode.eq(mode["mode"])
        acc = state.number
        magnitude, exponent = window_addend(m, window, cut_states(g, dropped), acc, "acc_exponent")

        # -- Compare exponents: the accumulator's with the lanes' largest
        acc_larger = Signal()
        largest: Value = Signal(window.exponent_bits, name="largest")
        behind: Value = Signal(window.exponent_bits, name="behind")  # by how much the lanes' exponent is smaller
        m.d.comb += [
            acc_larger.eq(exponent > self.lanes.exponent),
            largest.eq(Mux(acc_larger, exponent, self.lanes.exponent)),
            behind.eq(Mux(acc_larger, exponent - self.lanes.exponent, 0)),
        ]

        # -- Infinities and NaN: what they make of the sum is known from the addends alone
        rounder = submodule(m, platform, "rounder", "aligned_rounder", lambda: FloatRounder(g))
        specials = SimpleNamespace(**combined_specials([self.lanes, acc]))
        operand = SimpleNamespace(**addend_specials(specials))
        pipeline = PipelineRegisters(m, self._registers_after, sum_specials(m, g, None, operand) | mode)

        # -- Align: the lanes or the accumulator move right; what falls off is cut
        kept = window.magnitude_bits
        negatives: Value = Cat(self.lanes.negatives, acc.negative)
        magnitudes: Value = self.lanes.magnitudes
        magnitude, magnitudes, negatives, away, behind, largest = pipeline.after(
            "compared",
            magnitude=magnitude,
            magnitudes=magnitudes,
            negatives=negatives,
            away=largest - exponent,
            behind=behind,
            largest=largest,
        )
        aligned: Value = Cat(
            *(
                cut(m, window, magnitudes.word_select(lane, kept), behind, f"align_{lane}")
                for lane in range(self._lanes)
            ),
            cut(m, window, magnitude, away, "align_acc"),
        )
        aligned, negatives, largest = pipeline.after(
            "aligned", magnitudes=aligned, negatives=negatives, largest=largest
        )

        # -- Add: signs become two's complement
        addends = [(negatives[index], aligned.word_select(index, kept)) for index in range(self._lanes + 1)]
        total: Value = Signal(g.rounded_sum.addend.significand_bits + 1)
        m.d.comb += total.eq(signed_sum(addends, len(total)))
        total, largest = pipeline.after("added", total=total, largest=largest)

        # -- Normalise and round: in a module of its own
        place_sum(m, g, window, rounder, total, largest)
        connect_carried(m, rounder, pipeline.carried)
        if g.random_bits:
            m.d.comb += rounder.random.eq(self.random)
        connect_members(m, self.result, rounder.result)
        m.d.comb += [self.flags.eq(rounder.flags), self.deferred_flags.eq(state.flags)]
        return m


def place_sum(m: Module, g: FloatGeometry, window: Window, rounder: Any, total: Value, largest: Value) -> None:
    """Give the rounder the sum, of which it expects one bit to spare above the window.

    Parameters:
        m: module that gets the logic.
        g: of the window's sums.
        window: the window.
        rounder: to be driven.
        total: the sum of the cut addends, two's complement.
        largest: exponent of the window's top bit, with the window's offset.
    """
    addend = g.rounded_sum.addend

    # -- Place: the sum as the rounder takes it, with one bit to spare
    placed = Signal(signed(len(rounder.sum)))
    exponent = Signal(g.exponent_bits)
    offset = g.addend_offset + addend.least_exponent - window.lowest_top
    bits = max(g.exponent_bits, len(largest))
    m.d.comb += [
        placed.eq(total.as_signed() << (len(rounder.sum) - 2 - addend.significand_bits)),
        exponent.eq(extend(largest, bits) + Const(offset % (1 << bits), bits)),
    ]
    lowest = addend.least_exponent + g.addend_offset
    if not g.capped or lowest >= g.min_exponent:
        m.d.comb += [rounder.sum.eq(placed), rounder.exponent.eq(exponent)]
        return

    # -- Subnormal sums: move right to the smallest normal number's exponent
    # The rounder's normalisation shifts left only, until it meets the smallest normal number's exponent.
    distance = Signal(range(g.min_exponent - lowest + 1))
    least = Const(g.min_exponent, g.exponent_bits)
    below = Signal()
    m.d.comb += [below.eq(exponent < least), distance.eq(Mux(below, least - exponent, 0))]
    shifted, sticky = shift_right_sticky(m, placed, distance, "subnormal")
    m.d.comb += [
        rounder.sum.eq(Cat(shifted[0] | sticky, shifted[1:]).as_signed()),
        rounder.exponent.eq(Mux(below, least, exponent)),
    ]


def window_addend(
    m: Module, window: Window, addend: Addend, number: Any, name: str, *, normal: bool = False
) -> tuple[Value, Value]:
    """Return magnitude and exponent of a number as an addend of a window; the exponent of 0 is the least.

    Parameters:
        m: module that gets the logic.
        window: the window.
        addend: the number.
        number: see ExactNumber.
        name: of the signal that is made.
        normal: see Aligner.
    """
    # -- Exponent of the top bit: so that exponents alone tell which number is larger
    bits = window.exponent_bits
    # Of the top bit of a magnitude whose exponent on the wires is 0.
    top = addend.significand_bits - 1 + addend.lsb_exponent - addend.least_exponent - window.base
    exponent = Signal(bits, name=name)
    wide = max(bits, len(number.exponent))
    of_top = extend(number.exponent, wide) + Const(top % (1 << wide), wide)
    if normal:
        m.d.comb += exponent.eq(of_top)
        return number.magnitude, exponent
    zeros, nonzero, magnitude = normalise(m, addend, number, f"_{name}")
    m.d.comb += exponent.eq(Mux(nonzero, of_top - extend(zeros, wide), 0))
    return magnitude, exponent


def largest_of(m: Module, exponents: Sequence[Value], least: int, name: str) -> Value:
    """Return the largest of some unsigned numbers of the same width and of a constant."""
    # -- Largest exponent: a tournament
    width = len(exponents[0])
    level: list[Value] = list(exponents)
    if least:
        level.append(Const(least, width))
    while len(level) > 1:
        pairs = [
            Mux(x > y, x, y) if y is not None else x for x, y in zip(level[::2], [*level[1::2], None], strict=False)
        ]
        level = []
        for index, value in enumerate(pairs):
            signal = Signal(width, name=f"{name}_{len(pairs)}_{index}")
            m.d.comb += signal.eq(value)
            level.append(signal)
    return level[0]


def cut(m: Module, window: Window, magnitude: Value, distance: Value, name: str) -> Value:
    """Return a magnitude that is shifted right into a window; what does not fit is cut, or goes to the last bit.

    Parameters:
        m: module that gets the logic.
        window: the window.
        magnitude: its top bit is aligned to the window's.
        distance: how far below the top bit shall stand; the lowest `Window.exponent_bits` count.
        name: prefix of the signals made.
    """
    # -- Align: the magnitude moves right into the window; what falls off is cut, or the last bit remembers it
    kept = window.magnitude_bits
    width = max(len(magnitude), kept)
    wide = Signal(signed(width + 1), name=f"{name}_wide")
    away = Signal(window.exponent_bits, name=f"{name}_distance")
    m.d.comb += [wide.eq(magnitude << (width - len(magnitude))), away.eq(distance)]
    shifted, sticky = shift_right_sticky(m, wide, away, name)
    if not window.sticky:
        return shifted[width - kept : width]
    below = shifted[: width - kept].any() | sticky if width > kept else sticky
    return Cat(shifted[width - kept] | below, shifted[width - kept + 1 : width])


def signed_sum(addends: Sequence[tuple[Value, Value]], width: int) -> Value:
    """Return the sum, two's complement of a width that holds it, of numbers given as sign and magnitude."""
    # The complement of each negative magnitude, and one for each.
    ones = [
        Cat(magnitude ^ negative.replicate(len(magnitude)), negative).as_signed() for negative, magnitude in addends
    ]
    wide = [extend(value, width) for value in ones] + [extend(negative, width) for negative, _ in addends]
    return reduce(lambda x, y: (x + y)[:width], wide)
