"""What a bundle may hold, an array or a unit that compresses gradients, and what its manifest says of each."""

from dataclasses import dataclass
from typing import Any, assert_never

from amaranth.hdl import Shape
from amaranth.lib.wiring import In

from macgen.bundle.streams import compress_streams_of, counters_of, streams_of
from macgen.compress.rtl.compressor import LATENCY
from macgen.compress.rtl.unit import unit_ports
from macgen.compress.spec import CompressSpec
from macgen.errors import check_type
from macgen.rtl import Design
from macgen.rtl.axi_layout import top_signature
from macgen.rtl.parts.clocking import Clocking
from macgen.spec import MacSpec

Subject = MacSpec | CompressSpec
"""The spec of what a bundle holds."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port of the top module."""

    name: str
    direction: str
    width: int


@dataclass(frozen=True)
class Outside:
    """A top module as it looks from outside.

    Attributes:
        clocking: what moves its registers.
        ports: all of them.
        latency: in cycles, see `Manifest`.
        streams: see `Manifest`.
        counters: see `Manifest`.
    """

    clocking: Clocking
    ports: tuple[Port, ...]
    latency: int
    streams: dict[str, dict[str, Any]]
    counters: dict[str, str]


def outside_of(subject: Subject) -> Outside:
    """Return how the top module of a subject looks from outside."""
    match subject:
        case MacSpec():
            design = Design(subject)
            clocking, latency, streams = design.clocking, design.port_latency, streams_of(design)
            members, counters = top_signature(design).members, counters_of(design)
        case CompressSpec():
            clocking, latency, streams = Clocking(), LATENCY, compress_streams_of(subject)
            members, counters = unit_ports(subject), {}
        case _:
            assert_never(subject)
    ports = [Port(port, "input", 1) for port in clocking.ports]
    for port, member in members.items():
        width: int = Shape.cast(member.shape).width
        ports.append(Port(port, "input" if member.flow == In else "output", width))
    return Outside(clocking, tuple(ports), latency, streams, counters)


def check_subject(subject: object) -> None:
    """Refuse what no bundle holds.

    Raises:
        MacgenError: it is none.
    """
    check_type("spec", subject, (MacSpec, CompressSpec), "a MacSpec, such as macgen.presets['default']")


def subject_from(values: object) -> Subject:
    """Return the subject that a manifest describes.

    Raises:
        MacgenError: it describes none.
    """
    if isinstance(values, dict) and "unit" in values:
        return CompressSpec.from_dict(values)
    return MacSpec.from_dict(values)
