"""A matrix product of any size, computed tile by tile by the array: MACGEN_OPERANDS in, MACGEN_RESULTS out."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import cocotb
import numpy as np
from numpy.typing import NDArray

from macgen.numerics.arrays import code_dtype
from macgen.numerics.embedding import low_bits
from macgen.numerics.flags import FLAG_BITS
from macgen.spec import MacSpec
from sim.bench import Bench
from sim.model import Expected, from_results, product, unpack
from sim.modes import in_mode, results_on_wires
from sim.operands import Tile, one_of


@cocotb.test()
async def matmul(dut: Any) -> None:
    """Every element of the product equals the golden model's; the array's own results are written out."""
    async with await Bench.start(dut, "matmul") as bench:
        array, mode = bench.spec, bench.settings.mode
        spec = array.mode(mode)
        operands_file, results_file = bench.settings.product_files()
        with np.load(operands_file) as operands:
            a, b = operands["a"], operands["b"]
            scales = (operands["a_scales"], operands["b_scales"]) if spec.scale is not None else None
            starts = operands["preload"].astype(object) if spec.preload else None
        received: list[tuple[int, int]] = []

        def take(data: int, flags: int, first: int, last: int) -> None:
            bench.checker.beat(data, flags, first, last)
            received.append((data, flags))

        bench.monitor.on_beat = take
        await bench.run(on_wires(array, mode, blocks(spec, a, b, scales, starts)))
        codes, flags = assemble(array, received, a.shape[0], b.shape[1])
        codes >>= low_bits(spec.out_format, array.out_format)
        codes &= (1 << spec.out_format.width) - 1
        counts = {name: np.array(count) for name, count in bench.shown.items()}
        np.savez(results_file, allow_pickle=False, codes=codes, flags=flags, **counts)


def on_wires(array: MacSpec, mode: int, expected: Iterable[Expected]) -> Iterator[Expected]:
    """Yield expectations of a mode's spec as those of the array in that mode."""
    for item in expected:
        codes = results_on_wires(item.codes, array.mode(mode).out_format, array.out_format)
        yield from_results(array, [*in_mode(item.tiles, mode)], codes, item.flags, item.counts)


Scales = tuple[NDArray[Any], NDArray[Any]]
"""Codes of scales of A, (M, chunks), and of B, (chunks, N)."""


def blocks(
    spec: MacSpec,
    a: NDArray[Any],
    b: NDArray[Any],
    scales: Scales | None = None,
    starts: NDArray[Any] | None = None,
) -> Iterator[Expected]:
    """Yield the product's tiles with their expected results, row by row, as many at a time as there are turns.

    Zero codes and scales of 1 fill up the last ones, and further tiles of them the last round.
    """
    tile_rows, tile_cols = tiling(spec, a.shape[0], b.shape[1])
    rounds = -(-tile_rows * tile_cols // spec.interleave)
    tile_rows = -(-rounds * spec.interleave // tile_cols)
    a = pad(a, 0, tile_rows * spec.rows, spec.a.zero_code())
    b = pad(b, 1, tile_cols * spec.cols, spec.b.zero_code())
    if scales is not None and spec.scale is not None:
        one = one_of(spec.scale)
        scales = pad(scales[0], 0, len(a), one), pad(scales[1], 1, b.shape[1], one)
    a_scales, b_scales = scales or (None, None)
    if starts is not None:
        zero = spec.outer_format.zero_code()
        starts = pad(pad(starts, 0, len(a), zero), 1, b.shape[1], zero)
    codes, flags, counts = product(spec, a, b, a_scales, b_scales, starts)
    tiles, results = [], []
    for row, col in islice(np.ndindex(tile_rows, tile_cols), rounds * spec.interleave):
        rows, cols = (slice(n * size, (n + 1) * size) for n, size in ((row, spec.rows), (col, spec.cols)))
        a_scales, b_scales = (None, None) if scales is None else (scales[0][rows], scales[1][:, cols])
        name = f"rows {rows.start}.., columns {cols.start}.."
        starts_of_tile = None if starts is None else starts[rows, cols]
        tiles.append(Tile(name, a[rows], b[:, cols], a_scales, b_scales, starts=starts_of_tile))
        results.append((codes[rows, cols], flags[rows, cols], counts[rows, cols]))
        if len(tiles) == spec.interleave:
            yield from_results(spec, tiles, *(np.stack(part) for part in zip(*results, strict=True)))
            tiles, results = [], []


def tiling(spec: MacSpec, rows: int, cols: int) -> tuple[int, int]:
    """Return the rows and columns of tiles that a product takes."""
    return -(-rows // spec.rows), -(-cols // spec.cols)


def pad(codes: NDArray[Any], axis: int, length: int, fill: int) -> NDArray[Any]:
    """Return codes with more of them at the end of an axis, up to a length."""
    widths = [(0, 0), (0, 0)]
    widths[axis] = (0, length - codes.shape[axis])
    return np.pad(codes, widths, constant_values=fill)


def assemble(
    spec: MacSpec, words: list[tuple[int, int]], rows: int, cols: int
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return the result codes and flags, (rows, cols) each, from the result beats of all blocks."""
    tile_rows, tile_cols = tiling(spec, rows, cols)

    def matrix(beats: list[int], bits: int, dtype: Any) -> NDArray[Any]:
        of_beats = np.array([unpack(word, bits, spec.cols) for word in beats], dtype=dtype)
        of_rounds = of_beats.reshape(-1, spec.rows, spec.interleave, spec.cols)  # of each row all turns
        of_tiles = of_rounds.swapaxes(1, 2).reshape(-1, spec.rows, spec.cols)[: tile_rows * tile_cols]
        of_tiles = of_tiles.reshape(tile_rows, tile_cols, spec.rows, spec.cols)
        return of_tiles.swapaxes(1, 2).reshape(tile_rows * spec.rows, tile_cols * spec.cols)[:rows, :cols]

    codes = matrix([data for data, _ in words], spec.out_format.width, code_dtype(spec.out_format.width))
    return codes, matrix([flags for _, flags in words], FLAG_BITS, np.uint8)
