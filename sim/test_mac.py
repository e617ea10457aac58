"""The tests of a MAC array; cocotb runs them inside the simulator, on the bundle that MACGEN_BUNDLE names."""

from collections.abc import Iterator
from typing import Any

import cocotb

from sim.addends import Aim, Place
from sim.bench import Bench
from sim.corners import MOST_REPEATS, Corner, corners, spread, to_tiles
from sim.operands import (
    KINDS,
    chunks_of,
    length_tiles,
    random_length,
    random_tile,
    random_tiles,
    special_tiles,
    steps_of,
)


@cocotb.test()
async def idle_after_reset(dut: Any) -> None:
    """An array that is given nothing answers nothing, whatever stands on its data ports."""
    async with await Bench.start(dut, "idle_after_reset") as bench:
        for _ in range(bench.manifest.latency + bench.spec.rows * bench.spec.interleave + 20):
            await bench.cycle()
            assert not bench.monitor.valid, "a result is offered though no operand was"


@cocotb.test()
async def special_codes(dut: Any) -> None:
    """Every special code of a times every one of b, then short sums of special codes."""
    async with await Bench.start(dut, "special_codes") as bench:
        await bench.run(bench.affordable(special_tiles(bench.spec)))
        tiles = random_tiles(bench.spec, bench.rng, max(20, bench.tiles // 2), 5, ["special", "lengths"])
        await bench.run(bench.affordable(tiles))


@cocotb.test()
async def corner_steps(dut: Any) -> None:
    """Ties, cancellation, swamping, overflow and underflow, built against the accumulator, by steps."""
    async with await Bench.start(dut, "corner_steps") as bench:
        spec = bench.spec
        note_overflow_out_of_reach(bench)
        # With scales of lanes each product has its own, and needs a step; those that share one have scales of 1.
        unscaled = spec
        if spec.scales_lanes:
            unscaled = spec.replace(modes=(), scale=None, scale_place="outer", scale_block=None, lane_sum="fused")
        found = list(corners(unscaled))
        if spec.lanes > 1 or spec.scales_lanes:  # one product a step, in each lane in turn; above they share steps
            apart = enumerate(corners(spec))
            found += [spread(spec, corner, spec.lanes, index % spec.lanes) for index, corner in apart]
        await bench.run(bench.affordable(to_tiles(spec, found)))


def note_overflow_out_of_reach(bench: Bench) -> None:
    """Say so if no corner makes the accumulator overflow."""
    spec, count = bench.spec, Aim(bench.spec, "steps").repeats
    if spec.has_outer_adder and spec.chunk is not None and count > spec.chunk:
        bench.note(f"overflow of acc cannot be reached: {count} of the largest products are more than a chunk")
    elif count > MOST_REPEATS:
        bench.note(f"overflow not reached: {count} of the largest products are needed")


@cocotb.test()
async def corner_folds(dut: Any) -> None:
    """The same corners against the outer accumulator, by folds: one product a chunk, zeros for the rest of it."""
    async with await Bench.start(dut, "corner_folds") as bench:
        spec = bench.spec
        if spec.chunk is not None or spec.has_outer_adder:
            await run_corners(bench, "folds")


@cocotb.test()
async def corner_results(dut: Any) -> None:
    """The same corners against the format of the results, where they have one of their own."""
    async with await Bench.start(dut, "corner_results") as bench:
        if bench.spec.out_format != bench.spec.outer_format:
            await run_corners(bench, "results")


async def run_corners(bench: Bench, place: Place) -> None:
    """Run as many of the corners for folds or results as a test may take, one product a chunk or step."""
    spec, chunk = bench.spec, bench.spec.chunk
    if not Aim(spec, place).by_chunks:
        apart, most = spec.lanes, bench.settings.longest // spec.lanes
    elif chunk is None:
        apart, most = 1, 1
    else:
        apart, most = chunk, bench.settings.longest // chunk + 1
    left, chosen = 1000 * bench.tiles, list[Corner]()
    found = [corner for corner in corners(spec, place) if corner.length <= most]
    if chunk is not None and not spec.has_outer_adder:  # the first chunk's sum is copied
        found = [corner for corner in found if corner.length > 1]
    for index in bench.rng.permutation(len(found)):
        steps = ((found[index].length - 1) * apart + 1) * max(spec.rows, spec.cols)
        if steps <= left:
            left -= steps
            chosen.append(spread(spec, found[index], apart))
    if not chosen:
        bench.note(f"corners by {place} left out: chunks of {chunk} are too long to fill several")
    await bench.run(bench.affordable(to_tiles(spec, chosen)))


@cocotb.test()
async def boundary_lengths(dut: Any) -> None:
    """Dot products that end just before, at and after the ends of chunks."""
    async with await Bench.start(dut, "boundary_lengths") as bench:
        spec, longest = bench.spec, bench.settings.longest
        if spec.chunk is not None and spec.chunk >= longest:
            bench.note(f"chunk boundaries not reached: chunks of {spec.chunk} exceed the longest tile of {longest}")
        await bench.run(bench.affordable(length_tiles(spec, bench.rng, longest)))


@cocotb.test()
async def random_at_full_speed(dut: Any) -> None:
    """Random tiles back to back, without gaps or back-pressure."""
    async with await Bench.start(dut, "random_at_full_speed") as bench:
        tiles = random_tiles(bench.spec, bench.rng, bench.tiles, bench.settings.longest)
        await bench.run(bench.affordable(tiles))


@cocotb.test()
@cocotb.parametrize(
    (("gap_a", "gap_b", "back_pressure"), [(0.5, 0.5, 0), (0, 0.8, 0.3), (0.8, 0, 0.5), (0.3, 0.3, 0.7), (0, 0, 0.95)])
)
async def random_with_gaps(dut: Any, gap_a: float, gap_b: float, back_pressure: float) -> None:
    """Random tiles with random gaps in the operands and random back-pressure on the results."""
    async with await Bench.start(dut, f"random_with_gaps {gap_a} {gap_b} {back_pressure}") as bench:
        bench.driver.gap_a, bench.driver.gap_b, bench.monitor.back_pressure = gap_a, gap_b, back_pressure
        tiles = random_tiles(bench.spec, bench.rng, max(6, bench.tiles // 6), bench.settings.longest)
        await bench.run(bench.affordable(tiles))


@cocotb.test()
async def latency_and_throughput(dut: Any) -> None:
    """The cycles that the manifest promises: latency of a tile, and cycles that a stream of tiles takes."""
    async with await Bench.start(dut, "latency_and_throughput") as bench:
        spec = bench.spec
        short = (1, 2, spec.lanes, spec.lanes + 1)
        for length in (*short, *((spec.chunk, spec.chunk + 1) if spec.chunk is not None and spec.chunk < 1000 else ())):
            bench.send(random_tile(spec, bench.rng, length, "finite"))
            await bench.run_until(lambda: bench.driver.just_finished)
            taken_at = bench.cycles
            await bench.run_until(lambda: bench.monitor.valid)
            latency = bench.cycles - taken_at
            least = bench.manifest.latency
            assert least <= latency <= least + bench.waits, (
                f"K={length}: the first result came {latency} cycles after the last operand, the manifest says {least}"
            )
            await bench.run()
        # Longer than results need to come out, so that no tile has to wait for the one before.
        least = (bench.manifest.latency + spec.rows + 2) * spec.lanes
        lengths = [least + random_length(bench.rng, spec.chunk, 200) for _ in range(8)]
        for length in lengths:
            bench.send(random_tile(spec, bench.rng, length, "finite"))
        beats = bench.driver.waiting
        started = bench.driver.accepted
        await bench.run_until(lambda: bench.driver.accepted > started)
        begun = bench.cycles
        await bench.run_until(lambda: not bench.driver.waiting)
        took, promised = bench.cycles - begun, beats - 1 + bubbles(bench, lengths)
        slack = bench.buffered + bench.waits
        assert promised - slack <= took <= promised + slack, (
            f"{beats} beats of {len(lengths)} rounds took {took} cycles, promised are {promised}"
        )
        await bench.run()


def bubbles(bench: Bench, lengths: list[int]) -> int:
    """Return the cycles that a stream of rounds loses between chunks; what follows the last beat does not count."""
    spec = bench.spec
    # The random numbers of all turns' folds come before those of any turn's next step.
    overlaps = spec.fold == "overlap" and not (spec.interleave > 1 and spec.random_place == "steps")
    if overlaps or spec.chunk is None or spec.has_outer_adder:
        return 0
    return spec.interleave * (sum(chunks_of(spec, length) for length in lengths) - 1)


@cocotb.test()
async def output_stall(dut: Any) -> None:
    """With the results of one round refused, the next one streams in up to its last beats, and nothing is lost."""
    async with await Bench.start(dut, "output_stall") as bench:
        spec, turns = bench.spec, bench.spec.interleave
        for length in (1, spec.rows + 3, (spec.chunk or 7) + 1):
            if length > bench.settings.longest:
                continue
            tiles = [random_tile(spec, bench.rng, length, "finite") for _ in range(3)]
            started = bench.driver.accepted
            bench.monitor.back_pressure = 1.0
            for tile in tiles:
                bench.send(tile)
            steps = steps_of(spec, length)
            for _ in range(turns * (4 * steps + 3 * spec.rows) + bench.manifest.latency + 50):
                await bench.cycle()
            # Results that a register slice holds have left the core, and operands in one have not been taken by it.
            left = bench.buffered // (turns * spec.rows)
            everything = len(tiles) * turns * steps
            taken = bench.driver.accepted - started
            wanted = min(turns * ((2 + left) * steps - 1) + bench.buffered, everything)
            assert taken == wanted, (
                f"K={length}: with the results refused the array took {taken} beats; it has to take one round and the "
                f"next one up to its last beats, {wanted}"
            )
            bench.monitor.back_pressure = 0.2
            await bench.run()
            taken, wanted = bench.driver.accepted - started, everything
            assert taken == wanted, f"K={length}: the array took {taken} beats of three rounds, {wanted}"


@cocotb.test()
async def restart_by_mark(dut: Any) -> None:
    """A beat marked first drops the sums that are unfinished, their flags too."""
    async with await Bench.start(dut, "restart_by_mark") as bench:
        spec = bench.spec
        for index, length in enumerate(unfinished_lengths(bench, 8)):
            kind = KINDS[index % len(KINDS)]
            bench.driver.gap_a = bench.driver.gap_b = (0.0, 0.3)[index % 2]
            bench.send_unfinished(random_tile(spec, bench.rng, length, kind))
            bench.send(random_tile(spec, bench.rng, random_length(bench.rng, spec.chunk, 40), "finite"))
        await bench.run()


@cocotb.test()
async def first_without_mark(dut: Any) -> None:
    """The beat after a last one, and the one after a reset, start new sums without being marked."""
    async with await Bench.start(dut, "first_without_mark") as bench:
        spec = bench.spec
        for _ in range(3):
            for _ in range(5):
                length = random_length(bench.rng, spec.chunk, 100)
                bench.send(random_tile(spec, bench.rng, length, "finite"), mark_first=False)
            await bench.run()
            await bench.reset(1)


@cocotb.test()
@cocotb.parametrize(moment=["streaming", "in_flight", "waiting", "half_taken"])
async def reset_in_operation(dut: Any, moment: str) -> None:
    """A reset at any moment clears sums, marks, flags and results in flight; the next tile is right."""
    async with await Bench.start(dut, f"reset_in_operation {moment}") as bench:
        spec = bench.spec
        for index in range(4):
            bench.monitor.back_pressure = {"waiting": 1.0, "half_taken": 0.5}.get(moment, 0.0)
            bench.driver.gap_a = bench.driver.gap_b = (0.0, 0.4)[index % 2]
            for _ in range(2):
                length = random_length(bench.rng, spec.chunk, 100)
                bench.send(random_tile(spec, bench.rng, length, KINDS[index % len(KINDS)]))
            await reach(bench, moment)
            await bench.reset(1 + index % 3)
            bench.monitor.back_pressure = 0.0
            length = random_length(bench.rng, spec.chunk, 100)
            bench.send(random_tile(spec, bench.rng, length, "finite"), mark_first=bool(index % 2))
            await bench.run()


async def reach(bench: Bench, moment: str) -> None:
    """Pass cycles until a moment in which a reset finds something to clear."""
    driver, monitor, rows = bench.driver, bench.monitor, bench.spec.rows
    match moment:
        case "streaming":
            later = int(bench.rng.integers(0, driver.waiting + 1))
        case "in_flight":
            await bench.run_until(lambda: driver.just_finished)
            later = int(bench.rng.integers(0, bench.manifest.latency + 1))
        case "waiting":
            await bench.run_until(lambda: monitor.valid)
            later = int(bench.rng.integers(0, 5))
        case _:
            wanted = monitor.taken + int(bench.rng.integers(1, max(rows, 2)))
            await bench.run_until(lambda: monitor.taken >= wanted)
            later = 0
    for _ in range(later):
        await bench.cycle()


@cocotb.test()
async def reset_while_offering(dut: Any) -> None:
    """What stands on the streams during a reset is not taken, and comes first afterwards."""
    async with await Bench.start(dut, "reset_while_offering") as bench:
        spec = bench.spec
        for _ in range(10):
            dropped, rest = (
                [random_tile(spec, bench.rng, length, "finite") for _ in range(spec.interleave)]
                for length in bench.rng.integers(1, 20 * spec.lanes, 2).tolist()
            )
            before = bench.beats(dropped, finish=False)
            bench.send_starts(dropped)
            # Without a mark of its own: to the array it is what goes on, but for the reset.
            after = bench.beats(rest, mark_first=False)
            bench.driver.send([*before, *([] if bench.buffered else after)])
            started = bench.driver.accepted
            while bench.driver.accepted - started < len(before):
                await bench.cycle()
            if bench.buffered:  # where one stream may be ahead of the other, both wait for each other here
                bench.driver.send(after)
                await bench.cycle()
            await bench.reset(2, keep_offering=True)
            assert bench.driver.accepted - started == len(before)
            bench.expect(rest)
            await bench.run()


def unfinished_lengths(bench: Bench, count: int) -> Iterator[int]:
    """Yield lengths at which sums are dropped: about the ends of the first chunks, and random ones."""
    chunk = bench.spec.chunk
    yield from (1, 2)
    if chunk is not None and chunk < 1000:
        yield from (length for length in (chunk - 1, chunk, chunk + 1, 2 * chunk, 2 * chunk + 1) if length > 0)
    for _ in range(count):
        yield random_length(bench.rng, chunk, 150)
