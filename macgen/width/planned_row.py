"""The rows of plans of all kinds: a GEMM of a layer, and its array."""

from collections.abc import Sequence
from dataclasses import dataclass

from macgen.errors import MacgenError, check_type, shown
from macgen.network.gemm import Kind
from macgen.spec import MacSpec
from macgen.width.goal import Sum


@dataclass(frozen=True)
class PlannedRow:
    """One GEMM of a plan.

    Attributes:
        layer: the layer's name.
        kind: forward, backward or gradient.
        dot: its dot products.
        spec: with the accumulator planned for them.
        op: the layer's operation; empty: not known.
    """

    layer: str
    kind: Kind
    dot: Sum
    spec: MacSpec
    op: str = ""


def rows_of(rows: Sequence[PlannedRow], layer: str | None) -> list[PlannedRow]:
    """Return the rows of a layer.

    Parameters:
        rows: of a plan.
        layer: its name, or `NAME:KIND` for one of its GEMMs; None: all rows.

    Raises:
        MacgenError: there is no such layer.
    """
    if layer is not None:
        check_type("layer", layer, str, "a layer's name")
    found = [row for row in rows if layer is None or layer in (row.layer, f"{row.layer}:{row.kind}")]
    if not found:
        known = ", ".join(dict.fromkeys(row.layer for row in rows))
        raise MacgenError(f"layer {shown(layer)} is not in the plan; accepted are {known:.400}")
    return found
