"""The array in Amaranth's own simulator and as gates, against golden: results, flags, latency, nothing lost."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Value
from amaranth.sim import Simulator

from macgen import golden
from macgen.catalogue import CATALOGUE
from macgen.rtl import ArrayCore, Design, MacArray, Skew
from macgen.rtl.parts.hierarchy import Modules
from macgen.spec import MacSpec
from macgen.spec_fields import Fold
from tests.representatives import BUILT, FEW
from tests.rtl.gates import from_rtlil
from tests.rtl.streams import DifferenceError, beats_of, check, numbers_of, operands, play, port_model, scales


class Bench:
    """Feeds tiles to an array in Amaranth's simulator and takes its results."""

    def __init__(self, spec, seed=1):
        self.spec, self.rng = spec, np.random.default_rng(seed)
        self.array = MacArray(spec)
        self.results = []
        self.cycle = 0
        self.last_taken = self.first_result = None

    def run(self, tiles, gaps=0.0, back_pressure=0.0):
        """Return (codes, flags) of each tile.

        Parameters:
            tiles: codes of shapes (rows, K) and (K, cols), with scales also (rows, chunks) and (chunks, cols). With
                interleaving as many tiles as there are turns, of equal K, take turns.
            gaps, back_pressure: how often a stream pauses.
        """
        self._simulate([tiles], gaps, back_pressure)
        beats = self.spec.rows * self.spec.interleave
        tiles_out = [
            self.results[start + turn : start + beats : self.spec.interleave]
            for start in range(0, len(self.results), beats)
            for turn in range(self.spec.interleave)
        ]
        return [(np.array([c for c, _ in tile]), np.array([f for _, f in tile])) for tile in tiles_out]

    def latencies(self, groups):
        """Return what each of several groups of tiles takes, fed when the one before has come out.

        Returns:
            For each group the cycles from its first beat to its last one, and from that to the first result.
        """
        return [(taken - start, first - taken) for start, taken, first in self._simulate(groups)]

    def _simulate(self, groups, gaps=0.0, back_pressure=0.0):
        """Feed groups of tiles one by one; return of each when it started, its last beat was taken, a result came."""
        simulator = Simulator(self.array)
        simulator.add_clock(1e-6)
        moments = []

        async def bench(ctx):
            for tiles in groups:
                self.last_taken = self.first_result = None
                start = self.cycle
                await self._feed(ctx, tiles, gaps, back_pressure)
                moments.append((start, self.last_taken, self.first_result))
                while self.cycle % self.spec.interleave:  # the next group starts in turn 0's slot
                    await ctx.tick()
                    self.cycle += 1

        simulator.add_testbench(bench)
        simulator.run()
        return moments

    async def _feed(self, ctx, tiles, gaps, back_pressure):
        wanted = len(self.results) + len(tiles) * self.spec.rows
        turns = self.spec.interleave
        groups = [[self._beats(*tile) for tile in tiles[at : at + turns]] for at in range(0, len(tiles), turns)]
        feed = [beat for group in groups for of_round in zip(*group, strict=True) for beat in of_round]
        quiet = 0
        offered_a = offered_b = False
        while feed or len(self.results) < wanted:
            offered_a = bool(feed) and (offered_a or self.rng.random() >= gaps)
            offered_b = bool(feed) and (offered_b or self.rng.random() >= gaps)
            if feed:
                words, last = feed[0]
                for port, codes, width in words:
                    self._drive(ctx, port, codes, width)
                ctx.set(self._port("a_last"), last)
            ctx.set(self._port("a_valid"), offered_a)
            ctx.set(self._port("b_valid"), offered_b)
            ctx.set(self._port("c_ready"), self.rng.random() >= back_pressure)
            taken = offered_a and offered_b and ctx.get(self._port("a_ready"))
            moved = self._take(ctx)
            if taken:
                offered_a = offered_b = False
                if feed.pop(0)[1]:
                    self.last_taken = self.cycle
            quiet = 0 if taken or moved else quiet + 1
            assert quiet < 200, "nothing moves"
            self.cycle += 1
            await ctx.tick()

    def _beats(self, a, b, a_scales=None, b_scales=None):
        """Return for each beat of a tile what stands on which port, and whether it is the last."""
        spec, length, lanes = self.spec, a.shape[1], self.spec.lanes
        missing = -length % lanes
        a, b = np.pad(a, ((0, 0), (0, missing))), np.pad(b, ((0, missing), (0, 0)))
        beats = []
        for start in range(0, length, lanes):
            end, last = start + lanes, start + lanes >= length
            words = [
                ("a_data", a[:, start:end].ravel(), spec.a.width),
                ("b_data", b[start:end].T.ravel(), spec.b.width),
            ]
            if spec.scale is not None:
                pair = self._scales(start, length, a_scales, b_scales)
                words += [
                    (port, codes, spec.scale.width) for port, codes in zip(("a_scale", "b_scale"), pair, strict=True)
                ]
            beats.append((words, last))
        return beats

    def _scales(self, start, length, a_scales, b_scales):
        """Return the scales of the beat that starts at an element."""
        spec, end = self.spec, start + self.spec.lanes
        if spec.scales_lanes:
            blocks = slice(start // spec.block, end // spec.block)
            missing = ((0, end // spec.block), (0, 0))  # blocks without elements have code 0
            return [np.pad(codes, missing)[blocks].T.ravel() for codes in (a_scales.T, b_scales)]
        chunk = spec.chunk or length
        pair = a_scales[:, start // chunk], b_scales[start // chunk]
        if end % chunk and end < length:  # not looked at
            return [self.rng.integers(0, 1 << spec.scale.width, len(codes)) for codes in pair]
        return pair

    def _port(self, name):
        """Return the signal, or the field of a stream's payload, that has this name in the Verilog."""
        stream, field = getattr(self.array, name[0]), name[2:]
        return getattr(stream, field) if field in ("valid", "ready") else Value.cast(stream.payload[field])

    def _drive(self, ctx, port, codes, width):
        ctx.set(self._port(port), sum(int(code) << (lane * width) for lane, code in enumerate(codes)))

    def _take(self, ctx):
        spec = self.spec
        if not ctx.get(self._port("c_valid")):
            return False
        if self.first_result is None:
            self.first_result = self.cycle
        if not ctx.get(self._port("c_ready")):
            return False
        data, flags, width = ctx.get(self._port("c_data")), ctx.get(self._port("c_flags")), spec.out_format.width
        beats = spec.rows * spec.interleave
        beat = len(self.results) % beats
        assert ctx.get(self._port("c_first")) == (beat == 0)
        assert ctx.get(self._port("c_last")) == (beat == beats - 1)
        codes = [data >> (col * width) & ((1 << width) - 1) for col in range(spec.cols)]
        self.results.append((codes, [flags >> (col * 3) & 7 for col in range(spec.cols)]))
        return True


def folds(chunk):
    """Return what a spec's fold may be; without chunks one is as good as the other (tests/bundle/test_verilog.py)."""
    return tuple(Fold) if chunk else tuple(Fold)[:1]


def tiles_of(spec, lengths, rng):
    for length in lengths:
        # One lane of each kind of operands in turn.
        lane = int(rng.integers(0, 8))
        a, b = operands(spec, rng, 8, length)
        of_tile = [a[lane], b[lane].T]
        if spec.scale is not None:
            count = -(-length // (spec.block or spec.chunk or length))
            a_scales, b_scales = (scales(spec, rng, (4, side, count)) for side in (spec.rows, spec.cols))
            of_tile += [a_scales[lane % 4], b_scales[lane % 4].T]
        yield of_tile


CASES = [
    pytest.param(name, fold, 1 + (index + place) % 3, id=f"{name}-{fold}")
    for index, name in enumerate(BUILT)
    for place, fold in enumerate(folds(CATALOGUE[name].spec.chunk if not CATALOGUE[name].spec.modes else None))
]


@pytest.mark.thinned(*(case.id for case in CASES[::5] if case.values[0] in FEW), prove=2)
@pytest.mark.parametrize(("name", "fold", "pipeline"), CASES)
def test_presets_in_simulation(name, fold, pipeline):
    preset = CATALOGUE[name].spec
    rows = 1 if preset.lanes > 1 else 2  # of many lanes a PE is an array of its own
    chunk = preset.chunk and max(4, preset.lanes)  # results depend on a chunk's length in no other way, but time does
    spec = replace(preset, rows=rows, cols=3 - rows, fold=fold, pipeline=pipeline, chunk=chunk)
    rng = np.random.default_rng(1)
    tiles = list(tiles_of(spec, [1, 3, 4, 5, 8, 9, spec.lanes + 12, 2], rng))
    compare(spec, Bench(spec).run(tiles, gaps=0.2, back_pressure=0.3), tiles)


def compare(spec, results, tiles):
    """Compare what came out of an array since a reset with the golden model."""
    model, added = port_model(spec), 0
    for index, ((codes, flags), (a, b, *of_chunks)) in enumerate(zip(results, tiles, strict=True)):
        turn = index % spec.interleave
        for row, col in np.ndindex(codes.shape):
            scales = [of_chunks[0][row].tolist(), of_chunks[1][:, col].tolist()] if of_chunks else []
            numbers = numbers_of(spec, row, col, added, turn)
            wanted = model.dot(a[row].tolist(), b[:, col].tolist(), numbers, *scales)
            assert (codes[row, col], flags[row, col]) == wanted
        added += golden.draws(spec, a.shape[1]) if turn == spec.interleave - 1 else 0


@pytest.mark.thinned(7, prove=2)
@pytest.mark.parametrize("pipeline", [1, 2, 3])
@pytest.mark.parametrize(("chunk", "fold"), [(chunk, fold) for chunk in (None, 1, 3) for fold in folds(chunk)])
@pytest.mark.parametrize(
    ("rows", "cols", "interleave"),
    [(1, 1, 1), (1, 3, 1), (3, 1, 1), (2, 2, 1), (4, 3, 1), (1, 1, 4), (3, 2, 2), (2, 3, 3)],
)
def test_latency_is_as_stated(rows, cols, interleave, chunk, fold, pipeline):
    size = {"rows": rows, "cols": cols, "interleave": interleave}
    spec = MacSpec(a="int3", b="int3", acc="int8", **size, chunk=chunk, fold=fold, pipeline=pipeline)
    bench, lengths = Bench(spec), (1, 3, 4) if chunk == 3 else (1, 4)
    groups = [list(tiles_of(spec, [length] * interleave, bench.rng)) for length in lengths]
    assert [latency for _, latency in bench.latencies(groups)] == [Design(spec).latency] * len(lengths)


@pytest.mark.thinned(3)
@pytest.mark.parametrize("fold", Fold)
@pytest.mark.parametrize("rounding", ["rne", "stochastic:5"])
def test_interleaved_tiles_in_simulation(rounding, fold):
    spec = MacSpec(a="e5m2", b="e5m2", acc="e6m5", rows=2, cols=3, interleave=3, chunk=4, fold=fold, rounding=rounding)
    tiles = list(tiles_of(spec, [length for length in (1, 5, 8, 13) for _ in range(3)], np.random.default_rng(1)))
    compare(spec, Bench(spec).run(tiles, gaps=0.2, back_pressure=0.3), tiles)


def test_every_lane_is_delayed_by_one_cycle_more_than_the_one_before():
    skew = Skew(4, 3)
    words = [int(word) for word in np.random.default_rng(1).integers(0, 1 << 12, 20)]

    async def bench(ctx):
        for cycle, word in enumerate(words):
            ctx.set(skew.i, word)
            for lane in range(4):
                if cycle > lane:
                    assert ctx.get(skew.o) >> (3 * lane) & 7 == words[cycle - lane - 1] >> (3 * lane) & 7
            await ctx.tick()

    simulator = Simulator(skew)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


STREAMS = [
    MacSpec(a="e3m2", b="e3m2", acc="e4m3", rows=2, cols=2, chunk=4, overflow="infinity"),
    MacSpec(a="e3m2", b="e2m1", acc="e4m3", rows=1, cols=2, chunk=1),
    MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m5", rows=3, cols=1, chunk=2, rounding="rtz"),
    MacSpec(a="int4", b="uint4", acc="int9", rows=2, cols=3, chunk=3, overflow="wrap"),
    MacSpec(a="e2m1finite", b="int4", acc="fix9.1", rows=2, cols=1, chunk=None),
    MacSpec(a="e2m1fnuz", b="e3m0fn", acc="e4m2finite", rows=1, cols=1, chunk=5),
    MacSpec(a="e3m2", b="e3m2", acc="e4m3", rows=2, cols=2, chunk=3, overflow="infinity", rounding="stochastic:4"),
    MacSpec(a="e2m1finite", b="int4", acc="fix9.0", rows=2, cols=2, chunk=None, rounding="stochastic:32"),
    MacSpec(a="e3m2", b="e2m1", acc="e5m6", rows=1, cols=3, chunk=1, rounding="stochastic:20"),
]


@pytest.mark.thinned(5)
@pytest.mark.parametrize("fold", Fold)
@pytest.mark.parametrize("index", range(len(STREAMS)))
def test_nothing_is_lost_in_gaps_back_pressure_restarts_and_resets(index, fold):
    """Registers hold anything at the start; a reset comes at any moment; beats marked first drop unfinished sums."""
    spec = replace(STREAMS[index], fold=fold, pipeline=1 + (index + (fold == "overlap")) % 2)
    gates = from_rtlil(Modules("array").convert(ArrayCore(Design(spec))), "array")
    rng = np.random.default_rng(1)
    beats = beats_of(spec, rng, 64, 40)
    log = play(gates, spec, beats, rng)
    assert check(spec, beats, log) > 200


@pytest.mark.thinned(5)
@pytest.mark.parametrize("fold", Fold)
@pytest.mark.parametrize("index", range(len(STREAMS)))
def test_turns_are_independent(index, fold):
    interleave = 2 + (index + (fold == "overlap")) % 3
    spec = replace(STREAMS[index], fold=fold, pipeline=1 + (index + interleave) % 3, interleave=interleave)
    gates = from_rtlil(Modules("array").convert(ArrayCore(Design(spec))), "array")
    rng = np.random.default_rng(2)
    beats = beats_of(spec, rng, 48, 30)
    log = play(gates, spec, beats, rng)
    assert check(spec, beats, log) > 150


NARROW = [
    MacSpec(a="int4narrow", b="int4narrow", acc="int7", chunk=3, rows=1, cols=2),  # -8 times -8 overflows
    MacSpec(a="fix2.1narrow", b="e3m2", acc="e4m3", chunk=4, rows=2, cols=1, lanes=2, rounding="floor"),
    MacSpec(a="int3", b="int3narrow", product="fix6.-1", acc="int7narrow", rows=1, cols=1),
]


@pytest.mark.thinned(2)
@pytest.mark.parametrize("spec", NARROW, ids=lambda spec: f"{spec.a}-{spec.b}-{spec.acc}")
def test_the_lowest_value_that_narrow_operands_lack_is_computed_with(spec):
    gates = from_rtlil(Modules("array").convert(ArrayCore(Design(spec))), "array")
    rng = np.random.default_rng(3)
    beats = beats_of(spec, rng, 32, 30)
    for codes, fmt in ((beats.a, spec.a), (beats.b, spec.b)):
        if fmt.width < 5:
            assert (codes == 1 << (fmt.width - 1)).sum() > 20
    assert check(spec, beats, play(gates, spec, beats, rng)) > 100


def test_a_lost_beat_would_be_seen():
    """The comparison itself: results of other operands are found out."""
    spec = STREAMS[0]
    gates = from_rtlil(Modules("array").convert(ArrayCore(Design(spec))), "array")
    rng = np.random.default_rng(1)
    beats = beats_of(spec, rng, 64, 30)
    log = play(gates, spec, beats, rng, resets=False)
    changed = replace(beats, a=np.roll(beats.a, 1, axis=2))
    with pytest.raises(DifferenceError):
        check(spec, changed, log)
