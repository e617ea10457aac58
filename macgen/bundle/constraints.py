"""Timing constraints, filled in from the templates in constraints/, and LibreLane's configuration."""

import json
from collections.abc import Sequence
from pathlib import Path
from string import Template

from macgen.bundle.target import DEFAULT, Target
from macgen.share import share_directory

CONFIG = "config.json"
"""LibreLane's configuration, in a bundle that is handed over for a clock."""

UNCERTAINTY_SHARE = 0.05
"""Share of the period that jitter and skew may take."""

MAX_FANOUT = 10
"""Pins that a net may drive before it gets buffers: LibreLane's own limit."""


def constraint_files(
    name: str, clock: str, inputs: Sequence[tuple[str, int]], outputs: Sequence[tuple[str, int]], target: Target | None
) -> dict[str, str]:
    """Return path in the bundle and text of every constraint file of an array.

    Parameters:
        name: its top module's.
        clock: the clock's port.
        inputs: names and widths of the inputs but the clock.
        outputs: the same of the outputs.
        target: the clock to hand it over for; None: one to start from.
    """
    aim = DEFAULT if target is None else target
    values = {
        "name": name,
        "clock": clock,
        "inputs": " ".join(map(_pattern, inputs)),
        "outputs": " ".join(map(_pattern, outputs)),
        "period_ns": f"{aim.period_ns:g}",
        "io_delay_ns": f"{aim.period_ns * aim.io_share:.4g}",
        "uncertainty_ns": f"{aim.period_ns * UNCERTAINTY_SHARE:.4g}",
        "max_fanout": str(MAX_FANOUT),
    }
    files = {}
    for path, template in _templates(name).items():
        text = template.read_text(encoding="utf-8")
        more = template.with_name(f"hand_over{template.suffix}")
        if target is not None:
            text += more.read_text(encoding="utf-8")
        files[path] = Template(text).substitute(values)
    if target is not None:
        files[CONFIG] = _librelane(name, clock, target)
    return files


def constraint_paths(name: str, handed_over: bool = False) -> tuple[str, ...]:
    """Return the path in the bundle of every constraint file of an array."""
    return (*_templates(name), *([CONFIG] if handed_over else []))


def _pattern(port: tuple[str, int]) -> str:
    """Return what get_ports finds a port by, bus or not."""
    name, width = port
    return name if width == 1 else f"{name}*"


def _librelane(name: str, clock: str, target: Target) -> str:
    """Return LibreLane's configuration; PDK and cell library are the user's."""
    values = {
        "meta": {"version": 2, "flow": "Classic"},
        "DESIGN_NAME": name,
        "VERILOG_FILES": [f"dir::rtl/{name}.v"],
        "CLOCK_PORT": clock,
        "CLOCK_PERIOD": target.period_ns,
        "IO_DELAY_CONSTRAINT": round(100 * target.io_share, 4),
        "CLOCK_UNCERTAINTY_CONSTRAINT": round(target.period_ns * UNCERTAINTY_SHARE, 4),
        "MAX_FANOUT_CONSTRAINT": MAX_FANOUT,
        "PNR_SDC_FILE": f"dir::constraints/{name}.sdc",
        "SIGNOFF_SDC_FILE": f"dir::constraints/{name}.sdc",
    }
    return json.dumps(values, indent=2) + "\n"


def _templates(name: str) -> dict[str, Path]:
    templates = sorted(share_directory("constraints").glob("mac_array.*"))
    return {f"constraints/{name}{template.suffix}": template for template in templates}
