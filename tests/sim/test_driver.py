"""Driver and monitor on ports made of Python, against arrays that break the rules of the streams."""

import dataclasses
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest

from macgen import MacSpec
from sim.driver import Beat, Driver, ProtocolError, beats_of
from sim.monitor import Monitor
from sim.operands import Tile


class Port:
    """A signal: what is written is seen; X is any text but 0 and 1."""

    def __init__(self, width=1, value=0):
        self.width = width
        self._value = value

    def __len__(self):
        return self.width

    @property
    def value(self):
        return Value(self._value)

    @value.setter
    def value(self, value):
        assert 0 <= value < 1 << self.width
        self._value = value


class Value:
    def __init__(self, value):
        self._value = value

    def __bool__(self):
        if self._value == "X":
            raise ValueError("cannot convert X to bool")
        return bool(self._value)

    def __str__(self):
        return self._value if isinstance(self._value, str) else format(self._value, "b")


TILE = Tile("t", np.array([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]), np.array([[1], [2], [3], [4], [5]]))
SPEC = MacSpec(a="int4", b="int4", acc="int20", rows=2, cols=1)
BEATS = beats_of(SPEC, [TILE], Random(0))


def driver_on_ports(seed=1, scale_bits=None):
    a = SimpleNamespace(valid=Port(), ready=Port(), data=Port(8), first=Port(), last=Port())
    b = SimpleNamespace(valid=Port(), ready=Port(), data=Port(4))
    if scale_bits is not None:
        a.scale, b.scale = Port(2 * scale_bits), Port(scale_bits)
    return Driver(a, b, Random(seed)), a, b


def value(port):
    return port._value


def test_beats_are_columns_of_a_and_rows_of_b_with_marks():
    assert [(beat.a, beat.b) for beat in BEATS] == [(0x61, 1), (0x72, 2), (0x83, 3), (0x94, 4), (0xA5, 5)]
    assert [beat.first for beat in BEATS] == [1, 0, 0, 0, 0]
    assert [beat.last for beat in BEATS] == [0, 0, 0, 0, 1]
    assert [beat.final for beat in BEATS] == [False, False, False, False, True]
    unmarked = beats_of(SPEC, [TILE], Random(0), mark_first=False, finish=False)
    assert not any(beat.first or beat.last or beat.final for beat in unmarked)


def test_lanes_are_filled_from_the_lowest_and_with_zeros_at_the_end():
    spec = dataclasses.replace(SPEC, lanes=2)
    beats = beats_of(spec, [TILE], Random(0))
    assert [(beat.a, beat.b) for beat in beats] == [(0x7621, 0x21), (0x9843, 0x43), (0x0A05, 0x05)]
    assert [(beat.first, beat.last) for beat in beats] == [(1, 0), (0, 0), (0, 1)]
    assert [(beat.a, beat.b) for beat in beats_of(replace(spec, lanes=8), [TILE], Random(0))] == [
        (0x000A9876_00054321, 0x00054321)
    ]


def replace(spec, **fields):
    return dataclasses.replace(spec, **fields)


def test_turns_alternate_and_only_the_first_one_s_marks_are_looked_at():
    """The marks on the other turns' beats are random: nobody may look at them."""
    spec = replace(SPEC, interleave=3)
    other = Tile("u", 15 - TILE.a, 15 - TILE.b)
    beats = beats_of(spec, [TILE, other, TILE], Random(0))
    single, twin = BEATS, beats_of(SPEC, [other], Random(0))
    assert [(beat.a, beat.b) for beat in beats] == [
        (beat.a, beat.b) for of_round in zip(single, twin, single, strict=True) for beat in of_round
    ]
    assert [beat.first for beat in beats[::3]] == [1, 0, 0, 0, 0]
    assert [beat.last for beat in beats[::3]] == [0, 0, 0, 0, 1]
    assert [beat.final for beat in beats] == [False] * 14 + [True]
    ignored = [(beat.first, beat.last) for turn in (1, 2) for beat in beats[turn::3]]
    assert set(ignored) == {(0, 0), (0, 1), (1, 0), (1, 1)}


@pytest.mark.parametrize(
    ("chunk", "lanes", "ends"), [(2, 1, [1, 3, 4]), (4, 2, [1, 2]), (None, 1, [4]), (1, 1, range(5))]
)
def test_scales_stand_where_chunks_end_and_anything_elsewhere(chunk, lanes, ends):
    spec = MacSpec(a="int4", b="int4", acc="int20", rows=2, cols=1, scale="e8m0fnu", chunk=chunk, lanes=lanes)
    chunks = len(ends)
    scales = np.arange(1, 1 + 2 * chunks).reshape(2, chunks), np.arange(101, 101 + chunks).reshape(chunks, 1)
    seen = [beats_of(spec, [Tile("t", TILE.a, TILE.b, *scales)], Random(seed)) for seed in range(8)]
    for index, end in enumerate(ends):
        wanted = (index + 1) | (index + 1 + chunks) << 8, 101 + index
        assert {(beats[end].a_scale, beats[end].b_scale) for beats in seen} == {wanted}
    for elsewhere in set(range(len(seen[0]))) - set(ends):
        assert len({(beats[elsewhere].a_scale, beats[elsewhere].b_scale) for beats in seen}) == len(seen)


def test_scales_are_driven_with_their_beats():
    driver, a, b = driver_on_ports(scale_bits=8)
    beats = [Beat(k, k, 0, 0, a_scale=1000 + k, b_scale=200 + k) for k in range(8)]
    driver.gap_a = driver.gap_b = 0.4
    driver.send(list(beats))
    taken = []
    for _ in range(60):
        both = value(a.valid) and value(b.valid)
        a.ready.value = b.ready.value = both
        if both:
            taken.append((value(a.scale), value(b.scale)))
        driver.step()
    assert taken == [(beat.a_scale, beat.b_scale) for beat in beats]


def run(driver, a, b, ready, cycles=200):
    """Play the array: take a beat when both are valid and `ready` says so; return what was taken."""
    taken = []
    for cycle in range(cycles):
        both = value(a.valid) and value(b.valid)
        now = int(bool(both and ready(cycle)))
        a.ready.value = b.ready.value = now
        if now:
            taken.append((value(a.data), value(b.data), value(a.first), value(a.last)))
        before = (value(a.valid), value(a.data), value(a.first), value(a.last)), (value(b.valid), value(b.data))
        driver.step()
        after = (value(a.valid), value(a.data), value(a.first), value(a.last)), (value(b.valid), value(b.data))
        if not now:  # held until ready
            assert not before[0][0] or after[0] == before[0]
            assert not before[1][0] or after[1] == before[1]
    return taken


@pytest.mark.parametrize(("gap_a", "gap_b"), [(0, 0), (0.5, 0), (0, 0.5), (0.7, 0.7)])
def test_every_beat_arrives_once_in_order_whatever_the_gaps(gap_a, gap_b):
    driver, a, b = driver_on_ports()
    driver.gap_a, driver.gap_b = gap_a, gap_b
    driver.send(BEATS * 3)
    stalls = Random(2)
    taken = run(driver, a, b, lambda cycle: stalls.random() < 0.6)
    assert taken == [(beat.a, beat.b, beat.first, beat.last) for beat in BEATS * 3]
    assert driver.accepted == 15
    assert driver.waiting == 0
    assert not driver.offered


def test_without_gaps_a_beat_moves_every_cycle():
    driver, a, b = driver_on_ports()
    driver.send(list(BEATS))
    assert len(run(driver, a, b, lambda cycle: True, cycles=6)) == 5


def test_what_must_not_be_taken_is_driven_without_valid():
    driver, a, _ = driver_on_ports()
    driver.step()
    assert (value(a.valid), value(a.first), value(a.last)) == (0, 1, 1)


@pytest.mark.parametrize("stream", ["a", "b"])
def test_taking_one_stream_alone_is_refused(stream):
    driver, a, b = driver_on_ports()
    driver.send(list(BEATS))
    driver.step()
    {"a": a, "b": b}[stream].ready.value = 1
    with pytest.raises(ProtocolError, match=f"took a beat of stream {stream} alone"):
        driver.step()


def test_dropping_forgets_the_beats():
    driver, a, _ = driver_on_ports()
    driver.send(list(BEATS))
    driver.step()
    driver.drop()
    assert driver.waiting == 0
    assert value(a.valid) == 0


def monitor_on_ports(back_pressure=0.0):
    c = SimpleNamespace(valid=Port(), ready=Port(), data=Port(16), flags=Port(3), first=Port(), last=Port())
    taken = []
    monitor = Monitor(c, Random(1), lambda *beat: taken.append(beat))
    monitor.back_pressure = back_pressure
    return monitor, c, taken


def offer(c, data, flags=0, first=0, last=0):
    c.valid.value, c.data.value, c.flags.value, c.first.value, c.last.value = 1, data, flags, first, last


def test_monitor_takes_beats_when_ready():
    monitor, c, taken = monitor_on_ports(0.5)
    data = 1
    for _ in range(100):
        offer(c, data, 5, 1, 0)
        moved = value(c.ready)
        monitor.step()
        data += moved
    assert taken == [(index + 1, 5, 1, 0) for index in range(len(taken))]
    assert 30 < len(taken) < 70
    assert monitor.taken == len(taken) == data - 1


@pytest.mark.parametrize("port", ["data", "flags", "first", "last"])
def test_a_payload_that_changes_while_waiting_is_refused(port):
    monitor, c, _ = monitor_on_ports(1.0)
    offer(c, 7)
    monitor.step()
    monitor.step()
    getattr(c, port).value = 1
    with pytest.raises(ProtocolError, match="changed while it waited"):
        monitor.step()


def test_a_withdrawn_beat_is_refused():
    monitor, c, _ = monitor_on_ports(1.0)
    offer(c, 7)
    monitor.step()
    c.valid.value = 0
    with pytest.raises(ProtocolError, match="withdrawn"):
        monitor.step()


@pytest.mark.parametrize("port", ["valid", "data", "flags", "first", "last"])
def test_unknown_values_are_refused(port):
    monitor, c, _ = monitor_on_ports()
    offer(c, 7)
    getattr(c, port)._value = "X"
    with pytest.raises(ValueError, match=r"X"):
        monitor.step()
