"""The testbench on emitted Verilog: right arrays pass, wrong ones fail, and what surrounds it keeps its promises."""

import dataclasses
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from macgen import MacSpec, golden, presets, tools
from macgen.bundle import build
from macgen.errors import MacgenError, ToolError
from macgen.numerics import ScaleFormat
from macgen.share import share_directory
from macgen.simulate.matmul import run_matmul
from macgen.simulate.session import read_results
from macgen.simulate.simulators import choose, simulator_environment
from macgen.simulate.verify import VerifyResult, verify
from tests.mutants import Mutant, connect, drive, edit, keep_in_reset, load, random_mutants
from tests.optional import need, replace_find
from tests.representatives import BUILT, UNITS

FEW_TILES = 4
RANDOM_MUTANTS = 8


def folds_may_overlap(spec: MacSpec) -> bool:
    return bool(spec.chunk) and not spec.has_outer_adder and not spec.modes


# Folds alternate among the presets that have any; `default` has bubbles here, and none under Verilator.
WITH_FOLDS = [
    pytest.param(name, "overlap" if folds_may_overlap(spec) and index % 2 else "bubble", id=name)
    for index, (name, spec) in enumerate((name, presets[name]) for name in BUILT)
]

SMALL = MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=5, rows=2, cols=2)
OTHERS = {
    "overlap": dataclasses.replace(SMALL, fold="overlap"),
    "fp16": MacSpec(a="fp16", b="fp16", acc="fp16", overflow="infinity", chunk=3, fold="overlap", rows=2, cols=1),
    "fixed": MacSpec(a="int8", b="uint4", acc="int14", overflow="wrap", chunk=4, pipeline=2, rows=1, cols=2),
    "fractions": MacSpec(a="e4m3fn", b="int4", acc="fix14.4", rounding="rtz", rows=3, cols=1),
    "fnuz": MacSpec(a="e4m3fnuz", b="e5m2", acc="e6m3fnuz", chunk=1, rows=1, cols=1),
    "random": MacSpec(a="e5m2", b="e5m2", acc="e6m5", rounding="stochastic:6", chunk=4, rows=2, cols=2),
    "finite": MacSpec(a="e2m1finite", b="e5m2", acc="e5m4finite:flush", chunk=2, pipeline=2, rows=2, cols=3),
    "scaled": MacSpec(
        a="e4m3fn", b="e2m1finite", acc="e6m4", scale="e4m3fn", chunk=6, lanes=3, outer="e8m7",
        outer_rounding="stochastic:7", rounding="rtz", interleave=2, overflow="infinity", rows=2, cols=1,
    ),
    "turns": MacSpec(
        a="e5m2", b="e5m2", acc="e6m5", rounding="stochastic:6", chunk=4, interleave=3, out="e5m2", rows=2, cols=1,
        outer_rounding="rne",
    ),
    "tree": MacSpec(
        a="fp16", b="e4m3fn", product="fp16", acc="fp16", lanes=4, lane_sum="tree", chunk=8, fold="overlap", rows=1,
        cols=2,
    ),
    "lane scales": MacSpec(
        a="e2m1finite", b="e2m1finite", acc="e5m4", lanes=4, lane_sum="exponents:6/2", scale="e3m1",
        scale_place="lanes", scale_block=2, chunk=8, overflow="infinity", interleave=2, pipeline=2, rows=2, cols=1,
    ),
    # int1 is -1 or 0: it has no positive number, and with int1 no negative product.
    "one bit": MacSpec(a="int1", b="int1", acc="int2", rows=2, cols=1),
    "four bits by one": MacSpec(a="int4", b="int1", acc="int6", chunk=3, overflow="wrap", rows=1, cols=2),
    "one bit unsigned": MacSpec(a="uint1", b="int1", acc="int1", rows=1, cols=1),
    "aligned turns": MacSpec(
        a="e4m3fn", b="e4m3fn", acc="e5m5", lanes=2, lane_sum="aligned:6", chunk=4, interleave=2, rows=2, cols=1
    ),
    "modes": MacSpec(
        a="e5m2", b="e5m2", acc="e6m9", chunk=4, rounding="stochastic:4", interleave=2, rows=2, cols=1,
        modes=["low:acc=e6m3", "mid:a=e5m1,acc=e6m5"],
    ),
    "fixed modes": MacSpec(
        a="fix3.3", b="fix3.3", acc="fix8.6", overflow="wrap", rows=1, cols=2, modes=["low:acc=fix7.2,b=fix2.1"]
    ),
    "packed modes": MacSpec(
        a="uint4", b="fix4.4", acc="fix10.4", chunk=8, lanes=2, interleave=2, pipeline=3, rounding="stochastic:4",
        rows=2, cols=1, modes=["two:a=uint2,b=fix2.2,packed=2,acc=fix10.2", "four:a=uint1,b=fix1.1,packed=4"],
    ),
    "modes of every format": MacSpec(
        a="fp16", b="e5m2", product="e6m7", acc="e6m9", chunk=4, outer="fp32", out="bf16", rounding="odd", rows=2,
        cols=1, modes=["low:product=e6m3,acc=e6m3,outer=e8m9,out=e8m3"],
    ),
}  # fmt: skip


def assert_passed(result: VerifyResult) -> None:
    failures = [
        f"{run.simulator} {test.name}: {test.message} ({run.log})" for run in result.runs for test in run.failed
    ]
    assert result.passed, "\n".join(failures)
    for run in result.runs:
        assert len(run.tests) >= 10
        assert run.tiles > 100
        assert run.comparisons >= 2 * run.tiles
        assert run.cycles > run.beats > run.tiles


# -- right arrays pass -----------------------------------------------------------------------------------------------


@pytest.mark.thinned("default", "int8-int32", "nvfp4", prove=2)
@pytest.mark.parametrize(("name", "fold"), WITH_FOLDS)
def test_presets_pass_under_icarus(name, fold, tmp_path):
    need("iverilog")
    side = 1 if presets[name].lanes > 1 else 2  # of many lanes a PE is an array of its own
    spec = dataclasses.replace(presets[name], rows=side, cols=side, fold=fold)
    build(spec, tmp_path / "dut")
    result = verify(tmp_path / "dut", simulator="icarus", tiles=FEW_TILES, workdir=tmp_path)
    assert_passed(result)
    # Not in a short test: 127 * 127 goes 133 145 times into 2**31 - 1 (the datapath has exhaustive tests of its own).
    unreachable = {
        "int8-int32": 133145,
        "int8": 8322,
        "int4": 10700,
        "kulisch-e4m3": 5350,
        "fp16-fp32": 79305585745051938855524239170,
        "gupta2015": 131081,
        "rvbna-e5m2-n4": 103481675483295157190398349898,
    }
    beyond_chunk = {"deepseek-v3", "mxfp8", "mxfp6", "mxfp4", "mxint8", "nvfp4"}
    if name in beyond_chunk:
        assert [note.partition(":")[0] for note in result.notes] == ["overflow of acc cannot be reached"]
        return
    products = unreachable.get(name)
    if name in UNITS:  # sums of the largest products, with the largest scales of lanes
        factors = [spec.a, spec.b, *[spec.scale] * 2 * spec.scales_lanes]
        codes = [f.nan_code - 1 if isinstance(f, ScaleFormat) else f.largest_code(0) for f in factors]
        largest = math.prod(fmt.number(code).to_fraction() for fmt, code in zip(factors, codes, strict=True))
        needed = math.floor(spec.acc.number(spec.acc.max_code).to_fraction() / largest) + 1
        products = needed if needed > 600 else None
    assert result.notes == (
        () if products is None else (f"overflow not reached: {products} of the largest products are needed",)
    )


@pytest.mark.thinned("fixed", "scaled", "one bit", "aligned turns", "lane scales", "fixed modes")
@pytest.mark.parametrize("name", OTHERS)
def test_other_formats_pass_under_icarus(name, tmp_path):
    need("iverilog")
    build(OTHERS[name], tmp_path / "dut")
    assert_passed(verify(tmp_path / "dut", simulator="icarus", tiles=FEW_TILES, seed=7, workdir=tmp_path))


@pytest.mark.thinned("default-overlap")
@pytest.mark.parametrize(("name", "fold"), [("default", "overlap"), ("int8-int32", "bubble")])
def test_presets_pass_under_verilator(name, fold, tmp_path):
    build(dataclasses.replace(presets[name], rows=2, cols=1, fold=fold), tmp_path / "dut")
    result = verify(tmp_path / "dut", simulator="verilator", tiles=FEW_TILES, workdir=tmp_path)
    assert_passed(result)
    assert result.runs[0].version == tools.require("verilator").version


def test_both_simulators_do_the_same_work(bundles, tmp_path):
    need("iverilog")
    result = verify(bundles / "small", simulator="all", tiles=FEW_TILES, workdir=tmp_path)
    assert_passed(result)
    icarus, verilator = result.runs
    assert (icarus.simulator, verilator.simulator) == ("icarus", "verilator")
    for name in ("tiles", "comparisons", "beats", "cycles"):
        assert getattr(icarus, name) == getattr(verilator, name)
    assert result.comparisons == 2 * icarus.comparisons
    assert icarus.log == tmp_path / "icarus" / "log.txt"
    assert icarus.log.is_file()


# -- wrong arrays fail -----------------------------------------------------------------------------------------------


def lose_overflow(verilog: str) -> Mutant:
    return drive(drive(verilog, "value_outside", "1'b0").verilog, "acc_outside", "1'b0")


# What is wrong, in which array, a part of the name of the test that finds it (where only one can), the change.
NAMED_MUTANTS = [
    ("rounding increment lost", "small", "", lambda v: drive(v, "result__round_up", "1'b0")),
    ("sticky bit lost", "small", "", lambda v: drive(v, "align_sticky", "1'b0")),
    ("chunk ends one early", "small", "", lambda v: edit(v, "chunk_end", r"== ([\w']+)", r"== (\1 - 1'b1)")),
    ("beats lost while results wait", "small", "", lambda v: drive(v, "control__step", "{} & ~busy")),
    ("ties away from even", "small", "", lambda v: edit(v, "result__round_up", r"(\w+\[1\]) & .*", r"\1")),
    ("overflow flag lost", "small", "", lambda v: drive(v, "flags", "3'b000", module="dut_output")),
    ("invalid flag lost", "small", "", lambda v: drive(v, "flags", "3'b000", module="dut_rounder")),
    ("underflow flag lost", "fp16", "", lambda v: drive(v, "flags", "{} & 3'b101", module="dut_rounder")),
    ("overflow not seen", "small", "", lambda v: lose_overflow(v)),
    ("integer overflow not seen", "fixed", "", lambda v: drive(v, "outside", "1'b0")),
    ("0 times infinity not seen", "small", "", lambda v: drive(v, "zero_times_infinity", "1'b0")),
    ("signalling NaN not seen", "small", "", lambda v: drive(v, "a_signalling", "1'b0")),
    ("infinities of both signs not seen", "small", "", lambda v: drive(v, "opposite", "1'b0")),
    ("mark first ignored", "small", "restart_by_mark", lambda v: drive(v, "restart", "1'b0")),
    ("mark first ignored", "overlap", "restart_by_mark", lambda v: drive(v, "restart", "1'b0")),
    ("results overwritten", "small", "", lambda v: load(v, "busy", "1'b0")),
    ("last beat never taken", "small", "", lambda v: load(v, "busy", "1'b1")),
    ("back-pressure ignored", "small", "", lambda v: drive(v, "taken", "c_valid")),
    ("payload changes while it waits", "small", "", lambda v: drive(v, "c_data", "c_ready ? {} : ~{}")),
    ("mark of row 0 stuck", "small", "", lambda v: drive(v, "c_first", "1'b1")),
    ("stream a taken alone", "small", "", lambda v: connect(v, "sequencer", "valid", "a_valid")),
    ("stream b always ready", "small", "", lambda v: drive(v, "b_ready", "1'b1")),
    ("a bubble too many", "overlap", "latency_and_throughput", lambda v: drive(v, "accept", "{} & ~control__fold")),
    ("results survive a reset", "small", "reset", lambda v: keep_in_reset(v, "c_valid")),
    ("row counter survives a reset", "small", "reset", lambda v: keep_in_reset(v, "count", module="dut")),
    ("random numbers of a wrong tap", "random", "", lambda v: edit(v, "moved", r"\^ now\[11\],", "^ now[10],")),
    ("random numbers a bit short", "random", "", lambda v: edit(v, "moved", r"now\[12:0\], ", "now[13:1], ")),
    ("random numbers not for folds", "random", "", lambda v: connect(v, "random", "adds", "control_out__step")),
    ("random numbers in idle cycles", "random", "", lambda v: connect(v, "random", "adds", "1'b1")),
    ("random numbers of a wrong seed", "random", "", lambda v: connect(v, "row_0", "seeds", "{} ^ 38'd1")),
    ("random numbers of one seed", "random", "", lambda v: connect(v, "pe_1", "seed", "seeds[18:0]")),
    ("random numbers survive a reset", "random", "", lambda v: keep_in_reset(v, "begun")),
    (
        "random numbers not mirrored",
        "random",
        "",
        lambda v: edit(v, "result__round_up", r"random \^ \{.*?\}\}", "random"),
    ),
    (
        "a tile has the next one's mode",
        "fixed modes",
        "",
        lambda v: edit(v, "beat_mode", r"first_or_fresh", "1'b1"),
    ),
    (
        "results are converted in the mode of the tile that comes",
        "modes",
        "",
        lambda v: connect(v, "output_0", "mode", "a_mode"),
    ),
    (
        "chunk position survives a reset",
        "overlap",
        "reset",
        lambda v: keep_in_reset(v, "count", module="dut_sequencer"),
    ),
]
CLASSIC = 4
"""The first of them are also tried where only Verilator is there, which takes much longer for each."""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory) -> Path:
    """A directory with the bundles that mutants are made of, all with one name so that their nets have, too."""
    directory = tmp_path_factory.mktemp("bundles")
    for key in {key for _, key, _, _ in NAMED_MUTANTS}:
        build({"small": SMALL, **OTHERS}[key], directory / key, name="dut")
    return directory


def verify_mutant(bundle: Path, mutant: Mutant, directory: Path) -> VerifyResult:
    changed = directory / "mutant"
    shutil.copytree(bundle, changed)
    (changed / "rtl" / "dut.v").write_text(mutant.verilog)
    options = {"workdir": directory / "work", "stop_at_first_failure": True, "timeout": 300, "trust": True}
    result = verify(changed, tiles=FEW_TILES, **options)
    shutil.rmtree(changed)
    assert any("rtl/dut.v was changed after it was built" in note for note in result.notes)
    return result


@pytest.mark.thinned(5, prove=2)
@pytest.mark.parametrize("index", range(len(NAMED_MUTANTS)), ids=[f"{m[0]}-{m[1]}" for m in NAMED_MUTANTS])
def test_named_mutants_are_caught(index, bundles, tmp_path):
    if index >= CLASSIC:
        need("iverilog")
    _, key, catcher, mutate = NAMED_MUTANTS[index]
    mutant = mutate((bundles / key / "rtl" / "dut.v").read_text())
    result = verify_mutant(bundles / key, mutant, tmp_path)
    assert not result.passed, f"the testbench let pass: {mutant.description}"
    caught = result.runs[0].failed[0]
    assert catcher in caught.name
    assert caught.message


@pytest.mark.prove
def test_random_mutants_are_caught(bundles, tmp_path):
    """Of small changes at random places nearly all are caught; the rest changes what cannot be seen from outside."""
    need("iverilog")
    mutants = random_mutants((bundles / "small" / "rtl" / "dut.v").read_text(), RANDOM_MUTANTS, seed=1)
    survivors = [m.description for m in mutants if verify_mutant(bundles / "small", m, tmp_path).passed]
    assert len(mutants) == RANDOM_MUTANTS
    assert len(survivors) <= RANDOM_MUTANTS // 4, "\n".join(survivors)


# -- around it -------------------------------------------------------------------------------------------------------


def quick(bundle: Path, **arguments: object) -> VerifyResult:
    return verify(bundle, tiles=1, **arguments)


def tree(directory: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None for path in directory.rglob("*")
    }


def test_bundles_are_only_read_and_temporary_files_removed(bundles, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    bundle = bundles / "small"
    before = tree(bundle)
    for path in (bundle, bundle / "rtl"):
        path.chmod(0o555)
    try:
        result = quick(bundle)
    finally:
        for path in (bundle, bundle / "rtl"):
            path.chmod(0o755)
    assert_passed(result)
    assert result.notes == ()
    assert result.runs[0].log is None
    assert tree(bundle) == before
    assert list(tmp_path.glob("macgen-*")) == []


def test_logs_of_failures_are_kept(bundles, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    changed = tmp_path / "mutant"
    shutil.copytree(bundles / "small", changed)
    file = changed / "rtl" / "dut.v"
    file.write_text(lose_overflow(file.read_text()).verilog)
    result = quick(changed, trust=True, stop_at_first_failure=True)
    log = result.runs[0].log
    assert not result.passed
    assert log is not None
    assert tmp_path in log.parents
    failed = result.runs[0].failed[0]
    assert failed.message.splitlines()[0] in log.read_text()
    assert "expected" in failed.message


@pytest.mark.prove
def test_the_seed_repeats_a_run_and_changes_it(bundles, tmp_path):
    need("iverilog")
    runs = [quick(bundles / "small", simulator="icarus", seed=seed).runs[0] for seed in (3, 3, 4)]
    assert runs[0].cycles == runs[1].cycles != runs[2].cycles


def test_verilog_that_does_not_compile_is_a_tool_error(bundles, tmp_path):
    changed = tmp_path / "mutant"
    shutil.copytree(bundles / "small", changed)
    (changed / "rtl" / "dut.v").write_text("module dut(input clk; endmodule\n")
    with pytest.raises(ToolError, match=r"^simulation with \w+ did not end normally .*error.* its log is (.*)log.txt$"):
        quick(changed, trust=True, workdir=tmp_path)
    assert "dut.v" in next(tmp_path.glob("*/log.txt")).read_text()


def test_a_testbench_that_breaks_off_is_no_difference(bundles, tmp_path, monkeypatch):
    monkeypatch.setenv("MACGEN_BUDGET", "plenty")
    with pytest.raises(ToolError) as caught:
        quick(bundles / "small", workdir=tmp_path, stop_at_first_failure=True)
    start, _, log = str(caught.value).partition("; its log is ")
    assert re.fullmatch(
        r"the testbench broke off in idle_after_reset with \w+, which is no difference of the array: "
        r"MacgenError: MACGEN_BUDGET is 'plenty'; accepted is a non-negative integer",
        start,
    )
    assert Path(log).is_file()
    assert run_py(bundles / "small", tmp_path / "alone") == 2


def run_py(bundle: Path, work: Path) -> int:
    command = [sys.executable, share_directory("sim") / "run.py", bundle, "--work", work]
    return subprocess.run(command, capture_output=True, timeout=500, check=False).returncode


def test_differences_come_before_tests_that_break_off(tmp_path):
    results = tmp_path / "results.xml"
    results.write_text(
        '<testsuites><testsuite><testcase name="one" time="1"><failure message="boom" type="KeyError" /></testcase>'
        '<testcase name="two" time="1"><failure message="tile 1" type="MismatchError" /></testcase>'
        '<testcase name="three" time="1" /></testsuite></testsuites>'
    )
    tests, broken = read_results(results)
    assert [(test.name, test.passed, test.message) for test in tests] == [
        ("one", False, "KeyError: boom"),
        ("two", False, "tile 1"),
        ("three", True, ""),
    ]
    assert broken == tests[:1]


def test_time_limit(bundles, tmp_path):
    with pytest.raises(ToolError, match=r"was stopped after its limit of 0.2 s; its log is"):
        quick(bundles / "small", workdir=tmp_path, timeout=0.2)


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_time_limits_that_are_none_leave_nothing(timeout, bundles, tmp_path):
    with pytest.raises(MacgenError, match=rf"timeout {timeout!r} is not a positive number of seconds"):
        quick(bundles / "small", workdir=tmp_path / "work", timeout=timeout)
    assert not (tmp_path / "work").exists()


def test_missing_simulators_are_named(bundles, monkeypatch):
    missing = {name: dataclasses.replace(tools.find(name), path=None) for name in tools.NAMES}
    replace_find(monkeypatch, missing.__getitem__)
    verilator = "verilator, g++, make and perl are missing: simulation with verilator"
    for simulator, start in (
        ("icarus", "iverilog is missing: simulation with icarus needs it; "),
        ("verilator", f"{verilator} needs them; "),
        ("auto", f"{verilator} (that with icarus needs iverilog alone) needs them; "),
    ):
        with pytest.raises(ToolError, match=f"^{re.escape(start)}install "):
            quick(bundles / "small", simulator=simulator)


def test_auto_takes_icarus_for_small_arrays_only(monkeypatch):
    there = dataclasses.replace(tools.find("make"), path=Path("/x"))
    replace_find(monkeypatch, lambda name: there)
    assert choose("auto", SMALL) == ("icarus",)
    assert choose("auto", dataclasses.replace(SMALL, rows=16, cols=16)) == ("verilator",)
    assert choose("all", SMALL) == ("icarus", "verilator")
    gone = dataclasses.replace(there, path=None)
    replace_find(monkeypatch, lambda name: gone if name == "iverilog" else there)
    assert choose("auto", SMALL) == choose("all", SMALL) == ("verilator",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"simulator": "spice"}, "simulator 'spice' is unknown; accepted are auto, icarus, verilator, all"),
        ({"seed": -1}, "seed -1 is not an integer from 0"),
        ({"seed": 1.5}, "seed 1.5 is not an integer from 0"),
        ({"timeout": 0}, "timeout 0 is not a positive number of seconds"),
        ({"workdir": "/proc/nowhere"}, "workdir '/proc/nowhere' cannot be written"),
    ],
)
def test_wrong_arguments_are_refused(bundles, arguments, message):
    with pytest.raises(MacgenError) as caught:
        quick(bundles / "small", **arguments)
    assert message in str(caught.value)


def test_a_directory_without_a_bundle_is_refused(tmp_path):
    with pytest.raises(MacgenError, match=r"has no readable manifest\.json"):
        quick(tmp_path)


# -- matrix products -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_matmul_is_golden_s(simulator, bundles, tmp_path):
    if simulator == "icarus":
        need("iverilog")
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (7, 13)), rng.integers(0, 256, (13, 5))
    a[0], b[:, 0] = 0x3C, 0x3C
    result = run_matmul(bundles / "small", a, b, simulator=simulator, workdir=tmp_path)
    codes, flags = golden.matmul(SMALL, a, b)
    np.testing.assert_array_equal(result.codes, codes)
    np.testing.assert_array_equal(result.flags, flags)
    assert result.codes.dtype == codes.dtype
    assert result.codes[0, 0] == SMALL.acc.encode(13.0)
    assert result.tiles == 4 * 3
    assert result.beats == 12 * 13
    assert result.comparisons == 2 * 8 * 6


@pytest.mark.prove
def test_matmul_with_turns_pads_the_last_round_only(tmp_path):
    """With 4 turns, 3 tiles take a round, 1 tile too, and 2 rows of 5 three."""
    spec = dataclasses.replace(SMALL, interleave=4, rounding="stochastic:5")
    build(spec, tmp_path / "dut")
    rng = np.random.default_rng(3)
    for rows, cols, tiles in ((2, 6, 4), (1, 1, 4), (3, 10, 12)):
        a, b = rng.integers(0, 0x7C, (rows, 7)), rng.integers(0, 0x7C, (7, cols))
        result = run_matmul(tmp_path / "dut", a, b)
        np.testing.assert_array_equal(result.codes, golden.matmul(spec, a, b)[0])
        assert (result.tiles, result.beats) == (tiles, tiles * 7)


@pytest.mark.prove
def test_matmul_in_a_mode_is_that_of_its_spec(bundles, tmp_path):
    need("iverilog")
    spec, rng = OTHERS["modes"], np.random.default_rng(5)
    for mode, name in enumerate(spec.mode_names):
        derived = spec.mode(name)
        a, b = rng.integers(0, 1 << derived.a.width, (3, 9)), rng.integers(0, 1 << derived.b.width, (9, 2))
        result = run_matmul(bundles / "modes", a, b, mode=mode if mode % 2 else name, simulator="icarus")
        codes, flags = golden.matmul(derived, a, b)
        np.testing.assert_array_equal(result.codes, codes)
        np.testing.assert_array_equal(result.flags, flags)
    with pytest.raises(MacgenError, match=r"^mode 'high' is not one of full, low, mid$"):
        run_matmul(bundles / "modes", a, b, mode="high")


def test_matmul_of_wrong_hardware_is_an_error(bundles, tmp_path):
    changed = tmp_path / "mutant"
    shutil.copytree(bundles / "small", changed)
    file = changed / "rtl" / "dut.v"
    file.write_text(drive(file.read_text(), "result__round_up", "1'b0").verilog)
    ones = np.full((4, 40), 0x3D)
    with pytest.raises(MacgenError, match=r"golden does: tile 'rows 0.*are wrong \[0, 0\] expected .*its log is"):
        run_matmul(changed, ones, ones.T, trust=True, workdir=tmp_path)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((2, 3), int), np.zeros((2, 3), int), "A has the shape (2, 3) and B (2, 3)"),
        (np.zeros(3, int), np.zeros((3, 3), int), "A has the shape (3,)"),
        (np.zeros((0, 3), int), np.zeros((3, 3), int), "A has the shape (0, 3)"),
        (np.full((2, 2), 256), np.zeros((2, 2), int), "code[0, 0] = 256 is not from 0 to 255, the codes of A"),
        (np.zeros((2, 2), int), np.full((2, 2), -1), "code[0, 0] = -1 is not from 0 to 255, the codes of B"),
        (np.zeros((2, 2)), np.zeros((2, 2), int), "codes of A, format e5m2 are not all integers"),
    ],
)
def test_matmul_refuses_what_are_no_matrices_of_codes(bundles, a, b, message):
    with pytest.raises(MacgenError) as caught:
        run_matmul(bundles / "small", a, b)
    assert message in str(caught.value)


# -- without the macgen command --------------------------------------------------------------------------------------


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    tools.require("make")
    environment = {name: text for name, text in os.environ.items() if not name.startswith("MACGEN_")}
    return subprocess.run(
        ["make", "-C", share_directory("sim"), f"PYTHON={sys.executable}", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def test_make_runs_the_testbench(bundles, tmp_path):
    """It says what is unusual first, and writes over no bundle of the user's that is where it works."""
    (tmp_path / "work" / "bundle").mkdir(parents=True)
    (tmp_path / "work" / "bundle" / "manifest.json").write_text("mine")
    shutil.copytree(bundles / "small", tmp_path / "small")
    (tmp_path / "small" / "constraints" / "dut.sdc").write_text("# mine\n")
    process = make(f"BUNDLE={tmp_path / 'small'}", f"WORK={tmp_path / 'work'}", "TILES=1", "SEED=5")
    assert process.returncode == 0, process.stdout + process.stderr
    assert "seed 5" in process.stdout
    assert "21 of 21 tests passed with" in process.stdout
    assert "note: constraints/dut.sdc was changed after it was built" in process.stderr
    assert (tmp_path / "work" / "bundle" / "manifest.json").read_text() == "mine"


def test_make_fails_with_the_testbench(bundles, tmp_path):
    changed = tmp_path / "mutant"
    shutil.copytree(bundles / "small", changed)
    file = changed / "rtl" / "dut.v"
    file.write_text(lose_overflow(file.read_text()).verilog)
    process = make(f"BUNDLE={changed}", f"WORK={tmp_path / 'work'}", "TILES=1", "TRUST=1")
    assert process.returncode == 2  # make's own; run.py's is 1
    assert "Error 1" in process.stderr


def test_make_runs_no_verilog_of_others(bundles, tmp_path):
    changed = tmp_path / "mutant"
    shutil.copytree(bundles / "small", changed)
    with (changed / "rtl" / "dut.v").open("a") as file:
        file.write("// touched\n")
    process = make(f"BUNDLE={changed}", f"WORK={tmp_path / 'work'}", "TRUST=")
    assert process.returncode == 2
    assert "error: bundle" in process.stderr
    assert "accepted is what macgen build writes, or with --trust" in process.stderr
    assert not (tmp_path / "work").exists()


def test_make_without_a_bundle_says_so(tmp_path):
    process = make(f"BUNDLE={tmp_path / 'nothing'}")
    assert process.returncode == 2
    assert f"error: BUNDLE {tmp_path / 'nothing'} has no manifest.json; accepted is" in process.stderr


def test_the_testbench_is_found_in_an_installed_wheel_too(tmp_path, monkeypatch):
    (tmp_path / "_share" / "sim").mkdir(parents=True)
    monkeypatch.setattr("macgen.share._PACKAGE", tmp_path)
    assert share_directory("sim") == tmp_path / "_share" / "sim"
    with pytest.raises(MacgenError, match="constraints is missing"):
        share_directory("constraints")


@pytest.mark.parametrize(("name", "links"), [("iverilog", []), ("my icarus", ["iverilog"])])
def test_a_simulator_that_is_named_is_the_one_that_runs(name, links, tmp_path, monkeypatch):
    executable = tmp_path / "tools" / name
    executable.parent.mkdir()
    executable.write_text("#!/bin/sh\n")
    executable.chmod(0o755)
    tool = tools.Tool("iverilog", "", "", executable, "11.0", (str(executable),))
    monkeypatch.setattr(tools, "require", lambda _: tool)
    path = simulator_environment("icarus", tmp_path / "links")["PATH"]
    assert Path(shutil.which("iverilog", path=path)).resolve() == executable
    assert [link.name for link in (tmp_path / "links").glob("*")] == links


@pytest.mark.prove
def test_of_a_large_array_verilator_compiles_a_row_once(tmp_path):
    """And a row that is wrong is found."""
    spec = MacSpec(a="int3", b="int2", acc="int7", chunk=3, rows=13, cols=5)
    bundle = build(spec, tmp_path / "mac")
    assert verify(bundle, simulator="verilator", tiles=2, workdir=tmp_path).passed
    assert (tmp_path / "verilator" / "verilator" / "Vtop_hier.mk").is_file()
    assert (tmp_path / "verilator" / "verilator" / "Vmac_row").is_dir()
    bundle.verilog.write_text(connect(bundle.verilog.read_text(), "row_7", "shift", "1'b0").verilog)
    assert not verify(bundle, simulator="verilator", tiles=2, trust=True, stop_at_first_failure=True).passed
