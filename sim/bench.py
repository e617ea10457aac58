"""Joins clock, reset, driver, monitor, golden model and checker about one array."""

import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Self

import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import Timer

from macgen import golden
from macgen.bundle.manifest import Manifest, load_manifest
from macgen.spec_fields import Interface, Reset, ResetActive
from sim.checker import Checker, MismatchError
from sim.counters import CounterPorts
from sim.driver import Beat, Driver, ProtocolError, beats_of
from sim.model import Expected, expected, golden_steps
from sim.modes import in_mode
from sim.monitor import Monitor
from sim.operands import Tile, random_tile, steps_of
from sim.ports import stream_ports
from sim.settings import Settings
from sim.starts import StartDriver, start_words

CLOCK_PERIOD_NS = 10
PATIENCE = 2000
DEFAULT_TILES = 40
LEAST_TILES = 10
STANDSTILLS = 0.15
"""How often, with a clock enable, another clock edge passes without it."""
PES_OF_DEFAULT_TILES = 16


@dataclass
class Statistics:
    """What all tests of this simulation did together."""

    tests: int = 0
    tiles: int = 0
    comparisons: int = 0
    beats: int = 0
    cycles: int = 0
    notes: list[str] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write them as JSON."""
        temporary = path.with_name(f"{path.name}.part")
        temporary.write_text(json.dumps(asdict(self)), encoding="utf-8")
        temporary.replace(path)


STATISTICS = Statistics()


class Bench:
    """One test's testbench; `start` makes it, the test feeds it tiles, and leaving the `async with` block counts it.

    The tiles that the array computes at a time, one in each turn, are a round. Where the spec has one turn, a tile
    is a round of its own.

    Attributes:
        settings: what the environment says.
        manifest: the bundle's manifest.
        spec: the array.
        rng: source of random operands, seeded with the setting and the test's name.
        driver: of the operand streams.
        monitor: of the result stream.
        starts: driver of the stream of start values; None: there is none.
        counters: the ports of the array's counters; None: it has none.
        shown: what they showed when they were last compared, by name.
        checker: of the results.
        tiles: random tiles for the main random test.
        cycles: rising clock edges since the start, resets included; not those without the clock enable.
        buffered: beats that each stream holds in its register slice; 0 without one.
        waits: cycles that a beat may wait there: for its turn's slot, and for bubbles.
        draws: random numbers that each register will have given to each turn since the last reset after all that was
            sent.
    """

    def __init__(self, dut: Any, settings: Settings, manifest: Manifest, test: str) -> None:
        self.settings, self.manifest, self.spec = settings, manifest, manifest.spec
        self._clock, self._reset = getattr(dut, manifest.clock), getattr(dut, manifest.reset)
        self._resets = int(self.spec.reset_level == ResetActive.HIGH)
        self._enable = None if manifest.enable is None else getattr(dut, manifest.enable)
        self._outputs = [getattr(dut, port.name) for port in manifest.ports if port.direction == "output"]
        self._edge = self._clock.rising_edge
        self.rng = np.random.default_rng([settings.seed, zlib.crc32(test.encode())])
        self.checker = Checker(self.spec)
        ports = {name: stream_ports(dut, manifest, name) for name in manifest.streams}
        sliced = self.spec.interface == Interface.AXI_STREAM
        self.buffered = 2 if sliced else 0
        self.waits = 2 * self.spec.interleave if sliced else 0
        self._unseen = Random(int(self.rng.integers(1 << 32)))
        self.driver = Driver(ports["a"], ports["b"], Random(int(self.rng.integers(1 << 32))), together=not sliced)
        self.starts = StartDriver(ports["d"], Random(int(self.rng.integers(1 << 32)))) if self.spec.preload else None
        self.counters = None if self.spec.counters is None else CounterPorts(dut, manifest)
        self.monitor = Monitor(ports["c"], Random(int(self.rng.integers(1 << 32))), self.checker.beat)
        self.cycles = self.draws = 0
        self.shown: dict[str, int] = {}
        by_size = DEFAULT_TILES * PES_OF_DEFAULT_TILES // (self.spec.rows * self.spec.cols)
        default = max(min(by_size, DEFAULT_TILES), LEAST_TILES)
        self.tiles = default if settings.tiles is None else settings.tiles
        dut._log.info(f"seed {settings.seed}, {manifest.name}: {self.spec}")

    @classmethod
    async def start(cls, dut: Any, test: str) -> Self:
        """Read settings and manifest, start the clock and reset the array."""
        settings = Settings.from_environment()
        bench = cls(dut, settings, load_manifest(settings.bundle), test)
        # Driven in C: a coroutine that drives it takes as long as the rest of a cycle.
        Clock(bench._clock, CLOCK_PERIOD_NS, unit="ns", impl="gpi").start()
        await bench.reset()
        return bench

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        STATISTICS.tests += 1
        STATISTICS.tiles += self.checker.tiles
        STATISTICS.comparisons += self.checker.comparisons
        STATISTICS.beats += self.driver.accepted
        STATISTICS.cycles += self.cycles
        if self.settings.statistics is not None:
            STATISTICS.write(self.settings.statistics)

    def note(self, text: str) -> None:
        """Put a sentence about what was left out into the statistics, once."""
        if text not in STATISTICS.notes:
            STATISTICS.notes.append(text)

    # -- operands ------------------------------------------------------------------------------------------------

    def send(self, tiles: Tile | Sequence[Tile] | Expected, *, mark_first: bool = True) -> None:
        """Feed a round and expect its results; random tiles of the same length fill it up."""
        expectation = self.expect(tiles)
        self.driver.send(self.beats(expectation.tiles, mark_first=mark_first))

    def send_unfinished(self, tile: Tile) -> None:
        """Feed a round without the mark `last`; the next one's mark `first` makes the array drop it."""
        tiles = self._filled([tile])
        self.send_starts(tiles)
        self.driver.send(self.beats(tiles, finish=False))
        # To the array the zeros that fill up the last step are elements too: it cannot know that no more come.
        spec = self.spec.mode(tile.mode)
        self.draws += golden.draws(spec, steps_of(spec, tile.length) * spec.lanes, complete=False)

    def send_starts(self, tiles: Sequence[Tile]) -> None:
        """Feed the start values of a round, where the array takes any."""
        if self.starts is not None:
            self.starts.send(start_words(self.spec, tiles))

    def expect(self, tiles: Tile | Sequence[Tile] | Expected) -> Expected:
        """Feed the start values of a round and expect its results.

        They are those that golden computes of it as the next one, unless they are given.
        """
        if isinstance(tiles, Expected):
            expectation = tiles
        else:
            filled = self._filled([tiles] if isinstance(tiles, Tile) else tiles)
            expectation = expected(self.spec, filled, self.draws)
        first = expectation.tiles[0]
        self.draws += golden.draws(self.spec.mode(first.mode), first.length)
        self.checker.expect(expectation)
        self.send_starts(expectation.tiles)
        return expectation

    def _filled(self, tiles: Sequence[Tile]) -> list[Tile]:
        missing = self.spec.interleave - len(tiles)
        spec, length, mode = self.spec.mode(tiles[0].mode), tiles[0].length, tiles[0].mode
        return [*tiles, *in_mode((random_tile(spec, self.rng, length, "finite") for _ in range(missing)), mode)]

    def beats(self, tiles: Sequence[Tile], *, mark_first: bool = True, finish: bool = True) -> list[Beat]:
        """Return the beats of a round."""
        return beats_of(self.spec, tiles, self._unseen, mark_first=mark_first, finish=finish)

    def rounds(self, tiles: Iterable[Tile]) -> Iterator[tuple[Tile, ...]]:
        """Yield rounds of tiles that follow each other, those of equal length and mode together."""
        gathered: list[Tile] = []
        for tile in tiles:
            if gathered and (tile.length, tile.mode) != (gathered[0].length, gathered[0].mode):
                yield tuple(gathered)
                gathered = []
            gathered.append(tile)
            if len(gathered) == self.spec.interleave:
                yield tuple(gathered)
                gathered = []
        if gathered:
            yield tuple(gathered)

    def affordable(self, tiles: Iterable[Tile]) -> Iterator[tuple[Tile, ...]]:
        """Yield rounds while the golden model's budget lasts, passing over those too long for what is left of it."""
        left, skipped = self.settings.budget, 0
        for tiles_of_round in self.rounds(tiles):
            if (steps := sum(golden_steps(self.spec, tile) for tile in tiles_of_round)) <= left:
                left -= steps
                yield tiles_of_round
            else:
                skipped += len(tiles_of_round)
        if skipped:
            self.note(f"{skipped} tiles left out: they exceed the budget of {self.settings.budget} golden steps a test")

    # -- time ----------------------------------------------------------------------------------------------------

    async def cycle(self) -> None:
        """Pass one rising clock edge, and before it those at which the array stands still."""
        await self._stand_still()
        await self._edge
        self.cycles += 1
        try:
            self.driver.step()
            if self.starts is not None:
                self.starts.step()
            self.monitor.step()
        except ValueError as error:
            raise ProtocolError(f"cycle {self.cycles}: a port of the array is neither 0 nor 1 ({error})") from error

    async def edge(self) -> None:
        """Pass one rising clock edge at which others drive the streams."""
        await self._edge
        self.cycles += 1

    async def _stand_still(self) -> None:
        """Without the clock enable, pass edges at which nothing may change."""
        if self._enable is None or self._unseen.random() >= STANDSTILLS:
            return
        self._enable.value = 0
        await self._edge
        before = [str(port.value) for port in self._outputs]
        for _ in range(1 + self._unseen.getrandbits(1)):
            await self._edge
            after = [str(port.value) for port in self._outputs]
            if after != before:
                raise ProtocolError(f"cycle {self.cycles}: an output changed at a clock edge without the clock enable")
        self._enable.value = 1

    async def reset(self, cycles: int = 2, *, keep_offering: bool = False) -> None:
        """Reset the array for some cycles; what was in flight is forgotten.

        An asynchronous reset may also end before any clock edge. Where there is a clock enable, it is low.

        Parameters:
            cycles: edges with the reset active.
            keep_offering: leave valid, data and marks of the operand streams as they are. The beat on offer then
                comes first after the reset.
        """
        self._reset.value = self._resets
        if self._enable is not None:
            self._enable.value = 0
        if not keep_offering:
            self.driver.drop()
        if self.starts is not None:  # also of what is offered: those that were taken are forgotten
            self.starts.drop()
        self.monitor.refuse()
        self.checker.forget()
        self.draws = 0
        if self.spec.reset == Reset.ASYNC and self._unseen.getrandbits(1):
            await Timer(CLOCK_PERIOD_NS / 4, unit="ns")
        else:
            for _ in range(cycles):
                await self._edge
                self.cycles += 1
        self._reset.value = 1 - self._resets
        if self._enable is not None:
            self._enable.value = 1

    async def run(self, rounds: Iterable[Sequence[Tile] | Expected] = ()) -> None:
        """Feed rounds, and pass cycles until everything expected has come out."""
        for tiles in rounds:
            self.send(tiles)
            while self.driver.waiting > 4 * PATIENCE:
                await self.cycle()
        await self.run_until(lambda: not self.checker.pending and not self.driver.waiting)
        for _ in range(self.spec.rows * self.spec.interleave + self.manifest.latency + 4):  # nothing more may come
            await self.cycle()
        await self.check_counters()

    async def check_counters(self) -> None:
        """Compare the counters, where there are any, with those of all results that came; clear them now and then.

        Raises:
            MismatchError: they show something else.
        """
        if self.counters is None or self.checker.counters is None:
            return
        shown, wanted = self.counters.read(), self.checker.counters.shown
        if (shown != wanted).any():
            raise MismatchError(
                f"the counters of steps and folds show {shown.tolist()}, expected {wanted.tolist()} (saturated, "
                f"flushed, swamped)"
            )
        self.checker.comparisons += shown.size
        self.shown = self.counters.by_name()
        if self._unseen.getrandbits(1):
            self.counters.clear(on=True)
            await self.cycle()
            self.counters.clear(on=False)
            self.checker.counters.clear()

    async def run_until(self, done: Callable[[], bool], what: str = "the results") -> None:
        """Pass cycles until a condition holds.

        Raises:
            ProtocolError: nothing moved for many cycles.
        """
        moved, quiet = self._moved(), 0
        while not done():
            await self.cycle()
            now = self._moved()
            quiet = 0 if now != moved else quiet + 1
            moved = now
            if quiet > PATIENCE:
                raise ProtocolError(
                    f"nothing moved for {PATIENCE} cycles while waiting for {what}: {self.driver.accepted} beats "
                    f"taken, {self.driver.waiting} waiting, {self.monitor.taken} result beats received, "
                    f"{self.checker.pending} rounds expected"
                )

    def _moved(self) -> int:
        starts = 0 if self.starts is None else self.starts.accepted
        return self.driver.accepted + self.monitor.taken + starts
