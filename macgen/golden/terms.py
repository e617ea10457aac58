"""What a step of `exponents:F` or `bulk:F` adds: terms and their reference exponents (docs/arithmetic.md section 2)."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from macgen.golden.exact import CACHED_CODES, decoder, exact_sum, multiply
from macgen.numerics import FloatFormat, Format, Number, ScaleFormat
from macgen.spec import MacSpec

ZERO_EXPONENT = -126
"""Reference exponent of zeros, those of binary32 and of formats that do not reach below it."""


class Term(NamedTuple):
    """An addend of a step.

    Attributes:
        value: it, exactly.
        exponent: its reference exponent; of no meaning unless the value is finite.
    """

    value: Number
    exponent: int


def reference_exponent(fmt: Format | ScaleFormat, x: Number) -> int:
    """Return e(x) of a finite number of a float format or of power-of-two scales."""
    if isinstance(fmt, ScaleFormat):
        return x.exponent
    assert isinstance(fmt, FloatFormat)
    if x.significand == 0:
        return min(ZERO_EXPONENT, fmt.min_exponent)
    return max(x.exponent + x.significand.bit_length() - 1, fmt.min_exponent)


class Terms:
    """The terms of a spec with `exponents:F`, `exponents:F/G` or `bulk:F`.

    Parameters:
        spec: the array.

    Attributes:
        fraction_bits: F.
    """

    def __init__(self, spec: MacSpec) -> None:
        fraction_bits = spec.exponent_bits or spec.bulk_bits
        assert fraction_bits is not None
        self.fraction_bits = fraction_bits
        self._lanes, self._group, self._block = spec.lanes, spec.lane_sum.group, spec.block
        self._operand_formats, self._scale_format = (spec.a, spec.b), spec.scale
        self._decode = decoder("a", spec.a), decoder("b", spec.b)
        few = 1 << spec.a.width + spec.b.width <= CACHED_CODES
        self._product = lru_cache(CACHED_CODES)(self._multiply) if few else self._multiply
        self._decode_scale = None if spec.scale is None else decoder("scale", spec.scale)

    def of(
        self, a_codes: Sequence[int], b_codes: Sequence[int], a_scales: Sequence[int], b_scales: Sequence[int]
    ) -> list[Term]:
        """Return the terms of a step's codes; lanes and blocks that are missing take part, all their codes 0."""
        missing = [0] * (self._lanes - len(a_codes))
        factors = list(zip([*a_codes, *missing], [*b_codes, *missing], strict=True))
        products = [self._product(*codes) for codes in factors]
        if self._block is None:
            return products
        blocks = self._lanes // self._block
        scales = list(zip(*([*codes, *[0] * (blocks - len(codes))] for codes in (a_scales, b_scales)), strict=True))
        terms = []
        for lane in range(0, self._lanes, self._group):
            term = products[lane]
            if self._group > 1:
                total, lsb = exact_sum([product.value for product in products[lane : lane + self._group]])
                term = Term(Number("finite", int(total < 0), abs(total), lsb), 0)
            for code in scales[lane // self._block]:
                term = self._scaled(term, code)
            terms.append(term)
        return terms

    def _multiply(self, a_code: int, b_code: int) -> Term:
        a, b = (decode(code) for decode, code in zip(self._decode, (a_code, b_code), strict=True))
        exponent = 0
        if a.kind == "finite" and b.kind == "finite":
            exponent = sum(reference_exponent(fmt, x) for fmt, x in zip(self._operand_formats, (a, b), strict=True))
        return Term(multiply(a, b), exponent)

    def _scaled(self, term: Term, code: int) -> Term:
        assert self._decode_scale is not None
        assert self._scale_format is not None
        scale = self._decode_scale(code)
        exponent = reference_exponent(self._scale_format, scale) if scale.kind == "finite" else 0
        return Term(multiply(term.value, scale), term.exponent + exponent)
