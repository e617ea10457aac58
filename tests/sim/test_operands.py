import itertools
from dataclasses import replace

import numpy as np
import pytest

from macgen import MacSpec, parse_format
from macgen.numerics import FixedFormat
from sim.operands import (
    KINDS,
    MOST_DISTINCT,
    boundary_lengths,
    chunks_of,
    draw,
    draw_scales,
    length_tiles,
    one_of,
    random_length,
    random_tile,
    random_tiles,
    special_codes,
    special_tiles,
    steps_of,
)

FORMATS = [
    *("e5m2", "e4m3fn", "e4m3fnuz", "e2m1finite", "e3m0finite", "e5m2:flush", "e1m2finite", "e2m2fn", "fp16", "bf16"),
    *("int8", "int2", "uint1", "uint4", "fix4.4", "ufix0.8"),
]


def kinds_of(fmt):
    return {fmt.number(code).kind for code in range(1 << fmt.width)}


@pytest.mark.parametrize("name", FORMATS)
def test_special_codes_show_every_kind_of_number_and_both_ends(name):
    fmt = parse_format(name)
    codes = special_codes(fmt)
    assert len(set(codes)) == len(codes)
    assert all(0 <= code < 1 << fmt.width for code in codes)
    assert {fmt.number(code).kind for code in codes} == kinds_of(fmt)
    assert {fmt.largest_code(0), fmt.largest_code(1), fmt.zero_code(0), fmt.zero_code(1)} <= set(codes)


def test_special_codes_of_e5m2_are_these():
    magnitudes = [0x00, 0x01, 0x03, 0x04, 0x05, 0x3C, 0x3D, 0x3E, 0x7A, 0x7B, 0x7C, 0x7D, 0x7E, 0x7F]
    assert special_codes(parse_format("e5m2")) == sorted(m | sign for m in magnitudes for sign in (0, 0x80))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FORMATS)
def test_drawn_codes_fit_and_repeat_with_the_seed(kind, name):
    fmt = parse_format(name)
    codes = draw(kind, np.random.default_rng(5), fmt, (40, 7))
    assert codes.shape == (40, 7)
    assert codes.min() >= 0
    assert codes.max() < 1 << fmt.width
    np.testing.assert_array_equal(codes, draw(kind, np.random.default_rng(5), fmt, (40, 7)))


@pytest.mark.parametrize("name", FORMATS)
def test_finite_kinds_are_finite(name):
    fmt = parse_format(name)
    for kind in ("finite", "normal", "window", "lengths"):
        assert np.isfinite(fmt.decode(draw(kind, np.random.default_rng(6), fmt, (500,)))).all()


@pytest.mark.parametrize("name", ["e5m2", "e4m3fn", "int4", "fix2.2"])
def test_finite_draws_reach_every_finite_code(name):
    fmt = parse_format(name)
    finite = {code for code in range(1 << fmt.width) if fmt.number(code).kind == "finite"}
    assert set(draw("finite", np.random.default_rng(7), fmt, (20_000,)).tolist()) == finite


def test_normal_draws_look_like_data():
    for name, scale in (("e5m2", 1.0), ("fp16", 1.0), ("int8", 127 / 3)):
        fmt = parse_format(name)
        values = fmt.decode(draw("normal", np.random.default_rng(8), fmt, (20_000,)))
        assert abs(values.mean()) < 0.05 * scale
        assert values.std() == pytest.approx(scale, rel=0.1)


def test_windows_have_like_magnitudes():
    fmt = parse_format("e5m2")
    for seed in range(50):
        values = np.abs(fmt.decode(draw("window", np.random.default_rng(seed), fmt, (200,))))
        nonzero = values[values > 0]
        assert nonzero.max() / max(nonzero.min(), fmt.min_normal) < 2**4


def test_lengths_reach_subnormal_numbers_of_every_precision():
    fmt = parse_format("fp16")
    codes = draw("lengths", np.random.default_rng(11), fmt, (500,)) & 0x7FFF
    assert {int(code).bit_length() for code in codes.tolist()} == set(range(16))


def test_special_kinds_contain_infinities_and_nans():
    fmt = parse_format("e5m2")
    special = fmt.decode(draw("special", np.random.default_rng(9), fmt, (500,)))
    assert np.isinf(special).any()
    assert np.isnan(special).any()
    rare = fmt.decode(draw("rare", np.random.default_rng(9), fmt, (500,)))
    assert np.isfinite(rare).mean() > 0.99


def test_boundary_lengths_enclose_the_chunk():
    assert boundary_lengths(64, 1000) == [1, 2, 63, 64, 65, 127, 128, 129, 323]
    assert boundary_lengths(1, 1000) == [1, 2, 3, 8]
    assert boundary_lengths(64, 100) == [1, 2, 63, 64, 65]
    assert boundary_lengths(1 << 20, 6000) == [1, 2]
    assert boundary_lengths(None, 6000)[0] == 1
    assert {3, 4, 5, 7, 9, 12} <= set(boundary_lengths(8, 1000, lanes=4))
    assert {1, 2, 3, 6, 7, 8, 13, 15} <= set(boundary_lengths(None, 1000, lanes=7))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["e8m0fnu", "e2m0fnu", "e5m0fnu", "e4m3fn"])
def test_scales_fit_and_only_some_kinds_have_nan(kind, name):
    fmt = MacSpec(a="int4", b="int4", acc="int20", scale=name).scale
    codes = draw_scales(kind, np.random.default_rng(5), fmt, (40, 70))
    assert codes.shape == (40, 70)
    assert codes.min() >= 0
    assert codes.max() < 1 << fmt.width
    if kind in ("finite", "normal", "window", "lengths"):
        assert np.isfinite(fmt.decode(codes)).all()
    if kind in ("special", "rare", "uniform"):
        assert np.isnan(fmt.decode(codes)).any()
    np.testing.assert_array_equal(codes, draw_scales(kind, np.random.default_rng(5), fmt, (40, 70)))


def test_scaled_tiles_have_a_scale_for_each_chunk():
    spec = MacSpec(a="int4", b="int4", acc="int20", scale="e8m0fnu", chunk=4, rows=3, cols=2)
    for length, chunks in ((1, 1), (4, 1), (5, 2), (9, 3)):
        tile = random_tile(spec, np.random.default_rng(1), length, "uniform")
        assert (tile.a_scales.shape, tile.b_scales.shape) == ((3, chunks), (chunks, 2))
    assert random_tile(replace(spec, chunk=None), np.random.default_rng(1), 9, "uniform").a_scales.shape == (3, 1)
    assert random_tile(replace(spec, scale=None), np.random.default_rng(1), 9, "uniform").a_scales is None
    assert one_of(spec.scale) == 127


def test_special_tiles_bring_every_pair_of_scales_together():
    spec = MacSpec(a="e4m3fn", b="int8", acc="e6m9", scale="e8m0fnu", chunk=4, outer="fp32", rows=3, cols=2)
    pairs, values = set(), set()
    for tile in special_tiles(spec):
        pairs |= set(itertools.product(tile.a_scales[:, 0].tolist(), tile.b_scales[0].tolist()))
        if "scales" in tile.name:
            values |= set(itertools.product(tile.a[:, 0].tolist(), tile.b[0].tolist()))
    scales = [0, 1, 126, 127, 128, 254, 255]
    assert special_codes(spec.scale) == scales
    assert pairs == set(itertools.product(scales, scales))
    assert values == {(0, 0), (spec.a.max_code, 127)}


def test_steps_are_as_many_as_groups_of_lanes():
    spec = MacSpec(a="int4", b="int4", acc="int20", lanes=3, chunk=6)
    assert [steps_of(spec, length) for length in (1, 3, 4, 6, 7)] == [1, 1, 2, 2, 3]
    assert [chunks_of(spec, length) for length in (1, 6, 7, 13)] == [1, 1, 2, 3]


@pytest.mark.parametrize("chunk", [None, 1, 5, 64, 1 << 20])
def test_random_lengths_are_within_bounds(chunk):
    rng = np.random.default_rng(10)
    lengths = {random_length(rng, chunk, 300) for _ in range(2000)}
    assert min(lengths) == 1
    assert max(lengths) <= 300
    if chunk in (5, 64):
        assert {chunk - 1, chunk, chunk + 1, 2 * chunk, 2 * chunk + 1} <= lengths


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (2, 3), (5, 2), (40, 3)])
def test_special_tiles_bring_every_pair_together(rows, cols):
    spec = MacSpec(a="e5m2", b="e4m3fn", acc="e6m9", rows=rows, cols=cols)
    pairs = set()
    for tile in special_tiles(spec):
        assert tile.a.shape == (rows, 1)
        assert tile.b.shape == (1, cols)
        pairs |= set(itertools.product(tile.a[:, 0].tolist(), tile.b[0].tolist()))
    assert pairs == set(itertools.product(special_codes(spec.a), special_codes(spec.b)))


def test_random_tiles_have_the_array_s_shape_and_repeat_with_the_seed():
    spec = MacSpec(a="e5m2", b="int8", acc="fix26.4", chunk=4, rows=3, cols=2)
    tiles = list(random_tiles(spec, np.random.default_rng(3), 50, 100))
    again = list(random_tiles(spec, np.random.default_rng(3), 50, 100))
    assert len(tiles) == 50
    for tile, twin in zip(tiles, again, strict=True):
        assert tile.a.shape == (3, tile.length)
        assert tile.b.shape == (tile.length, 2)
        assert tile.name == twin.name
        np.testing.assert_array_equal(tile.a, twin.a)
        np.testing.assert_array_equal(tile.b, twin.b)


def test_steps_count_distinct_dot_products_only():
    spec = MacSpec(a="e5m2", b="e5m2", acc="e6m9", rows=100, cols=50)
    tile = random_tile(spec, np.random.default_rng(4), 20, "finite")
    assert tile.a.shape == (100, 20)
    assert tile.steps == MOST_DISTINCT**2 * 20


def test_length_tiles_cover_the_boundary_lengths():
    spec = MacSpec(a="e5m2", b="e5m2", acc="e6m9", chunk=8, rows=2, cols=2)
    lengths = [tile.length for tile in length_tiles(spec, np.random.default_rng(1), 1000)]
    assert sorted(set(lengths)) == boundary_lengths(8, 1000)


def test_fixed_formats_have_their_ends_among_the_special_codes():
    for fmt in (FixedFormat(8), FixedFormat(4, 4), FixedFormat(0, 8, signed=False)):
        integers = {fmt.number(code).to_fraction() * 2**fmt.frac_bits for code in special_codes(fmt)}
        assert {0, 1, fmt.max_integer, fmt.min_integer} <= integers


@pytest.mark.parametrize("kind", KINDS)
def test_narrow_operands_never_have_the_code_that_they_lack(kind):
    fmt = FixedFormat(4, narrow=True)
    codes = draw(kind, np.random.default_rng(1), fmt, (1000,))
    assert fmt.missing_code not in codes
    assert fmt.missing_code not in special_codes(fmt)


@pytest.mark.parametrize("name", ["fp16", "bf16", "fp32"])
def test_scales_with_a_wide_range_are_most_often_near_one(name):
    fmt = parse_format(name)
    values = np.abs(fmt.decode(draw_scales("finite", np.random.default_rng(1), fmt, (1000,))))
    assert np.mean((values > 2**-14) & (values < 2**14)) > 0.95
    assert len(np.unique(values)) > 500
    specials = fmt.decode(draw_scales("rare", np.random.default_rng(1), fmt, (2000, 1)))
    assert np.isnan(specials).any() or np.isinf(specials).any()
