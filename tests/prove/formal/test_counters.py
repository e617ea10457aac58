"""The proofs of counters: right Verilog is proved, mutants are not."""

import pytest

from macgen import MacSpec, build
from macgen.prove.formal import prover as module
from macgen.prove.formal.counters import counters_harness
from macgen.prove.formal.prover import formal
from macgen.prove.formal.sequencer import sequencer_harness
from tests.mutants import drive, edit

SPEC = MacSpec(a="e4m1", b="e4m1", acc="e5m3", chunk=3, rows=1, cols=3, counters="2/3")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return build(SPEC, tmp_path_factory.mktemp("counted") / "mac", name="mac").directory


def test_counters_and_their_marks_are_proved(bundle, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "HARNESSES", (sequencer_harness, counters_harness))
    result = formal(bundle, workdir=tmp_path)
    assert result.problem is None
    assert [proof.name for proof in result.proofs] == ["sequencer", "counters"]
    assert "begins" in {item.name for item in result.proofs[0].properties}
    assert [item.name for item in result.proofs[1].properties] == ["counts"]


@pytest.mark.prove
@pytest.mark.parametrize(
    ("options", "others"),
    [({}, {}), ({"outer": "e6m5", "out": "e5m2", "interleave": 2}, {"rows": 2}), ({"interface": "axi-stream"}, {})],
    ids=["bubble", "outer", "axi"],
)  # fmt: skip
def test_all_proofs_go_with_counters(options, others, tmp_path):
    directory = build(SPEC.replace(**options, **others), tmp_path / "mac", name="mac").directory
    result = formal(directory, workdir=tmp_path / "work")
    assert result.problem is None
    assert any("counters" in text for text in result.unproved)


MUTANTS = {
    "no saturation": lambda v: drive(v, "count_steps_swamped_total", "{} & 5'b00111", module="mac_counters"),
    "a clear loses what comes": lambda v: edit(
        v, "count_steps_flushed_total", r"\+ (.*)", r"+ (clear ? 5'd0 : \1)", module="mac_counters"
    ),
}


@pytest.mark.prove
@pytest.mark.parametrize("change", MUTANTS)
def test_a_mutant_is_caught(bundle, change, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "HARNESSES", (counters_harness,))
    verilog = bundle / "rtl" / "mac.v"
    right = verilog.read_text()
    try:
        verilog.write_text(MUTANTS[change](right).verilog)
        result = formal(bundle, trust=True, workdir=tmp_path)
    finally:
        verilog.write_text(right)
    assert not result.passed
    assert result.proofs[0].failing.name == "counts"
