"""Cycles, worked out by hand from docs/system.md; tests/system/test_simulation.py compares them with the Verilog."""

import pytest

from macgen import MacSpec
from macgen.errors import MacgenError
from macgen.rtl import Design
from macgen.system import Cycles, MatrixProduct, Tiling, cycles
from macgen.system.timing import cycles_before

FLOAT = {"a": "e5m2", "b": "e5m2", "acc": "e6m5"}


def of(spec, rows, cols, length):
    return cycles(Tiling(spec, MatrixProduct(rows, length, cols)))


def test_one_tile_without_chunks():
    """4 x 4: ten beats, nine cycles from the last one to the first results, then four rows."""
    spec = MacSpec(**FLOAT)
    assert Design(spec).latency == 4 + 4 + 1
    assert of(spec, 4, 4, 10) == Cycles(beats=10, folds=0, held=0, drain=9 - 1 + 4, turns=1)


def test_a_chunk_costs_a_cycle_but_for_the_last_ones():
    """Five chunks in each of two tiles: of ten bubbles, the last is in the drain, one cycle longer for it."""
    spec = MacSpec(**FLOAT, chunk=4)
    assert of(spec, 4, 8, 18) == Cycles(beats=36, folds=9, held=0, drain=10 - 1 + 4, turns=1)
    assert of(spec.replace(fold="overlap"), 4, 8, 18) == Cycles(beats=36, folds=0, held=0, drain=13, turns=1)


def test_short_tiles_wait_for_the_results_before_them():
    """Tiles of one beat: latency 9, four rows; the next tile's beat is taken in the cycle after the last of them."""
    assert of(MacSpec(**FLOAT), 4, 12, 1) == Cycles(beats=3, folds=0, held=2 * (9 + 4 - 1), drain=12, turns=1)


def test_with_turns_what_is_held_waits_for_its_slot():
    """Three turns on 1 x 1, latency 1 + 1 + 1 + 2.

    Turn 0's only beat in cycle 0, the last turn's in 2, results in 7 to 9; cycle 10 is slot 1's, so that turn 0's next
    beat is taken in 12.
    """
    spec = MacSpec(**FLOAT, interleave=3, rows=1, cols=1)
    assert Design(spec).latency == 5
    assert of(spec, 4, 1, 1) == Cycles(beats=6, folds=0, held=12 - 3, drain=7, turns=3)
    assert of(spec, 4, 1, 1).total == 12 + 10


def test_a_short_last_chunk_waits_for_the_outer_adder():
    """Of nine beats in chunks of four the last one waits two cycles, of ten one; one chunk waits for results only."""
    spec = MacSpec(**FLOAT, chunk=4, outer="fp32", outer_cycles=3)
    assert Design(spec).latency == 4 + 4 + 1 + 2 + 2
    assert of(spec, 4, 4, 8) == Cycles(beats=8, folds=0, held=0, drain=16, turns=1)
    assert of(spec, 4, 8, 9) == Cycles(beats=18, folds=2 * 2, held=17 - 11, drain=16, turns=1)
    assert of(spec, 4, 4, 10) == Cycles(beats=10, folds=1, held=0, drain=16, turns=1)
    assert of(spec, 4, 4, 1) == Cycles(beats=1, folds=0, held=0, drain=16, turns=1)


def test_before_the_first_beat_bubbles_empty_the_accumulators():
    for changes, before in (({}, 0), ({"chunk": 4}, 1), ({"chunk": 4, "interleave": 3}, 3), (
        {"chunk": 4, "fold": "overlap"}, 0), ({"chunk": 4, "outer": "fp32"}, 0)):  # fmt: skip
        assert cycles_before(Design(MacSpec(**FLOAT, **changes))) == before


def test_stalls_cost_a_turn_of_slots_at_most():
    taken = Cycles(beats=10, folds=2, held=3, drain=4, turns=3)
    assert taken.total == 19
    assert [taken.most(stalls) for stalls in (0, 1, 5)] == [19, 22, 34]
    with pytest.raises(MacgenError, match=r"^stalls -1 is not an integer from 0$"):
        taken.most(-1)
