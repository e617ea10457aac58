"""The processing element: multiply, accumulate, fold chunks, hand results on."""

from functools import partial, reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.accumulation import Loop, Sums, later_marks
from macgen.rtl.counting import AdditionCounters, CountedAddend
from macgen.rtl.design import Design
from macgen.rtl.lanes import LaneSum
from macgen.rtl.outer import OuterAccumulator
from macgen.rtl.parts.hierarchy import submodule
from macgen.rtl.parts.interfaces import clock_in, connect_members, member, registers, select
from macgen.rtl.parts.pipeline import delayed
from macgen.rtl.preload import StartRegisters
from macgen.rtl.terms import ScaledTerms
from macgen.rtl.units.rounded_number import RoundedNumber


class Pe(wiring.Component):
    """One output-stationary multiply-accumulate unit.

    The operands pass through to the neighbours, a cycle later. A finished sum goes to the result registers, one for
    each turn, which are also stages of the column's shift register towards row 0.

    Members:
        a_in, b_in: operands from the left, from above, one code per lane, lane 0 lowest.
        control_in: marks from the left, with the operands.
        a_out, b_out: operands to the right, to below.
        control_out: marks to the right.
        a_scale_in, b_scale_in, a_scale_out, b_scale_out: with scales, beside the operands; of lanes one for each block,
            that of the lowest lanes lowest.
        shift: the results move up by one register.
        result_in, result_out: results from below, to above: a state and its flags; see `Design.unpack_result`.
        counts_in, counts_out: with counters, counts from below, to above, a cycle after the results.
        start_shift: with preloaded accumulators, the start values move up by one register.
        start_in, start_out: start values from below, to above; see `Design.start_bits`.
        seed: with stochastic rounding where its random numbers begin; constant.
    """

    def __init__(self, design: Design) -> None:
        self._design = design
        super().__init__(
            {
                "a_in": In(design.a_bits),
                "b_in": In(design.b_bits),
                "control_in": In(design.control),
                "a_out": Out(design.a_bits),
                "b_out": Out(design.b_bits),
                "control_out": Out(design.control),
                **design.scale_ports(),
                "shift": In(1),
                "result_in": In(design.result_bits),
                "result_out": Out(design.result_bits),
                **design.counts_members(),
                **design.start_members(),
                **({"seed": In(design.seed_bits)} if design.seed_bits else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        design, spec = self._design, self._design.spec

        # -- Pass on: operands to the neighbours, a cycle later
        a_passed = Signal(len(self.a_in), reset_less=True)
        b_passed = Signal(len(self.b_in), reset_less=True)
        m.d.sync += [a_passed.eq(self.a_in), b_passed.eq(self.b_in)]
        m.d.comb += [self.a_out.eq(a_passed), self.b_out.eq(b_passed)]

        # -- Marks: what the PE is to do travels with the products
        early = later_marks(m, self.control_in, design.control, spec.pipeline - 1, "early")
        control = later_marks(m, early, design.control, 1, "control")
        passed = control if spec.pipeline == 1 else later_marks(m, self.control_in, design.control, 1, "passed")
        connect_members(m, self.control_out, passed)

        # -- Multiply: the product of each lane, and what a step adds of them
        products, raised = self._products(m, platform, early)
        scales = self._pass_scales(m)
        product: Any = None
        if design.window is None:
            product = submodule(m, platform, "product", "product", design.steps.product)
            m.d.comb += product.present.eq(early.step)
            if not design.combines_lanes:
                connect_members(m, product.product, products[0])
            else:
                lanes = submodule(m, platform, "lanes", "lanes", lambda: LaneSum(design))
                for lane, exact in enumerate(products):
                    connect_members(m, lanes.products[lane], exact)
                connect_members(m, product.product, lanes.sum)
                raised += [lanes.flags] * spec.rounds_lanes

        # -- Flags: of roundings before the accumulator
        product_flags: Value | None = None
        if raised:
            product_flags = Signal(FLAG_BITS, reset_less=True)
            m.d.sync += product_flags.eq(Mux(early.step, reduce(or_, raised), 0))

        # -- Accumulate: the loop
        draws = bool(design.steps.random_bits)
        start: StartRegisters | None = None
        begun = Signal()  # a dot product starts
        if spec.preload:
            start = StartRegisters(m, design, shift=self.start_shift, from_below=self.start_in, starts=begun)
            m.d.comb += self.start_out.eq(start.to_above)
        of_loop = None if spec.has_outer_adder else start
        seed = self.seed if draws else None
        loop = Loop(m, platform, design, early=early, control=control, seed=seed, start=of_loop)
        if product is None:
            if scales and spec.scales_lanes:
                products = self._terms(m, platform, products, scales)
            sums = loop.sums_of_aligned(products, product_flags)
        else:
            sums = loop.sums_of_products(product.operand, product_flags)

        # -- Result: the finished sum, from the loop or from the outer accumulator
        if of_loop is not None:
            m.d.comb += begun.eq(early.begins if hasattr(early, "begins") else early.first)
        if spec.has_outer_adder:
            outer = self._outer(m, platform, sums, scales)
            if start is not None:
                # -- Start: when the outer accumulator takes the first step's chunk at the earliest
                m.d.sync += begun.eq(sums.late.first & sums.late.fold_first)
                connect_members(m, outer.start, start.value)
                m.d.comb += [outer.starts.eq(begun), outer.start_flags.eq(start.flags)]
            self._hand_on(m, outer.result_done, outer.result, outer.result_flags)
        else:
            outer = None
            self._hand_on(m, sums.late.done, sums.value, sums.flags)
        if spec.counters is not None:
            self._count(m, platform, product, loop, sums, outer)
        return m

    def _products(self, m: Module, platform: object, early: Any) -> tuple[list[Any], list[Value]]:
        """Return the product of each lane, from `pipeline = 2` on from registers, and the flags that roundings raise.

        With `pipeline = 3` operands come from registers, too: those that hand them on, so that no more are needed.
        """
        design, spec = self._design, self._design.spec
        a, b = (self.a_out, self.b_out) if spec.pipeline == 3 else (self.a_in, self.b_in)

        # -- Multiply: one multiplier for each lane, and the rounding of its product
        products, flags = [], []
        for lane in range(spec.lanes):
            suffix = "" if spec.lanes == 1 else f"_{lane}"
            multiplier = submodule(
                m,
                platform,
                f"multiplier{suffix}",
                "multiplier",
                design.multiplier,
            )
            m.d.comb += [
                multiplier.a.eq(a.word_select(lane, spec.a.width)),
                multiplier.b.eq(b.word_select(lane, spec.b.width)),
            ]
            if "mode" in multiplier.signature.members:
                m.d.comb += multiplier.mode.eq((self.control_out if spec.pipeline == 3 else self.control_in).mode)
            product: Any = multiplier.product
            if spec.pipeline >= 2:
                product = registers(multiplier.product.signature, f"raw{suffix}")
                clock_in(m, product, multiplier.product)
            if (conversion := design.product_rounding) is not None:
                rounding = submodule(
                    m,
                    platform,
                    f"rounding{suffix}",
                    "rounding",
                    lambda: RoundedNumber(conversion, design.product),
                )
                connect_members(m, rounding.number, product)
                if "mode" in rounding.signature.members:
                    m.d.comb += rounding.mode.eq(early.mode)
                product = rounding.rounded
                flags.append(rounding.flags)
            products.append(product)
        return products, flags

    def _pass_scales(self, m: Module) -> dict[str, Value]:
        """Hand scales on to the neighbours; return them as they are then, a cycle later."""
        if self._design.spec.scale is None:
            return {}

        # -- Pass on: scales, beside the operands
        scales = {}
        for name in ("a_scale", "b_scale"):
            scale = getattr(self, f"{name}_in")
            scales[name] = passed = Signal(len(scale), name=f"{name}_passed", reset_less=True)
            m.d.sync += passed.eq(scale)
            m.d.comb += getattr(self, f"{name}_out").eq(passed)
        return scales

    def _terms(self, m: Module, platform: object, products: list[Any], scales: dict[str, Value]) -> list[Any]:
        """Return the terms that the lanes' products and scales make, when the products are there."""
        design, stages = self._design, self._design.spec.pipeline
        plan = design.terms
        assert plan is not None

        # -- Terms: products, or sums of groups of them, times their scales
        unit = submodule(m, platform, "terms", "terms", lambda: ScaledTerms(plan))
        for target, product in zip(unit.products, products, strict=True):
            connect_members(m, target, product)
        for name, passed in scales.items():
            scale = getattr(self, f"{name}_in") if stages == 1 else delayed(m, name, passed, stages - 2)
            m.d.comb += getattr(unit, name).eq(scale)
        return list(unit.terms)

    def _outer(self, m: Module, platform: object, sums: Sums, scales: dict[str, Value]) -> Any:
        """Have chunk sums, scaled if there are scales, added by an adder of their own."""
        design, spec = self._design, self._design.spec

        # -- Outer accumulator: an adder of its own for chunk sums, with their scales
        outer = submodule(m, platform, "outer", "outer", lambda: OuterAccumulator(design))
        connect_members(m, outer.value, sums.value)
        m.d.comb += [
            outer.flags.eq(sums.flags),
            outer.fold.eq(sums.late.fold),
            *([] if spec.preload else [outer.fold_first.eq(sums.late.fold_first)]),
            outer.done.eq(sums.late.done),
        ]
        if "mode" in outer.signature.members:
            m.d.comb += outer.mode.eq(sums.late.mode)
        if design.results.random_bits:
            m.d.comb += outer.seed.eq(self.seed)
        if spec.scales_chunks:
            for name, passed in scales.items():
                m.d.comb += getattr(outer, name).eq(delayed(m, name, passed, spec.pipeline + spec.interleave - 2))
        return outer

    def _count(self, m: Module, platform: object, product: Any, loop: Loop, sums: Sums, outer: Any) -> None:
        """Count what happens in additions."""
        design, late = self._design, sums.late

        # -- Addend: whether it is finite and not 0, when its addition ends
        some = submodule(m, platform, "addend", "counted", lambda: CountedAddend(design.steps.rounded_sum.addend))
        for name in some.number.signature.members:
            m.d.comb += getattr(some.number, name).eq(member(product.product, name))
        addend = delayed(m, "addend", some.counts, design.spec.interleave)

        # -- Count: the additions of the loop, and of an outer accumulator
        first = member(late, "first")
        marks = {
            "adds": late.step,
            "starts": first,
            "begins": late.begins if hasattr(late, "begins") else first & getattr(late, "fold_first", Const(1, 1)),
            "addend": addend,
            "fold": member(late, "fold"),
            "fold_first": member(late, "fold_first"),
            "done": late.done,
            "mode": member(late, "mode"),
        }
        counters = [("steps", sums.value, loop.raised, marks)]
        if outer is not None:
            marks = {
                "adds": outer.added,
                "starts": outer.added_first,
                "begins": outer.added_first & outer.added,
                "addend": outer.added_addend,
                "done": outer.result_done,
                "mode": member(outer, "added_mode"),
            }
            counters.append(("folds", outer.result, outer.raised, marks))
        low, leaving = 0, []
        for kind, value, raised, marks in counters:
            name = f"counted_{kind}"
            counter = submodule(m, platform, name, name, partial(AdditionCounters, design, kind))
            connect_members(m, counter.value, value)
            high = low + len(counter.counts_in)
            m.d.comb += [
                counter.raised.eq(raised),
                counter.shift.eq(self.shift),
                counter.counts_in.eq(self.counts_in[low:high]),
            ]
            m.d.comb += [getattr(counter, mark).eq(net) for mark, net in marks.items() if hasattr(counter, mark)]
            leaving.append(counter.counts_out)
            low = high
        m.d.comb += self.counts_out.eq(Cat(*leaving))

    def _hand_on(self, m: Module, done: Value, value: Any, flags: Value) -> None:
        """Let the results move up by a register for a sum that is done, and when they leave."""
        signature, turns = self._design.results.value, self._design.spec.interleave
        # -- Result registers: one for each turn, a part of the column's shift register
        from_below, flags_from_below = self._design.unpack_result(self.result_in)
        result_moves = Signal()
        m.d.comb += result_moves.eq(done | self.shift)
        for turn in reversed(range(turns)):
            result = registers(signature, f"result_{turn}")
            result_flags = Signal(FLAG_BITS, reset_less=True, name=f"result_{turn}_flags")
            if turn == turns - 1:
                source = select(done, value, from_below, signature)
                source_flags: Value = Mux(done, flags, flags_from_below)
            with m.If(result_moves):
                clock_in(m, result, source)
                m.d.sync += result_flags.eq(source_flags)
            source, source_flags = result, result_flags
        m.d.comb += self.result_out.eq(Cat(*vars(result).values(), result_flags))
