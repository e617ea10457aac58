"""The parts of an outer accumulator and of the conversion of results side by side, and the proof about them.

By induction over every state that the outer accumulator can reach: each meets every chunk sum that the inner one can
reach, times scales.
"""

import itertools

import numpy as np
from amaranth.hdl import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.golden.model import multiply
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl import Design
from macgen.rtl.parts.hierarchy import Modules, submodule
from macgen.rtl.parts.interfaces import connect_members
from macgen.rtl.units.multiplier import Scaler
from tests.rtl.gates import from_rtlil
from tests.rtl.stages import DifferenceError, Proof, meaning, pack, unpack, width_of

MOST_SCALES = 12
"""Scales of formats with more codes are drawn."""


class OuterStages(wiring.Component):
    """Chunk sum, scales, operand; outer adder; output converter.

    Members:
        inner, a_scale, b_scale: a packed state of the inner accumulator, codes of its scales.
        product: the packed operand of the outer adder that they make.
        inner_agrees: the conversion tells the flags that the inner state tells.
        state, operand, random, sum, flags, code: see Stages; of the outer accumulator.
    """

    def __init__(self, spec):
        self._spec, self._design = spec, Design(spec)
        self._inner, self._arithmetic = self._design.steps, self._design.results
        state, operand = width_of(self._arithmetic.value), width_of(self._arithmetic.operand)
        scale = 1 if spec.scale is None else spec.scale.width
        super().__init__(
            {
                "inner": In(width_of(self._inner.value)),
                "a_scale": In(scale),
                "b_scale": In(scale),
                "product": Out(operand),
                "inner_agrees": Out(1),
                "state": In(state),
                "operand": In(operand),
                "random": In(self._arithmetic.random_bits),
                "sum": Out(state),
                "flags": Out(FLAG_BITS),
                "code": Out(spec.outer_format.width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        spec, inner, arithmetic = self._spec, self._inner, self._arithmetic
        number = submodule(m, platform, "number_unit", "number", self._design.chunk_number)
        inner_output = submodule(m, platform, "inner_output", "inner_output", inner.output)
        for part in (number, inner_output):
            connect_members(m, part.value, unpack(inner.value, self.inner))
        m.d.comb += self.inner_agrees.eq(inner_output.flags == number.flags)
        addend = number.number
        if spec.scale is not None:
            scaler = submodule(m, platform, "scaler_unit", "scaler", lambda: Scaler(self._design.chunk_sum, spec.scale))
            connect_members(m, scaler.number, addend)
            m.d.comb += [scaler.a_scale.eq(self.a_scale), scaler.b_scale.eq(self.b_scale)]
            addend = scaler.scaled
        product = submodule(m, platform, "operand_unit", "outer_operand", arithmetic.product)
        connect_members(m, product.product, addend)
        adder = submodule(m, platform, "adder", "outer_adder", arithmetic.adder)
        output = submodule(m, platform, "output", "output", arithmetic.output)
        after = submodule(m, platform, "after", "output", arithmetic.output)
        state = unpack(arithmetic.value, self.state)
        connect_members(m, adder.acc, state)
        connect_members(m, adder.operand, unpack(arithmetic.operand, self.operand))
        connect_members(m, output.value, state)
        connect_members(m, after.value, adder.result)
        if arithmetic.random_bits:
            m.d.comb += adder.random.eq(self.random)
        m.d.comb += [
            product.present.eq(1),
            self.product.eq(pack(arithmetic.operand, product.operand)),
            self.sum.eq(pack(arithmetic.value, adder.result)),
            self.flags.eq(Mux(adder.deferred_flags == output.flags, adder.flags | after.flags, ~0)),
            self.code.eq(output.code),
        ]
        return m


class OuterProof(Proof):
    """Every reachable state of one spec's outer accumulator, with every chunk sum, scale and random number.

    Parameters:
        inner: the proof about the inner accumulator, that has been run; with all its states.
        most_pairs: see Proof.
        contract: see Proof.

    Attributes:
        states, steps, complete: see Proof.
    """

    place = "chunks"
    component = OuterStages

    def __init__(self, inner, most_pairs=1 << 22, seed=1, contract=None):
        super().__init__(inner.spec, most_pairs, seed, contract)
        self._inner = inner

    @staticmethod
    def _datapath(design):
        return design.outer

    def _operands(self):
        spec, states = self.spec, self._inner.states
        if not self._run("inner_agrees", inner=states).all():
            raise DifferenceError(f"{spec}: the flags of a chunk sum differ by what settles it")
        scales = [()]
        if spec.scale is not None:
            codes = np.arange(1 << spec.scale.width)
            if len(codes) > MOST_SCALES:
                corners = [0, 1, *codes[-2:], *codes[len(codes) // 2 - 2 : len(codes) // 2 + 2]]
                codes = np.unique([*corners, *self.rng.choice(codes, MOST_SCALES - 8, replace=False)])
            scales = list(itertools.product(codes.tolist(), repeat=2))
        found = {}
        for pair in scales:
            scale_inputs = dict(zip(("a_scale", "b_scale"), pair, strict=False))
            operands = self._run("product", inner=states, **scale_inputs).tolist()
            for operand, code in zip(operands, self._inner._codes(states).tolist(), strict=True):
                number = spec.acc.number(code)
                for scale in pair:
                    number = multiply(number, self.model.spec.scale.number(scale))
                found.setdefault((operand, meaning(number)), (code, *pair))
        self.operands = np.array([operand for operand, _ in found], np.uint64)
        self.operand_flags = np.zeros(len(found), np.uint64)
        self.addends, self.idle = list(found.values()), []

    def _expected(self, code, index, number):
        inner, *scales = self.addends[index]
        return self.model.fold(code, inner, number, *scales)


class OutStages(wiring.Component):
    """The conversion of results.

    Members:
        state: a packed state of what leaves a PE.
        random: with stochastic rounding the random number.
        code, flags: the result and the flags of the conversion.
        agrees: it tells the flags that the state tells.
    """

    def __init__(self, spec):
        self._design = design = Design(spec)
        super().__init__(
            {
                "state": In(width_of(design.results.value)),
                "random": In(design.out_random_bits),
                "code": Out(spec.out_format.width),
                "flags": Out(FLAG_BITS),
                "agrees": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        design, arithmetic = self._design, self._design.results
        number = submodule(m, platform, "number_unit", "out_number", design.out_number)
        unit = submodule(m, platform, "unit", "out_conversion", design.out.unit)
        output = submodule(m, platform, "output", "output", arithmetic.output)
        state = unpack(arithmetic.value, self.state)
        connect_members(m, number.value, state)
        connect_members(m, output.value, state)
        connect_members(m, unit.number, number.number)
        if design.out_random_bits:
            m.d.comb += unit.random.eq(self.random)
        m.d.comb += [
            self.code.eq(unit.code),
            self.flags.eq(unit.flags),
            self.agrees.eq(number.flags == output.flags),
        ]
        return m


def check_results(proof, contract=None):
    """Compare the conversion of every state that a proof reached with the golden model; return their number.

    Raises:
        DifferenceError: at the first difference.
    """
    spec, model = proof.spec, proof.model if contract is None else contract
    gates = from_rtlil(Modules("stages").convert(OutStages(spec)), "stages")
    states, codes, compared = proof.states, proof._codes(proof.states).tolist(), 0
    bits, takes = spec.random_bits if spec.random_place == "out" else 0, Design(spec).out_random_bits > 0
    for number in range(1 << bits):
        out = gates.evaluate(len(states), {"state": states} | ({"random": number} if takes else {}))
        if not out["agrees"].all():
            raise DifferenceError(f"{spec}: the flags of a result differ by what settles it")
        results = zip(states.tolist(), codes, out["code"].tolist(), out["flags"].tolist(), strict=True)
        for state, code, *found in results:
            wanted = model.convert(code, number)
            if tuple(found) != wanted:
                raise DifferenceError(
                    f"{spec}: state {state:#x} (code {code}), number {number}, becomes {tuple(found)}, not {wanted}"
                )
        compared += len(states)
    return compared
