"""The tests of an array's counters while it runs; cocotb runs them beside those of test_mac."""

from collections import deque
from typing import Any

import cocotb
import numpy as np

from sim.bench import Bench
from sim.checker import MismatchError
from sim.corners import corners, to_tiles
from sim.model import Expected
from sim.operands import KINDS, random_length, random_tile

LONGEST_CORNER = 40
MOST_CORNERS = 20
"""Tiles with corners of steps: random ones overflow and underflow seldom."""


@cocotb.test()
async def counters_cycle_by_cycle(dut: Any) -> None:
    """In each cycle the counters show what was taken so many cycles before, also where they are cleared just then."""
    async with await Bench.start(dut, "counters_cycle_by_cycle") as bench:
        spec, rng = bench.spec, bench.rng
        assert bench.counters is not None
        assert bench.checker.counters is not None
        late = 1 + (spec.cols - 1).bit_length()
        shown = np.zeros_like(bench.checker.counters.shown)
        coming: deque[Any] = deque([np.zeros(shown.shape, np.int64)] * late)
        clears = False
        sent: deque[Expected] = deque()
        beat = 0
        bench.monitor.back_pressure = 0.3
        of_corners = list(to_tiles(spec, [item for item in corners(spec, "steps") if item.length <= LONGEST_CORNER]))
        tiles = of_corners[:: len(of_corners) // MOST_CORNERS + 1]
        for index in range(min(bench.tiles, 20)):
            tiles.append(random_tile(spec, rng, random_length(rng, spec.chunk, 30), KINDS[index % len(KINDS)]))
        for index, tile in enumerate(tiles):
            expectation = bench.expect(tile)
            sent.append(expectation)
            bench.driver.send(bench.beats(expectation.tiles))
            if index % 4 == 3:
                bench.send_unfinished(random_tile(spec, rng, random_length(rng, spec.chunk, 10), "finite"))
        bench.send(random_tile(spec, rng, 1, "finite"))
        while sent:
            taken = bench.monitor.taken
            await bench.cycle()
            got = bench.counters.read()
            if (got != shown).any():
                raise MismatchError(
                    f"cycle {bench.cycles}: the counters show {got.tolist()}, expected {shown.tolist()}"
                )
            added = np.zeros(shown.shape, np.int64)
            if bench.monitor.taken != taken:
                row, turn = divmod(beat, spec.interleave)
                counts = sent[0].counts
                assert counts is not None
                added = bench.checker.counters.of_beat(counts[turn, row])
                beat += 1
                if beat == spec.rows * spec.interleave:
                    sent.popleft()
                    beat = 0
            coming.append(added)
            shown = bench.checker.counters.after(np.zeros_like(shown) if clears else shown, coming.popleft())
            clears = bool(rng.random() < 0.2)
            bench.counters.clear(on=clears)
        bench.counters.clear(on=True)
        await bench.run_until(lambda: not bench.checker.pending and not bench.driver.waiting)
        for _ in range(late + 1):
            await bench.cycle()
        bench.counters.clear(on=False)
        bench.checker.counters.clear()
        await bench.run()
