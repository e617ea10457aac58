"""What golden's additions are, one by one: the oracle of flags and counts."""

from collections import Counter

import numpy as np

from macgen import golden
from macgen.emulate import Counts, Events
from macgen.golden.draws import draws, random_numbers
from macgen.golden.model import Model, multiply

LOST = 3  # overflow, underflow


class Additions:
    """Dot products by golden's own sums, with what happened in them."""

    def __init__(self, spec):
        self.spec, self.model = spec, Model(spec)
        self.steps, self.folds = Counter(), Counter()

    def dot(self, a, b, numbers, a_scales, b_scales, start=None):
        spec, model, flags = self.spec, self.model, 0
        chunk, is_inner = spec.chunk or len(a), spec.chunk is None and not spec.has_outer_adder
        outer = spec.outer_format.zero_code() if start is None else start
        for index, head in enumerate(range(0, len(a), chunk)):
            inner = start if start is not None and is_inner else spec.acc.zero_code()
            for first in range(head, min(head + chunk, len(a)), spec.lanes):
                lanes = slice(first, min(first + spec.lanes, head + chunk))
                if spec.exponent_bits is not None:
                    random = next(numbers) if spec.random_place == "steps" else 0
                    inner, raised = self.step_by_exponents(inner, lanes, (a, b), random, (a_scales, b_scales))
                    flags |= raised
                    continue
                pairs = [model._product(x, y) for x, y in zip(a[lanes], b[lanes], strict=True)]
                addends = [product for product, _ in pairs]
                for _, raised in pairs:
                    flags |= raised
                if spec.bulk_bits is not None:
                    node, raised = model._bulk(model._terms.of(a[lanes], b[lanes], (), ()))
                    addends, flags = [node], flags | raised
                if model._adds_by_tree:
                    node, raised = model._tree(addends)
                    addends, flags = [node], flags | raised
                random = next(numbers) if spec.random_place == "steps" else 0
                terms = [model._acc.number(inner), *addends]
                code, raised = model._acc.of(terms, random, spec.aligned_bits)
                self.note(self.steps, terms, inner == code, raised)
                inner, flags = code, flags | raised
            if index == 0 and (is_inner or (start is None and not spec.has_outer_adder)):
                outer = inner
                continue
            addend = model._acc.number(inner)
            if spec.scale is not None and spec.scale_place == "outer":
                for code in (a_scales[index], b_scales[index]):
                    addend = multiply(addend, spec.scale.number(code))
            random = next(numbers) if spec.random_place == ("chunks" if spec.has_outer_adder else "steps") else 0
            terms = [model._outer.number(outer), addend]
            code, raised = model._outer.of(terms, random)
            self.note(self.folds, terms, outer == code, raised)
            outer, flags = code, flags | raised
        out, raised = model.convert(outer, next(numbers) if spec.random_place == "out" else 0)
        return out, flags | raised

    def step_by_exponents(self, inner, lanes, operands, random, scales):
        """Take a step with `exponents:F`, with the terms as golden makes them."""
        block = self.spec.block or self.spec.lanes
        blocks = slice(lanes.start // block, (lanes.stop - 1) // block + 1)
        codes = [of_operand[lanes] for of_operand in operands], [of_operand[blocks] for of_operand in scales]
        terms = self.model._terms.of(*codes[0], *codes[1])
        code, raised = self.model.step(inner, *codes[0], random, *codes[1])
        addends = [self.model._acc.number(inner), *[term.value for term in terms]]
        self.note(self.steps, addends, inner == code, raised)
        return code, raised

    def note(self, events, terms, unchanged, raised):
        events["additions"] += 1
        events["saturated"] += raised & 1
        events["flushed"] += raised >> 1 & 1
        if unchanged and not raised & LOST and all(term.kind == "finite" for term in terms):
            before, *addends = [term.to_fraction() for term in terms]
            events["swamped"] += before != 0 and sum(addends) != 0

    @property
    def counts(self):
        return Counts(Events(**self.steps), Events(**self.folds))


def canonical(fmt, codes):
    """Return codes with the canonical NaN for others: values do not tell which one it was."""
    return fmt.encode(fmt.decode(codes))


def expected_matmul(spec, a, b, a_scales=None, b_scales=None, starts=None):
    """Return codes, flags and counts of (M, K) and (K, N) codes.

    Scales have the shapes (M, chunks) and (chunks, N), or are of blocks; start values (M, N).
    """
    named = {} if spec.scale is None else {"A_scales": a_scales, "B_scales": b_scales}
    codes, flags = golden.matmul(spec, a, b, **named, preload=starts)
    additions, tile_columns = Additions(spec), -(-b.shape[1] // spec.cols)
    for m, n in np.ndindex(*codes.shape):
        (tile_row, pe_row), (tile_column, pe_column) = divmod(m, spec.rows), divmod(n, spec.cols)
        before, turn = divmod(tile_row * tile_columns + tile_column, spec.interleave)
        taken = before * draws(spec, a.shape[1])
        if spec.random_place == "out":
            numbers = random_numbers(spec, (0, pe_column), taken + pe_row, turn)
        else:
            numbers = random_numbers(spec, (pe_row, pe_column), taken, turn)
        scales = ([], []) if spec.scale is None else (a_scales[m].tolist(), b_scales[:, n].tolist())
        start = None if starts is None else int(starts[m, n])
        found = additions.dot(a[m].tolist(), b[:, n].tolist(), numbers, *scales, start)
        assert found == (codes[m, n], flags[m, n])
    return codes, flags, additions.counts
