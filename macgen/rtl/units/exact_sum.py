"""Sums of several numbers before they meet the accumulator: exact ones, or such as are cut at a window."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.rtl.parts.bits import extend, shift_right_sticky
from macgen.rtl.parts.hierarchy import submodule
from macgen.rtl.parts.interfaces import connect_members
from macgen.rtl.units.aligned import Aligner, signed_sum
from macgen.rtl.units.exact_number import Addend, ExactNumber, Window
from macgen.rtl.units.specials import combined_specials


class FusedSum(wiring.Component):
    """Add numbers exactly, on a fixed grid.

    Parameters:
        addend: the numbers.
        lanes: how many.
        lsb_exponent: the grid's exponent, where it is coarser than the numbers'; what they have below it is cut.
        sticky: whether the last bit then is the OR of itself and what is cut.

    Members:
        numbers: the addends; see ExactNumber.
        sum: their exact sum; see ExactNumber.
    """

    def __init__(self, addend: Addend, lanes: int, lsb_exponent: int | None = None, *, sticky: bool = False) -> None:
        self._addend = addend
        self._total = Addend.of_sum(addend, lanes, lsb_exponent)
        self._sticky = sticky
        super().__init__({"numbers": In(ExactNumber(addend)).array(lanes), "sum": Out(ExactNumber(self._total))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self._addend.integer_bits:
            # -- Add: integers
            width = len(self.sum.integer)
            total: Value = Const(0, signed(width))
            for number in self.numbers:
                total = (total + extend(number.integer, width))[:width].as_signed()
            m.d.comb += self.sum.integer.eq(total)
            return m

        # -- Align: every number to a fixed grid, on which the sum is exact
        addends = [(number.negative, self._on_grid(m, number, lane)) for lane, number in enumerate(self.numbers)]
        m.d.comb += self.sum.exponent.eq(self._total.least_exponent)

        # -- Add: signs become two's complement, the sum sign and magnitude
        total = signed_sum(addends, self._total.significand_bits + 1)
        connect_sum(m, self.sum, total, combined_specials(self.numbers))
        return m

    def _on_grid(self, m: Module, number: Any, lane: int) -> Value:
        """Return the magnitude in units of the grid; numbers of the largest exponent need no shift."""
        # -- Align: numbers of the largest exponent stand still, others move right
        addend, largest = self._addend, self._addend.largest_exponent
        highest = largest - addend.least_exponent + addend.lsb_exponent - self._total.lsb_exponent
        left, right = max(highest, 0), max(-highest, 0)
        width = addend.significand_bits + left
        wide = Signal(signed(width + 1), name=f"wide_{lane}")
        distance = Signal(max((largest - addend.least_exponent + right).bit_length(), 1), name=f"distance_{lane}")
        m.d.comb += [wide.eq(number.magnitude << left), distance.eq(largest + right - number.exponent)]
        shifted, sticky = shift_right_sticky(m, wide, distance, f"align_{lane}")
        aligned = shifted[: self._total.significand_bits]
        if not self._sticky or addend.lsb_exponent >= self._total.lsb_exponent:
            return aligned
        return Cat(aligned[0] | sticky, aligned[1:])


def connect_sum(m: Module, number: Any, total: Value, specials: dict[str, Value]) -> None:
    """Drive an ExactNumber, but for its exponent, with a two's complement sum and what the addends' specials are."""
    # -- Sign and magnitude: of the two's complement sum
    bits = len(number.magnitude)
    total_ = Signal(signed(bits + 1), name="total")
    absolute = Signal(bits + 1)
    m.d.comb += [
        total_.eq(total),
        absolute.eq(Mux(total_[-1], -total_, total_)),
        number.magnitude.eq(Mux(specials["nan"] | specials["infinite"], 0, absolute[:bits])),
        number.negative.eq(Mux(specials["infinite"], specials["negative"], total_[-1])),
    ]
    for name in ("infinite", "nan", "invalid", "opposite"):
        if name in number.signature.members:
            m.d.comb += getattr(number, name).eq(specials[name])


class WindowSum(wiring.Component):
    """Add numbers that are cut at a place below the largest one's exponent, or at least remember what is cut.

    Parameters:
        window: where; all its addends are of one kind.
        normal: see Aligner.

    Members:
        numbers: the addends; see ExactNumber.
        sum: their sum; also invalid if it is the NaN of infinities of both signs.
    """

    def __init__(self, window: Window, *, normal: bool) -> None:
        self._window = window
        self._normal = normal
        self._total = Addend.of_window(window)
        numbers = In(ExactNumber(window.addends[0])).array(len(window.addends))
        super().__init__({"numbers": numbers, "sum": Out(ExactNumber(self._total))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        window, lanes, bits = self._window, len(self._window.addends), self._total.significand_bits

        # -- Align: to the larger number
        kind = "lane_aligner" if self._normal else "lane_first_aligner"
        aligner = submodule(m, platform, "aligner", kind, lambda: Aligner(window, lanes, normal=self._normal))
        for number, source in zip(aligner.numbers, self.numbers, strict=True):
            connect_members(m, number, source)

        # -- Add: signs become two's complement, the sum sign and magnitude
        aligned, kept = aligner.aligned, window.magnitude_bits
        addends = [(aligned.negatives[lane], aligned.magnitudes.word_select(lane, kept)) for lane in range(lanes)]
        offset = self._total.least_exponent - window.lowest_top
        m.d.comb += self.sum.exponent.eq(aligned.exponent + Const(offset % (1 << window.exponent_bits)))
        specials = combined_specials([aligned])
        specials["invalid"] = specials["invalid"] | specials["opposite"]
        connect_sum(m, self.sum, signed_sum(addends, bits + 1), specials)
        return m
