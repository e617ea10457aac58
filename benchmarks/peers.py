"""Other people's units with the recipe of macgen's own: `python benchmarks/peers.py FOLDER --liberty FILE`.

FOLDER holds Verilog that you have; its files may stand at any depth, those of several projects below one folder. What
is measured of each peer, between which registers, stands in `benchmarks/peer_units/`:

    peer       top module (parameters)                        files, as they are published
    hardfloat  mulAddRecFN (expWidth, sigWidth);              Berkeley HardFloat, Release 1 (Verilog), RISCV
               mulRecFN and addRecFN with a register between  specialization
    cvfpu      fpnew_fma (FpFormat, NumPipeRegs 0)            cvfpu (FPnew), and the common_cells that it names
    redmule    redmule_ce (FpFormat FP16, NumPipeRegs 1, 3)   RedMulE, and the cvfpu and common_cells that it names
    any        --top NAME --parameter NAME=VALUE, as it       all of FOLDER, such as what Chisel wrote of MxGen, or
               stands, next to a PE of a preset               Vortex' tensor unit with the packages that it needs

Beside each stands macgen's unit for the same function. Area x period is a geometric mean over six orders of a design's
statements, on both sides. Yosys reads SystemVerilog with its front end slang.
"""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from amaranth.lib import wiring
from qor import E6M5, E6M9, FP16, FP32, ORDERS, Measured, Unit, measured, measured_verilog
from rich.console import Console
from rich.table import Table

import macgen
from macgen import MacgenError, MacSpec, ToolError, tools
from macgen.cost import synthesize
from macgen.cost.corners import without_cells
from macgen.errors import shown, shown_path
from macgen.interrupts import run_program
from macgen.rtl import Design
from macgen.rtl.pe import Pe

WRAPPERS = Path(__file__).parent / "peer_units"

BF16 = MacSpec(a="bf16", b="bf16", acc="bf16", overflow="infinity")


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        function: what both sides compute, and what the peer is.
        wrapper: file in `peer_units/` with the module `unit` around the peer's top module.
        macros: what that file leaves open.
        beside: macgen's component, and what it is.
    """

    function: str
    wrapper: str
    macros: Mapping[str, object]
    beside: tuple[str, Callable[[], wiring.Component]]


@dataclass(frozen=True)
class Peer:
    """Another project's units.

    Attributes:
        files: Verilog that is read, in this order, by the end of its path.
        includes: what it includes, by the end of its path, and the name that it is included by.
        cases: what is measured.
    """

    files: Sequence[str]
    includes: Mapping[str, str] = field(default_factory=dict)
    cases: Sequence[Case] = ()


def _unit(spec: MacSpec) -> tuple[str, Callable[[], wiring.Component]]:
    return "unit", lambda: Unit(spec)


def _pe(spec: MacSpec) -> tuple[str, Callable[[], wiring.Component]]:
    return "PE", lambda: Pe(Design(spec))


def _hardfloat(name: str, wrapper: str, spec: MacSpec, operand: tuple[int, int], acc: tuple[int, int]) -> Case:
    macros = dict(zip(("IN_EXP", "IN_SIG", "ACC_EXP", "ACC_SIG"), (*operand, *acc), strict=True))
    return Case(name, wrapper, macros, _unit(spec))


def _cvfpu(function: str, fmt: str, spec: MacSpec) -> Case:
    return Case(f"{function}, fused", "cvfpu_fma.sv", {"FORMAT": f"fpnew_pkg::{fmt}"}, _unit(spec))


_FMA, _PARTS = "hardfloat_fma.sv", "hardfloat_pipelined.sv"
_FPNEW = ("cf_math_pkg.sv", "lzc.sv", "fpnew_pkg.sv", "fpnew_classifier.sv", "fpnew_rounding.sv")
_REGISTERS = {"common_cells/registers.svh": "common_cells/registers.svh"}

PEERS = {
    "hardfloat": Peer(
        files=(
            "RISCV/HardFloat_specialize.v",
            *(f"source/{name}.v" for name in ("HardFloat_primitives", "HardFloat_rawFN", "fNToRecFN", "recFNToFN")),
            *(f"source/{name}.v" for name in ("isSigNaNRecFN", "recFNToRecFN", "mulRecFN", "addRecFN", "mulAddRecFN")),
        ),
        includes={
            "source/HardFloat_consts.vi": "HardFloat_consts.vi",
            "source/HardFloat_localFuncs.vi": "HardFloat_localFuncs.vi",
            "RISCV/HardFloat_specialize.vi": "HardFloat_specialize.vi",
        },
        cases=(
            _hardfloat("e5m2 -> e6m5, fused", _FMA, E6M5, (5, 3), (6, 6)),
            _hardfloat("e5m2 -> e6m9, fused", _FMA, E6M9, (5, 3), (6, 10)),
            _hardfloat("e5m2 -> e6m9, two stages", _PARTS, E6M9, (5, 3), (6, 10)),
            _hardfloat("e5m2 -> fp32, fused", _FMA, E6M5.replace(acc="fp32"), (5, 3), (8, 24)),
            _hardfloat("fp16 -> fp16, fused", _FMA, FP16, (5, 11), (5, 11)),
            _hardfloat("fp32 -> fp32, fused", _FMA, FP32, (8, 24), (8, 24)),
        ),
    ),
    "cvfpu": Peer(
        files=(*_FPNEW, "fpnew_fma.sv"),
        includes=_REGISTERS,
        cases=(
            _cvfpu("fp16 -> fp16", "FP16", FP16),
            _cvfpu("bf16 -> bf16", "FP16ALT", BF16),
            _cvfpu("fp32 -> fp32", "FP32", FP32),
        ),
    ),
    "redmule": Peer(
        files=(*_FPNEW, "fpnew_noncomp.sv", "redmule_fma.sv", "redmule_noncomp.sv", "redmule_ce.sv"),
        includes={**_REGISTERS, "common_cells/assertions.svh": "common_cells/assertions.svh"},
        cases=tuple(
            Case(f"fp16, {stages} stages", "redmule_ce.sv", {"FORMAT": "fpnew_pkg::FP16", "STAGES": stages}, _pe(FP16))
            for stages in (1, 3)
        ),
    ),
}


def found(folder: Path, peer: str) -> dict[str, Path]:
    """Return where the files of a peer are, by the ends of their paths.

    Raises:
        MacgenError: some are missing, or one is there more than once.
    """
    wanted = [*PEERS[peer].files, *PEERS[peer].includes]
    there = _files(folder)
    places = {end: [path for path in there if f"/{path.as_posix()}".endswith(f"/{end}")] for end in wanted}
    if missing := [end for end, paths in places.items() if not paths]:
        raise MacgenError(
            f"folder {shown_path(folder)} lacks {', '.join(missing)}; accepted is one with the Verilog of {peer}"
        )
    for end, paths in places.items():
        if len({path.read_bytes() for path in paths}) > 1:
            raise MacgenError(f"folder {shown_path(folder)} has several {end} that differ; accepted is one of each")
    return {end: paths[0] for end, paths in places.items()}


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise MacgenError(f"folder {shown_path(folder)} is no directory; accepted is one with a peer's Verilog")
    walked = os.walk(folder)  # also below links, which a checkout may have
    return sorted(Path(place) / name for place, _, names in walked for name in names)


def case_verilog(peer: str, case: Case, files: Mapping[str, Path]) -> str:
    """Return a peer's unit as one module of plain Verilog, `unit`."""
    with _work() as work:
        names = []
        for place, end in enumerate(PEERS[peer].files):
            names.append(f"file{place}{Path(end).suffix}")
            shutil.copyfile(files[end], work / names[-1])
        for end, name in PEERS[peer].includes.items():
            (work / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(files[end], work / name)
        macros = "".join(f"`define {name} {value}\n" for name, value in case.macros.items())
        (work / "unit.sv").write_text(macros + (WRAPPERS / case.wrapper).read_text(encoding="utf-8"), encoding="utf-8")
        return plain_verilog(work, [*names, "unit.sv"], "unit", ["-I", "."])


def any_verilog(folder: Path, top: str, parameters: Sequence[str]) -> str:
    """Return a module of a folder, with all in it, as one module of plain Verilog, `unit`."""
    sources = [path for path in _files(folder) if path.suffix in (".v", ".sv", ".svh", ".vh")]
    with _work() as work:
        for path in sources:
            target = work / "in" / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        read = [f"in/{path.relative_to(folder)}" for path in sources if path.suffix in (".v", ".sv")]
        places = sorted({str(Path("in") / path.relative_to(folder).parent) for path in sources})
        options = [option for place in places for option in ("-I", place)]
        return plain_verilog(work, read, top, [*options, *(o for item in parameters for o in ("-G", item))])


@contextmanager
def _work() -> Iterator[Path]:
    """Give a directory, which stays with its log where a tool failed."""
    with tools.work_directory(None, "peer") as work:
        work.keep = False
        try:
            yield work.path
        except ToolError:
            work.keep = True
            raise


def plain_verilog(work: Path, names: Sequence[str], top: str, options: Sequence[str]) -> str:
    """Return a design as one module of plain Verilog, `unit`.

    Raises:
        ToolError: Yosys cannot read it; its log is kept and named.
    """
    for word in (*names, top, *options):
        if re.search(r"[\s;\"'#]", word):
            raise MacgenError(
                f"{shown(word)} is no word that Yosys takes; accepted are names without blanks and quotes"
            )
    given = " ".join([*options, *names])
    synthesize.Yosys(work, synthesize.DEFAULT_TIMEOUT).yosys(
        "read",
        [
            f"read_slang -j 1 --ignore-timing --ignore-assertions -D SYNTHESIS --top {top} {given}",
            f"hierarchy -check -top {top}",
            "proc",
            "flatten -noscopeinfo",
            "opt_clean -purge",
            f"rename {top} unit" if top != "unit" else "",
            "write_verilog -noattr unit.v",
        ],
    )
    return (work / "unit.v").read_text(encoding="utf-8")


def row(function: str, peer: Measured, kind: str, own: Measured) -> list[str]:
    """Return the cells of a row."""
    return [
        function,
        *(f"{peer.area:.0f}", f"{peer.period:.2f}", f"{peer.product:.0f}", f"{peer.scatter:.1%}"),
        kind,
        *(f"{own.area:.0f}", f"{own.period:.2f}", f"{own.product:.0f}", f"{own.product / peer.product:.2f}"),
    ]


def main() -> None:
    """Print the table of a peer."""
    parser = argparse.ArgumentParser(description="Area and period of other people's units, with macgen's beside them.")
    parser.add_argument("folder", type=Path, help="folder with the peer's Verilog, at any depth")
    parser.add_argument("--peer", choices=[*PEERS, "any"], required=True, help="whose it is")
    parser.add_argument("--liberty", type=Path, required=True, help="Liberty file, plain or gzipped")
    parser.add_argument(
        "--dont-use", metavar="PATTERN", action="append", default=[], help="cells of it to leave out, with * and ?"
    )
    parser.add_argument("--only", metavar="TEXT", default="", help="rows whose function has this text in it")
    parser.add_argument("--top", help="with --peer any, the module")
    parser.add_argument("--parameter", metavar="NAME=VALUE", action="append", default=[], help="of it; repeatable")
    parser.add_argument("--beside", metavar="PRESET", default="default", help="with --peer any: whose PE stands beside")
    options = parser.parse_args()
    if (options.peer == "any") != (options.top is not None):
        parser.error("--top goes with --peer any, which needs it")
    if options.beside not in macgen.presets:
        parser.error(f"--beside {options.beside} is no preset")
    table = Table(title=f"{options.peer}, next to macgen: area x period, less is better")
    for heading in ("function", "um2", "ns", "um2 ns", "scatter", "macgen's", "um2", "ns", "um2 ns", "ratio"):
        table.add_column(heading, justify="right")
    console = Console(width=None if sys.stdout.isatty() else 160)
    try:
        with _work() as work:
            liberty = options.liberty
            if options.dont_use:
                liberty = without_cells(liberty, options.dont_use, work / "library.lib")
            for cells in _rows(options, liberty, console):
                table.add_row(*cells)
    except MacgenError as error:
        print(f"peers.py: error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    console.print(
        f"{options.liberty.name}; macgen {macgen.__version__}, Yosys {tools.require('yosys').version}, OpenSTA "
        f"{tools.require('sta').version}; ports timed, ideal clock and wires; means over {ORDERS} orders"
    )
    console.print(table)


def _rows(options: argparse.Namespace, liberty: Path, console: Console) -> list[list[str]]:
    rows = []
    if options.peer == "any":
        verilog = any_verilog(options.folder, options.top, options.parameter)
        component = Pe(Design(macgen.presets[options.beside]))
        with console.status(options.top):
            peer, own = measured_verilog(verilog, liberty), measured(component, liberty)
        return [row(options.top, peer, f"PE of {options.beside}", own)]
    files = found(options.folder, options.peer)
    for case in PEERS[options.peer].cases:
        if options.only in case.function:
            kind, component_of = case.beside
            with console.status(case.function):
                peer = measured_verilog(case_verilog(options.peer, case, files), liberty)
                rows.append(row(case.function, peer, kind, measured(component_of(), liberty)))
    return rows


if __name__ == "__main__":
    run_program(main)
