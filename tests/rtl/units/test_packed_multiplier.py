"""The multiplier of packed modes on all pairs of codes, against integers; the contract's table (section 10)."""

from fractions import Fraction

import numpy as np
import pytest

from macgen import MacSpec, golden
from macgen.rtl import Design
from macgen.rtl.parts.hierarchy import Modules
from tests.rtl.gates import from_rtlil

SPECS = {
    "signed": MacSpec(a="int8", b="int8", acc="int24", modes=["two:a=int4,b=int4,packed=2", "low:a=fix8.-2"]),
    "mixed": MacSpec(a="uint4", b="fix2.2", acc="fix20.2", modes=["two:a=uint2,b=fix2.0,packed=2"]),
    "places": MacSpec(a="fix4.4", b="fix2.2", acc="fix20.8", modes=["two:a=fix2.2,b=int2,packed=2"]),
    "both": MacSpec(
        a="int8", b="uint4", acc="int24",
        modes=["two:a=int4,b=uint2,packed=2", "four:a=int2,b=uint1,packed=4"],
    ),
}  # fmt: skip


def elements(fmt, codes, packed):
    """Return the values of a code's elements, (packed, codes), in units of the last bit; lowest bits first."""
    found = []
    for index in range(packed):
        code = codes >> (index * fmt.width) & ((1 << fmt.width) - 1)
        found.append(np.where(code >> (fmt.width - 1) & fmt.signed, code - (1 << fmt.width), code))
    return np.stack(found)


def turned(fmt, codes, packed):
    """Return codes with their elements in the opposite order."""
    width = fmt.width // packed
    parts = [codes >> (index * width) & ((1 << width) - 1) for index in range(packed)]
    return sum(part << (width * (packed - 1 - index)) for index, part in enumerate(parts))


@pytest.mark.parametrize("name", SPECS)
def test_all_pairs_of_codes_in_each_mode(name):
    spec = SPECS[name]
    design = Design(spec)
    component = design.multiplier()
    gates = from_rtlil(Modules("multiplier").convert(component), "multiplier")
    a, b = (np.arange(1 << fmt.width) for fmt in (spec.a, spec.b))
    a, b = np.repeat(a, len(b)), np.tile(b, len(a))
    for number, mode in enumerate(design.modes):
        packed = mode.lanes // spec.lanes
        narrow = mode if packed > 1 else spec
        wanted = (elements(narrow.a, a, packed) * elements(narrow.b, b, packed)).sum(axis=0)
        wanted <<= spec.a.frac_bits + spec.b.frac_bits - narrow.a.frac_bits - narrow.b.frac_bits
        inputs = {"a": a, "b": turned(spec.b, b, packed), "mode": np.full_like(a, number)}
        found = gates.evaluate(len(a), inputs)["product__integer"]
        every_bit = (1 << len(component.product.integer)) - 1
        np.testing.assert_array_equal(found, wanted & every_bit)


TABLE = [  # docs/arithmetic.md section 10: operands, mode, codes, length, what is added
    (("int8", "int8"), "a=int4,b=int4,packed=2", 0x8F, 0x87, 2, 57),
    (("int8", "int8"), "a=int4,b=int4,packed=2", 0x0F, 0x07, 1, -7),
    (("int8", "int8"), "a=int4,b=int4,packed=2", 0x88, 0x88, 2, 128),
    (("fix4.4", "fix4.4"), "a=fix2.2,b=fix2.2,packed=2", 0x18, 0x44, 2, Fraction(-7, 4)),
    (("uint8", "int8"), "a=uint4,b=int4,packed=2", 0xF8, 0x81, 2, -112),
    (("int8", "int8"), "a=int2,b=int2,packed=4", 0xE4, 0x2D, 4, 3),
]


@pytest.mark.parametrize("row", TABLE)
def test_the_corner_cases_of_the_contract(row):
    """Of the multiplier, and of golden with the elements one by one."""
    (a, b), mode, a_code, b_code, length, wanted = row
    spec = MacSpec(a=a, b=b, acc="fix20.8", modes=[f"p:{mode}"])
    component, narrow = Design(spec).multiplier(), spec.mode("p")
    gates = from_rtlil(Modules("multiplier").convert(component), "multiplier")
    inputs = {"a": np.array([a_code]), "b": turned(spec.b, np.array([b_code]), narrow.lanes), "mode": np.array([1])}
    (product,) = gates.evaluate(1, inputs)["product__integer"].tolist()
    bits = len(component.product.integer)
    product -= (product >> (bits - 1)) << bits
    assert Fraction(product) / 2 ** (spec.a.frac_bits + spec.b.frac_bits) == wanted
    codes = [
        [code >> (index * fmt.width) & ((1 << fmt.width) - 1) for index in range(length)]
        for code, fmt in ((a_code, narrow.a), (b_code, narrow.b))
    ]
    code, _ = golden.dot(narrow, *codes)
    assert narrow.acc.number(code).to_fraction() == wanted
