"""Sums of terms that are cut at a place which exponents alone tell (docs/arithmetic.md section 2, `exponents:F`).

No product is normalised: what is compared are sums of the factors' exponents. So a term waits for the loop as it is,
with its exponent, and moves once, by what its exponent lacks to the largest one, that of the accumulator included.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import FloatFormat, Format, ScaleFormat
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.parts.bits import extend
from macgen.rtl.parts.hierarchy import submodule
from macgen.rtl.parts.interfaces import connect_members, random_port
from macgen.rtl.parts.modes import mode_port
from macgen.rtl.parts.pipeline import PipelineRegisters
from macgen.rtl.units.aligned import (
    ALIGNED_REGISTERS_AFTER,
    cut,
    largest_of,
    place_sum,
    signed_sum,
    specials_of_sum,
    window_addend,
)
from macgen.rtl.units.exact_number import Addend, ExactNumber, Window, exponent_field_min
from macgen.rtl.units.exact_state import FloatNumber, cut_states
from macgen.rtl.units.float_rounder import FloatRounder, connect_carried
from macgen.rtl.units.float_value import FloatValue, sum_specials
from macgen.rtl.units.geometry import FloatGeometry
from macgen.rtl.units.specials import addend_specials, combined_specials

ZERO_REFERENCE = -126
"""The reference exponent of a zero, unless its format's smallest normal number has a smaller one."""


def zero_reference(fmt: FloatFormat) -> int:
    """Return the reference exponent of a format's zeros."""
    return min(ZERO_REFERENCE, fmt.min_exponent)


def largest_reference(fmt: Format | ScaleFormat) -> int:
    """Return the largest reference exponent of a format's numbers."""
    return (fmt.nan_code - 1 - fmt.bias) if isinstance(fmt, ScaleFormat) else fmt.max_exponent


@dataclass(frozen=True)
class ReferenceWindow(Window):
    """Where terms and the accumulator are cut: a number of bits below the largest reference exponent.

    Exponents on the wires are those of the magnitudes' top bits, as everywhere in a window. These stand `headroom`
    places above the reference exponent, for the accumulator's magnitude too, which has as many zeros there.

    Attributes:
        headroom: places of a term's magnitude above its reference exponent.
        least_state: exponent of the smallest number of the accumulator, as its states tell it.
        Others: see Window; the fraction bits are F and the headroom.
    """

    headroom: int = 1
    least_state: int = 0

    @property
    def highest(self) -> int:
        return max(_top(addend, addend.largest_exponent) for addend in self.addends)

    @property
    def base(self) -> int:
        tops = [_top(addend, addend.smallest_exponent) for addend in self.addends[:-1]]
        return min(self.lsb_exponent + self.bits, self.least_state + self.headroom, *tops)

    @property
    def term_bits(self) -> int:
        """Width of the terms' exponents on their way to the accumulator, of which the smallest is 0."""
        term = self.addends[0]
        return max(term.largest_exponent - term.smallest_exponent, self.lowest_term, 1).bit_length()

    @property
    def term_offset(self) -> int:
        """What is added to these for exponents as they are compared with the accumulator's."""
        return _top(self.addends[0], self.addends[0].smallest_exponent) - self.base

    @property
    def lowest_term(self) -> int:
        """The least of these that matters, below which nothing more is cut."""
        return max(self.lowest_top - self.term_offset, 0)

    def on_wires(self, reference: int) -> int:
        """Return how a reference exponent stands on the wires, or 0 for one below which nothing more is cut."""
        top = reference + self.headroom - self.base
        return top if top > self.lowest_top else 0


def _top(addend: Addend, exponent: int) -> int:
    """Return the exponent of the top bit of a magnitude with an exponent on the wires."""
    return addend.lsb_exponent + addend.significand_bits - 1 + exponent - addend.least_exponent


def reference_window(
    term: Addend, count: int, *, states: Addend, acc: FloatFormat, grid: int, bits: int, headroom: int
) -> ReferenceWindow:
    """Return the window of so many terms and an accumulator.

    Parameters:
        term: a term.
        count: how many.
        states: what the accumulator can be.
        acc: its format.
        grid: exponent of which all sums are multiples.
        bits: F.
        headroom: see ReferenceWindow.
    """
    least = acc.min_exponent
    if acc.subnormals == "gradual" and grid >= acc.lsb_exponent:  # subnormal numbers are kept normalised
        least = min(least, grid)
    wide = replace(states, significand_bits=states.significand_bits + headroom)
    return ReferenceWindow(
        addends=(*[term] * count, wide),
        fraction_bits=bits + headroom,
        lsb_exponent=grid,
        headroom=headroom,
        least_state=least,
    )


def exponents_of_zeros(factors: Sequence[Format | ScaleFormat], floor: int) -> tuple[int | None, ...]:
    """Return what stands on the wires as the exponent of a zero factor of a term; None: what its code says.

    Zeros with which a term cannot lead need no more than an exponent with which it does not.

    Parameters:
        factors: the factors' formats.
        floor: the largest exponent below which nothing more is cut.
    """
    found: list[int | None] = []
    highest = sum(largest_reference(fmt) for fmt in factors)
    for fmt in factors:
        if not isinstance(fmt, FloatFormat):
            found.append(None)
            continue
        reference = max(zero_reference(fmt), floor - (highest - largest_reference(fmt)))
        above = fmt.min_exponent - reference
        found.append(exponent_field_min(fmt) - above if above > 0 else None)
    return tuple(found)


class ReferredLanes(wiring.Signature):
    """A window's terms and their exponents.

    Members:
        negatives: signs, one bit each, lane 0 lowest.
        magnitudes: as they are, lane 0 lowest; 0 beside infinities and NaN.
        exponents: the smallest is 0; lane 0 lowest.
        largest: of these, or the least with which the place of the cut moves.
        infinite, nan, invalid, opposite, negative: of their sum; those that can occur. See ExactNumber.
    """

    def __init__(self, window: ReferenceWindow) -> None:
        term, lanes = window.addends[0], len(window.addends) - 1
        members: dict[str, Any] = {
            "negatives": Out(lanes),
            "magnitudes": Out(lanes * term.significand_bits),
            "exponents": Out(lanes * window.term_bits),
            "largest": Out(window.term_bits),
        }
        super().__init__(members | specials_of_sum(term, lanes))


class References(wiring.Component):
    """Find the largest reference exponent of the lanes' terms.

    Parameters:
        window: its first addends are what stands on the lanes, all of one kind.

    Members:
        numbers: terms, one of each lane; see ExactNumber.
        aligned: the same with their exponents; see ReferredLanes.
    """

    def __init__(self, window: ReferenceWindow) -> None:
        self._window = window
        super().__init__(
            {
                "numbers": In(ExactNumber(window.addends[0])).array(len(window.addends) - 1),
                "aligned": Out(ReferredLanes(window)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        window, term = self._window, self._window.addends[0]

        # -- Exponents: counted from the smallest one
        exponents: list[Value] = []
        for lane, number in enumerate(self.numbers):
            exponent = Signal(window.term_bits, name=f"exponent_{lane}")
            counted: Value = number.exponent
            if term.smallest_exponent:
                bits = max(len(exponent), len(counted))
                counted = extend(counted, bits) + Const(-term.smallest_exponent % (1 << bits), bits)
            m.d.comb += exponent.eq(counted)
            exponents.append(exponent)

        # -- Largest exponent: a tournament of the lanes; terms stay where they are
        m.d.comb += [
            self.aligned.largest.eq(largest_of(m, exponents, window.lowest_term, "largest")),
            self.aligned.exponents.eq(Cat(*exponents)),
            self.aligned.magnitudes.eq(Cat(*(number.magnitude for number in self.numbers))),
            self.aligned.negatives.eq(Cat(*(number.negative for number in self.numbers))),
        ]

        # -- Infinities and NaN: what those of all lanes make of the sum
        for name, value in combined_specials(self.numbers).items():
            if name in self.aligned.signature.members:
                m.d.comb += getattr(self.aligned, name).eq(value)
        return m


class ExponentAdder(wiring.Component):
    """Add the lanes' terms to the accumulator, all cut below the largest reference exponent, and round once.

    Parameters:
        geometry: of the window's sums.
        window: its last addend is the accumulator.
        cycles: see FloatAdder.

    Members:
        acc: the accumulator.
        lanes: the terms with their exponents; see ReferredLanes.
        random: with stochastic rounding the random number; taken when the addition ends.
        mode: the mode, where modes differ; when the addition begins.
        result: the rounded sum; when the addition ends.
        flags: raised by this addition, as far as `result` does not say so itself; when it ends.
        deferred_flags: raised by the addition that made `acc`, and not among its `flags`; at once.
    """

    def __init__(self, geometry: FloatGeometry, window: ReferenceWindow, cycles: int = 1) -> None:
        self._window = window
        self._registers_after = ALIGNED_REGISTERS_AFTER[cycles]
        self._lanes = len(window.addends) - 1
        self._geometry = g = geometry
        super().__init__(
            {
                "acc": In(FloatValue(g)),
                "lanes": In(ReferredLanes(window)),
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
        width, kept = window.addends[0].significand_bits, window.magnitude_bits

        # -- Settle: the accumulator as an exact number
        # Its last bits are cut wherever it stands, but may have to tell that it is not 0.
        zeros_differ = g.capped and window.on_wires(zero_reference(g.acc)) != window.on_wires(g.acc.min_exponent)
        dropped = 0 if zeros_differ else max(g.precision + window.headroom - kept, 0)
        state = submodule(m, platform, "number", "number", lambda: FloatNumber(g, dropped))
        connect_members(m, state.value, self.acc)
        mode = {name: getattr(self, name) for name in mode_port(g.dropped)}
        if mode:
            m.d.comb += state.mode.eq(mode["mode"])
        acc = state.number
        states = cut_states(g, dropped)
        wide = replace(states, significand_bits=states.significand_bits + window.headroom)
        magnitude, exponent = window_addend(m, window, wide, acc, "acc_exponent", normal=True)
        magnitude = Cat(magnitude, Const(0, window.headroom))

        # -- Compare exponents: the accumulator's reference exponent with the lanes' largest
        reference = self._reference(m, acc, exponent)
        bits, term_bits = window.exponent_bits, window.term_bits
        of_terms = Signal(bits, name="largest_of_terms")
        largest: Value = Signal(bits, name="largest")
        above_least = Signal(bits, name="above_least")  # the smallest exponent of a term
        m.d.comb += [
            of_terms.eq(extend(self.lanes.largest, bits) + Const(window.term_offset, bits)),
            largest.eq(Mux(reference > of_terms, reference, of_terms)),
            above_least.eq(largest - Const(window.term_offset, bits)),
        ]
        away: list[Value] = []
        for lane in range(self._lanes):
            distance = Signal(bits, name=f"distance_{lane}")
            of_term = self.lanes.exponents.word_select(lane, term_bits)
            m.d.comb += distance.eq(above_least - extend(of_term, bits))
            away.append(distance)

        # -- Infinities and NaN: what they make of the sum is known from the addends alone
        rounder = submodule(m, platform, "rounder", "aligned_rounder", lambda: FloatRounder(g))
        specials = SimpleNamespace(**combined_specials([self.lanes, acc]))
        operand = SimpleNamespace(**addend_specials(specials))
        pipeline = PipelineRegisters(m, self._registers_after, sum_specials(m, g, None, operand) | mode)

        # -- Align: every term and the accumulator move right; what falls off is cut
        negatives: Value = Cat(self.lanes.negatives, acc.negative)
        terms: Value = self.lanes.magnitudes
        distances: Value = Cat(*away)
        magnitude, terms, negatives, acc_away, distances, largest = pipeline.after(
            "compared",
            magnitude=magnitude,
            terms=terms,
            negatives=negatives,
            acc_away=(largest - exponent)[:bits],
            distances=distances,
            largest=largest,
        )
        aligned: Value = Cat(
            *(
                cut(
                    m,
                    window,
                    terms.word_select(lane, width),
                    distances.word_select(lane, bits),
                    f"align_{lane}",
                )
                for lane in range(self._lanes)
            ),
            cut(m, window, magnitude, acc_away, "align_acc"),
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

    def _reference(self, m: Module, acc: Any, exponent: Value) -> Value:
        """Return the accumulator's reference exponent on the wires, as that of a magnitude's top bit."""
        window, g, fmt = self._window, self._geometry, self._geometry.acc
        reference: Value = exponent

        # -- Subnormal numbers: have the smallest normal number's exponent, also where states keep them normalised
        least = window.on_wires(fmt.min_exponent)
        if not g.capped and not g.flush and window.least_state < fmt.min_exponent and least:
            reference = Signal(window.exponent_bits, name="acc_at_least")
            m.d.comb += reference.eq(Mux(exponent < least, least, exponent))

        # -- Zero: has an exponent of its own, unless its state says it
        zero = window.on_wires(zero_reference(fmt))
        if g.capped and zero == least:
            return reference
        nonzero = acc.magnitude.any() if g.capped else acc.magnitude[-1]
        of_acc = Signal(window.exponent_bits, name="acc_reference")
        m.d.comb += of_acc.eq(Mux(nonzero, reference, zero))
        return of_acc
