"""Schedules as tables that fit 80 columns, and as rooflines."""

import io
from xml.etree import ElementTree

import pytest
from rich.console import Console

from macgen import presets
from macgen.errors import MacgenError
from macgen.presentation.system_plot import draw_roofline
from macgen.presentation.system_table import print_schedule
from macgen.system import schedule
from tests.system.test_scheduling import report_of


def printed(found, width=80):
    out = io.StringIO()
    print_schedule(found, Console(file=out, width=width, soft_wrap=True))
    return out.getvalue().splitlines()


def test_a_network_fits_80_columns():
    lines = printed(schedule(presets["default"], network="resnet18"))
    assert lines[0].split() == ["Layer", "MxNxK", "Tiles", "Cycles", "Used", "In", "Out", "Once"]
    assert lines[1].split() == ["conv0", "12544x64x147", "50,176", "7,526,412", "98.0%", "7.8", "0.16", "0.41"]
    assert all(len(line) <= 80 for line in lines[:22])
    assert lines[22].startswith("21 products: 1,814,073,344 multiply-accumulates in 116,881,612 cycles; ")


def test_energy_takes_the_place_of_what_matters_less():
    spec = presets["default"]
    lines = printed(schedule(spec, network="resnet18", report=report_of(spec)))
    assert lines[0].split()[-1] == "uJ"
    assert all(len(line) <= 80 for line in lines[:23])
    assert any(line.startswith("Left out for 80 columns: Once") for line in lines)
    assert any("random operands; library generic45, 500 MHz" in line for line in lines)


def test_a_note_says_of_what_ports_the_figures_are():
    lines = printed(schedule(presets["default"].replace(interface="axi-stream"), gemms=[(4, 4, 4)]))
    assert any(line.startswith("Note: cycles and bytes are those of the core, without ") for line in lines)


def test_sizes_have_no_layers():
    lines = printed(schedule(presets["default"], gemms=[(4, 4, 64)]))
    assert lines[0].split()[0] == "MxNxK"
    assert lines[2].startswith("1,024 multiply-accumulates in ")


def test_kinds_are_named_where_there_are_several():
    lines = printed(schedule(presets["default"], network="alexnet", only=["forward", "backward"]), width=120)
    assert lines[0].split()[:2] == ["Layer", "GEMM"]
    assert lines[1].split()[:2] == ["conv1", "forward"]


def test_a_roofline_names_what_it_shows_and_is_the_same_each_time():
    found = schedule(presets["default"], network="resnet18", only=["forward", "gradient"])
    drawn = draw_roofline(found, ".svg")
    assert drawn == draw_roofline(found, "svg")
    text = "".join(ElementTree.fromstring(drawn).itertext())
    for part in (
        "resnet18 on 4 x 4 units",
        "forward, bytes at the ports",
        "gradient, each matrix moved once",
        "roof: 16 a cycle, 14 bytes a cycle at the ports",
        "multiply-accumulates a byte",
    ):
        assert part in text


def test_other_files_are_refused():
    with pytest.raises(MacgenError) as error:
        draw_roofline(schedule(presets["default"], gemms=[(1, 1, 1)]), ".gif")
    assert str(error.value) == "plot has the suffix '.gif'; accepted are .svg, .png, .pdf"
