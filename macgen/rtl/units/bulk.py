"""Bulk normalisation: products alone, cut to odd at a place that their exponents tell (docs/arithmetic.md section 2).

No product is normalised. What falls off as a product moves right goes to its last bit. Zeros have the least exponent,
so that they never lead.
"""

from dataclasses import dataclass

from amaranth.hdl import Const, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.rtl.units.aligned import cut, largest_of, signed_sum, window_addend
from macgen.rtl.units.exact_number import Addend, ExactNumber, Window
from macgen.rtl.units.exact_sum import connect_sum
from macgen.rtl.units.specials import combined_specials


@dataclass(frozen=True)
class BulkWindow(Window):
    """Where products are cut: a number of bits below the largest exponent that one of them has on the wires.

    That is the exponent of a magnitude's top bit, which stands one place above the reference exponent.
    """

    @property
    def highest(self) -> int:
        product = self.addends[0]
        above_least = product.largest_exponent - product.least_exponent
        return product.lsb_exponent + product.significand_bits - 1 + above_least


def bulk_window(product: Addend, lanes: int, bits: int) -> BulkWindow:
    """Return the window of so many products, F bits below the largest reference exponent."""
    return BulkWindow((product,) * lanes, bits + 1, product.lsb_exponent, sticky=True)


class BulkSum(wiring.Component):
    """Add products that are cut to odd below the largest exponent.

    Parameters:
        window: its addends are the products.

    Members:
        numbers: the products; see ExactNumber. Those of zeros have the least exponent.
        sum: their sum; also invalid if infinities of both signs are among them.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._total = Addend.of_window(window)
        numbers = In(ExactNumber(window.addends[0])).array(len(window.addends))
        super().__init__({"numbers": numbers, "sum": Out(ExactNumber(self._total))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        window, bits = self._window, self._total.significand_bits

        # -- Exponents: of each product's top bit, which need not be set
        lanes = [
            window_addend(m, window, window.addends[0], number, f"exponent_{lane}", normal=True)
            for lane, number in enumerate(self.numbers)
        ]

        # -- Largest exponent: a tournament of the lanes
        largest = largest_of(m, [exponent for _, exponent in lanes], window.lowest_top, "largest")

        # -- Align: each product moves right by what its exponent lacks; its last bit remembers what falls off
        addends = [
            (number.negative, cut(m, window, magnitude, largest - exponent, f"align_{lane}"))
            for lane, (number, (magnitude, exponent)) in enumerate(zip(self.numbers, lanes, strict=True))
        ]

        # -- Add: signs become two's complement, the sum sign and magnitude
        offset = self._total.least_exponent - window.lowest_top
        m.d.comb += self.sum.exponent.eq(largest + Const(offset % (1 << window.exponent_bits)))
        specials = combined_specials(self.numbers)
        specials["invalid"] = specials["invalid"] | specials["conflict"]
        connect_sum(m, self.sum, signed_sum(addends, bits + 1), specials)
        return m
