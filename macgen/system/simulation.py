"""Matrix products of any size through a bundle's Verilog, in a program that Verilator compiles once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macgen import tools
from macgen.bundle.opening import open_bundle
from macgen.errors import MAX_COUNT, MacgenError, ToolError, check_flag, check_integer, check_path, check_type
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl import Design, core_module
from macgen.spec import MacSpec
from macgen.system.operands import Operands
from macgen.system.words import Words, result_words, results, word_count

DEFAULT_TIMEOUT = 3600.0
MOST_UNITS = 2048
"""Verilator takes 1 GB for 32 x 32 units of the default spec, and 64 x 64 do not end in 3 GB."""

MOST_STALLS = 95
"""Per cent of the cycles."""

_PROGRAM = Path(__file__).parent / "cpp" / "stream.cpp"


@dataclass(frozen=True)
class Stalls:
    """How often the array's surroundings are not ready, in per cent of the cycles in which they could be.

    Attributes:
        a: of offering no beat of stream a.
        b: the same of stream b.
        c: of taking no results.
        seed: of the random choice of these cycles.

    Raises:
        MacgenError: a percentage is no integer from 0 to 95, or the seed none from 0.
    """

    a: int = 0
    b: int = 0
    c: int = 0
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("a", "b", "c"):
            object.__setattr__(self, name, check_integer(f"stalls of {name}", getattr(self, name), 0, MOST_STALLS))
        object.__setattr__(self, "seed", check_integer("seed", self.seed, 0, MAX_COUNT))


@dataclass(frozen=True)
class Run:
    """A matrix product that the Verilog computed.

    Attributes:
        values: (M, N) values of the results (fixed point above 53 bits: the nearest doubles).
        codes: (M, N) result codes, as they stand on the port.
        flags: (M, N) bits of `numerics.Flags`.
        cycles: clock cycles from the one that took the first beat to the one in which the last result left.
        cycles_before: cycles from the end of the reset to the first beat.
        operand_stalls: cycles among `cycles` in which not both operand streams offered a beat, though there were more.
        result_stalls: cycles in which results waited.
    """

    values: NDArray[np.float64]
    codes: NDArray[Any]
    flags: NDArray[np.uint8]
    cycles: int
    cycles_before: int
    operand_stalls: int
    result_stalls: int


@dataclass(frozen=True)
class Simulation:
    """A bundle's Verilog, compiled to compute matrix products; `compiled` makes it.

    Attributes:
        spec: the array.
    """

    spec: MacSpec
    _program: Path
    _work: tools.Work
    _timeout: float

    @overload
    def matmul(
        self,
        A: ArrayLike,
        B: ArrayLike,
        *,
        A_scales: ArrayLike | None = None,
        B_scales: ArrayLike | None = None,
        mode: int | str = 0,
        flags: Literal[False] = False,
    ) -> NDArray[np.float64]: ...
    @overload
    def matmul(
        self,
        A: ArrayLike,
        B: ArrayLike,
        *,
        A_scales: ArrayLike | None = None,
        B_scales: ArrayLike | None = None,
        mode: int | str = 0,
        flags: Literal[True],
    ) -> tuple[NDArray[np.float64], NDArray[np.uint8]]: ...

    def matmul(
        self,
        A: ArrayLike,
        B: ArrayLike,
        *,
        A_scales: ArrayLike | None = None,
        B_scales: ArrayLike | None = None,
        mode: int | str = 0,
        flags: bool = False,
    ) -> Any:
        """Return the product of two matrices; parameters and results are those of `macgen.system.matmul`."""
        flags = check_flag("flags", flags)
        run = self.run(A, B, A_scales=A_scales, B_scales=B_scales, mode=mode)
        return (run.values, run.flags) if flags else run.values

    def run(
        self,
        A: ArrayLike,
        B: ArrayLike,
        *,
        A_scales: ArrayLike | None = None,
        B_scales: ArrayLike | None = None,
        mode: int | str = 0,
        stalls: Stalls = Stalls(),
    ) -> Run:
        """Return the product of two matrices with the cycles that it took, from a reset on.

        Parameters:
            A, B, A_scales, B_scales, mode: as of `macgen.system.matmul`.
            stalls: how often the surroundings are not ready.

        Raises:
            MacgenError: an argument is refused.
            ToolError: the simulation failed or ran out of time; the sentence names its log.
        """
        check_type("stalls", stalls, Stalls, "Stalls, such as Stalls(a=30)")
        return self.stream(Operands.of(self.spec, A, B, A_scales, B_scales, mode), stalls)

    def stream(self, operands: Operands, stalls: Stalls) -> Run:
        """Return the product of operands that were checked; for the rest see `run`."""
        try:
            words, (before, cycles, gaps, waits) = self._stream(operands, stalls)
        except ToolError:
            self._work.keep = True  # with the log that it names
            raise
        codes, flags = results(operands.tiling, words)
        return Run(self.spec.out_format.decode(codes), codes, flags, cycles, before, gaps, waits)

    def _stream(self, operands: Operands, stalls: Stalls) -> tuple[Words, list[int]]:
        """Return the words of all result beats, and what the program counted."""
        directory = self._work.path
        files = [directory / name for name in ("a.bin", "b.bin", "results.bin")]
        log = directory / "stream.txt"
        for file, words in zip(files, (operands.a, operands.b), strict=False):
            words.astype("<u4", copy=False).tofile(file)
        tiling = operands.tiling
        numbers = tiling.tiles, tiling.tile_cols, tiling.steps, stalls.a, stalls.b, stalls.c, stalls.seed, operands.mode
        command: list[str | Path] = [self._program, *files, *map(str, numbers)]
        tools.run(command, cwd=directory, log=log, timeout=self._timeout, name="simulation with verilator")
        words = np.fromfile(files[2], "<u4").reshape(-1, result_words(self.spec))
        counts = [int(word) for word in log.read_text(encoding="utf-8").splitlines()[-1].split()]
        for file in files:
            file.unlink()
        return words, counts


@contextlib.contextmanager
def compiled(
    bundle: str | os.PathLike[str], *, timeout: float = DEFAULT_TIMEOUT, trust: bool = False
) -> Iterator[Simulation]:
    """Compile a bundle's Verilog once for several products; what is compiled goes with the block.

    Of a bundle with AXI4-Stream ports it is the core, without the register slices.

        with macgen.system.compiled("build/mac12") as array:
            Y = array.matmul(A, B)

    Parameters:
        bundle: what `build` returned, or its directory; only read.
        timeout: limit in seconds of each command of the compilation, and of each product.
        trust: accept Verilog that macgen did not write; it is run as it is, see `macgen.bundle.open_bundle`.

    Raises:
        MacgenError: the bundle or an argument is refused, or the array has more than 2048 units.
        ToolError: Verilator or the compiler is missing, failed or ran out of time; the sentence names the log.
    """
    tools.check_timeout(timeout)
    opened = open_bundle(check_path("bundle", bundle), trust=trust)
    tools.require_all("verilator", "g++", "perl", needed_by="simulation with verilator")
    spec, name = opened.manifest.spec, opened.manifest.name
    if spec.rows * spec.cols > MOST_UNITS:
        raise MacgenError(
            f"an array of {spec.rows} x {spec.cols} units is too large to be compiled as a whole, which takes a "
            f"megabyte of memory for each; accepted are at most {MOST_UNITS} units (macgen verify takes larger ones)"
        )
    with tools.work_directory(None, "system") as work:
        (work.path / "array.v").write_bytes(opened.verilog)
        core = core_module(Design(spec), name)  # which has native ports
        (work.path / "ports.h").write_text(_ports(spec, core == name), encoding="utf-8")
        models = {"array": core}
        program = tools.compile_verilated(_PROGRAM, models, ["array.v"], work=work.path, timeout=timeout)
        work.keep = False
        yield Simulation(spec, program, work, timeout)


def _ports(spec: MacSpec, is_top: bool) -> str:
    """Return the header that tells the program the array's ports, be it the top module or one inside."""
    design = Design(spec)
    clocking = design.clocking if is_top else design.clocking.inner
    words = {
        "A_WORDS": spec.rows * design.a_bits,
        "B_WORDS": spec.cols * design.b_bits,
        "A_SCALE_WORDS": spec.rows * design.scale_bits,
        "B_SCALE_WORDS": spec.cols * design.scale_bits,
        "C_WORDS": spec.cols * spec.out_format.width,
        "F_WORDS": spec.cols * FLAG_BITS,
    }
    low = int(clocking.reset_low)
    lines = [
        "#pragma once",
        '#include "Varray.h"',
        f"#define SCALES {int(design.scale_bits > 0)}",
        f"#define MODES {int(len(spec.mode_names) > 1)}",
        f"#define COUNTERS {int(spec.counters is not None)}",
        f"#define CLOCK {clocking.clock}",
        f"#define RESET {clocking.reset}",
        *([] if clocking.enable is None else [f"#define ENABLE {clocking.enable}"]),
        *(f"constexpr int {name} = {word_count(bits)};" for name, bits in words.items()),
        f"constexpr int IN_RESET = {1 - low}, OUT_OF_RESET = {low};",
        f"constexpr int ROWS = {spec.rows}, TURNS = {spec.interleave};",
    ]
    return "\n".join([*lines, ""])
