"""Joins clock, reset, sources and sinks about one unit that compresses gradients."""

import zlib
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Self

from cocotb.clock import Clock

from macgen.bundle.manifest import load_manifest
from macgen.compress import CompressSpec
from macgen.errors import MacgenError
from sim.bench import CLOCK_PERIOD_NS, STATISTICS
from sim.checker import MismatchError
from sim.driver import ProtocolError
from sim.layers import Case, Word, words_in, words_kept, words_sent
from sim.settings import Settings

PATIENCE = 3000
DEFAULT_LAYERS = 60
LEAST_LAYERS = 10
GROUPS_OF_DEFAULT_LAYERS = 60


class Source:
    """Offers beats with random gaps, and holds each until it is taken.

    Parameters:
        handles: of the ports by role.
        rng: source of gaps, and of what is driven in them.
        lane: of several streams side by side in the ports, which one; None: there is one.

    Attributes:
        gap: probability of a pause, in each cycle in which a beat could be offered.
        taken: beats that were taken.
        taken_at: cycle in which the last one was.
    """

    def __init__(self, handles: dict[str, Any], rng: Random) -> None:
        self._handles = {role: handle for role, handle in handles.items() if role not in ("valid", "ready")}
        self._valid, self._ready = handles["valid"], handles["ready"]
        self._rng = rng
        self._queue: deque[Word] = deque()
        self._offers = False
        self.gap = 0.0
        self.taken = self.taken_at = 0
        self.idle()

    @property
    def waiting(self) -> int:
        """Beats that were not taken."""
        return len(self._queue)

    def send(self, words: Sequence[Word]) -> None:
        """Add beats to those that wait."""
        self._queue.extend(words)

    def drop(self) -> None:
        """Forget all beats that wait, and stop offering."""
        self._queue.clear()
        self.idle()

    def idle(self) -> None:
        """Offer nothing until the next step; what stands on the ports is not to be looked at."""
        self._offers = False
        self._valid.value = 0
        for handle in self._handles.values():
            handle.value = self._rng.getrandbits(len(handle))

    def step(self, cycle: int) -> None:
        """Take note of what moved at this edge and drive the next cycle."""
        moved = bool(self._ready.value) and self._offers  # it is never unknown
        if moved:
            self._queue.popleft()
            self.taken += 1
            self.taken_at = cycle
        elif self._offers:
            return
        if self._queue and not (self.gap and self._rng.random() < self.gap):
            for role, value in self._queue[0].items():
                self._handles[role].value = value
            if not self._offers:
                self._valid.value = 1
                self._offers = True
        elif self._offers:
            self.idle()


class Peers:
    """The streams of all learners, side by side in the same ports, each with gaps of its own.

    Attributes:
        gap, taken: as of `Source`.
    """

    def __init__(self, handles: dict[str, Any], learners: int, rng: Random) -> None:
        self._ports = {role: handle for role, handle in handles.items() if role != "ready"}
        self._ready, self._rng = handles["ready"], rng
        self._bits = {role: len(handle) // learners for role, handle in self._ports.items()}
        self._queues: list[deque[Word]] = [deque() for _ in range(learners)]
        self._offers = [False] * learners
        self.gap = 0.0
        self.taken = 0
        self._drive()

    @property
    def waiting(self) -> int:
        """Beats that were not taken, of the learner that has most."""
        return max(map(len, self._queues))

    def send(self, streams: Sequence[Sequence[Word]]) -> None:
        """Add a stream for each learner to what waits."""
        for queue, words in zip(self._queues, streams, strict=True):
            queue.extend(words)

    def drop(self) -> None:
        """Forget all beats that wait, and stop offering."""
        for queue in self._queues:
            queue.clear()
        self._offers = [False] * len(self._queues)
        self._drive()

    def step(self) -> None:
        """Take note of what moved at this edge and drive the next cycle."""
        ready = int(str(self._ready.value), 2)
        before = list(self._offers)
        for item, queue in enumerate(self._queues):
            if self._offers[item]:
                if not ready >> item & 1:
                    continue
                queue.popleft()
                self.taken += 1
            self._offers[item] = bool(queue) and not (self.gap and self._rng.random() < self.gap)
        if ready or before != self._offers:
            self._drive()

    def _drive(self) -> None:
        for role, port in self._ports.items():
            bits = self._bits[role]
            word = 0
            for item, queue in enumerate(self._queues):
                if role == "valid":
                    value = int(self._offers[item])
                else:
                    value = queue[0][role] if self._offers[item] else self._rng.getrandbits(bits)
                word |= value << item * bits
            port.value = word


class Sink:
    """Takes beats with random back-pressure, watches the stream's rules and compares.

    Attributes:
        back_pressure: probability of not being ready, in each cycle.
        taken: beats taken.
        comparisons: values compared.
        times: cycles in which beats were taken.
    """

    def __init__(self, name: str, handles: dict[str, Any], rng: Random) -> None:
        self._name, self._rng = name, rng
        self._handles = {role: handle for role, handle in handles.items() if role not in ("valid", "ready")}
        self._valid, self._ready = handles["valid"], handles["ready"]
        self._expected: deque[tuple[str, Word]] = deque()
        self._is_ready = False
        self._held: Word | None = None
        self.back_pressure = 0.0
        self.taken = self.comparisons = 0
        self.times: list[int] = []
        self.refuse()

    @property
    def pending(self) -> int:
        """Beats that are expected."""
        return len(self._expected)

    def expect(self, name: str, words: Sequence[Word]) -> None:
        """Add the beats of something with a name to those that are expected; roles that are absent may be anything."""
        self._expected.extend((f"{name}, beat {place}", word) for place, word in enumerate(words))

    def refuse(self) -> None:
        """Forget what is expected, and be not ready until the next step, as in a reset."""
        self._expected.clear()
        self._held = None
        self._is_ready = False
        self._ready.value = 0

    def step(self, cycle: int) -> None:
        """Take note of what moved at this edge and choose ready for the next cycle."""
        if bool(self._valid.value):
            self._receive(cycle)
        elif self._held is not None:
            raise ProtocolError(f"stream {self._name}: beat {self.taken} was withdrawn: valid fell before ready")
        ready = not (self.back_pressure and self._rng.random() < self.back_pressure)
        if ready != self._is_ready:
            self._is_ready = ready
            self._ready.value = int(ready)

    def _receive(self, cycle: int) -> None:
        word = {role: int(str(handle.value), 2) for role, handle in self._handles.items()}
        if self._held is not None and word != self._held:
            raise ProtocolError(f"stream {self._name}: beat {self.taken} changed while it waited: {self._held}, {word}")
        self._held = None if self._is_ready else word
        if not self._is_ready:
            return
        if not self._expected:
            raise MismatchError(f"stream {self._name}: a beat {word} came though none was expected")
        name, expected = self._expected.popleft()
        wrong = {role: value for role, value in expected.items() if word[role] != value}
        if wrong:
            got = {role: word[role] for role in wrong}
            raise MismatchError(f"stream {self._name}: {name}: expected {wrong}, got {got}")
        self.taken += 1
        self.comparisons += len(expected)
        self.times.append(cycle)


class CompressBench:
    """One test's testbench of a unit; leaving the `async with` block counts it.

    Attributes:
        spec: the unit.
        latency: the manifest's.
        rng: source of random layers, seeded with the setting and the test's name.
        source: of the elements.
        kept, out: sinks of what is kept and of what is sent.
        peers, sum: what learners send, and the sink of their sums; None: the unit has no receiver.
        layers: random layers for the main random test.
        cycles: rising clock edges.
    """

    def __init__(self, dut: Any, settings: Settings, test: str) -> None:
        manifest = load_manifest(settings.bundle)
        if not isinstance(manifest.subject, CompressSpec):
            raise MacgenError(f"bundle {manifest.name} holds no unit that compresses gradients; accepted is one")
        self.spec, self.latency, self.settings = manifest.subject, manifest.latency, settings
        self._clock, self._reset = getattr(dut, manifest.clock), getattr(dut, manifest.reset)
        self._fault = getattr(dut, "fault", None)
        self._edge = self._clock.rising_edge
        self.rng = Random(zlib.crc32(f"{settings.seed} {test}".encode()))
        rng = Random(self.rng.getrandbits(32))

        def handles(stream: str) -> dict[str, Any]:
            ports = manifest.streams[stream].items()
            return {role: getattr(dut, port) for role, port in ports if isinstance(port, str)}

        self.source = Source(handles("in"), rng)
        self.kept, self.out = Sink("kept", handles("kept"), rng), Sink("out", handles("out"), rng)
        self.peers = self.sum = None
        if self.spec.learners:
            self.peers = Peers(handles("peer"), self.spec.learners, rng)
            self.sum = Sink("sum", handles("sum"), rng)
        self._sinks = [self.kept, self.out, *([] if self.sum is None else [self.sum])]
        by_size = DEFAULT_LAYERS * GROUPS_OF_DEFAULT_LAYERS // self.spec.groups
        default = max(min(by_size, DEFAULT_LAYERS), LEAST_LAYERS)
        self.layers = default if settings.tiles is None else settings.tiles
        self.cycles = self._layers = 0
        dut._log.info(f"seed {settings.seed}, {manifest.name}: {self.spec}")

    @classmethod
    async def start(cls, dut: Any, test: str) -> Self:
        """Read settings and manifest, start the clock and reset the unit."""
        bench = cls(dut, Settings.from_environment(), test)
        Clock(bench._clock, CLOCK_PERIOD_NS, unit="ns", impl="gpi").start()
        await bench.reset()
        return bench

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        STATISTICS.tests += 1
        STATISTICS.tiles += self._layers
        STATISTICS.comparisons += sum(sink.comparisons for sink in self._sinks)
        STATISTICS.beats += self.source.taken + (0 if self.peers is None else self.peers.taken)
        STATISTICS.cycles += self.cycles
        if self.settings.statistics is not None:
            STATISTICS.write(self.settings.statistics)

    @property
    def fault(self) -> bool:
        """Whether the receiver's flag is raised."""
        return self._fault is not None and bool(self._fault.value)

    def stall(self, gap: float, kept: float, out: float) -> None:
        """Set the probabilities of pauses: of sources, of what is kept, of what is sent and of sums."""
        self.source.gap, self.kept.back_pressure, self.out.back_pressure = gap, kept, out
        if self.peers is not None and self.sum is not None:
            self.peers.gap, self.sum.back_pressure = gap, out

    def send(self, case: Case) -> None:
        """Feed a layer and expect what the definition makes of it."""
        layer = case.result(self.spec)
        self.source.send(words_in(self.spec, case))
        self.kept.expect(case.name, words_kept(self.spec, layer))
        self.out.expect(case.name, words_sent(self.spec, layer.beats, layer.scale))
        self._layers += 1

    async def cycle(self) -> None:
        """Pass one rising clock edge."""
        await self._edge
        self.cycles += 1
        try:
            self.source.step(self.cycles)
            if self.peers is not None:
                self.peers.step()
            for sink in self._sinks:
                sink.step(self.cycles)
        except ValueError as error:
            raise ProtocolError(f"cycle {self.cycles}: a port of the unit is neither 0 nor 1 ({error})") from error

    async def reset(self) -> None:
        """Reset the unit for two cycles; what was in flight is forgotten."""
        self._reset.value = 1
        self.source.drop()
        if self.peers is not None:
            self.peers.drop()
        for sink in self._sinks:
            sink.refuse()
        for _ in range(2):
            await self._edge
            self.cycles += 1
        self._reset.value = 0

    async def finish(self) -> None:
        """Pass cycles until everything expected has come out, and some more, in which nothing may."""
        await self.run_until(lambda: not self.source.waiting and not any(sink.pending for sink in self._sinks))
        for _ in range(self.latency + 2 * self.spec.groups + self.spec.width + 8):
            await self.cycle()

    async def run_until(self, done: Callable[[], bool]) -> None:
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
                left = ", ".join(f"{sink.pending} beats of {name}" for name, sink in zip(
                    ("kept", "out", "sum"), self._sinks, strict=False))  # fmt: skip
                raise ProtocolError(
                    f"nothing moved for {PATIENCE} cycles: {self.source.waiting} beats of in wait; expected are {left}"
                )

    def _moved(self) -> int:
        peers = 0 if self.peers is None else self.peers.taken
        return self.source.taken + peers + sum(sink.taken for sink in self._sinks)
