"""The scale of a layer: the mean of its bins' largest magnitudes."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.compress.spec import CompressSpec
from macgen.rtl.parts.bits import extend


class Mean(wiring.Component):
    """Add up a layer's bins, and divide by their number: a bit of the quotient a cycle, rounded to nearest even.

    The next layer's bins are added meanwhile; its last one has to wait until the quotient is taken.

    Members:
        add: a bin is added.
        largest: its largest magnitude.
        last: it is the layer's last one.
        ready: there is a quotient.
        mean: it.
        taken: it is taken.
    """

    def __init__(self, spec: CompressSpec) -> None:
        self._spec = spec
        super().__init__(
            {
                "add": In(1),
                "largest": In(spec.width),
                "last": In(1),
                "ready": Out(1),
                "mean": Out(spec.width),
                "taken": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = self._spec.width
        count_bits = self._spec.most_bins.bit_length()
        total_bits = width + count_bits

        # -- Add up: magnitudes and bins of this layer
        total = Signal(total_bits)
        count = Signal(count_bits)
        next_total = Signal(total_bits)
        next_count = Signal(count_bits)
        m.d.comb += [next_total.eq(total + extend(self.largest, total_bits)), next_count.eq(count + 1)]
        with m.If(self.add):
            m.d.sync += [total.eq(Mux(self.last, 0, next_total)), count.eq(Mux(self.last, 0, next_count))]

        # -- Divide: the remainder takes one bit of the total a cycle; quotient bits follow where those were
        steps = Signal(range(width + 1))
        busy = Signal()
        done = Signal()
        divisor = Signal(count_bits, reset_less=True)
        remainder = Signal(count_bits, reset_less=True)
        bits = Signal(width, reset_less=True)
        trial = Signal(count_bits + 1)
        fits = Signal()
        rest = Signal(count_bits + 1)
        m.d.comb += [
            trial.eq(Cat(bits[-1], remainder)),
            fits.eq(trial >= extend(divisor, count_bits + 1)),
            rest.eq(trial - Mux(fits, extend(divisor, count_bits + 1), Const(0, count_bits + 1))),
            busy.eq(steps.any()),
        ]
        with m.If(self.add & self.last):
            m.d.sync += [
                steps.eq(width),
                divisor.eq(next_count),
                remainder.eq(next_total[width:]),
                bits.eq(next_total[:width]),
            ]
        with m.Elif(busy):
            m.d.sync += [steps.eq(steps - 1), remainder.eq(rest[:count_bits]), bits.eq(Cat(fits, bits[:-1]))]
        m.d.sync += done.eq((busy & (steps == 1)) | (done & ~self.taken))

        # -- Round: to nearest, ties to even
        twice = Signal(count_bits + 1)
        up = Signal()
        m.d.comb += [
            twice.eq(Cat(Const(0, 1), remainder)),
            up.eq((twice > extend(divisor, len(twice))) | ((twice == extend(divisor, len(twice))) & bits[0])),
            self.mean.eq(bits + extend(up, width)),
            self.ready.eq(done),
        ]
        return m
