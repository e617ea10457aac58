"""The parts of a PE's loop side by side as one combinational component, and the proof that they are the contract.

The proof is by induction over every state that the accumulator can reach: it starts with the empty accumulator, and
each new state meets every operand. So it holds for all sequences, and for all representations of a value.
"""

import itertools
from functools import partial
from types import SimpleNamespace

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.golden import Model
from macgen.golden.model import RoundedSum as GoldenSum
from macgen.golden.model import multiply
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl import Design
from macgen.rtl.parts.bits import extend
from macgen.rtl.parts.hierarchy import Modules, submodule
from macgen.rtl.parts.interfaces import connect_members, member
from macgen.rtl.units.datapath import Folded, Loaded
from macgen.rtl.units.multiplier import Multiplier
from macgen.rtl.units.rounded_number import RoundedNumber
from tests.rtl.gates import from_rtlil

MOST_LANES = 1 << 18

MOST_RANDOM_BITS = 4
"""Random numbers of more bits are drawn."""
DRAWN_NUMBERS = 6


def width_of(signature):
    return sum(Shape.cast(item.shape).width for item in signature.members.values())


def pack(signature, values):
    """Return the concatenation of a signature's members, the first lowest."""
    parts = []
    for name, item in signature.members.items():
        width = Shape.cast(item.shape).width
        parts.append(extend(member(values, name), width)[:width])
    return Cat(*parts)


def unpack(signature, packed):
    members, low = {}, 0
    for name, item in signature.members.items():
        shape = Shape.cast(item.shape)
        part = packed[low : low + shape.width]
        members[name] = part.as_signed() if shape.signed else part
        low += shape.width
    return SimpleNamespace(**members)


def zero_state(arithmetic):
    """Return the packed state of an empty accumulator."""
    packed, low = 0, 0
    for name, item in arithmetic.value.members.items():
        packed |= arithmetic.zero.get(name, 0) << low
        low += Shape.cast(item.shape).width
    return packed


class Stages(wiring.Component):
    """Multiplier and product converter; adder; output converter; a state as an operand and an operand as a state.

    Members:
        a, b, present: operand codes and whether there is a product.
        product, product_flags: the packed operand of the adder that they make, and flags of its own rounding.
        state, operand: packed addends.
        random: with stochastic rounding the random number.
        sum, flags: of the adder; the sum is a packed state.
        code: of `state`.
        folded: `state` as an operand, if `present`.
        loaded, load_flags: `operand` as a state, where products load exactly, and the flags of that.
    """

    def __init__(self, spec):
        self._spec, self._design = spec, Design(spec)
        self._arithmetic = arithmetic = self._design.steps
        state, operand = width_of(arithmetic.value), width_of(arithmetic.operand)
        super().__init__(
            {
                "a": In(spec.a.width),
                "b": In(spec.b.width),
                "present": In(1),
                "product": Out(operand),
                "product_flags": Out(FLAG_BITS),
                "state": In(state),
                "operand": In(operand),
                "random": In(arithmetic.random_bits),
                "sum": Out(state),
                "flags": Out(FLAG_BITS),
                "code": Out(spec.acc.width),
                "folded": Out(operand),
                "loaded": Out(state),
                "load_flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        spec, arithmetic = self._spec, self._arithmetic
        exact = self._design.exact_product
        multiplier = submodule(m, platform, "multiplier", "multiplier", lambda: Multiplier(spec.a, spec.b, exact))
        factors = multiplier.product
        if spec.product is not None:
            make = partial(RoundedNumber, self._design.product_rounding, self._design.product)
            rounding = submodule(m, platform, "rounding_unit", "rounding", make)
            connect_members(m, rounding.number, factors)
            factors = rounding.rounded
            m.d.comb += self.product_flags.eq(rounding.flags)
        product = submodule(m, platform, "product_unit", "product", arithmetic.product)
        adder = submodule(m, platform, "adder", "adder", arithmetic.adder)
        output = submodule(m, platform, "output", "output", arithmetic.output)
        state, operand = unpack(arithmetic.value, self.state), unpack(arithmetic.operand, self.operand)
        m.d.comb += [
            multiplier.a.eq(self.a),
            multiplier.b.eq(self.b),
            product.present.eq(self.present),
            self.product.eq(pack(arithmetic.operand, product.operand)),
            self.sum.eq(pack(arithmetic.value, adder.result)),
            self.code.eq(output.code),
        ]
        if arithmetic.random_bits:
            m.d.comb += adder.random.eq(self.random)
        for target, source in (
            (product.product, factors),
            (adder.acc, state),
            (adder.operand, operand),
            (output.value, state),
        ):
            for name in target.signature.members:
                m.d.comb += getattr(target, name).eq(member(source, name))
        # What a sum's rounding raises is known from the sum, and raised again by whatever settles it.
        after = submodule(m, platform, "after", "output", arithmetic.output)
        agree = adder.deferred_flags == output.flags
        folded = submodule(m, platform, "folded_unit", "folded", lambda: Folded(arithmetic))
        parts = [(folded.value, state), (after.value, adder.result)]
        agree &= folded.flags == output.flags
        m.d.comb += self.flags.eq(Mux(agree, adder.flags | after.flags, ~0))
        m.d.comb += [folded.present.eq(self.present), self.folded.eq(pack(arithmetic.operand, folded.operand))]
        if arithmetic.loads_exactly:
            loaded = submodule(m, platform, "loaded_unit", "loaded", lambda: Loaded(arithmetic))
            parts.append((loaded.operand, operand))
            m.d.comb += [self.loaded.eq(pack(arithmetic.value, loaded.value)), self.load_flags.eq(loaded.flags)]
        for target, source in parts:
            for name in target.signature.members:
                m.d.comb += getattr(target, name).eq(member(source, name))
        return m


def meaning(product):
    """Return what of a product counts: the value of a finite one, the sign of an infinity."""
    if product.kind == "finite":
        return product.to_fraction()
    return (product.kind, product.sign) if product.kind == "infinite" else product.kind


class DifferenceError(AssertionError):
    """A state and an operand whose sum is not the contract's."""


class Proof:
    """Every reachable state of one spec's accumulator, with every operand and random number, against the golden model.

    Parameters:
        spec: with operands and an accumulator of few bits; few random bits.
        most_pairs: steps (and folds) at most; beyond, operands (and chunk sums) are drawn at random.
        contract: the spec that golden computes, where it is to differ from the hardware's.

    Attributes:
        states: number of accumulator states reached.
        steps, folds: number compared.
        complete: whether nothing had to be drawn.
    """

    place = "steps"
    component = Stages

    def __init__(self, spec, most_pairs=1 << 22, seed=1, contract=None):
        self.spec, self.model, self.rng = spec, Model(contract or spec), np.random.default_rng(seed)
        self.most_pairs = most_pairs
        self.arithmetic = self._datapath(Design(spec))
        bits = spec.random_bits if spec.random_place == self.place else 0
        above = 1 << bits
        drawn = [0, *self.rng.integers(0, above, DRAWN_NUMBERS), above - 1]
        self.numbers = np.array(drawn if bits > MOST_RANDOM_BITS else range(above))
        self.gates = from_rtlil(Modules("stages").convert(self.component(spec)), "stages")
        self.steps = self.folds = 0
        self.complete = True
        self._code_of = {}

    @staticmethod
    def _datapath(design):
        return design.steps

    def _add(self, state, operand, number):
        inputs = {"state": state, "operand": operand}
        if self.arithmetic.random_bits:  # where nothing is rounded, the hardware has no such port
            inputs["random"] = number
        return self.gates.evaluate(len(state), inputs)

    def _run(self, output, **inputs):
        lanes = max(len(value) if isinstance(value, np.ndarray) else 1 for value in inputs.values())
        return self.gates.evaluate(lanes, inputs)[output]

    def run(self):
        """Compare everything; return self.

        Raises:
            DifferenceError: at the first difference.
        """
        self._operands()
        self._close_steps()
        if self.arithmetic.rounded_sum.folds:
            self._close_folds()
        return self

    def _operands(self):
        """Every distinct pair of an operand and the product that it stands for, with codes that make it."""
        a, b = (np.arange(1 << fmt.width, dtype=np.uint64) for fmt in (self.spec.a, self.spec.b))
        a, b = np.repeat(a, len(b)), np.tile(b, len(a))
        made = self.gates.evaluate(len(a), {"a": a, "b": b, "present": 1})
        numbers = [
            [fmt.number(code) for code in range(1 << fmt.width)] for fmt in (self.model.spec.a, self.model.spec.b)
        ]
        spec, found = self.model.spec, {}
        if spec.product is not None:
            target = GoldenSum(spec.product, spec.rounding, spec.overflow_into(spec.product))
        pairs = itertools.product(*map(range, map(len, numbers)))
        for pair, operand, flags in zip(pairs, made["product"].tolist(), made["product_flags"].tolist(), strict=True):
            product = multiply(numbers[0][pair[0]], numbers[1][pair[1]])
            if spec.product is not None:
                code, wanted = target.of((product,), 0)
                product = target.number(code)
                if flags != wanted:
                    raise DifferenceError(f"{self.spec}: the product of {pair} has flags {flags}, not {wanted}")
            found.setdefault((operand, meaning(product), flags), pair)
        self.operands = np.array([operand for operand, *_ in found], np.uint64)
        self.operand_flags = np.array([flags for *_, flags in found], np.uint64)
        self.addends = list(found.values())
        self.idle = [int(self._run("product", present=0)[0])]

    def _expected(self, code, index, number):
        """Return what the contract makes of a state's code and an operand."""
        return self.model.step(code, *self.addends[index], number)

    def _learn(self, states):
        """Return those states that are new, and note their codes."""
        new = np.array([state for state in np.unique(states).tolist() if state not in self._code_of], np.uint64)
        if len(new):
            codes = self._run("code", state=new)
            self._code_of.update(zip(new.tolist(), codes.tolist(), strict=True))
        return new

    def _codes(self, states):
        distinct, inverse = np.unique(states, return_inverse=True)
        return np.array([self._code_of[state] for state in distinct.tolist()])[inverse.ravel()]

    def _close_steps(self):
        zero = zero_state(self.arithmetic)
        frontier = [self._learn(np.array([zero], np.uint64))]
        if self._code_of[zero] != 0:
            raise DifferenceError(f"{self.spec}: the empty accumulator has code {self._code_of[zero]}")
        if self.arithmetic.rounded_sum.folds and self.arithmetic.loads_exactly:
            frontier.append(self._load())
        frontier = np.concatenate(frontier)
        expected = {}
        while len(frontier):
            budget = self.most_pairs - self.steps
            if budget <= 0:
                self.complete = False
                break
            choice = np.arange(len(self.operands))
            if len(frontier) * len(choice) * len(self.numbers) > budget:
                self.complete = False
                most = max(1, budget // (len(frontier) * len(self.numbers)))
                choice = self.rng.choice(choice, min(most, len(choice)), replace=False)
            new = []
            per_call = max(1, MOST_LANES // (len(choice) + 1))
            for start in range(0, len(frontier), per_call):
                part = frontier[start : start + per_call]
                new += [self._steps(part, choice, number, expected) for number in self.numbers.tolist()]
            frontier = np.concatenate(new)
        self.states = np.array(list(self._code_of), np.uint64)

    def _load(self):
        """Load every product beside the adder; return the states that are new.

        Whether a loaded zero has the sign of its product cannot be seen: what leaves a PE has been through the adder.
        """
        states = self._run("loaded", operand=self.operands)
        loads = zip(
            states.tolist(),
            self._run("code", state=states).tolist(),
            (self._run("load_flags", operand=self.operands) | self.operand_flags).tolist(),
            self.addends,
            strict=True,
        )
        for state, code, flags, pair in loads:
            wanted = self.model.step(0, *pair, int(self.numbers[-1]))
            if flags != wanted[1] or (code != wanted[0] and (code, wanted[0]) != (self.spec.acc.zero_code(1), 0)):
                raise DifferenceError(f"{self.spec}: {pair} loaded gives code {code} flags {flags}, not {wanted}")
            self._code_of.setdefault(state, wanted[0])
        return np.unique(states)

    def _steps(self, states, choice, number, expected):
        operands = np.append(self.operands[choice], np.array(self.idle, np.uint64))
        state, operand = np.repeat(states, len(operands)), np.tile(operands, len(states))
        after = self._add(state, operand, number)
        new = self._learn(after["sum"])
        of_operands = np.append(self.operand_flags[choice], np.zeros(len(self.idle), np.uint64))
        codes, flags = self._codes(after["sum"]), after["flags"] | np.tile(of_operands, len(states))
        wanted = np.empty((len(states), len(operands), 2), np.int64)
        for row, code in enumerate(self._codes(states).tolist()):
            table = expected.setdefault((code, number), np.full((len(self.operands), 2), -1))
            for index in choice[table[choice, 0] < 0].tolist():
                table[index] = self._expected(code, index, number)
            wanted[row, : len(choice)], wanted[row, len(choice) :] = table[choice], (code, 0)
        wrong = (codes != wanted[..., 0].ravel()) | (flags != wanted[..., 1].ravel())
        self.steps += len(state)
        if wrong.any():
            at = int(np.argmax(wrong))
            row, column = divmod(at, len(operands))
            pair = self.addends[choice[column]] if column < len(choice) else "nothing"
            raise DifferenceError(
                f"{self.spec}: state {int(state[at]):#x} (code {self._code_of[int(state[at])]}) plus {pair}, number "
                f"{number}, gives code {codes[at]} flags {flags[at]}, not {tuple(wanted[row, column].tolist())}"
            )
        return new

    def _close_folds(self):
        nothing = np.full(len(self.states), int(self._run("folded", present=0)[0]), np.uint64)
        totals = []
        for number in self.numbers.tolist():
            after = self._add(self.states, nothing, number)
            self._learn(after["sum"])
            if (self._codes(after["sum"]) != self._codes(self.states)).any() or after["flags"].any():
                raise DifferenceError(f"{self.spec}: the first chunk's sum is not copied")
            totals.append(after["sum"])
        totals = frontier = np.unique(np.concatenate(totals))
        seen = set(totals.tolist())
        while len(frontier):
            inner = self.states
            budget = self.most_pairs - self.folds
            if budget <= 0:
                self.complete = False
                break
            if len(frontier) * len(inner) * len(self.numbers) > budget:
                self.complete = False
                most = max(1, budget // (len(frontier) * len(self.numbers)))
                inner = self.rng.choice(inner, min(most, len(inner)), replace=False)
            new = []
            per_call = max(1, MOST_LANES // len(inner))
            for start in range(0, len(frontier), per_call):
                part = frontier[start : start + per_call]
                new += [self._folds(part, inner, number) for number in self.numbers.tolist()]
            frontier = np.array(sorted(set(np.concatenate(new).tolist()) - seen), np.uint64)
            seen |= set(frontier.tolist())

    def _folds(self, totals, inner, number):
        operands = self._run("folded", state=totals, present=1)
        state, operand = np.tile(inner, len(totals)), np.repeat(operands, len(inner))
        after = self._add(state, operand, number)
        self._learn(after["sum"])
        codes, flags = self._codes(after["sum"]), after["flags"]
        total_codes, inner_codes = self._codes(totals).tolist(), self._codes(inner).tolist()
        distinct = itertools.product(set(total_codes), set(inner_codes))
        known = {pair: self.model.fold(*pair, number) for pair in distinct}
        wanted = np.array([known[pair] for pair in itertools.product(total_codes, inner_codes)])
        wrong = (codes != wanted[:, 0]) | (flags != wanted[:, 1])
        self.folds += len(state)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise DifferenceError(
                f"{self.spec}: total {int(np.repeat(totals, len(inner))[at]):#x} (code "
                f"{np.repeat(total_codes, len(inner))[at]}) plus chunk sum {int(state[at]):#x}, number {number}, "
                f"gives code {codes[at]} flags {flags[at]}, not {tuple(wanted[at].tolist())}"
            )
        return after["sum"]
