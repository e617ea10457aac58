"""The ports of a stream under the names that driver and monitor know, whatever the interface of the array."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from macgen.bundle.manifest import Manifest
from macgen.numerics import FixedFormat
from macgen.spec_fields import Interface


def stream_ports(dut: Any, manifest: Manifest, name: str) -> SimpleNamespace:
    """Return the handles of stream `a`, `b` or `c` by role: valid, ready, data, first, last, scale, flags.

    With AXI4-Stream ports `data` and `scale` are parts of tdata, and their values are codes side by side all the same.
    """
    stream = manifest.streams[name]
    handles: dict[str, Any] = {role: getattr(dut, port) for role, port in stream.items() if isinstance(port, str)}
    if manifest.spec.interface != Interface.AXI_STREAM:
        return SimpleNamespace(**handles)
    tdata = Tdata(handles["data"])
    handles |= {role: FieldsPort(tdata, layout) for role, layout in layout_of(manifest, name).items()}
    return SimpleNamespace(**handles)


@dataclass(frozen=True)
class Layout:
    """How codes lie in tdata.

    Attributes:
        low: its lowest bit in the first field.
        count: fields.
        bits: of a code.
        field_bits: of a field.
        signed: whether the bits above a code that comes out repeat its sign; else they are 0.
    """

    low: int
    count: int
    bits: int
    field_bits: int
    signed: bool = False


def layout_of(manifest: Manifest, name: str) -> dict[str, Layout]:
    """Return how `data`, and `scale` where there is one, lie in tdata of a stream."""
    stream, out = manifest.streams[name], manifest.spec.out_format
    signed = name == "c" and isinstance(out, FixedFormat) and out.signed
    count = stream["lanes"] * stream.get("codes", 1)
    found = {"data": Layout(0, count, stream["lane_bits"], stream["field_bits"], signed)}
    if "scale" in stream:
        scales = stream["lanes"] * stream.get("scale_codes", 1), stream["scale_bits"], stream["scale_field_bits"]
        found["scale"] = Layout(stream["scale_low"], *scales)
    return found


class Tdata:
    """A tdata port that is driven part by part.

    Parameters:
        handle: the port.
    """

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self._word = 0

    def put(self, low: int, bits: int, part: int) -> None:
        """Drive some of its bits; the others stay."""
        self._word = self._word & ~(((1 << bits) - 1) << low) | part << low
        self.handle.value = self._word


class FieldsPort:
    """Codes in fields of tdata, as if they were a port of their own in which they lie side by side.

    Parameters:
        tdata: the port.
        layout: where they are.
    """

    def __init__(self, tdata: Tdata, layout: Layout) -> None:
        self._tdata, self._low, self._count, self._bits = tdata, layout.low, layout.count, layout.bits
        self._field_bits, self._signed = layout.field_bits, layout.signed

    def __len__(self) -> int:
        return self._count * self._bits

    @property
    def value(self) -> str:
        """The codes in binary.

        Raises:
            ValueError: a bit is neither 0 nor 1, or one above a code is not what it has to be.
        """
        word = int(str(self._tdata.handle.value), 2) >> self._low
        codes = 0
        for index in range(self._count):
            field = word >> index * self._field_bits & (1 << self._field_bits) - 1
            code = field & (1 << self._bits) - 1
            negative = self._signed and code >> self._bits - 1
            if field != (code | -1 << self._bits & (1 << self._field_bits) - 1 if negative else code):
                raise ValueError(f"field {index} of tdata is {field:#x}, a code of {self._bits} bits with others above")
            codes |= code << index * self._bits
        return format(codes, f"0{len(self)}b")

    @value.setter
    def value(self, codes: int) -> None:
        """Drive the codes; what stands above them is all ones, which the array is not to look at."""
        above = (1 << self._field_bits) - (1 << self._bits)
        word = 0
        for index in range(self._count):
            code = codes >> index * self._bits & (1 << self._bits) - 1
            word |= (above | code) << index * self._field_bits
        self._tdata.put(self._low, self._count * self._field_bits, word)
