"""Timing constraints, filled in from the templates in constraints/."""

from pathlib import Path
from string import Template

from macgen.share import share_directory

CLOCK_PERIOD_NS = 10.0
"""Clock period that the constraints start from; a user sets their own in one line of the file."""

# Share of the period that the outside world takes before inputs and after outputs.
_IO_SHARE = 0.2


def constraint_files(name: str) -> dict[str, str]:
    """Return path in the bundle and text of every constraint file of an array."""
    values = {"name": name, "period_ns": f"{CLOCK_PERIOD_NS:g}", "io_delay_ns": f"{CLOCK_PERIOD_NS * _IO_SHARE:g}"}
    return {
        path: Template(template.read_text(encoding="utf-8")).substitute(values)
        for path, template in _templates(name).items()
    }


def constraint_paths(name: str) -> tuple[str, ...]:
    """Return the path in the bundle of every constraint file of an array."""
    return tuple(_templates(name))


def _templates(name: str) -> dict[str, Path]:
    templates = sorted(share_directory("constraints").glob("mac_array.*"))
    return {f"constraints/{name}{template.suffix}": template for template in templates}
