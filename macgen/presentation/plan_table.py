"""A plan as people read it: a table per layer and GEMM, totals, what decided and what to beware of."""

from collections import Counter
from collections.abc import Iterable

from rich.console import Console

from macgen.errors import capitalized
from macgen.numerics import FloatFormat
from macgen.presentation.tables import new_table, print_table
from macgen.width.formulas.noise import closed_form
from macgen.width.goal import Goal
from macgen.width.network_plan import BASELINE_BITS, NetworkPlan, Row
from macgen.width.planning import Answer, Method, Plan

_TITLES: dict[Method, str] = {
    "vrr": "VRR",
    "noise": "noise",
    "exact": "exact",
    "weights": "weights",
    "monte-carlo": "Monte Carlo",
}
_MOST_WARNINGS = 3
_LAYER_WIDTH = 24


def print_plan(plan: NetworkPlan, console: Console) -> None:
    """Print a plan: a line per GEMM with each method's width without and with chunks, then what the figures mean."""
    methods = _columns(row.plan for row in plan.rows)
    table = new_table()
    least = []  # telling, of the columns
    if plan.network:
        names = max(len(row.layer) for row in plan.rows)
        table.add_column("Layer", overflow="fold", min_width=min(names, _LAYER_WIDTH))
        table.add_column("GEMM")
        table.add_column("MACs", justify="right")
        least.append(table.columns[-1])
    table.add_column("Length", justify="right")
    if any(row.plan.sum.nzr < 1 for row in plan.rows):
        table.add_column("Non-zero", justify="right")
    if plan.goal.chunk == "auto":
        table.add_column("Chunk", justify="right")
    decided = {(row.plan.chosen.method, row.plan.chosen.chunk is not None) for row in plan.rows}
    for method, chunked in methods:
        where = "" if method in ("exact", "weights") else "\nchunked" if chunked else "\nnormal"
        table.add_column(f"{_TITLES[method]}{where}", justify="right")
        if (method, chunked) not in decided:
            least.append(table.columns[-1])
    table.add_column("Accumulator")
    table.add_column("Bits", justify="right")
    macs = sum(row.gemm.macs for row in plan.rows)
    for row in plan.rows:
        table.add_row(*_cells(plan, row, methods, macs))
    print_table(table, console, least)
    for line in _conclusions(plan):
        console.print(line)


def _columns(plans: Iterable[Plan]) -> list[tuple[Method, bool]]:
    """Return each method without and with chunks, as far as some plan has its answer."""
    found = dict.fromkeys((answer.method, answer.chunk is not None) for plan in plans for answer in plan.answers)
    return sorted(found, key=lambda column: (list(_TITLES).index(column[0]), column[1]))


def _cells(plan: NetworkPlan, row: Row, columns: list[tuple[Method, bool]], macs: int) -> list[str]:
    planned = row.plan
    cells = [] if not plan.network else [row.layer, row.gemm.kind, f"{row.gemm.macs / macs:.1%}"]
    cells.append(f"{row.gemm.length:,}")
    if any(item.plan.sum.nzr < 1 for item in plan.rows):
        cells.append(f"{planned.sum.nzr:.2f}")
    if plan.goal.chunk == "auto":
        cells.append(str(planned.chunk))
    for method, chunked in columns:
        cells.append(_bits(planned.answer(method, planned.chunk if chunked else None)))
    return [*cells, str(planned.chosen.acc), str(planned.chosen.acc.width)]


def chunks_in_words(goal: Goal) -> str:
    """Return how a goal's sums are chunked."""
    if goal.chunk is None:
        return "no chunks"
    if goal.chunk != "auto":
        return f"chunks of {goal.chunk}"
    return f"chunks of the power of two near {'(4 length)^(1/3)' if goal.rounding == 'floor' else 'sqrt(length)'}"


def _saved(saving: float) -> str:
    """Return what a share of saved accumulator bits, which may be negative, means."""
    share = f"{abs(saving):.0%}"
    if share == "0%":
        return "about as many accumulator bits"
    return f"{share} of the accumulator bits saved" if saving > 0 else f"{share} more accumulator bits"


def _stated(plan: NetworkPlan) -> list[str]:
    """Return which formats the model itself states for its operands, as far as it does."""
    pairs = [row.stated for row in plan.rows if row.gemm.kind == "forward" and any(row.stated)]
    if not pairs:
        return []
    counts = Counter(" x ".join("unknown" if stated is None else str(stated) for stated in pair) for pair in pairs)
    texts = ", ".join(f"{pair} ({count} layer{'s' * (count > 1)})" for pair, count in counts.items())
    return [f"The model states operands of {texts}."]


def _passed_over(plan: NetworkPlan) -> list[str]:
    """Return what the plan says nothing of; multiply-accumulates among it first."""

    def named(names: Iterable[str]) -> str:
        return ", ".join(f"{plan.skipped[name]} {name}" for name in names)

    others = [name for name in plan.skipped if name not in (*plan.uncounted, *plan.unknown)]
    parts = (
        ("Not counted, though they have multiply-accumulates", plan.uncounted),
        ("Not known, so they may have multiply-accumulates", plan.unknown),
        ("Passed over", others),
    )
    return [f"{title}: {named(names)}." for title, names in parts if names]


def _bits(answer: Answer | None) -> str:
    """Return mantissa bits of a float accumulator, the format of an exact one."""
    if answer is None:
        return "-"
    return str(answer.man_bits) if isinstance(answer.acc, FloatFormat) else str(answer.acc)


def _conclusions(plan: NetworkPlan) -> list[str]:
    goal = plan.goal
    chunk = chunks_in_words(goal)
    if goal.outer is not None:
        chunk += f" into outer {goal.outer}" if goal.chunk is not None else f", then outer {goal.outer}"
    chosen = [row.plan.chosen for row in plan.rows]
    lines = [f"Operands {goal.a} x {goal.b}, rounding {goal.rounding}, {chunk}; widths are mantissa bits."]
    if any(answer.method == "vrr" for row in plan.rows for answer in row.plan.answers):
        lines.append(
            f"VRR: the adder aligns and drops; smallest width with v(n) < {goal.limit:g}"
            + (f", chunks judged {goal.reading}." if goal.chunk is not None else ".")
        )
        what = closed_form(goal.rounding.kind).what
        lines.append(f"Noise: {what}; smallest width with a noise-to-signal ratio of at most {goal.nsr:g}.")
    methods = dict.fromkeys(_TITLES[answer.method] for answer in chosen)
    lines.append(f"Decided by {' and '.join(methods)}.")
    if len(plan.rows) == 1:
        lines.append(f"{chosen[0].acc}: {chosen[0].reason}.")
        if (reason := plan.rows[0].plan.chunk_reason) is not None:
            lines.append(f"Chunk: {reason}.")
    else:
        complete = not (plan.uncounted or plan.unknown)
        which = f"all {len(plan.rows)} GEMMs" if complete else f"the {len(plan.rows)} GEMMs counted"
        lines.append(
            f"{plan.widest} ({plan.widest.width} bits) does for {which}; each at its own width, a multiply-accumulate "
            f"has {plan.mean_bits:.1f} accumulator bits on average."
        )
    longest = max((row.plan for row in plan.rows), key=lambda item: item.sum.length)
    verdicts = [row.plan.outer for row in plan.rows]
    if (verdict := longest.outer) is not None and all(item is not None and item.holds for item in verdicts):
        lines.append(f"{capitalized(verdict.reason)}.")
    lines.append(f"Against {BASELINE_BITS} bits: {_saved(plan.saving)}.")
    lines += [*_stated(plan), *_passed_over(plan)]
    longest_first = sorted(plan.rows, key=lambda row: -row.gemm.length)
    warnings = list(dict.fromkeys(text for row in longest_first for text in row.plan.warnings))
    lines += [f"Warning: {text}." for text in warnings[:_MOST_WARNINGS]]
    if len(warnings) > _MOST_WARNINGS:
        lines.append(f"... and {len(warnings) - _MOST_WARNINGS} warnings of the same kinds, all in --json.")
    return lines
