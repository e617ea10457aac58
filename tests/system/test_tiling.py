"""Which tile computes what: every result once, in the order of the numeric contract."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen import MacSpec
from macgen.errors import MacgenError
from macgen.system import MatrixProduct, Tiling
from macgen.system.tiling import Tile

SPEC = MacSpec(a="int4", b="int4", acc="int12")
sides = st.integers(1, 5)


@given(sides, sides, st.integers(1, 4), *[st.integers(1, 23)] * 2, st.integers(1, 3))
def test_every_result_is_computed_once_and_row_by_row(rows, cols, turns, m, n, count):
    spec = SPEC.replace(rows=rows, cols=cols, interleave=turns)
    tiling = Tiling(spec, MatrixProduct(m, 7, n, count))
    rounds = list(tiling.order())
    assert len(rounds) == tiling.rounds
    assert all(len(tiles) == turns for tiles in rounds)
    in_order = list(itertools.chain(*rounds))
    tiles = [tile for tile in in_order if tile is not None]
    assert in_order[: len(tiles)] == tiles  # only the end is padded
    assert len(in_order) - len(tiles) < turns
    assert len(tiles) == tiling.tiles
    assert tiles == sorted(tiles, key=lambda tile: (tile.product, tile.row, tile.col))
    results = [
        (tile.product, tile.row * rows + row, tile.col * cols + col)
        for tile in tiles
        for row, col in itertools.product(range(rows), range(cols))
        if tile.row * rows + row < m and tile.col * cols + col < n
    ]
    assert sorted(results) == list(itertools.product(range(count), range(m), range(n)))


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 40))
def test_steps_and_chunks_hold_all_products(lanes, beats, length):
    spec = SPEC.replace(lanes=lanes, chunk=beats * lanes)
    tiling = Tiling(spec, MatrixProduct(1, length, 1))
    products = [min(spec.chunk, length - start) for start in range(0, length, spec.chunk)]
    assert tiling.chunks == len(products)
    assert tiling.steps == sum(math.ceil(count / lanes) for count in products)
    assert tiling.beats == tiling.steps


def test_a_round_of_turns():
    tiling = Tiling(SPEC.replace(rows=2, cols=2, interleave=2), MatrixProduct(3, 5, 6))
    tiles = [Tile(0, row, col) for row, col in itertools.product(range(2), range(3))]
    assert list(tiling.order()) == [(tiles[0], tiles[1]), (tiles[2], tiles[3]), (tiles[4], tiles[5])]
    assert list(Tiling(tiling.spec, MatrixProduct(1, 5, 1)).order()) == [(Tile(0, 0, 0), None)]


def test_products_show_their_shape():
    assert str(MatrixProduct(3, 5, 6)) == "3x6x5"
    assert str(MatrixProduct(3, 5, 6, 12)) == "12*3x6x5"
    assert MatrixProduct(3, 5, 6, 12).macs == 12 * 90


@pytest.mark.parametrize(("field", "value"), [("rows", 0), ("length", -1), ("cols", 1.5), ("count", True)])
def test_wrong_sizes_are_refused(field, value):
    with pytest.raises(MacgenError) as error:
        MatrixProduct(**{"rows": 1, "length": 1, "cols": 1, field: value})
    assert str(error.value) == f"{field} {value!r} is not an integer from 1"
