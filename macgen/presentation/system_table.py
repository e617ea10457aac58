"""A schedule as people read it: a line for each matrix product, totals, and what the figures mean."""

from rich.console import Console
from rich.table import Table

from macgen.errors import significant
from macgen.presentation.tables import new_table, print_table
from macgen.system.scheduling import Row, Schedule, peak

_LAYER_WIDTH = 19
_LEFT_OUT = ("Once", "Out", "Tiles")  # where a terminal is too narrow, in this order


def print_schedule(schedule: Schedule, console: Console) -> None:
    """Print a schedule."""
    table = schedule_table(schedule)
    print_table(table, console, [column for name in _LEFT_OUT for column in table.columns if column.header == name])
    for line in conclusions(schedule):
        console.print(line)


def schedule_table(schedule: Schedule) -> Table:
    """Return a line for each matrix product."""
    table = new_table()
    layers = [row.layer for row in schedule.rows if row.layer]
    if layers:
        table.add_column("Layer", overflow="fold", min_width=min(_LAYER_WIDTH, max(map(len, layers))))
    kinds = len({row.kind for row in schedule.rows}) > 1
    if kinds:
        table.add_column("GEMM")
    for title in ("MxNxK", "Tiles", "Cycles", "Used", "In", "Out", "Once"):
        table.add_column(title, justify="right")
    if schedule.energy is not None:
        table.add_column("uJ", justify="right")
    for row in schedule.rows:
        table.add_row(*([row.layer] if layers else []), *([row.kind] if kinds else []), *_figures(schedule, row))
    return table


def _figures(schedule: Schedule, row: Row) -> list[str]:
    total, moved = row.cycles.total, row.traffic
    figures = [
        str(row.tiling.product),
        f"{row.tiling.tiles:,}",
        f"{total:,}",
        f"{row.utilisation:.1%}",
        *(significant(number / total, 2) for number in (moved.operands, moved.results, moved.once)),
    ]
    return figures if row.energy_uj is None else [*figures, significant(row.energy_uj)]


def conclusions(schedule: Schedule) -> list[str]:
    """Return sentences on all products together, and on what the figures mean."""
    spec = schedule.spec
    several = f"{len(schedule.rows)} products: " if len(schedule.rows) > 1 else ""
    energy = "" if schedule.energy_uj is None else f", {significant(schedule.energy_uj)} uJ"
    lines = [
        f"{several}{schedule.macs:,} multiply-accumulates in {schedule.cycles:,} cycles{energy}; the array does up to "
        f"{peak(spec):,} a cycle, and {schedule.utilisation:.1%} of that is used.",
        "Cycles: from the first beat to the last result, operands on offer and results taken in every cycle.",
        "Bytes a cycle: in and out at the array's ports, flags not counted; once: each matrix moved once.",
    ]
    lines += [f"Note: {note}." for note in schedule.notes]
    if schedule.energy is not None:
        c = schedule.energy.conditions
        lines.append(
            f"Energy (uJ): of the array alone, as macgen report has it ({c.get('data', 'unknown operands')}; library "
            f"{c.get('library', 'unknown')}, {c['clock_mhz']:g} MHz); padding costs as much as operands, and where the "
            f"array waits, clock and leakage."
        )
    if schedule.uncounted:
        names = ", ".join(f"{count} {name}" for name, count in schedule.uncounted.items())
        lines.append(f"Not counted, though they have multiply-accumulates, or may have: {names}.")
    return lines
