"""The smallest accumulator for a length: what each method asks for, which of them decides, and why."""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from macgen.emulate.products import Products
from macgen.errors import MacgenError, shown
from macgen.numerics import SUM_ROUNDINGS, FixedFormat, FloatFormat, Format, SumRounding, parse_format
from macgen.numerics.fixed_format import MAX_WIDTH
from macgen.spec import MAX_CHUNK, MacSpec, check_operand, least_int_bits
from macgen.width import bounds, exponent, monte_carlo, nsr, truncation, variance
from macgen.width.arguments import MAX_LENGTH, check_integer, check_real
from macgen.width.exponent import MAX_MAN_BITS

Method = Literal["vrr", "noise", "exact", "weights", "monte-carlo"]
"""`vrr`: variance retention ratio, the adder that aligns and drops; `noise`: the closed form of the rounding's own
noise; `exact`: no information lost, whatever the operands; `weights`: the same for known integer weights;
`monte-carlo`: the bit-exact accumulator on random operands."""

DEFAULT_NSR = 0.01
"""Rounding noise 20 dB below the sum; at it `rne` needs 1 to 2 bits less than the VRR's criterion asks for."""

_LEAST_VRR = 0.95
_NO_BETTER = 0.9  # a bit more takes the noise to a quarter, unless it is no rounding noise
_SAMPLES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What an accumulator is for, the length aside.

    Parameters:
        a, b: formats of the operands, or their strings.
        chunk: products a chunk; None: no chunks; `auto`: the power of two near sqrt(length).
        rounding: of the adder, as in MacSpec.
        nsr: largest noise-to-signal ratio accepted, above 0 and at most 0.05, where the closed forms hold.
        limit: of v(n) in the VRR's criterion.
        reading: of that criterion for chunks, `per-level` (the paper's practice) or `total` (the safe one).
        overflow_probability: of an overflow in one dot product, above 0 and at most 0.5.

    Raises:
        MacgenError: a field is refused.
    """

    a: Format | str = "e5m2"
    b: Format | str = "e5m2"
    chunk: int | Literal["auto"] | None = None
    rounding: SumRounding = "rne"
    nsr: float = DEFAULT_NSR
    limit: float = variance.LIMIT
    reading: variance.Reading = "per-level"
    overflow_probability: float = exponent.OVERFLOW_PROBABILITY

    def __post_init__(self) -> None:
        for name in ("a", "b"):
            fmt = getattr(self, name)
            try:
                fmt = fmt if isinstance(fmt, (FloatFormat, FixedFormat)) else parse_format(fmt)
            except MacgenError as error:
                raise MacgenError(f"{name}: {error}") from None
            check_operand(name, fmt)
            object.__setattr__(self, name, fmt)
        if self.chunk is not None and self.chunk != "auto":
            check_integer("chunk", self.chunk, 1, MAX_CHUNK)
        if self.rounding not in SUM_ROUNDINGS:
            raise MacgenError(f"rounding {shown(self.rounding)} is not one of {', '.join(SUM_ROUNDINGS)}")
        check_real("nsr", self.nsr, 0, nsr.VALID_BELOW)
        check_real("limit", self.limit, 1, variance.MOST_LIMIT)
        variance.check_reading(self.reading)
        check_real("overflow_probability", self.overflow_probability, 0, 0.5)

    @property
    def formats(self) -> tuple[Format, Format]:
        """Both operands' formats."""
        assert not isinstance(self.a, str)
        assert not isinstance(self.b, str)
        return self.a, self.b

    @property
    def product_man_bits(self) -> int:
        """m_p: mantissa bits of an exact product, without the hidden one."""
        return max(Products.of(*self.formats).precision - 1, 1)

    def chunk_for(self, length: int) -> int | None:
        """Return the chunk length for a dot product."""
        if self.chunk == "auto":
            return min(nsr.best_chunk(length), MAX_CHUNK)
        return self.chunk


@dataclass(frozen=True, kw_only=True)
class Sum:
    """A dot product to plan for.

    Parameters:
        length: products, 1 to 2**40.
        nzr: share of products that are not zero, above 0 and at most 1.
        rms: of the products, zeros included; None: `exponent.default_rms` of both operands times sqrt(nzr).
        weight_l1: largest sum of the magnitudes of one output's integer weights (b), if known.

    Raises:
        MacgenError: a field is refused.
    """

    length: int
    nzr: float = 1.0
    rms: float | None = None
    weight_l1: int | None = None

    def __post_init__(self) -> None:
        check_integer("length", self.length, 1, MAX_LENGTH)
        check_real("nzr", self.nzr, 0, 1)
        if self.rms is not None:
            check_real("rms", self.rms, 0, sys.float_info.max)
        if self.weight_l1 is not None:
            check_integer("weight_l1", self.weight_l1, 0, None)

    def nonzero(self, chunk: int | None) -> tuple[int, int | None]:
        """Return length and chunk length of an equally noisy sum without zeros: of as many, shorter chunks."""
        if chunk is None or chunk >= self.length:
            return max(1, round(self.nzr * self.length)), None
        inner = max(1, round(self.nzr * chunk))
        return min(inner * -(-self.length // chunk), self.length), inner


@dataclass(frozen=True)
class Answer:
    """What one method asks for.

    Attributes:
        method: which.
        chunk: the chunk length that it is for; None: no chunks, or (exact sums) whatever the chunks.
        acc: the smallest accumulator.
        reason: why no smaller one, in a few words.
    """

    method: Method
    chunk: int | None
    acc: Format
    reason: str

    @property
    def man_bits(self) -> int | None:
        """Mantissa bits of a float accumulator; None for fixed point."""
        return self.acc.man_bits if isinstance(self.acc, FloatFormat) else None


@dataclass(frozen=True)
class Plan:
    """The accumulator for one dot product.

    Attributes:
        goal: formats, rounding, limits.
        sum: the dot product.
        chunk: the chunk length taken.
        answers: of every method that applies, without chunks and, if there are some, with them.
        chosen: the answer that decides.
        warnings: sentences on what the figures do not say by themselves.
    """

    goal: Goal
    sum: Sum
    chunk: int | None
    answers: tuple[Answer, ...]
    chosen: Answer
    warnings: tuple[str, ...] = field(default=())

    def answer(self, method: Method, chunk: int | None) -> Answer | None:
        """Return one method's answer with or without chunks, if it has one."""
        return next((item for item in self.answers if (item.method, item.chunk) == (method, chunk)), None)

    @property
    def chunk_reason(self) -> str | None:
        """Why the chunk length is what it is, if it was chosen here."""
        if self.goal.chunk != "auto" or self.chunk is None:
            return None
        sums = -(-self.sum.length // self.chunk)
        return (
            f"of all powers of two, {self.chunk} makes chunk + ceil({self.sum.length} / chunk) = {self.chunk + sums} "
            f"least, which the rounding noise is proportional to"
        )

    def spec(self) -> MacSpec:
        """Return a spec with the chosen accumulator."""
        a, b = self.goal.formats
        return MacSpec(a=a, b=b, acc=self.chosen.acc, chunk=self.chunk, rounding=self.goal.rounding)


@lru_cache(maxsize=4096)
def plan(goal: Goal, dot: Sum) -> Plan:
    """Return the smallest accumulator of each method for a dot product, and the one that decides.

    Two fixed-point operands: the exact bound decides, or that of the known weights if smaller. Otherwise the
    rounding says which method is right: `rne` the closed form of its noise, `drop` the VRR unless its noise asks for
    more, `rtz` the closed form of the truncation.

    Raises:
        MacgenError: no accumulator of macgen is wide enough.
    """
    chunk = goal.chunk_for(dot.length)
    answers = list(_exact_answers(goal, dot))
    deciding = {item.method: item for item in answers}
    if all(isinstance(fmt, FixedFormat) for fmt in goal.formats):
        chosen = min(answers, key=lambda item: item.acc.width)  # of equal ones the first, that of the weights
        return Plan(goal, dot, chunk, tuple(answers), chosen)
    for part in dict.fromkeys((None, chunk)):
        answers += list(_float_answers(goal, dot, part))
    deciding |= {item.method: item for item in answers if item.chunk == chunk}
    chosen = deciding["noise"]
    if goal.rounding == "drop":
        chosen = max(deciding["vrr"], chosen, key=lambda answer: answer.acc.width)
    return Plan(goal, dot, chunk, tuple(answers), chosen, tuple(_warnings(goal, dot, chunk, deciding, chosen)))


def with_monte_carlo(
    planned: Plan, *, trials: int = monte_carlo.DEFAULT_TRIALS, progress: monte_carlo.Progress | None = None
) -> Plan:
    """Return a plan that the bit-exact accumulator has confirmed or corrected.

    Starting from the width that decided, the mantissa is made narrower or wider until it is the smallest whose
    measured noise-to-signal ratio is at most the goal's; that answer then decides. The operands are normally
    distributed, with the sum's rms and its share of non-zero products. Lengths up to 2**24.

    Parameters:
        planned: with a float accumulator.
        trials: of each width.
        progress: called with the trials done and all of one width.

    Raises:
        MacgenError: the plan's accumulator is fixed-point, or no mantissa is enough, since the range is not.
    """
    acc = planned.chosen.acc
    if not isinstance(acc, FloatFormat):
        raise MacgenError(f"monte-carlo does not go with acc {acc}, which is exact; accepted are float accumulators")

    def measured(man_bits: int) -> monte_carlo.Estimate:
        spec = replace(planned.spec(), acc=replace(acc, man_bits=man_bits))
        return monte_carlo.simulate(spec, planned.sum.length, trials=trials, samples=samples, progress=progress)

    samples = _samples(planned.goal, planned.sum)
    bits = acc.man_bits
    estimate = measured(bits)
    while estimate.nsr.value > planned.goal.nsr:
        before, bits = estimate, bits + 1
        if bits <= MAX_MAN_BITS:
            estimate = measured(bits)
        if bits > MAX_MAN_BITS or estimate.nsr.value > _NO_BETTER * before.nsr.value:
            raise MacgenError(
                f"nsr {planned.goal.nsr:g} is not reached: the measured one is {estimate.nsr.value:.2g} at any "
                f"mantissa, with overflow in {estimate.overflow:.1%} of the trials; accepted are goals with a lower "
                f"overflow_probability or a larger nsr"
            )
    while bits > 1 and (narrower := measured(bits - 1)).nsr.value <= planned.goal.nsr:
        bits, estimate = bits - 1, narrower
    low, high = estimate.nsr.low, estimate.nsr.high
    reason = f"measured NSR {estimate.nsr.value:.2g} ({low:.2g} to {high:.2g}), {trials} trials, seed {estimate.seed}"
    answer = Answer("monte-carlo", planned.chunk, replace(acc, man_bits=bits), reason)
    return replace(planned, answers=(*planned.answers, answer), chosen=answer)


def _samples(goal: Goal, dot: Sum) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return normally distributed operands, zeros among the left ones, whose products have a sum's rms."""
    rng = np.random.default_rng(0)
    usual = [exponent.default_rms(fmt) for fmt in goal.formats]
    scale = 1.0 if dot.rms is None else math.sqrt(dot.rms / math.sqrt(dot.nzr) / math.prod(usual))
    a, b = (rng.normal(scale=scale * rms, size=_SAMPLES) for rms in usual)
    a[rng.random(_SAMPLES) >= dot.nzr] = 0.0
    return a, b


def _exact_answers(goal: Goal, dot: Sum) -> Iterator[Answer]:
    """Yield the fixed-point accumulators that lose nothing, as far as macgen builds them."""
    a, b = goal.formats
    if dot.weight_l1 is not None and isinstance(a, FixedFormat) and isinstance(b, FixedFormat):
        frac_bits = a.frac_bits + b.frac_bits
        int_bits = bounds.a2q_bits_of_weights(dot.weight_l1, a) - frac_bits
        held = f"holds every sum of weights with sum |w| = {shown(dot.weight_l1)}"
        if (least := least_int_bits(a, b, frac_bits, signed=True)) > int_bits:
            int_bits, held = least, "holds every product"
        if int_bits + frac_bits <= MAX_WIDTH:
            yield Answer("weights", None, FixedFormat(int_bits, frac_bits), held)
    try:
        yield Answer("exact", None, bounds.exact_format(a, b, dot.length), f"holds every sum of {dot.length} products")
    except MacgenError:
        return


def _float_answers(goal: Goal, dot: Sum, chunk: int | None) -> Iterator[Answer]:
    """Yield what the statistical methods ask for."""
    n = dot.length
    inner = chunk if chunk is not None and chunk < n else None  # one chunk is none
    man_bits = variance.min_man_bits(n, goal.product_man_bits, inner, dot.nzr, goal.reading, goal.limit)
    criterion = f"v < {goal.limit:g}" if inner is None else f"v < {goal.limit:g}, {goal.reading}"
    yield _float_answer("vrr", goal, dot, chunk, man_bits, criterion)
    counted, counted_chunk = dot.nonzero(chunk)
    if goal.rounding == "rtz":
        man_bits = truncation.min_man_bits(counted, goal.nsr, counted_chunk)
        text = f"NSR {truncation.nsr(counted, man_bits, counted_chunk):.2g}, each sum truncated"
    else:
        man_bits = nsr.min_man_bits(counted, goal.nsr, goal.rounding, counted_chunk)
        text = f"NSR {nsr.estimate(counted, man_bits, goal.rounding, counted_chunk).nsr:.2g}"
    yield _float_answer("noise", goal, dot, chunk, man_bits, f"{text}, at most {goal.nsr:g}")


def _float_answer(method: Method, goal: Goal, dot: Sum, chunk: int | None, man_bits: int, reason: str) -> Answer:
    if man_bits > MAX_MAN_BITS:
        raise MacgenError(
            f"length {dot.length} asks for {man_bits} mantissa bits by {method}; accepted are up to {MAX_MAN_BITS}"
        )
    a, b = goal.formats
    rms = dot.rms
    if rms is None:
        rms = exponent.default_rms(a) * exponent.default_rms(b) * math.sqrt(dot.nzr)
    needed = exponent.choose(a, b, dot.length, man_bits, chunk=chunk, rms=rms, probability=goal.overflow_probability)
    return Answer(method, chunk, FloatFormat(needed.bits, man_bits), f"mantissa: {reason}; exponent: {needed.reason}")


def _warnings(goal: Goal, dot: Sum, chunk: int | None, answers: dict[Method, Answer], chosen: Answer) -> Iterator[str]:
    """Yield what VRR does not say about the rounding, and where a fixed-point accumulator would be exact for free."""
    if (exact := answers.get("exact")) is not None and exact.acc.width <= chosen.acc.width:
        yield f"acc {exact.acc} {exact.reason} in {exact.acc.width} bits, no more than {chosen.acc} has"
    vrr, noise = answers["vrr"].man_bits, answers["noise"].man_bits
    assert vrr is not None
    assert noise is not None
    counted, counted_chunk = dot.nonzero(chunk)
    if goal.rounding == "rtz" and (kept := truncation.vrr(counted, vrr, counted_chunk)) < _LEAST_VRR:
        lost = truncation.nsr(counted, vrr, counted_chunk)
        yield (
            f"rtz truncates every sum toward zero: with the {vrr} mantissa bits that VRR accepts, a sum of "
            f"{dot.length} products keeps {kept:.0%} of its variance (NSR {lost:.2g}); "
            f"it takes {noise} bits, with rne {nsr.min_man_bits(counted, goal.nsr, 'rne', counted_chunk)}"
        )
    rne = nsr.min_man_bits(counted, goal.nsr, "rne", counted_chunk)
    if goal.rounding == "drop" and max(vrr, noise) > rne:
        kept = variance.vrr(rne, goal.product_man_bits, dot.length, chunk, dot.nzr)
        lost = nsr.estimate(counted, rne, "drop", counted_chunk).nsr
        yield (
            f"drop loses what it shifts out: with the {rne} mantissa bits that rne needs, a sum of {dot.length} "
            f"products keeps {kept:.1%} of its variance by the VRR (NSR up to {lost:.2g}); it takes "
            f"{max(vrr, noise)} bits"
        )
