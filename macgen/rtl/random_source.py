"""The random numbers of a PE with stochastic rounding (docs/arithmetic.md section 7)."""

from functools import reduce
from operator import xor

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import Lfsr


class RandomSource(wiring.Component):
    """A shift register that each addition moves on by as many positions as it takes bits.

    Parameters:
        bits: of each number.
        loads: whether two numbers may be taken in a cycle: see `loads` below.

    Members:
        seed: the register's content before the first addition; constant.
        adds: the adder adds in this cycle.
        number: its random number.
        loads, load_number: with `fold = overlap` the same for the product that is taken in the cycle of a fold, the
            later addition; where it is loaded as it is, only the shift counts.
    """

    def __init__(self, bits: int, *, loads: bool = False) -> None:
        self._bits = bits
        self._lfsr = Lfsr.of(bits)
        self._loads = loads
        members = {"seed": In(self._lfsr.width), "adds": In(1), "number": Out(bits)}
        if self._loads:
            members |= {"loads": In(1), "load_number": Out(bits)}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = self._lfsr.width

        # -- State: the shift register, or the seed until it has moved
        # One bit to reset tells that the seed counts: it does without a reset after power-up, too.
        begun = Signal()
        state = Signal(width, reset_less=True)
        now = Signal(width)
        moved = self._moved(m, now, "moved")
        m.d.comb += [now.eq(Mux(begun, state, self.seed)), self.number.eq(now)]

        # -- Next: after one number, or after the second one of the same cycle
        following: Value = moved
        moves = self.adds
        if self._loads:
            after = Signal(width)
            m.d.comb += [after.eq(Mux(self.adds, moved, now)), self.load_number.eq(after)]
            following = Mux(self.loads, self._moved(m, after, "moved_twice"), after)
            moves = self.adds | self.loads
        with m.If(moves):
            m.d.sync += [begun.eq(1), state.eq(following)]
        return m

    def _moved(self, m: Module, state: Value, name: str) -> Signal:
        """Return the content after one number's shifts."""
        # -- Move: by as many positions as a number has bits
        moved = Signal(self._lfsr.width, name=name)
        bits = list(state)
        for _ in range(self._bits):
            bits = [reduce(xor, (bits[tap - 1] for tap in self._lfsr.taps)), *bits[:-1]]
        m.d.comb += moved.eq(Cat(*bits))
        return moved
