import dataclasses
import re

import numpy as np
import pytest

from macgen import MacSpec, golden
from sim.checker import Checker, MismatchError
from sim.model import FLAG_BITS, expected, golden_steps, pack, pack_columns, unpack
from sim.operands import Tile, random_tile

SPEC = MacSpec(a="e5m2", b="e5m2", acc="e6m5", rows=2, cols=3)
CODE, FLAGS = SPEC.acc.width, FLAG_BITS


@pytest.fixture
def expectation():
    a = np.array([[0x3C, 0x3C], [0x40, 0xBC]])
    b = np.array([[0x3C, 0x7B, 0x7C], [0x3C, 0x00, 0x00]])
    return expected(SPEC, [Tile("example", a, b)])


def feed(checker, expectation, **changes):
    """Give a checker the expected beats; `changes` maps row to what replaces its (data, flags, first, last)."""
    rows = len(expectation.beats)
    for row, (data, flags) in enumerate(expectation.beats):
        beat = {"data": data, "flags": flags, "first": int(row == 0), "last": int(row == rows - 1)}
        checker.beat(**{**beat, **changes.get(f"row_{row}", {})})


def test_packing_puts_lane_0_lowest():
    assert pack([1, 2, 3], 4) == 0x321
    assert unpack(0x321, 4, 3) == [1, 2, 3]
    assert pack_columns(np.array([[1, 4], [2, 5], [3, 6]]), 4) == [0x321, 0x654]
    wide = pack_columns(np.full((256, 2), 0xFFFF_FFFF), 32)
    assert wide == [(1 << 8192) - 1] * 2


def test_expectation_is_golden_s_beat_by_beat(expectation):
    (tile,) = expectation.tiles
    codes, flags = golden.matmul(SPEC, tile.a, tile.b)
    assert [unpack(data, CODE, 3) for data, _ in expectation.beats] == codes.tolist()
    assert [unpack(word, FLAGS, 3) for _, word in expectation.beats] == flags.tolist()
    assert flags[1].tolist() == [0, 0, 0]


def test_expectation_of_equal_rows_and_columns_is_golden_s():
    spec = MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=3, rows=20, cols=19)
    tile = random_tile(spec, np.random.default_rng(2), 5, "uniform")
    codes, flags = golden.matmul(spec, tile.a, tile.b)
    expectation = expected(spec, [tile])
    np.testing.assert_array_equal(expectation.codes, [codes])
    np.testing.assert_array_equal(expectation.flags, [flags])


def test_expectation_goes_on_in_the_random_sequence():
    """Equal rows and columns give different results, and so does the same tile a second time."""
    spec = MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=3, rows=4, cols=5, rounding="stochastic:13")
    operand = random_tile(spec, np.random.default_rng(2), 40, "normal")
    tile = Tile("equal", np.tile(operand.a[:1], (4, 1)), np.tile(operand.b[:, :1], (1, 5)))
    assert (golden_steps(spec, tile), tile.steps) == (4 * 5 * 40, 40)
    found = []
    for start in (0, golden.draws(spec, 40)):
        expectation = expected(spec, [tile], start)
        codes, flags = golden.matmul(spec, tile.a, tile.b, start)
        np.testing.assert_array_equal(expectation.codes, [codes])
        np.testing.assert_array_equal(expectation.flags, [flags])
        assert len(np.unique(codes)) > 3
        found.append(codes)
    assert (found[0] != found[1]).any()


SCALED = MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m5", chunk=3, scale="e8m0fnu", outer="fp32", rows=2, cols=3)


def test_expectation_of_scaled_tiles_is_golden_s():
    """Rows that are equal but for their scales have results of their own."""
    tile = random_tile(SCALED, np.random.default_rng(4), 7, "normal")
    scales = np.array([[127, 126, 125], [128, 127, 126]]), np.array([[127, 129, 131]] * 3)
    tile = Tile("equal", np.tile(tile.a[:1], (2, 1)), np.tile(tile.b[:, :1], (1, 3)), *scales)
    codes, flags = golden.matmul(SCALED, tile.a, tile.b, A_scales=tile.a_scales, B_scales=tile.b_scales)
    expectation = expected(SCALED, [tile])
    np.testing.assert_array_equal(expectation.codes, [codes])
    np.testing.assert_array_equal(expectation.flags, [flags])
    assert len(np.unique(codes)) == 6
    assert tile.steps == 6 * 7
    assert [unpack(data, 32, 3) for data, _ in expectation.beats] == codes.tolist()


@pytest.mark.parametrize(
    "fields",
    [{"rounding": "stochastic:13", "chunk": 3}, {"rounding": "rtz", "outer_rounding": "stochastic:9", "out": "e5m2"}],
)
def test_expectation_of_turns_is_golden_s(fields):
    """Tiles that follow each other, in turns: the same numbers as when golden computes all of them."""
    spec = MacSpec(a="e5m2", b="e5m2", acc="e6m5", rows=2, cols=3, interleave=2, **fields)
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, 0x7C, (2, 10)), rng.integers(0, 0x7C, (10, 6))
    for start in (0, 2 * golden.draws(spec, 10)):
        codes, flags = golden.matmul(spec, a, b, start)
        expectation = expected(spec, [Tile("left", a, b[:, :3]), Tile("right", a, b[:, 3:])], start)
        np.testing.assert_array_equal(np.hstack(expectation.codes), codes)
        np.testing.assert_array_equal(np.hstack(expectation.flags), flags)
        width = spec.out_format.width
        rows = [unpack(data, width, 3) for data, _ in expectation.beats]
        assert rows == [codes[0, :3].tolist(), codes[0, 3:].tolist(), codes[1, :3].tolist(), codes[1, 3:].tolist()]


def test_of_turns_the_first_and_the_last_beat_are_marked_and_the_turn_is_named():
    spec = dataclasses.replace(SPEC, interleave=2)
    tiles = [random_tile(spec, np.random.default_rng(seed), 4, "finite", name) for seed, name in enumerate("ab")]
    expectation = expected(spec, tiles)
    checker = Checker(spec)
    checker.expect(expectation)
    feed(checker, expectation)
    assert (checker.tiles, checker.comparisons) == (2, 2 * 2 * 2 * 3)
    for beat, (turn, row) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1)]):
        checker = Checker(spec)
        checker.expect(expectation)
        place = rf"tile '{'ab'[turn]}' \(turn {turn}\)"
        with pytest.raises(MismatchError, match=rf"^{place}: . of 3 results of row {row} are wrong\n  \[{row}, "):
            feed(checker, expectation, **{f"row_{beat}": {"data": expectation.beats[beat][0] ^ 1}})
        for mark in ("first", "last"):
            checker = Checker(spec)
            checker.expect(expectation)
            wrong = int(beat != {"first": 0, "last": 3}[mark])
            with pytest.raises(MismatchError, match=rf"^{place}, row {row}: the mark {mark} is {wrong}$"):
                feed(checker, expectation, **{f"row_{beat}": {mark: wrong}})


def test_the_message_tells_scales():
    tile = random_tile(SCALED, np.random.default_rng(4), 7, "normal")
    checker = Checker(SCALED)
    checker.expect(expected(SCALED, [tile]))
    with pytest.raises(MismatchError) as caught:
        checker.beat(0, 0, 1, 0)
    values = SCALED.scale.decode(tile.a_scales[0]), SCALED.scale.decode(tile.b_scales[:, 0])
    texts = [rf"0x[0-9a-f]+ \({a:g}\) \* 0x[0-9a-f]+ \({b:g}\)" for a, b in zip(*values, strict=True)]
    assert re.search(rf"K=7: .*, and 1 more; scales {', '.join(texts)}$", str(caught.value).splitlines()[1])


def test_right_results_pass_and_are_counted(expectation):
    checker = Checker(SPEC)
    checker.expect(expectation)
    checker.expect(expectation)
    assert checker.pending == 2
    feed(checker, expectation)
    feed(checker, expectation)
    assert checker.pending == 0
    assert checker.tiles == 2
    assert checker.comparisons == 2 * 2 * 2 * 3


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("bit", range(3 * CODE))
def test_any_wrong_code_bit_is_found(expectation, row, bit):
    checker = Checker(SPEC)
    checker.expect(expectation)
    data, _ = expectation.beats[row]
    with pytest.raises(MismatchError, match=rf"'example'.*\n  \[{row}, {bit // CODE}\] expected "):
        feed(checker, expectation, **{f"row_{row}": {"data": data ^ 1 << bit}})


@pytest.mark.parametrize("bit", range(3 * FLAGS))
def test_any_wrong_flag_is_found(expectation, bit):
    checker = Checker(SPEC)
    checker.expect(expectation)
    _, flags = expectation.beats[1]
    name = ("overflow", "underflow", "invalid")[bit % 3]
    with pytest.raises(MismatchError, match=rf"\[1, {bit // 3}\] .*{name}"):
        feed(checker, expectation, row_1={"flags": flags ^ 1 << bit})


@pytest.mark.parametrize(("row", "mark"), [(0, "first"), (1, "first"), (0, "last"), (1, "last")])
def test_wrong_marks_are_found(expectation, row, mark):
    checker = Checker(SPEC)
    checker.expect(expectation)
    right = int((row == 0) == (mark == "first"))
    with pytest.raises(MismatchError, match=f"row {row}: the mark {mark} is {1 - right}"):
        feed(checker, expectation, **{f"row_{row}": {mark: 1 - right}})


def test_a_beat_that_nobody_expects_is_found(expectation):
    checker = Checker(SPEC)
    with pytest.raises(MismatchError, match="though none was expected"):
        checker.beat(0, 0, 1, 0)
    checker.expect(expectation)
    checker.forget()
    with pytest.raises(MismatchError, match="though none was expected"):
        checker.beat(0, 0, 1, 0)


def test_the_message_tells_operands_expected_and_got(expectation):
    checker = Checker(SPEC)
    checker.expect(expectation)
    with pytest.raises(MismatchError) as caught:
        checker.beat(0, 0, 1, 0)
    lines = str(caught.value).splitlines()
    assert lines[0] == "tile 'example': 3 of 3 results of row 0 are wrong"
    assert lines[1] == (
        "  [0, 0] expected 0x400 (2) [no flag], got 0x0 (0) [no flag]; K=2: 0x3c (1) * 0x3c (1), 0x3c (1) * 0x3c (1)"
    )
    assert re.search(r"\[0, 2\] expected 0x7e0 \(inf\)", lines[3])


def test_long_dot_products_are_cut_in_the_message():
    tile = Tile("long", np.zeros((2, 100), dtype=np.int64), np.zeros((100, 3), dtype=np.int64))
    checker = Checker(SPEC)
    checker.expect(expected(SPEC, [tile]))
    with pytest.raises(MismatchError, match="and 94 more"):
        checker.beat(1, 0, 1, 0)
