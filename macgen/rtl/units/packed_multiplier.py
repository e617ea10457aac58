"""The multiplier of an array with packed modes: cut into parts, which make one product or several (contract, 10)."""

from collections.abc import Sequence
from functools import partial, reduce
from operator import add

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import FixedFormat
from macgen.rtl.parts.bits import extend
from macgen.rtl.parts.modes import by_mode, is_any_of, mode_port
from macgen.rtl.units.exact_number import Addend, ExactNumber


def turned(code: Value, packed: int) -> Value:
    """Return a code with its elements in the opposite order, as PackedMultiplier takes those of b."""
    bits = len(code) // packed
    return Cat(*(code.word_select(index, bits) for index in reversed(range(packed))))


class PackedMultiplier(wiring.Component):
    """Multiply two fixed-point codes, or the elements that are packed in them, whose products are added.

    Both codes are cut into as many fields as the most packed mode has elements. Each field of one is multiplied with
    each of the other. In a packed mode fields of two elements that do not belong together are not, but one of them with
    0. As the elements of b stand in the opposite order, all that is left has the same place as in one product.

    Parameters:
        a, b: the formats.
        addend: of their products.
        packed: of each mode how many elements stand in a code.
        shifts: of each mode by how many places the sum of its products moves left to the last place of a product of a
            and b.

    Members:
        a, b: operand codes; in packed modes the elements of b in the opposite order.
        mode: the mode's number.
        product: their exact product, or the exact sum of the elements' products; see ExactNumber.
    """

    def __init__(
        self, a: FixedFormat, b: FixedFormat, addend: Addend, packed: Sequence[int], shifts: Sequence[int]
    ) -> None:
        self._formats, self._packed, self._shifts = (a, b), tuple(packed), tuple(shifts)
        super().__init__(
            {"a": In(a.width), "b": In(b.width), **mode_port(self._packed), "product": Out(ExactNumber(addend))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fields = max(self._packed)
        # By how much the first element's product stands too high in a mode.
        offsets = tuple(
            self._place(0, 0, fields - fields // packed) - self._place(number, 0, fields - fields // packed)
            for number, packed in enumerate(self._packed)
        )
        width = len(self.product.integer) + max(0, *offsets)

        a, b = (
            self._fields(m, name, code, fmt)
            for name, code, fmt in zip("ab", (self.a, self.b), self._formats, strict=True)
        )

        # -- Multiply: each field with each; with 0 where they do not belong together
        parts: list[Value] = []
        for of_a, a_field in enumerate(a):
            for of_b, b_field in enumerate(b):
                together = [
                    self._element(packed, of_a) + self._element(packed, of_b) == packed - 1 for packed in self._packed
                ]
                factor: Value = a_field
                if not all(together):
                    apart = is_any_of(self.mode, [number for number, used in enumerate(together) if not used])
                    factor = Mux(apart, 0, a_field)
                part = Signal((a_field * b_field).shape(), name=f"part_{of_a}_{of_b}")
                m.d.comb += part.eq(factor * b_field)
                # Of zeros any place is right. Where a and b have as many bits, all modes have the same one.
                place = self._place(0, of_a, of_b)
                keys = [
                    self._place(number, of_a, of_b) + offsets[number] if used else place
                    for number, used in enumerate(together)
                ]
                placed = Signal(signed(width), name=f"placed_{of_a}_{of_b}")
                m.d.comb += placed.eq(by_mode(self.mode, keys, partial(_moved, part, width)))
                parts.append(placed)

        # -- Add: one product, or the sum of several
        total = Signal(signed(width))
        m.d.comb += total.eq(reduce(add, parts)[:width])

        # -- Place: the sum of several products at their own last place
        m.d.comb += self.product.integer.eq(by_mode(self.mode, offsets, lambda offset: _moved(total, width, -offset)))
        return m

    def _fields(self, m: Module, name: str, code: Value, fmt: FixedFormat) -> list[Value]:
        """Return the fields of a code, lowest first."""
        count = max(self._packed)
        bits = fmt.width // count

        # -- Cut: codes into fields; the highest one of an element has its sign
        fields = []
        for index in range(count):
            field = code.word_select(index, bits)
            tops = [index % (count // packed) == count // packed - 1 for packed in self._packed]
            if fmt.signed and any(tops):
                is_top = Const(1, 1) if all(tops) else is_any_of(self.mode, [n for n, top in enumerate(tops) if top])
                signed_field = Signal(bits + 1, name=f"{name}_field_{index}")
                m.d.comb += signed_field.eq(Cat(field, field[-1] & is_top))
                fields.append(signed_field.as_signed())
            else:
                fields.append(field)
        return fields

    def _element(self, packed: int, field: int) -> int:
        """Return which of so many elements a field belongs to."""
        return field // (max(self._packed) // packed)

    def _place(self, number: int, of_a: int, of_b: int) -> int:
        """Return the place of a part in a mode: that of its fields in their elements."""
        fields = max(self._packed)
        inside = fields // self._packed[number]
        a_bits, b_bits = (fmt.width // fields for fmt in self._formats)
        return self._shifts[number] + of_a % inside * a_bits + of_b % inside * b_bits


def _moved(part: Value, width: int, place: int) -> Value:
    """Return a part, moved left to a place, or right to a negative one, in so many bits."""
    return extend(part << place if place >= 0 else part >> -place, width)
