"""The smallest accumulator for a length: what each method asks for, which of them decides, and why."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from macgen.emulate.value_range import ValueRange
from macgen.errors import MacgenError, check_integer, shown, significant
from macgen.numerics import MAX_MAN_BITS, FixedFormat, FloatFormat, Format, Rounding, RoundingKind, as_format
from macgen.numerics.fixed_format import MAX_WIDTH
from macgen.spec import MAX_CHUNK, MacSpec, check_operand, least_int_bits
from macgen.width import bounds, exponent, flooring, nsr, truncation, variance
from macgen.width.checks import MAX_LENGTH, check_real

Method = Literal["vrr", "noise", "exact", "weights", "monte-carlo"]
"""`vrr`: variance retention ratio, the adder that aligns and drops; `noise`: the closed form of the rounding's own
noise; `exact`: no information lost, whatever the operands; `weights`: the same for known integer weights;
`monte-carlo`: the bit-exact accumulator on random operands."""

DEFAULT_NSR = 0.01
"""Rounding noise 20 dB below the sum. In sums of E5M2 products `rne` then needs as many bits as the VRR's criterion
asks for at 128 products, 1 to 2 less from 200 to 50 000, and 5 less at three million."""

LARGEST_NSR = nsr.VALID_BELOW
"""Largest noise-to-signal ratio that a goal may be: up to it the closed forms hold."""

_LEAST_VRR = 0.95

_MOST_DRIFT = 0.1
"""Of sums that `floor` moves down, in their standard deviations: from here on a plan says so."""


@dataclass(frozen=True, init=False)
class Goal:
    """What an accumulator is for, the length aside.

    Parameters:
        a, b: formats of the operands, or their strings.
        chunk: products a chunk; None: no chunks; `auto`: the power of two that is best, near sqrt(length), with
            `floor` near (4 length)^(1/3).
        rounding: of the adder, as in MacSpec.
        nsr: largest noise-to-signal ratio accepted, above 0 and at most `LARGEST_NSR`.
        limit: of v(n) in the VRR's criterion.
        reading: of that criterion for chunks, `per-level` (the paper's practice) or `total` (the safe one).
        overflow_probability: of an overflow in one dot product, above 0 and at most 0.5.

    Raises:
        MacgenError: a field is refused.
    """

    a: Format
    b: Format
    chunk: int | Literal["auto"] | None
    rounding: Rounding
    nsr: float
    limit: float
    reading: variance.Reading
    overflow_probability: float

    def __init__(
        self,
        *,
        a: Format | str = "e5m2",
        b: Format | str = "e5m2",
        chunk: int | Literal["auto"] | None = None,
        rounding: Rounding | str = "rne",
        nsr: float = DEFAULT_NSR,
        limit: float = variance.LIMIT,
        reading: variance.Reading = "per-level",
        overflow_probability: float = exponent.OVERFLOW_PROBABILITY,
    ) -> None:
        self.__dict__.update(  # the instance is frozen
            a=as_format("a", a),
            b=as_format("b", b),
            chunk=chunk,
            rounding=Rounding(rounding),
            nsr=nsr,
            limit=limit,
            reading=reading,
            overflow_probability=overflow_probability,
        )
        check_operand("a", self.a)
        check_operand("b", self.b)
        if chunk is not None and chunk != "auto":
            check_integer("chunk", chunk, 1, MAX_CHUNK)
        check_real("nsr", nsr, 0, LARGEST_NSR)
        check_real("limit", limit, 1, variance.MOST_LIMIT)
        variance.check_reading(reading)
        check_real("overflow_probability", overflow_probability, 0, 0.5)

    @property
    def formats(self) -> tuple[Format, Format]:
        """Both operands' formats."""
        return self.a, self.b

    @property
    def product_man_bits(self) -> int:
        """m_p: mantissa bits of an exact product, without the hidden one."""
        return max(ValueRange.of_products(*self.formats).precision - 1, 1)

    def chunk_for(self, length: int) -> int | None:
        """Return the chunk length for a dot product."""
        if self.chunk == "auto":
            best = flooring.best_chunk if self.rounding == "floor" else nsr.best_chunk
            return min(best(length), MAX_CHUNK)
        return self.chunk


@dataclass(frozen=True, kw_only=True)
class Sum:
    """A dot product to plan for.

    Parameters:
        length: products, 1 to 2**40.
        nzr: share of products that are not zero, above 0 and at most 1.
        rms: of the products, zeros included; None: `exponent.default_rms` of both operands times sqrt(nzr).
        weight_l1: largest sum of the magnitudes of one output's integer weights (b), if known.
        weight_range: largest magnitude of the sum of one output's negative integer weights and largest sum of its
            positive ones, if known; not without weight_l1.
        reach: lowest and highest of the operands a and b as their formats are to carry them, if known.

    Raises:
        MacgenError: a field is refused.
    """

    length: int
    nzr: float = 1.0
    rms: float | None = None
    weight_l1: int | None = None
    weight_range: tuple[int, int] | None = None
    reach: tuple[bounds.Range | None, bounds.Range | None] = (None, None)

    def __post_init__(self) -> None:
        check_integer("length", self.length, 1, MAX_LENGTH)
        check_real("nzr", self.nzr, 0, 1)
        if self.rms is not None:
            check_real("rms", self.rms, 0, sys.float_info.max)
        if self.weight_l1 is not None:
            check_integer("weight_l1", self.weight_l1, 0)
        for norm in self.weight_range or ():
            check_integer("weight_range", norm, 0)
        for reach in self.reach:
            if reach is not None:
                bounds.check_range("reach", reach)

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
        return why_chunk(self.chunk, self.sum.length, self.goal.rounding)

    def spec(self) -> MacSpec:
        """Return a spec with the chosen accumulator."""
        a, b = self.goal.formats
        return MacSpec(a=a, b=b, acc=self.chosen.acc, chunk=self.chunk, rounding=self.goal.rounding)


def why_chunk(chunk: int, length: int, rounding: str) -> str:
    """Return, as a clause, why an automatic chunk length is what it is."""
    if rounding == "floor":
        return f"of all powers of two, {chunk} makes the drift of {length} products by floor least; chunks drift alike"
    grows = "truncation's noise grows with nearly its square" if rounding == "rtz" else "the noise grows with it"
    least = chunk + -(-length // chunk)
    return f"of all powers of two, {chunk} makes chunk + ceil({length} / chunk) = {least} least; {grows}"


@lru_cache(maxsize=4096)
def plan(goal: Goal, dot: Sum) -> Plan:
    """Return the smallest accumulator of each method for a dot product, and the one that decides.

    Two fixed-point operands: the exact bound decides, or that of the known weights if smaller. Otherwise the
    rounding says which method is right: `rne` the closed form of its noise, `drop` the VRR unless its noise asks for
    more, `rtz` and `floor` the closed form of what they take off every sum.

    Raises:
        MacgenError: no accumulator of macgen is wide enough.
    """
    chunk = goal.chunk_for(dot.length)
    answers = list(_exact_answers(goal, dot))
    deciding = {item.method: item for item in answers}
    if all(isinstance(fmt, FixedFormat) for fmt in goal.formats):
        chosen = min(answers, key=lambda item: item.acc.width)  # of equal ones the first, that of the weights
        return Plan(goal, dot, chunk, tuple(answers), chosen, tuple(_beyond(goal, dot)))
    for part in dict.fromkeys((None, chunk)):
        answers += list(_float_answers(goal, dot, part))
    deciding |= {item.method: item for item in answers if item.chunk == chunk}
    chosen = deciding["noise"]
    if goal.rounding == "drop":
        chosen = max(deciding["vrr"], chosen, key=lambda answer: answer.acc.width)
    return Plan(
        goal, dot, chunk, tuple(answers), chosen, (*_beyond(goal, dot), *_warnings(goal, dot, chunk, deciding, chosen))
    )


def _exact_answers(goal: Goal, dot: Sum) -> Iterator[Answer]:
    """Yield the fixed-point accumulators that lose nothing, as far as macgen builds them."""
    a, b = goal.formats
    if dot.weight_l1 is not None and isinstance(a, FixedFormat) and isinstance(b, FixedFormat) and _weights_fit(b, dot):
        frac_bits, signed = a.frac_bits + b.frac_bits, a.signed or b.signed
        by_sign = dot.weight_range if b.signed else (0, dot.weight_l1)
        int_bits, held = (
            bounds.a2q_bits_of_weights(dot.weight_l1, a),
            f"A2Q's bound for sum |w| = {shown(dot.weight_l1)}",
        )
        if by_sign is not None:
            int_bits = bounds.bits(_range_of_weights(dot.weight_l1, by_sign, bounds.operand_range(a)), signed)
            held = f"holds every sum of weights with sum |w| = {shown(dot.weight_l1)}"
        int_bits -= frac_bits
        if (least := least_int_bits(a, b, frac_bits=frac_bits, signed=signed)) > int_bits:
            int_bits, held = least, "holds every product"
        if int_bits + frac_bits <= MAX_WIDTH:
            yield Answer("weights", None, FixedFormat(int_bits, frac_bits, signed), held)
    try:
        yield Answer("exact", None, bounds.exact_format(a, b, dot.length), f"holds every sum of {dot.length} products")
    except MacgenError:
        return


def _weights_fit(b: FixedFormat, dot: Sum) -> bool:
    """Whether known weights are within their format: of others it is not known what the array is given."""
    negative = dot.weight_range is not None and dot.weight_range[0] > 0
    reach = dot.reach[1]
    return (reach is None or bounds.holds(b, reach)) and (b.signed or not negative)


def _range_of_weights(l1: int, weights: tuple[int, int], x: bounds.Range) -> bounds.Range:
    """Return what sums of outputs lie between whose weights have these largest sums, of magnitudes and by sign."""
    negative, positive = weights
    reach = l1 * max(map(abs, x))
    low, high = positive * min(x[0], 0) - negative * x[1], positive * x[1] - negative * min(x[0], 0)
    return max(low, -reach), min(high, reach)


def _float_answers(goal: Goal, dot: Sum, chunk: int | None) -> Iterator[Answer]:
    """Yield what the statistical methods ask for."""
    n = dot.length
    inner = chunk if chunk is not None and chunk < n else None  # one chunk is none
    man_bits = variance.min_man_bits(n, goal.product_man_bits, inner, dot.nzr, goal.reading, goal.limit)
    criterion = f"v < {goal.limit:g}" if inner is None else f"v < {goal.limit:g}, {goal.reading}"
    yield _float_answer("vrr", goal, dot, chunk, man_bits, criterion)
    counted, counted_chunk = dot.nonzero(chunk)
    if (least := _noise(goal, counted, MAX_MAN_BITS, counted_chunk)) > goal.nsr:
        raise MacgenError(
            f"nsr {goal.nsr:g} asks for more than {MAX_MAN_BITS} mantissa bits at length {n}; accepted are ratios "
            f"from {significant(least, 2)}"
        )
    match goal.rounding.kind:
        case RoundingKind.RTZ:
            man_bits = truncation.min_man_bits(counted, goal.nsr, counted_chunk)
        case RoundingKind.FLOOR:
            man_bits = flooring.min_man_bits(counted, goal.nsr, counted_chunk)
        case _:
            man_bits = nsr.min_man_bits(counted, goal.nsr, goal.rounding, counted_chunk)
    text = f"NSR {significant(_noise(goal, counted, man_bits, counted_chunk), 2)}"
    text += {"rtz": ", each sum truncated", "floor": ", each sum rounded down"}.get(goal.rounding, "")
    yield _float_answer("noise", goal, dot, chunk, man_bits, f"{text}, at most {goal.nsr:g}")


def _noise(goal: Goal, n: int, man_bits: int, chunk: int | None) -> float:
    """Return the noise-to-signal ratio of a goal's rounding by its closed form."""
    if goal.rounding == "rtz":
        return truncation.nsr(n, man_bits, chunk)
    if goal.rounding == "floor":
        return flooring.nsr(n, man_bits, chunk)
    return nsr.estimate(n, man_bits, goal.rounding, chunk).nsr


def _float_answer(method: Method, goal: Goal, dot: Sum, chunk: int | None, man_bits: int, reason: str) -> Answer:
    if man_bits > MAX_MAN_BITS:
        raise MacgenError(
            f"length {dot.length} asks for {man_bits} mantissa bits by {method}; accepted are up to {MAX_MAN_BITS}"
        )
    a, b = goal.formats
    needed = exponent.choose(
        a,
        b,
        dot.length,
        man_bits,
        chunk=chunk,
        rms=dot.rms,
        nzr=dot.nzr,
        probability=goal.overflow_probability,
    )
    return Answer(method, chunk, FloatFormat(needed.bits, man_bits), f"mantissa: {reason}; exponent: {needed.reason}")


def _beyond(goal: Goal, dot: Sum) -> Iterator[str]:
    """Yield which fixed-point formats do not hold their operands."""
    for name, fmt, reach in zip("ab", goal.formats, dot.reach, strict=True):
        if not isinstance(fmt, FixedFormat):
            continue
        limits = f"{name} {fmt}, which holds {fmt.min:.10g} to {fmt.max:.10g}: the plan is for operands that fit"
        if reach is not None and not bounds.holds(fmt, reach):
            yield f"operands reach from {reach[0]} to {reach[1]}, beyond {limits}"
        elif name == "b" and not _weights_fit(fmt, dot):
            yield f"weights are negative, beyond {limits}"


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
            f"{dot.length} products keeps {kept:.0%} of its variance (NSR {significant(lost, 2)}); "
            f"it takes {noise} bits, with rne {nsr.min_man_bits(counted, goal.nsr, 'rne', counted_chunk)}"
        )
    rne = nsr.min_man_bits(counted, goal.nsr, "rne", counted_chunk)
    if goal.rounding == "floor" and (low := flooring.drift(counted, vrr, counted_chunk)) > _MOST_DRIFT:
        yield (
            f"floor rounds every sum down: with the {vrr} mantissa bits that VRR accepts, sums of {dot.length} "
            f"products are on average {significant(low, 2)} of their standard deviation too low; it takes {noise} "
            f"bits, with rne {rne}"
        )
    if goal.rounding == "drop" and max(vrr, noise) > rne:
        kept = variance.vrr(rne, goal.product_man_bits, dot.length, chunk, dot.nzr)
        lost = nsr.estimate(counted, rne, "drop", counted_chunk).nsr
        yield (
            f"drop loses what it shifts out: with the {rne} mantissa bits that rne needs, a sum of {dot.length} "
            f"products keeps {kept:.1%} of its variance by the VRR (NSR up to {significant(lost, 2)}); it takes "
            f"{max(vrr, noise)} bits"
        )
