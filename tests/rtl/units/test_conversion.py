"""Rounding of single numbers: every product of two small formats, rounded to a third, against golden."""

import itertools

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.golden.model import Target, multiply
from macgen.numerics import FixedFormat, parse_format, random_bits
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.parts.hierarchy import Modules, submodule
from macgen.rtl.parts.interfaces import connect_members
from macgen.rtl.units.conversion import conversion, conversion_random_bits
from macgen.rtl.units.exact_number import Addend, Addition
from macgen.rtl.units.multiplier import Multiplier
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
]


class Converted(wiring.Component):
    """A multiplier and the rounding of its products."""

    def __init__(self, a, b, addition):
        self._formats, self._addition = (a, b), addition
        super().__init__(
            {
                "a": In(a.width),
                "b": In(b.width),
                "random": In(conversion_random_bits(addition)),
                "code": Out(addition.acc.width),
                "flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        multiplier = submodule(
            m, platform, "multiplier", "multiplier", lambda: Multiplier(*self._formats, self._addition.addend)
        )
        unit = submodule(m, platform, "unit", "conversion", lambda: conversion(self._addition))
        connect_members(m, unit.number, multiplier.product)
        m.d.comb += [multiplier.a.eq(self.a), multiplier.b.eq(self.b)]
        m.d.comb += [self.code.eq(unit.code), self.flags.eq(unit.flags)]
        if conversion_random_bits(self._addition):
            m.d.comb += unit.random.eq(self.random)
        return m


@pytest.mark.thinned(5)
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_every_product(case):
    a, b, fmt = map(parse_format, case[:3])
    rounding, overflow = case[3:]
    addend = Addend.of_product(a, b, integer=isinstance(fmt, FixedFormat))
    addition = Addition(addend, fmt, rounding, overflow, folds=False)
    gates = from_rtlil(Modules("converted").convert(Converted(a, b, addition)), "converted")
    pairs = list(itertools.product(range(1 << a.width), range(1 << b.width)))
    inputs = dict(zip("ab", np.array(pairs).T, strict=True))
    target = Target(fmt, rounding, overflow)
    seen = set()
    for number in range(1 << random_bits(rounding)):
        random = {"random": number} if conversion_random_bits(addition) else {}
        out = gates.evaluate(len(pairs), inputs | random)
        for pair, *found in zip(pairs, out["code"].tolist(), out["flags"].tolist(), strict=True):
            wanted = target.sum((multiply(a.number(pair[0]), b.number(pair[1])),), number)
            assert tuple(found) == wanted, (pair, number)
            seen.add(wanted)
    assert len(seen) >= min(6, 1 << fmt.width)


def test_numbers_without_a_fraction_need_no_random_number():
    addend = Addend.of_product(FixedFormat(4), FixedFormat(4), integer=True)
    assert conversion_random_bits(Addition(addend, FixedFormat(4), "stochastic:4", "saturate", folds=False)) == 0
    assert conversion_random_bits(Addition(addend, parse_format("e3m1"), "stochastic:4", "saturate", folds=False)) == 4
