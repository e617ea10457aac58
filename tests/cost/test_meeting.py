"""The search on clocks that are given, and one real measurement."""

import pytest

from macgen.cost import kept, meeting
from macgen.cost.meeting import meet, search
from macgen.errors import MacgenError
from macgen.spec import MacSpec
from tests.optional import need, osu018

SPEC = MacSpec(a="int4", b="int4", acc="int12", rows=4, cols=4, pipeline=2)


def limited_by(multiplier, loop):
    """Clocks of a PE whose products take some time in all stages together, and whose additions take some in a turn."""
    return lambda pipeline, interleave: min(multiplier * pipeline, loop * interleave)


@pytest.mark.parametrize(
    ("multiplier", "loop", "clock", "chosen", "tried"),
    [
        (100.0, 100.0, 90.0, (1, 1), (2, 2)),
        (50.0, 200.0, 90.0, (2, 1), (3, 2)),
        (200.0, 50.0, 90.0, (1, 2), (2, 3)),
        # Neither gains by itself.
        (50.0, 50.0, 90.0, (2, 2), (3, 3)),
        (200.0, 30.0, 115.0, (1, 4), (2, 4)),
    ],
)
def test_the_first_choice_that_meets_the_clock(multiplier, loop, clock, chosen, tried):
    found, trials = search(clock, limited_by(multiplier, loop))
    assert found == chosen
    # All up to one stage and one turn more, so that it is seen what the others give.
    stages, turns = tried
    assert [(trial.pipeline, trial.interleave) for trial in trials] == [
        (p, i) for p in range(1, stages + 1) for i in range(1, turns + 1)
    ]
    clock_of = limited_by(multiplier, loop)
    assert all(trial.mhz == clock_of(trial.pipeline, trial.interleave) for trial in trials)


def test_a_clock_out_of_reach_gives_the_fastest():
    found, trials = search(1000.0, limited_by(100.0, 100.0))
    assert found == (3, 3)
    assert max(trial.mhz for trial in trials) == 300.0
    assert len(trials) <= 12


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"clock_mhz": 0.0, "fpga": "ecp5"}, "clock-mhz 0.0 is not from 1 to 100000"),
        ({"clock_mhz": 100.0}, "liberty and fpga are both given or both left out; accepted is one of them"),
        ({"clock_mhz": 100.0, "fpga": "ecp5", "liberty": "x.lib"}, "liberty and fpga are both given or both left out"),
        ({"clock_mhz": 100.0, "fpga": "ecp5", "device": "1k"}, "device '1k' is no ecp5 part"),
        ({"clock_mhz": 100.0, "fpga": "gowin"}, "fpga 'gowin' is not one of"),
        ({"clock_mhz": 100.0, "liberty": "x.lib", "device": "25k"}, "device '25k' goes with fpga only"),
    ],
)
def test_wrong_arguments_are_refused(arguments, sentence):
    with pytest.raises(MacgenError) as caught:
        meet(SPEC, **arguments)
    assert str(caught.value).startswith(sentence)


def test_outer_additions_of_several_cycles_are_refused():
    with pytest.raises(MacgenError) as caught:
        meet(SPEC.replace(outer="int13", outer_cycles=2), 100.0, fpga="ecp5")
    assert str(caught.value) == "outer_cycles 2 does not go with meet, which chooses turns; accepted is 1"


@pytest.mark.prove
def test_in_a_real_library(monkeypatch, tmp_path):
    need("sta")
    monkeypatch.setattr(kept, "_folder", lambda: tmp_path / "cache")
    low = meet(SPEC, 50.0, liberty=osu018())
    assert (low.met, low.spec.pipeline, low.spec.interleave, low.spec.rows) == (True, 1, 1, 4)
    trial = low.trials[0]
    assert [(other.pipeline, other.interleave) for other in low.trials] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    higher = meet(SPEC, 1.5 * trial.mhz, liberty=osu018())
    assert higher.spec.pipeline + higher.spec.interleave > 2
    assert len(higher.trials) > 1
    monkeypatch.setattr(meeting, "synthesize_gates", None)
    assert meet(SPEC, 50.0, liberty=osu018()) == low  # what was measured is kept
