"""Outer additions of several cycles in a spec: what goes with them."""

import json

import pytest

from macgen import MacSpec
from macgen.errors import MacgenError

PLAIN = {"a": "e4m1", "b": "e4m1", "acc": "e5m3", "outer": "e6m5", "chunk": 4, "rows": 1, "cols": 2}


def test_a_number_is_what_outer_cycles_are():
    spec = MacSpec(**PLAIN, outer_cycles=3)
    assert json.loads(spec.to_json())["outer_cycles"] == 3
    assert MacSpec.from_json(spec.to_json()) == spec == eval(repr(spec), {"MacSpec": MacSpec})
    assert "outer additions of 3 cycles" in spec.extras
    assert "outer_cycles" not in json.loads(MacSpec(**PLAIN, outer_cycles=1).to_json())


ACCEPTED_OUTER = "accepted is 1, or a scale of chunks, an outer other than acc, or chunks with another outer_rounding"
REFUSED = {
    "too many": ({}, 5, "outer_cycles 5 is not an integer from 1 to 4"),
    "no outer adder": (
        {"outer": None},
        2,
        f"outer_cycles 2 does not go with an array whose outer accumulator has no adder of its own; {ACCEPTED_OUTER}",
    ),
    "turns": ({"interleave": 2}, 2, "outer_cycles 2 does not go with interleave 2; accepted is 1 of either"),
    "modes": (
        {"modes": ["low:acc=e5m1"]},
        2,
        "outer_cycles 2 does not go with modes full, low; accepted is an array without modes",
    ),
    "counters": (
        {"counters": "4/8"},
        2,
        "outer_cycles 2 does not go with counters 4/8; accepted is an array without counters",
    ),
    "preload": (
        {"preload": True},
        2,
        "outer_cycles 2 does not go with preload; accepted is an array without preloaded accumulators",
    ),
    "short chunk": (
        {"chunk": 2},
        3,
        "outer_cycles 3 is more than the 2 steps of a chunk of 2 with 1 lane; accepted is at most as many",
    ),
    "chunk of lanes": (
        {"lanes": 4},
        2,
        "outer_cycles 2 is more than the 1 step of a chunk of 4 with 4 lanes; accepted is at most as many",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_go_with_outer_cycles_is_refused(name):
    fields, cycles, sentence = REFUSED[name]
    assert MacSpec(**PLAIN | fields).outer_cycles == 1
    with pytest.raises(MacgenError) as error:
        MacSpec(**PLAIN | fields, outer_cycles=cycles)
    assert str(error.value) == sentence
