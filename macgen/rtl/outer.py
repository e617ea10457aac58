"""What comes after the inner accumulator: an outer one with an adder of its own, results in another format."""

from itertools import pairwise
from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.counting import CountedAddend
from macgen.rtl.design import Design
from macgen.rtl.parts.hierarchy import submodule
from macgen.rtl.parts.interfaces import clock_in, connect_members, registers
from macgen.rtl.parts.modes import mode_port
from macgen.rtl.parts.pipeline import delayed
from macgen.rtl.random_source import RandomSource
from macgen.rtl.units.multiplier import Scaler


class OuterAccumulator(wiring.Component):
    """Sum the chunk sums of a PE: take one, convert and scale it, add it in the cycle after that.

    With `outer_cycles` = C an addition takes C cycles. No other one begins meanwhile: the total and the operand stay
    as they are until it ends, and it need not be told from others. A float scale's product then has a register, too.

    Members:
        value: a chunk sum.
        flags: those of the chunk sum.
        fold: the chunk sum is taken.
        fold_first: it is the dot product's first chunk: the outer accumulator restarts from 0.
            Not with preloaded accumulators.
        done: it is the last chunk.
            With `interleave` = I each I-th cycle is a turn's, and so it is with the result.
        a_scale, b_scale: its scales.
        mode: its mode, where something is rounded to another format in one mode than in another.
        starts: with preloaded accumulators, the outer accumulator restarts from `start`.
        start, start_flags: the start value and the flags that it raises.
        seed: where chunk sums are rounded at random; constant.
        result: the outer accumulator after the addition, when `result_done`.
        result_flags: its flags; the state tells some, too.
        result_done: it is the sum of the last chunk.
        added, added_first: with counters: an addition ends, a dot product's first.
        added_addend: what it added is finite and not 0.
        added_mode: its mode, where states of the modes differ.
        raised: by this addition, as far as its sum does not say so.
    """

    def __init__(self, design: Design) -> None:
        self._design = design
        self._arithmetic, spec = design.results, design.spec
        members: dict[str, Any] = {
            "value": In(design.steps.value),
            "flags": In(FLAG_BITS),
            "fold": In(1),
            **({} if spec.preload else {"fold_first": In(1)}),
            "done": In(1),
        }
        if spec.preload:
            members |= {"starts": In(1), "start": In(self._arithmetic.value), "start_flags": In(FLAG_BITS)}
        if spec.scale is not None and spec.scales_chunks:
            members |= {"a_scale": In(spec.scale.width), "b_scale": In(spec.scale.width)}
        if spec.rounds_by_mode:
            members["mode"] = In(design.control.widths["mode"])
        if self._arithmetic.random_bits:
            members["seed"] = In(design.seed_bits)
        members |= {"result": Out(self._arithmetic.value), "result_flags": Out(FLAG_BITS), "result_done": Out(1)}
        if spec.counters is not None:
            members |= {name: Out(1) for name in ("added", "added_first", "added_addend")} | {"raised": Out(FLAG_BITS)}
            if mode_port(self._arithmetic.reader_keys):
                members["added_mode"] = Out(design.mode_bits)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        design, spec, arithmetic = self._design, self._design.spec, self._arithmetic

        # -- Marks: the chunk sum is taken, converted and scaled, then added; each a cycle or more after the other
        marks = ("fold", "done") if spec.preload else ("fold", "fold_first", "done")
        taken = {name: Signal(name=f"taken_{name}") for name in marks}
        adding = {name: Signal(name=f"adding_{name}") for name in ("fold", "done")}
        m.d.sync += [mark.eq(getattr(self, name)) for name, mark in taken.items()]
        ready = taken  # the number that is added is there, in the cycle before the addition
        if design.registers_scaled:
            ready = {name: Signal(name=f"scaled_{name}") for name in marks}
            m.d.sync += [mark.eq(taken[name]) for name, mark in ready.items()]
        m.d.sync += [mark.eq(ready[name]) for name, mark in adding.items()]
        turns, cycles = spec.interleave, design.adder_cycles
        ended = dict(adding)
        for cycle in range(cycles - 1):
            for name, mark in ended.items():
                ended[name] = Signal(name=f"ended_{name}_{cycle}")
                m.d.sync += ended[name].eq(mark)

        # -- Take: a finished chunk sum with its flags
        chunk = registers(self.value.signature, "chunk")
        chunk_flags = Signal(FLAG_BITS, reset_less=True)
        number = submodule(m, platform, "number", "number", design.chunk_number)
        connect_members(m, number.value, chunk)
        with m.If(self.fold):
            clock_in(m, chunk, self.value)
            m.d.sync += chunk_flags.eq(self.flags)
        if spec.rounds_by_mode:
            chunk_mode = Signal.like(self.mode)
            with m.If(self.fold):
                m.d.sync += chunk_mode.eq(self.mode)
            if "mode" in number.signature.members:
                m.d.comb += number.mode.eq(chunk_mode)
        addend = number.number
        if (scale := spec.scale) is not None and spec.scales_chunks:
            # -- Scale: the chunk sum times both scales, exactly
            scaler = submodule(m, platform, "scaler", "scaler", lambda: Scaler(design.chunk_sum, scale))
            connect_members(m, scaler.number, addend)
            for name in ("a_scale", "b_scale"):
                register = Signal(scale.width, name=f"chunk_{name}", reset_less=True)
                with m.If(self.fold):
                    m.d.sync += register.eq(getattr(self, name))
                m.d.comb += getattr(scaler, name).eq(register)
            addend = scaler.scaled
            if design.registers_scaled:
                addend = registers(scaler.scaled.signature, "scaled")
                clock_in(m, addend, scaler.scaled)

        # -- Operand: aligned for the outer adder, in a register before it
        product = submodule(m, platform, "operand", "outer_operand", arithmetic.product)
        adder = submodule(m, platform, "adder", "outer_adder", lambda: arithmetic.adder(cycles))
        connect_members(m, product.product, addend)
        m.d.comb += product.present.eq(1)
        operand = registers(arithmetic.operand, "operand")
        clock_in(m, operand, product.operand)
        if "mode" in adder.signature.members:
            adding_mode = Signal.like(chunk_mode)
            m.d.sync += adding_mode.eq(chunk_mode)
            m.d.comb += adder.mode.eq(adding_mode)
        connect_members(m, adder.operand, operand)
        operand_flags = Signal(FLAG_BITS, reset_less=True)
        m.d.sync += operand_flags.eq(chunk_flags | number.flags)

        # -- Totals: a ring, one for each turn; a new dot product starts from 0
        # The totals go round: the last is that of the turn whose addition begins, the first of the one where it ends
        # and of the one after `taken`. A total is 0 when a new sum starts.
        restart = Signal()
        m.d.comb += restart.eq(self.starts if spec.preload else ready["fold"] & ready["fold_first"])
        total_flags = [Signal(FLAG_BITS, reset_less=True, name=f"total_{turn}_flags") for turn in range(turns)]
        raised = delayed(m, "before", total_flags[-1] | operand_flags | adder.deferred_flags, cycles - 1)
        m.d.comb += self.result_flags.eq(raised | adder.flags)
        connect_members(m, self.result, adder.result)
        begin_flags = self.start_flags if spec.preload else 0
        rings: list[tuple[list[Signal], Value, Value | int]] = [(total_flags, self.result_flags, begin_flags)]
        for name, item in arithmetic.value.members.items():
            totals = [Signal(item.shape, name=f"total_{turn}_{name}", reset_less=True) for turn in range(turns)]
            m.d.comb += getattr(adder.acc, name).eq(totals[-1])
            begin = getattr(self.start, name) if spec.preload else arithmetic.zero.get(name, 0)
            rings.append((totals, getattr(adder.result, name), begin))
        for totals, result, begin in rings:
            m.d.sync += [to.eq(source) for to, source in pairwise(totals)]
            with m.If(restart):
                m.d.sync += totals[-1].eq(begin)
            with m.Elif(ended["fold"]):
                m.d.sync += totals[-1].eq(result)
            with m.Else():
                m.d.sync += totals[-1].eq(totals[0])

        # -- Random numbers: one for each chunk sum
        if arithmetic.random_bits:
            source = submodule(m, platform, "random", "random", lambda: RandomSource(spec.random_bits))
            m.d.comb += [source.seed.eq(self.seed), source.adds.eq(ended["fold"]), adder.random.eq(source.number)]
        m.d.comb += self.result_done.eq(ended["done"])
        if spec.counters is not None:
            # -- Count: what is known of an addition when it ends
            some = submodule(
                m, platform, "addend", "outer_counted", lambda: CountedAddend(arithmetic.rounded_sum.addend)
            )
            connect_members(m, some.number, addend)
            m.d.comb += [
                self.added.eq(ended["fold"]),
                self.added_first.eq(delayed(m, "adding_first", taken["fold_first"], turns)),
                self.added_addend.eq(delayed(m, "adding_addend", some.counts, turns)),
                self.raised.eq(adder.flags),
            ]
            if "added_mode" in self.signature.members:
                m.d.comb += self.added_mode.eq(delayed(m, "added_mode", chunk_mode, turns))
        return m


class Result(wiring.Component):
    """Convert what leaves a column to a code of the results' format.

    Members:
        value: a state of `Design.results`.
        mode: its mode, where something is rounded to another format in one mode than in another.
        taken: the code is taken; present with random numbers.
        seed: of the column's random numbers, if it takes any; constant.
        code: the result.
        flags: raised by the conversion, and by the addition before it, if not among that one's.
    """

    def __init__(self, design: Design) -> None:
        self._design = design
        random: dict[str, Any] = {}
        if design.out_random_bits:
            random = {"taken": In(1), "seed": In(design.out_seed_bits)}
        super().__init__(
            {
                "value": In(design.results.value),
                **({"mode": In(design.control.widths["mode"])} if design.spec.rounds_by_mode else {}),
                **random,
                "code": Out(design.spec.out_format.width),
                "flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        design = self._design
        assert design.out is not None

        # -- Convert: the total as an exact number, rounded to the format of results
        number = submodule(m, platform, "number", "out_number", design.out_number)
        unit = submodule(m, platform, "conversion", "out_conversion", design.out.unit)
        connect_members(m, number.value, self.value)
        connect_members(m, unit.number, number.number)
        m.d.comb += [self.code.eq(unit.code), self.flags.eq(number.flags | unit.flags)]
        for part in (number, unit):
            if "mode" in part.signature.members:
                m.d.comb += part.mode.eq(self.mode)

        # -- Random numbers: one for each result
        if bits := design.out_random_bits:
            source = submodule(m, platform, "random", "random", lambda: RandomSource(bits))
            m.d.comb += [source.seed.eq(self.seed), source.adds.eq(self.taken), unit.random.eq(source.number)]
        return m
