"""One MacSpec's arithmetic, sentence by sentence as in docs/arithmetic.md sections 2 to 5."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import cast

from macgen.golden.draws import random_numbers
from macgen.golden.exact import (
    CACHED_CODES,
    cut_all,
    cut_all_to_odd,
    decoder,
    exact_sum,
    is_zero,
    largest_exponent,
    multiply,
)
from macgen.golden.terms import Term, Terms, reference_exponent
from macgen.numerics import (
    Flags,
    FloatFormat,
    Format,
    LaneSumKind,
    Number,
    Overflow,
    Rounding,
    RoundingKind,
)
from macgen.spec import MacSpec, check_spec

_NO_FLAGS, _OVERFLOW, _UNDERFLOW, _INVALID = 0, int(Flags.OVERFLOW), int(Flags.UNDERFLOW), int(Flags.INVALID)

Result = tuple[int, int]
"""A code and its flags as a plain integer."""


Events = tuple[bool, bool, bool]
"""Whether an addition saturated, was flushed, was swamped: `numerics.events.EVENTS`."""

Tally = tuple[list[int], list[int]]
"""Counts of these, of steps and of folds."""


class Model:
    """The golden model of one spec, for callers that take very many steps; `golden.step` and its like check more.

    Its methods take codes as Python integers and return flags as plain integers (bits of `Flags`); they raise
    MacgenError for a code that its format does not have. Random numbers are those of stochastic rounding, of the one
    place that has it.

    Parameters:
        spec: the array; rows, cols, interleave, pipeline and fold do not change the result of a dot product but for
            its random numbers.

    Raises:
        MacgenError: spec is none.
    """

    def __init__(self, spec: MacSpec) -> None:
        check_spec(spec)
        self.spec = spec
        self._acc = RoundedSum(spec.acc, spec.rounding, spec.overflow_into(spec.acc))
        folding = spec.fold_rounding if spec.has_outer_adder else spec.rounding
        self._outer = RoundedSum(spec.outer_format, folding, spec.overflow_into(spec.outer_format), "outer")
        self._out = RoundedSum(spec.out_format, spec.fold_rounding, spec.overflow_into(spec.out_format))
        self._rounded_product: RoundedSum | None = None
        if spec.product is not None:
            self._rounded_product = RoundedSum(spec.product, spec.rounding, spec.overflow_into(spec.product))
        self._decode_a = decoder("a", spec.a)
        self._decode_b = decoder("b", spec.b)
        few = 1 << spec.a.width + spec.b.width <= CACHED_CODES
        self._product = lru_cache(CACHED_CODES)(self._multiply) if few else self._multiply
        self._decode_scale = decoder("scale", spec.scale) if spec.scale is not None else None
        self._adds_by_tree = spec.lane_sum.kind is LaneSumKind.TREE and spec.lanes > 1
        self._aligned_bits = spec.aligned_bits
        by_exponents = spec.exponent_bits is not None or spec.bulk_bits is not None
        self._terms = Terms(spec) if by_exponents else None
        self._draws_in_steps = spec.random_place == "steps"
        self._draws_in_chunks = spec.random_place == "chunks"
        self._draws_in_out = spec.random_place == "out"

    # -- section 2: chunks and steps -----------------------------------------------------------------------------

    def step(
        self,
        acc_code: int,
        a: int | Sequence[int],
        b: int | Sequence[int],
        random: int = 0,
        a_scales: Sequence[int] = (),
        b_scales: Sequence[int] = (),
    ) -> Result:
        """Return R(accumulator + products), with one code of each operand, or one for each lane in use, and the codes
        of their blocks' scales with `scale_place = lanes`."""
        code, before, raised, _ = self._step(acc_code, a, b, random, a_scales, b_scales)
        return code, before | raised

    def step_events(
        self,
        acc_code: int,
        a: int | Sequence[int],
        b: int | Sequence[int],
        random: int = 0,
        a_scales: Sequence[int] = (),
        b_scales: Sequence[int] = (),
    ) -> Events:
        """Return what is counted of the same step."""
        code, _, raised, addends = self._step(acc_code, a, b, random, a_scales, b_scales)
        return _events(self._acc.number(acc_code), addends, raised, unchanged=code == acc_code)

    def _step(
        self,
        acc_code: int,
        a: int | Sequence[int],
        b: int | Sequence[int],
        random: int,
        a_scales: Sequence[int],
        b_scales: Sequence[int],
    ) -> tuple[int, int, int, Sequence[Number]]:
        """Return the accumulator's code, the flags of roundings before the addition, its own, and its exact addends."""
        if self._terms is not None:
            a, b = ([codes] if isinstance(codes, int) else codes for codes in (a, b))
            terms = self._terms.of(a, b, a_scales, b_scales)
            if self.spec.bulk_bits is not None:
                lane_sum, flags = self._bulk(terms)
                code, step_flags = self._acc.of((self._acc.number(acc_code), lane_sum), random)
                return code, flags, step_flags, (lane_sum,)
            code, step_flags = self._acc.of_terms(acc_code, terms, self._terms.fraction_bits, random)
            return code, _NO_FLAGS, step_flags, [term.value for term in terms]
        acc = self._acc.number(acc_code)
        if isinstance(a, int) or isinstance(b, int):
            if self.spec.lanes > 1:
                return self._step(acc_code, (cast(int, a),), (cast(int, b),), random, (), ())
            product, flags = self._product(cast(int, a), cast(int, b))
            code, step_flags = self._acc.of((acc, product), random, self._aligned_bits)
            return code, flags, step_flags, (product,)
        products, flags = [], _NO_FLAGS
        for a_code, b_code in zip(a, b, strict=True):
            product, product_flags = self._product(a_code, b_code)
            products.append(product)
            flags |= product_flags
        if self._adds_by_tree:
            lane_sum, tree_flags = self._tree(products)
            products, flags = [lane_sum], flags | tree_flags
        code, step_flags = self._acc.of((acc, *products), random, self._aligned_bits)
        return code, flags, step_flags, products

    def fold(
        self, outer_code: int, inner_code: int, random: int = 0, a_scale: int | None = None, b_scale: int | None = None
    ) -> Result:
        """Return R(outer + inner), the chunk sum multiplied by its two scales where the spec has scales."""
        code, raised, _ = self._fold(outer_code, inner_code, random, a_scale, b_scale)
        return code, raised

    def fold_events(
        self, outer_code: int, inner_code: int, random: int = 0, a_scale: int | None = None, b_scale: int | None = None
    ) -> Events:
        """Return what is counted of the same fold."""
        code, raised, addend = self._fold(outer_code, inner_code, random, a_scale, b_scale)
        return _events(self._outer.number(outer_code), (addend,), raised, unchanged=code == outer_code)

    def _fold(
        self, outer_code: int, inner_code: int, random: int, a_scale: int | None = None, b_scale: int | None = None
    ) -> tuple[int, int, Number]:
        """Return the outer accumulator's code, the flags, and the exact addend."""
        inner = self._acc.number(inner_code)
        if self._decode_scale is not None and self.spec.scales_chunks:
            assert a_scale is not None
            assert b_scale is not None
            inner = multiply(multiply(inner, self._decode_scale(a_scale)), self._decode_scale(b_scale))
        code, raised = self._outer.of((self._outer.number(outer_code), inner), random)
        return code, raised, inner

    def start(self, code: int) -> Result:
        """Return a start value, and its flag, as the additions to it see it: as if 0 had been added (section 11)."""
        return self._outer.of((self._outer.number(code), Number("finite", 0)), 0)

    def convert(self, outer_code: int, random: int = 0) -> Result:
        """Return the result that an outer accumulator's code becomes: the same code, if `out` is its format."""
        outer = self._outer.number(outer_code)
        if self._out.format == self._outer.format:
            return outer_code, _NO_FLAGS
        return self._out.of((outer,), random)

    def dot(
        self,
        a_codes: Sequence[int],
        b_codes: Sequence[int],
        random: Iterator[int] | None = None,
        a_scales: Sequence[int] = (),
        b_scales: Sequence[int] = (),
        tally: Tally | None = None,
        preload: int | None = None,
    ) -> Result:
        """Return the dot product of two equally long, non-empty sequences, and the flags of all its roundings.

        Random numbers are those of PE (0, 0) after a reset, unless others are given. There is one scale for each chunk,
        or for each block with `scale_place = lanes`. To a tally all events of steps and of folds are added.
        With preloaded accumulators `preload` is the start value's code.
        """
        numbers = random_numbers(self.spec) if random is None else random
        length = len(a_codes)
        chunk = self.spec.chunk or length
        outer, flags = self._outer.format.zero_code(), _NO_FLAGS
        inner_start = self._acc.format.zero_code()
        copies_first = not self.spec.has_outer_adder
        if preload is not None:
            decoder("preload", self._outer.format)(preload)  # refuses what is no code
            if self.spec.chunk is None and not self.spec.has_outer_adder:
                inner_start = preload
            else:
                outer, copies_first = preload, False
        for index, start in enumerate(range(0, length, chunk)):
            part = slice(start, start + chunk)
            blocks = slice(0)
            if self.spec.block is not None:
                blocks = slice(start // self.spec.block, -(-(start + chunk) // self.spec.block))
            inner, inner_flags = self._chunk_sum(
                inner_start, a_codes[part], b_codes[part], numbers, a_scales[blocks], b_scales[blocks], tally
            )
            flags |= inner_flags
            addends: tuple[int, ...]
            if self.spec.has_outer_adder:
                scales = (a_scales[index], b_scales[index]) if self.spec.scales_chunks else ()
                addends = (outer, inner, next(numbers) if self._draws_in_chunks else 0, *scales)
            elif index == 0 and copies_first:
                outer = inner
                continue
            else:
                addends = (outer, inner, next(numbers) if self._draws_in_steps else 0)
            code, fold_flags, addend = self._fold(*addends)
            if tally is not None:
                _add(tally[1], _events(self._outer.number(outer), (addend,), fold_flags, unchanged=code == outer))
            outer, flags = code, flags | fold_flags
        out, out_flags = self.convert(outer, next(numbers) if self._draws_in_out else 0)
        return out, flags | out_flags

    def _chunk_sum(
        self,
        inner: int,
        a_codes: Sequence[int],
        b_codes: Sequence[int],
        random: Iterator[int],
        a_scales: Sequence[int],
        b_scales: Sequence[int],
        tally: Tally | None,
    ) -> Result:
        flags, lanes = _NO_FLAGS, self.spec.lanes
        for start in range(0, len(a_codes), lanes):
            part = slice(start, start + lanes) if lanes > 1 else start
            number = next(random) if self._draws_in_steps else 0
            scales: list[Sequence[int]] = [(), ()]
            if self.spec.block is not None:
                blocks = slice(start // self.spec.block, (start + lanes) // self.spec.block)
                scales = [a_scales[blocks], b_scales[blocks]]
            code, before, raised, addends = self._step(inner, a_codes[part], b_codes[part], number, *scales)
            if tally is not None:
                _add(tally[0], _events(self._acc.number(inner), addends, raised, unchanged=code == inner))
            inner, flags = code, flags | before | raised
        return inner, flags

    def _multiply(self, a_code: int, b_code: int) -> tuple[Number, int]:
        """Return the product of two operands, rounded if the spec says so, and the flags of that."""
        product = multiply(self._decode_a(a_code), self._decode_b(b_code))
        if self._rounded_product is None:
            return product, _NO_FLAGS
        code, flags = self._rounded_product.of((product,), 0)
        return self._rounded_product.number(code), flags

    def _tree(self, products: Sequence[Number]) -> tuple[Number, int]:
        """Return the sum of the lanes' products by a balanced binary tree, each node rounded to the accumulator."""
        flags = _NO_FLAGS
        nodes = [*products, *[Number("finite", 0)] * (self.spec.lanes - len(products))]
        while len(nodes) > 1:
            sums = [self._acc.of(pair, 0) for pair in zip(nodes[::2], nodes[1::2], strict=True)]
            nodes = [self._acc.number(code) for code, _ in sums]
            for _, node_flags in sums:
                flags |= node_flags
        return nodes[0], flags

    def _bulk(self, terms: Sequence[Term]) -> tuple[Number, int]:
        """Return the rounded sum of products that are cut to odd below their largest reference exponent."""
        assert self._terms is not None
        products = [term.value for term in terms]
        if all(product.kind == "finite" for product in products):
            exponents = [term.exponent for term in terms if not is_zero(term.value)]
            if exponents:
                products = list(cut_all_to_odd(products, max(exponents) - self._terms.fraction_bits))
        code, flags = self._acc.of(products, 0)
        if {product.sign for product in products if product.kind == "infinite"} == {0, 1}:
            flags |= _INVALID  # beside a quiet NaN, too
        return self._acc.number(code), flags


def _events(before: Number, addends: Sequence[Number], raised: int, *, unchanged: bool) -> Events:
    """Return what is counted of an addition (section 9)."""
    lost = raised & (_OVERFLOW | _UNDERFLOW)
    finite = before.kind == "finite" and all(addend.kind == "finite" for addend in addends)
    swamped = unchanged and not lost and finite and not is_zero(before) and exact_sum(addends)[0] != 0
    return bool(raised & _OVERFLOW), bool(raised & _UNDERFLOW), swamped


def _add(counts: list[int], events: Events) -> None:
    for index, happened in enumerate(events):
        counts[index] += happened


class RoundedSum:
    """The rounded sums of one format and rounding (docs/arithmetic.md sections 3 and 4).

    Parameters:
        fmt: the format.
        rounding: of the sums.
        overflow: what becomes of those that are too large.
        name: of the format in a refusal of a code.
    """

    def __init__(self, fmt: Format, rounding: Rounding, overflow: Overflow, name: str = "acc") -> None:
        self.format = fmt
        self.number = decoder(name, fmt)
        self._drops = rounding.kind is RoundingKind.DROP
        self._rounding = rounding
        self._plain = None if rounding.random_bits else rounding.with_random(0)
        self._overflow = overflow

    def of(self, addends: Sequence[Number], random: int, aligned: int | None = None) -> Result:
        """Return the rounded sum of addends, those of `aligned:W` cut first, with its flags."""
        for addend in addends:
            if addend.kind != "finite":
                return self._sum_special(addends)
        return self._sum_finite(addends, random, aligned)

    def of_terms(self, acc_code: int, terms: Sequence[Term], fraction_bits: int, random: int) -> Result:
        """Return the rounded sum of the accumulator and terms that are aligned by their reference exponents."""
        acc = self.number(acc_code)
        addends = [acc, *(term.value for term in terms)]
        if all(addend.kind == "finite" for addend in addends):
            assert isinstance(self.format, FloatFormat)
            largest = max(reference_exponent(self.format, acc), *(term.exponent for term in terms))
            addends = list(cut_all(addends, largest - fraction_bits))
        return self.of(addends, random)

    def _sum_special(self, addends: Sequence[Number]) -> Result:
        kinds = {addend.kind for addend in addends}
        if "signalling" in kinds:
            return self._nan(_INVALID)
        if "nan" in kinds:
            return self._nan(_NO_FLAGS)
        signs = {addend.sign for addend in addends if addend.kind == "infinite"}
        if len(signs) == 2:
            return self._nan(_INVALID)
        (sign,) = signs
        if isinstance(self.format, FloatFormat):
            if self.format.has_infinity:
                return self.format.infinity_code(sign), _NO_FLAGS
            if self._overflow is Overflow.NAN:
                return self.format.nan_code, _OVERFLOW
        return self.format.largest_code(sign), _OVERFLOW

    def _sum_finite(self, addends: Sequence[Number], random: int, aligned: int | None) -> Result:
        if aligned is not None:
            addends = cut_all(addends, largest_exponent(addends) - aligned)
        elif self._drops and len(addends) > 1:
            # The exact sum of several lanes' products is one addend.
            lane_sum, lsb = exact_sum(addends[1:])
            addends = (addends[0], Number("finite", int(lane_sum < 0), abs(lane_sum), lsb))
            addends = cut_all(addends, self._last_place(addends))
        total, lsb = exact_sum(addends)
        if total == 0:
            return self.format.zero_code(), _NO_FLAGS
        rounding = self._plain or self._rounding.with_random(random)
        rounded = self.format.round(int(total < 0), abs(total), lsb, rounding, self._overflow)
        flags = (_OVERFLOW if rounded.overflow else 0) | (_UNDERFLOW if rounded.underflow else 0)
        return rounded.code, flags

    def _last_place(self, addends: Sequence[Number]) -> int:
        """Return the exponent of the last place at which `drop` cuts the addends of a sum."""
        if not isinstance(self.format, FloatFormat):
            return self.format.lsb_exponent
        place = largest_exponent(addends) - self.format.man_bits
        return max(place, self.format.lsb_exponent) if self.format.subnormals == "gradual" else place

    def _nan(self, flags: int) -> Result:
        if isinstance(self.format, FloatFormat) and self.format.has_nan:
            return self.format.nan_code, flags
        return self.format.largest_code(0), _INVALID
