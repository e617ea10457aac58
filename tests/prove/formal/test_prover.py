"""Formal proofs: right Verilog is proved, and each mutant is caught by the property that is about it."""

import dataclasses
import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from macgen import MacSpec
from macgen.bundle import build
from macgen.errors import MacgenError, ToolError
from macgen.prove.formal import prover as module
from macgen.prove.formal.prover import _modules as module_ports
from macgen.prove.formal.prover import formal
from tests.mutants import Mutant, connect, drive, edit, keep_in_reset, load

SPECS = {
    # fold = bubble, every state kept normalised
    "bubble": MacSpec(a="e4m1", b="e4m1", acc="e5m3", chunk=3, rows=2, cols=2),
    # fold = overlap with an adder beside the loop, gradual subnormals, stochastic rounding, three rows
    "overlap": MacSpec(
        a="fp16", b="fp16", acc="e5m4", chunk=1, fold="overlap", rounding="stochastic:2", rows=3, cols=1
    ),
    "loaded": MacSpec(
        a="e4m1", b="e4m1", acc="e5m6", chunk=4, fold="overlap", rounding="drop", rows=1, cols=2, pipeline=3
    ),
    "int": MacSpec(a="int3", b="uint2", acc="int8", rows=2, cols=2),
    # lanes, with chunks that the accumulator's own adder folds
    "aligned": MacSpec(
        a="e4m1", b="e4m1", acc="e5m4", chunk=6, lanes=2, lane_sum="aligned:5", interleave=2, rows=2, cols=1
    ),
    # sums aligned by exponents, odd states without a pending increment, infinities of finite sums
    "exponents": MacSpec(
        **{"a": "e4m1", "b": "e3m1", "acc": "e5m4", "lanes": 2, "lane_sum": "exponents:5", "rounding": "odd"},
        overflow="to-infinity",
        out="e5m2",
        rows=1,
        cols=2,
    ),
    # products in bulk, rounded before they are added
    "bulk": MacSpec(
        **{"a": "e4m1", "b": "e3m1", "acc": "e5m4", "lanes": 2, "lane_sum": "bulk:5", "rounding": "odd"},
        overflow="to-infinity",
        chunk=4,
        fold="overlap",
        rows=1,
        cols=2,
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
SPECS |= {
    "narrow": MacSpec(
        a="int3narrow", b="fix5.-2", acc="fix7.-2", chunk=3, fold="overlap", out="fix3.-1narrow", rows=1, cols=1
    ),
    "fp32 scales": MacSpec(
        a="e2m1", b="e2m1", acc="e3m2", chunk=3, scale="fp32", outer="fp32", out="bf16", rows=1, cols=1
    ),
}
SPECS["outer cycles"] = MacSpec(
    **{"a": "e3m1", "b": "e3m1", "acc": "e5m3", "scale": "e4m1", "outer": "e6m5", "out": "e5m2"},
    chunk=4,
    rows=1,
    cols=2,
    outer_cycles=3,
)
SPECS["outer cycles of one sum"] = MacSpec(a="e3m1", b="e3m1", acc="e5m3", outer="e6m5", rows=1, cols=1, outer_cycles=2)
SPECS["lane scales"] = MacSpec(
    **{"a": "e2m1finite", "b": "e2m1finite", "acc": "e5m4", "lanes": 4, "lane_sum": "exponents:6/2", "scale": "e3m1"},
    scale_place="lanes",
    scale_block=2,
    chunk=8,
    pipeline=2,
    rows=2,
    cols=2,
)
SPECS["modes"] = MacSpec(a="e4m2", b="e4m1", acc="e5m3", chunk=2, rows=2, cols=1, modes=["low:a=e4m1,acc=e5m1"])
SPECS["modes of every format"] = MacSpec(
    **{"a": "fix2.2", "b": "e3m1", "product": "e4m3", "acc": "fix9.3", "outer": "fix9.4", "out": "e5m3"},
    chunk=2,
    interleave=2,
    rows=1,
    cols=2,
    modes=["one:a=int2", "two:product=e4m1,acc=fix9.1,outer=fix9.2,out=e5m1"],
)
SPECS["packed modes"] = MacSpec(
    a="int4", b="fix4.4", acc="fix12.4", chunk=4, pipeline=2, rows=2, cols=1, modes=["two:a=int2,b=fix2.2,packed=2"]
)
PRELOADED = {
    # signalling NaN as start values, an operand register before the sum
    "start": MacSpec(a="e3m1", b="e3m1", acc="e4m2", pipeline=2, rows=2, cols=2, preload=True),
    "start of a total": MacSpec(a="e4m1", b="e4m1", acc="e5m3", chunk=3, rows=2, cols=1, preload=True),
    "start in turns": MacSpec(
        a="int2", b="uint2", acc="fix6.2", chunk=1, interleave=2, rounding="stochastic:1", rows=2, cols=1, preload=True
    ),
    "start of an outer one": MacSpec(
        a="e3m1", b="e3m1", acc="e4m2", chunk=2, outer="e5m4", interleave=2, pipeline=3, rows=2, cols=1, preload=True
    ),
    "start of an outer whole": MacSpec(
        **{"a": "int3", "b": "int3", "acc": "int8", "outer": "fix9.2", "out": "int6"}, rows=1, cols=2, preload=True
    ),
}
SPECS |= PRELOADED
TOTALS = (
    *("exponents", "scaled", "turns", "narrow", "fp32 scales", "modes of every format"),
    *("outer cycles", "outer cycles of one sum", "start of an outer one", "start of an outer whole"),
)


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


@pytest.mark.thinned("bubble", "turns", "start")
@pytest.mark.parametrize("name", SPECS)
def test_right_verilog_is_proved(bundles, name, tmp_path):
    reported = []
    result = formal(bundles(name), workdir=tmp_path, progress=reported.append)
    assert result.passed, result.problem
    names = ["PE", "sequencer", "operands", "results", *["starts"] * (name in PRELOADED), "bounds"]
    names += ["totals"] * (name in TOTALS)
    assert reported == [proof.name for proof in result.proofs] == names
    assert all(proof.outcome == "proved" and proof.failing is None for proof in result.proofs)
    assert (result.trace, result.log, result.notes) == (None, None, ())
    left_out = {key: ["direction"] for key in ("aligned", "exponents", "lane scales")}
    left_out |= {key: ["random numbers"] for key in ("overlap", "turns", "start in turns")}
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
    {"a": "fix5.-2", "b": "fix-1.4", "acc": "fix6.0", "chunk": 3, "fold": "overlap"},
    {"a": "int3", "b": "fix2.1narrow", "acc": "fix5.1narrow", "chunk": 3, "fold": "overlap"},
    {"a": "e5m2", "b": "bf16", "acc": "fp32", "overflow": "infinity", "chunk": 4, "fold": "overlap"},
    # Some products are too small to be normalised.
    {"a": "bf16", "b": "bf16", "acc": "fp32", "overflow": "infinity", "chunk": 4},
    {"a": "e3m2", "b": "e3m2", "acc": "e4m3:bias=0", "rounding": "drop"},
    # The code of -0 is NaN's, and 2**min_exponent has none: a state of -1.0 as a product has it would be taken for NaN.
    {"a": "e3m2", "b": "e3m2", "acc": "e4m3fnuz:none"},
    # Rounded down: without a bit to add, no -0; infinities of one sign.
    {"a": "e4m2", "b": "e4m2", "acc": "e5m3", "rounding": "floor", "overflow": "infinity", "chunk": 4},
    {"a": "e4m2:none", "b": "e4m2:none", "acc": "e5m5fnuz:none", "rounding": "floor", "chunk": 4, "fold": "overlap"},
    {"a": "e3m2", "b": "int4", "acc": "fix9.3", "chunk": 7, "rounding": "floor"},
    # NaN by overflow, and by infinite operands.
    {"a": "e5m2", "b": "e4m3fn", "acc": "e5m4fn", "overflow": "nan", "chunk": 4, "fold": "overlap"},
    {"a": "e3m2fnuz", "b": "int3", "acc": "e4m3fnuz:flush", "overflow": "nan", "rounding": "floor"},
]


@pytest.mark.thinned(5)
@pytest.mark.parametrize("fields", KINDS, ids=lambda fields: "_".join(map(str, fields.values())))
def test_bounds_of_every_kind_of_accumulator(fields, tmp_path, monkeypatch):
    build(MacSpec(**fields, rows=1, cols=1), tmp_path / "bundle")
    monkeypatch.setattr(module, "HARNESSES", (module.bounds_harness,))
    result = formal(tmp_path / "bundle", workdir=tmp_path)
    assert result.passed, result.problem


# Bundle, what changes, the properties that may catch it.
MUTANTS = {
    # Modes.
    "mode of every beat": (
        "modes",
        lambda v: edit(v, "beat_mode", r"first \| fresh", "1'b1"),
        "sequencer mode",
    ),
    "PEs without a mode": ("modes", lambda v: connect(v, "adder", "mode", "1'b0"), "PE mode"),
    "a multiplier of the next mode": (
        "packed modes",
        lambda v: connect(v, "multiplier", "mode", "~control_in__mode"),
        "PE mode",
    ),
    "chunks of another mode": (
        "packed modes",
        lambda v: edit(v, "chunk_end", "beat_mode", "1'b0"),
        "sequencer sums|sequencer count",
    ),
    "fold of the next mode": ("modes", lambda v: connect(v, "folded", "mode", "control_out__mode"), "PE mode"),
    "mode is not passed on": (
        "modes",
        lambda v: load(v, "control_mode", "1'b0", module="mac_pe"),
        "PE passes|PE mode",
    ),
    "bits of another mode": ("modes", lambda v: connect(v, "skew_a", "i", "a_data"), "operands fed"),
    "results of another mode": ("modes", lambda v: connect(v, "output_0", "mode", "a_mode"), "results mode"),
    "a mode that rounds elsewhere": ("modes", lambda v: connect(v, "rounder", "mode", "1'b0"), "bounds states"),
    # Stream protocol.
    "last is not held": ("bubble", lambda v: edit(v, "free", "& busy", "& 1'b0"), "sequencer marked"),
    "busy is never set": ("bubble", lambda v: connect(v, "sequencer", "busy", "1'b0"), "results last_held"),
    "valid falls": ("bubble", lambda v: load(v, "c_valid", "{} & ~(c_valid & ~c_ready)"), "results stable"),
    "one row too few": ("overlap", lambda v: drive(v, "c_last", "count == 2'd1"), "results rows"),
    "first mark": ("bubble", lambda v: drive(v, "c_first", "~{}"), "results rows"),
    "rows swapped": ("bubble", lambda v: connect(v, "row_0", "shift", "1'b0"), "results kept"),
    "columns swapped": ("bubble", lambda v: drive(v, "c_data", "{output_0__code, output_1__code}"), "results results"),
    "ready alone": ("bubble", lambda v: connect(v, "sequencer", "valid", "a_valid"), "results together"),
    # Order of the sums.
    "beat not marked": ("bubble", lambda v: drive(v, "control__step", "{} & ~last"), "sequencer marked"),
    "chunk too short": (
        "bubble",
        lambda v: edit(v, "chunk_end", r"== ([\w']+)", r"== (\1 - 1'b1)"),
        "sequencer count|sequencer sums",
    ),
    "first ignored": ("int", lambda v: drive(v, "control__first", "~first & {}"), "sequencer sums"),
    "operands of another row": ("int", lambda v: connect(v, "row_1", "a_in", "skew_a__o[2:0]"), "operands fed"),
    "one mark early": ("int", lambda v: load(v, "control_1__step", "sequencer__control__step"), "operands fed"),
    "total not emptied": ("bubble", lambda v: connect(v, "folded", "present", "1'b1"), "PE result"),
    "flags forgotten": ("bubble", lambda v: drive(v, "total_flags", "flags"), "PE result"),
    "member not taken": ("bubble", lambda v: load(v, "total_0_exponent", "total_0_exponent"), "PE result"),
    "operand not passed": ("bubble", lambda v: load(v, "a_passed", "b_in"), "PE passes"),
    "result overwritten": (
        "bubble",
        lambda v: load(v, "result_0_significand", "control_out__done ? {} : result_0_significand"),
        "PE shift",
    ),
    "chunk of one product": ("loaded", lambda v: drive(v, "total_stays", "1'b0"), "PE result"),
    "accumulator not emptied": ("loaded", lambda v: keep_in_reset(v, "acc_round_up"), "PE result"),
    "flags of the product that waits": ("loaded", lambda v: load(v, "loaded_flags_0", "3'b000"), "PE result"),
    # Lanes, formats of their own, turns.
    "lane taken twice": ("aligned", lambda v: connect(v, "multiplier_1", "a", "a_in[5:0]"), "PE result"),
    "flags of a product": ("scaled", lambda v: connect(v, "rounding_1", "flags", ""), "PE result"),
    "one side's scale for both": ("scaled", lambda v: connect(v, "scaler", "b_scale", "chunk_a_scale"), "PE result"),
    "last chunk too soon": ("outer cycles", lambda v: load(v, "adding", "2'd0"), "sequencer legal"),
    "total restarted too soon": (
        "outer cycles",
        lambda v: drive(v, "restart", "taken_fold & taken_fold_first", module="mac_outer"),
        "PE result",
    ),
    "total not restarted": ("scaled", lambda v: drive(v, "restart", "1'b0", module="mac_outer"), "PE result"),
    "chunk sum kept": ("scaled", lambda v: load(v, "chunk_round_up", "done ? {} : chunk_round_up"), "PE result"),
    "scales of another row": (
        "scaled",
        lambda v: connect(v, "row_1", "a_scale_in", "skew_a_scale__o[5:0]"),
        "operands fed",
    ),
    "total of another turn": ("folds", lambda v: load(v, "total_0_exponent", "total_0_exponent"), "PE result"),
    "result of another turn": (
        "folds",
        lambda v: load(v, "result_0_exponent", "result_0_exponent"),
        "PE result|PE shift",
    ),
    "beat out of its turn": ("folds", lambda v: drive(v, "offered", "valid"), "sequencer turns|sequencer sums"),
    "last mark of another turn": ("folds", lambda v: load(v, "round_last", "1'b0"), "sequencer count|sequencer sums"),
    "complete with the first turn": (
        "turns",
        lambda v: drive(v, "turn_is_2", "1'b1"),
        "results latency|results results",
    ),
    "number drawn while waiting": ("turns", lambda v: connect(v, "random", "adds", "1'b1"), "results stable"),
    # Range.
    "exponent of a scale": ("scaled", lambda v: drive(v, "b_scale_exponent", "4'd0"), "totals addends"),
    "result wraps": (
        "turns",
        lambda v: drive(v, "result__integer", "rounded[4:0]", module="mac_out_adder"),
        "totals out",
    ),
    "exponent of a sum in turns": (
        "folds",
        lambda v: edit(v, "result__exponent", r"exponent \+ \d+'d1", "exponent", module="mac_rounder"),
        "bounds states|bounds direction",
    ),
    "product's exponent": ("bubble", lambda v: drive(v, "product__exponent", "{} + 1'b1"), "bounds addends"),
    "sum's exponent": (
        "bubble",
        lambda v: edit(v, "result__exponent", r"exponent \+ \d+'d1", "exponent", module="mac_rounder"),
        "bounds states|bounds direction",
    ),
    "invalid without NaN": (
        "bubble",
        lambda v: drive(v, "operand__invalid", "present", module="mac_product"),
        "bounds addends",
    ),
    "infinity becomes NaN": (
        "bubble",
        lambda v: drive(v, "value_is_nan", "value__positive_infinity", module="mac_output"),
        "bounds range",
    ),
    "code beyond the largest": (
        "bubble",
        lambda v: drive(v, "value_outside", "value_beyond", module="mac_output"),
        "bounds range|bounds direction",
    ),
    "largest one too low": (
        "bubble",
        lambda v: edit(v, "acc_significand", r"MAX_SIGNIFICAND", "(MAX_SIGNIFICAND - 1'b1)"),
        "bounds direction",
    ),
    "rounding not completed": (
        "bubble",
        lambda v: drive(v, "acc_rounded", "{acc__significand[4], acc__significand}"),
        "bounds direction|bounds states",
    ),
    "clamp one too low": (
        "int",
        lambda v: edit(v, "result__integer", r"MAX_INTEGER", "(MAX_INTEGER - 1'b1)"),
        "bounds direction",
    ),
    "no clamp": ("int", lambda v: drive(v, "outside", "1'b0"), "bounds direction"),
    "scales of the next beat": (
        "lane scales",
        lambda v: connect(v, "terms", "a_scale", "a_scale_in", module="mac_pe"),
        "PE result",
    ),
    "scale of another column": (
        "lane scales",
        lambda v: connect(v, "pe_1", "b_scale_in", "b_scale_in[9:0]", module="mac_row"),
        "operands fed",
    ),
    "exponent of a scale of lanes": (
        "lane scales",
        lambda v: drive(v, "scaled__exponent", "~{}", module="mac_scaler"),
        "bounds addends",
    ),
    # Start values.
    "a start value is not used up": ("start", lambda v: drive(v, "start_moves", "start_shift"), "PE starts"),
    "a signalling start value": (
        "start of a total",
        lambda v: edit(v, r"total_0_flags\[2\]", r"start_0\[14\]", "1'b0"),
        "PE result",
    ),
    "a total of 0": (
        "start of a total",
        lambda v: edit(v, "total_0_exponent", r"start_0\[11:6\]", "6'd0"),
        "PE result",
    ),
    "start of another turn": (
        "start of an outer one",
        lambda v: edit(v, "total_1_exponent", "start__exponent", "total_0_exponent", module="mac_outer"),
        "PE result",
    ),
    "a beat that does not wait": ("start", lambda v: connect(v, "sequencer", "loaded", "1'b1"), "starts waits"),
    "a beat that starts unseen": (
        "start of a total",
        lambda v: drive(v, "starts", "accept & first"),
        "sequencer starts",
    ),
    "a wait that is forgotten": (
        "start",
        lambda v: edit(v, "accept", "~loaded", "1'b0", module="mac_sequencer"),
        "sequencer marked|sequencer starts",
    ),
    "every chunk starts afresh": (
        "start of a total",
        lambda v: drive(v, "control__begins", "accept & ~(|count)"),
        "sequencer begins|sequencer sums",
    ),
    "the first chunk's sum copied": (
        "start of a total",
        lambda v: drive(v, "control__fold_first", "{} | empty & done_due"),
        "sequencer sums",
    ),
    "a beat that waits for more": (
        "start",
        lambda v: connect(v, "sequencer", "loaded", "preloader__loaded & a_last"),
        "results taken",
    ),
    "start values are taken too early": (
        "start of a total",
        lambda v: connect(v, "preloader", "used", "sequencer__starts"),
        "starts released|starts own",
    ),
    "a start value is used twice": (
        "start",
        lambda v: load(v, "started", "1'b0", module="mac_preloader"),
        "starts waits",
    ),
    "start values of another row": ("start", lambda v: connect(v, "row_0", "start_shift", "1'b0"), "starts own"),
    "start values of another column": ("start", lambda v: connect(v, "start_1", "code", "d_data[6:0]"), "starts own"),
    "a bit of start values": ("start", lambda v: connect(v, "row_1", "start_in", "{} ^ 1'b1"), "starts own"),
    "a mark from before a reset": ("start in turns", lambda v: keep_in_reset(v, "start_turn"), "starts released"),
    "a use from before a reset": (
        "start of an outer one",
        lambda v: keep_in_reset(v, "start_used_1"),
        "starts released|starts waits",
    ),
    "one power of two": ("start", lambda v: drive(v, "moves_down", "1'b0", module="mac_start"), "bounds start"),
    "a signalling NaN": ("start", lambda v: drive(v, "invalid", "code_nan", module="mac_start"), "bounds start"),
    "exponent of a start value": (
        "start of an outer one",
        lambda v: drive(v, "exponent", "{} + 1'b1", module="mac_start"),
        "totals start",
    ),
    # Reset.
    "c_valid not reset": ("bubble", lambda v: keep_in_reset(v, "c_valid"), "results rows|results results"),
    "busy not reset": ("bubble", lambda v: keep_in_reset(v, "busy"), "results taken"),
    "row count not reset": ("bubble", lambda v: keep_in_reset(v, "count", module="mac"), "results rows"),
    "a mark not reset": ("int", lambda v: keep_in_reset(v, "control_1__done"), "operands fed"),
}


def mutant(bundles, tmp_path: Path, name: str, change: Callable[[str], Mutant]) -> Path:
    directory = tmp_path / "mutant"
    shutil.copytree(bundles(name), directory)
    verilog = directory / "rtl" / "mac.v"
    verilog.write_text(change(verilog.read_text()).verilog)
    return directory


@pytest.mark.thinned(5, prove=2)
@pytest.mark.parametrize("change", MUTANTS)
def test_mutant_is_caught(bundles, ports, tmp_path, monkeypatch, change):
    name, changed, caught_by = MUTANTS[change]
    # Only the proof that is about it, to save time.
    proof = caught_by.split()[0]
    makers = {"PE": "pe", "sequencer": "sequencer", "operands": "feed", "results": "drain", "bounds": "bounds"}
    makers |= {"totals": "totals", "starts": "start"}
    monkeypatch.setattr(module, "HARNESSES", (getattr(module, f"{makers[proof]}_harness"),))
    monkeypatch.setattr(module, "_modules", lambda *_: ports(name))
    result = formal(mutant(bundles, tmp_path, name, changed), trust=True, workdir=tmp_path)
    assert not result.passed
    (found,) = result.proofs
    assert found.outcome == "fails"
    assert f"{found.name} {found.failing.name}" in caught_by.split("|")
    assert result.trace.read_text().startswith("$")
    assert result.log.exists()
    assert result.problem.endswith(f"; the trace is {result.trace}, the log is {result.log}")
    assert result.notes == (
        "rtl/mac.v was not compared with what macgen writes of its spec: it is trusted",
        "rtl/mac.v was changed after it was built: its checksum is not the manifest's",
    )


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
    changed = mutant(bundles, tmp_path, "int", lambda v: drive(v, "control__first", "~first & {}"))
    result = formal(changed, trust=True)
    assert result.trace.is_relative_to(temporary)
    assert result.trace.exists()


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_a_limit_that_is_none_is_refused(bundles, timeout):
    with pytest.raises(MacgenError, match=r"^timeout .* is not a positive number of seconds$"):
        formal(bundles("int"), timeout=timeout)


def test_verilog_that_yosys_cannot_read(bundles, tmp_path):
    broken = mutant(bundles, tmp_path, "int", lambda v: Mutant("no module", v.replace("module mac (", "modul mac (")))
    with pytest.raises(ToolError, match=r"Yosys failed with exit code 1: .*; its log is .*ports.txt$"):
        formal(broken, trust=True, workdir=tmp_path)
