import json

import numpy as np
import pytest

import macgen
from macgen.bundle import build
from macgen.bundle.manifest import load_manifest
from macgen.spec import MacSpec
from tests.cli.runner import invoke, refused
from tests.optional import TINY_LIBERTY
from tests.presentation import costs


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cli_report") / "unit"
    build(MacSpec(a="int4", b="int4", acc="int32", overflow="wrap", rows=1, cols=1), directory)
    return directory


def test_json_with_liberty_and_data(bundle, tmp_path):
    data = tmp_path / "layer.npz"
    rng = np.random.default_rng(1)
    np.savez(data, a=rng.integers(-8, 8, (3, 40)), b=rng.integers(-8, 8, (40, 2)))
    result = invoke("report", bundle, "--liberty", TINY_LIBERTY, "--data", data, "--clock-mhz", 50, "--json")
    assert result.exit_code == 0
    values = json.loads(result.stdout)
    assert values["cost"]["area_um2"] > 0
    assert values["conditions"]["clock_mhz"] == 50
    assert values["conditions"]["data"].startswith("layer.npz: ")
    assert values["conditions"]["library"] == "tiny"
    assert set(values["cost"]["luts"]) == {"ice40", "ecp5", "xilinx"}
    assert values["cost"]["dsps"] == {"ice40": 0, "ecp5": 0, "xilinx": 0}  # products of four bits


@pytest.mark.prove
def test_counters_have_rows_of_their_own(tmp_path, monkeypatch):
    spec = MacSpec(a="e3m1", b="e3m1", acc="e4m2", rows=1, cols=1, counters="3/8")
    build(spec, tmp_path / "unit")
    found = macgen.report(tmp_path / "unit")
    counters = found.to_dict()["cost"]["counters"]
    # Of each of three events two counts and a counter; a state of sum, its marks, its code, and what comes with it.
    assert 3 * (2 * 3 + 8) < counters["flip_flops"] < 3 * (2 * 3 + 8) + 40
    assert counters["gate_equivalents"] > 4 * counters["flip_flops"]
    assert counters["area_um2"] is None
    monkeypatch.setattr("macgen.cost.estimate.report", lambda *_, **__: found)  # it takes long
    text = invoke("report", tmp_path / "unit").stdout
    assert "Of it counters: flip-flops" in text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--clock-mhz", "0"], "clock-mhz 0.0 is not from"),
        (["--clock-mhz", "fast"], "is not a valid float"),
        (["--seed", "-1"], "seed -1 is not an integer from 0"),
        (["--data", "nowhere.npz"], "nowhere.npz"),
        (["--liberty", "nowhere.lib"], "nowhere.lib"),
        (["--fpga", "stratix"], "fpga 'stratix' is not one of"),
        (["--fpga", "-x"], "fpga '-x' is not one of"),
        (["--fpga", "ecp5", "--device", "26k"], "device '26k' is no ecp5 part that macgen knows"),
        (["--fpga", "ecp5", "--device", "25k:BGA"], "device '25k:BGA' has no package 'BGA'"),
        (["--fpga", "ecp5", "--seeds", "0"], "seeds 0 is not an integer from 1 to 99"),
        (["--fpga", "ecp5", "--liberty", "nowhere.lib"], "--dont-use, --clock-gating and --data do not go with --fpga"),
        (["--device", "25k"], "--device goes with --fpga only"),
        (["--seeds", "2"], "--seeds goes with --fpga only"),
        (["--html", "nowhere/page.html"], "html 'nowhere/page.html' cannot be written (No such file or directory)"),
        (["--html", "."], "html '.' cannot be written (Is a directory)"),
        (["--html", "-", "--json"], "--json does not go with --html -; accepted is --html FILE"),
        (["--html", "page.html", "--gemm", "8x8"], "gemm '8x8' is not MxNxK"),
        (["--html", "page.html", "--gemm", "0x1x1"], "gemm (0, 1, 1)"),
        (["--html", "page.html", "--network", "vgg"], "network 'vgg'"),
        (["--html", "page.html", "--network", "resnet18", "--gemm", "1x1x1"], "gemm and network given to compute"),
        (["--html", "page.html", "--fpga", "ecp5", "--device", "26k"], "device '26k' is no ecp5 part"),
        (["--html", "page.html", "--seeds", "2"], "--seeds goes with --fpga only"),
        (["--html", "page.html", "--clock-mhz", "0"], "clock-mhz 0.0 is not from"),
        (["--html", "page.html", "--liberty", "nowhere.lib"], "nowhere.lib"),
        (["--gemm", "8x8x8"], "--gemm goes with --html only"),
        (["--network", "resnet18"], "--network goes with --html only"),
    ],
)
def test_wrong_options_are_refused(bundle, options, sentence, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused("report", bundle, *options)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def priced_at_once(bundle, monkeypatch):
    """A report that needs no synthesis, of this bundle's array; returns what it was asked for."""
    asked = []

    def report(directory, **options):
        asked.append(options)
        return costs.report(spec=load_manifest(directory).spec.to_dict())

    monkeypatch.setattr("macgen.cost.estimate.report", report)
    return asked


def test_a_page_stands_beside_what_the_terminal_says(bundle, tmp_path, priced_at_once):
    page = tmp_path / "page.html"
    page.write_text("an older one")
    result = invoke("report", bundle, "--html", page)
    assert result.exit_code == 0
    assert result.stdout == invoke("report", bundle).stdout  # the terminal says no more than without a page
    assert [asked["by_block"] for asked in priced_at_once] == [True, False]
    content = page.read_text()
    assert content.startswith("<!DOCTYPE html>")
    assert "Two examples: nobody chose products" in content
    assert all(size in content for size in ("64x64x576", "1x1000x512"))
    assert list(tmp_path.iterdir()) == [page]
    assert invoke("report", bundle, "--html", "-").stdout == content


def test_a_page_of_chosen_products_and_an_fpga(bundle, tmp_path, priced_at_once, monkeypatch):
    monkeypatch.setattr("macgen.cost.fpga.report.fpga_report", lambda directory, **options: costs.FPGA)
    page = tmp_path / "page.html"
    options = ["--html", page, "--gemm", "8x9x10", "--fpga", "ecp5", "--liberty", TINY_LIBERTY]
    result = invoke("report", bundle, *options, "--json")
    assert json.loads(result.stdout)["luts"] == costs.FPGA.luts
    (asked,) = priced_at_once
    assert [*asked["liberty"]] == [TINY_LIBERTY]
    content = page.read_text()
    assert "8x9x10" in content
    assert "64x64x576" not in content
    assert "On an FPGA" in content


def test_a_page_of_a_unit_that_compresses_is_refused(tmp_path):
    invoke("compress", "--bin", "8", "--format", "fix4.12", "-o", tmp_path / "unit")
    assert refused("report", tmp_path / "unit", "--html", tmp_path / "page.html") == (
        "--html goes with arrays only (see macgen report --help)"
    )


def test_a_damaged_data_file_is_refused(bundle, tmp_path):
    file = tmp_path / "layer.npz"
    np.savez_compressed(file, a=np.ones((3, 40)), b=np.ones((40, 2)))
    content = bytearray(file.read_bytes())
    content[60:70] = b"\xff" * 10  # inside the first array, packed
    file.write_bytes(content)
    assert refused("report", bundle, "--data", file) == (
        f"data {str(file)!r} is damaged or none of NumPy; accepted is an .npz of NumPy"
    )


def test_a_directory_without_a_bundle_is_refused(tmp_path):
    assert "manifest.json" in refused("report", tmp_path)


def test_a_broken_liberty_file_is_refused(bundle, tmp_path):
    file = tmp_path / "broken.lib"
    file.write_text("library (broken) {\n  cell (INV) {\n")
    assert "broken.lib" in refused("report", bundle, "--liberty", file)
