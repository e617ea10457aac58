"""Rounding of single numbers: every product of two small formats, rounded to a third, against golden."""

import itertools

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.golden.model import RoundedSum as GoldenSum
from macgen.golden.model import multiply
from macgen.numerics import FixedFormat, Overflow, Rounding, parse_format
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.parts.hierarchy import Modules, submodule
from macgen.rtl.parts.interfaces import connect_members
from macgen.rtl.units.conversion import Conversion
from macgen.rtl.units.exact_number import Addend
from macgen.rtl.units.multiplier import Multiplier
from macgen.rtl.units.rounded_sum import RoundedSum
from tests.rtl.gates import from_rtlil

# (a, b, format, rounding, overflow). Together: every encoding, wider and narrower than the numbers, all numbers below
# the smallest normal one and none, one significand bit, more random bits than the numbers have, no range at all.
CASES = [
    ("e3m2", "e3m2", "e4m3", "rne", "infinity"),
    ("e3m2", "e3m2", "e3m1", "rtz", "infinity"),
    ("e3m2fn", "e3m2fnuz", "e3m2fnuz", "rne", "saturate"),
    ("e3m2", "e2m1", "e3m2fn:bias=12", "rne", "saturate"),
    ("e3m2", "e3m1", "e2m2:bias=-6", "rne", "infinity"),
    ("e2m1fn", "e3m2", "e4m2finite:flush", "rne", "saturate"),
    ("e3m2", "e3m2", "e3m3:flush", "stochastic:2", "infinity"),
    ("e3m2:none", "e3m2", "e3m3:none", "rne", "infinity"),
    ("e2m1fn", "e3m2", "e4m2finite:none", "rtz", "saturate"),
    ("e3m2", "e3m2", "e3m3fnuz:none", "stochastic:2", "saturate"),
    ("e2m2", "e2m2", "e2m1", "stochastic:5", "saturate"),
    ("e3m2", "e2m2", "e2m2fnuz", "stochastic:2", "saturate"),
    ("e3m0fn", "e3m1", "e4m0finite", "rne", "saturate"),
    ("e2m2", "e2m2", "e3m0fnuz:bias=5", "drop", "saturate"),
    ("e3m2", "e3m2:none", "e3m3:none", "rne", "infinity"),
    ("e3m2", "e2m1", "e2m2finite:none", "rtz", "saturate"),
    ("e3m2:none", "e3m2", "e3m2fnuz:none", "stochastic:2", "saturate"),
    ("e2m1:flush", "int4", "e1m3fn", "rne", "saturate"),
    ("int4", "uint4", "e3m1", "rne", "infinity"),
    ("fix2.2", "fix1.3", "e2m4finite:bias=1", "rtz", "saturate"),
    ("e3m2", "e3m2", "fix3.2", "rne", "saturate"),
    ("e3m2finite", "e3m2fn", "fix4.1", "drop", "wrap"),
    ("e3m2", "e2m2", "fix9.0", "stochastic:2", "wrap"),
    ("int4", "int4", "fix3.1", "rne", "saturate"),
    ("fix2.2", "fix2.2", "fix2.1", "stochastic:2", "wrap"),
    ("ufix2.2", "uint4", "uint3", "rne", "saturate"),
    ("e3m2", "e3m2", "e3m3", "stochastic:2:nearest", "infinity"),
    ("e3m2", "e3m2", "e3m3fnuz:none", "stochastic:1:nearest", "saturate"),
    ("e2m2", "e2m2", "e2m1", "stochastic:5:nearest", "saturate"),
    ("e3m2", "e2m2", "e2m2fnuz", "stochastic:2:nearest", "saturate"),
    ("e3m2", "e2m2", "fix9.0", "stochastic:2:nearest", "wrap"),
    ("fix2.2", "fix2.2", "fix2.1", "stochastic:2:nearest", "wrap"),
    ("e3m2", "e3m2", "e4m3", "floor", "infinity"),
    ("e3m2", "e2m1", "e3m2fnuz:bias=8", "floor", "nan"),
    ("e3m2", "e3m1finite", "e4m0finite", "floor", "saturate"),
    ("e3m2", "e3m2", "e3m1fn:bias=5", "floor", "nan"),
    ("e3m2", "e2m1", "e3m0fnuz:flush", "floor", "saturate"),
    ("e3m2", "e2m1fn", "e2m1fn:none", "floor", "saturate"),
    ("fix2.2", "fix-2.5", "e3m1:bias=6", "floor", "infinity"),
    ("e3m2", "e2m1", "fix4.1", "floor", "wrap"),
    ("e2m1", "e2m2", "ufix-4.6", "floor", "wrap"),
]


class Converted(wiring.Component):
    """A multiplier and the rounding of its products."""

    def __init__(self, a, b, conversion):
        self._formats, self._conversion = (a, b), conversion
        super().__init__(
            {
                "a": In(a.width),
                "b": In(b.width),
                "random": In(conversion.random_bits),
                "code": Out(conversion.rounded_sum.acc.width),
                "flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        addend = self._conversion.rounded_sum.addend
        multiplier = submodule(m, platform, "multiplier", "multiplier", lambda: Multiplier(*self._formats, addend))
        unit = submodule(m, platform, "unit", "conversion", self._conversion.unit)
        connect_members(m, unit.number, multiplier.product)
        m.d.comb += [multiplier.a.eq(self.a), multiplier.b.eq(self.b)]
        m.d.comb += [self.code.eq(unit.code), self.flags.eq(unit.flags)]
        if self._conversion.random_bits:
            m.d.comb += unit.random.eq(self.random)
        return m


@pytest.mark.thinned(5)
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_every_product(case):
    a, b, fmt = map(parse_format, case[:3])
    rounding, overflow = Rounding(case[3]), Overflow(case[4])
    addend = Addend.of_product(a, b, integer=isinstance(fmt, FixedFormat))
    conversion = Conversion(RoundedSum(addend, fmt, rounding, overflow))
    gates = from_rtlil(Modules("converted").convert(Converted(a, b, conversion)), "converted")
    pairs = list(itertools.product(range(1 << a.width), range(1 << b.width)))
    inputs = dict(zip("ab", np.array(pairs).T, strict=True))
    target = GoldenSum(fmt, rounding, overflow)
    seen = set()
    for number in range(1 << rounding.random_bits):
        random = {"random": number} if conversion.random_bits else {}
        out = gates.evaluate(len(pairs), inputs | random)
        for pair, *found in zip(pairs, out["code"].tolist(), out["flags"].tolist(), strict=True):
            wanted = target.of((multiply(a.number(pair[0]), b.number(pair[1])),), number)
            assert tuple(found) == wanted, (pair, number)
            seen.add(wanted)
    assert len(seen) >= min(6, 1 << fmt.width)


def test_numbers_without_a_fraction_need_no_random_number():
    addend = Addend.of_product(FixedFormat(4), FixedFormat(4), integer=True)
    for fmt, bits in ((FixedFormat(4), 0), (parse_format("e3m1"), 4)):
        assert Conversion(RoundedSum(addend, fmt, Rounding("stochastic:4"), Overflow("saturate"))).random_bits == bits
