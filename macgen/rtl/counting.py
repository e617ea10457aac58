"""Counters of what happens in additions: in each PE for a dot product, at the array's edge for all of them.

See docs/arithmetic.md section 9. A PE sees a sum a cycle after its addition ends, and so its counts follow the results
by a cycle, on their way towards row 0, too.
"""

from functools import partial
from itertools import pairwise
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import Encoding, FloatFormat, Format
from macgen.numerics.events import EVENTS
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.design import Design
from macgen.rtl.parts.bits import extend
from macgen.rtl.parts.hierarchy import submodule
from macgen.rtl.parts.interfaces import clock_in, connect_members, member, registers
from macgen.rtl.parts.modes import mode_port
from macgen.rtl.units.datapath import AnyDatapath
from macgen.rtl.units.exact_number import Addend, ExactNumber


class CountedAddend(wiring.Component):
    """Whether an addend is finite and not 0.

    Members:
        number: the addend before anything of it is cut; see ExactNumber.
        counts: whether it is.
    """

    def __init__(self, addend: Addend) -> None:
        super().__init__({"number": In(ExactNumber(addend)), "counts": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()

        # -- Tell: beside infinities and NaN a magnitude does not matter
        number = self.number
        some = number.integer.any() if "integer" in number.signature.members else number.magnitude.any()
        m.d.comb += self.counts.eq(some & ~member(number, "infinite") & ~member(number, "nan"))
        return m


class Watch(wiring.Component):
    """Tell what is counted of an addition, of the sum as a state.

    Members:
        value: the sum.
        raised: flags of the addition, as far as the sum does not say so itself.
        prior: code of the accumulator before it.
        addend: what was added is finite and not 0.
        mode: the mode, where modes differ.
        code: the sum's code.
        events: saturated (bit 0), flushed, swamped.
    """

    def __init__(self, design: Design, arithmetic: AnyDatapath) -> None:
        self._arithmetic, self._format = arithmetic, arithmetic.rounded_sum.acc
        # The array may have the same converter at its edge.
        at_edge = design.out is None and arithmetic is design.results
        self._kind = "output" if at_edge else f"{arithmetic.rounded_sum.prefix or 'inner_'}output"
        super().__init__(
            {
                "value": In(arithmetic.value),
                "raised": In(FLAG_BITS),
                "prior": In(self._format.width),
                "addend": In(1),
                **mode_port(arithmetic.reader_keys),
                "code": Out(self._format.width),
                "events": Out(len(EVENTS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()

        # -- Convert: the sum to its code; the flags that it holds are those of its addition
        output = submodule(m, platform, "converter", self._kind, self._arithmetic.output)
        connect_members(m, output.value, self.value)
        if "mode" in output.signature.members:
            m.d.comb += output.mode.eq(self.mode)
        m.d.comb += self.code.eq(output.code)

        # -- Events: an accumulator that stays as it was, without a flag, has swamped what was added
        saturated = Signal()
        flushed = Signal()
        same = Signal()
        m.d.comb += [
            saturated.eq(self.raised[0] | output.flags[0]),
            flushed.eq(self.raised[1] | output.flags[1]),
            same.eq(output.code == self.prior),
            self.events.eq(
                Cat(
                    saturated,
                    flushed,
                    same & self.addend & is_counted(self._format, self.prior) & ~saturated & ~flushed,
                )
            ),
        ]
        return m


def is_counted(fmt: Format, code: Value) -> Value:
    """Return whether a code is that of a finite number other than 0."""
    if not isinstance(fmt, FloatFormat):
        return code.any()
    some, special = code[:-1].any(), Const(0, 1)  # the NaN of `fnuz` is the code of -0
    if fmt.encoding in (Encoding.IEEE, Encoding.QUIET):
        special = code[fmt.man_bits : -1].all()
    elif fmt.encoding is Encoding.FN:
        special = code[:-1].all()
    return some & ~special


class EventCounter(wiring.Component):
    """Count events of a PE's dot products, one for each turn, and hand the counts on as the results are.

    Parameters:
        design: of the array.
        events: how many kinds of events.

    Members:
        events: which happened.
        begins: counts start at 0, with these.
        done: the counts are complete, with these.
        shift: the counts move up by one register.
        counts_in, counts_out: counts from below, to above, the first event's lowest.
    """

    def __init__(self, design: Design, events: int) -> None:
        self._turns, self._bits, self._events = design.spec.interleave, design.pe_count_bits, events
        counts = events * self._bits
        super().__init__(
            {
                "events": In(events),
                "begins": In(1),
                "done": In(1),
                "shift": In(1),
                "counts_in": In(counts),
                "counts_out": Out(counts),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = len(self.counts_in)

        # -- Count: a ring, one register for each turn; a count that is all ones stays
        counts = [Signal(width, name=f"counts_{turn}", reset_less=True) for turn in range(self._turns)]
        counted = Signal(width)
        for index in range(self._events):
            place = slice(index * self._bits, (index + 1) * self._bits)
            before = Signal(self._bits, name=f"count_{index}")
            m.d.comb += [
                before.eq(Mux(self.begins, 0, counts[0][place])),
                counted[place].eq(before + (self.events[index] & ~before.all())),
            ]
        m.d.sync += [to.eq(source) for to, source in pairwise(counts)]
        m.d.sync += counts[-1].eq(counted)

        # -- Leave: registers, one for each turn, a part of the column's shift register
        moves = Signal()
        m.d.comb += moves.eq(self.done | self.shift)
        source: Value = Mux(self.done, counted, self.counts_in)
        for turn in reversed(range(self._turns)):
            leaving = Signal(width, name=f"leaving_{turn}", reset_less=True)
            with m.If(moves):
                m.d.sync += leaving.eq(source)
            source = leaving
        m.d.comb += self.counts_out.eq(source)
        return m


class AdditionCounters(wiring.Component):
    """Count what happens in the additions of one adder of a PE.

    All but `shift` and the counts is told in the cycle in which an addition ends.

    Parameters:
        design: of the array.
        kind: `steps`, with the folds where the same adder folds, or `folds`, of an outer accumulator's own adder.

    Members:
        value: the sum.
        raised: flags of the addition, as far as the sum does not say so itself.
        adds: something was added to the accumulator.
        starts: it was 0 before.
        begins: this is the first addition of its dot product.
        addend: what was added is finite and not 0.
        fold: the chunk sum was added to the total, and is 0 now.
        fold_first: it is the first chunk's, and was copied.
        done: no addition of the dot product follows.
        mode: the mode, where modes differ.
        shift: the results move up.
        counts_in, counts_out: counts from below, to above.
    """

    def __init__(self, design: Design, kind: str) -> None:
        self._design = design
        self._arithmetic = design.steps if kind == "steps" else design.results
        self._kinds = [kind, "folds"] if kind == "steps" and design.folds_in_loop else [kind]
        counts = design.count_bits(*self._kinds)
        names = ["adds", "starts", "begins", "addend", *["fold", "fold_first"] * (len(self._kinds) > 1), "done"]
        self._marks = dict.fromkeys(names, 1) | {
            name: Shape.cast(item.shape).width for name, item in mode_port(self._arithmetic.reader_keys).items()
        }
        super().__init__(
            {
                "value": In(self._arithmetic.value),
                "raised": In(FLAG_BITS),
                **{name: In(width) for name, width in self._marks.items()},
                "shift": In(1),
                "counts_in": In(counts),
                "counts_out": Out(counts),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        design, turns, folds = self._design, self._design.spec.interleave, len(self._kinds) > 1

        # -- See: the sum and its marks, a cycle after the addition
        sum_seen = registers(self._arithmetic.value, "seen")
        raised = Signal(FLAG_BITS, reset_less=True, name="seen_raised")
        seen = {name: Signal(width, name=f"seen_{name}") for name, width in self._marks.items()}
        shift = Signal(name="seen_shift")
        clock_in(m, sum_seen, self.value)
        m.d.sync += [raised.eq(self.raised), shift.eq(self.shift)]
        m.d.sync += [register.eq(getattr(self, name)) for name, register in seen.items()]

        # -- Codes: of the accumulator and of the total before the addition, rings with one register for each turn
        prefix = self._arithmetic.rounded_sum.prefix
        watch = submodule(m, platform, "watch", f"{prefix}watch", lambda: Watch(design, self._arithmetic))
        fmt = self._arithmetic.rounded_sum.acc
        acc = [Signal(fmt.width, name=f"acc_{turn}", reset_less=True) for turn in range(turns)]
        before = Mux(seen["starts"], 0, acc[0])
        addend: Value = seen["addend"]
        after = Mux(seen["adds"], watch.code, acc[0])
        m.d.sync += [to.eq(source) for to, source in pairwise(acc)]
        if folds:
            total = [Signal(fmt.width, name=f"total_{turn}", reset_less=True) for turn in range(turns)]
            m.d.sync += [to.eq(source) for to, source in pairwise(total)]
            m.d.sync += total[-1].eq(Mux(seen["fold"], watch.code, total[0]))
            addend = Mux(seen["fold"], is_counted(fmt, acc[0]), addend)
            before = Mux(seen["fold"], total[0], before)
            after = Mux(seen["fold"], 0, after)
        m.d.sync += acc[-1].eq(after)

        # -- Watch: what happened
        connect_members(m, watch.value, sum_seen)
        m.d.comb += [watch.raised.eq(raised), watch.prior.eq(before), watch.addend.eq(addend)]
        if "mode" in watch.signature.members:
            m.d.comb += watch.mode.eq(seen["mode"])

        # -- Count: steps and folds apart
        low, leaving = 0, []
        happens = [seen["adds"], *([seen["fold"] & ~seen["fold_first"]] if folds else [])]
        for kind, happened in zip(self._kinds, happens, strict=True):
            events = [watch.events[EVENTS.index(event)] for event in design.counted[kind]]
            name = f"{kind}_counter"
            counter = submodule(m, platform, name, name, partial(EventCounter, design, len(events)))
            high = low + len(counter.counts_in)
            m.d.comb += [
                counter.events.eq(Cat(*events) & happened.replicate(len(events))),
                counter.begins.eq(seen["begins"]),
                counter.done.eq(seen["done"]),
                counter.shift.eq(shift),
                counter.counts_in.eq(self.counts_in[low:high]),
            ]
            leaving.append(counter.counts_out)
            low = high
        m.d.comb += self.counts_out.eq(Cat(*leaving))
        return m


class EdgeCounters(wiring.Component):
    """Add the counts of results that leave, column by column in a tree, to counters that can be read and cleared.

    Members:
        taken: a result beat is taken.
        counts: those of row 0 of each column, column 0 lowest, a cycle after its results.
        clear: the counters start at 0, with what is added in this cycle.
        count_steps_saturated, count_steps_flushed, count_steps_swamped: counters of steps.
        count_folds_saturated, count_folds_flushed, count_folds_swamped: counters of folds.
    """

    def __init__(self, design: Design) -> None:
        self._design = design
        super().__init__(
            {
                "taken": In(1),
                "counts": In(design.spec.cols * design.all_count_bits),
                "clear": In(1),
                **{name: Out(width) for name, width in design.count_ports.items()},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        design, bits = self._design, self._design.pe_count_bits

        # -- Leave: the counts of a result beat follow it by a cycle
        leaves = Signal()
        m.d.sync += leaves.eq(self.taken)
        for index, (name, width) in enumerate(design.count_ports.items()):
            # -- Add columns: in a tree, a register after each level
            addends: list[Value] = []
            for col in range(design.spec.cols):
                count = self.counts.word_select(col, design.all_count_bits)[index * bits : (index + 1) * bits]
                addends.append(Mux(leaves, count, 0))
            level = 0
            while len(addends) > 1:
                pairs = [addends[place : place + 2] for place in range(0, len(addends), 2)]
                addends = []
                for place, pair in enumerate(pairs):
                    partial = Signal(len(pair[0]) + len(pair) - 1, name=f"{name}_sum_{level}_{place}")
                    wide = [extend(addend, len(partial)) for addend in pair]
                    m.d.sync += partial.eq(wide[0] + wide[1] if len(wide) > 1 else wide[0])
                    addends.append(partial)
                level += 1

            # -- Counters: all ones stay
            counter = Signal(width, name=name.removeprefix("count_"))
            total = Signal(max(width, len(addends[0])) + 1, name=f"{name}_total")
            m.d.comb += [
                total.eq(extend(Mux(self.clear, 0, counter), len(total)) + extend(addends[0], len(total))),
                getattr(self, name).eq(counter),
            ]
            m.d.sync += counter.eq(Mux(total[width:].any(), Const(-1, width), total[:width]))
        return m


def connect_counts(m: Module, outside: Any, inside: Any, design: Design) -> None:
    """Drive the ports of counters from those of a component inside."""
    if design.spec.counters is None:
        return

    # -- Counters: plain ports
    m.d.comb += inside.count_clear.eq(outside.count_clear)
    m.d.comb += [getattr(outside, name).eq(getattr(inside, name)) for name in design.count_ports]
