"""Arrays of every kind of cycles, and operands for them."""

import numpy as np

from macgen import MacSpec
from macgen.numerics import FixedFormat, FloatFormat

ARRAYS = {
    # Small to compile, and with all that costs cycles: lanes, turns, bubbles.
    "bubbles, turns, lanes": MacSpec(
        a="int3", b="int2", acc="int8", chunk=4, lanes=2, interleave=3, overflow="wrap", rows=2, cols=3
    ),
    "plain": MacSpec(a="int3", b="int3", acc="int9", rows=3, cols=2),
    "two stages": MacSpec(a="e2m1finite", b="e2m1finite", acc="e4m3", pipeline=2, rows=1, cols=2),
    "bubbles": MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=8, rows=2, cols=2),
    "overlap": MacSpec(a="e5m2", b="e4m3fn", acc="e6m5", chunk=1, fold="overlap", rows=1, cols=3),
    "turns": MacSpec(a="int4", b="int4", acc="int16", interleave=4, rows=2, cols=2),
    "overlap, turns": MacSpec(a="e4m3", b="e5m2", acc="e5m4", chunk=3, fold="overlap", interleave=2, rows=3, cols=1),
    "folds that wait for random numbers": MacSpec(
        a="e5m2", b="e5m2", acc="e6m5", rounding="stochastic:7", chunk=4, fold="overlap", interleave=2, rows=2, cols=2
    ),
    "random results": MacSpec(
        a="e4m3", b="e4m3", acc="e6m9", out="e4m3", outer_rounding="stochastic:5", rows=3, cols=2, interleave=2
    ),
    "outer adder": MacSpec(
        a="e4m3fn", b="e2m1finite", acc="e6m4", outer="bf16", outer_rounding="stochastic:9", chunk=6, lanes=3, rows=2,
        cols=2,
    ),
    "outer adder, turns, scales": MacSpec(
        a="e4m3fn", b="e4m3fn", acc="e6m6", scale="e8m0fnu", chunk=4, lanes=4, lane_sum="tree", outer="fp32",
        interleave=3, pipeline=2, rows=1, cols=2,
    ),
    "outer adder of several cycles": MacSpec(
        a="e4m3fn", b="e2m1finite", acc="e6m4", outer="bf16", scale="e4m3fn", chunk=8, lanes=2, outer_cycles=3, rows=2,
        cols=2,
    ),
    "scales without chunks": MacSpec(a="int4", b="int4", acc="int16", scale="e4m3fn", outer="fp16", rows=2, cols=1),
    "scales of lanes": MacSpec(
        a="e2m1finite", b="e2m1finite", acc="e5m4", lanes=4, lane_sum="exponents:6/2", scale="e3m1",
        scale_place="lanes", scale_block=2, overflow="infinity", interleave=2, pipeline=2, rows=2, cols=1,
    ),
    "modes": MacSpec(
        a="e5m2", b="e5m2", acc="e6m6", out="e6m5", chunk=3, interleave=2, pipeline=2, rounding="stochastic:4:nearest",
        outer_rounding="rne", rows=2, cols=2, modes=["low:a=e5m1,acc=e6m4,out=e6m3"],
    ),
    "packed modes": MacSpec(
        a="int8", b="uint4", acc="int20", chunk=8, lanes=2, outer="fp32", rows=2, cols=3,
        modes=["two:a=int4,b=uint2,packed=2", "four:a=int2,b=uint1,packed=4"],
    ),
    "aligned": MacSpec(
        a="fp16", b="e4m3fn", acc="e6m9", lanes=2, lane_sum="aligned:12", chunk=16, interleave=2, overflow="infinity",
        rows=2, cols=2,
    ),
    "counters": MacSpec(a="e4m3", b="e4m3", acc="e5m2", chunk=4, counters=4, rows=2, cols=3),
}  # fmt: skip


def values(rng, fmt, shape):
    """Return values on a format's grid; where it has zeros of both signs, infinities and NaN, a few of them too."""
    spread = fmt.max / 3 if isinstance(fmt, FixedFormat) else min(1.0, fmt.max / 3)
    drawn = np.array(fmt.quantize(rng.normal(0, spread, shape)))
    drawn[rng.random(shape) < 0.1] = 0.0
    if isinstance(fmt, FloatFormat):
        drawn[rng.random(shape) < 0.05] *= -0.0 if fmt.encoding != "fnuz" else 0.0
        if fmt.has_infinity:
            drawn[rng.random(shape) < 0.2 / shape[1]] = np.inf
        if fmt.has_nan:
            drawn[rng.random(shape) < 0.2 / shape[1]] = np.nan
    return drawn


def operands(rng, spec, rows, cols, length):
    """Return A, B and the scales of both, as keywords."""
    a, b = values(rng, spec.a, (rows, length)), values(rng, spec.b, (cols, length)).T
    if spec.scale is None:
        return a, b, {}
    count = spec.scale_count(length)
    shapes = (rows, count), (count, cols)
    of_a, of_b = (spec.scale.decode(spec.scale.encode(np.exp2(rng.integers(-2, 3, shape)))) for shape in shapes)
    return a, b, {"A_scales": of_a, "B_scales": of_b}
