"""The accumulators of a whole network: one plan per layer and GEMM, and totals."""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from macgen.errors import MacgenError, check_choices, check_function, check_type, shown
from macgen.network.gemm import KINDS, Gemm, Kind, Network
from macgen.network.operand_format import OperandFormat
from macgen.numerics import FixedFormat, FloatFormat, Format
from macgen.width.goal import Goal, Sum
from macgen.width.measured import measured_sum, notes, stated_reach
from macgen.width.planning import Answer, Plan, plan

SCHEMA = 1
BASELINE_BITS = 32


@dataclass(frozen=True)
class Row:
    """The plan of one GEMM.

    Attributes:
        layer: the layer's name.
        op: the layer's operation.
        gemm: length and size.
        plan: the accumulator for it.
        stated: what the model says of the formats of the layer's operands; None: nothing.
    """

    layer: str
    op: str
    gemm: Gemm
    plan: Plan
    stated: tuple[OperandFormat | None, OperandFormat | None] = (None, None)


@dataclass(frozen=True)
class NetworkPlan:
    """The plans of a network's GEMMs.

    Attributes:
        network: its name.
        batch: examples computed together.
        goal: what was asked for.
        rows: in the order of computation.
        skipped: operations that have no row, by name, and how often each occurs.
        uncounted: those of them that have multiply-accumulates all the same.
        unknown: those of them of which it is not known.
    """

    network: str
    batch: int
    goal: Goal
    rows: tuple[Row, ...]
    skipped: dict[str, int]
    uncounted: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def widest(self) -> Format:
        """The accumulator that does for every row: the most exponent and the most mantissa bits, or integer bits."""
        return widest_format([row.plan.chosen.acc for row in self.rows])

    @property
    def mean_bits(self) -> float:
        """Accumulator bits, averaged over all multiply-accumulates."""
        macs = sum(row.gemm.macs for row in self.rows)
        return sum(row.gemm.macs * row.plan.chosen.acc.width for row in self.rows) / macs

    @property
    def saving(self) -> float:
        """Share of accumulator bits saved against FP32 (or int32), averaged over all multiply-accumulates."""
        return 1 - self.mean_bits / BASELINE_BITS

    def to_json(self) -> str:
        """Return all of it as a JSON text; `plan_file` reads it back."""
        goal = asdict(self.goal) | {
            name: None if (fmt := getattr(self.goal, name)) is None else str(fmt) for name in ("a", "b", "outer")
        }
        values = {
            "schema": SCHEMA,
            "network": self.network,
            "batch": self.batch,
            "goal": goal,
            "rows": [_row_values(row) for row in self.rows],
            "widest": str(self.widest),
            "mean_bits": self.mean_bits,
            "saving": self.saving,
            "skipped": self.skipped,
            "uncounted": list(self.uncounted),
            "unknown": list(self.unknown),
        }
        return json.dumps(values, indent=2) + "\n"


def plan_network(
    network: Network,
    goal: Goal,
    *,
    kinds: Collection[Kind] = KINDS,
    progress: Callable[[int, int], None] | None = None,
) -> NetworkPlan:
    """Plan the accumulators of a network's GEMMs.

    A measured layer's forward GEMM is planned with its non-zero ratio, its operands' rms (in units of the formats,
    which are taken to be scaled so that the largest operand seen fits) and the L1 norm of integer weights.

    Parameters:
        network: layers with their GEMMs.
        goal: formats, rounding, limits.
        kinds: which GEMMs.
        progress: called with the GEMMs done and all of them.

    Raises:
        MacgenError: a GEMM is longer than any accumulator can hold, or the network has none of these kinds.
    """
    check_type("network", network, Network, "a Network, such as paper_network's or from_onnx's")
    check_type("goal", goal, Goal, "a Goal")
    kinds = check_choices("kinds", kinds, KINDS)
    if progress is not None:
        check_function("progress", progress)
    chosen = [(layer, gemm) for layer, gemm in network.gemms() if gemm.kind in kinds]
    if not chosen:
        raise MacgenError(
            f"network {shown(network.name)} has no multiply-accumulates of the kinds {', '.join(kinds)}; accepted are "
            f"networks with convolutions or matrix products"
        )
    rows = []
    for done, (layer, gemm) in enumerate(chosen, start=1):
        dot, remarks = Sum(length=gemm.length), tuple[str, ...]()
        if layer.measured is None and gemm.kind == "forward":
            dot = replace(dot, reach=stated_reach(layer, goal))
        elif layer.measured is not None and gemm.kind == "forward":
            dot = measured_sum(gemm.length, layer.measured, goal)
            remarks = tuple(notes(layer.measured, goal))
        planned = plan(goal, dot)
        planned = replace(planned, warnings=(*planned.warnings, *remarks)) if remarks else planned
        rows.append(Row(layer.name, layer.op, gemm, planned, layer.formats))
        if progress is not None:
            progress(done, len(chosen))
    skipped = dict(network.skipped), network.uncounted, network.unknown
    return NetworkPlan(network.name, network.batch, goal, tuple(rows), *skipped)


def plan_length(length: int, goal: Goal, *, nzr: float = 1.0, rms: float | None = None) -> NetworkPlan:
    """Plan the accumulator of a single dot product, as a network of one GEMM.

    Raises:
        MacgenError: an argument is refused, or no accumulator is wide enough.
    """
    planned = plan(goal, Sum(length=length, nzr=nzr, rms=rms))
    row = Row("sum", "dot", Gemm("forward", length, 1), planned)
    return NetworkPlan("", 1, goal, (row,), {})


def widest_format(formats: Sequence[Format]) -> Format:
    """Return the format that does for all of these: plain floats, or integers and fixed point.

    Raises:
        MacgenError: they differ and are neither, or they are no formats.
    """
    check_type("formats", formats, Sequence, "a sequence of formats")
    for fmt in formats:
        check_type("format", fmt, (FloatFormat, FixedFormat), "a FloatFormat or FixedFormat")
    if not formats:
        raise MacgenError("formats are none; accepted is at least one")
    floats = [fmt for fmt in formats if isinstance(fmt, FloatFormat)]
    fixed = [fmt for fmt in formats if isinstance(fmt, FixedFormat)]
    if len(set(formats)) == 1:
        return formats[0]
    if not fixed and all(fmt == FloatFormat(fmt.exp_bits, fmt.man_bits) for fmt in floats):
        return FloatFormat(max(fmt.exp_bits for fmt in floats), max(fmt.man_bits for fmt in floats))
    if not floats:
        signed = any(fmt.signed for fmt in fixed)
        int_bits = max(fmt.int_bits + (signed and not fmt.signed) for fmt in fixed)
        return FixedFormat(int_bits, max(fmt.frac_bits for fmt in fixed), signed)
    names = ", ".join(dict.fromkeys(map(str, formats)))
    raise MacgenError(f"plan has the accumulators {names:.400}, for which no one does; accepted is one layer and kind")


def _row_values(row: Row) -> dict[str, Any]:
    planned = row.plan
    return {
        "layer": row.layer,
        "op": row.op,
        "kind": row.gemm.kind,
        "length": row.gemm.length,
        "outputs": row.gemm.outputs,
        "macs": row.gemm.macs,
        "stated": [None if stated is None else str(stated) for stated in row.stated],
        "nzr": planned.sum.nzr,
        "rms": planned.sum.rms,
        "weight_l1": planned.sum.weight_l1,
        "weight_range": planned.sum.weight_range,
        "reach": planned.sum.reach,
        "chunk": planned.chunk,
        "acc": str(planned.chosen.acc),
        "decided_by": planned.chosen.method,
        "reason": planned.chosen.reason,
        "answers": [_answer_values(answer) for answer in planned.answers],
        "warnings": list(planned.warnings),
    }


def _answer_values(answer: Answer) -> dict[str, Any]:
    return {
        "method": answer.method,
        "chunk": answer.chunk,
        "acc": str(answer.acc),
        "man_bits": answer.man_bits,
        "reason": answer.reason,
    }
