"""Proves the arithmetic of a bundle's Verilog: every accumulator state with every product, every fold, every result.

Verilator compiles the emitted modules, and a C++ program drives them and compares them with a model of
docs/arithmetic.md (`cpp/`). A sample of its comparisons goes to the golden model, which so answers for that model.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from macgen import tools
from macgen.bundle.manifest import checksum_notes, load_manifest
from macgen.errors import MacgenError, check_integer
from macgen.golden import Model
from macgen.numerics import ENCODINGS, SUBNORMALS, FixedFormat, Flags, FloatFormat, Format, ScaleFormat, random_bits
from macgen.prove.exhaustive.step_wrapper import StepWrapper, Vectors, step_wrapper
from macgen.rtl import Design
from macgen.spec import MacSpec, Scale

PROVER = Path(__file__).parent / "cpp"

DEFAULT_TIMEOUT = 3600.0
MOST_PAIRS = 10**9
"""Pairs up to which a space is driven completely."""

DRAWN_PAIRS = 10**8
"""Pairs drawn where it is not."""

AUDITED = 10_000
"""Comparisons of each thread, at least half of it where there are so many, that the golden model repeats."""

MAX_FIXED_BITS = 120
"""Bits of a fixed-point format, of random numbers, of the carries of lanes and of scales that the C++ model's 128-bit
integers hold together."""


@dataclass(frozen=True)
class Phase:
    """One kind of comparison.

    Attributes:
        name: `products` (operand codes to the adder's operand), `loads` (a product into an empty accumulator), `steps`,
            `chunk sums` (times scales, to the outer adder's operand), `folds`, `swaps` (folds of a chunk of one product
            with the total in the accumulator's place) or `results`.
        states: distinct accumulator states that were driven; of folds, swaps and results, totals. 0 for products.
        addends: distinct products, of folds chunk sums, of swaps loaded states; 0 where products were drawn from too
            many to list.
        pairs: pairs driven.
        sums: additions driven: of stochastic rounding a pair has one for each of its random numbers.
        complete: whether these were all pairs.
        numbers: which random numbers they had: `every`, `switches` (both sides of each at which the contract's
            result changes, both ends and one more) or `drawn`; empty where the hardware takes none.
        seconds: wall time.
    """

    name: str
    states: int
    addends: int
    pairs: int
    sums: int
    complete: bool
    numbers: str
    seconds: float


@dataclass(frozen=True)
class ExhaustiveResult:
    """What `exhaustive` found.

    Attributes:
        phases: what was compared, in order; after a difference no more.
        difference: one sentence on the first difference, None where there is none.
        audited: comparisons that golden repeated.
        seed: the seed of all that was drawn.
        compile_seconds: wall time until the program ran.
        seconds: wall time in all.
        notes: sentences on what is unusual.
        log: the program's log; None where it was in a temporary directory and nothing differs.
    """

    phases: tuple[Phase, ...]
    difference: str | None
    audited: int
    seed: int
    compile_seconds: float
    seconds: float
    notes: tuple[str, ...]
    log: Path | None

    @property
    def passed(self) -> bool:
        """Whether nothing differs."""
        return self.difference is None

    @property
    def complete(self) -> bool:
        """Whether every pair of every phase was driven."""
        return all(phase.complete for phase in self.phases)

    @property
    def at_switches(self) -> bool:
        """Whether a phase drove both sides of the random numbers at which rounding changes, but not all numbers."""
        return any(phase.numbers == "switches" for phase in self.phases)

    @property
    def pairs(self) -> int:
        """Pairs driven in all."""
        return sum(phase.pairs for phase in self.phases)

    @property
    def sums(self) -> int:
        """Additions driven in all."""
        return sum(phase.sums for phase in self.phases)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        values = {"passed": self.passed, "complete": self.complete, "pairs": self.pairs, **asdict(self)}
        return values | {"log": None if self.log is None else str(self.log)}


def exhaustive(
    bundle: str | Path,
    *,
    seed: int = 1,
    draws: int = DRAWN_PAIRS,
    most: int = MOST_PAIRS,
    workdir: str | Path | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    progress: Callable[[str], None] = lambda _: None,
) -> ExhaustiveResult:
    """Compare the loop of a bundle's PE with the numeric contract, in every state that it can reach where that can be.

    Parameters:
        bundle: directory that `macgen build` wrote; only read.
        seed: seed of what is drawn.
        draws: steps, folds, swaps and results to draw where a space is too large.
        most: pairs up to which a space is not.
        workdir: directory for the build and the logs, made if need be; None for a temporary one, which is kept only
            when something differs.
        timeout: limit in seconds of the comparison, and of each command before it.
        progress: told what is being done.

    Returns:
        What was compared. A difference is a result, not an error.

    Raises:
        MacgenError: the bundle or an argument is refused.
        ToolError: a tool is missing, failed or ran out of time; the sentence names the log.
    """
    started = time.monotonic()
    directory = Path(bundle).resolve()
    manifest = load_manifest(directory)
    spec = manifest.spec
    for name, number, least in (("seed", seed, 0), ("draws", draws, 1), ("most", most, 0)):
        check_integer(name, number, least, (1 << 63) - 1)
    tools.check_timeout(timeout)
    check_widths(spec)
    for tool in ("verilator", "g++", "perl"):
        tools.require(tool, needed_by="exhaustive verification")
    with tools.work_directory(workdir, "exhaustive") as work:
        progress("compiling")
        program = _compile(spec, manifest.name, directory / manifest.verilog, work.path, timeout)
        compile_seconds = time.monotonic() - started
        log, result = work.path / "log.txt", work.path / "result.json"
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        command: list[str | Path] = [program, *map(str, (threads, most, draws, seed)), result]
        with _told(log, progress):
            tools.run(command, cwd=work.path, log=log, timeout=timeout, name="exhaustive verification")
        found = json.loads(result.read_text(encoding="utf-8"))
        progress("golden model")
        difference = _difference(spec, found)
        work.keep = difference is not None
    return ExhaustiveResult(
        phases=tuple(Phase(**phase) for phase in found["phases"]),
        difference=difference,
        audited=len(found["audit"]),
        seed=seed,
        compile_seconds=compile_seconds,
        seconds=time.monotonic() - started,
        notes=tuple(checksum_notes(directory, manifest)),
        log=log if workdir is not None or difference is not None else None,
    )


def check_widths(spec: MacSpec) -> None:
    """Refuse fixed-point formats that the C++ model's 128-bit integers do not hold.

    Raises:
        MacgenError: there is one.
    """
    most = MAX_FIXED_BITS - spec.random_bits - (spec.lanes - 1).bit_length()
    if isinstance(spec.scale, FloatFormat):
        most -= 2 * spec.scale.precision
    for field in ("product", "acc", "outer", "out"):
        fmt = getattr(spec, field)
        if isinstance(fmt, FixedFormat) and fmt.width > most:
            raise MacgenError(
                f"{field} {fmt} has {fmt.width} bits; exhaustive verification accepts fixed-point formats of up to "
                f"{most} here"
            )


# -- compile -----------------------------------------------------------------------------------------------------------


def _compile(spec: MacSpec, name: str, verilog: Path, work: Path, timeout: float) -> Path:
    """Return the program that drives a bundle's modules."""
    wrapper = step_wrapper(Design(spec), name)
    (work / "wrapper.v").write_text(wrapper.verilog, encoding="utf-8")
    (work / "spec.h").write_text(_spec_header(spec, wrapper), encoding="utf-8")
    verilator = tools.require("verilator")

    def verilate(log: str, *options: str | Path) -> None:
        tools.run(
            [*verilator.command, *options],
            cwd=work,
            log=work / log,
            timeout=timeout,
            env=verilator.environment(),
            name="Verilator",
        )

    sources = [PROVER / "prove.cpp"]
    for unit, module in wrapper.modules.items():
        options = ["--cc", "--top-module", module, "--prefix", f"V{unit}", "--Mdir", unit, "-Wno-fatal"]
        verilate(f"verilate_{unit}.txt", *options, "-O3", verilog, "wrapper.v")
        sources.append(work / f"{unit}.cpp")
        parts = [f'#include "{unit}/{path.name}"' for path in sorted((work / unit).glob("*.cpp"))]
        sources[-1].write_text("\n".join([*parts, ""]), encoding="utf-8")
    verilate("root.txt", "--getenv", "VERILATOR_ROOT")
    root = Path((work / "root.txt").read_text(encoding="utf-8").splitlines()[-1]) / "include"

    compiler = tools.require("g++").command
    includes = [
        f"-I{path}" for path in (work, PROVER, *(work / unit for unit in wrapper.modules), root, root / "vltstd")
    ]

    def compile_one(source: Path) -> None:
        optimise = "-O1" if source.is_relative_to(root) else "-O2"
        flags = ["-std=gnu++17", optimise, "-w", "-pthread", "-DVERILATOR=1", "-DVM_TRACE=0", *includes]
        tools.run(
            [*compiler, *flags, "-c", source, "-o", f"{source.stem}.o"],
            cwd=work,
            log=work / f"compile_{source.stem}.txt",
            timeout=timeout,
        )

    sources += [root / "verilated.cpp", root / "verilated_threads.cpp"]
    tools.side_by_side(*(lambda source=source: compile_one(source) for source in sources))
    objects = [f"{source.stem}.o" for source in sources]
    tools.run([*compiler, "-pthread", *objects, "-o", "prove"], cwd=work, log=work / "link.txt", timeout=timeout)
    return work / "prove"


def format_numbers(fmt: Format | Scale) -> tuple[int, ...]:
    """Return a format as the integers of `Format` in cpp/numbers.h."""
    if isinstance(fmt, ScaleFormat):
        return (1, fmt.width, fmt.exp_bits, 0, fmt.bias, 4, 0, 0, 0)
    if isinstance(fmt, FloatFormat):
        encoding = ENCODINGS.index(fmt.encoding)
        subnormals = SUBNORMALS.index(fmt.subnormals)
        return (1, fmt.width, fmt.exp_bits, fmt.man_bits, fmt.exponent_bias, encoding, subnormals, 0, 0)
    return (0, fmt.width, 0, 0, 0, 0, 0, fmt.frac_bits, int(fmt.signed))


def spec_numbers(spec: MacSpec) -> tuple[int, ...]:
    """Return a spec as the integers of `Spec` in cpp/numbers.h."""
    unused = (0,) * len(format_numbers(spec.a))

    def target(fmt: Format | None, rounding: str, *, single: bool = False) -> tuple[int, ...]:
        if fmt is None:
            return (*unused, 0, 0, 0)
        bits = random_bits(rounding)
        rounding = "rtz" if single and rounding == "drop" else "stochastic" if bits else rounding
        return (
            *format_numbers(fmt),
            ("rne", "rtz", "drop", "stochastic").index(rounding),
            bits,
            ("saturate", "infinity", "wrap").index(spec.overflow_into(fmt)),
        )

    lane_sums = ("fused", "tree")
    return (
        *format_numbers(spec.a),
        *format_numbers(spec.b),
        *(unused if spec.scale is None else format_numbers(spec.scale)),
        *target(spec.product, spec.rounding, single=True),
        *target(spec.acc, spec.rounding),
        *target(spec.outer_format, spec.fold_rounding),
        *target(spec.out_format, spec.fold_rounding, single=True),
        int(spec.product is not None),
        int(spec.scale is not None),
        int(spec.has_outer_adder),
        int(spec.out_format != spec.outer_format),
        spec.lanes,
        lane_sums.index(spec.lane_sum) if spec.lane_sum in lane_sums else 2,
        spec.aligned_bits or 0,
    )


def _spec_header(spec: MacSpec, wrapper: StepWrapper) -> str:
    def words(vectors: Vectors) -> str:
        places = range(0, vectors.state_bits, 64)
        return f"{{{', '.join(f'{vectors.zero >> low & (1 << 64) - 1:#x}u' for low in places)}}}"

    inner, folds, units = wrapper.inner, wrapper.folds, wrapper.modules
    outer = "outer_step" in units
    lines = [
        "#pragma once",
        '#include "model.h"',
        *(f'#include "V{unit}.h"' for unit in units),
        f"constexpr Spec SPEC = {{{', '.join(map(str, spec_numbers(spec)))}}};",
        f"constexpr int STATE_BITS = {inner.state_bits}, OPERAND_BITS = {inner.operand_bits};",
        f"constexpr int TOTAL_BITS = {folds.state_bits}, FOLD_OPERAND_BITS = {folds.operand_bits};",
        f"#define ZERO_WORDS {words(inner)}",
        f"#define ZERO_TOTAL_WORDS {words(folds)}",
        f"#define STEP_RANDOM_BITS {inner.random_bits}",
        f"#define OUTER_RANDOM_BITS {folds.random_bits if outer else 0}",
        f"#define RESULT_RANDOM_BITS {wrapper.result_random_bits}",
        f"#define LANES {spec.lanes}",
        f"#define CYCLES {spec.interleave}",
        f"#define IDLES {int(wrapper.idles)}",
        f"#define FOLDS {int('folded' in units)}",
        f"#define SEPARATE_FOLDS {int('fold' in units)}",
        f"#define LOADS {int('loaded' in units)}",
        f"#define OUTER {int(outer)}",
        f"#define SCALES {int(spec.scale is not None)}",
        f"#define RESULTS {int('result' in units)}",
        f"constexpr unsigned AUDITED = {AUDITED};",
    ]
    return "\n".join([*lines, ""])


@contextlib.contextmanager
def _told(log: Path, progress: Callable[[str], None]) -> Iterator[None]:
    """Tell the last line of a growing log."""
    stop = threading.Event()

    def tell() -> None:
        while not stop.wait(0.5):
            with contextlib.suppress(OSError, IndexError):
                progress(log.read_text(encoding="utf-8", errors="replace").splitlines()[1:][-1])

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


# -- the golden model --------------------------------------------------------------------------------------------------


def _difference(spec: MacSpec, found: dict[str, Any]) -> str | None:
    """Return the sentence on the first difference, with golden's word on what is right; None where there is none."""
    model = Model(spec)
    difference = found["difference"]
    if difference is not None:
        wanted = int(difference["code"], 16), difference["flags"]
        if difference["compares"] and _golden(model, difference["comparison"]) != wanted:
            raise AssertionError(f"the compiled model of {spec} is not golden's: {difference}")
        return _sentence(spec, difference["what"], difference["comparison"], wanted, difference)
    for comparison in found["audit"]:
        wanted = _golden(model, comparison)
        if wanted != (int(comparison["code"], 16), comparison["flags"]):
            return _sentence(spec, comparison["what"], comparison, wanted)
    return None


def _golden(model: Model, comparison: dict[str, Any]) -> tuple[int, int]:
    acc, random = int(comparison["acc"], 16), comparison["random"]
    match comparison["what"]:
        case "fold":
            scales = (comparison["a_scale"], comparison["b_scale"]) if model.spec.scale is not None else ()
            return model.fold(acc, int(comparison["addend"], 16), random, *scales)
        case "result":
            return model.convert(acc, random)
    return model.step(acc, comparison["a"], comparison["b"], random)


def _sentence(
    spec: MacSpec,
    what: str,
    comparison: dict[str, Any],
    wanted: tuple[int, int],
    place: dict[str, Any] | None = None,
) -> str:
    def code(value: str | int, fmt: Format | Scale) -> str:
        number = int(value, 16) if isinstance(value, str) else value
        return f"{number:#0{math.ceil(fmt.width / 4) + 2}x}"

    kind = comparison["what"]
    name, fmt, into = {
        "step": ("accumulator", spec.acc, spec.acc),
        "fold": ("total", spec.outer_format, spec.outer_format),
        "result": ("total", spec.outer_format, spec.out_format),
    }[kind]

    def result(value: str | int, flags: int) -> str:
        raised = "|".join(flag.name.lower() for flag in Flags if flags & flag and flag.name) or "none"
        return f"code {code(value, into)}, flags {raised}"

    parts = [f"{name} {code(comparison['acc'], fmt)}"]
    if kind == "step":
        for side, operand in (("a", spec.a), ("b", spec.b)):
            parts.append(f"{side} {' '.join(code(value, operand) for value in comparison[side])}")
    elif kind == "fold":
        parts.append(f"chunk sum {code(comparison['addend'], spec.acc)}")
        if spec.scale is not None:
            parts += [f"{side} {code(comparison[side], spec.scale)}" for side in ("a_scale", "b_scale")]
    rounds_at = {"steps": "step", "chunks": "fold", "out": "result"}
    if spec.random_place and (rounds_at[spec.random_place] == kind or (kind == "fold" and not spec.has_outer_adder)):
        parts.append(f"random {comparison['random']:#x}")
    where = f" (state {place['state']}, operand {place['operand']})" if place is not None else ""
    got = result(comparison["code"], comparison["flags"])
    return f"{what}: {', '.join(parts)}: expected {result(*wanted)}; got {got}{where}"
