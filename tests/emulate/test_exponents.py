"""Sums aligned by exponents against golden: values, flags and counts, compiled and in Python, scales of lanes too."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macgen import MacgenError, MacSpec, emulate
from macgen.emulate import exact
from tests.emulate.test_exact import KINDS_OF_BOTH, SLOW, assert_all_the_same, draw_codes
from tests.strategies import float_formats

ACCUMULATORS = ["fp32", "e8m13", "fp16", "e6m5:flush", "e8m3:none", "e8m7fn", "e7m4fnuz", "e9m2"]
SCALES = ["e3m0fnu", "e8m0fnu", "e4m3fn", "e3m2:flush", "e5m2", "fp16", "e2m1finite:none"]


@st.composite
def specs_by_exponents(draw):
    """Every kind of spec with `exponents:F`, most with scales of lanes, many with groups."""
    group = draw(st.sampled_from([1, 1, 2, 4]))
    operands = float_formats(5, 4).map(str) | st.sampled_from(["bf16", "fp16", "e8m10"])
    if group > 1:
        operands = st.sampled_from(["e2m1finite", "e3m2finite", "e2m3finite:none", "e4m0finite:flush", "e1m2finite"])
    fields = {"scale": draw(st.none() | st.sampled_from(SCALES))}
    if group > 1 or (fields["scale"] and draw(st.booleans())):
        fields = {"scale": draw(st.sampled_from(SCALES)), "scale_place": "lanes"}
        fields["scale_block"] = draw(st.sampled_from([None, group, 2 * group]))
    lanes = 2 * group * draw(st.integers(1, 3))
    suffix = f"/{group}" if group > 1 else ""
    try:
        return MacSpec(
            a=draw(operands),
            b=draw(operands),
            acc=draw(st.sampled_from(ACCUMULATORS)),
            chunk=draw(st.none() | st.just(2 * lanes)),
            outer=draw(st.none() | st.just("fp32")),
            rounding=draw(
                st.sampled_from(["rne", "rtz", "floor", "odd", "stochastic:3", "stochastic:20", "stochastic:3:nearest"])
            ),
            outer_rounding=draw(st.none() | st.just("odd")),
            overflow=draw(st.sampled_from(["saturate", "infinity", "to-infinity", "nan"])),
            lanes=lanes if draw(st.booleans()) or "scale_place" in fields else lanes - 1,
            lane_sum=f"exponents:{draw(st.integers(1, 64))}{suffix}",
            rows=2,
            cols=2,
            interleave=draw(st.integers(1, 2)),
            **fields,
        )
    except MacgenError:
        return MacSpec(a="e4m3fn", b="bf16", acc="fp32", lanes=lanes, lane_sum=f"exponents:{draw(st.integers(1, 64))}")


@settings(max_examples=120, **SLOW)
@given(
    spec=specs_by_exponents(),
    kinds=KINDS_OF_BOTH,
    shape=st.tuples(st.integers(1, 3), st.integers(1, 30), st.integers(1, 3)),
    seed=st.integers(0, 2**32 - 1),
)
def test_same_as_golden(spec, kinds, shape, seed):
    assert_all_the_same(spec, *draw_codes(spec, kinds, shape, seed))


@settings(max_examples=40, **SLOW)
@given(spec=specs_by_exponents(), kinds=KINDS_OF_BOTH, length=st.integers(1, 20), seed=st.integers(0, 2**32 - 1))
def test_pythons_way_is_the_same(spec, kinds, length, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "kernel", lambda _: None)
        assert_all_the_same(spec, *draw_codes(spec, kinds, (2, length, 1), seed))


@st.composite
def specs_in_bulk(draw):
    """Every kind of spec with `bulk:F`."""
    lanes = draw(st.integers(1, 9))
    operands = float_formats(5, 4).map(str) | st.sampled_from(["bf16", "fp16", "e8m10", "e4m3fn", "e5m2"])
    try:
        return MacSpec(
            a=draw(operands),
            b=draw(operands),
            acc=draw(st.sampled_from(ACCUMULATORS)),
            chunk=draw(st.none() | st.just(2 * lanes)),
            outer=draw(st.none() | st.just("fp32")),
            rounding=draw(st.sampled_from(["rne", "rtz", "floor", "odd", "odd"])),
            outer_rounding=draw(st.none() | st.just("stochastic:3")),
            overflow=draw(st.sampled_from(["saturate", "infinity", "to-infinity", "nan"])),
            lanes=lanes,
            lane_sum=f"bulk:{draw(st.integers(1, 64))}",
            scale=draw(st.none() | st.sampled_from(SCALES)),
            rows=2,
            cols=2,
            interleave=draw(st.integers(1, 2)),
        )
    except MacgenError:
        return MacSpec(a="e4m3fn", b="bf16", acc="fp32", lanes=lanes, lane_sum=f"bulk:{draw(st.integers(1, 64))}")


@settings(max_examples=80, **SLOW)
@given(
    spec=specs_in_bulk(),
    kinds=KINDS_OF_BOTH,
    shape=st.tuples(st.integers(1, 3), st.integers(1, 30), st.integers(1, 3)),
    seed=st.integers(0, 2**32 - 1),
)
def test_bulk_normalisation_is_the_same_as_golden(spec, kinds, shape, seed):
    assert_all_the_same(spec, *draw_codes(spec, kinds, shape, seed))


@settings(max_examples=30, **SLOW)
@given(spec=specs_in_bulk(), kinds=KINDS_OF_BOTH, length=st.integers(1, 20), seed=st.integers(0, 2**32 - 1))
def test_pythons_bulk_normalisation_is_the_same(spec, kinds, length, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "kernel", lambda _: None)
        assert_all_the_same(spec, *draw_codes(spec, kinds, (2, length, 1), seed))


def test_addends_with_scales_that_add_to_zero_swamp_nothing():
    """1 * 4 - 2 * 2 of two blocks: the counts' addend is the exact sum with scales, whatever its range."""
    spec = MacSpec(a="e4m3fn", b="e4m3fn", acc="fp32", lanes=2, lane_sum="exponents:13", rounding="rtz",
                   scale="e8m0fnu", scale_place="lanes", scale_block=1)  # fmt: skip
    values = {"A_scales": [[4.0, 2.0, 1.0, 1.0, 2.0**-40, 2.0**-40]], "B_scales": [[2.0**60]] * 2 + [[1.0]] * 4}
    # The first step leaves 2^62, the second adds nothing, the third something that is cut.
    operands = np.array([[1.0, 0, 1, -1, 1, 0]]), np.ones((6, 1))
    found, counts = emulate.matmul(spec, *operands, **values, counts=True)
    assert found == [[2.0**62]]
    assert (counts.steps.additions, counts.steps.swamped) == (3, 1)


def test_wrong_scales():
    spec = MacSpec(a="e4m3fn", b="e4m3fn", acc="fp32", lanes=4, lane_sum="exponents:13", scale="e8m0fnu",
                   scale_place="lanes", scale_block=2)  # fmt: skip
    ones = np.ones((1, 5))
    with pytest.raises(MacgenError) as caught:
        emulate.matmul(spec, ones, ones.T, A_scales=[[1.0, 1.0]], B_scales=[[1.0]] * 3)
    assert str(caught.value) == "A_scales has the shape (1, 2); accepted is (1, 3), one scale for each block"
    with pytest.raises(MacgenError) as caught:
        emulate.dots(spec, ones, ones, A_scales=[[1.0, 1.0, 1.0]], B_scales=[[1.0, 1.0]])
    assert str(caught.value) == "B_scales has the shape (1, 2); accepted is (1, 3), one scale for each block"
