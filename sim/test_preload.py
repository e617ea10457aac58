"""The tests of preloaded accumulators; cocotb runs them inside the simulator, beside those of every array."""

from typing import Any

import cocotb

from sim.bench import Bench
from sim.driver import ProtocolError
from sim.operands import KINDS, random_length, random_tile, random_tiles, start_tiles
from sim.starts import StartDriver, start_words


def starts_of_bench(bench: Bench) -> StartDriver:
    """Return the driver of stream d."""
    assert bench.starts is not None
    return bench.starts


@cocotb.test()
async def special_start_values(dut: Any) -> None:
    """Every special code starts sums."""
    async with await Bench.start(dut, "special_start_values") as bench:
        await bench.run(bench.affordable(start_tiles(bench.spec, bench.rng)))


@cocotb.test()
@cocotb.parametrize(
    (("gap_a", "gap_d", "back_pressure"), [(0.0, 0.9, 0.0), (0.5, 0.5, 0.5), (0.9, 0.0, 0.0), (0.0, 0.3, 0.8)])
)
async def start_values_with_gaps(dut: Any, gap_a: float, gap_d: float, back_pressure: float) -> None:
    """Start values before and after their operands, with back-pressure on the results."""
    async with await Bench.start(dut, f"start_values_with_gaps {gap_a} {gap_d} {back_pressure}") as bench:
        bench.driver.gap_a, starts_of_bench(bench).gap, bench.monitor.back_pressure = gap_a, gap_d, back_pressure
        tiles = random_tiles(bench.spec, bench.rng, max(8, bench.tiles // 4), 40)
        await bench.run(bench.affordable(tiles))


@cocotb.test()
async def operands_wait_for_start_values(dut: Any) -> None:
    """No beat starts dot products before all their start values are there, and none of the next is taken too early."""
    async with await Bench.start(dut, "operands_wait_for_start_values") as bench:
        spec, starts = bench.spec, starts_of_bench(bench)
        beats = spec.rows * spec.interleave
        for _ in range(4):
            tiles = [random_tile(spec, bench.rng, 3, "finite") for _ in range(spec.interleave)]
            held = start_words(spec, tiles)
            bench.expect(tiles)
            starts.drop()
            bench.driver.send(bench.beats(tiles))
            taken, given = bench.driver.accepted, starts.accepted
            for count in range(beats):
                for _ in range(3):
                    await bench.cycle()
                if bench.driver.accepted != taken:
                    raise ProtocolError(
                        f"a beat that starts dot products was taken with {count} of {beats} start values"
                    )
                starts.send(held[count : count + 1])
            await bench.run()
            # Those of one more round are taken, and then no others.
            starts.send(held * 2)
            for _ in range(3 * beats + 10):
                await bench.cycle()
            if starts.accepted - given != 2 * beats:
                raise ProtocolError(f"{starts.accepted - given} start values were taken, of two rounds {2 * beats}")
            await bench.reset(1)


@cocotb.test()
async def start_values_and_resets(dut: Any) -> None:
    """A reset drops start values that were taken and not used up; a dot product that is dropped has used up its own."""
    async with await Bench.start(dut, "start_values_and_resets") as bench:
        spec, starts = bench.spec, starts_of_bench(bench)
        for index in range(6):
            tiles = [random_tile(spec, bench.rng, 2, "finite") for _ in range(spec.interleave)]
            bench.send_starts(tiles)
            for _ in range(int(bench.rng.integers(1, spec.rows * spec.interleave + 3))):
                await bench.cycle()
            await bench.reset(1)
            starts.gap = (0.0, 0.4)[index % 2]
            length = random_length(bench.rng, spec.chunk, 40)
            bench.send_unfinished(random_tile(spec, bench.rng, length, KINDS[index % len(KINDS)]))
            bench.send(random_tile(spec, bench.rng, length, "finite"))
            await bench.run()
