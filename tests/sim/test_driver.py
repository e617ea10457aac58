"""Driver and monitor on ports made of Python, against arrays that break the rules of the streams."""

from random import Random
from types import SimpleNamespace

import numpy as np
import pytest

from sim.driver import Driver, ProtocolError, beats_of
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
BEATS = beats_of(TILE, 4, 4)


def driver_on_ports(seed=1):
    a = SimpleNamespace(valid=Port(), ready=Port(), data=Port(8), first=Port(), last=Port())
    b = SimpleNamespace(valid=Port(), ready=Port(), data=Port(4))
    return Driver(a, b, Random(seed)), a, b


def value(port):
    return port._value


def test_beats_are_columns_of_a_and_rows_of_b_with_marks():
    assert [(beat.a, beat.b) for beat in BEATS] == [(0x61, 1), (0x72, 2), (0x83, 3), (0x94, 4), (0xA5, 5)]
    assert [beat.first for beat in BEATS] == [1, 0, 0, 0, 0]
    assert [beat.last for beat in BEATS] == [0, 0, 0, 0, 1]
    assert not any(beat.first or beat.last for beat in beats_of(TILE, 4, 4, mark_first=False, finish=False))


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
