"""Several Liberty files side by side, and cells that are not to be used."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from macgen import MacSpec
from macgen.bundle.bundle import build
from macgen.cli.main import cli
from macgen.cost import synthesize
from macgen.cost.corners import without_cells
from macgen.cost.estimate import report
from macgen.cost.library import liberty
from macgen.errors import MacgenError
from macgen.presentation.cost_table import print_report
from tests.optional import TINY_LIBERTY

SPEC = MacSpec(a="int2", b="int2", acc="int6", rows=1, cols=1)


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    monkeypatch.setattr(synthesize, "REPORTED", ("ice40",))
    return build(SPEC, tmp_path / "mac")


def low_voltage(directory: Path) -> Path:
    """Return the made-up library at a voltage of 0.6 V instead of 1.2 V, all else the same."""
    text = TINY_LIBERTY.read_text()
    assert "voltage : 1.2;" in text
    path = directory / "low.lib"
    path.write_text(text.replace("voltage : 1.2;", "voltage : 0.6;"))
    return path


def test_corners_stand_side_by_side(bundle, tmp_path, capsys):
    """Half the voltage is a quarter of the power that charges loads, and leaves leakage as its file says it."""
    result = report(bundle, liberty=[TINY_LIBERTY, low_voltage(tmp_path)], clock_mhz=50)
    first, low = result.cost.corners
    assert (first.file, low.file) == ("tiny.lib", "low.lib")
    assert (first.voltage, low.voltage) == (1.2, 0.6)
    assert first.power_mw == pytest.approx(result.cost.power_mw["total"])
    assert first.minimum_period_ns == result.cost.minimum_period_ns
    assert low.leakage_mw == first.leakage_mw
    assert low.power_mw < first.power_mw
    assert len(result.baseline.corners) == 2
    assert json.loads(json.dumps(result.to_dict()))["cost"]["corners"][1]["file"] == "low.lib"
    from macgen.cli import console

    print_report(result, console.output())
    assert "low.lib" in capsys.readouterr().out


@pytest.mark.prove
def test_one_file_has_no_corners(bundle):
    assert report(bundle, liberty=TINY_LIBERTY, clock_mhz=50).cost.corners == ()


@pytest.mark.prove
def test_cells_that_are_not_to_be_used_are_not(bundle, tmp_path):
    used = report(bundle, liberty=TINY_LIBERTY, clock_mhz=50).cost.cells
    unwanted = next(name for name in used if re.match("NAND|AND|OAI|AOI|XOR|X", name))
    assert unwanted not in report(bundle, liberty=[TINY_LIBERTY], dont_use=[unwanted], clock_mhz=50).cost.cells


def test_only_what_a_pattern_says_is_marked(tmp_path):
    before = liberty.read(TINY_LIBERTY).cells
    after = liberty.read(without_cells(TINY_LIBERTY, ["N*2", "INV"], tmp_path / "out.lib")).cells
    changed = {name for name in before if before[name].dont_use != after[name].dont_use}
    assert changed == {name for name in before if name == "INV" or re.fullmatch("N.*2", name)} - {
        name for name in before if before[name].dont_use
    }
    assert changed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dont_use": ["Q?"], "liberty": "tiny"}, "dont-use 'Q?' matches no cell of liberty"),
        ({"dont_use": "N*"}, "dont-use 'N*' is given without liberty; accepted is it with a Liberty file"),
    ],
)
def test_wrong_patterns_are_refused(arguments, message, bundle):
    if "liberty" in arguments:
        arguments = {**arguments, "liberty": TINY_LIBERTY}
    with pytest.raises(MacgenError) as caught:
        report(bundle, **arguments)
    assert str(caught.value).startswith(message)


@pytest.mark.prove
def test_a_file_of_other_cells_is_no_corner(bundle, tmp_path):
    other = tmp_path / "other.lib"
    other.write_text(re.sub(r"cell \((\w+)\)", r"cell (OTHER_\1)", TINY_LIBERTY.read_text()))
    result = CliRunner().invoke(
        cli, ["report", str(bundle.directory), "--liberty", str(TINY_LIBERTY), "--liberty", str(other)]
    )
    assert result.exit_code == 2
    assert "accepted are files of the same cells at other corners" in result.output


@pytest.mark.prove
def test_figures_are_the_core_s_whatever_the_ports(tmp_path, monkeypatch):
    monkeypatch.setattr(synthesize, "REPORTED", ("ice40",))
    native = report(build(SPEC, tmp_path / "native"), liberty=None, clock_mhz=50)
    spec = SPEC.replace(interface="axi-stream", reset="async", clock_enable=True)
    axi = report(build(spec, tmp_path / "axi"), clock_mhz=50)
    assert axi.cost == native.cost
    assert axi.notes == (
        "priced is the array without its ports (AXI4-Stream ports, asynchronous reset, clock enable): as with native "
        "ports, a synchronous reset, active high, and no clock enable",
    )
    with pytest.raises(MacgenError, match="trust does not go with axi's ports"):
        report(tmp_path / "axi", trust=True)
