"""The products of a layer on a spec: scaled, rounded, multiplied as golden does, scaled back, and tallied."""

import numpy as np
import pytest

from macgen import golden
from macgen.errors import MacgenError
from macgen.nn.arithmetic import OnSpec, Tally, Watched
from macgen.nn.scaling import Scales, block_scales, ends
from macgen.numerics import parse_format
from macgen.spec import MacSpec

RANDOM = np.random.default_rng(3)
A, B = RANDOM.normal(size=(3, 10)).astype("float32"), RANDOM.normal(size=(10, 4)).astype("float32")


def product(spec, scales, a=A, b=B, **options):
    layer = OnSpec("layer", spec, scales, **options)
    return layer.matmul(*layer.operands(a, b)), layer.tally


def test_equal_to_golden_in_the_units_of_the_network():
    spec = MacSpec(a="e4m3fn", b="e5m2", acc="e6m3", chunk=4)
    scales = Scales(4.0, np.array([[2.0, 8.0, 2.0, 0.5]]))
    y, tally = product(spec, scales)
    a, b = spec.a.quantize(A * 4.0), spec.b.quantize(B * scales.b)
    codes, _ = golden.matmul(spec, spec.a.encode(a), spec.b.encode(b))
    np.testing.assert_array_equal(y, spec.out_format.decode(codes) / (4.0 * scales.b))
    exact = a @ b / (4.0 * scales.b)
    assert tally.noise == pytest.approx(((y - exact) ** 2).sum(), rel=1e-12)
    assert tally.signal == pytest.approx((exact**2).sum(), rel=1e-12)
    assert (tally.macs, tally.results, tally.lost) == (120, 12, 0)


@pytest.mark.parametrize("name", [
    "e4m3fn", "e4m3fnuz", "e4m3:flush", "e3m0finite", "e4m3:bias=200:flush", "e4m3:bias=-150:flush",
    "e7m4:bias=150:flush", "e7m3:bias=-100:flush", "e7m4:bias=180:none", "e8m23:flush", "e7m24", "e10m20:flush",
    "int8", "uint8", "fix12.-4",
])  # fmt: skip
def test_operands_are_rounded_as_quantize_does(name):
    """Whatever the bias: a format that float32 does not hold is not brought to it."""
    fmt = parse_format(name)
    least, most = ends(fmt)
    x = most * RANDOM.normal(size=(40, 20)) * 2.0 ** RANDOM.integers(-30, 2, (40, 20))
    a, b = OnSpec("layer", MacSpec(a=fmt, b=fmt, acc="e11m52"), Scales(1.0, np.ones((1, 1)))).operands(x, x.T)
    expected = fmt.quantize(np.clip(x, least, most))
    for found, wanted in ((a, expected), (b, expected.T)):
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(np.signbit(found), np.signbit(wanted))


def test_exact_sums_have_no_noise():
    spec = MacSpec(a="e4m3fn", b="e5m2", acc="e6m3", chunk=4)
    y, tally = product(spec, Scales(4.0, np.full((1, 4), 8.0)), exact=True)
    np.testing.assert_array_equal(y, spec.a.quantize(A * 4.0) @ spec.b.quantize(B * 8.0) / 32)
    assert tally.noise == 0


def test_chunks_with_scales_of_their_own():
    spec = MacSpec(a="e2m1finite", b="e2m1finite", acc="fix12.2", scale="e8m0fnu", chunk=4, outer="fp32")
    y, tally = product(spec, Scales(1.0, np.ones((1, 1))))
    a, a_scales = block_scales(A, spec.a, spec.scale, 4)
    b, b_scales = block_scales(B.T, spec.b, spec.scale, 4)
    codes, _ = golden.matmul(
        spec, spec.a.encode(spec.a.quantize(a)), spec.b.encode(spec.b.quantize(b.T)),
        A_scales=spec.scale.encode(a_scales), B_scales=spec.scale.encode(b_scales.T),
    )  # fmt: skip
    np.testing.assert_array_equal(y, spec.out_format.decode(codes))
    assert tally.noise < 1e-10 * tally.signal  # the operands' rounding is no noise of sums


def test_blocks_of_lanes_with_scales_of_their_own():
    spec = MacSpec(
        a="e2m1finite", b="e2m1finite", acc="fp32", scale="e8m0fnu", scale_place="lanes", scale_block=2, lanes=4,
        lane_sum="exponents:40",
    )  # fmt: skip
    y, tally = product(spec, Scales(1.0, np.ones((1, 1))))
    a, a_scales = block_scales(A, spec.a, spec.scale, 2)
    b, b_scales = block_scales(B.T, spec.b, spec.scale, 2)
    exact = (spec.a.quantize(a) * np.repeat(a_scales, 2, axis=1)) @ (
        spec.b.quantize(b) * np.repeat(b_scales, 2, axis=1)
    ).T
    np.testing.assert_array_equal(y, exact)  # few bits each: binary32 holds all sums
    assert tally.noise == 0


def test_columns_of_a_matrix_have_their_scales():
    spec = MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m3")
    layer = OnSpec("layer", spec, Scales(1.0, np.array([[[1.0, 2.0, 4.0, 8.0]]])))
    a, b = layer.operands(A, B[np.newaxis])
    whole = layer.matmul(a, b[0], (0,))
    np.testing.assert_array_equal(layer.matmul(a, b[0][:, 1:3], (0,), slice(1, 3)), whole[:, 1:3])


def test_dot_products_are_the_columns_of_matrix_products():
    spec = MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m3")
    a, b = RANDOM.normal(size=(5, 7, 9)), RANDOM.normal(size=(5, 9, 1))
    b[0, 0] = 0
    layers = [OnSpec("layer", spec, Scales(2.0, np.arange(1.0, 6).reshape(5, 1, 1))) for _ in range(2)]
    qa, qb = layers[0].operands(a, b)
    each = layers[0].each(qa, qb)
    for group in range(5):
        np.testing.assert_array_equal(each[group], layers[1].matmul(qa[group], qb[group], (group,))[:, 0])
    tallies = [layer.tally for layer in layers]
    assert tallies[0].noise == pytest.approx(tallies[1].noise)
    assert (tallies[0].macs, tallies[0].nonzero) == (tallies[1].macs, tallies[1].nonzero)
    assert tallies[0].nonzero == np.count_nonzero(qa * qb[..., 0][:, np.newaxis])


def test_additions_are_counted():
    """64 and then ones, which the accumulator's three bits do not see: each is swamped."""
    spec = MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m3")
    ones = np.ones((1, 9))
    ones[0, 0] = 64
    y, tally = product(spec, Scales(1.0, np.ones((1, 1))), ones, np.ones((9, 2)), counts=True)
    assert y.tolist() == [[64, 64]]
    assert tally.counts == {"additions": 18, "saturated": 0, "flushed": 0, "swamped": 16}
    assert product(spec, Scales(1.0, np.ones((1, 1))), ones, np.ones((9, 2)))[1].counts == {}


def test_infinite_results_are_counted_apart():
    spec = MacSpec(a="fp16", b="fp16", acc="fp16", overflow="infinity")
    _, tally = product(spec, Scales(1.0, np.ones((1, 1))), 300 * np.ones((2, 9)), np.eye(9) * 300 + 1)
    assert (tally.results, tally.lost) == (18, 18)
    assert tally.noise == tally.signal == 0
    infinite = np.array([[np.inf, 1.0]])
    y, tally = product(spec, Scales(1.0, np.ones((1, 1))), infinite, np.ones((2, 1)))
    assert tally.lost == 0  # an infinite operand is the format's largest
    assert y[0, 0] == 65504


def test_infinite_operands_are_the_ends_of_fixed_point():
    spec = MacSpec(a="int8", b="uint8", acc="int32")
    ends = np.array([[-np.inf], [np.inf]])
    y, _ = product(spec, Scales(1.0, np.ones((1, 1))), ends, np.array([[1.0, -np.inf]]))
    assert y.tolist() == [[-128, 0], [127, 0]]


def test_nan_where_the_format_has_none():
    spec = MacSpec(a="int8", b="int8", acc="int32")
    with pytest.raises(MacgenError, match=r"^layer 'layer' has operands a that are NaN, which format int8 cannot hold"):
        product(spec, Scales(1.0, np.ones((1, 1))), np.array([[np.nan]]), np.ones((1, 1)))


def test_what_is_watched():
    layer = Watched("layer", weights=True)
    a, b = layer.operands(A, B)
    np.testing.assert_array_equal(layer.matmul(a, b), A @ B)
    assert (layer.seen.a_least, layer.seen.a_most) == (A.min(), A.max())
    np.testing.assert_array_equal(layer.seen.b_least, B.min(axis=0, keepdims=True))
    np.testing.assert_array_equal(layer.seen.b_most, B.max(axis=0, keepdims=True))
    np.testing.assert_array_equal(layer.seen.result, np.abs(A @ B).max(axis=0, keepdims=True))
    products = np.abs(A[:, :, np.newaxis] * B).max(axis=(0, 1))
    np.testing.assert_allclose(layer.seen.product[0], products, rtol=1e-6)
    whole = Watched("layer", weights=False)
    whole.matmul(*whole.operands(A, B))
    assert whole.seen.b_least.shape == whole.seen.b_most.shape == whole.seen.result.shape == (1, 1)
    assert whole.seen.result[0, 0] == np.abs(A @ B).max()


def test_tallies_add_up():
    first, second = Tally(1, 2, 3.0, 4.0, 5, 6, {"additions": 7}), Tally(1, 1, 1.0, 1.0, 1, 1, {"additions": 1, "x": 2})
    first.add(second)
    assert first == Tally(2, 3, 4.0, 5.0, 6, 7, {"additions": 8, "x": 2})
