"""Formal proofs: right Verilog is proved, and each mutant is caught by the property that is about it."""

import dataclasses
import functools
import re
import shutil
import tempfile
from pathlib import Path

import pytest

from macgen import MacSpec
from macgen.bundle import build
from macgen.errors import MacgenError, ToolError
from macgen.prove.formal import prover as module
from macgen.prove.formal.prover import _modules as module_ports
from macgen.prove.formal.prover import formal

SPECS = {
    # fold = bubble, every state kept normalised
    "bubble": MacSpec(a="e4m1", b="e4m1", acc="e5m3", chunk=3, rows=2, cols=2),
    # fold = overlap with an adder beside the loop, gradual subnormals, stochastic rounding, three rows
    "overlap": MacSpec(
        a="fp16", b="fp16", acc="e5m4", chunk=1, fold="overlap", rounding="stochastic:2", rows=3, cols=1
    ),
    "loaded": MacSpec(
        a="e4m1", b="e4m1", acc="e5m6", chunk=4, fold="overlap", rounding="drop", rows=1, cols=2, pipeline=2
    ),
    "int": MacSpec(a="int3", b="uint2", acc="int8", rows=2, cols=2),
    # lanes, with chunks that the accumulator's own adder folds
    "aligned": MacSpec(
        a="e4m1", b="e4m1", acc="e5m4", chunk=6, lanes=2, lane_sum="aligned:5", interleave=2, rows=2, cols=1
    ),
    # every format there can be, each of its own
    "scaled": MacSpec(
        **{"a": "e3m1", "b": "e3m1", "product": "e4m2", "acc": "e5m3", "scale": "e4m1", "outer": "e6m5", "out": "e5m2"},
        chunk=4,
        lanes=2,
        lane_sum="tree",
        rows=2,
        cols=2,
    ),
    # turns and random numbers of results
    "turns": MacSpec(
        **{"a": "fix1.2", "b": "uint2", "acc": "fix7.2", "out": "int5"},
        rounding="rtz",
        outer_rounding="stochastic:2",
        lanes=2,
        interleave=3,
        rows=1,
        cols=2,
    ),
    "folds": MacSpec(a="e4m1", b="e4m1", acc="e5m3", chunk=2, interleave=2, rows=2, cols=1),
}
TOTALS = ("scaled", "turns")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Return a function that gives a spec's bundle."""
    directory = tmp_path_factory.mktemp("bundles")

    def bundle(name: str) -> Path:
        if not (directory / name).exists():
            build(SPECS[name], directory / name, name="mac")
        return directory / name

    return bundle


@pytest.fixture(scope="module")
def ports(bundles, tmp_path_factory):
    """Return a function that gives the ports of a bundle's modules, which no mutant changes."""

    @functools.cache
    def of_bundle(name: str) -> dict[str, object]:
        work = tmp_path_factory.mktemp("ports")
        shutil.copyfile(bundles(name) / "rtl" / "mac.v", work / "array.v")
        return module_ports(work, 60)

    return of_bundle


@pytest.mark.thinned("bubble", "turns")
@pytest.mark.parametrize("name", SPECS)
def test_right_verilog_is_proved(bundles, name, tmp_path):
    told = []
    result = formal(bundles(name), workdir=tmp_path, progress=told.append)
    assert result.passed, result.problem
    names = ["PE", "sequencer", "operands", "results", "bounds"] + ["totals"] * (name in TOTALS)
    assert told == [proof.name for proof in result.proofs] == names
    assert all(proof.outcome == "proved" and proof.failing is None for proof in result.proofs)
    assert (result.trace, result.log, result.notes) == (None, None, ())
    left_out = {"aligned": ["direction"], "overlap": ["random numbers"], "turns": ["random numbers"]}
    assert [sentence.split(":")[0] for sentence in result.unproved] == left_out.get(name, [])
    # The proofs end with an invariant, not at a bound.
    assert (tmp_path / "formal" / "PE" / "status.txt").read_text().startswith("snl_UNSAT")
    assert "Induction step proven" in (tmp_path / "formal" / "operands" / "prove.txt").read_text()


# Accumulators of every kind, where they differ in what they can hold.
KINDS = [
    {"a": "e4m3fn", "b": "e4m3fn", "acc": "e6m3:flush"},
    {"a": "e4m2:none", "b": "e4m2:none", "acc": "e4m5finite:none", "chunk": 4, "fold": "overlap"},
    {"a": "int4", "b": "int4", "acc": "e7m0finite", "rounding": "drop", "chunk": 4, "fold": "overlap"},
    {"a": "uint1", "b": "int3", "acc": "e6m0fnuz", "rounding": "stochastic:1"},
    {"a": "e5m2", "b": "int3", "acc": "e5m1finite:bias=13", "chunk": 4},
    {"a": "fp16", "b": "fp16", "acc": "bf16", "rounding": "rtz", "overflow": "infinity"},
    {"a": "e3m2", "b": "int4", "acc": "fix9.3", "chunk": 7, "rounding": "rtz"},
    {"a": "e5m2", "b": "bf16", "acc": "fp32", "overflow": "infinity", "chunk": 4, "fold": "overlap"},
    # Some products are too small to be normalised.
    {"a": "bf16", "b": "bf16", "acc": "fp32", "overflow": "infinity", "chunk": 4},
    {"a": "e3m2", "b": "e3m2", "acc": "e4m3:bias=0", "rounding": "drop"},
    # The code of -0 is NaN's, and 2**min_exponent has none: a state of -1.0 as a product has it would be taken for NaN.
    {"a": "e3m2", "b": "e3m2", "acc": "e4m3fnuz:none"},
]


@pytest.mark.thinned(5)
@pytest.mark.parametrize("fields", KINDS, ids=lambda fields: "_".join(map(str, fields.values())))
def test_bounds_of_every_kind_of_accumulator(fields, tmp_path, monkeypatch):
    build(MacSpec(**fields, rows=1, cols=1), tmp_path / "bundle")
    monkeypatch.setattr(module, "HARNESSES", (module.bounds_harness,))
    result = formal(tmp_path / "bundle", workdir=tmp_path)
    assert result.passed, result.problem


# Bundle, what changes (a pattern that must match once), to what, the properties that may catch it.
MUTANTS = {
    # Stream protocol.
    "last is not held": ("bubble", r"& busy;", "& 1'h0;", "sequencer marked"),
    "busy is never set": ("bubble", r"\.busy\(sequencer__busy\)", ".busy(1'h0)", "results last_held"),
    "valid falls": (
        "bubble",
        r"else c_valid <= (\w+);",
        r"else c_valid <= \1 & ~(c_valid & ~c_ready);",
        "results stable",
    ),
    "one row too few": (
        "overlap",
        r"(c_last = \w+ == )2'h2;",
        r"\g<1>2'h1;",
        "results rows",
    ),
    "first mark": ("bubble", r"assign c_first = ~ (\w+);", r"assign c_first = \1;", "results rows"),
    "rows swapped": ("bubble", r"(mac_row row_0 \((?:.*\n)*?.*\.shift\()row_0__shift\)", r"\g<1>1'h0)", "results kept"),
    "columns swapped": ("bubble", r"c_data = \{ (\w+), (\w+) \}", r"c_data = { \2, \1 }", "results results"),
    "ready alone": (
        "bubble",
        r"assign sequencer__valid = a_valid & b_valid;",
        "assign sequencer__valid = a_valid;",
        "results together",
    ),
    # Order of the sums.
    "beat not marked": (
        "bubble",
        r"assign control__step = accept;",
        "assign control__step = accept & ~last;",
        "sequencer marked",
    ),
    "chunk too short": ("bubble", r"position == 2'h2", "position == 2'h1", "sequencer count|sequencer sums"),
    "first ignored": ("int", r"control__first = ", "control__first = ~first & ", "sequencer sums"),
    "operands of another row": ("int", r"\.a_in\(skew_a__o\[5:3\]\)", ".a_in(skew_a__o[2:0])", "operands fed"),
    "one mark early": (
        "int",
        r"else row_1__control_in__step <= \w+;",
        "else row_1__control_in__step <= sequencer__control__step;",
        "operands fed",
    ),
    "total not emptied": (
        "bubble",
        r"folded__present = ~ control_in__fold_first",
        "folded__present = 1'h1",
        "PE result",
    ),
    "flags forgotten": ("bubble", r"total_flags = \w+ \| flags", "total_flags = flags", "PE result"),
    "member not taken": (
        "bubble",
        r"total_0_exponent <= adder__result__exponent",
        "total_0_exponent <= total_0_exponent",
        "PE result",
    ),
    "operand not passed": ("bubble", r"a_out <= a_in;", "a_out <= b_in;", "PE passes"),
    "result overwritten": (
        "bubble",
        r"(adder__result__significand : )result_in\[4:0\]",
        r"\1result_0_significand",
        "PE shift",
    ),
    "chunk of one product": ("loaded", r"total_stays = early_fold & \w+;", "total_stays = 1'h0;", "PE result"),
    "accumulator not emptied": ("loaded", r"if \(starts_empty\) acc_up <= 1'h0;\n +else ", "", "PE result"),
    "flags of the product that waits": (
        "loaded",
        r"loaded_flags_0 <= loader__flags;",
        "loaded_flags_0 <= 3'h0;",
        "PE result",
    ),
    # Lanes, formats of their own, turns.
    "lane taken twice": ("aligned", r"\.a\(a_in\[11:6\]\)", ".a(a_in[5:0])", "PE result"),
    "flags of a product": ("scaled", r"rounding_0__flags \| rounding_1__flags", "rounding_0__flags", "PE result"),
    "one side's scale for both": ("scaled", r"\.b_scale\(chunk_b_scale\)", ".b_scale(chunk_a_scale)", "PE result"),
    "total not restarted": ("scaled", r"restart = taken_fold & taken_fold_first", "restart = 1'h0", "PE result"),
    "chunk sum kept": ("scaled", r"if \(fold\) chunk_up <= value__up", "if (done) chunk_up <= value__up", "PE result"),
    "scales of another row": (
        "scaled",
        r"\.a_scale_in\(skew_a_scale__o\[11:6\]\)",
        ".a_scale_in(skew_a_scale__o[5:0])",
        "operands fed",
    ),
    "total of another turn": (
        "folds",
        r"total_0_exponent <= total_1_exponent",
        "total_0_exponent <= total_0_exponent",
        "PE result",
    ),
    "result of another turn": (
        "folds",
        r"result_0_exponent <= result_1_exponent",
        "result_0_exponent <= result_0_exponent",
        "PE result|PE shift",
    ),
    "beat out of its turn": ("folds", r"offered = valid & \w+;", "offered = valid;", "sequencer turns|sequencer sums"),
    "last mark of another turn": (
        "folds",
        r"round_last <= last;",
        "round_last <= 1'h0;",
        "sequencer count|sequencer sums",
    ),
    "complete with the first turn": ("turns", r"= complete_1 & \w+;", "= complete_1;", "results latency"),
    "number drawn while waiting": ("turns", r"\.adds\(taken\)", ".adds(1'h1)", "results stable"),
    # Range.
    "exponent of a scale": ("scaled", r"(\w+) \+ b_scale_exponent;", r"\1;", "totals addends"),
    "result wraps": ("turns", r"(module mac_out_adder\((?:.*\n)*?.* \| )outside;", r"\g<1>1'h0;", "totals out"),
    "exponent of a sum in turns": ("folds", r"= exponent \+ 1'h1;", "= exponent;", "bounds states|bounds direction"),
    "product's exponent": (
        "bubble",
        r"= a_exponent \+ b_exponent;",
        "= a_exponent + b_exponent + 1'h1;",
        "bounds addends",
    ),
    "sum's exponent": ("bubble", r"= exponent \+ 1'h1;", "= exponent;", "bounds states|bounds direction"),
    "invalid without NaN": ("bubble", r"(operand__invalid = )product__invalid & (present;)", r"\1\2", "bounds addends"),
    "infinity becomes NaN": (
        "bubble",
        r"(module mac_output\((?:.*\n)*?.*value_is_nan = value__positive_infinity) & \w+;",
        r"\1;",
        "bounds range",
    ),
    "code beyond the largest": (
        "bubble",
        r"(module mac_output\((?:.*\n)*?.*value_outside = value_beyond) \| \w+;",
        r"\1;",
        "bounds range|bounds direction",
    ),
    "largest one too low": ("bubble", r"(acc__significand\[4\] \? 6'h31 : )6'h0f;", r"\g<1>6'h0e;", "bounds direction"),
    "rounding not completed": (
        "bubble",
        r"\$signed\(acc__significand\) \+ \$signed\(\{ 1'h0, acc__up \}\)",
        "$signed(acc__significand) + $signed({ 1'h0, 1'h0 })",
        "bounds direction|bounds states",
    ),
    "clamp one too low": ("int", r"8'h80 : 8'h7f;", "8'h80 : 8'h7e;", "bounds direction"),
    "no clamp": ("int", r"assign outside = [^;]*;", "assign outside = 1'h0;", "bounds direction"),
    # Reset.
    "c_valid not reset": (
        "bubble",
        r"if \(rst\) c_valid <= 1'h0;\n +else c_valid",
        "c_valid",
        "results rows|results results",
    ),
    "busy not reset": (
        "bubble",
        r"if \(rst\) sequencer__busy <= 1'h0;\n +else sequencer__busy",
        "sequencer__busy",
        "results taken",
    ),
    "row count not reset": (
        "bubble",
        r"if \(rst\) count <= 1'h0;\n +else if (\(row_0__shift\) count)",
        r"if \1",
        "results rows",
    ),
    "a mark not reset": ("int", r"if \(rst\) row_1__control_in__done <= 1'h0;\n +else row_1", "row_1", "operands fed"),
}


def mutant(bundles, tmp_path: Path, name: str, pattern: str, replacement: str) -> Path:
    directory = tmp_path / "mutant"
    shutil.copytree(bundles(name), directory)
    verilog = directory / "rtl" / "mac.v"
    text, count = re.subn(pattern, replacement, verilog.read_text())
    assert count == 1, f"{pattern} stands {count} times in the Verilog"
    verilog.write_text(text)
    return directory


@pytest.mark.thinned(5)
@pytest.mark.parametrize("change", MUTANTS)
def test_mutant_is_caught(bundles, ports, tmp_path, monkeypatch, change):
    name, pattern, replacement, caught_by = MUTANTS[change]
    # Only the proof that is about it, to save time.
    proof = caught_by.split()[0]
    makers = {"PE": "pe", "sequencer": "sequencer", "operands": "feed", "results": "drain", "bounds": "bounds"}
    makers["totals"] = "totals"
    monkeypatch.setattr(module, "HARNESSES", (getattr(module, f"{makers[proof]}_harness"),))
    monkeypatch.setattr(module, "_modules", lambda *_: ports(name))
    result = formal(mutant(bundles, tmp_path, name, pattern, replacement), workdir=tmp_path)
    assert not result.passed
    (found,) = result.proofs
    assert found.outcome == "fails"
    assert f"{found.name} {found.failing.name}" in caught_by.split("|")
    assert result.trace.read_text().startswith("$")
    assert result.log.exists()
    assert result.problem.endswith(f"; the trace is {result.trace}, the log is {result.log}")
    assert result.notes == ("rtl/mac.v was changed after it was built: its checksum is not the manifest's",)


def test_what_is_not_decided_is_not_passed(bundles, tmp_path, monkeypatch):
    # An induction that is too short to flush the skew registers.
    monkeypatch.setattr(module, "HARNESSES", (lambda *args: dataclasses.replace(module.feed_harness(*args), depth=1),))
    result = formal(bundles("int"), workdir=tmp_path)
    assert not result.passed
    assert result.proofs[0].outcome == "undecided"
    assert result.trace is None
    assert result.problem == f"operands: not decided at depth 1, with up to 600 s; the log is {result.log}"


def test_a_solver_that_gives_up_is_not_passed(bundles, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PDR", "pdr -F 2")
    monkeypatch.setattr(module, "HARNESSES", (module.drain_harness,))
    result = formal(bundles("bubble"), workdir=tmp_path)
    assert (result.passed, result.proofs[0].outcome) == (False, "undecided")


def test_temporary_files_stay_only_after_a_failure(bundles, tmp_path, monkeypatch):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(module, "HARNESSES", (module.sequencer_harness,))
    assert formal(bundles("int")).passed
    assert list(temporary.iterdir()) == []
    changed = mutant(bundles, tmp_path, "int", r"control__first = ", "control__first = ~first & ")
    result = formal(changed)
    assert result.trace.is_relative_to(temporary)
    assert result.trace.exists()


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_a_limit_that_is_none_is_refused(bundles, timeout):
    with pytest.raises(MacgenError, match=r"^timeout .* is not a positive number of seconds$"):
        formal(bundles("int"), timeout=timeout)


def test_verilog_that_yosys_cannot_read(bundles, tmp_path):
    broken = mutant(bundles, tmp_path, "int", r"module mac\(", "modul mac(")
    with pytest.raises(ToolError, match=r"Yosys failed with exit code 1: .*; its log is .*ports.txt$"):
        formal(broken, workdir=tmp_path)
