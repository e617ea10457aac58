"""The report of a unit that compresses gradients: what it counts, against what can be counted by hand."""

import pytest

from macgen.bundle import build
from macgen.compress import CompressSpec
from macgen.cost.unit import report_unit
from macgen.errors import MacgenError
from macgen.spec import MacSpec
from tests.cli.runner import invoke, refused

SPEC = CompressSpec("int3", 2, learners=1, most_bins=3)


@pytest.mark.prove  # twenty runs of Yosys
def test_the_ends_and_the_memory(tmp_path, monkeypatch):
    bundle = build(SPEC, tmp_path / "ada")
    report = report_unit(bundle)
    assert [end.name for end in report.ends] == ["compressor", "expander"]
    assert (report.memory_words, report.memory_bits) == (4, 4 * (2 * 3 + 2))
    # Place, three marks of the learner, handshake, sum of 4 bits, its two marks, fault; index 2 bits wide.
    assert report.ends[1].flip_flops == 2 + 3 + 1 + 4 + 2 + 1
    assert all(end.total_cells > end.flip_flops for end in report.ends)
    assert all(end.luts.keys() == {"ice40", "ecp5", "xilinx"} for end in report.ends)
    assert report.ends[0].area_um2 is None
    monkeypatch.setattr("macgen.cost.unit.report_unit", lambda *args, **options: report)
    result = invoke("report", bundle.directory, "--json")
    assert result.exit_code == 0
    assert f'"flip_flops": {report.ends[0].flip_flops}' in result.stdout
    assert '"memory_bits": 32' in result.stdout


def test_what_it_refuses(tmp_path):
    array = build(MacSpec(a="int2", b="int2", acc="int6", rows=1, cols=1), tmp_path / "mac")
    with pytest.raises(MacgenError, match="bundle mac holds an array; accepted is what macgen compress writes"):
        report_unit(array)
    bundle = build(SPEC, tmp_path / "ada")
    with pytest.raises(MacgenError, match="clock-mhz 0 is not from"):
        report_unit(bundle, clock_mhz=0)
    assert "go with arrays only" in refused("report", bundle.directory, "--data", "x.npz")
    assert "holds no array" in refused("report", bundle.directory, "--fpga", "ecp5")
