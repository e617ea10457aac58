"""Scales: the largest operand just fits, and so do products and results."""

import numpy as np
import pytest

from macgen.errors import MacgenError
from macgen.nn.scaling import HEADROOM, ScaleRule, Seen, block_scales, choose_scales
from macgen.numerics import ScaleFormat, parse_format
from macgen.spec import MacSpec

WIDE = MacSpec(a="e4m3fn", b="e4m3fn", acc="e8m20")


def seen(a=3.0, b=(0.7, 0.2), result=(1.0, 1.0), product=(2.0, 1.0), integers=False, a_least=0.0, b_least=None):
    b_least = np.zeros(len(b)) if b_least is None else b_least
    arrays = (np.array([values], dtype=float) for values in (b_least, b, product, result))
    return Seen(a_least, a, *arrays, integers)


def test_the_largest_operand_just_fits():
    scales = choose_scales(WIDE, seen(), ScaleRule(), weights=True)
    assert scales.a == 128  # 384 of 448
    assert scales.b.tolist() == [[512, 512]]  # 358.4
    assert scales.both.tolist() == [[65536, 65536]]


def test_each_channel_by_itself():
    scales = choose_scales(WIDE, seen(), ScaleRule(per="channel"), weights=True)
    assert scales.b.tolist() == [[512, 2048]]
    assert choose_scales(WIDE, seen(), ScaleRule(per="channel"), weights=False).b.tolist() == [[512, 512]]


def test_largest_to_largest():
    scales = choose_scales(WIDE, seen(), ScaleRule("amax"), weights=True)
    assert scales.a == 448 / 3
    np.testing.assert_allclose(scales.b, 448 / 0.7)


def test_integers_are_taken_as_they_are():
    spec = MacSpec(a="uint8", b="int8", acc="int32")
    assert choose_scales(spec, seen(200, (100, 3), integers=True), ScaleRule(), weights=True).both.tolist() == [[1, 1]]
    fraction = MacSpec(a="fix2.6", b="fix2.6", acc="fix20.12")
    assert choose_scales(fraction, seen(100, (100, 3), integers=True), ScaleRule(), weights=True).a == 2.0**-6


@pytest.mark.parametrize(("fmt", "least", "most", "scale"), [
    ("int8", -128, 127, 1.0),
    ("int8", -128, 0, 1.0),
    ("int8narrow", -127, 127, 1.0),
    ("int8narrow", -128, 127, 0.5),
    ("uint8", 0, 255, 1.0),
    ("fix2.6", -128, 127, 2.0**-6),
    ("int8", -129, 0, 0.5),
])  # fmt: skip
def test_the_lowest_integer_is_taken_as_it_is(fmt, least, most, scale):
    spec = MacSpec(a=fmt, b=fmt, acc="fix30.12")
    found = seen(most, (most,), (1.0,), (1.0,), integers=True, a_least=least, b_least=(least,))
    assert choose_scales(spec, found, ScaleRule(), weights=True).both.tolist() == [[scale**2]]


@pytest.mark.parametrize(("kind", "scale"), [("pow2", 128.0), ("amax", 127 / 0.99)])
def test_the_lowest_value_just_fits(kind, scale):
    """-1 to 0.99 on int8: -128 is there, and so is 127."""
    found = seen(0.99, (0.99,), (1.0,), (1.0,), a_least=-1.0, b_least=(-1.0,))
    scales = choose_scales(MacSpec(a="int8", b="int8", acc="int32"), found, ScaleRule(kind), weights=True)
    assert scales.a == pytest.approx(min(scale, 128))
    assert scales.b.tolist() == [[scales.a]]


def test_chunks_whose_lowest_value_just_fits():
    """The smallest scale of a chunk of -2 to 1.98 on fix2.6, the elements of MXINT8, is 1."""
    x = np.array([[-2.0, 1.984375, 0.5, -0.25]])
    values, scales = block_scales(x, parse_format("fix2.6"), ScaleFormat.parse("e8m0fnu"), 4)
    assert scales.tolist() == [[1.0]]
    np.testing.assert_array_equal(values, x)


def test_results_fit_the_accumulator_twice():
    """Both operands give way alike, by as little as does."""
    spec = MacSpec(a="e4m3fn", b="e4m3fn", acc="e5m6")
    scales = choose_scales(spec, seen(), ScaleRule(), weights=True)
    largest = HEADROOM * float(scales.both.max())
    assert spec.acc.max / 2 < largest <= spec.acc.max
    assert np.log2(128 / scales.a) - np.log2(512 / scales.b.max()) in (0, 1)


def test_products_fit_their_format():
    spec = MacSpec(a="e3m4finite", b="e3m4finite", product="e4m7finite:bias=12:none", acc="e4m7finite:bias=10:none")
    scales = choose_scales(spec, seen(result=(0.1, 0.1)), ScaleRule(), weights=True)
    assert spec.product.max / 2 < 2.0 * float(scales.both[0, 0]) <= spec.product.max


def test_fixed_point_operands_keep_their_places():
    spec = MacSpec(a="int8", b="e4m3fn", acc="e6m9")
    high = MacSpec(a="int8", b="e4m3fn", acc="e5m9")
    free, tight = (choose_scales(each, seen(result=(9.0, 1.0)), ScaleRule(), weights=True) for each in (spec, high))
    assert free.a == tight.a == 32
    assert tight.b.max() < free.b.max()


def test_nothing_but_zeros():
    scales = choose_scales(WIDE, seen(0.0, (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)), ScaleRule(), weights=True)
    assert scales.both.tolist() == [[1, 1]]


@pytest.mark.parametrize("scale", ["e8m0fnu", "e4m3fn", "bf16", "fp32"])
def test_chunks_get_the_smallest_scale_with_which_they_fit(scale):
    fmt = parse_format("e2m1finite")
    scale = ScaleFormat.parse(scale) if scale.endswith("fnu") else parse_format(scale)
    x = np.random.default_rng(0).normal(size=(5, 40)) * np.array([[0.02], [1], [9], [0.5], [100]])
    values, scales = block_scales(x, fmt, scale, 16)
    assert scales.shape == (5, 3)
    np.testing.assert_allclose(values * np.repeat(scales, 16, axis=1)[:, :40], x)
    assert np.abs(values).max() <= fmt.max
    smaller = scale.decode(scale.encode(scales) - 1)
    for row, chunk in np.ndindex(scales.shape):
        largest = np.abs(x[row, 16 * chunk :][:16]).max()
        assert largest / smaller[row, chunk] > fmt.max
    assert block_scales(x, fmt, scale, None)[1].shape == (5, 1)


@pytest.mark.parametrize(
    "name", ["e8m0fnu", "e2m0fnu", "e4m3fn", "e4m3fnuz", "e4m3:flush", "e4m3:none", "e5m2", "bf16"]
)
def test_scales_by_search_of_all_of_them(name):
    scale = ScaleFormat.parse(name) if name in ("e8m0fnu", "e2m0fnu") else parse_format(name)
    values = scale.decode(np.arange(1 << scale.width))
    grid = np.unique(values[np.isfinite(values) & (values > 0)])
    x = 6 * 2.0 ** np.random.default_rng(0).uniform(-20, 20, 300)
    x = np.concatenate([x, 6 * grid[:40], 6 * grid[-40:], [0.0, 1e-300, 1e300]])[:, np.newaxis]
    expected = grid[np.minimum(np.searchsorted(grid, x / 6), len(grid) - 1)]
    np.testing.assert_array_equal(block_scales(x, parse_format("e2m1finite"), scale, None)[1], expected)


@pytest.mark.parametrize(("arguments", "message"), [
    (("log", "tensor"), "scales 'log' is not one of pow2, amax"),
    (("pow2", "row"), "per 'row' is not one of tensor, channel"),
])  # fmt: skip
def test_rules_that_are_refused(arguments, message):
    with pytest.raises(MacgenError) as error:
        ScaleRule(*arguments)
    assert str(error.value) == message
