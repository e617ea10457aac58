"""What an array is handed over with: SDC and XDC for a clock, LibreLane's configuration; read by the real tools."""

import json
import os
import re
import subprocess
import sys

import pytest

from macgen import MacSpec, tools
from macgen.bundle.bundle import build
from macgen.bundle.manifest import load_manifest
from macgen.bundle.opening import open_bundle
from macgen.cost.synthesize import synthesize_gates
from macgen.errors import MacgenError
from tests.optional import absent, need, osu018

SPEC = MacSpec(a="int4", b="int4", acc="int12", rows=1, cols=1)
SCALED = MacSpec(a="e2m1", b="e2m1", acc="e4m3", chunk=4, scale="e4m0fnu", outer="fp32", rows=1, cols=1)


def test_the_clock_is_in_every_file(tmp_path):
    bundle = build(SPEC, tmp_path / "mac", clock_mhz=400, io_share=0.3)
    sdc = (tmp_path / "mac/constraints/mac.sdc").read_text()
    xdc = (tmp_path / "mac/constraints/mac.xdc").read_text()
    for text in (sdc, xdc):
        assert "create_clock -name clk -period 2.5 [get_ports clk]" in text
        assert "set_clock_uncertainty 0.125 [get_clocks clk]" in text
        assert len(re.findall(r"set_(?:in|out)put_delay .*0\.75\b", text)) == 2
    config = json.loads((tmp_path / "mac/config.json").read_text())
    assert (config["CLOCK_PERIOD"], config["IO_DELAY_CONSTRAINT"], config["DESIGN_NAME"]) == (2.5, 30, "mac")
    assert load_manifest(bundle) == bundle.manifest
    assert (bundle.manifest.target.clock_mhz, bundle.manifest.target.io_share) == (400, 0.3)
    assert open_bundle(bundle).notes == ()


def test_without_a_clock_the_files_are_what_they_were(tmp_path):
    build(SPEC, tmp_path / "mac")
    assert not (tmp_path / "mac/config.json").exists()
    sdc = (tmp_path / "mac/constraints/mac.sdc").read_text()
    assert sdc.splitlines()[2:] == [
        "create_clock -name clk -period 10 [get_ports clk]",
        "set_input_delay  2 -clock clk [get_ports {rst a_valid a_data* a_first a_last b_valid b_data* c_ready}]",
        "set_output_delay 2 -clock clk [get_ports {a_ready b_ready c_valid c_data* c_flags* c_first c_last}]",
    ]


def test_a_bundle_with_a_clock_is_replaced_by_one_without(tmp_path):
    build(SPEC, tmp_path / "mac", clock_mhz=400)
    build(SPEC, tmp_path / "mac", force=True)
    assert not (tmp_path / "mac/config.json").exists()
    build(SPEC, tmp_path / "mac", clock_mhz=200, force=True)
    assert (tmp_path / "mac/config.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clock_mhz": 0}, "clock-mhz 0 is not from 0.001 to 100000"),
        ({"clock_mhz": float("nan")}, "clock-mhz nan is not from 0.001 to 100000"),
        ({"clock_mhz": "fast"}, "clock-mhz 'fast' is not from 0.001 to 100000"),
        ({"clock_mhz": 100, "io_share": 1}, "io-share 1 is not from 0 to 0.9"),
        ({"io_share": 0.3}, "io-share 0.3 is given without clock-mhz; accepted is it with a clock"),
    ],
)
def test_wrong_clocks_are_refused(arguments, message, tmp_path):
    with pytest.raises(MacgenError) as caught:
        build(SPEC, tmp_path / "mac", **arguments)
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", [{"clock_mhz": 1}, {"clock_mhz": -1, "io_share": 0.2}, 5])
def test_wrong_targets_in_a_manifest_are_refused(target, tmp_path):
    build(SPEC, tmp_path / "mac", clock_mhz=400)
    path = tmp_path / "mac/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"target": target}))
    with pytest.raises(MacgenError):
        load_manifest(tmp_path / "mac")


@pytest.mark.parametrize("spec", [SPEC, SCALED, SPEC.replace(interface="axi-stream", reset="async")])
def test_every_port_but_the_clock_has_its_delay(spec, tmp_path):
    bundle = build(spec, tmp_path / "mac")
    sdc = (tmp_path / "mac/constraints/mac.sdc").read_text()
    listed = [name.rstrip("*") for names in re.findall(r"_delay .*\{(.*)\}", sdc) for name in names.split()]
    ports = [port.name for port in bundle.manifest.ports]
    assert sorted(listed) == sorted(set(ports) - {bundle.manifest.clock})


@pytest.mark.parametrize("spec", [SPEC, SCALED, SPEC.replace(interface="axi-stream", clock_enable=True)])
@pytest.mark.thinned(3)
def test_opensta_reads_the_sdc_without_a_warning(spec, tmp_path):
    """Also with what LibreLane says of the library."""
    need("sta")
    liberty = osu018()
    bundle = build(spec, tmp_path / "mac", clock_mhz=100)
    gates = synthesize_gates([bundle.verilog], "mac", workdir=tmp_path / "gates", liberty_file=liberty)
    commands = [
        f"read_liberty {liberty}",
        f"read_verilog {gates.verilog}",
        "link_design mac",
        f"read_sdc {tmp_path}/mac/constraints/mac.sdc",
        "report_checks -path_delay max",
    ]
    (tmp_path / "sta.tcl").write_text("\n".join(commands) + "\n")
    for variables in ({}, {"SYNTH_DRIVING_CELL": "BUFX2/Y", "OUTPUT_CAP_LOAD": "30"}):
        command = [*tools.require("sta").command, "-no_init", "-no_splash", "-exit", str(tmp_path / "sta.tcl")]
        process = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables})
        said = process.stdout + process.stderr
        assert "Warning" not in said, said
        assert "Error" not in said, said
        assert "slack" in said


_LOADER = """\
import sys
from librelane.config import Config
from librelane.flows import Flow
flow = Flow.factory.get("Classic")
given = {"PDK", "STD_CELL_LIBRARY", *sys.argv[3].split(",")}
variables = [v for v in flow.get_all_config_variables(flow) if not v.pdk or v.name in given]
pdk = {"PDK": "none", "STD_CELL_LIBRARY": "none"}
config, _ = Config.load([pdk, sys.argv[1]], variables, pdk_root=sys.argv[2], _load_pdk_configs=False)
print(config["CLOCK_PERIOD"], *config["VERILOG_FILES"])
"""


@pytest.mark.prove
def test_librelane_s_own_loader_takes_every_key(tmp_path):
    """Without a PDK, whose variables are then none but those that the bundle sets; an unknown key is an error."""
    python = os.environ.get("MACGEN_LIBRELANE_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import librelane"], capture_output=True).returncode:
        absent("LibreLane, in the Python that MACGEN_LIBRELANE_PYTHON names,")
    bundle = build(SPEC, tmp_path / "mac", clock_mhz=400)
    path = bundle.directory / "config.json"
    keys = ",".join(json.loads(path.read_text()))

    def load():
        command = [python, "-c", _LOADER, str(path), str(tmp_path), keys]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    taken = load()
    assert taken.returncode == 0, taken.stderr
    assert taken.stdout.split()[-2:] == ["2.5", str(bundle.verilog)]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"CLOCK_SPEED": 1}))
    assert load().returncode != 0
