"""A matrix product of any size through a bundle's Verilog."""

from __future__ import annotations

import os
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macgen.bundle.manifest import load_manifest
from macgen.errors import check_flag, check_path
from macgen.system.operands import Operands
from macgen.system.simulation import DEFAULT_TIMEOUT, Stalls, compiled


@overload
def matmul(
    bundle: str | os.PathLike[str],
    A: ArrayLike,
    B: ArrayLike,
    *,
    A_scales: ArrayLike | None = None,
    B_scales: ArrayLike | None = None,
    mode: int | str = 0,
    flags: Literal[False] = False,
    timeout: float = DEFAULT_TIMEOUT,
    trust: bool = False,
) -> NDArray[np.float64]: ...
@overload
def matmul(
    bundle: str | os.PathLike[str],
    A: ArrayLike,
    B: ArrayLike,
    *,
    A_scales: ArrayLike | None = None,
    B_scales: ArrayLike | None = None,
    mode: int | str = 0,
    flags: Literal[True],
    timeout: float = DEFAULT_TIMEOUT,
    trust: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]: ...


def matmul(
    bundle: str | os.PathLike[str],
    A: ArrayLike,
    B: ArrayLike,
    *,
    A_scales: ArrayLike | None = None,
    B_scales: ArrayLike | None = None,
    mode: int | str = 0,
    flags: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
    trust: bool = False,
) -> Any:
    """Return the product of two matrices as a bundle's Verilog computes it, equal to `macgen.emulate.matmul`'s.

    The array is reset, and the product's tiles stream through it. `compiled` compiles the Verilog once for several.

    Parameters:
        bundle: what `build` returned, or its directory; only read.
        A: (M, K) values on the grid of the spec's `a`; infinities and (quiet) NaN where it has them.
        B: (K, N) values on the grid of the spec's `b`. M, N and K need not be multiples of anything.
        A_scales: (M, chunks) values on the grid of the spec's `scale`, (M, blocks) with scales of lanes; None where the
            spec has no scales.
        B_scales: (chunks, N) values, or (blocks, N).
        mode: number or name of the array's mode: the product is that of `macgen.emulate.matmul` with `spec.mode(mode)`.
        flags: whether to return flags, too.
        timeout: limit in seconds of each command of the compilation, and of the product.
        trust: accept Verilog that macgen did not write; it is run as it is, see `macgen.bundle.open_bundle`.

    Returns:
        (M, N) values (fixed point above 53 bits: the nearest doubles). With `flags` a tuple of these and (M, N) bits of
        `numerics.Flags`.

    Raises:
        MacgenError: the bundle or an argument is refused, a value is not on its format's grid.
        ToolError: a tool is missing, failed or ran out of time; the sentence names the log.
    """
    flags = check_flag("flags", flags)
    # Before the compilation, which takes many seconds.
    operands = Operands.of(load_manifest(check_path("bundle", bundle)).spec, A, B, A_scales, B_scales, mode)
    with compiled(bundle, timeout=timeout, trust=trust) as simulation:
        run = simulation.stream(operands, Stalls())
    return (run.values, run.flags) if flags else run.values
