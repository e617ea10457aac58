"""Operands as the words that the streams carry, and results back from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.numerics import Format
from macgen.numerics.arrays import code_dtype
from macgen.numerics.flags import FLAG_BITS
from macgen.spec import MacSpec
from macgen.system.tiling import Tiling

Words = NDArray[np.uint32]
"""Words of 32 bits, the lowest first."""

_WORD = 32


def word_count(bits: int) -> int:
    """Return how many words hold so many bits."""
    return -(-bits // _WORD)


def operand_bands(tiling: Tiling, codes: NDArray[Any], scales: NDArray[Any] | None, *, side: int, fmt: Format) -> Words:
    """Return the words of all beats of an operand, its rows of tiles one after the other, then one of zeros.

    Zero codes fill up the last one, and the lanes of the last beat; scales of 1 go with them, and scales of code 0 with
    blocks of lanes that have no element.

    Parameters:
        tiling: the tiles.
        codes: (lines, K): rows of A, or columns of B.
        scales: (lines, chunks) codes of their scales, where the spec has scales; (lines, blocks) of lanes.
        side: lines of a tile.
        fmt: the operand's format.

    Returns:
        (bands, steps, words).
    """
    spec, lines = tiling.spec, len(codes)
    bands = -(-lines // side) + 1
    padded = np.full((bands * side, tiling.steps * spec.lanes), int(fmt.encode(0.0)), codes.dtype)
    padded[:lines, : codes.shape[1]] = codes
    of_beats = padded.reshape(bands, side, tiling.steps, spec.lanes).swapaxes(1, 2)
    words = packed(of_beats.reshape(bands, tiling.steps, side * spec.lanes), fmt.width)
    if scales is None or spec.scale is None:
        return words
    if spec.scales_lanes:
        of_beat = spec.scales_in_beat
        of_blocks = np.full((bands * side, tiling.steps * of_beat), int(spec.scale.encode(1.0)), np.int64)
        of_blocks[:, scales.shape[1] :] = 0
        of_blocks[:lines, : scales.shape[1]] = scales
        by_beats = of_blocks.reshape(bands, side, tiling.steps, of_beat).swapaxes(1, 2)
        beats = packed(by_beats.reshape(bands, tiling.steps, side * of_beat), spec.scale.width)
        return np.concatenate([words, beats], axis=2)
    chunk = tiling.product.length if spec.chunk is None else spec.chunk
    of_steps = np.minimum(np.arange(tiling.steps) * spec.lanes // chunk, tiling.chunks - 1)
    filled = np.full((bands * side, tiling.chunks), int(spec.scale.encode(1.0)), np.int64)
    filled[:lines] = scales
    of_bands = filled.reshape(bands, side, tiling.chunks)[:, :, of_steps].swapaxes(1, 2)
    return np.concatenate([words, packed(of_bands, spec.scale.width)], axis=2)


def packed(codes: NDArray[Any], width: int) -> Words:
    """Return (..., words) of (..., count) codes, the first one in the lowest bits."""
    *shape, count = codes.shape
    words = word_count(count * width)
    bits = np.zeros((*shape, words * _WORD), np.uint8)
    for bit in range(width):
        bits[..., bit : count * width : width] = codes >> bit & 1
    return np.packbits(bits, axis=-1, bitorder="little").view("<u4").astype(np.uint32, copy=False)


def unpacked(words: Words, width: int, count: int) -> NDArray[Any]:
    """Return (..., count) codes of (..., words)."""
    as_bytes = np.ascontiguousarray(words, "<u4").view(np.uint8)
    bits = np.unpackbits(as_bytes, axis=-1, count=count * width, bitorder="little")
    bits = bits.reshape(*words.shape[:-1], count, width)
    codes = np.zeros(bits.shape[:-1], code_dtype(width))
    for bit in reversed(range(width)):
        codes = codes * 2 + bits[..., bit]
    return codes.astype(code_dtype(width), copy=False)


def results(tiling: Tiling, words: Words) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return codes and flags, (M, N) each, of the words of all result beats of one product, (beats, words)."""
    spec, product = tiling.spec, tiling.product
    of_codes = word_count(spec.cols * spec.out_format.width)

    def matrix(part: Words, bits: int) -> NDArray[Any]:
        of_rounds = unpacked(part, bits, spec.cols).reshape(-1, spec.rows, spec.interleave, spec.cols)
        of_tiles = of_rounds.swapaxes(1, 2).reshape(-1, spec.rows, spec.cols)[: tiling.tiles]
        rows = of_tiles.reshape(tiling.tile_rows, tiling.tile_cols, spec.rows, spec.cols).swapaxes(1, 2)
        return rows.reshape(tiling.tile_rows * spec.rows, -1)[: product.rows, : product.cols]

    return matrix(words[:, :of_codes], spec.out_format.width), matrix(words[:, of_codes:], FLAG_BITS)


def result_words(spec: MacSpec) -> int:
    """Return the words of a result beat: codes, then flags."""
    return word_count(spec.cols * spec.out_format.width) + word_count(spec.cols * FLAG_BITS)
