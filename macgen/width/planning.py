"""The smallest accumulator for a length: what each method asks for, which of them decides, and why."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

from macgen.errors import MacgenError, check_type, shown, significant
from macgen.numerics import MAX_MAN_BITS, FixedFormat, FloatFormat, Format, RoundingKind
from macgen.numerics.fixed_format import MAX_WIDTH
from macgen.spec import MacSpec
from macgen.width.checks import check_real
from macgen.width.formulas import exponents, noise, ranges, retention
from macgen.width.formulas.chunks import nonzero
from macgen.width.formulas.noise import closed_form
from macgen.width.goal import Goal, Sum, why_chunk
from macgen.width.outer import Verdict, judge

Method = Literal["vrr", "noise", "exact", "weights", "monte-carlo"]
"""`vrr`: variance retention ratio, the adder that aligns and drops; `noise`: the closed form of the rounding's own
noise; `exact`: no information lost, whatever the operands; `weights`: the same for known integer weights;
`monte-carlo`: the bit-exact accumulator on random operands."""

_LEAST_VRR = 0.95

_MOST_DRIFT = 0.1
"""Of sums that `floor` moves down, in their standard deviations: from here on a plan says so."""


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
        answers: of every method that applies, without chunks and, if there are some, with them; with an outer
            accumulator those for a chunk's sum.
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

    @property
    def summed(self) -> Sum:
        """The sum that the accumulator takes: with an outer one a chunk's, else the dot product."""
        return _summed(self.goal, self.sum, self.chunk)[0]

    @property
    def outer(self) -> Verdict | None:
        """Whether the outer accumulator is wide enough; None without one."""
        return judge(self.spec(), self.sum)

    def spec(self) -> MacSpec:
        """Return a spec with the chosen accumulator.

        Raises:
            MacgenError: the outer accumulator does not go with it.
        """
        a, b = self.goal.formats
        return MacSpec(
            a=a, b=b, acc=self.chosen.acc, chunk=self.chunk, outer=self.goal.outer, rounding=self.goal.rounding
        )


def plan(goal: Goal, dot: Sum) -> Plan:
    """Return the smallest accumulator of each method for a dot product, and the one that decides.

    Two fixed-point operands: the exact bound decides, or that of the known weights if smaller. Otherwise the
    rounding says which method is right: `rne` the closed form of its noise, `drop` the VRR unless its noise asks for
    more, `rtz` and `floor` the closed form of what they take off every sum.

    Raises:
        MacgenError: no accumulator of macgen is wide enough, or the outer one does not go with it.
    """
    check_type("goal", goal, Goal, "a Goal")
    check_type("dot", dot, Sum, "a Sum")
    return _plan(goal, dot)


@lru_cache(maxsize=4096)
def _plan(goal: Goal, dot: Sum) -> Plan:
    chunk = goal.chunk_for(dot.length)
    planned = Plan(goal, dot, chunk, *_answers(goal, *_summed(goal, dot, chunk)))
    if (verdict := planned.outer) is not None and not verdict.holds:
        return replace(planned, warnings=(*planned.warnings, verdict.reason))
    return planned


def _summed(goal: Goal, dot: Sum, chunk: int | None) -> tuple[Sum, int | None]:
    """Return what the accumulator sums, and in chunks of how many."""
    if goal.outer is None or chunk is None:
        return dot, chunk
    return replace(dot, length=min(chunk, dot.length)), None


def _answers(goal: Goal, dot: Sum, chunk: int | None) -> tuple[tuple[Answer, ...], Answer, tuple[str, ...]]:
    """Return every method's answer, the one that decides, and warnings."""
    answers = list(_exact_answers(goal, dot))
    deciding = {item.method: item for item in answers}
    if all(isinstance(fmt, FixedFormat) for fmt in goal.formats):
        if not answers:
            ranges.exact_format(*goal.formats, dot.length)  # says why there is none
        chosen = min(answers, key=lambda item: item.acc.width)  # of equal ones the first, that of the weights
        return tuple(answers), chosen, tuple(_beyond(goal, dot))
    for part in dict.fromkeys((None, chunk)):
        answers += list(_float_answers(goal, dot, part))
    deciding |= {item.method: item for item in answers if item.chunk == chunk}
    chosen = deciding["noise"]
    if goal.rounding == "drop":
        chosen = max(deciding["vrr"], chosen, key=lambda answer: answer.acc.width)
    return tuple(answers), chosen, (*_beyond(goal, dot), *_warnings(goal, dot, chunk, deciding, chosen))


def _exact_answers(goal: Goal, dot: Sum) -> Iterator[Answer]:
    """Yield the fixed-point accumulators that lose nothing, as far as macgen builds them."""
    a, b = goal.formats
    sums = dot.range_by_weights(a, b)
    if sums is not None and isinstance(a, FixedFormat) and isinstance(b, FixedFormat):
        frac_bits, signed = a.frac_bits + b.frac_bits, a.signed or b.signed
        products = ranges.sum_range(ranges.operand_range(a), ranges.operand_range(b), 1)
        width, held = ranges.bits(sums, signed), f"holds every sum of weights with sum |w| = {shown(dot.weight_l1)}"
        if (least := ranges.bits(products, signed)) > width:
            width, held = least, "holds every product"
        int_bits = width - frac_bits
        if width <= MAX_WIDTH and max(abs(int_bits), abs(frac_bits)) <= MAX_WIDTH:
            yield Answer("weights", None, FixedFormat(int_bits, frac_bits, signed), held)
    try:
        yield Answer("exact", None, ranges.exact_format(a, b, dot.length), f"holds every sum of {dot.length} products")
    except MacgenError:
        return


def _float_answers(goal: Goal, dot: Sum, chunk: int | None) -> Iterator[Answer]:
    """Yield what the statistical methods ask for."""
    n = dot.length
    inner = chunk if chunk is not None and chunk < n else None  # one chunk is none
    man_bits = retention.least_man_bits(n, goal.product_man_bits, inner, dot.nzr, goal.reading, goal.limit)
    criterion = f"v < {goal.limit:g}" if inner is None else f"v < {goal.limit:g}, {goal.reading}"
    yield _float_answer("vrr", goal, dot, chunk, man_bits, criterion)
    counted, counted_chunk = nonzero(dot.length, chunk, dot.nzr)
    form = closed_form(goal.rounding.kind)
    if (least := form.nsr(counted, MAX_MAN_BITS, counted_chunk)) > goal.nsr:
        raise MacgenError(
            f"nsr {goal.nsr:g} asks for more than {MAX_MAN_BITS} mantissa bits at length {n}; accepted are ratios "
            f"from {significant(least, 2)}"
        )
    man_bits = form.least_man_bits(counted, goal.nsr, counted_chunk)
    text = f"NSR {significant(form.nsr(counted, man_bits, counted_chunk), 2)}"
    if form.leans:
        text += f", {form.what}"
    yield _float_answer("noise", goal, dot, chunk, man_bits, f"{text}, at most {goal.nsr:g}")


def _float_answer(method: Method, goal: Goal, dot: Sum, chunk: int | None, man_bits: int, reason: str) -> Answer:
    if man_bits > MAX_MAN_BITS:
        raise MacgenError(
            f"length {dot.length} asks for {man_bits} mantissa bits by {method}; accepted are up to {MAX_MAN_BITS}"
        )
    a, b = goal.formats
    rms = exponents.products_rms(a, b, dot.nzr) if dot.rms is None else dot.rms
    rms = check_real("rms", rms, 0, sys.float_info.max)  # 1-bit operands have none
    needed = exponents.least_exponent(a, b, dot.length, man_bits, chunk, rms, dot.nzr, goal.overflow_probability)
    return Answer(method, chunk, FloatFormat(needed.bits, man_bits), f"mantissa: {reason}; exponent: {needed.reason}")


def _beyond(goal: Goal, dot: Sum) -> Iterator[str]:
    """Yield which fixed-point formats do not hold their operands."""
    for name, fmt, reach in zip("ab", goal.formats, dot.reach, strict=True):
        if not isinstance(fmt, FixedFormat):
            continue
        grid = f"multiples of {1 << fmt.lsb_exponent} from " if fmt.lsb_exponent > 0 else ""
        limits = f"{name} {fmt}, which holds {grid}{fmt.min:.10g} to {fmt.max:.10g}: the plan is for operands that fit"
        if reach is not None and not ranges.carries(fmt, reach):
            yield f"operands reach from {reach[0]} to {reach[1]}, beyond {limits}"
        elif name == "b" and not dot.weights_fit(fmt):
            yield f"weights are negative, beyond {limits}"


def _warnings(goal: Goal, dot: Sum, chunk: int | None, answers: dict[Method, Answer], chosen: Answer) -> Iterator[str]:
    """Yield what VRR does not say about the rounding, and where a fixed-point accumulator would be exact for free."""
    if (exact := answers.get("exact")) is not None and exact.acc.width <= chosen.acc.width:
        yield f"acc {exact.acc} {exact.reason} in {exact.acc.width} bits, no more than {chosen.acc} has"
    vrr, quiet = answers["vrr"].man_bits, answers["noise"].man_bits
    assert vrr is not None
    assert quiet is not None
    counted, counted_chunk = nonzero(dot.length, chunk, dot.nzr)
    rne = closed_form(RoundingKind.RNE).least_man_bits(counted, goal.nsr, counted_chunk)
    lost = closed_form(goal.rounding.kind).nsr(counted, vrr, counted_chunk)
    if goal.rounding == "rtz" and (kept := noise.kept_by_truncation(counted, vrr, counted_chunk)) < _LEAST_VRR:
        yield (
            f"rtz truncates every sum toward zero: with the {vrr} mantissa bits that VRR accepts, a sum of "
            f"{dot.length} products keeps {kept:.0%} of its variance (NSR {significant(lost, 2)}); "
            f"it takes {quiet} bits, with rne {rne}"
        )
    if goal.rounding == "floor" and (low := noise.drift(counted, vrr, counted_chunk)) > _MOST_DRIFT:
        yield (
            f"floor rounds every sum down: with the {vrr} mantissa bits that VRR accepts, sums of {dot.length} "
            f"products are on average {significant(low, 2)} of their standard deviation too low; it takes {quiet} "
            f"bits, with rne {rne}"
        )
    if goal.rounding == "drop" and max(vrr, quiet) > rne:
        kept = 1 - retention.loss(rne, goal.product_man_bits, dot.length, chunk, dot.nzr)
        lost = closed_form(goal.rounding.kind).nsr(counted, rne, counted_chunk)
        yield (
            f"drop loses what it shifts out: with the {rne} mantissa bits that rne needs, a sum of {dot.length} "
            f"products keeps {kept:.1%} of its variance by the VRR (NSR up to {significant(lost, 2)}); it takes "
            f"{max(vrr, quiet)} bits"
        )
