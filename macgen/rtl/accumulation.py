"""The loop of a PE: products are accumulated, chunk sums folded into a total.

With `interleave` = I its additions take I cycles, one for each turn. What is done in an addition's first cycle goes by
the marks `control`, what is done in its last by `late`; `early` are those of the cycle before the first, in which its
operand is clocked in. `early` and `late` therefore speak of the same turn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import wiring

from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.control import Control
from macgen.rtl.design import Design
from macgen.rtl.parts.hierarchy import submodule
from macgen.rtl.parts.interfaces import clock_in, connect_members, delayed_members, registers, select
from macgen.rtl.parts.pipeline import delayed
from macgen.rtl.preload import StartRegisters
from macgen.rtl.random_source import RandomSource
from macgen.rtl.units.datapath import Folded, Loaded


def later_marks(m: Module, marks: Any, control: Control, cycles: int, name: str) -> Any:
    """Delay control marks; the only registers of the PE with a reset."""
    # -- Marks: registers that the marks go through on their way
    for cycle in range(cycles):
        stage = name if cycle == cycles - 1 else f"{name}_{cycle}"
        later = SimpleNamespace(**{mark: Signal(bits, name=f"{stage}_{mark}") for mark, bits in control.widths.items()})
        clock_in(m, later, marks)
        marks = later
    return marks


@dataclass(frozen=True)
class Sums:
    """What a loop hands on.

    Attributes:
        late: the marks of the addition that ends.
        value: its sum; with chunks that are folded here the total.
        flags: raised in the making of it, as far as it does not say so itself.
    """

    late: Any
    value: Any
    flags: Value


class Loop:
    """The loop of a PE, built into the PE's module.

    Parameters:
        m, platform: of the PE.
        design: of the array.
        early, control: the marks, see above.
        seed: where the random numbers of steps and folds begin; None where there are none.
        start: what a dot product starts from, with the marks `early` of its first step; None: 0.

    Attributes:
        raised: by the addition that ends, itself, as far as its sum does not say so; with `sums_of_products`.
    """

    raised: Value

    def __init__(
        self,
        m: Module,
        platform: object,
        design: Design,
        *,
        early: Any,
        control: Any,
        seed: Value | None,
        start: StartRegisters | None = None,
    ) -> None:
        self._m, self._platform, self._design, self._seed, self._start = m, platform, design, seed, start
        self._early, self._control = early, control
        self._turns = design.spec.interleave
        self._late = later_marks(m, control, design.control, self._turns - 1, "late")
        self._arithmetic = arithmetic = design.steps
        self._zero = SimpleNamespace(**{name: arithmetic.zero.get(name, 0) for name in arithmetic.value.members})

        # -- State: the accumulator with the flags of its sum so far; totals, where they are folded here
        self._acc = registers(arithmetic.value, "acc")
        self._acc_flags = Signal(FLAG_BITS, reset_less=True, name="acc_flags")
        # The totals go round. The one whose turn `early` and `late` speak of is the first, that of `control` the last.
        turns = range(self._turns) if design.folds_in_loop else ()
        self._totals = [registers(arithmetic.value, f"total_{turn}") for turn in turns]
        self._totals_flags = [Signal(FLAG_BITS, reset_less=True, name=f"total_{turn}_flags") for turn in turns]

    def sums_of_products(self, product: Any, product_flags: Value | None) -> Sums:
        """Add one product after the other.

        Parameters:
            product: the operand that is added, under the marks `early`.
            product_flags: raised by it, a cycle later; None: it raises none.
        """
        m, arithmetic = self._m, self._arithmetic

        # -- Add: the operand register's product, or the total on a fold, to the accumulator
        adder = self._submodule("adder", "adder", lambda: arithmetic.adder(self._turns))
        self._give_mode(adder, self._control)
        random = self._random_numbers(adder) if arithmetic.random_bits else None
        operand = registers(arithmetic.operand, "operand")
        self.raised = adder.flags

        # -- Flags: gathered over the sum, those of the last addition still to come from its state
        flags = Signal(FLAG_BITS)
        raised = self._acc_flags | adder.deferred_flags
        if product_flags is not None:
            # In a cycle with a fold, a product is loaded beside the adder.
            loads = self._control.fold if self._totals else Const(0, 1)
            raised = raised | Mux(loads, 0, product_flags)
        m.d.comb += flags.eq(delayed(m, "before", raised, self._turns - 1) | adder.flags)
        connect_members(m, adder.acc, self._acc)
        if not self._totals:
            # -- Accumulate: the sum becomes the accumulator; a new sum starts from an empty one
            # The register is 0 when a new sum starts.
            connect_members(m, adder.operand, operand)
            clock_in(m, operand, product)
            begin, begin_flags = (self._zero, 0) if self._start is None else (self._start.value, self._start.flags)
            clock_in(m, self._acc, select(self._early.first, begin, adder.result, arithmetic.value))
            m.d.sync += self._acc_flags.eq(Mux(self._early.first, begin_flags, flags))
            return Sums(self._late, adder.result, flags)
        if self._design.spec.fold == "bubble":
            return self._folds_in_bubbles(adder, operand, product, flags)
        if self._design.loads_products:
            return self._folds_with_swaps(adder, operand, product, flags, product_flags)
        return self._folds_with_second_adder(adder, operand, product, flags, product_flags, random)

    def _folds_in_bubbles(self, adder: Any, operand: Any, product: Any, flags: Value) -> Sums:
        """Fold in a cycle without a product, whose place the total takes; the loop gets no multiplexer."""
        m, early, late, value = self._m, self._early, self._late, self._arithmetic.value

        # -- Operand: the next product, or the total whose turn it is
        folded = self._folded(self._totals[0], ~early.fold_first, early)
        clock_in(m, operand, select(early.fold, folded.operand, product, self._arithmetic.operand))
        connect_members(m, adder.operand, operand)

        # -- Accumulate: after a fold the accumulator is empty
        clock_in(m, self._acc, select(late.fold, self._zero, adder.result, value))
        m.d.sync += self._acc_flags.eq(Mux(late.fold, 0, flags))

        # -- Total: the sum of a fold is the new one
        total_flags = self._total_flags(self._totals_flags[0] | folded.flags, flags)
        self._turn_totals(adder.result, total_flags)
        return Sums(late, adder.result, total_flags)

    def _folds_with_swaps(
        self, adder: Any, operand: Any, product: Any, flags: Value, product_flags: Value | None
    ) -> Sums:
        """Fold while the next chunk's first product takes the total's place, to become the accumulator after it.

        A chunk of one product is what then stands in the total's place. If it is folded right away, the total is still
        in the loop: it stays there, and the product is added to it, which comes to the same.
        """
        m, early, late, value = self._m, self._early, self._late, self._arithmetic.value
        totals, totals_flags = self._totals, self._totals_flags

        # -- Operand: the next product, or the total whose turn it is
        folded = self._folded(totals[0], ~early.fold_first, early)
        clock_in(m, operand, select(early.fold, folded.operand, product, self._arithmetic.operand))
        connect_members(m, adder.operand, operand)

        # -- Load: the product that goes along with a fold becomes a state as it is
        loader = self._submodule("loader", "loaded", lambda: Loaded(self._arithmetic))
        connect_members(m, loader.operand, product)
        loaded_flags = delayed(m, "loaded_flags", loader.flags, self._turns)
        if product_flags is not None:
            loaded_flags = loaded_flags | delayed(m, "product_flags_before", product_flags, self._turns - 1)

        # -- Accumulate: after a fold that product is the accumulator, and waits where the total was
        starts_empty = Signal()
        total_stays = Signal()
        m.d.comb += [
            starts_empty.eq(early.first & ~early.fold),  # after an idle cycle, or an unfinished sum that is dropped
            total_stays.eq(early.fold & ~early.fold_first),
        ]
        next_chunk = select(late.fold & ~total_stays, totals[0], adder.result, value)
        clock_in(m, self._acc, select(starts_empty, self._zero, next_chunk, value))
        m.d.sync += self._acc_flags.eq(Mux(starts_empty, 0, Mux(late.fold, loaded_flags, flags)))

        # -- Total: the sum of a fold is the new one; the product waits in its place until then
        total_flags = self._total_flags(totals_flags[0], flags)
        self._turn_totals(adder.result, total_flags)
        with m.If(early.fold):  # before what the totals' turn would bring
            clock_in(m, totals[-1], loader.value)
            m.d.sync += totals_flags[-1].eq(Mux(late.fold, total_flags, totals_flags[0]) | folded.flags)
        return Sums(late, adder.result, total_flags)

    def _folds_with_second_adder(
        self, adder: Any, operand: Any, product: Any, flags: Value, product_flags: Value | None, random: Any
    ) -> Sums:
        """Fold while a second adder rounds the next chunk's first product to an accumulator."""
        m, control, late, arithmetic = self._m, self._control, self._late, self._arithmetic

        # -- Operand: the product in its register, or on a fold the total
        clock_in(m, operand, product)
        folded = self._folded(self._totals[-1], ~control.fold_first, control)
        folded_flags = delayed(m, "folded_flags", folded.flags, self._turns - 1)
        connect_members(m, adder.operand, select(control.fold, folded.operand, operand, arithmetic.operand))

        # -- Load: a second adder rounds the product that goes along with a fold
        loader = self._submodule("loader", "adder", lambda: arithmetic.adder(self._turns))
        connect_members(m, loader.acc, self._zero)
        if random is not None:
            m.d.comb += loader.random.eq(random.load_number)
        connect_members(m, loader.operand, operand)
        loader_flags = loader.flags
        if product_flags is not None:
            loader_flags = loader_flags | delayed(m, "product_flags_before", product_flags, self._turns - 1)

        # -- Accumulate: a chunk begins with the rounded product
        clock_in(m, self._acc, select(late.first, loader.result, adder.result, arithmetic.value))
        m.d.sync += self._acc_flags.eq(Mux(late.first, loader_flags, flags))

        # -- Total: the sum of a fold is the new one
        total_flags = self._total_flags(self._totals_flags[0] | folded_flags, flags)
        self._turn_totals(adder.result, total_flags)
        return Sums(late, adder.result, total_flags)

    def sums_of_aligned(self, products: list[Any], product_flags: Value | None) -> Sums:
        """Add the products of all lanes at once, aligned; chunk sums are folded by another adder.

        Parameters:
            products: the lanes' products, under the marks `early`.
            product_flags: raised by them, a cycle later; None: they raise none.
        """
        m, spec, arithmetic, turns = self._m, self._design.spec, self._arithmetic, self._turns
        acc, acc_flags, zero, value = self._acc, self._acc_flags, self._zero, arithmetic.value
        control, late = self._control, self._late

        # -- Align products: the lanes' products, or only their exponents, to the largest of them before the register
        aligner = self._submodule("aligner", "aligner", self._design.aligner)
        for lane, product in enumerate(products):
            connect_members(m, aligner.numbers[lane], product)
        lanes = registers(aligner.aligned.signature, "lanes")
        clock_in(m, lanes, aligner.aligned)

        # -- Add: all of them to the accumulator, aligned to the largest
        adder = self._submodule("aligned_adder", "aligned_adder", self._design.aligned_adder)
        connect_members(m, adder.lanes, lanes)
        self._give_mode(adder, control)

        # -- Flags: gathered over the sum, those of the last addition still to come from its state
        in_bubbles = bool(self._totals) and spec.fold == "bubble"
        starts: Value = Const(0, 1) if in_bubbles else control.first
        flags = Signal(FLAG_BITS)
        raised = Mux(starts, 0, acc_flags) | adder.deferred_flags
        if product_flags is not None:
            raised = raised | product_flags
        m.d.comb += flags.eq(delayed(m, "before", raised, turns - 1) | adder.flags)
        connect_members(m, adder.acc, select(starts, zero, acc, value))

        # -- Accumulate: the sum; without a product the accumulator keeps its value
        # Without a product nothing is added: an accumulator, too, would lose what is cut.
        held = delayed_members(m, "held", acc, value, turns - 1)
        held_flags = delayed(m, "held_flags", acc_flags, turns - 1)
        empties: Value = late.fold if in_bubbles else Const(0, 1)
        clock_in(m, acc, select(late.step, adder.result, select(empties, zero, held, value), value))
        m.d.sync += acc_flags.eq(Mux(late.step, flags, Mux(empties, 0, held_flags)))
        if not self._totals:
            if arithmetic.random_bits:
                self._random_numbers(adder)
            return Sums(late, adder.result, flags)

        # -- Fold: another adder adds the chunk sum to the total
        folder = self._submodule("adder", "adder", lambda: arithmetic.adder(turns))
        connect_members(m, folder.acc, acc)
        self._give_mode(folder, control)
        folded = self._folded(self._totals[-1], ~control.fold_first, control)
        connect_members(m, folder.operand, folded.operand)
        if arithmetic.random_bits:
            source = self._random_numbers(folder)
            number = Mux(late.first, source.load_number, source.number) if spec.fold == "overlap" else source.number
            m.d.comb += adder.random.eq(number)

        # -- Total: the sum of a fold is the new one
        before = Mux(control.fold_first, 0, self._totals_flags[-1] | folded.flags) | acc_flags | folder.deferred_flags
        total_flags = Signal(FLAG_BITS)
        m.d.comb += total_flags.eq(delayed(m, "folding", before, turns - 1) | folder.flags)
        self._turn_totals(folder.result, total_flags)
        return Sums(late, folder.result, total_flags)

    def _total_flags(self, before: Value, flags: Value) -> Signal:
        """Return the flags of a total after the addition that ends."""
        # -- Total: its flags, those of the first chunk alone after the first fold
        total_flags = Signal(FLAG_BITS)
        self._m.d.comb += total_flags.eq(Mux(self._late.fold_first, 0, before) | flags)
        return total_flags

    def _turn_totals(self, total: Any, total_flags: Value) -> None:
        """Let the totals and their flags go round; a fold that ends renews the first, which becomes the last."""
        m, totals, flags, folds = self._m, self._totals, self._totals_flags, self._late.fold

        # -- Total: a ring, one register for each turn
        for to, source in pairwise(totals):
            clock_in(m, to, source)
        clock_in(m, totals[-1], select(folds, total, totals[0], self._arithmetic.value))
        m.d.sync += [to.eq(source) for to, source in pairwise(flags)]
        m.d.sync += flags[-1].eq(Mux(folds, total_flags, flags[0]))
        if self._start is not None:
            with m.If(self._early.begins):  # before what the turn before it would bring
                clock_in(m, totals[-1], self._start.value)
                m.d.sync += flags[-1].eq(self._start.flags)

    def _folded(self, total: Any, present: Value, marks: Any) -> Any:
        # -- Fold: the total becomes an operand
        folded = self._submodule("folded", "folded", lambda: Folded(self._arithmetic))
        connect_members(self._m, folded.value, total)
        self._m.d.comb += folded.present.eq(present)
        self._give_mode(folded, marks)
        return folded

    def _give_mode(self, component: Any, marks: Any) -> None:
        """Tell a component the mode of the marks, where it asks for it."""
        if "mode" in component.signature.members:
            self._m.d.comb += component.mode.eq(marks.mode)

    def _random_numbers(self, adder: Any) -> Any:
        """Give the adder its random numbers; return their source."""
        m, late = self._m, self._late
        design = self._design
        bits, loads = design.spec.random_bits, design.draws_two

        # -- Random numbers: the next one for each addition that rounds
        source = self._submodule("random", "random", lambda: RandomSource(bits, loads=loads))
        adds = late.step
        if loads:
            adds = adds & ~late.first
            m.d.comb += source.loads.eq(late.first)
        if self._totals:  # the first chunk's sum is copied
            adds = adds | (late.fold & ~late.fold_first)
        m.d.comb += [source.seed.eq(self._seed), source.adds.eq(adds), adder.random.eq(source.number)]
        return source

    def _submodule(self, name: str, module: str, make: Callable[[], wiring.Component]) -> Any:
        return submodule(self._m, self._platform, name, module, make, src_loc_at=1)
