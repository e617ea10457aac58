"""The tests of AXI4-Stream ports with cocotbext-axi's sources and sinks, which know nothing of macgen."""

from collections.abc import Iterator
from random import Random
from typing import Any

import cocotb
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

from macgen.bundle.manifest import Manifest
from macgen.numerics.flags import FLAG_BITS
from sim.bench import Bench
from sim.driver import Beat, ProtocolError
from sim.operands import random_tiles
from sim.ports import FieldsPort, Tdata, layout_of

PAUSES = (
    (0.0, 0.0, 0.0),
    (0.3, 0.5, 0.6),
    (0.5, 0.6, 0.3),
    (0.6, 0.3, 0.5),
    (0.8, 0.0, 0.0),
    (0.0, 0.8, 0.0),
    (0.0, 0.0, 0.8),
)
"""How often sources a and b and the sink c pause: none, all of them, one side alone."""

PATIENCE = 4000


class Word:
    """A port made of Python, by which the fields of tdata are packed and unpacked."""

    def __init__(self) -> None:
        self.value: Any = 0


@cocotb.test()
@cocotb.parametrize((("pause_a", "pause_b", "pause_c"), PAUSES))
async def packets(dut: Any, pause_a: float, pause_b: float, pause_c: float) -> None:
    """Packets of random tiles, each stream with pauses of its own: results, tlast and tuser are golden's."""
    async with await Bench.start(dut, f"packets {pause_a} {pause_b} {pause_c}") as bench:
        clock = getattr(dut, bench.manifest.clock)
        source_a = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis_a"), clock)
        source_b = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis_b"), clock)
        sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis_c"), clock)
        seed = int(bench.rng.integers(1 << 32))
        for index, (end, often) in enumerate(((source_a, pause_a), (source_b, pause_b), (sink, pause_c))):
            end.log.setLevel("WARNING")
            if often:
                end.set_pause_generator(pauses(Random(seed + index), often))
        tiles = random_tiles(bench.spec, bench.rng, max(4, bench.tiles // 4), bench.settings.longest)
        for rounds in bench.affordable(tiles):
            expectation = bench.expect(rounds)
            beats = bench.beats(expectation.tiles, mark_first=bool(bench.rng.integers(2)))
            for end, frame in zip((source_a, source_b), frames(bench.manifest, beats), strict=True):
                end.send_nowait(frame)
            bench.driver.accepted += len(beats)  # once all results have come
        await receive(bench, sink)


def pauses(rng: Random, often: float) -> Iterator[bool]:
    """Yield for each cycle whether a source or a sink pauses."""
    while True:
        yield rng.random() < often


def frames(manifest: Manifest, beats: list[Beat]) -> Iterator[AxiStreamFrame]:
    """Yield the packets of a and b that a round's beats are."""
    for stream in "ab":
        word = Word()
        tdata = Tdata(word)
        fields = {role: FieldsPort(tdata, layout) for role, layout in layout_of(manifest, stream).items()}
        width = port_width(manifest, f"s_axis_{stream}_tdata") // 8
        data, user = bytearray(), []
        for beat in beats:
            data_word, scale_word = (beat.a, beat.a_scale) if stream == "a" else (beat.b, beat.b_scale)
            for role, port in fields.items():
                port.value = data_word if role == "data" else scale_word
            data += word.value.to_bytes(width, "little")
            user += [beat.first] * width
        yield AxiStreamFrame(bytes(data), tuser=user if stream == "a" else None)


def port_width(manifest: Manifest, name: str) -> int:
    """Return the bits of a port."""
    (width,) = [port.width for port in manifest.ports if port.name == name]
    return width


async def receive(bench: Bench, sink: AxiStreamSink) -> None:
    """Take packets of results until all have come, and compare them."""
    width = port_width(bench.manifest, "m_axis_c_tdata") // 8
    word = Word()
    (layout,) = layout_of(bench.manifest, "c").values()
    codes = FieldsPort(Tdata(word), layout)
    quiet = 0
    while bench.checker.pending:
        await bench.edge()
        quiet += 1
        if quiet > PATIENCE:
            raise ProtocolError(f"no packet came for {PATIENCE} cycles: {bench.checker.pending} rounds are expected")
        while not sink.empty():
            quiet = 0
            frame = sink.recv_nowait(compact=False)
            beats = len(frame.tdata) // width
            for beat in range(beats):
                word.value = format(int.from_bytes(frame.tdata[beat * width : (beat + 1) * width], "little"), "b")
                flags = frame.tuser[beat * width] & (1 << FLAG_BITS * bench.spec.cols) - 1
                bench.checker.beat(int(codes.value, 2), flags, int(beat == 0), int(beat == beats - 1))
    for _ in range(2 * bench.manifest.latency + bench.spec.rows * bench.spec.interleave):
        await bench.edge()
    if not sink.empty() or not sink.idle():
        raise ProtocolError("a packet of results came though none was expected")
