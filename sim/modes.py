"""Tiles in the modes of an array: their codes as they stand on its wires. Needs no simulator."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.numerics import Format
from macgen.numerics.embedding import embedded, low_bits
from macgen.spec import MacSpec
from sim.operands import Codes, Tile


def in_mode(tiles: Iterable[Tile], mode: int) -> Iterator[Tile]:
    """Yield tiles of a mode's spec as tiles of the array in that mode."""
    for tile in tiles:
        yield replace(tile, mode=mode, name=f"mode {mode}, {tile.name}") if mode else tile


def operands_on_wires(codes: Codes, narrow: Format, wide: Format, rng: Random) -> Codes:
    """Return a mode's operand codes as those of the port, with anything in the bits that the mode does without."""
    if narrow == wide:
        return codes
    dropped = low_bits(narrow, wide)
    unseen = np.array([rng.getrandbits(dropped) for _ in range(codes.size)], dtype=np.int64).reshape(codes.shape)
    return np.asarray(embedded(codes, narrow, wide) | unseen)


def results_on_wires(codes: NDArray[Any], narrow: Format, wide: Format) -> NDArray[Any]:
    """Return a mode's result codes as those of the port."""
    return codes if narrow == wide else np.asarray(embedded(codes.astype(object), narrow, wide))


def mode_marks(spec: MacSpec, tiles: Sequence[Tile], rng: Random) -> Iterator[int]:
    """Yield the mode numbers of a round's beats: of the first one its mode's, then any, which nothing looks at."""
    count, bits = len(spec.mode_names), (len(spec.mode_names) - 1).bit_length()
    mode = tiles[0].mode
    yield rng.choice([0, *range(count, 1 << bits)]) if mode == 0 else mode
    while True:
        yield rng.getrandbits(bits) if bits else 0
