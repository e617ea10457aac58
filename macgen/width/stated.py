"""The formats that a model states for its operands, as those of a plan."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from macgen.errors import MacgenError
from macgen.network.gemm import KINDS, Kind, Layer, Network
from macgen.network.operand_format import integer_format
from macgen.numerics import FixedFormat, Format, parse_format
from macgen.width import bounds
from macgen.width.network_plan import NetworkPlan

_MOST_NAMES = 3


@dataclass(frozen=True)
class Stated:
    """What one array for a network takes, as far as the model says it.

    Attributes:
        a: the formats of the left operands (activations), without repetition; none: the model says nothing.
        b: those of the right operands (weights).
        without: names of the layers that do not state both of theirs; of interest where others do.
    """

    a: tuple[Format, ...] = ()
    b: tuple[Format, ...] = ()
    without: tuple[str, ...] = ()

    def format(self, which: str) -> Format | None:
        """Return the format that holds all operands; None where the model says nothing.

        Parameters:
            which: `a` or `b`.

        Raises:
            MacgenError: no format does.
        """
        formats: tuple[Format, ...] = getattr(self, which)
        if len(formats) < 2:
            return formats[0] if formats else None
        fixed = [fmt for fmt in formats if isinstance(fmt, FixedFormat)]
        if len(fixed) < len(formats):
            names = " and ".join(str(fmt) for fmt in formats)
            raise MacgenError(
                f"operands {which} of the model are {names:.200}, which no one format holds; accepted is --{which} "
                f"FORMAT, which says what to plan for"
            )
        ranges = [bounds.operand_range(fmt) for fmt in fixed]
        return parse_format(str(integer_format(min(low for low, _ in ranges), max(high for _, high in ranges))))

    def remark(self, planned: NetworkPlan) -> NetworkPlan:
        """Return a plan with a warning for the layers that it takes the others' formats for."""
        if not self.without:
            return planned
        names = ", ".join(self.without[:_MOST_NAMES]) + ", ..." * (len(self.without) > _MOST_NAMES)
        text = (
            f"the model states no formats for both operands of {len(self.without)} of its layers ({names}): they are "
            f"planned as {planned.goal.a} x {planned.goal.b} like the others"
        )
        rows = tuple(
            replace(row, plan=replace(row.plan, warnings=(*row.plan.warnings, text)))
            if row.layer in self.without
            else row
            for row in planned.rows
        )
        return replace(planned, rows=rows)


def stated_formats(network: Network, kinds: Collection[Kind] = KINDS) -> Stated:
    """Return what a network's model states of its operands, of the layers that have such GEMMs.

    Only layers count whose operands both have a format, as quantised ones have: a product of integers and real numbers
    has no accumulator of its own kind.
    """
    layers = [layer for layer in network.layers if any(gemm.kind in kinds for gemm in layer.gemms)]
    pairs = {layer.name: pair for layer in layers if (pair := _pair(layer)) is not None}
    if not pairs:
        return Stated()
    a, b = (tuple(dict.fromkeys(formats)) for formats in zip(*pairs.values(), strict=True))
    return Stated(a, b, tuple(layer.name for layer in layers if layer.name not in pairs))


def _pair(layer: Layer) -> tuple[Format, Format] | None:
    a, b = layer.formats
    return None if a is None or b is None else (parse_format(str(a)), parse_format(str(b)))
