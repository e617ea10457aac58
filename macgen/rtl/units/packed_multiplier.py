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


class PackedMultiplier(wiring.Component):
    """Multiply two fixed-point codes, or the elements that are packed in them, whose products are added.

    Both codes are cut into as many fields as the most packed mode has elements. Each field of one is multiplied with
    each of the other. What belongs to one product moves to its place in it; fields of two different elements are not
    multiplied, but one of them with 0.

    Parameters:
        a, b: the formats.
        addend: of their products.
        packed: of each mode how many elements stand in a code.
        shifts: of each mode by how many places the sum of its products moves left to the last place of a product of a
            and b.

    Members:
        a, b: operand codes.
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
        width = len(self.product.integer)

        # -- Cut: codes into fields, each with the sign of the element whose first one it is
        a, b = (
            self._fields(m, name, code, fmt)
            for name, code, fmt in zip("ab", (self.a, self.b), self._formats, strict=True)
        )

        # -- Multiply: each field with each; with 0 where no element has both
        parts: list[Value] = []
        for high, a_field in enumerate(a):
            for low, b_field in enumerate(b):
                together = [self._element(packed, high) == self._element(packed, low) for packed in self._packed]
                factor: Value = a_field
                if not all(together):
                    apart = is_any_of(self.mode, [number for number, used in enumerate(together) if not used])
                    factor = Mux(apart, 0, a_field)
                part = Signal((a_field * b_field).shape(), name=f"part_{high}_{low}")
                m.d.comb += part.eq(factor * b_field)

                # -- Place: by the fields below them in their element
                places = [self._place(number, high, low) if used else None for number, used in enumerate(together)]
                default = next(place for place in places if place is not None)
                keys = [default if place is None else place for place in places]  # of zeros any place is right
                placed = Signal(signed(width), name=f"placed_{high}_{low}")
                m.d.comb += placed.eq(by_mode(self.mode, keys, partial(_moved, part, width)))
                parts.append(placed)

        # -- Add: one product, or the sum of several
        m.d.comb += self.product.integer.eq(reduce(add, parts)[:width])
        return m

    def _fields(self, m: Module, name: str, code: Value, fmt: FixedFormat) -> list[Value]:
        """Return the fields of a code, lowest first."""
        count = max(self._packed)
        bits = fmt.width // count
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

    def _place(self, number: int, high: int, low: int) -> int:
        """Return the place of a part in a mode: that of its fields in their elements."""
        fields = max(self._packed)
        inside = fields // self._packed[number]
        a_bits, b_bits = (fmt.width // fields for fmt in self._formats)
        return self._shifts[number] + high % inside * a_bits + low % inside * b_bits


def _moved(part: Value, width: int, place: int) -> Value:
    """Return a part, moved left to a place, in so many bits."""
    return extend(part << place, width)
