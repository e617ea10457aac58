"""Matrix products and dot products on vector kernels: packing, plan, blocks of bounded memory."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.emulate.integer_plan import IntegerPlan, choose_integers
from macgen.emulate.operands import Operand, Seen, available
from macgen.emulate.random_numbers import States
from macgen.emulate.references import by_exponents
from macgen.emulate.value_range import OperandFacts
from macgen.emulate.vector_kernel import Block, Kernel
from macgen.emulate.vector_plan import PLANNED, VectorPlan, choose_vectors
from macgen.spec import MacSpec

Values = NDArray[np.float64]

OPERAND_BYTES = 12 << 20
"""Most memory of a block's operand as a kernel takes it."""

BLOCK_PRODUCTS = 2048
"""Products of a block where all of them are too many."""

CARRIED_SIDE = 1024
"""Rows and columns of a block whose sums are carried to the next products."""


COMPILED_FROM = 1 << 22
"""Multiply-accumulates of a spec in this process from which it gets a kernel of its own.

A compile takes as much processor time as 14 to 28 million on the exact kernel: 0.2 to 0.3 s, where one takes 9 to
17 ns. Kernels are kept, so it pays well before that; less than this number is done in hundredths of a second."""


class OffGridError(Exception):
    """Some value is not clearly on its format's grid: the caller looks closer."""


@dataclass(frozen=True)
class Problem:
    """A matrix product, or independent dot products of pairs of rows.

    Attributes:
        spec: the array.
        left: (rows, K).
        right: (columns, K); of pairs as many rows as `left`.
        pairs: whether row t of the left one goes with row t of the right one only.
        scales: (rows, chunks) and (columns, chunks), where the spec has any.
        states: (rows, columns), of pairs (1, rows), of random numbers, where the spec has any.
        threads: how many.
    """

    spec: MacSpec
    left: Operand
    right: Operand
    pairs: bool
    scales: tuple[Values, Values] | None
    states: States | None
    threads: int

    @property
    def length(self) -> int:
        """Products in one result."""
        return int(self.left.array.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of results."""
        lines = int(self.right.array.shape[0])
        return (1 if self.pairs else int(self.left.array.shape[0])), lines

    def turned(self) -> "Problem":
        """Return the transposed matrix product; products commute."""
        scales = None if self.scales is None else (self.scales[1], self.scales[0])
        states = None if self.states is None else self.states.T
        return Problem(_mirrored(self.spec), self.right, self.left, False, scales, states, self.threads)

    def filled(self) -> "Problem":
        """Return the problem with zeros in place of what the last block lacks, where lanes have scales."""
        missing = -self.length % (self.spec.block or 1)
        if not missing:
            return self
        left, right = (Operand(np.pad(of.array, ((0, 0), (0, missing))), of.fmt) for of in (self.left, self.right))
        return replace(self, left=left, right=right)


@lru_cache(1024)
def _mirrored(spec: MacSpec) -> MacSpec:
    """Return the spec with its operands' formats exchanged."""
    return spec.replace(a=spec.b, b=spec.a, modes=())


@dataclass(frozen=True)
class Part:
    """The rows, columns and products of a block."""

    rows: slice
    columns: slice
    products: slice


def compute(problem: Problem) -> Values | None:
    """Return the outer accumulators (rows, columns).

    None where no plan is proved, there is no compiler, or so little is to be computed that compiling would take longer.

    Raises:
        OffGridError: some value is not clearly on its format's grid.
    """
    rows, columns = problem.shape
    _asked[problem.spec] = asked = _asked.get(problem.spec, 0) + rows * columns * problem.length
    if asked < COMPILED_FROM or not available():
        return None
    return _computed(problem)


_asked: dict[MacSpec, int] = {}


def _computed(problem: Problem) -> Values | None:
    problem = problem.filled()
    rows, columns = problem.shape
    if not problem.pairs and columns < min(rows, 64):  # long rows of results fill vectors
        turned = _computed(problem.turned())
        return None if turned is None else turned.T
    layout = _layouts.get((problem.spec, problem.pairs))
    parts = list(_parts(problem, layout))
    one_by_one = layout is not None and parts[0].products.stop == problem.length
    if not one_by_one:
        choice = _choice(problem, problem.left.look(problem.threads), problem.right.look(problem.threads))
    values, carry, packed = np.empty((rows, columns)), None, None
    for part in parts:
        if one_by_one and layout is not None:  # packed as it was last time, which is seldom in vain
            packed = _pack(problem, part, layout, packed)
            choice = _choice(problem, *packed.seen)
        if choice is None:
            return None
        plan, kernel, layout = choice
        packed = _pack(problem, part, layout, packed)
        results = values[part.rows, part.columns]
        if carry is None and part.products.stop < problem.length:
            carry = np.empty(kernel.tiles(*results.shape) * kernel.carry, np.uint8)
        block = Block(
            *_by_exponents(problem, packed, part),
            results,
            _scales(problem, plan, kernel.width, part),
            None if problem.states is None else problem.states[part.rows, part.columns],
            carry,
            part.products.start,
            part.products.stop,
            problem.length,
        )
        kernel.run(problem.spec, plan, block, pairs=problem.pairs, threads=problem.threads)
    assert layout is not None
    _layouts[problem.spec, problem.pairs] = layout
    return values


@dataclass(frozen=True)
class Layout:
    """How operands are packed: the type, the width of panels, what values are multiplied with."""

    dtype: Any
    width: int
    scales: tuple[float, float]


_layouts: dict[tuple[MacSpec, bool], Layout] = {}  # of the last call: most calls of a spec are alike


def _parts(problem: Problem, layout: Layout | None) -> Iterator[Part]:
    """Cut a problem into blocks of bounded memory, which a layout says or else the longest type."""
    (rows, columns), length, lanes = problem.shape, problem.length, problem.spec.lanes
    size = 8 if layout is None else np.dtype(layout.dtype).itemsize
    products = length
    if length > BLOCK_PRODUCTS and size * length * max(rows, columns) > OPERAND_BYTES:
        products = BLOCK_PRODUCTS // math.lcm(lanes, 2) * math.lcm(lanes, 2)
    lines = max(OPERAND_BYTES // (size * products), 1)
    lines = max(lines // 256 * 256, 256)
    if products < length:
        lines = min(lines, CARRIED_SIDE * CARRIED_SIDE if problem.pairs else CARRIED_SIDE)
    for left in range(0, columns, lines):
        for top in range(0, rows, lines):
            for first in range(0, length, products):
                yield Part(
                    slice(top, min(top + lines, rows)),
                    slice(left, min(left + lines, columns)),
                    slice(first, min(first + products, length)),
                )


Choice = tuple[VectorPlan | IntegerPlan, Kernel, Layout]


def _choice(problem: Problem, left: Seen, right: Seen) -> Choice | None:
    """Return how to compute what was seen.

    Raises:
        OffGridError: some value is not clearly on its format's grid.
    """
    if left.off_grid or right.off_grid:
        raise OffGridError
    plan = _plan(problem, left, right)
    kernel = None if plan is None else Kernel.of(problem.spec, plan, pairs=problem.pairs)
    if plan is None or kernel is None:
        return None
    return plan, kernel, Layout(plan.dtype, kernel.width, plan.scales)


Lines = tuple[slice, slice]
"""Some lines of an operand, and some products of them."""


@dataclass(frozen=True)
class _Packed:
    """Operands as a kernel takes them, how and of what, and what was seen of them."""

    layout: Layout
    of_left: Lines
    of_right: Lines
    left: NDArray[Any]
    panels: NDArray[Any]
    seen: tuple[Seen, Seen]


def _pack(problem: Problem, part: Part, layout: Layout, before: _Packed | None) -> _Packed:
    """Pack a block's operands; those that were packed before it are taken if they are the same."""
    of_right = part.columns, part.products
    of_left = of_right if problem.pairs else (part.rows, part.products)
    if before is not None and before.layout != layout:
        before = None
    if before is not None and before.of_left == of_left:
        left, seen_left = before.left, before.seen[0]
    else:
        lines, packing = problem.left.part(*of_left), (problem.threads, layout.scales[0])
        if problem.pairs:
            left, seen_left = lines.panels(layout.dtype, layout.width, *packing)
        else:
            left, seen_left = lines.rows(layout.dtype, *packing)
    if before is not None and before.of_right == of_right:
        panels, seen_right = before.panels, before.seen[1]
    else:
        lines = problem.right.part(*of_right)
        panels, seen_right = lines.panels(layout.dtype, layout.width, problem.threads, layout.scales[1])
    return _Packed(layout, of_left, of_right, left, panels, (seen_left, seen_right))


Exponents = NDArray[Any]


def _by_exponents(
    problem: Problem, packed: _Packed, part: Part
) -> tuple[NDArray[Any], NDArray[Any], tuple[Exponents, Exponents] | None]:
    """Return packed operands, times the scales of their lanes, and where steps are aligned by them their exponents."""
    spec = problem.spec
    if spec.exponent_bits is None:
        return packed.left, packed.panels, None
    scales: tuple[Values | None, Values | None] = None, None
    if problem.scales is not None and spec.block is not None:
        blocks = slice(part.products.start // spec.block, -(-part.products.stop // spec.block))
        lines = part.columns if problem.pairs else part.rows
        scales = problem.scales[0][lines, blocks], problem.scales[1][part.columns, blocks]
    of_left, of_panels = (
        by_exponents(spec, operand.fmt, values, of, problem.threads)
        for operand, values, of in zip((problem.left, problem.right), (packed.left, packed.panels), scales, strict=True)
    )
    return of_left[0], of_panels[0], (of_left[1], of_panels[1])


def _scales(
    problem: Problem, plan: VectorPlan | IntegerPlan, width: int, part: Part
) -> tuple[NDArray[Any], NDArray[Any]] | None:
    if problem.scales is None or problem.spec.scales_lanes or isinstance(plan, IntegerPlan) or plan.outer is None:
        return None
    dtype = plan.outer.carrier.dtype

    def of_columns(values: Values) -> NDArray[Any]:
        some = values[part.columns].T
        filled = np.zeros((some.shape[0], -(-some.shape[1] // width) * width), dtype)
        filled[:, : some.shape[1]] = some
        return filled

    of_left, of_right = problem.scales
    if problem.pairs:
        return of_columns(of_left), of_columns(of_right)
    return np.ascontiguousarray(of_left[part.rows], dtype), of_columns(of_right)


def _plan(problem: Problem, left: Seen, right: Seen) -> VectorPlan | IntegerPlan | None:
    """Return the plan for what was seen, by a little coarser figures: most calls of a spec then have the same."""
    most = min(left.sum, problem.length * left.facts.largest)
    bound = _rounded_up(most * right.facts.largest) if right.facts.largest else 0.0
    scales: tuple[OperandFacts, ...] = ()
    if problem.scales is not None:
        scales = tuple(map(_facts_of, problem.scales))
    facts = (_coarse(left.facts), _coarse(right.facts), *map(_coarse, scales))
    return _chosen(problem.spec, problem.length, facts[0], facts[1], bound, facts[2:])


@lru_cache(1024)
def _chosen(
    spec: MacSpec, length: int, a: OperandFacts, b: OperandFacts, bound: float, scales: tuple[OperandFacts, ...]
) -> VectorPlan | IntegerPlan | None:
    if spec.lane_sum.kind not in PLANNED:
        return None
    return choose_integers(spec, length, a, b, bound) or choose_vectors(spec, length, a, b, bound, scales)


def _rounded_up(bound: float) -> float:
    """Return an eighth of an octave, or little more, above a bound."""
    if not 0 < bound < 2.0**1000:
        return 0.0 if bound == 0 else math.inf
    return float(2.0 ** (math.ceil(8 * math.log2(bound) + 2.0**-10) / 8))


def _coarse(facts: OperandFacts) -> OperandFacts:
    """Return facts by powers of two."""
    least = math.ldexp(1.0, math.frexp(facts.least)[1] - 1) if facts.least < math.inf else math.inf
    largest = math.ldexp(1.0, math.frexp(facts.largest)[1] - 1)  # only its binade matters
    return OperandFacts(least, largest if facts.largest else 0.0, facts.finite)


def _facts_of(values: Values) -> OperandFacts:
    magnitudes = np.abs(values)
    finite = np.isfinite(magnitudes)
    numbers = magnitudes[finite]
    largest = float(numbers.max(initial=0.0))
    least = float(numbers[numbers > 0].min(initial=math.inf))
    return OperandFacts(least, largest, bool(finite.all()))
