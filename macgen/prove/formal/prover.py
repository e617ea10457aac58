"""Proves properties of a bundle's Verilog, for streams and stalls of any length, with the solvers inside Yosys.

Control is proved with the arithmetic abstracted (`pe`, `sequencer`, `array`), the range of accumulators and results
with the arithmetic as it is (`bounds`). Invariants are found by property directed reachability (ABC's
`pdr`, which Yosys brings) or by temporal induction (Yosys's `sat`), so that a proof holds for all time; every proof
starts in any state at all, followed by one cycle of reset.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from macgen import tools
from macgen.bundle.manifest import Manifest
from macgen.bundle.opening import open_bundle
from macgen.compress.spec import CompressSpec
from macgen.errors import MacgenError, ToolError, check_function, check_path
from macgen.prove.formal.array import drain_harness, feed_harness
from macgen.prove.formal.axi import axi_harness
from macgen.prove.formal.bounds import bounds_harness, totals_harness
from macgen.prove.formal.compress import compress_harnesses
from macgen.prove.formal.counters import counters_harness
from macgen.prove.formal.harness import Harness, Property
from macgen.prove.formal.pe import pe_harness
from macgen.prove.formal.sequencer import sequencer_harness
from macgen.prove.verilog_text import Ports
from macgen.rtl import Design
from macgen.spec import MacSpec

DEFAULT_TIMEOUT = 600.0

HARNESSES = (
    pe_harness,
    sequencer_harness,
    feed_harness,
    drain_harness,
    counters_harness,
    axi_harness,
    bounds_harness,
    totals_harness,
)
"""What makes the harnesses of the proofs, in order; each of a design, its top module's name and its modules' ports."""

# ABC works on the network that Yosys gives it and has to give one back: the proof happens between the two.
_PDR = "pdr"
_PLACEHOLDER = "module placeholder(input a, input b, output c);\n  assign c = a & b;\nendmodule\n"


@dataclass(frozen=True)
class Proof:
    """One run of a solver.

    Attributes:
        name: `PE`, `sequencer`, `operands`, `results`, `counters`, `AXI4-Stream`, `bounds` or `totals`; of a unit that
            compresses gradients `residue`, `element` or `way`.
        properties: what it proves, together.
        method: how, in words.
        depth: cycles: frames of the reachability proof, or length of the induction; of a counterexample, its length.
        outcome: `proved`, `fails` or `undecided` (out of time, or the induction does not close).
        failing: the property that fails, if one does.
        seconds: wall time.
    """

    name: str
    properties: tuple[Property, ...]
    method: str
    depth: int
    outcome: str
    failing: Property | None
    seconds: float


@dataclass(frozen=True)
class FormalResult:
    """What `formal` found.

    Attributes:
        proofs: in order; after one that fails no more.
        unproved: sentences on what the properties leave out of this spec.
        problem: one sentence on what fails or stays open, with the trace and the log; None where all is proved.
        trace: a counterexample as VCD, if there is one.
        log: the solver's log of the proof that failed or stayed open.
        notes: sentences on what is unusual.
        seconds: wall time in all.
    """

    proofs: tuple[Proof, ...]
    unproved: tuple[str, ...]
    problem: str | None
    trace: Path | None
    log: Path | None
    notes: tuple[str, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether all is proved."""
        return self.problem is None

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        paths = {"trace": self.trace, "log": self.log}
        return {"passed": self.passed, **asdict(self)} | {
            name: None if path is None else str(path) for name, path in paths.items()
        }


def formal(
    bundle: str | Path,
    *,
    workdir: str | Path | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    trust: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> FormalResult:
    """Prove stream protocol, order of the sums, reset and accumulator range of a bundle's Verilog.

    Parameters:
        bundle: directory that `macgen build` wrote; only read.
        workdir: directory for harnesses and logs, made if need be; None for a temporary one, which is kept only when
            something is not proved.
        timeout: limit in seconds of each solver run.
        trust: accept Verilog that macgen did not write; it is run as it is, see `macgen.bundle.open_bundle`.
        progress: is called with the proof that is at work.

    Returns:
        The proofs. A property that fails is a result, not an error.

    Raises:
        MacgenError: the bundle, an argument or a field of its spec is refused.
        ToolError: Yosys is missing, failed or ran out of time; the sentence names the log.
    """
    started = time.monotonic()
    check_function("progress", progress)
    opened = open_bundle(check_path("bundle", bundle).resolve(), trust=trust)
    manifest = opened.manifest
    if isinstance(manifest.subject, MacSpec) and manifest.subject.preload:
        raise MacgenError(
            "preload does not go with formal verification; accepted are arrays without preloaded accumulators"
        )
    tools.check_timeout(timeout)
    tools.require("yosys", needed_by="formal verification")
    proofs: list[Proof] = []
    unproved: list[str] = []
    problem: str | None = None
    trace: Path | None = None
    log: Path | None = None
    with tools.work_directory(workdir, "formal") as work:
        (work.path / "array.v").write_bytes(opened.verilog)
        modules = _modules(work.path, timeout)
        for harness in _harnesses(manifest, modules):
            progress(harness.name)
            place = work.path / harness.name
            place.mkdir()
            shutil.copyfile(work.path / "array.v", place / "array.v")
            proof = _prove(harness, place, timeout)
            proofs.append(proof)
            unproved += harness.unproved
            if proof.outcome == "fails" or (proof.outcome == "undecided" and problem is None):
                log = place / ("trace.txt" if (place / "trace.txt").exists() else "prove.txt")
                trace = place / "trace.vcd" if (place / "trace.vcd").exists() else None
                problem = _sentence(proof, trace, log, timeout)
            if proof.outcome == "fails":
                break
        work.keep = problem is not None
    return FormalResult(
        proofs=tuple(proofs),
        unproved=tuple(unproved),
        problem=problem,
        trace=trace,
        log=log,
        notes=opened.notes,
        seconds=time.monotonic() - started,
    )


def _harnesses(manifest: Manifest, modules: Mapping[str, Ports]) -> Iterator[Harness]:
    """Yield the harnesses of the proofs of what a bundle holds, in order."""
    if isinstance(manifest.subject, CompressSpec):
        yield from compress_harnesses(manifest.subject, manifest.name, modules)
        return
    design = Design(manifest.subject)
    for make in HARNESSES:
        harness = make(design, manifest.name, modules)
        if harness is not None:
            yield harness


def _modules(work: Path, timeout: float) -> dict[str, Ports]:
    """Return the ports of the emitted modules."""
    _yosys(work, "ports", ["read_verilog array.v", "proc", "write_json ports.json"], timeout)
    found = json.loads((work / "ports.json").read_text(encoding="utf-8"))["modules"]
    return {
        name: {port: (item["direction"], len(item["bits"])) for port, item in module["ports"].items()}
        for name, module in found.items()
    }


def _prove(harness: Harness, place: Path, timeout: float) -> Proof:
    started = time.monotonic()
    (place / "harness.sv").write_text(harness.verilog, encoding="utf-8")
    if harness.depth is None:
        method = "one addition, from any valid state"
        cycles = [f"-seq {harness.cycles}", f"-prove-skip {harness.cycles - 1}"] if harness.cycles > 1 else []
        outcome, depth = _satisfiability(harness, place, timeout, ["sat", *cycles])
    elif harness.depth:
        method = "temporal induction"
        outcome, depth = _satisfiability(harness, place, timeout, ["sat -tempinduct", f"-maxsteps {harness.depth}"])
    else:
        method = "reachability (PDR)"
        outcome, depth = _reachability(place, timeout, harness)
    failing = None
    if outcome == "fails":
        log = place / ("trace.txt" if (place / "trace.txt").exists() else "prove.txt")
        failing = _failing(harness, log)
    return Proof(harness.name, harness.properties, method, depth, outcome, failing, time.monotonic() - started)


def _elaboration(harness: Harness) -> list[str]:
    """Return the commands that make one flat module of the array and the harness, its asserts as cells."""
    return [
        "read_verilog array.v",
        *(f"delete {module}" for module in harness.replaced),
        "proc",
        # Where registers start is what the proofs leave open.
        "setattr -unset init w:*",
        "read_verilog -formal -sv harness.sv",
        "hierarchy -check -top harness",
        "proc",
        "flatten -noscopeinfo",
        *(f"connect -nomap -nounset -set {signal} {driver}" for signal, driver in harness.connections),
        # What the array leaves undefined is any value, a new one in each cycle.
        "setundef -undriven -anyseq",
        "opt_expr",
        "opt_clean",
        "check -assert",
        "async2sync",
        "chformal -lower",
        "opt_clean",
    ]


def _satisfiability(harness: Harness, place: Path, timeout: float, command: Sequence[str]) -> tuple[str, int]:
    shown = ",".join(f"ok_{item.name}" for item in harness.properties)
    words = [*command, "-prove-asserts", f"-timeout {max(1, int(timeout))}", "-dump_vcd trace.vcd"]
    words += [f"-show {shown}", "-show-inputs"]
    _yosys(place, "prove", [*_elaboration(harness), " ".join(words)], timeout + 60)
    log = (place / "prove.txt").read_text(encoding="utf-8", errors="replace")
    depth = max((int(number) for number in re.findall(r"Trying induction with length (\d+)", log)), default=1)
    if re.search(r"(Induction step proven|no model found): SUCCESS!", log):
        (place / "trace.vcd").unlink(missing_ok=True)
        return "proved", depth
    if re.search(r"model found( for base case)?: FAIL!", log):
        return "fails", depth
    if "eached maximum number of time steps" in log or "TIMEOUT" in log or "Interrupted" in log:
        (place / "trace.vcd").unlink(missing_ok=True)
        return "undecided", depth
    raise ToolError(
        f"Yosys gave no verdict: {tools.last_message(place / 'prove.txt')}; its log is {place / 'prove.txt'}"
    )


def _reachability(place: Path, timeout: float, harness: Harness) -> tuple[str, int]:
    (place / "placeholder.v").write_text(_PLACEHOLDER, encoding="utf-8")
    solve = [
        "strash",
        "backup",
        "&r array.aig",
        "&put",
        "orpos",
        # Registers that are always equal become one, which leaves the search less to find.
        "scorr",
        f"{_PDR} -T {max(1, int(timeout))}",
        "write_status status.txt",
    ]
    (place / "pdr.abc").write_text("\n".join([*solve, "restore", "strash", "map", ""]), encoding="utf-8")
    gates = ["dffunmap", "techmap", "opt_expr", "opt_clean", "dffunmap", "simplemap", "aigmap", "opt_clean"]
    commands = [*_elaboration(harness), "write_rtlil flat.il", *gates, "write_aiger -zinit array.aig"]
    commands += ["design -reset", "read_verilog placeholder.v", "techmap", "abc -script pdr.abc"]
    _yosys(place, "prove", commands, timeout + 60)
    status = place / "status.txt"
    # Verdict, frames that the solver looked at, and of a counterexample output and frame.
    text = status.read_text(encoding="utf-8") if status.exists() else ""
    verdict = re.match(r"snl_(UNSAT|SAT|UNK) (-?\d+) unknown(?: (\d+) (\d+))?", text)
    if verdict is None:
        log = place / "prove.txt"
        raise ToolError(f"ABC gave no verdict: {tools.last_message(log)}; the log is {log}")
    if verdict[1] != "SAT":
        return {"UNSAT": "proved", "UNK": "undecided"}[verdict[1]], int(verdict[2])
    # Yosys's own solver finds the counterexample again, the shortest one: a second opinion, and a trace with names.
    shown = ",".join(f"ok_{item.name}" for item in harness.properties)
    words = ["sat -tempinduct-baseonly", f"-maxsteps {int(verdict[4]) + 1}", "-prove-asserts -dump_vcd trace.vcd"]
    search = " ".join([*words, f"-show {shown}", "-show-inputs"])
    _yosys(place, "trace", ["read_rtlil flat.il", search], timeout)
    log = place / "trace.txt"
    found = log.read_text(encoding="utf-8", errors="replace")
    if "model found for base case: FAIL!" not in found:
        raise ToolError(
            f"ABC found a counterexample of {int(verdict[4]) + 1} cycles that Yosys does not; the log is {log}"
        )
    return "fails", max(int(number) for number in re.findall(r"\[base case (\d+)\]", found))


def _failing(harness: Harness, log: Path) -> Property | None:
    """Return the property that a counterexample violates, in its last cycle."""
    text = log.read_text(encoding="utf-8", errors="replace")
    by_name = {item.name: item for item in harness.properties}
    values = re.findall(r"\\ok_(\w+)\s+\S+\s+\S+\s+([01])\s*$", text, re.MULTILINE)
    for name, value in values[-len(harness.properties) :]:
        if value == "0":
            return by_name.get(name)
    return None


def _sentence(proof: Proof, trace: Path | None, log: Path, timeout: float) -> str:
    if proof.outcome == "undecided":
        return f"{proof.name}: not decided at depth {proof.depth}, with up to {timeout:g} s; the log is {log}"
    claim = "one of its properties" if proof.failing is None else f"{proof.failing.name} ({proof.failing.claim})"
    cycles = "" if proof.method.startswith("one") else f" after {proof.depth} cycles"
    return f"{proof.name}: {claim} fails{cycles}; the trace is {trace}, the log is {log}"


def _yosys(place: Path, name: str, commands: Sequence[str], timeout: float) -> None:
    """Run a script in a directory; file names in it are relative, as the wheel's Yosys cannot see /tmp."""
    yosys = tools.require("yosys")
    (place / f"{name}.ys").write_text("\n".join([*commands, ""]), encoding="utf-8")
    tools.run(
        [*yosys.command, "-Q", "-s", f"{name}.ys"],
        cwd=place,
        log=place / f"{name}.txt",
        timeout=timeout,
        env=yosys.environment(),
        name="Yosys",
    )
    tools.check_written(commands, cwd=place, log=place / f"{name}.txt", name="Yosys")
