"""Bundles that commands read: looked at, and what is unusual said, before anything of them runs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from macgen.bundle.opening import OpenBundle

TRUST_HELP = "Take Verilog that macgen did not write: tools run whatever it says.  [default: only what macgen writes]"


def look_at(directory: Path, trust: bool) -> "OpenBundle":
    """Return a bundle, and say on standard error what is unusual about it.

    Raises:
        MacgenError: it is refused.
        ToolError: Yosys failed at the Verilog to compare with.
    """
    from macgen.bundle.opening import open_bundle
    from macgen.cli import console

    with console.progress(f"Looking at {click.format_filename(directory)}"):
        opened = open_bundle(directory, trust=trust)
    for note in opened.notes:
        click.echo(f"macgen: note: {note}", file=sys.stderr)
    return opened


def holds_unit(opened: "OpenBundle") -> bool:
    """Return whether a bundle holds a unit that compresses gradients, and no array."""
    from macgen.compress.spec import CompressSpec

    return isinstance(opened.manifest.subject, CompressSpec)
