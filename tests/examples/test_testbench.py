"""The testbench in plain Verilog, with both simulators, on a bundle made as its head says."""

import re
import subprocess

import pytest

from macgen import tools
from macgen.catalogue import CATALOGUE
from macgen.golden import matmul
from tests.cli.runner import invoke
from tests.examples.runner import EXAMPLES, ROOT
from tests.optional import need

TESTBENCH = EXAMPLES / "testbench" / "tile_tb.v"
A = [[1, 2, 3], [4, 0.5, -1]]
B = [[2, 1], [-1, 4], [0.5, 3]]


@pytest.fixture(scope="module")
def verilog(tmp_path_factory):
    (words,) = re.findall(r"^// +macgen (build .*) -o build/mac2$", TESTBENCH.read_text(), re.MULTILINE)
    bundle = tmp_path_factory.mktemp("build") / "mac2"
    assert invoke(*words.split(), "-o", bundle).exit_code == 0
    return bundle / "rtl" / "mac2.v"


def rows_of_the_product():
    spec = CATALOGUE["default"].spec
    codes, flags = matmul(spec, spec.a.encode(A), spec.b.encode(B))
    return [
        f"row {row}: {codes[row, 0]:03x} {codes[row, 1]:03x}  flags {flags[row, 0]:03b} {flags[row, 1]:03b}"
        for row in range(2)
    ]


def run(command, directory, tool):
    environment = tools.require(tool).environment()
    environment["MAKEFLAGS"] = "OPT_FAST=-O0 OPT_GLOBAL=-O0 OPT_SLOW=-O0"  # it runs for a dozen cycles
    result = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return [line for line in result.stdout.splitlines() if not line.startswith(("-", str(ROOT)))]


def test_icarus(verilog, tmp_path):
    need("iverilog")
    command = [*tools.require("iverilog").command, "-g2001", "-o", "tile_tb", str(TESTBENCH), str(verilog)]
    run(command, tmp_path, "iverilog")
    printed = [line for line in run(["./tile_tb"], tmp_path, "iverilog") if "$finish" not in line]
    assert printed == rows_of_the_product()


@pytest.mark.prove
def test_verilator(verilog, tmp_path):
    options = ["--binary", "--timing", "-CFLAGS", "-fcoroutines", "--top-module", "tile_tb", "-o", "tile_tb"]
    command = [*tools.require("verilator").command, *options, "-Wno-fatal", str(TESTBENCH), str(verilog)]
    run(command, tmp_path, "verilator")
    assert run(["obj_dir/tile_tb"], tmp_path, "verilator") == rows_of_the_product()
