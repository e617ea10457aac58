"""All that is known of an array's cost as one page: `macgen report DIR --html FILE`.

Its tables are those of the terminal, cell by cell, and its pictures show the record that `--json` prints. It has no
date: the same figures give the same bytes.
"""

from pathlib import Path

from macgen.bundle.verilog.header import array_facts, facts
from macgen.cost.blocks import Block
from macgen.cost.estimate import Report
from macgen.cost.fpga.report import FpgaReport
from macgen.cost.pricing import Cost
from macgen.errors import significant
from macgen.presentation import cost_table, fpga_table, system_table
from macgen.presentation.bars import Piece, Row, legend, picture
from macgen.presentation.html import Element, definitions, element, page, sentences, table
from macgen.presentation.tables import new_table
from macgen.rtl import Design
from macgen.spec import MacSpec
from macgen.system.scheduling import Schedule
from macgen.version import __version__

_STYLE = Path(__file__).with_name("cost_page.css")

_CARDS = ("minimum_period_ns", "energy_per_mac_pj")

_SHARES = {"combinational": "one", "registers": "two", "clock": "three", "leakage": "four"}
"""Parts of the power, and the classes of their colours."""


def cost_page(report: Report, schedule: Schedule, *, fpga: FpgaReport | None = None, examples: bool = False) -> bytes:
    """Return a page about an array as the content of an HTML file that needs nothing beside it.

    Parameters:
        report: what it costs, with its blocks where they are to be seen.
        schedule: matrix products on it.
        fpga: what it takes on an FPGA; None: it was not asked for.
        examples: whether nobody chose the matrix products, which the page then says.
    """
    sections = [
        *_contract(report),
        *_cost(report),
        *_timing(report),
        *([] if fpga is None else _fpga(fpga)),
        *_system(schedule, examples),
        *_origin(report, fpga),
    ]
    return page(f"{report.name}: what it costs", _STYLE.read_text(encoding="utf-8"), *_head(report), *sections)


def _head(report: Report) -> list[Element]:
    spec = MacSpec.from_dict(report.spec)
    lead = f"{spec.rows} x {spec.cols} multiply-accumulate units: {spec.a} x {spec.b} into {spec.acc}"
    head = [element("h1", report.name), element("p", lead, class_="lead")]
    if report.baseline is not None:
        size = "gate_equivalents" if report.cost.area_um2 is None else "area_um2"
        names = [name for name in (size, *_CARDS) if name in report.ratios]
        of = f"next to the {report.baseline.acc} accumulator's"
        cards = [
            element(
                "div",
                element("b", cost_table.ratio(report, name)),
                element("span", f"{cost_table.label(name).partition(' (')[0]} {of}"),
            )
            for name in names
        ]
        head.append(element("div", *cards, class_="cards"))
    return head


def _contract(report: Report) -> list[Element]:
    spec = MacSpec.from_dict(report.spec)
    chosen = new_table("Field", "Value")
    for field, value in report.spec.items():
        chosen.add_row(field, _value(value))
    return [
        element("h2", "What it computes"),
        definitions((heading or "Task", text) for heading, text in (*array_facts(Design(spec)), *facts(spec))),
        element("p", "The rules behind these words are in macgen's docs/arithmetic.md.", class_="note"),
        element("h3", "Specification"),
        element("p", element("code", repr(spec))),
        element("details", element("summary", "Every field"), table(chosen)),
    ]


def _value(value: object) -> str:
    if value is None or value == []:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _cost(report: Report) -> list[Element]:
    cost, baseline = report.cost, report.baseline
    parts = [element("h2", "What it costs"), table(cost_table.figures_table(report))]
    if baseline is not None:
        parts.append(_ratios(report))
    if cost.corners:
        parts += [element("h3", "At each corner"), table(cost_table.corners_table(report))]
    if cost.modes:
        parts += [element("h3", "In each mode"), table(cost_table.modes_table(cost))]
    parts += [element("h3", "Power by kind"), _power([cost, *([] if baseline is None else [baseline])])]
    if cost.blocks:
        parts += [element("h3", "Area and power by module"), *_blocks(cost)]
    return [*parts, element("h3", "What the figures hold for"), sentences(cost_table.conditions(report))]


def _ratios(report: Report) -> Element:
    longest = max(1.0, *report.ratios.values())
    rows = [
        Row(
            cost_table.label(name),
            cost_table.ratio(report, name),
            [[Piece(value / longest, "one", f"{cost_table.label(name)}: {cost_table.ratio(report, name)}")]],
        )
        for name, value in report.ratios.items()
    ]
    shown = picture("Each figure, divided by that of the 32-bit accumulator", rows, mark=1 / longest)
    caption = "Each figure divided by that of the wider accumulator; the line is at 1."
    return element("figure", shown, element("figcaption", caption))


def _power(costs: list[Cost]) -> Element:
    most = max(cost.power_mw["total"] for cost in costs)
    rows = []
    for cost in costs:
        pieces = [
            Piece(cost.power_mw[share] / most, colour, f"{share}: {significant(cost.power_mw[share])} mW")
            for share, colour in _SHARES.items()
        ]
        rows.append(Row(f"{cost.acc} accumulator", f"{significant(cost.power_mw['total'])} mW", [pieces]))
    own = costs[0].power_mw
    entries = [(colour, f"{share} {own[share] / own['total']:.0%}") for share, colour in _SHARES.items()]
    caption = f"The shares are those of the {costs[0].acc} accumulator."
    return element("figure", picture("Power by kind", rows), legend(entries), element("figcaption", caption))


def _blocks(cost: Cost) -> list[Element]:
    in_um2 = cost.area_um2 is not None
    sizes = [block.area_um2 if block.area_um2 is not None else block.gate_equivalents for block in cost.blocks]
    size, power = sum(sizes), sum(block.power_mw for block in cost.blocks)
    unit = "um2" if in_um2 else "NAND2"
    figures = new_table("Module")
    for title in ("Instances", f"Area ({unit})", "Power (mW)"):
        figures.add_column(title, justify="right")
    rows = []
    longest = max(*(part / size for part in sizes), *(block.power_mw / power for block in cost.blocks))
    for block, area in zip(cost.blocks, sizes, strict=True):
        name = _name(block)
        shares = area / size, block.power_mw / power
        bars = [
            [Piece(share / longest, colour, f"{name}: {share:.1%} of the {what}")]
            for share, colour, what in zip(shares, ("one", "two"), ("area", "power"), strict=True)
        ]
        rows.append(Row(name, f"{shares[0]:.1%}, {shares[1]:.1%}", bars))
        figures.add_row(
            block.name or "the array itself", f"{block.instances:,}", f"{area:,.0f}", significant(block.power_mw)
        )
    figures.add_row("All of them", "", f"{size:,.0f}", significant(power))
    priced = cost.area_um2 if cost.area_um2 is not None else cost.gate_equivalents
    total = significant(cost.power_mw["total"])
    caption = (
        f"Of a second synthesis, in which no logic is optimised across modules: {size:,.0f} {unit} and "
        f"{significant(power)} mW, where the array above takes {priced:,.0f} and {total}. "
        f"What stands inside a module is counted apart."
    )
    shown = picture("Area and power by module", rows)
    return [
        element("figure", legend([("one", "area"), ("two", "power")]), shown, element("figcaption", caption)),
        element("details", element("summary", "Figures by module"), table(figures)),
    ]


def _name(block: Block) -> str:
    return f"{block.name or 'the array itself'}{f' × {block.instances}' if block.instances > 1 else ''}"


def _timing(report: Report) -> list[Element]:
    cost = report.cost
    head = element("h2", "Timing")
    if cost.minimum_period_ns is None or not cost.worst_path:
        return [head, element("p", f"No timing: {cost.period_unavailable}.")]
    path = cost.worst_path
    end = max(point.time_ns for point in path)
    pieces = [
        Piece(max(0.0, point.delay_ns) / end, "step", f"{point.cell} {point.pin}: {point.delay_ns:.3f} ns")
        for point in path
        if end > 0
    ]
    steps = new_table("Pin", "Cell")
    for title in ("ns", "since the clock"):
        steps.add_column(title, justify="right")
    for point in path:
        steps.add_row(point.pin, point.cell, f"{point.delay_ns:.3f}", f"{point.time_ns:.3f}")
    row = Row(f"{len(path)} pins", f"{end:.3f} ns", [pieces])
    text = (
        f"Minimum period {cost.minimum_period_ns:,.3f} ns: the worst path, {end:.3f} ns, and the setup time of its end."
    )
    caption = f"From {path[0].pin} to {path[-1].pin}, a piece for each pin."
    return [
        head,
        element("p", text),
        element("figure", picture("The worst path", [row]), element("figcaption", caption)),
        element("details", element("summary", "Every pin of the worst path"), table(steps)),
    ]


def _fpga(report: FpgaReport) -> list[Element]:
    return [
        element("h2", "On an FPGA"),
        table(fpga_table.fpga_table(report)),
        sentences(fpga_table.conditions(report)),
    ]


def _system(schedule: Schedule, examples: bool) -> list[Element]:
    products = "Two examples: nobody chose products; --gemm and --network do."
    what = f"The network {schedule.network}, batch {schedule.batch}." if schedule.network else "Chosen products."
    return [
        element("h2", "Matrix products on it"),
        element("p", products if examples else what),
        table(system_table.schedule_table(schedule)),
        sentences(system_table.conclusions(schedule)),
    ]


def _origin(report: Report, fpga: FpgaReport | None) -> list[Element]:
    conditions = report.conditions
    versions = [("Verilog", ", ".join(f"{tool} {version}" for tool, version in report.tools.items()))]
    versions += [("Page", f"macgen {__version__}"), ("Synthesis", conditions["synthesis"])]
    versions += [] if conditions["timing"] is None else [("Timing", conditions["timing"])]
    versions += [] if fpga is None else [("FPGA", fpga.tools)]
    return [
        element("h2", "Tools and files"),
        definitions(versions),
        definitions((file.name, element("code", file.sha256)) for file in report.files),
    ]
