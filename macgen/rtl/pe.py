"""The processing element: multiply, accumulate, fold chunks, hand results on."""

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from operator import or_
from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import Lfsr
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.addition import Addition, aligned_window, exact_addend, product_addend
from macgen.rtl.aligned import AlignedAdder, Aligner
from macgen.rtl.cuts import delayed
from macgen.rtl.datapath import Folded, Loaded, datapath
from macgen.rtl.hierarchy import submodule
from macgen.rtl.interfaces import clock_in, connect_members, delayed_members, registers, select
from macgen.rtl.lanes import LaneSum
from macgen.rtl.multiplier import Multiplier
from macgen.rtl.outer import OuterAccumulator, pe_random_bits, result_datapath
from macgen.rtl.random_source import RandomSource, loads_beside
from macgen.rtl.rounded_product import RoundedNumber
from macgen.spec import MacSpec


class Control(wiring.Signature):
    """What a PE does in a cycle; travels along the rows with the operands.

    With `interleave` = I each I-th cycle is a turn's; what follows is said of one turn and its cycles.

    Members:
        step: a product is accumulated.
        first: it starts a new sum: a chunk's with `fold = overlap`, the dot product's without chunks. Not with `fold =
            bubble`, where the fold leaves the accumulator at 0.
        fold: the chunk sum so far (without this cycle's product) is folded into the outer accumulator. If that has an
            adder of its own, which takes the sum later: the chunk ends with this cycle's product.
        fold_first: it is the first chunk's: the outer accumulator counts as empty.
        done: the sum is complete: it becomes the result.
    """

    def __init__(self, spec: MacSpec) -> None:
        names = ["step", "done"]
        if spec.chunk is not None or spec.has_outer_adder:
            names += ["fold", "fold_first"]
        if spec.chunk is None or spec.fold == "overlap" or spec.has_outer_adder:
            names += ["first"]
        super().__init__({name: Out(1) for name in names})


def result_bits(spec: MacSpec) -> int:
    """Return the width of a finished sum on its way to the output: the accumulator state's members, then the flags."""
    return sum(Shape.cast(item.shape).width for item in result_datapath(spec).value.members.values()) + FLAG_BITS


def unpack_result(spec: MacSpec, packed: Value) -> tuple[Any, Value]:
    """Take a finished sum apart into the accumulator state and the flags."""
    value, low = {}, 0
    for name, item in result_datapath(spec).value.members.items():
        shape = Shape.cast(item.shape)
        part = packed[low : low + shape.width]
        value[name] = part.as_signed() if shape.signed else part
        low += shape.width
    return SimpleNamespace(**value), packed[low:]


def seed_bits(spec: MacSpec) -> int:
    """Return the width of a PE's seed, 0 where it takes no random numbers."""
    bits = pe_random_bits(spec)
    return Lfsr.of(bits).width if bits else 0


def scale_ports(spec: MacSpec, columns: int = 1) -> dict[str, Any]:
    """Return the members that pass scales on, if there are any."""
    if spec.scale is None:
        return {}
    width = spec.scale.width
    return {
        "a_scale_in": In(width),
        "b_scale_in": In(columns * width),
        "a_scale_out": Out(width),
        "b_scale_out": Out(columns * width),
    }


class Pe(wiring.Component):
    """One output-stationary multiply-accumulate unit.

    The operands pass through to the neighbours, a cycle later. A finished sum goes to the result registers, one for
    each turn, which are also stages of the column's shift register towards row 0.

    Members:
        a_in, b_in, control_in: from the left, from above, from the left; of the operands one code per lane, lane 0
            lowest.
        a_out, b_out, control_out: to the right, to below, to the right.
        a_scale_in, b_scale_in, a_scale_out, b_scale_out: with scales, beside the operands.
        shift: the results move up by one register.
        result_in, result_out: from below, to above; see `unpack_result`.
        seed: with stochastic rounding where its random numbers begin; constant.
    """

    def __init__(self, spec: MacSpec) -> None:
        self._spec = spec
        super().__init__(
            {
                "a_in": In(spec.lanes * spec.a.width),
                "b_in": In(spec.lanes * spec.b.width),
                "control_in": In(Control(spec)),
                "a_out": Out(spec.lanes * spec.a.width),
                "b_out": Out(spec.lanes * spec.b.width),
                "control_out": Out(Control(spec)),
                **scale_ports(spec),
                "shift": In(1),
                "result_in": In(result_bits(spec)),
                "result_out": Out(result_bits(spec)),
                **({"seed": In(seed_bits(spec))} if seed_bits(spec) else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, arithmetic = self._spec, datapath(self._spec)

        a_passed = Signal(len(self.a_in), reset_less=True)
        b_passed = Signal(len(self.b_in), reset_less=True)
        m.d.sync += [a_passed.eq(self.a_in), b_passed.eq(self.b_in)]
        m.d.comb += [self.a_out.eq(a_passed), self.b_out.eq(b_passed)]
        early = self._delay_control(m, self.control_in, spec.pipeline - 1)
        control = self._delay_control(m, early, 1, name="control")
        passed = control if spec.pipeline == 1 else self._delay_control(m, self.control_in, 1, name="passed")
        connect_members(m, self.control_out, passed)

        # Products.
        products, raised_by_products = self._products(m, platform)
        if spec.aligned_bits is None:
            product = submodule(m, platform, "product", "product", arithmetic.product)
            m.d.comb += product.present.eq(early.step)
            if spec.lanes == 1:
                connect_members(m, product.product, products[0])
            else:
                lanes = submodule(m, platform, "lanes", "lanes", lambda: LaneSum(spec))
                for lane, exact in enumerate(products):
                    connect_members(m, lanes.products[lane], exact)
                connect_members(m, product.product, lanes.sum)
                raised_by_products += [lanes.flags] * (spec.lane_sum == "tree")
        product_flags: Value | None = None
        if raised_by_products:
            product_flags = Signal(FLAG_BITS, reset_less=True)
            m.d.sync += product_flags.eq(Mux(early.step, reduce(or_, raised_by_products), 0))
        if spec.aligned_bits is not None:
            self._aligned_loop(m, platform, control, products, product_flags)
            return m

        # The loop: an addition that begins under `control` ends under `late`.
        turns = spec.interleave
        adder = submodule(m, platform, "adder", "adder", lambda: arithmetic.adder(turns))
        late = self._delay_control(m, control, turns - 1, name="late")
        random = self._random_numbers(m, platform, late, adder) if arithmetic.random_bits else None
        acc = registers(arithmetic.value, "acc")
        acc_flags = Signal(FLAG_BITS, reset_less=True)
        operand = registers(arithmetic.operand, "operand")
        zero = SimpleNamespace(**{name: arithmetic.zero.get(name, 0) for name in arithmetic.value.members})
        flags = Signal(FLAG_BITS)
        raised = acc_flags | adder.settled
        if product_flags is not None:
            # In a cycle with a fold, a product is loaded beside the adder.
            beside = control.fold if spec.chunk is not None and not spec.has_outer_adder else Const(0, 1)
            raised = raised | Mux(beside, 0, product_flags)
        m.d.comb += flags.eq(delayed(m, "before", raised, turns - 1) | adder.flags)
        connect_members(m, adder.acc, acc)
        if spec.chunk is None or spec.has_outer_adder:
            # The register is 0 when a new sum starts.
            connect_members(m, adder.operand, operand)
            clock_in(m, operand, product.operand)
            clock_in(m, acc, select(early.first, zero, adder.result, arithmetic.value))
            m.d.sync += acc_flags.eq(Mux(early.first, 0, flags))
            if spec.has_outer_adder:
                outer = self._outer(m, platform, late, adder.result, flags)
                self._hand_on(m, outer.result_done, outer.result, outer.result_flags)
            else:
                self._hand_on(m, late.done, adder.result, flags)
            return m

        # The totals go round. The one whose turn `early` and `late` speak of is the first, that of `control` the last.
        totals = [registers(arithmetic.value, f"total_{turn}") for turn in range(turns)]
        totals_flags = [Signal(FLAG_BITS, reset_less=True, name=f"total_{turn}_flags") for turn in range(turns)]
        if spec.fold == "bubble":
            # In the cycle without a product the total takes its place in the operand register; the loop gets no
            # multiplexer.
            folded = self._folded(m, platform, totals[0], ~early.fold_first)
            folded_flags: Value = folded.flags
            clock_in(m, operand, select(early.fold, folded.operand, product.operand, arithmetic.operand))
            connect_members(m, adder.operand, operand)
            clock_in(m, acc, select(late.fold, zero, adder.result, arithmetic.value))
            m.d.sync += acc_flags.eq(Mux(late.fold, 0, flags))
        else:
            # While the adder folds, the next chunk's first product is loaded beside it.
            clock_in(m, operand, product.operand)
            folded = self._folded(m, platform, totals[-1], ~control.fold_first)
            folded_flags = delayed(m, "folded_flags", folded.flags, turns - 1)
            connect_members(m, adder.operand, select(control.fold, folded.operand, operand, arithmetic.operand))
            if arithmetic.loads_exactly:
                loader = submodule(m, platform, "loader", "loaded", lambda: Loaded(arithmetic))
                loaded = delayed_members(m, "loaded", loader.value, arithmetic.value, turns - 1)
                loader_flags = delayed(m, "loaded_flags", loader.flags, turns - 1)
            else:
                loader = submodule(m, platform, "loader", "adder", lambda: arithmetic.adder(turns))
                connect_members(m, loader.acc, zero)
                if random is not None:
                    m.d.comb += loader.random.eq(random.load_number)
                loaded, loader_flags = loader.result, loader.flags
            connect_members(m, loader.operand, operand)
            if product_flags is not None:
                loader_flags = loader_flags | delayed(m, "product_flags_before", product_flags, turns - 1)
            clock_in(m, acc, select(late.first, loaded, adder.result, arithmetic.value))
            m.d.sync += acc_flags.eq(Mux(late.first, loader_flags, flags))
        total_flags = Signal(FLAG_BITS)
        m.d.comb += total_flags.eq(Mux(late.fold_first, 0, totals_flags[0] | folded_flags) | flags)
        self._turn_totals(m, late.fold, totals, adder.result, totals_flags, total_flags)
        self._hand_on(m, late.done, adder.result, total_flags)
        return m

    def _turn_totals(
        self, m: Module, folds: Value, totals: Sequence[Any], sum_: Any, flags: Sequence[Value], sum_flags: Value
    ) -> None:
        """Let the totals and their flags go round; a fold that ends renews the first, which becomes the last."""
        for to, source in pairwise(totals):
            clock_in(m, to, source)
        clock_in(m, totals[-1], select(folds, sum_, totals[0], datapath(self._spec).value))
        m.d.sync += [to.eq(source) for to, source in pairwise(flags)]
        m.d.sync += flags[-1].eq(Mux(folds, sum_flags, flags[0]))

    def _products(self, m: Module, platform: object) -> tuple[list[Any], list[Value]]:
        """Return the product of each lane, with `pipeline = 2` from registers, and the flags that roundings raise."""
        spec = self._spec
        products, flags = [], []
        for lane in range(spec.lanes):
            suffix = "" if spec.lanes == 1 else f"_{lane}"
            multiplier = submodule(
                m,
                platform,
                f"multiplier{suffix}",
                "multiplier",
                lambda: Multiplier(spec.a, spec.b, exact_addend(spec)),
            )
            m.d.comb += [
                multiplier.a.eq(self.a_in.word_select(lane, spec.a.width)),
                multiplier.b.eq(self.b_in.word_select(lane, spec.b.width)),
            ]
            product: Any = multiplier.product
            if spec.pipeline == 2:
                product = registers(multiplier.product.signature, f"raw{suffix}")
                clock_in(m, product, multiplier.product)
            if spec.product is not None:
                rounding = submodule(
                    m,
                    platform,
                    f"rounding{suffix}",
                    "rounding",
                    lambda: RoundedNumber(Addition.of_products(spec), product_addend(spec)),
                )
                connect_members(m, rounding.number, product)
                product = rounding.rounded
                flags.append(rounding.flags)
            products.append(product)
        return products, flags

    def _aligned_loop(
        self, m: Module, platform: object, control: Any, products: list[Any], product_flags: Value | None
    ) -> None:
        """Accumulate where all terms of a step are aligned; chunk sums are folded by an adder beside."""
        spec, arithmetic, window = self._spec, datapath(self._spec), aligned_window(self._spec)
        aligner = submodule(m, platform, "aligner", "aligner", lambda: Aligner(window, spec.lanes))
        for lane, product in enumerate(products):
            connect_members(m, aligner.numbers[lane], product)
        lanes = registers(aligner.aligned.signature, "lanes")
        clock_in(m, lanes, aligner.aligned)
        turns = spec.interleave
        adder = submodule(
            m, platform, "aligned_adder", "aligned_adder", lambda: AlignedAdder(arithmetic.addition, window, turns)
        )
        late = self._delay_control(m, control, turns - 1, name="late")
        connect_members(m, adder.lanes, lanes)
        acc, acc_flags = registers(arithmetic.value, "acc"), Signal(FLAG_BITS, reset_less=True)
        zero = SimpleNamespace(**{name: arithmetic.zero.get(name, 0) for name in arithmetic.value.members})
        folds = arithmetic.addition.folds
        starts: Value = Const(0, 1) if folds and spec.fold == "bubble" else control.first
        flags = Signal(FLAG_BITS)
        raised = Mux(starts, 0, acc_flags) | adder.settled
        if product_flags is not None:
            raised = raised | product_flags
        m.d.comb += flags.eq(delayed(m, "before", raised, turns - 1) | adder.flags)
        connect_members(m, adder.acc, select(starts, zero, acc, arithmetic.value))
        # Without a product nothing is added: an accumulator, too, would lose what is cut.
        held = delayed_members(m, "held", acc, arithmetic.value, turns - 1)
        held_flags = delayed(m, "held_flags", acc_flags, turns - 1)
        empties: Value = late.fold if folds and spec.fold == "bubble" else Const(0, 1)
        stays = select(empties, zero, held, arithmetic.value)
        clock_in(m, acc, select(late.step, adder.result, stays, arithmetic.value))
        m.d.sync += acc_flags.eq(Mux(late.step, flags, Mux(empties, 0, held_flags)))
        if not folds:
            if arithmetic.random_bits:
                self._random_numbers(m, platform, late, adder)
            if spec.has_outer_adder:
                outer = self._outer(m, platform, late, adder.result, flags)
                self._hand_on(m, outer.result_done, outer.result, outer.result_flags)
            else:
                self._hand_on(m, late.done, adder.result, flags)
            return
        # The totals go round as in the other loop.
        totals = [registers(arithmetic.value, f"total_{turn}") for turn in range(turns)]
        totals_flags = [Signal(FLAG_BITS, reset_less=True, name=f"total_{turn}_flags") for turn in range(turns)]
        folder = submodule(m, platform, "adder", "adder", lambda: arithmetic.adder(turns))
        connect_members(m, folder.acc, acc)
        folded = self._folded(m, platform, totals[-1], ~control.fold_first)
        connect_members(m, folder.operand, folded.operand)
        if arithmetic.random_bits:
            source = self._random_numbers(m, platform, late, folder)
            number = Mux(late.first, source.load_number, source.number) if spec.fold == "overlap" else source.number
            m.d.comb += adder.random.eq(number)
        before = Mux(control.fold_first, 0, totals_flags[-1] | folded.flags) | acc_flags | folder.settled
        total_flags = Signal(FLAG_BITS)
        m.d.comb += total_flags.eq(delayed(m, "folding", before, turns - 1) | folder.flags)
        self._turn_totals(m, late.fold, totals, folder.result, totals_flags, total_flags)
        self._hand_on(m, late.done, folder.result, total_flags)

    def _outer(self, m: Module, platform: object, control: Any, value: Any, flags: Value) -> Any:
        """Have chunk sums, scaled if there are scales, added by an adder of their own."""
        spec = self._spec
        outer = submodule(m, platform, "outer", "outer", lambda: OuterAccumulator(spec))
        connect_members(m, outer.value, value)
        m.d.comb += [
            outer.flags.eq(flags),
            outer.fold.eq(control.fold),
            outer.fold_first.eq(control.fold_first),
            outer.done.eq(control.done),
        ]
        if spec.random_place == "chunks" and seed_bits(spec):
            m.d.comb += outer.seed.eq(self.seed)
        if spec.scale is not None:
            for name in ("a_scale", "b_scale"):
                passed = delayed(m, f"{name}_passed", getattr(self, f"{name}_in"), 1)
                m.d.comb += [
                    getattr(self, f"{name}_out").eq(passed),
                    getattr(outer, name).eq(delayed(m, name, passed, spec.pipeline + spec.interleave - 2)),
                ]
        return outer

    def _delay_control(self, m: Module, control: Any, cycles: int, name: str = "early") -> Any:
        """Delay control marks; the only registers of the PE with a reset."""
        for cycle in range(cycles):
            stage = name if cycle == cycles - 1 else f"{name}_{cycle}"
            later = SimpleNamespace(
                **{member_name: Signal(name=f"{stage}_{member_name}") for member_name in Control(self._spec).members}
            )
            clock_in(m, later, control)
            control = later
        return control

    def _folded(self, m: Module, platform: object, total: Any, present: Value) -> Any:
        folded = submodule(m, platform, "folded", "folded", lambda: Folded(datapath(self._spec)))
        connect_members(m, folded.value, total)
        m.d.comb += folded.present.eq(present)
        return folded

    def _random_numbers(self, m: Module, platform: object, control: Any, adder: Any) -> Any:
        """Give the adder its random numbers; return their source."""
        spec = self._spec
        source = submodule(m, platform, "random", "random", lambda: RandomSource(spec))
        adds = control.step
        if loads_beside(spec):
            adds = adds & ~control.first
            m.d.comb += source.loads.eq(control.first)
        if spec.chunk is not None and not spec.has_outer_adder:  # the first chunk's sum is copied
            adds = adds | (control.fold & ~control.fold_first)
        m.d.comb += [source.seed.eq(self.seed), source.adds.eq(adds), adder.random.eq(source.number)]
        return source

    def _hand_on(self, m: Module, done: Value, value: Any, flags: Value) -> None:
        """Let the results move up by a register for a sum that is done, and when they leave."""
        signature = result_datapath(self._spec).value
        from_below, flags_from_below = unpack_result(self._spec, self.result_in)
        for turn in reversed(range(self._spec.interleave)):
            result = registers(signature, f"result_{turn}")
            result_flags = Signal(FLAG_BITS, reset_less=True, name=f"result_{turn}_flags")
            if turn == self._spec.interleave - 1:
                source = select(done, value, from_below, signature)
                source_flags: Value = Mux(done, flags, flags_from_below)
            with m.If(done | self.shift):
                clock_in(m, result, source)
                m.d.sync += result_flags.eq(source_flags)
            source, source_flags = result, result_flags
        m.d.comb += self.result_out.eq(Cat(*vars(result).values(), result_flags))
