"""When an array takes start values: no cycle is lost to those that come in time."""

import pytest
from amaranth.sim import Simulator

from macgen import MacSpec
from macgen.rtl import ArrayCore, Design

PLAIN = {"a": "int4", "b": "int4", "acc": "int12"}
SPECS = {
    "2 x 2": MacSpec(**PLAIN, rows=2, cols=2),
    "3 x 1, chunks": MacSpec(**PLAIN, rows=3, cols=1, chunk=4),
    "1 x 4, stages": MacSpec(**PLAIN, rows=1, cols=4, pipeline=3),
    "turns, outer": MacSpec(**PLAIN, rows=2, cols=1, chunk=2, outer="fix14.2", interleave=2, pipeline=2),
}


def cycles(spec, beats, tiles=6):
    """Return the cycles from the first beat taken to the last one of so many tiles, or rounds, of so many beats."""
    core, found = ArrayCore(Design(spec)), []

    async def bench(ctx):
        for port in [core.a_valid, core.b_valid, core.c_ready, *([core.d_valid] if spec.preload else [])]:
            ctx.set(port, 1)
        taken, passed = 0, 0
        while taken < tiles * beats * spec.interleave:
            ctx.set(core.a_last, taken // spec.interleave % beats == beats - 1)
            taken += (accepted := ctx.get(core.a_ready))
            passed += accepted or taken > 0
            await ctx.tick()
        found.append(passed)

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found[0]


@pytest.mark.parametrize("name", SPECS)
def test_start_values_in_time_cost_no_cycle(name):
    spec = SPECS[name]
    for beats in (1, 2, 2 * spec.rows + spec.cols, 16):
        assert cycles(spec.replace(preload=True), beats) == cycles(spec, beats)


def test_tiles_that_have_as_many_beats_as_results_take_lose_no_cycle():
    spec = SPECS["2 x 2"].replace(preload=True)
    assert cycles(spec, 7) == 6 * 7
    assert cycles(spec, 6) > 6 * 6
