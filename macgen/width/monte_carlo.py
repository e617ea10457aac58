"""How well an accumulator really sums: the bit-exact model on random or given operands, against the exact sums."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macgen import emulate
from macgen.errors import MAX_COUNT, MacgenError, check_function, check_integer, check_type, is_real, shown, significant
from macgen.numerics import MAX_MAN_BITS, FloatFormat, Format
from macgen.numerics.arrays import plain_array
from macgen.spec import MacSpec, check_spec
from macgen.width.exponent import default_rms
from macgen.width.goal import Goal, Sum
from macgen.width.planning import Answer, Plan

DEFAULT_TRIALS = 4000
MAX_LENGTH = 1 << 24
MAX_TRIALS = 1 << 20
_BLOCK_PRODUCTS = 1 << 21
_NO_BETTER = 0.9  # a bit more takes the noise to a quarter, unless it is no rounding noise
_SAMPLES = 1 << 16

Progress = Callable[[int, int], None]
"""Called with the trials done and all of them."""


@dataclass(frozen=True)
class Interval:
    """An estimate and the bounds between which the true value lies with the stated confidence.

    Attributes:
        value: the estimate.
        low: lower bound.
        high: upper bound.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """What the trials showed; s is the accumulator's sum, S the exact one.

    Attributes:
        vrr: Var(s) / Var(S), the variance retention ratio.
        nsr: E[(s - S)^2] / Var(S), the noise-to-signal ratio.
        overflow: share of the trials in which an exact partial sum, of a chunk or of chunks, is beyond the
            accumulator's range.
        trials: how many.
        length: products a sum.
        seed: of the random operands.
        confidence: of the intervals.
    """

    vrr: Interval
    nsr: Interval
    overflow: float
    trials: int
    length: int
    seed: int
    confidence: float


def simulate(
    spec: MacSpec,
    length: int,
    *,
    trials: int = DEFAULT_TRIALS,
    seed: int = 1,
    samples: tuple[ArrayLike | None, ArrayLike | None] | None = None,
    confidence: float = 0.95,
    progress: Progress | None = None,
) -> Estimate:
    """Sum random products in a spec's accumulator and compare with the exact sums.

    Parameters:
        spec: formats, rounding, overflow and chunk length; its arithmetic is the one of `golden`, bit for bit.
        length: products a sum, 1 to 2**24.
        trials: independent sums, 2 to 2**20.
        seed: of the operands.
        samples: values from which the left and the right operands are drawn, of any shape; they are rounded to the
            operands' formats, beyond whose largest values they saturate. None, or None of one of them: normally
            distributed with `exponent.default_rms`.
        confidence: of the intervals, between 0 and 1.
        progress: called after each block of trials.

    Returns:
        The ratios with their intervals (delta method for ratios of means).

    Raises:
        MacgenError: an argument is refused, or all exact sums are equal, so that there is no variance to compare with.
    """
    check_spec(spec)
    if progress is not None:
        check_function("progress", progress)
    length = check_integer("length", length, 1, MAX_LENGTH)
    trials = check_integer("trials", trials, 2, MAX_TRIALS)
    seed = check_integer("seed", seed, 0, MAX_COUNT)
    if not is_real(confidence) or not 0 < confidence < 1:
        raise MacgenError(f"confidence {shown(confidence)} is not a number between 0 and 1")
    confidence = float(confidence)
    given = (None, None) if samples is None else samples
    if not isinstance(given, tuple) or len(given) != 2:
        raise MacgenError(f"samples {shown(samples)} are not a pair; accepted are values of a and values of b")
    draw_a, draw_b = _source("a", spec.a, given[0]), _source("b", spec.b, given[1])
    low, high = (float(spec.acc.number(spec.acc.largest_code(sign)).to_fraction()) for sign in (1, 0))
    rng = np.random.default_rng(seed)
    sums, exact, beyond = np.empty(trials), np.empty(trials), 0
    block = max(1, _BLOCK_PRODUCTS // length)
    for start in range(0, trials, block):
        rows = slice(start, min(start + block, trials))
        shape = rows.stop - start, length
        a, b = draw_a(rng, shape), draw_b(rng, shape)
        sums[rows] = emulate.dots(spec, a, b)
        products = _products(spec, a, b)
        exact[rows] = products.sum(axis=1)
        may_be = products[np.abs(products).sum(axis=1) > min(-low, high) * (1 - 2.0**-20)]
        lowest, largest = _partial_sums(may_be, spec.chunk)
        beyond += int(((lowest < low) | (largest > high)).sum())
        if progress is not None:
            progress(rows.stop, trials)
    signal = (exact - exact.mean()) ** 2
    if not signal.any():
        raise MacgenError("samples give sums that are all equal; accepted are operands that vary")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    return Estimate(
        vrr=_ratio((sums - sums.mean()) ** 2, signal, z),
        nsr=_ratio((sums - exact) ** 2, signal, z),
        overflow=beyond / trials,
        trials=trials,
        length=length,
        seed=seed,
        confidence=confidence,
    )


def confirm(planned: Plan, *, trials: int = DEFAULT_TRIALS, progress: Progress | None = None) -> Plan:
    """Return a plan that the bit-exact accumulator has confirmed or corrected.

    Starting from the width that decided, the mantissa is made narrower or wider until it is the smallest whose
    measured noise-to-signal ratio is at most the goal's with its whole confidence interval; that answer then decides.
    The operands are normally distributed, with the sum's rms and its share of non-zero products. Lengths up to 2**24.

    Parameters:
        planned: with a float accumulator.
        trials: of each width.
        progress: called with the trials done and all of one width.

    Raises:
        MacgenError: the plan's accumulator is fixed-point, or no mantissa is enough, since the range is not.
    """
    check_type("planned", planned, Plan, "a Plan")
    acc = planned.chosen.acc
    if not isinstance(acc, FloatFormat):
        raise MacgenError(f"monte-carlo does not go with acc {acc}, which is exact; accepted are float accumulators")

    def measured(man_bits: int) -> Estimate:
        spec = replace(inner, acc=replace(acc, man_bits=man_bits))
        return simulate(spec, planned.summed.length, trials=trials, samples=samples, progress=progress)

    inner = planned.spec()
    if inner.outer is not None:  # what enters the outer accumulator is what decides
        inner = replace(inner, outer=None, chunk=None)
    samples = _samples(planned.goal, planned.sum)
    bits = acc.man_bits
    estimate = measured(bits)
    while estimate.nsr.high > planned.goal.nsr:
        before, bits = estimate, bits + 1
        if bits <= MAX_MAN_BITS:
            estimate = measured(bits)
        if bits > MAX_MAN_BITS or estimate.nsr.value > _NO_BETTER * before.nsr.value:
            raise MacgenError(
                f"nsr {planned.goal.nsr:g} is not reached: the measured one is {estimate.nsr.value:.2g} (up to "
                f"{estimate.nsr.high:.2g}) at any mantissa, with overflow in {estimate.overflow:.1%} of the trials; "
                f"accepted are goals with a lower overflow_probability or a larger nsr"
            )
    while bits > 1 and (narrower := measured(bits - 1)).nsr.high <= planned.goal.nsr:
        bits, estimate = bits - 1, narrower
    nsr, low, high = (significant(x, 2) for x in (estimate.nsr.value, estimate.nsr.low, estimate.nsr.high))
    reason = (
        f"measured NSR {nsr} ({low} to {high}), overflow in {100 * estimate.overflow:.3g}% of {trials} trials, seed "
        f"{estimate.seed}"
    )
    answer = Answer("monte-carlo", planned.chunk, replace(acc, man_bits=bits), reason)
    return replace(planned, answers=(*planned.answers, answer), chosen=answer)


def _samples(goal: Goal, dot: Sum) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return normally distributed operands, zeros among the left ones, whose products have a sum's rms."""
    rng = np.random.default_rng(0)
    usual = [default_rms(fmt) for fmt in goal.formats]
    scale = 1.0 if dot.rms is None else math.sqrt(dot.rms / math.sqrt(dot.nzr) / math.prod(usual))
    a, b = (rng.normal(scale=scale * rms, size=_SAMPLES) for rms in usual)
    a[rng.random(_SAMPLES) >= dot.nzr] = 0.0
    return a, b


_Operand = NDArray[np.floating[Any]]
_Draw = Callable[[np.random.Generator, tuple[int, int]], _Operand]


def _source(name: str, fmt: Format, samples: ArrayLike | None) -> _Draw:
    """Return a function that draws operands on a format's grid."""
    if samples is None:
        scale = default_rms(fmt)
        return lambda rng, shape: fmt.quantize(rng.normal(scale=scale, size=shape))
    values = plain_array(f"samples of {name}", samples)
    if values.dtype.kind not in "biuf" or values.size == 0 or not np.isfinite(values).all():
        raise MacgenError(f"samples of {name} are not finite numbers; accepted are arrays with at least one number")
    grid = fmt.quantize(values.astype(np.float64).ravel())
    with np.errstate(over="ignore"):
        short = grid.astype(np.float32)  # half as much to move
    chosen = short if np.array_equal(short, grid) else grid
    return lambda rng, shape: rng.choice(chosen, shape)


def _products(spec: MacSpec, a: _Operand, b: _Operand) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        products = np.multiply(a, b, dtype=np.float64)
    if not np.isfinite(products).all():
        raise MacgenError(f"products of a {spec.a} and b {spec.b} are beyond binary64; accepted are smaller operands")
    return products


def _partial_sums(products: NDArray[np.float64], chunk: int | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and the largest of each row's exact partial sums: within chunks, and of finished chunks."""
    trials, length = products.shape
    inner = chunk or length
    lowest, largest, total = np.zeros(trials), np.zeros(trials), np.zeros(trials)
    for start in range(0, length, inner):
        partial = np.cumsum(products[:, start : start + inner], axis=1)
        total += partial[:, -1]
        np.minimum(lowest, np.minimum(partial.min(axis=1), total), out=lowest)
        np.maximum(largest, np.maximum(partial.max(axis=1), total), out=largest)
    return lowest, largest


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64], z: float) -> Interval:
    """Return mean(numerator) / mean(denominator) with its interval by the delta method."""
    mean = float(denominator.mean())
    value = float(numerator.mean()) / mean
    error = z * float((numerator - value * denominator).std(ddof=1)) / (mean * math.sqrt(len(numerator)))
    return Interval(value, max(value - error, 0.0), value + error)
