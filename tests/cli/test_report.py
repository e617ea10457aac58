import json

import numpy as np
import pytest

from macgen.bundle import build
from macgen.spec import MacSpec
from tests.cli.runner import invoke, refused
from tests.optional import TINY_LIBERTY


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
def test_counters_have_rows_of_their_own(tmp_path):
    spec = MacSpec(a="e3m1", b="e3m1", acc="e4m2", rows=1, cols=1, counters="3/8")
    build(spec, tmp_path / "unit")
    counters = json.loads(invoke("report", tmp_path / "unit", "--json").stdout)["cost"]["counters"]
    # Of each of three events two counts and a counter; a state of sum, its marks, its code, and what comes with it.
    assert 3 * (2 * 3 + 8) < counters["flip_flops"] < 3 * (2 * 3 + 8) + 40
    assert counters["gate_equivalents"] > 4 * counters["flip_flops"]
    assert counters["area_um2"] is None
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
        (["--fpga", "ecp5", "--liberty", "nowhere.lib"], "--liberty, --dont-use and --data do not go with --fpga"),
        (["--device", "25k"], "--device goes with --fpga only"),
        (["--seeds", "2"], "--seeds goes with --fpga only"),
    ],
)
def test_wrong_options_are_refused(bundle, options, sentence, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused("report", bundle, *options)
    assert list(tmp_path.iterdir()) == []


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
