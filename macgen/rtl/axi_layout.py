"""Where each code lies in the tdata of AXI4-Stream ports."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import FixedFormat
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.design import Design
from macgen.spec_fields import Interface

BYTE = 8


@dataclass(frozen=True)
class Fields:
    """Codes in tdata, each in the low bits of a field of whole bytes.

    Attributes:
        port: the core's, which has the codes side by side.
        count: how many there are.
        bits: of a code.
        low: the first one's lowest bit in tdata.
        signed: whether the bits above a code repeat its sign; else they are 0.
    """

    port: str
    count: int
    bits: int
    low: int = 0
    signed: bool = False

    @property
    def field_bits(self) -> int:
        """Bits of a field."""
        return -(-self.bits // BYTE) * BYTE

    @property
    def high(self) -> int:
        """The bit above the last field."""
        return self.low + self.count * self.field_bits

    def taken_from(self, data: Value) -> Value:
        """Return the codes side by side; the bits above each are not looked at."""
        return Cat(*(data[low : low + self.bits] for low in range(self.low, self.high, self.field_bits)))

    def fields(self, codes: Value) -> Value:
        """Return the fields of codes that lie side by side."""
        padding, parts = self.field_bits - self.bits, []
        for index in range(self.count):
            code = codes.word_select(index, self.bits)
            parts += [code, code[-1].replicate(padding) if self.signed else Const(0, padding)]
        return Cat(*parts)


def fields_of(design: Design, stream: str) -> tuple[Fields, ...]:
    """Return what tdata of stream `a`, `b` or `c` holds, the lowest first: data, then scales where there are any."""
    spec = design.spec
    if stream == "c":
        out = spec.out_format
        return (Fields("c_data", spec.cols, out.width, signed=isinstance(out, FixedFormat) and out.signed),)
    side, fmt = (spec.rows, spec.a) if stream == "a" else (spec.cols, spec.b)
    data = Fields(f"{stream}_data", side * spec.lanes, fmt.width)
    if spec.scale is None:
        return (data,)
    return data, Fields(f"{stream}_scale", side * spec.scales_in_beat, spec.scale.width, data.high)


def axi_signature(design: Design) -> wiring.Signature:
    """Return the AXI4-Stream ports of an array; see AxiArray."""
    bits = {stream: fields_of(design, stream)[-1].high for stream in "abc"}
    return wiring.Signature(
        {
            "s_axis_a_tvalid": In(1),
            "s_axis_a_tready": Out(1),
            "s_axis_a_tdata": In(bits["a"]),
            "s_axis_a_tlast": In(1),
            "s_axis_a_tuser": In(1),
            "s_axis_b_tvalid": In(1),
            "s_axis_b_tready": Out(1),
            "s_axis_b_tdata": In(bits["b"]),
            "s_axis_b_tlast": In(1),
            "m_axis_c_tvalid": Out(1),
            "m_axis_c_tready": In(1),
            "m_axis_c_tdata": Out(bits["c"]),
            "m_axis_c_tlast": Out(1),
            "m_axis_c_tuser": Out(design.spec.cols * FLAG_BITS),
            **design.count_signature,
        }
    )


def top_signature(design: Design) -> wiring.Signature:
    """Return the ports of the top module but those of its clocking."""
    return axi_signature(design) if design.spec.interface == Interface.AXI_STREAM else design.signature
