"""Operands as words, against Python's integers."""

import numpy as np
import pytest

from macgen import MacSpec
from macgen.system import MatrixProduct, Tiling
from macgen.system.words import operand_bands, packed, unpacked


def integer(words):
    return sum(int(word) << 32 * place for place, word in enumerate(words))


@pytest.mark.parametrize(("width", "count"), [(1, 1), (3, 7), (8, 4), (13, 5), (32, 3), (33, 2), (64, 2), (256, 3)])
def test_codes_stand_side_by_side_the_first_one_lowest(width, count):
    rng = np.random.default_rng(width)
    rows = [[int.from_bytes(rng.bytes(32)) >> (256 - width) for _ in range(count)] for _ in range(4)]
    words = packed(np.array(rows, dtype=object if width > 62 else np.int64), width)
    assert words.dtype == np.uint32
    assert [integer(row) for row in words] == [
        sum(code << place * width for place, code in enumerate(row)) for row in rows
    ]
    assert [[int(code) for code in row] for row in unpacked(words, width, count)] == rows


def test_zeros_fill_up_tiles_and_lanes_and_scales_of_1_go_with_them():
    """3 rows of 5 elements on 2 rows with 2 lanes and chunks of 4: 2 bands of 3 beats, and one of zeros."""
    spec = MacSpec(a="int4", b="int4", acc="int12", lanes=2, chunk=4, scale="e4m0fnu", outer="fp32", rows=2, cols=1)
    tiling = Tiling(spec, MatrixProduct(3, 5, 1))
    codes = np.array([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11, 12, 13, 14, 15]])
    scales = np.array([[1, 2], [3, 4], [5, 6]])
    words = operand_bands(tiling, codes, scales, side=2, fmt=spec.a)
    one = 0x7  # 2**(code - 7)
    assert words.tolist() == [
        [[0x7621, 0x31], [0x9843, 0x31], [0x0A05, 0x42]],
        [[0x00CB, one << 4 | 5], [0x00ED, one << 4 | 5], [0x000F, one << 4 | 6]],
        [[0, one << 4 | one]] * 3,
    ]


def test_scales_of_lanes_go_with_every_beat():
    """2 rows of 5 elements on 2 rows with 4 lanes, blocks of 2: the second beat's second block has no element."""
    spec = MacSpec(
        **{"a": "e2m1finite", "b": "e2m1finite", "acc": "e5m4", "lanes": 4, "lane_sum": "exponents:6"},
        **{"scale": "e4m0fnu", "scale_place": "lanes", "scale_block": 2, "rows": 2, "cols": 1},
    )
    tiling = Tiling(spec, MatrixProduct(1, 5, 1))
    words = operand_bands(tiling, np.array([[1, 2, 3, 4, 5]]), np.array([[1, 2, 3]]), side=2, fmt=spec.a)
    one = 0x7  # 2**(code - 7)
    assert words.tolist() == [
        [[0x4321, one << 12 | one << 8 | 0x21], [0x0005, one << 8 | 0x03]],
        [[0, one * 0x1111], [0, one << 8 | one]],
    ]
