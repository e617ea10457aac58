"""Whole arrays with product formats, outer accumulators, scales and results of another format, against golden."""

import contextlib
import dataclasses

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from macgen.errors import MacgenError
from macgen.numerics import ScaleFormat
from macgen.rtl import ArrayCore, Design
from macgen.rtl.parts.hierarchy import Modules
from macgen.spec import MacSpec
from tests.rtl.gates import from_rtlil
from tests.rtl.streams import beats_of, check, play
from tests.rtl.test_array import Bench, compare, tiles_of
from tests.strategies import fixed_formats, float_formats, specs

formats = st.one_of(float_formats(max_exp_bits=4, max_man_bits=4), fixed_formats(max_width=10))
small_formats = formats.filter(lambda fmt: abs(getattr(fmt, "bias", 0)) < 20)
scale_formats = st.builds(ScaleFormat, st.integers(2, 5)) | float_formats(max_exp_bits=3, max_man_bits=3).filter(
    lambda fmt: abs(fmt.bias) < 8
)
FIELDS = {"product": small_formats, "scale": scale_formats, "outer": small_formats, "out": small_formats}


@st.composite
def extended_specs(draw):
    """Small specs with one of the fields at least."""
    spec = draw(specs(max_exp_bits=3, max_man_bits=2, max_width=5, max_side=2, max_chunk=4))
    rounding = st.sampled_from(["rne", "rtz", "drop", "stochastic:2"])
    spec = dataclasses.replace(spec, interleave=draw(st.sampled_from([1, 1, 2, 3])))
    wanted = {"rounding": draw(rounding), "outer_rounding": draw(rounding)}
    for field, values in FIELDS.items():
        wanted[field] = draw(st.none() | values)
    wanted["outer_cycles"] = draw(st.integers(1, 4))
    for field, value in wanted.items():
        with contextlib.suppress(MacgenError):  # does not go with the others
            spec = dataclasses.replace(spec, **{field: value})
    assume(any(getattr(spec, field) for field in FIELDS))
    return spec


@pytest.mark.prove
@settings(max_examples=15)
@given(extended_specs())
@example(MacSpec(a="fix1.1narrow", b="fix1.1narrow", acc="fix1.1narrow", out="e2m1", rows=1, cols=1))
@example(MacSpec(a="e3m2", b="e3m2", acc="e4m3", scale="e5m2", chunk=1, outer="e5m3", out="e4m2fnuz", rows=2, cols=1))
@example(
    MacSpec(
        a="e3m2",
        b="e2m1",
        acc="e4m3",
        product="e3m1",
        chunk=3,
        fold="overlap",
        pipeline=2,
        rows=1,
        cols=2,
        out="fix4.1",
    )
)
def test_any_small_spec(spec):
    lengths = [length for length in (1, 3, 4, 6) for _ in range(spec.interleave)]
    tiles = list(tiles_of(spec, lengths, np.random.default_rng(1)))
    compare(spec, Bench(spec).run(tiles, gaps=0.2, back_pressure=0.3), tiles)


BASE = {"a": "e3m2", "b": "e3m2", "acc": "e5m3", "chunk": 3, "rows": 2, "cols": 2}
STREAMS = {
    "scales": {"a": "e4m3fn", "b": "e4m3fn", "acc": "e6m5", "chunk": 2, "outer": "e8m9", "scale": "e8m0fnu"},
    "turns": {"chunk": 2, "outer": "e6m4", "scale": "e3m2", "interleave": 3, "rows": 1},
    "cycles": {"chunk": 4, "outer": "e6m4", "scale": "e3m2", "outer_cycles": 3, "rows": 1},
    "cycles-at-random": {
        "b": "int4",
        "acc": "fix12.1",
        "outer": "fix5.1",
        "outer_rounding": "stochastic:4",
        "outer_cycles": 2,
    },
    "turns-at-random": {"outer_rounding": "stochastic:3", "interleave": 2},
    "chunks-at-random": {"b": "int4", "acc": "fix12.1", "outer": "fix5.1", "outer_rounding": "stochastic:4"},
    "out-at-random": {
        "a": "int4",
        "b": "int4",
        "acc": "int9",
        "chunk": None,
        "out": "e3m1",
        "outer_rounding": "stochastic:8",
    },
    "product": {"product": "e4m2", "fold": "overlap", "pipeline": 2, "rows": 1},
}


@pytest.mark.thinned(5)
@pytest.mark.parametrize("name", STREAMS)
def test_nothing_is_lost_in_gaps_back_pressure_restarts_and_resets(name):
    spec = MacSpec(**(BASE | STREAMS[name]))
    gates = from_rtlil(Modules("array").convert(ArrayCore(Design(spec))), "array")
    rng = np.random.default_rng(1)
    beats = beats_of(spec, rng, 48, 30)
    log = play(gates, spec, beats, rng)
    assert check(spec, beats, log) > 200


@pytest.mark.thinned(5)
@pytest.mark.parametrize("pipeline", [1, 2, 3])
@pytest.mark.parametrize("chunk", [None, 1, 3])
@pytest.mark.parametrize(("rows", "cols", "interleave"), [(1, 1, 1), (3, 2, 1), (2, 3, 3)])
def test_beats_never_wait_and_the_latency_is_as_stated(rows, cols, interleave, chunk, pipeline):
    """An outer accumulator with its own adder takes no bubble, whatever `fold` says."""
    fields = {"rows": rows, "cols": cols, "chunk": chunk, "pipeline": pipeline, "interleave": interleave}
    spec = MacSpec(a="int3", b="int3", acc="int8", outer="int9", fold="bubble", **fields)
    bench, rounds = Bench(spec), ([1], [3], [2, 30])
    groups = [
        list(tiles_of(spec, [length for length in lengths for _ in range(interleave)], bench.rng)) for lengths in rounds
    ]
    for lengths, (beats, latency) in zip(rounds, bench.latencies(groups), strict=True):
        assert beats == interleave * sum(lengths) - 1
        if len(lengths) == 1:
            assert latency == Design(spec).latency


@pytest.mark.parametrize("cycles", [2, 3, 4])
def test_a_short_last_chunk_waits_until_the_outer_adder_is_free(cycles):
    """A chunk of one beat ends right after another: only its beat waits, and the latency counts from it."""
    spec = MacSpec(a="e3m2", b="e3m2", acc="e5m3", chunk=4, outer="e6m4", rows=1, cols=1, outer_cycles=cycles)
    assert Design(spec).latency == Design(spec.replace(outer_cycles=1)).latency + cycles - 1
    bench = Bench(spec)
    lengths = {1: 0, 4: 0, 5: cycles - 1, 6: max(cycles - 2, 0), 8: 0, 9: cycles - 1}
    groups = [list(tiles_of(spec, [length], bench.rng)) for length in lengths]
    waits = [beats - (length - 1) for length, (beats, _) in zip(lengths, bench.latencies(groups), strict=True)]
    assert waits == list(lengths.values())
    assert {latency for _, latency in bench.latencies(groups)} == {Design(spec).latency}
    tiles = list(tiles_of(spec, [*lengths, 1, 1, 5, 5], np.random.default_rng(2)))
    compare(spec, Bench(spec).run(tiles), tiles)
