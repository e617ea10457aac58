"""The tests of an array whose modes change while it runs; cocotb runs them beside those of test_mac."""

from collections.abc import Sequence
from typing import Any

import cocotb

from sim.addends import Aim, Place
from sim.bench import Bench
from sim.corners import corners, spread, to_tiles
from sim.modes import in_mode
from sim.operands import KINDS, Kind, Tile, random_length, random_tile, random_tiles, special_tiles

MOST_OF_A_CORNER = 200
"""Elements up to which corners are driven in each mode."""


@cocotb.test()
async def corners_in_modes(dut: Any) -> None:
    """In each mode but full its special codes, and the corners of what it rounds to."""
    async with await Bench.start(dut, "corners_in_modes") as bench:
        for mode in range(1, len(bench.spec.mode_names)):
            spec = bench.spec.mode(mode)
            tiles = [*special_tiles(spec), *random_tiles(spec, bench.rng, 8, 5, ["special", "lengths"])]
            places: list[Place] = ["steps"]
            places += ["folds"] * (spec.chunk is not None or spec.has_outer_adder)
            places += ["results"] * (spec.out_format != spec.outer_format)
            for place in places:
                by_chunks = Aim(spec, place).by_chunks
                apart = spec.chunk if by_chunks and spec.chunk is not None else 1
                most = MOST_OF_A_CORNER // apart if spec.chunk is not None or not by_chunks else 1  # 1: the only chunk
                found = [corner for corner in corners(spec, place) if corner.length <= most]
                tiles += to_tiles(spec, [spread(spec, corner, apart) if apart > 1 else corner for corner in found])
            await bench.run(bench.affordable(in_mode(tiles, mode)))


@cocotb.test()
@cocotb.parametrize((("gap", "back_pressure"), [(0, 0), (0.3, 0.6), (0, 0.9)]))
async def modes_tile_by_tile(dut: Any, gap: float, back_pressure: float) -> None:
    """Random tiles, each in a mode of its own, under back-pressure; some are dropped unfinished with theirs."""
    async with await Bench.start(dut, f"modes_tile_by_tile {gap} {back_pressure}") as bench:
        spec, rng = bench.spec, bench.rng
        bench.driver.gap_a, bench.driver.gap_b, bench.monitor.back_pressure = gap, gap, back_pressure

        def any_tile(kinds: Sequence[Kind]) -> Tile:
            mode = int(rng.integers(len(spec.mode_names)))
            length = random_length(rng, spec.chunk, 60)
            kind = kinds[int(rng.integers(len(kinds)))]
            return next(in_mode([random_tile(spec.mode(mode), rng, length, kind)], mode))

        for index in range(2 * bench.tiles):
            if index % 5 == 4:
                bench.send_unfinished(any_tile(["finite"]))
            bench.send(any_tile(KINDS))
        await bench.run()
