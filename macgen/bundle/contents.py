"""What stands in the files of a bundle: all of it follows from the spec and the name."""

from functools import lru_cache

from macgen.bundle.constraints import constraint_files
from macgen.bundle.fusesoc import core_file
from macgen.bundle.manifest import Manifest
from macgen.bundle.subject import Subject
from macgen.bundle.verilog import to_verilog

_REMEMBERED = 32
"""Arrays whose Verilog is kept in memory: who builds a bundle often verifies and prices it, too."""


@lru_cache(_REMEMBERED)
def verilog_of(subject: Subject, name: str) -> str:
    """Return what `to_verilog` does, without generating it again."""
    return to_verilog(subject, name)


def texts(manifest: Manifest) -> dict[str, str]:
    """Return path and text of every file of a bundle but the manifest, as this macgen writes them.

    Raises:
        MacgenError: the name is that of a signal inside.
        ToolError: Yosys failed.
    """
    name = manifest.name
    verilog = {manifest.verilog: verilog_of(manifest.subject, name)}
    inputs, outputs = (
        [(port.name, port.width) for port in manifest.ports if port.direction == direction]
        for direction in ("input", "output")
    )
    inputs.remove((manifest.clock, 1))
    constraints = constraint_files(name, manifest.clock, inputs, outputs, manifest.target)
    return {**verilog, **constraints, f"{name}.core": core_file(manifest)}
