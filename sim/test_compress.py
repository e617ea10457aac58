"""The tests of a unit that compresses gradients; cocotb runs them inside the simulator."""

from collections.abc import Sequence
from typing import Any

import cocotb

from macgen.compress.definition import Beat, expand
from sim.compress_bench import CompressBench
from sim.layers import (
    KINDS,
    Case,
    corner_cases,
    disordered,
    random_case,
    random_cases,
    random_streams,
    words_in,
    words_sent,
    words_sum,
)

STALLS = ((0.0, 0.0, 0.0), (0.5, 0.0, 0.0), (0.0, 0.6, 0.2), (0.0, 0.2, 0.7), (0.4, 0.5, 0.5))
"""How often the sources, the sink of what is kept, and the others pause."""


@cocotb.test()
async def idle_after_reset(dut: Any) -> None:
    """A unit that is given nothing answers nothing, whatever stands on its data ports."""
    async with await CompressBench.start(dut, "idle_after_reset") as bench:
        for _ in range(2 * bench.spec.groups + bench.latency + 20):
            bench.source.idle()
            await bench.cycle()
        assert not bench.fault, "fault is raised though no learner sent anything"


@cocotb.test()
async def corners(dut: Any) -> None:
    """Zeros, ties, ends of the range, short and empty bins, means between integers; first and further steps."""
    async with await CompressBench.start(dut, "corners") as bench:
        for case in corner_cases(bench.spec):
            bench.send(case)
        await bench.finish()


@cocotb.test()
@cocotb.parametrize((("gap", "kept", "out"), STALLS))
async def layers(dut: Any, gap: float, kept: float, out: float) -> None:
    """Random layers back to back, with gaps and back-pressure: order, counts, marks and every value."""
    async with await CompressBench.start(dut, f"layers {gap} {kept} {out}") as bench:
        bench.stall(gap, kept, out)
        for case in random_cases(bench.spec, bench.rng, bench.layers // len(STALLS)):
            bench.send(case)
        await bench.finish()


@cocotb.test()
async def short_layers(dut: Any) -> None:
    """Layers of one to three elements back to back: each waits for the scale of the one before."""
    async with await CompressBench.start(dut, "short_layers") as bench:
        for turn in range(2):
            bench.stall(0.3 * turn, 0.3 * turn, 0.3 * turn)
            for index in range(20):
                bench.send(random_case(bench.spec, bench.rng, bench.rng.randint(1, 3), KINDS[index % len(KINDS)]))
            await bench.finish()


@cocotb.test()
async def full_rate(dut: Any) -> None:
    """Without stalls a beat moves in every cycle, and the first one comes when the manifest says."""
    async with await CompressBench.start(dut, "full_rate") as bench:
        case = random_case(bench.spec, bench.rng, 5 * bench.spec.bin, "sparse")
        bench.send(case)
        await bench.run_until(lambda: bench.source.taken == bench.spec.groups)
        first_bin = bench.source.taken_at
        await bench.finish()
        times = bench.kept.times
        assert times[0] - first_bin == bench.latency, f"latency {times[0] - first_bin}, not {bench.latency}"
        assert times[-1] - times[0] == len(times) - 1, "what is kept paused though nothing did"


@cocotb.test()
async def a_stream_that_stops(dut: Any) -> None:
    """One stream is not taken for long; then everything goes on, and nothing is lost."""
    async with await CompressBench.start(dut, "a_stream_that_stops") as bench:
        for stop in ((1.0, 0.0), (0.0, 1.0)):
            bench.stall(0.0, *stop)
            for case in random_cases(bench.spec, bench.rng, 4, bins=3):
                bench.send(case)
            for _ in range(4 * bench.spec.groups + 50):
                await bench.cycle()
            bench.stall(0.0, 0.0, 0.0)
            await bench.finish()


@cocotb.test()
async def reset_inside(dut: Any) -> None:
    """A reset in the middle of a layer: what was inside is gone, and the next layers are right."""
    async with await CompressBench.start(dut, "reset_inside") as bench:
        for _ in range(4):
            case = random_case(bench.spec, bench.rng, 3 * bench.spec.bin, "uniform")
            bench.send(case)
            for _ in range(bench.rng.randint(1, 4 * bench.spec.groups + 10)):
                await bench.cycle()
            await bench.reset()
            bench.send(random_case(bench.spec, bench.rng, bench.spec.bin + 1, "uniform"))
            await bench.finish()


@cocotb.test()
async def a_layer_without_end(dut: Any) -> None:
    """A source that stops inside a bin hangs nothing: with the next beat it goes on."""
    async with await CompressBench.start(dut, "a_layer_without_end") as bench:
        case = random_case(bench.spec, bench.rng, bench.spec.bin + 1, "uniform")
        layer_words = words_in(bench.spec, case)
        bench.send(case)
        rest = [layer_words[-1]]
        bench.source.drop()
        bench.source.send(layer_words[:-1])
        for _ in range(3 * bench.spec.groups + 30):
            await bench.cycle()
        bench.source.send(rest)
        await bench.finish()


@cocotb.test()
@cocotb.parametrize((("gap", "out"), ((0.0, 0.0), (0.5, 0.0), (0.2, 0.6))))
async def receiver(dut: Any, gap: float, out: float) -> None:
    """What learners send, each with gaps of its own, is summed; no fault is raised."""
    async with await CompressBench.start(dut, f"receiver {gap} {out}") as bench:
        if bench.peers is None:
            return
        bench.stall(gap, 0.0, out)
        for _ in range(max(bench.layers // 6, 2)):
            streams = random_streams(bench.spec, bench.rng, bench.rng.randint(1, 4))
            _receive(bench, streams)
        await bench.finish()
        assert not bench.fault, "fault is raised though all beats were in order"


@cocotb.test()
async def receiver_faults(dut: Any) -> None:
    """Beats out of order and marks that disagree add nothing, are told, and hang nothing."""
    async with await CompressBench.start(dut, "receiver_faults") as bench:
        if bench.peers is None:
            return
        for turn in range(6):
            streams = random_streams(bench.spec, bench.rng, 3)
            streams = [disordered(bench.spec, bench.rng, stream) for stream in streams]
            fault = _receive(bench, streams)
            bench.stall(0.3 * (turn % 2), 0.0, 0.3 * (turn % 2))
            await bench.finish()
            assert bench.fault == fault, f"fault is {bench.fault}, not {fault}"
            await bench.reset()
            assert not bench.fault, "fault outlives a reset"


@cocotb.test()
async def both_ends(dut: Any) -> None:
    """The two ends at work at the same time: what is compressed and what is received."""
    async with await CompressBench.start(dut, "both_ends") as bench:
        bench.stall(0.3, 0.3, 0.3)
        for case in random_cases(bench.spec, bench.rng, 4):
            bench.send(case)
        if bench.peers is not None:
            cases = [
                random_case(bench.spec, bench.rng, 2 * bench.spec.bin, "sparse") for _ in range(bench.spec.learners)
            ]
            _receive(bench, *_sent(bench, cases))
        await bench.finish()


def _sent(bench: CompressBench, cases: Sequence[Case]) -> tuple[list[Sequence[Beat]], list[int]]:
    layers = [case.result(bench.spec) for case in cases]
    return [layer.beats for layer in layers], [layer.scale for layer in layers]


def _receive(bench: CompressBench, streams: Sequence[Sequence[Beat]], scales: Sequence[int] | None = None) -> bool:
    """Feed what learners send and expect their sums; return whether a fault is to be raised."""
    spec = bench.spec
    assert bench.peers is not None
    assert bench.sum is not None
    if scales is None:
        scales = [
            bench.rng.choice([0, 1, spec.largest_scale, bench.rng.randint(0, spec.largest_scale)]) for _ in streams
        ]
    totals, fault = expand(spec, streams, scales)
    words = [words_sent(spec, stream, scale, everywhere=True) for stream, scale in zip(streams, scales, strict=True)]
    bench.peers.send(words)
    bench.sum.expect("sums", words_sum(spec, totals))
    return fault
