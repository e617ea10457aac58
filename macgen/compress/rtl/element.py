"""What becomes of one element on its way into the buffer: residue, accumulated gradient, magnitudes."""

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.compress.spec import CompressSpec
from macgen.rtl.parts.bits import add_with_carry, extend
from macgen.rtl.parts.hierarchy import submodule

STAGES = 3
"""Registers of an element's way."""


class Residue(wiring.Component):
    """What is left of an element once it was sent: it goes toward 0 by the scale, and may pass 0.

    Members:
        kept: accumulated gradient of the last step.
        sent: whether it was sent.
        scale: of the last step.
        rest: what is left.
    """

    def __init__(self, spec: CompressSpec) -> None:
        super().__init__(
            {
                "kept": In(signed(spec.width)),
                "sent": In(1),
                "scale": In(spec.width),
                "rest": Out(signed(spec.width)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = len(self.kept)

        # -- Subtract: the scale with the sign of what was kept, if it was sent; it fits, as the signs agree
        negative = Signal()
        taken = Signal()
        addend = Signal(width)
        m.d.comb += [
            negative.eq(self.kept[-1]),
            taken.eq(self.sent & self.kept.any()),
            addend.eq((self.scale ^ (~negative).replicate(width)) & taken.replicate(width)),
            self.rest.eq(add_with_carry(self.kept.as_unsigned(), addend, taken & ~negative)),
        ]
        return m


class Element(wiring.Component):
    """One element from the ports to the buffer: three register stages, which move together.

    Members:
        move: the registers take the next values.
        kept, sent, scale: of the last step.
        gradient: the new one.
        code: accumulated gradient.
        overflow: it is the end of the range.
        magnitude: its magnitude.
        ahead: magnitude of its sum with the gradient, which decides whether it is sent.
    """

    def __init__(self, spec: CompressSpec) -> None:
        self._spec = spec
        super().__init__(
            {
                "move": In(1),
                "kept": In(spec.width),
                "sent": In(1),
                "scale": In(spec.width),
                "gradient": In(spec.width),
                "code": Out(spec.width),
                "overflow": Out(1),
                "magnitude": Out(spec.width),
                "ahead": Out(spec.width + 1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = self._spec.width

        # -- Residue: what the last step left
        residue = submodule(m, platform, "residue", "residue", lambda: Residue(self._spec))
        m.d.comb += [residue.kept.eq(self.kept), residue.sent.eq(self.sent), residue.scale.eq(self.scale)]
        left = Signal(signed(width), reset_less=True)
        new = Signal(signed(width), name="brought", reset_less=True)
        with m.If(self.move):
            m.d.sync += [left.eq(residue.rest), new.eq(self.gradient)]

        # -- Accumulate: the new gradient is added; outside the range it is the end of the range
        exact = Signal(signed(width + 1))
        outside = Signal()
        end = Signal(width, name="end_of_range")
        code = Signal(signed(width), name="accumulated", reset_less=True)
        overflow = Signal(name="was_outside", reset_less=True)
        added = Signal(signed(width), reset_less=True)
        m.d.comb += [
            exact.eq(extend(left, width + 1) + extend(new, width + 1)),
            outside.eq(exact[-1] ^ exact[-2]),
            end.eq(exact[-1].replicate(width) ^ Const((1 << width - 1) - 1, width)),
        ]
        with m.If(self.move):
            m.d.sync += [code.eq(Mux(outside, end, exact[:width])), overflow.eq(outside), added.eq(new)]

        # -- Look ahead: the gradient is added once more; magnitudes of both
        following = Signal(signed(width + 1))
        m.d.comb += following.eq(extend(code, width + 1) + extend(added, width + 1))
        code_out = Signal(width, reset_less=True)
        overflow_out = Signal(reset_less=True)
        magnitude = Signal(width, name="magnitude_out", reset_less=True)
        ahead = Signal(width + 1, name="ahead_out", reset_less=True)
        with m.If(self.move):
            m.d.sync += [
                code_out.eq(code),
                overflow_out.eq(overflow),
                magnitude.eq(_magnitude(code)),
                ahead.eq(_magnitude(following)),
            ]
        m.d.comb += [
            self.code.eq(code_out),
            self.overflow.eq(overflow_out),
            self.magnitude.eq(magnitude),
            self.ahead.eq(ahead),
        ]
        return m


def _magnitude(value: Value) -> Value:
    """Return the magnitude of a signed value, as wide as it: that of the lowest one has the top bit alone."""
    negative = value[-1]
    return (value ^ negative.replicate(len(value))) + extend(negative, len(value))
