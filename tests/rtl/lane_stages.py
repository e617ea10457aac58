"""The parts of a PE's loop with several lanes, or aligned sums, side by side; the proof that they are the contract."""

from fractions import Fraction
from functools import partial, reduce
from itertools import product as every
from operator import or_

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics.flags import FLAG_BITS
from macgen.rtl import Design
from macgen.rtl.lanes import LaneSum
from macgen.rtl.parts.hierarchy import submodule
from macgen.rtl.parts.interfaces import connect_members
from macgen.rtl.terms import ScaledTerms
from macgen.rtl.units.datapath import Folded, Loaded
from macgen.rtl.units.rounded_number import RoundedNumber
from tests.rtl.stages import Proof, meaning, pack, unpack, width_of

MOST_OPERANDS = 1 << 16
"""Codes of all lanes together; beyond, they are drawn at random."""


def operand_bits(spec):
    """Return how many bits an operand of the adder has, or what the lanes of aligned sums hand on; 63 are the most."""
    design = Design(spec)
    return max(width_of(design.steps.operand), width_of(design.operand))


class LaneStages(wiring.Component):
    """As `Stages`, but `a` and `b` hold a code for each lane, and an operand is one of the adder, or what the lanes of
    aligned sums hand on, and above it whether a state is folded.
    """

    def __init__(self, spec):
        self._spec, self._design = spec, Design(spec)
        self._arithmetic = arithmetic = self._design.steps
        state, self._operand = width_of(arithmetic.value), operand_bits(spec)
        super().__init__(
            {
                "a": In(spec.lanes * spec.a.width),
                "b": In(spec.lanes * spec.b.width),
                "a_scale": In(self._design.scale_bits),
                "b_scale": In(self._design.scale_bits),
                "present": In(1),
                "product": Out(self._operand + 1),
                "product_flags": Out(FLAG_BITS),
                "state": In(state),
                "operand": In(self._operand + 1),
                "random": In(arithmetic.random_bits),
                "sum": Out(state),
                "flags": Out(FLAG_BITS),
                "code": Out(spec.acc.width),
                "folded": Out(self._operand + 1),
                "loaded": Out(state),
                "load_flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        spec, arithmetic = self._spec, self._arithmetic
        products, raised = [], Signal(FLAG_BITS)
        for lane in range(spec.lanes):
            multiplier = submodule(m, platform, f"multiplier_{lane}", "multiplier", self._design.multiplier)
            m.d.comb += [
                multiplier.a.eq(self.a.word_select(lane, spec.a.width)),
                multiplier.b.eq(self.b.word_select(lane, spec.b.width)),
            ]
            products.append(multiplier.product)
        if spec.product is not None:
            make = partial(RoundedNumber, self._design.product_rounding, self._design.product)
            units = [submodule(m, platform, f"rounding_{lane}", "rounding", make) for lane in range(spec.lanes)]
            for unit, product in zip(units, products, strict=True):
                connect_members(m, unit.number, product)
            products = [unit.rounded for unit in units]
            m.d.comb += raised.eq(reduce(or_, (unit.flags for unit in units)))
        if not spec.rounds_lanes:
            m.d.comb += self.product_flags.eq(raised)
        adder = submodule(m, platform, "adder", "adder", arithmetic.adder)
        output = submodule(m, platform, "output", "output", arithmetic.output)
        folded = submodule(m, platform, "folded_unit", "folded", lambda: Folded(arithmetic))
        state, operand = unpack(arithmetic.value, self.state), unpack(arithmetic.operand, self.operand)
        connect_members(m, adder.acc, state)
        connect_members(m, adder.operand, operand)
        connect_members(m, output.value, state)
        connect_members(m, folded.value, state)
        m.d.comb += [
            self.code.eq(output.code),
            folded.present.eq(self.present),
            self.folded.eq(Cat(self._padded(pack(arithmetic.operand, folded.operand)), 1)),
        ]
        if arithmetic.random_bits:
            m.d.comb += adder.random.eq(self.random)
        # What a sum's rounding raises is known from the sum, and raised again by whatever settles it.
        after = submodule(m, platform, "after", "output", arithmetic.output)
        result = unpack(arithmetic.value, self.sum)
        connect_members(m, after.value, result)
        agree = (adder.deferred_flags == output.flags) & (folded.flags == output.flags)
        flags = adder.flags
        if self._design.window is None:
            self._lane_sum(m, platform, products, raised)
            m.d.comb += [
                self.sum.eq(pack(arithmetic.value, adder.result)),
                self.flags.eq(Mux(agree, flags | after.flags, ~0)),
            ]
            if arithmetic.loads_exactly:
                loaded = submodule(m, platform, "loaded_unit", "loaded", lambda: Loaded(arithmetic))
                connect_members(m, loaded.operand, operand)
                m.d.comb += [
                    self.loaded.eq(pack(arithmetic.value, loaded.value)),
                    self.load_flags.eq(loaded.flags),
                ]
            return m
        if spec.scales_lanes:
            terms = submodule(m, platform, "terms_unit", "terms", lambda: ScaledTerms(self._design.terms))
            for target, product in zip(terms.products, products, strict=True):
                connect_members(m, target, product)
            m.d.comb += [terms.a_scale.eq(self.a_scale), terms.b_scale.eq(self.b_scale)]
            products = list(terms.terms)
        aligner = submodule(m, platform, "aligner", "aligner", self._design.aligner)
        for lane, number in enumerate(products):
            connect_members(m, aligner.numbers[lane], number)
        aligned = submodule(m, platform, "aligned", "aligned", self._design.aligned_adder)
        lanes = self._design.operand
        connect_members(m, aligned.lanes, unpack(lanes, self.operand))
        connect_members(m, aligned.acc, state)
        if arithmetic.random_bits:
            m.d.comb += aligned.random.eq(self.random)
        folds = self.operand[-1]
        agree &= aligned.deferred_flags == output.flags
        m.d.comb += [
            self.product.eq(pack(lanes, aligner.aligned)),
            self.sum.eq(Mux(folds, pack(arithmetic.value, adder.result), pack(arithmetic.value, aligned.result))),
            self.flags.eq(Mux(agree, Mux(folds, flags, aligned.flags) | after.flags, ~0)),
        ]
        return m

    def _padded(self, packed):
        return Cat(packed, Const(0, self._operand - len(packed)))

    def _lane_sum(self, m, platform, products, raised):
        arithmetic = self._arithmetic
        lanes = submodule(m, platform, "lanes", "lanes", lambda: LaneSum(self._design))
        for lane, number in enumerate(products):
            connect_members(m, lanes.products[lane], number)
        product = submodule(m, platform, "product_unit", "product", arithmetic.product)
        connect_members(m, product.product, lanes.sum)
        m.d.comb += [
            product.present.eq(self.present),
            self.product.eq(pack(arithmetic.operand, product.operand)),
        ]
        if self._spec.rounds_lanes:
            m.d.comb += self.product_flags.eq(lanes.flags | raised)


class LaneProof(Proof):
    """Every reachable state with every set of the lanes' products, or very many of them; see Proof."""

    component = LaneStages

    def _operands(self):
        spec, ports = self.spec, {"a": (self.spec.a, self.spec.lanes), "b": (self.spec.b, self.spec.lanes)}
        if spec.scales_lanes:
            ports |= dict.fromkeys(("a_scale", "b_scale"), (spec.scale, spec.scales_in_beat))
        if sum(fmt.width * count for fmt, count in ports.values()) <= MOST_OPERANDS.bit_length() - 1:
            codes = np.array(
                list(every(*(range(1 << fmt.width) for fmt, count in ports.values() for _ in range(count))))
            )
            ends = np.cumsum([count for _, count in ports.values()])
            sides = np.split(codes, ends[:-1], axis=1)
        else:
            self.complete = False
            sides = [self._drawn(*port) for port in ports.values()]
        packed = {
            name: sum(codes[:, i].astype(np.uint64) << np.uint64(i * fmt.width) for i in range(count))
            for (name, (fmt, count)), codes in zip(ports.items(), sides, strict=True)
        }
        made = self.gates.evaluate(len(sides[0]), {**packed, "present": 1})
        found = {}
        rows = zip(
            made["product"].tolist(), made["product_flags"].tolist(), *map(np.ndarray.tolist, sides), strict=True
        )
        for operand, flags, *codes in rows:
            found.setdefault((operand, self._meaning(*codes), flags), codes)
        self.operands = np.array([operand for operand, *_ in found], np.uint64)
        self.operand_flags = np.array([flags for *_, flags in found], np.uint64)
        self.addends = list(found.values())
        # An accumulator of aligned sums keeps its state where there is no product.
        aligned = Design(self.spec).window is not None
        self.idle = [] if aligned else [int(self._run("product", present=0)[0])]

    def _expected(self, code, index, number):
        a, b, *scales = self.addends[index]
        return self.model.step(code, a, b, number, *scales)

    def _drawn(self, fmt, count):
        """Return codes of lanes whose exponents are near each other as often as not."""
        shape = (MOST_OPERANDS >> 2, count)
        anything = self.rng.integers(0, 1 << fmt.width, shape)
        near = (anything[:, :1] + self.rng.integers(-3, 4, shape)) % (1 << fmt.width)
        return np.where(self.rng.random((len(anything), 1)) < 0.5, anything, near)

    def _meaning(self, a, b, *scales):
        """Return what of the products counts, see `meaning`."""
        if scales:
            terms = self.model._terms.of(a, b, *scales)
            return tuple(sorted(str((meaning(term.value), term.exponent)) for term in terms))
        if self.spec.bulk_bits is not None:
            total, flags = self.model._bulk(self.model._terms.of(a, b, (), ()))
            return meaning(total), flags
        numbers = [self.model._product(x, y)[0] for x, y in zip(a, b, strict=True)]
        if self.spec.lane_sum == "tree":
            total, flags = self.model._tree(numbers)
            return meaning(total), flags
        if self.spec.lane_sum == "fused" and all(number.kind == "finite" for number in numbers):
            return sum((number.to_fraction() for number in numbers), Fraction(0))
        return tuple(sorted(map(str, map(meaning, numbers))))
