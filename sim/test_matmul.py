"""A matrix product of any size, computed tile by tile by the array: MACGEN_OPERANDS in, MACGEN_RESULTS out."""

from collections.abc import Iterator
from typing import Any

import cocotb
import numpy as np
from numpy.typing import NDArray

from macgen import golden
from macgen.numerics.arrays import code_dtype
from macgen.numerics.flags import FLAG_BITS
from macgen.spec import MacSpec
from sim.bench import Bench
from sim.model import Expected, from_results, unpack
from sim.operands import Tile


@cocotb.test()
async def matmul(dut: Any) -> None:
    """Every element of the product equals the golden model's; the array's own results are written out."""
    async with await Bench.start(dut, "matmul") as bench:
        settings, spec = bench.settings, bench.spec
        assert settings.operands is not None, "MACGEN_OPERANDS is not set"
        assert settings.results is not None, "MACGEN_RESULTS is not set"
        with np.load(settings.operands) as operands:
            a, b = operands["a"], operands["b"]
        received: list[tuple[int, int]] = []

        def take(data: int, flags: int, first: int, last: int) -> None:
            bench.checker.beat(data, flags, first, last)
            received.append((data, flags))

        bench.monitor.on_beat = take
        await bench.run(blocks(spec, a, b))
        codes, flags = assemble(spec, received, a.shape[0], b.shape[1])
        np.savez(settings.results, codes=codes, flags=flags)


def blocks(spec: MacSpec, a: NDArray[Any], b: NDArray[Any]) -> Iterator[Expected]:
    """Yield the product's tiles with their expected results, row by row; zero codes fill up the last ones."""
    a = pad(a, 0, spec.rows, spec.a.zero_code())
    b = pad(b, 1, spec.cols, spec.b.zero_code())
    of_row = golden.draws(spec, a.shape[1]) * (b.shape[1] // spec.cols)
    for row in range(0, a.shape[0], spec.rows):
        codes, flags = golden.matmul(spec, a[row : row + spec.rows], b, start=row // spec.rows * of_row)
        for col in range(0, b.shape[1], spec.cols):
            cols = slice(col, col + spec.cols)
            tile = Tile(f"rows {row}.., columns {col}..", a[row : row + spec.rows], b[:, cols])
            yield from_results(spec, tile, codes[:, cols], flags[:, cols])


def pad(codes: NDArray[Any], axis: int, multiple: int, zero: int) -> NDArray[Any]:
    """Return codes with zero codes added at the end of an axis, up to a multiple of a length."""
    widths = [(0, 0), (0, 0)]
    widths[axis] = (0, -codes.shape[axis] % multiple)
    return np.pad(codes, widths, constant_values=zero)


def assemble(
    spec: MacSpec, words: list[tuple[int, int]], rows: int, cols: int
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return the result codes and flags, (rows, cols) each, from the result beats of all blocks."""
    shape = (-(-rows // spec.rows), -(-cols // spec.cols), spec.rows, spec.cols)

    def matrix(beats: list[int], bits: int, dtype: Any) -> NDArray[Any]:
        lanes = np.array([unpack(word, bits, spec.cols) for word in beats], dtype=dtype).reshape(shape)
        return lanes.swapaxes(1, 2).reshape(shape[0] * spec.rows, shape[1] * spec.cols)[:rows, :cols]

    codes = matrix([data for data, _ in words], spec.acc.width, code_dtype(spec.acc.width))
    return codes, matrix([flags for _, flags in words], FLAG_BITS, np.uint8)
