"""What stands below the place of rounding, against the normalised sum; and how far a sum of two addends can cancel."""

import itertools

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.rtl import Design
from macgen.rtl.parts.hierarchy import Modules
from macgen.rtl.parts.modes import mode_port
from macgen.rtl.units import float_rounder
from macgen.rtl.units.geometry import SHORT_SHIFTS, FloatGeometry
from macgen.rtl.units.rounding_place import BitsBelow
from macgen.spec import MacSpec
from tests.rtl.gates import from_rtlil
from tests.rtl.stages import DifferenceError, Proof

TOTAL = 11


class Below(wiring.Component):
    """BitsBelow beside a normalised sum from outside."""

    def __init__(self, head, kept, count, short):
        self._parameters = {"kept": kept, "count": count, "short": short}
        members = {"total": In(TOTAL), "stops": In(head), "normalised": In(TOTAL), **mode_port(kept)}
        super().__init__({**members, "below": Out(count + 1)})

    def elaborate(self, platform):
        m = Module()
        mode = getattr(self, "mode", None)
        places = BitsBelow(m, self.total, self.stops, mode=mode, **self._parameters)
        m.d.comb += self.below.eq(places.completed(places.early, self.normalised, mode))
        return m


@pytest.mark.thinned(7)
@pytest.mark.parametrize("short", [0, 1, 3])
@pytest.mark.parametrize("count", [0, 1, 4, 9, 12])
@pytest.mark.parametrize(
    ("head", "kept"), [(6, (2,)), (8, (2,)), (10, (3,)), (11, (3,)), (7, (4,)), (8, (4, 2, 4, 1)), (7, (5, 3))]
)
def test_every_sum_and_shift(head, kept, count, short):
    shift, total = (side.ravel() for side in np.meshgrid(np.arange(head), np.arange(1 << TOTAL)))
    # Nothing below the head where the shift is not short.
    allowed = (shift < short) | (total & ((1 << TOTAL - head) - 1) == 0)
    shift, total = shift[allowed], total[allowed]
    rng = np.random.default_rng(1)
    stops = (1 << (head - 1 - shift)) | (rng.integers(0, 1 << head, len(shift)) & ((1 << (head - 1 - shift)) - 1))
    gates = from_rtlil(Modules("below").convert(Below(head, kept, count, short)), "below")
    # The normalised sum is that of the head alone.
    of_head = (total >> TOTAL - head << TOTAL - head << shift) & ((1 << TOTAL) - 1)
    for mode, precision in enumerate(kept):
        top = TOTAL - 1 - precision
        normalised = (total << shift) & ((1 << top) - 1)
        inputs = {"total": total, "stops": stops, "normalised": of_head}
        if len(kept) > 1:
            inputs["mode"] = np.full_like(total, mode)
        found = gates.evaluate(len(total), inputs)["below"]
        first = (normalised << count) >> top
        beneath = (normalised << count) & ((1 << top) - 1) != 0
        assert np.array_equal(found, first << 1 | beneath)


@pytest.mark.parametrize("window", [2, 3, 4, 5])
def test_how_far_a_sum_of_two_addends_cancels(window):
    """By integers: the larger addend's significand is that of a normal number, rounding up included."""
    guard = 2 * window + 4
    larger = [sign * value for value in range(1 << window - 1, (1 << window) + 1) for sign in (1, -1)]
    deepest = 0
    for x, y, distance in itertools.product(larger, range(-(1 << window), (1 << window) + 1), range(guard + 1)):
        total = (x << guard) + (y << guard >> distance)
        shift = window + guard + 1 - (total if total >= 0 else ~total).bit_length()
        if total and shift >= SHORT_SHIFTS:
            lowest = (total & -total).bit_length() - 1
            deepest = max(deepest, window + guard + 2 - lowest)
    spec = MacSpec(a="e4m0fn", b="e4m0fn", acc=f"e5m{window - 1}fn", rounding="stochastic:4")
    assert deepest == Design(spec).steps.geometry.cancelling_bits


# Rounded at random with more than one guard bit. How many bits stand below the places of longer shifts, and whether
# subnormal sums can be inexact.
EARLY = [
    ({"acc": "e3m3"}, 0, False),
    ({"acc": "e3m3:bias=-1"}, 0, True),
    ({"acc": "e3m2:flush"}, 0, False),
    ({"acc": "e3m2:none"}, 0, False),
    ({"acc": "e3m1", "overflow": "infinity"}, 1, False),
    ({"acc": "e3m1:bias=1"}, 1, True),
    ({"acc": "e4m0fn"}, 2, False),
    ({"a": "e2m2", "b": "e2m2", "acc": "e3m1:bias=1", "rounding": "stochastic:6"}, 3, True),
    ({"acc": "e3m3:bias=-1", "rounding": "stochastic:2:nearest"}, 0, True),
    ({"acc": "e3m1:bias=1", "rounding": "stochastic:3:nearest"}, 1, True),
]


def early(fields):
    return MacSpec(**{"a": "e2m1", "b": "e2m1", "rounding": "stochastic:4", "chunk": 4, **fields})


@pytest.mark.thinned(5)
@pytest.mark.parametrize(("fields", "rest", "capped"), EARLY)
def test_every_state_operand_and_random_number(fields, rest, capped):
    spec = early(fields)
    g = Design(spec).steps.geometry
    assert (g.guard_bits > 1, max(0, g.window_bits - g.precision - 1), g.capped) == (True, rest, capped)
    proof = Proof(spec, most_pairs=60_000).run()
    assert proof.complete or len(proof.states) >= 50


@pytest.mark.parametrize("acc", ["e3m3", "e3m1"])
@pytest.mark.parametrize("bound", ["SHORT_SHIFTS", "cancelling_bits"])
def test_neither_bound_may_be_smaller(monkeypatch, acc, bound):
    if bound == "SHORT_SHIFTS":
        monkeypatch.setattr(float_rounder, bound, SHORT_SHIFTS - 1)
    else:
        monkeypatch.setattr(FloatGeometry, bound, property(lambda g: g.window_bits + 2))
    with pytest.raises(DifferenceError):
        Proof(early({"acc": acc}), most_pairs=60_000).run()
