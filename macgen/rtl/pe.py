"""The processing element: multiply, accumulate, fold chunks, hand results on."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import Lfsr
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.datapath import Folded, Loaded, datapath
from macgen.rtl.float_adder import connect_members, delay, member
from macgen.rtl.hierarchy import submodule
from macgen.rtl.multiplier import Multiplier
from macgen.rtl.random_source import RandomSource, loads_beside
from macgen.spec import MacSpec


class Control(wiring.Signature):
    """What a PE does in a cycle; travels along the rows with the operands.

    With `interleave` = I each I-th cycle is a turn's; what follows is said of one turn and its cycles.

    Members:
        step: a product is accumulated.
        first: it starts a new sum: a chunk's with `fold = overlap`, the dot product's without chunks. Not with `fold =
            bubble`, where the fold leaves the accumulator at 0.
        fold: the chunk sum so far (without this cycle's product) is folded into the outer accumulator.
        fold_first: it is the first chunk's: the outer accumulator counts as empty.
        done: the sum is complete: it becomes the result.
    """

    def __init__(self, spec: MacSpec) -> None:
        names = ["step", "done"]
        if spec.chunk is not None:
            names += ["fold", "fold_first"]
        if spec.chunk is None or spec.fold == "overlap":
            names += ["first"]
        super().__init__({name: Out(1) for name in names})


def result_bits(spec: MacSpec) -> int:
    """Return the width of a finished sum on its way to the output: the accumulator state's members, then the flags."""
    return sum(Shape.cast(item.shape).width for item in datapath(spec).value.members.values()) + FLAG_BITS


def unpack_result(spec: MacSpec, packed: Value) -> tuple[Any, Value]:
    """Take a finished sum apart into the accumulator state and the flags."""
    value, low = {}, 0
    for name, item in datapath(spec).value.members.items():
        shape = Shape.cast(item.shape)
        part = packed[low : low + shape.width]
        value[name] = part.as_signed() if shape.signed else part
        low += shape.width
    return SimpleNamespace(**value), packed[low:]


def seed_bits(spec: MacSpec) -> int:
    """Return the width of a PE's seed, 0 where it takes no random numbers."""
    bits = datapath(spec).random_bits
    return Lfsr.of(bits).width if bits else 0


class Pe(wiring.Component):
    """One output-stationary multiply-accumulate unit.

    The operands pass through to the neighbours, a cycle later. A finished sum goes to the result registers, one for
    each turn, which are also stages of the column's shift register towards row 0.

    Members:
        a_in, b_in, control_in: from the left, from above, from the left.
        a_out, b_out, control_out: to the right, to below, to the right.
        shift: the results move up by one register.
        result_in, result_out: from below, to above; see `unpack_result`.
        seed: with stochastic rounding where its random numbers begin; constant.
    """

    def __init__(self, spec: MacSpec) -> None:
        self._spec = spec
        super().__init__(
            {
                "a_in": In(spec.a.width),
                "b_in": In(spec.b.width),
                "control_in": In(Control(spec)),
                "a_out": Out(spec.a.width),
                "b_out": Out(spec.b.width),
                "control_out": Out(Control(spec)),
                "shift": In(1),
                "result_in": In(result_bits(spec)),
                "result_out": Out(result_bits(spec)),
                **({"seed": In(seed_bits(spec))} if seed_bits(spec) else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, arithmetic = self._spec, datapath(self._spec)

        a_passed, b_passed = Signal(spec.a.width, reset_less=True), Signal(spec.b.width, reset_less=True)
        m.d.sync += [a_passed.eq(self.a_in), b_passed.eq(self.b_in)]
        m.d.comb += [self.a_out.eq(a_passed), self.b_out.eq(b_passed)]
        early = self._delay_control(m, self.control_in, spec.pipeline - 1)
        control = self._delay_control(m, early, 1, name="control")
        passed = control if spec.pipeline == 1 else self._delay_control(m, self.control_in, 1, name="passed")
        connect_members(m, self.control_out, passed)

        # Products.
        multiplier = submodule(
            m, platform, "multiplier", "multiplier", lambda: Multiplier(spec.a, spec.b, arithmetic.addition.addend)
        )
        product = submodule(m, platform, "product", "product", arithmetic.product)
        m.d.comb += [multiplier.a.eq(self.a_in), multiplier.b.eq(self.b_in), product.present.eq(early.step)]
        if spec.pipeline == 1:
            connect_members(m, product.product, multiplier.product)
        else:
            raw = _registers(multiplier.product.signature, "raw")
            _clock_in(m, raw, multiplier.product)
            connect_members(m, product.product, raw)

        # The loop: an addition that begins under `control` ends under `late`.
        turns = spec.interleave
        adder = submodule(m, platform, "adder", "adder", lambda: arithmetic.adder(turns))
        late = self._delay_control(m, control, turns - 1, name="late")
        random = self._random_numbers(m, platform, late, adder) if arithmetic.random_bits else None
        acc = _registers(arithmetic.value, "acc")
        acc_flags = Signal(FLAG_BITS, reset_less=True)
        operand = _registers(arithmetic.operand, "operand")
        zero = SimpleNamespace(**{name: arithmetic.zero.get(name, 0) for name in arithmetic.value.members})
        flags = Signal(FLAG_BITS)
        m.d.comb += flags.eq(_delayed(m, "before", acc_flags | adder.settled, turns - 1) | adder.flags)
        connect_members(m, adder.acc, acc)
        if spec.chunk is None:
            # The register is 0 when a new sum starts.
            connect_members(m, adder.operand, operand)
            _clock_in(m, operand, product.operand)
            _clock_in(m, acc, _select(early.first, zero, adder.result, arithmetic.value))
            m.d.sync += acc_flags.eq(Mux(early.first, 0, flags))
            self._hand_on(m, late, adder.result, flags)
            return m

        # The totals go round. The one whose turn `early` and `late` speak of is the first, that of `control` the last.
        totals = [_registers(arithmetic.value, f"total_{turn}") for turn in range(turns)]
        totals_flags = [Signal(FLAG_BITS, reset_less=True, name=f"total_{turn}_flags") for turn in range(turns)]
        if spec.fold == "bubble":
            # In the cycle without a product the total takes its place in the operand register; the loop gets no
            # multiplexer.
            folded = self._folded(m, platform, totals[0], ~early.fold_first)
            folded_flags: Value = folded.flags
            _clock_in(m, operand, _select(early.fold, folded.operand, product.operand, arithmetic.operand))
            connect_members(m, adder.operand, operand)
            _clock_in(m, acc, _select(late.fold, zero, adder.result, arithmetic.value))
            m.d.sync += acc_flags.eq(Mux(late.fold, 0, flags))
        else:
            # While the adder folds, the next chunk's first product is loaded beside it.
            _clock_in(m, operand, product.operand)
            folded = self._folded(m, platform, totals[-1], ~control.fold_first)
            folded_flags = _delayed(m, "folded_flags", folded.flags, turns - 1)
            connect_members(m, adder.operand, _select(control.fold, folded.operand, operand, arithmetic.operand))
            if arithmetic.loads_exactly:
                loader = submodule(m, platform, "loader", "loaded", lambda: Loaded(arithmetic))
                loaded = SimpleNamespace(
                    **{
                        name: _delayed(m, f"loaded_{name}", getattr(loader.value, name), turns - 1)
                        for name in arithmetic.value.members
                    }
                )
                loader_flags = _delayed(m, "loaded_flags", loader.flags, turns - 1)
            else:
                loader = submodule(m, platform, "loader", "adder", lambda: arithmetic.adder(turns))
                connect_members(m, loader.acc, zero)
                if random is not None:
                    m.d.comb += loader.random.eq(random.load_number)
                loaded, loader_flags = loader.result, loader.flags
            connect_members(m, loader.operand, operand)
            _clock_in(m, acc, _select(late.first, loaded, adder.result, arithmetic.value))
            m.d.sync += acc_flags.eq(Mux(late.first, loader_flags, flags))
        total_flags = Signal(FLAG_BITS)
        m.d.comb += total_flags.eq(Mux(late.fold_first, 0, totals_flags[0] | folded_flags) | flags)
        for to, source in pairwise(totals):
            _clock_in(m, to, source)
        m.d.sync += [to.eq(source) for to, source in pairwise(totals_flags)]
        _clock_in(m, totals[-1], _select(late.fold, adder.result, totals[0], arithmetic.value))
        m.d.sync += totals_flags[-1].eq(Mux(late.fold, total_flags, totals_flags[0]))
        self._hand_on(m, late, adder.result, total_flags)
        return m

    def _delay_control(self, m: Module, control: Any, cycles: int, name: str = "early") -> Any:
        """Delay control marks; the only registers of the PE with a reset."""
        for _ in range(cycles):
            delayed = SimpleNamespace(
                **{member_name: Signal(name=f"{name}_{member_name}") for member_name in Control(self._spec).members}
            )
            _clock_in(m, delayed, control)
            control = delayed
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
        if spec.chunk is not None:  # the first chunk's sum is copied
            adds = adds | (control.fold & ~control.fold_first)
        m.d.comb += [source.seed.eq(self.seed), source.adds.eq(adds), adder.random.eq(source.number)]
        return source

    def _hand_on(self, m: Module, control: Any, value: Any, flags: Value) -> None:
        """Let the results move up by a register for a sum that is done, and when they leave."""
        signature = datapath(self._spec).value
        from_below, flags_from_below = unpack_result(self._spec, self.result_in)
        for turn in reversed(range(self._spec.interleave)):
            result = _registers(signature, f"result_{turn}")
            result_flags = Signal(FLAG_BITS, reset_less=True, name=f"result_{turn}_flags")
            if turn == self._spec.interleave - 1:
                source = _select(control.done, value, from_below, signature)
                source_flags: Value = Mux(control.done, flags, flags_from_below)
            with m.If(control.done | self.shift):
                _clock_in(m, result, source)
                m.d.sync += result_flags.eq(source_flags)
            source, source_flags = result, result_flags
        m.d.comb += self.result_out.eq(Cat(*vars(result).values(), result_flags))


def _delayed(m: Module, name: str, value: Value, cycles: int) -> Value:
    """Return a value some cycles later."""
    for cycle in range(cycles):
        (value,) = delay(m, f"{name}_{cycle}", value)
    return value


def _registers(signature: wiring.Signature, name: str) -> Any:
    """Make a register for each member of a flat signature; their contents before the first load do not matter."""
    return SimpleNamespace(
        **{key: Signal(item.shape, name=f"{name}_{key}", reset_less=True) for key, item in signature.members.items()}
    )


def _clock_in(m: Module, registers: Any, source: Any) -> None:
    for name, register in vars(registers).items():
        m.d.sync += register.eq(member(source, name))


def _select(condition: Value, if_true: Any, if_false: Any, signature: wiring.Signature) -> Any:
    return SimpleNamespace(
        **{name: Mux(condition, member(if_true, name), member(if_false, name)) for name in signature.members}
    )
