"""Members of interface objects: driven, selected, and kept in registers that say what they hold."""

from types import SimpleNamespace

import pytest
from amaranth.hdl import Const, Fragment, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from macgen.rtl.parts.interfaces import clock_in, connect_members, delayed_members, member, registers, select
from macgen.rtl.parts.pipeline import PipelineRegisters

PAIR = wiring.Signature({"number": Out(4), "nan": Out(1)})


class Picked(wiring.Component):
    """One of two pairs, the second of which has no `nan`, at once and two cycles later."""

    def __init__(self):
        super().__init__({"x": In(PAIR), "y": In(4), "pick_x": In(1), "now": Out(PAIR), "later": Out(PAIR)})

    def elaborate(self, platform):
        m = Module()
        picked = select(self.pick_x, self.x, SimpleNamespace(number=self.y), PAIR)
        connect_members(m, self.now, picked)
        first = registers(PAIR, "first")
        clock_in(m, first, picked)
        connect_members(m, self.later, delayed_members(m, "second", first, PAIR, 1))
        return m


def test_a_member_that_is_left_out_counts_as_0():
    dut = Picked()
    seen = []

    async def testbench(ctx):
        for number, nan, y, pick in [(5, 1, 9, 1), (6, 1, 10, 0), (7, 0, 11, 1), (0, 0, 12, 0)]:
            ctx.set(dut.x.number, number)
            ctx.set(dut.x.nan, nan)
            ctx.set(dut.y, y)
            ctx.set(dut.pick_x, pick)
            now, later = ((ctx.get(pair.number), ctx.get(pair.nan)) for pair in (dut.now, dut.later))
            seen.append((now, later))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert [now for now, _ in seen] == [(5, 1), (10, 0), (7, 0), (12, 0)]
    assert [later for _, later in seen] == [(0, 0), (0, 0), (5, 1), (10, 0)]
    assert isinstance(member(dut.x, "sign"), Const)


@pytest.mark.parametrize("parts", [(), ("aligned",), ("aligned", "added")])
def test_registers_stand_after_the_named_parts(parts):
    m = Module()
    pipeline = PipelineRegisters(m, parts, {"nan": Signal(name="nan")})
    (aligned,) = pipeline.after("aligned", smaller=Signal(3, name="smaller"))
    (added,) = pipeline.after("added", sum=Signal(5, name="sum"))
    assert aligned.name == ("aligned_smaller" if "aligned" in parts else "smaller")
    assert added.name == ("added_sum" if "added" in parts else "sum")
    assert pipeline.carried["nan"].name == (f"{parts[-1]}_nan" if parts else "nan")
    Fragment.get(m, None)
