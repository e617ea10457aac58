"""A matrix product that the emitted Verilog computes in a simulator, every element compared with golden."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macgen import tools
from macgen.bundle.opening import open_bundle
from macgen.errors import MacgenError, check_path
from macgen.numerics import FixedFormat, Format
from macgen.numerics.arrays import checked_codes, plain_array
from macgen.simulate.session import DEFAULT_TIMEOUT, simulate
from macgen.simulate.simulators import SimulatorChoice, check_simulator, choose
from macgen.spec import MacSpec

LARGE_PRODUCT = 400_000
"""Multiplications from which `run_matmul` prefers Verilator, whose compile then pays."""

MAX_RESULT_BITS = 64
"""Bits of results and start values: they go to the simulator and come back in NumPy's widest integers."""


@dataclass(frozen=True)
class MatmulResult:
    """A matrix product that the Verilog computed, every element equal to the golden model's.

    Attributes:
        codes: (M, N) result codes.
        flags: (M, N) flags.
        simulator: `icarus` or `verilator`.
        tiles: tiles of rows x cols that it took.
        beats: operand beats.
        cycles: clock cycles simulated.
        comparisons: codes and flags compared with the golden model.
        seconds: wall time, compile included.
        counts: what the array's counters show after it, by name, such as `steps_swamped`; those of what cannot happen
            are left out. Empty without counters.
    """

    codes: NDArray[Any]
    flags: NDArray[Any]
    simulator: str
    tiles: int
    beats: int
    cycles: int
    comparisons: int
    seconds: float
    counts: dict[str, int] = field(default_factory=dict)


def run_matmul(
    bundle: str | os.PathLike[str],
    A: ArrayLike,
    B: ArrayLike,
    *,
    A_scales: ArrayLike | None = None,
    B_scales: ArrayLike | None = None,
    preload: ArrayLike | None = None,
    mode: int | str = 0,
    simulator: SimulatorChoice = "auto",
    workdir: str | Path | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    trust: bool = False,
) -> MatmulResult:
    """Multiply two matrices of codes in a simulation of a bundle's Verilog; every result is compared with golden.

    Parameters:
        bundle: what `build` returned, or its directory; only read.
        A: (M, K) codes of format a.
        B: (K, N) codes of format b. M and N need not be multiples of the array's rows and cols.
        A_scales: (M, chunks) codes of format scale, where the array has scales; (M, blocks) with those of lanes; else
            None.
        B_scales: (chunks, N) codes, or (blocks, N).
        preload: (M, N) codes of start values, of the outer accumulator's format, where the array has preloaded
            accumulators; else None.
        mode: number or name of the array's mode. All codes, the result's too, are those of that mode's formats, so that
            the result is that of `macgen.golden.matmul` with `spec.mode(mode)`.
        simulator: `auto` means Icarus for small products and Verilator, which first compiles, for large ones.
        workdir: as for `verify`.
        timeout: limit in seconds.
        trust: accept Verilog that macgen did not write; it is run as it is, see `macgen.bundle.open_bundle`.

    Returns:
        The product.

    Raises:
        MacgenError: an argument is refused, or a result is not the golden model's; the sentence names the log.
        ToolError: the simulator is missing, failed or ran out of time; the sentence names the log.
    """
    directory = check_path("bundle", bundle).resolve()
    opened = open_bundle(directory, trust=trust)
    array = opened.manifest.spec
    spec = array.mode(mode)
    tools.check_timeout(timeout)
    check_simulator(simulator)
    a, b = plain_array("A", A), plain_array("B", B)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0] or 0 in a.shape + b.shape:
        raise MacgenError(f"A has the shape {a.shape} and B {b.shape}; accepted are (M, K) and (K, N)")
    if (width := spec.out_format.width) > MAX_RESULT_BITS:
        raise MacgenError(
            f"results of the format {spec.out_format} have {width} bits; accepted here are {MAX_RESULT_BITS}"
        )
    a, b = _held(spec.a, a, "A"), _held(spec.b, b, "B")
    count = spec.scale_count(a.shape[1])
    scales = {
        "a_scales": _checked_scales(spec, "A_scales", A_scales, (a.shape[0], count)),
        "b_scales": _checked_scales(spec, "B_scales", B_scales, (count, b.shape[1])),
    }
    starts = _checked_starts(spec, preload, (a.shape[0], b.shape[1]))
    if simulator == "auto" and a.shape[0] * b.size >= LARGE_PRODUCT and tools.find("verilator").available:
        simulator = "verilator"
    name = choose(simulator, spec)[0]
    with tools.work_directory(workdir, name) as work:
        operands, results = work.path / "operands.npz", work.path / "results.npz"
        arrays = {"a": a, "b": b, **{name: codes for name, codes in scales.items() if codes is not None}}
        arrays |= {} if starts is None else {"preload": starts}
        np.savez(operands, allow_pickle=False, **arrays)
        settings = {"MACGEN_OPERANDS": str(operands), "MACGEN_RESULTS": str(results)}
        settings["MACGEN_MODE"] = str(array.mode_number(mode))
        run, _ = simulate(opened, name, "sim.test_matmul", work, settings, timeout)
        if not run.passed:
            what = " ".join(line.strip() for line in run.failed[0].message.splitlines()[:2])
            raise MacgenError(
                f"the Verilog of {directory} does not compute what golden does: {what}; its log is {run.log}"
            )
        with np.load(results) as product:
            codes, flags = product["codes"], product["flags"]
            counts = {name: int(product[name]) for name in opened.manifest.counters if name != "clear"}
        work.keep = False
    return MatmulResult(codes, flags, name, run.tiles, run.beats, run.cycles, run.comparisons, run.seconds, counts)


def _checked_scales(spec: MacSpec, name: str, scales: ArrayLike | None, shape: tuple[int, int]) -> NDArray[Any] | None:
    if spec.scale is None or scales is None:
        if scales is not None:
            raise MacgenError(f"{name} are given, but the array has no scales; accepted is None")
        if spec.scale is not None:
            raise MacgenError(f"{name} are missing; accepted are codes of {spec.scale} of shape {shape}")
        return None
    codes = plain_array(name, scales)
    if codes.shape != shape:
        each = "block" if spec.scales_lanes else "chunk"
        raise MacgenError(f"{name} has the shape {codes.shape}; accepted is {shape}, a scale for each {each}")
    return checked_codes(codes, spec.scale.width, f"{name}, format {spec.scale}")


def _checked_starts(spec: MacSpec, preload: ArrayLike | None, shape: tuple[int, int]) -> NDArray[Any] | None:
    if (preload is not None) != spec.preload:
        given = "given, but the array has no preloaded accumulators" if preload is not None else "missing"
        wanted = f"codes of {spec.outer_format} of shape {shape}" if spec.preload else "None"
        raise MacgenError(f"preload is {given}; accepted is {wanted}")
    if preload is None:
        return None
    # As objects first: NumPy makes floats of a list of 64-bit integers.
    codes = plain_array("preload", preload, None if isinstance(preload, np.ndarray) else object)
    if codes.shape != shape:
        raise MacgenError(f"preload has the shape {codes.shape}; accepted is {shape}, that of the results")
    if (width := spec.outer_format.width) > MAX_RESULT_BITS:
        raise MacgenError(
            f"start values of the format {spec.outer_format} have {width} bits; accepted here are {MAX_RESULT_BITS}"
        )
    return _held(spec.outer_format, codes, "preload").astype(np.uint64)


def _held(fmt: Format, codes: NDArray[Any], name: str) -> NDArray[Any]:
    """Return codes that are a format's; a narrow one lacks a code that its width holds."""
    found = checked_codes(codes, fmt.width, f"{name}, format {fmt}")
    if isinstance(fmt, FixedFormat) and fmt.narrow:
        fmt.decode(found)
    return found
