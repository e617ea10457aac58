"""The counters of the Verilog: those of golden and of emulate, and each mutant of theirs is caught."""

import functools
import shutil

import numpy as np
import pytest

import macgen.simulate.verify as verifying
from macgen import MacSpec, build, emulate
from macgen.simulate.matmul import run_matmul
from macgen.simulate.verify import verify
from tests.mutants import connect, drive, load

SPEC = MacSpec(a="e4m3", b="e4m3", acc="e5m2", chunk=4, rows=2, cols=3, counters="4/8")
OUTER = {"chunk": 4, "outer": "e5m4", "scale": "e4m3", "out": "e5m2", "lanes": 2, "interleave": 2, "pipeline": 2}
SPECS = {
    "bubble": SPEC,
    "outer": MacSpec(a="e4m3", b="e4m3", acc="e5m2", **OUTER, rows=1, cols=2, counters="4/6"),
    "wrap": MacSpec(
        **{"a": "fix2.3", "b": "fix2.3", "acc": "fix4.2", "overflow": "wrap", "rounding": "stochastic:3"},
        **{"chunk": 4, "rows": 2, "cols": 1, "interleave": 3, "counters": "2/5"},
    ),
    "modes": MacSpec(
        **{"a": "e4m3", "b": "e4m3", "acc": "e5m3", "chunk": 4, "outer": "e6m4", "rows": 1, "cols": 2},
        modes=["low:outer=e6m2", "b:acc=e5m1"],
        counters=6,
    ),
    "tree": MacSpec(
        **{"a": "e4m3fn", "b": "e4m3fn", "acc": "e5m3:flush", "product": "e5m2", "rounding": "drop", "lanes": 2},
        **{"lane_sum": "tree", "rows": 2, "cols": 2, "counters": 6, "clock_enable": True, "reset": "async"},
    ),
    "bulk": MacSpec(
        **{"a": "e4m3", "b": "e4m3", "acc": "e5m2", "lanes": 2, "lane_sum": "bulk:3", "rounding": "odd"},
        **{"rows": 1, "cols": 2, "counters": 5},
    ),
}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    @functools.cache
    def bundle(name):
        return build(SPECS[name], tmp_path_factory.mktemp(name) / "mac", name="mac").directory

    return bundle


def test_a_product_has_the_counts_of_its_emulation(bundles):
    rng = np.random.default_rng(3)
    a, b = (SPEC.a.quantize(rng.standard_normal(shape) ** 3 * 50) for shape in ((5, 30), (30, 4)))
    found = run_matmul(bundles("bubble"), SPEC.a.encode(a), SPEC.b.encode(b), simulator="icarus")
    values, counts = emulate.matmul(SPEC, a, b, 1, counts=True)
    np.testing.assert_array_equal(SPEC.out_format.decode(found.codes), values)
    kinds, names = {"steps": counts.steps, "folds": counts.folds}, ("saturated", "flushed", "swamped")
    assert found.counts == {f"{kind}_{name}": getattr(of, name) for kind, of in kinds.items() for name in names}
    assert found.counts["steps_swamped"] > 0
    assert found.counts["steps_saturated"] > 0
    assert found.counts["folds_saturated"] > 0


@pytest.mark.prove
@pytest.mark.parametrize("name", SPECS)
def test_the_testbench_agrees_with_counters(bundles, name, tmp_path, monkeypatch):
    if name != "bubble":  # one runs all tests
        monkeypatch.setattr(verifying, "testbench_of", lambda _: "sim.test_counters")
    result = verify(bundles(name), simulator="icarus", tiles=12, workdir=tmp_path)
    assert result.passed
    names = {test.name for run in result.runs for test in run.tests}
    assert any("counters_cycle_by_cycle" in test for test in names)


MUTANTS = {
    "counts go on over dot products": ("bubble", lambda v: connect(v, "steps_counter", "begins", "1'b0")),
    "a copy is counted": ("bubble", lambda v: connect(v, "folds_counter", "events", "watch__events & {3{seen_fold}}")),
    "swamped without an addend": ("bubble", lambda v: connect(v, "watch", "addend", "1'b1")),
    "a result that is not taken": ("bubble", lambda v: connect(v, "counters", "taken", "c_valid")),
    "counts as early as results": ("bubble", lambda v: load(v, "leaves", "1'b0", module="mac_counters")),
    "a flag that is not counted": ("wrap", lambda v: drive(v, "saturated", "1'b0", module="mac_watch")),
    "folds are not counted": ("outer", lambda v: connect(v, "counted_folds", "adds", "1'b0")),
}


@pytest.mark.prove
@pytest.mark.parametrize("change", MUTANTS)
def test_a_mutant_of_counters_is_caught(bundles, change, tmp_path, monkeypatch):
    name, changed = MUTANTS[change]
    directory = tmp_path / "mutant"
    shutil.copytree(bundles(name), directory)
    verilog = directory / "rtl" / "mac.v"
    verilog.write_text(changed(verilog.read_text()).verilog)
    monkeypatch.setattr(verifying, "testbench_of", lambda _: "sim.test_counters")
    result = verify(directory, simulator="icarus", tiles=4, trust=True, workdir=tmp_path, stop_at_first_failure=True)
    assert not result.passed
    assert "counters" in result.runs[0].failed[0].message
