"""The terms of a step with `exponents:F`: products, or exact sums of groups of them, times the scales of lanes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import FloatFormat, Format, ScaleFormat
from macgen.rtl.parts.hierarchy import submodule
from macgen.rtl.parts.interfaces import connect_members
from macgen.rtl.units.exact_number import Addend, ExactNumber, exponent_field_min
from macgen.rtl.units.exact_sum import FusedSum
from macgen.rtl.units.exponents import ReferenceWindow, exponents_of_zeros, reference_window
from macgen.rtl.units.multiplier import Scaler
from macgen.rtl.units.rounded_sum import RoundedSum
from macgen.spec import MacSpec


@dataclass(frozen=True)
class TermPlan:
    """What the terms of a spec can be, from the multipliers on.

    Attributes:
        spec: the array, with `lane_sum = exponents:F` or `exponents:F/G`.
    """

    spec: MacSpec

    @property
    def group(self) -> int:
        """Products of a term."""
        return self.spec.lane_sum.group

    @property
    def count(self) -> int:
        """Terms of a step."""
        return self.spec.lanes // self.group

    @property
    def factors(self) -> tuple[Format | ScaleFormat, ...]:
        """The formats whose numbers' exponents make a term's reference exponent."""
        spec = self.spec
        scales = (spec.scale, spec.scale) if spec.scales_lanes and spec.scale is not None else ()
        return scales if self.group > 1 else (*spec.port_formats, *scales)

    @cached_property
    def zeros(self) -> tuple[int | None, ...]:
        """Exponents on the wires of zeros of these formats; None: as their codes say."""
        window = self._window(self._times_scales(self._numbers(self._exact), None))
        return exponents_of_zeros(self.factors, window.lsb_exponent + window.bits - window.headroom)

    @property
    def operand_zeros(self) -> tuple[int | None, ...] | None:
        """Those of the operands, where their exponents count."""
        return None if self.group > 1 else self.zeros[:2]

    @property
    def scale_zero(self) -> int | None:
        """That of a scale."""
        return self.zeros[-1]

    @property
    def _exact(self) -> Addend:
        return Addend.of_product(*self.spec.port_formats, integer=False)

    @cached_property
    def product(self) -> Addend:
        """Products as the multipliers leave them, zeros with exponents of their own."""
        if self.group > 1:
            return self._exact
        return _with_zeros(self._exact, self.spec.port_formats, self.zeros[:2])

    @property
    def number(self) -> Addend:
        """What is multiplied by scales, if there are any."""
        return self._numbers(self.product)

    @cached_property
    def term(self) -> Addend:
        """What is aligned and added."""
        return self._times_scales(self.number, self.scale_zero)

    @cached_property
    def window(self) -> ReferenceWindow:
        """Where a step cuts the terms and, last, the accumulator."""
        return self._window(self.term)

    def _numbers(self, product: Addend) -> Addend:
        # Groups that are zero have the exponent of their scales.
        return replace(Addend.of_sum(product, self.group), has_zero_exponents=True) if self.group > 1 else product

    def _times_scales(self, number: Addend, zero: int | None) -> Addend:
        scale = self.spec.scale
        if scale is None or not self.spec.scales_lanes:
            return number
        return Scaler.scaled_addend(number, scale, zero)

    def _window(self, term: Addend) -> ReferenceWindow:
        spec, acc = self.spec, self.spec.acc
        assert isinstance(acc, FloatFormat)
        assert spec.exponent_bits is not None
        sums = RoundedSum(term, acc, spec.rounding, spec.overflow)
        # Of a term with the smallest factors that are normal numbers.
        reference = sum(-fmt.bias if isinstance(fmt, ScaleFormat) else _min_exponent(fmt) for fmt in self.factors)
        return reference_window(
            term,
            self.count,
            states=sums.states,
            acc=acc,
            grid=sums.lsb_exponent,
            bits=spec.exponent_bits,
            headroom=term.lsb_exponent + term.significand_bits - 1 - reference,
        )


def _min_exponent(fmt: Format) -> int:
    assert isinstance(fmt, FloatFormat)
    return fmt.min_exponent


def _with_zeros(product: Addend, formats: Sequence[Format], zeros: Sequence[int | None]) -> Addend:
    """Describe products of factors whose zeros have exponents of their own on the wires."""
    below = [exponent_field_min(fmt) - zero for fmt, zero in zip(formats, zeros, strict=True) if zero is not None]
    return replace(product, smallest_exponent=product.smallest_exponent - sum(below), has_zero_exponents=True)


class ScaledTerms(wiring.Component):
    """Make terms of the lanes' products: exact sums of groups of them, where there are groups, times their scales.

    Parameters:
        plan: of the array.

    Members:
        products: the lanes' products; see ExactNumber.
        a_scale, b_scale: codes of the scales of all blocks, those of the lowest lanes lowest.
        terms: what is aligned; see ExactNumber.
    """

    def __init__(self, plan: TermPlan) -> None:
        self._plan, spec = plan, plan.spec
        assert spec.scale is not None
        scales = spec.scales_in_beat * spec.scale.width
        super().__init__(
            {
                "products": In(ExactNumber(plan.product)).array(spec.lanes),
                "a_scale": In(scales),
                "b_scale": In(scales),
                "terms": Out(ExactNumber(plan.term)).array(plan.count),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        plan, spec, scale = self._plan, self._plan.spec, self._plan.spec.scale
        assert scale is not None
        assert spec.block is not None
        for index in range(plan.count):
            lanes = range(index * plan.group, (index + 1) * plan.group)
            number = self.products[lanes[0]]
            if plan.group > 1:
                # -- Groups: products of lanes that follow each other are added exactly
                total = submodule(m, platform, f"sum_{index}", "group_sum", lambda: FusedSum(plan.product, plan.group))
                for addend, lane in zip(total.numbers, lanes, strict=True):
                    connect_members(m, addend, self.products[lane])
                number = total.sum

            # -- Scale: times both scales of the block, exactly
            scaler = submodule(
                m, platform, f"scaler_{index}", "scaler", lambda: Scaler(plan.number, scale, plan.scale_zero)
            )
            connect_members(m, scaler.number, number)
            block = lanes[0] // spec.block
            m.d.comb += [
                scaler.a_scale.eq(self.a_scale.word_select(block, scale.width)),
                scaler.b_scale.eq(self.b_scale.word_select(block, scale.width)),
            ]
            connect_members(m, self.terms[index], scaler.scaled)
        return m
