"""The table of other people's units: what it reads, and what it says of a folder that lacks something."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def peers(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return pytest.importorskip("peers", exc_type=ModuleNotFoundError)


def test_a_folder_that_lacks_files_is_refused_with_their_names(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "fpnew_pkg.sv").write_text("package fpnew_pkg; endpackage\n")
    command = [sys.executable, BENCHMARKS / "peers.py", tmp_path, "--peer", "cvfpu", "--liberty", "none.lib"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    missing = "cf_math_pkg.sv, lzc.sv, fpnew_classifier.sv, fpnew_rounding.sv, fpnew_fma.sv, common_cells/registers.svh"
    assert result.stderr == (
        f"peers.py: error: folder {str(tmp_path)!r} lacks {missing}; accepted is one with the Verilog of cvfpu\n"
    )
    assert (result.returncode, result.stdout) == (2, "")


def test_files_that_differ_under_one_name_are_refused(peers, tmp_path):
    for number, place in enumerate(("one", "two")):
        (tmp_path / place).mkdir()
        for name in (*peers.PEERS["cvfpu"].files, "common_cells/registers.svh"):
            file = tmp_path / place / name
            file.parent.mkdir(exist_ok=True)
            file.write_text("" if name != "lzc.sv" else f"// {number}\n")
    with pytest.raises(peers.MacgenError, match=r"several lzc\.sv that differ"):
        peers.found(tmp_path, "cvfpu")


def test_every_wrapper_is_there_and_used(peers):
    used = {case.wrapper for peer in peers.PEERS.values() for case in peer.cases}
    assert used == {path.name for path in peers.WRAPPERS.iterdir()}


def test_any_module_becomes_plain_verilog(peers, tmp_path):
    (tmp_path / "inc").mkdir()
    (tmp_path / "inc" / "width.svh").write_text("`define FIRST 0\n")
    (tmp_path / "sum.sv").write_text(
        '`include "width.svh"\n'
        "module sum #(parameter int W = 3) (input logic clk, input logic [W-1:0] a, output logic [W-1:0] s);\n"
        "  always_ff @(posedge clk) s <= s + a + `FIRST;\nendmodule\n"
    )
    text = peers.any_verilog(tmp_path, "sum", ["W=5"])
    assert "module unit(" in text
    assert "input [4:0] a;" in text
    assert text.count("endmodule") == 1
