"""A node of a tree of lanes: the sum of two numbers, rounded to the accumulator's format."""

from dataclasses import dataclass
from functools import cached_property

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import FixedFormat, Format, Overflow, Rounding
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.parts.hierarchy import submodule
from macgen.rtl.parts.interfaces import connect_members
from macgen.rtl.units.conversion import Conversion
from macgen.rtl.units.exact_number import Addend, ExactNumber, Window
from macgen.rtl.units.exact_sum import FusedSum, WindowSum
from macgen.rtl.units.rounded_number import RoundedNumber
from macgen.rtl.units.rounded_sum import RoundedSum


@dataclass(frozen=True)
class NodeGeometry:
    """What a node is sized by.

    Attributes:
        addend: the two numbers that it adds.
        result: what it makes of them: numbers of the accumulator's format.
        acc: this format.
        rounding: a rounding of sums; with `drop` both numbers are cut first.
        overflow: see MacSpec.
        first: whether it adds products, or else sums of other nodes.
    """

    addend: Addend
    result: Addend
    acc: Format
    rounding: Rounding
    overflow: Overflow
    first: bool

    @property
    def prefix(self) -> str:
        """Of the names of its modules."""
        return "lane_first_" if self.first else "lane_"

    @property
    def drops(self) -> bool:
        """Whether both numbers are cut at the larger one's last place before they are added."""
        return self.rounding == "drop"

    @cached_property
    def lsb_exponent(self) -> int:
        """Of a fixed-point accumulator: the exponent of the grid on which the numbers are added."""
        # `floor` asks for the sign of the smallest sum, `odd` whether it is none.
        if self.addend.integer_bits or self.rounding in ("floor", "odd"):
            return self.addend.lsb_exponent
        # Numbers with bits far below the accumulator's last place are too small to count beside others or alone.
        guard = 0 if self.drops else self.addend.significand_bits + 2
        return max(self.addend.lsb_exponent, self.acc.lsb_exponent - guard)

    @cached_property
    def window(self) -> Window | None:
        """Of a float accumulator: where sums round as the exact ones, or as those of what `drop` leaves."""
        addend, acc = self.addend, self.acc
        if isinstance(acc, FixedFormat):
            return None
        if self.drops:
            gradual = acc.subnormals == "gradual"
            place = max(addend.lsb_exponent, acc.lsb_exponent) if gradual else addend.lsb_exponent
            return Window((addend, addend), acc.man_bits, place)
        # All bits of the larger one, one for a sum that cancels, one to round by, and a sticky one.
        bits = max(addend.significand_bits, acc.precision + 1) + 1
        return Window((addend, addend), bits, addend.lsb_exponent, sticky=True)

    @cached_property
    def conversion(self) -> Conversion:
        """The rounding of the sum, after the numbers have been cut."""
        window = self.window
        total = Addend.of_sum(self.addend, 2, self.lsb_exponent) if window is None else Addend.of_window(window)
        return Conversion(RoundedSum(total, self.acc, self.rounding.of_numbers, self.overflow, prefix=self.prefix))


class TreeNode(wiring.Component):
    """Round the sum of two numbers to the accumulator's format.

    Members:
        numbers: the addends; see ExactNumber.
        sum: their sum, rounded to the accumulator's format.
        flags: raised by the rounding.
    """

    def __init__(self, geometry: NodeGeometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                "numbers": In(ExactNumber(geometry.addend)).array(2),
                "sum": Out(ExactNumber(geometry.result)),
                "flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self._geometry

        # -- Add: the two numbers, exactly as far as rounding can tell
        adder = submodule(m, platform, "sum", f"{g.prefix}sum", self._sum)

        # -- Round: to the accumulator's format
        unit = submodule(m, platform, "rounding", f"{g.prefix}rounding", lambda: RoundedNumber(g.conversion, g.result))
        for number, source in zip(adder.numbers, self.numbers, strict=True):
            connect_members(m, number, source)
        connect_members(m, unit.number, adder.sum)
        connect_members(m, self.sum, unit.rounded)
        m.d.comb += self.flags.eq(unit.flags)
        return m

    def _sum(self) -> wiring.Component:
        """Make what adds the two numbers."""
        g = self._geometry
        if g.window is None:
            return FusedSum(g.addend, 2, g.lsb_exponent, sticky=not g.drops)
        return WindowSum(g.window, normal=not g.first)
