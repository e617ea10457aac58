"""The parts that arrays are placed on, and what they hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from macgen.errors import MacgenError, check_choice, shown

PlacedFamily = Literal["ecp5", "ice40"]


@dataclass(frozen=True)
class Part:
    """A part.

    Attributes:
        family: the FPGA family.
        name: as the option `--device` and nextpnr have it.
        packages: those that there are, the first one by default.
        luts: look-up tables of four inputs, each with a flip-flop.
        dsps: multiplier blocks.
        memories: block RAMs.
    """

    family: PlacedFamily
    name: str
    packages: tuple[str, ...]
    luts: int
    dsps: int
    memories: int


SPEED = 6
"""ECP5's slowest speed grade. iCE40's is part of the device's name."""

_ECP5_SMALL = ("CABGA381", "CABGA256", "CSFBGA285", "TQFP144")
_ECP5_MIDDLE = ("CABGA381", "CABGA256", "CABGA554", "CSFBGA285", "TQFP144")
_ECP5_LARGE = ("CABGA381", "CABGA554", "CABGA756", "CSFBGA285")

PARTS: Mapping[PlacedFamily, tuple[Part, ...]] = {
    "ecp5": (
        Part("ecp5", "25k", _ECP5_SMALL, 24288, 28, 56),
        Part("ecp5", "12k", _ECP5_SMALL, 24288, 28, 56),  # the same die
        Part("ecp5", "45k", _ECP5_MIDDLE, 43848, 72, 108),
        Part("ecp5", "85k", _ECP5_LARGE, 83640, 156, 208),
    ),
    "ice40": (
        Part("ice40", "hx8k", ("ct256", "cb132", "cm225", "bg121"), 7680, 0, 32),
        Part("ice40", "hx1k", ("tq144", "cb132", "vq100"), 1280, 0, 16),
        Part("ice40", "lp1k", ("qn84", "cm36", "cm49", "cm81", "cb81", "cm121", "cb121"), 1280, 0, 16),
        Part("ice40", "lp8k", ("cm225", "cm81", "cm121"), 7680, 0, 32),
        Part("ice40", "up5k", ("sg48", "uwg30"), 5280, 8, 30),
    ),
}
"""The parts of each family, the one by default first."""


def find_part(family: PlacedFamily, device: str | None) -> tuple[Part, str]:
    """Return a part and its package.

    Parameters:
        family: the FPGA family.
        device: the part's name, perhaps with a package: `85k`, `25k:CABGA256`; None: the family's usual one.

    Raises:
        MacgenError: there is none such.
    """
    check_choice("fpga", family, PARTS)
    parts = {part.name: part for part in PARTS[family]}
    if device is None:
        part = PARTS[family][0]
        return part, part.packages[0]
    name, separator, package = device.partition(":") if isinstance(device, str) else (device, "", "")
    if not isinstance(name, str) or name.lower() not in parts:
        raise MacgenError(
            f"device {shown(device)} is no {family} part that macgen knows; accepted are {', '.join(parts)}, each with "
            f"or without a package (as {PARTS[family][0].name}:{PARTS[family][0].packages[0]})"
        )
    part = parts[name.lower()]
    packages = {known.lower(): known for known in part.packages}
    if separator and package.lower() not in packages:
        raise MacgenError(
            f"device {shown(device)} has no package {shown(package)}; accepted are {', '.join(part.packages)}"
        )
    return part, packages.get(package.lower(), part.packages[0])


def larger_part(part: Part, luts: int, dsps: int, memories: int) -> Part | None:
    """Return the smallest part of the same family that holds so much; None if there is none."""
    fitting = [
        other
        for other in PARTS[part.family]
        if luts <= other.luts and dsps <= other.dsps and memories <= other.memories
    ]
    return min(fitting, key=lambda other: other.luts, default=None)
