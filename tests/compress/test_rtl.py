"""Parts of the hardware in Amaranth's simulator, where all of their inputs can be tried."""

from itertools import pairwise

import pytest
from amaranth.sim import Simulator

from macgen.compress import CompressSpec
from macgen.compress.definition import Kept, compress, residue
from macgen.compress.rtl import Compressor
from macgen.compress.rtl.element import Residue
from macgen.compress.rtl.mean import Mean


def run(component, bench, clocked=True):
    simulator = Simulator(component)
    if clocked:
        simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_every_mean_of_a_small_format():
    spec = CompressSpec("int3", 1, most_bins=7, learners=0)
    mean, found, expected = Mean(spec), [], []

    async def bench(ctx):
        for count in range(1, 8):
            for total in range(4 * count + 1):
                values = [total // count + (place < total % count) for place in range(count)]
                kept = [Kept()] * count
                expected.append(compress(spec, kept, 0, [-value for value in values]).scale)
                for place, value in enumerate(values):
                    ctx.set(mean.add, 1)
                    ctx.set(mean.largest, value)
                    ctx.set(mean.last, place == count - 1)
                    await ctx.tick()
                ctx.set(mean.add, 0)
                await ctx.tick().until(mean.ready)
                found.append(ctx.get(mean.mean))
                ctx.set(mean.taken, 1)
                await ctx.tick()
                ctx.set(mean.taken, 0)
                assert not ctx.get(mean.ready)

    run(mean, bench)
    assert found == expected
    assert len(found) == sum(4 * count + 1 for count in range(1, 8))


def test_every_residue_of_a_small_format():
    unit = Residue(CompressSpec("int4", 1))

    async def bench(ctx):
        for kept in range(-8, 8):
            for sent in (False, True):
                for scale in range(9):
                    ctx.set(unit.kept, kept)
                    ctx.set(unit.sent, sent)
                    ctx.set(unit.scale, scale)
                    await ctx.delay(1e-9)
                    assert ctx.get(unit.rest) == residue(Kept(kept, sent), scale)

    run(unit, bench, clocked=False)


@pytest.mark.parametrize("width", [4, 9])
def test_layers_of_one_element_end_width_and_three_cycles_apart(width):
    unit, ends = Compressor(CompressSpec(f"int{width}", 4, learners=0, most_bins=3)), []

    async def bench(ctx):
        for port in ("kept_ready", "out_ready", "in_valid", "in_last", "in_gradient"):
            ctx.set(getattr(unit, port), 1)
        for cycle in range(6 * width + 40):
            if ctx.get(unit.out_valid):
                ends.append(cycle)
            await ctx.tick()

    run(unit, bench)
    assert {after - before for before, after in pairwise(ends)} == {width + 3}
