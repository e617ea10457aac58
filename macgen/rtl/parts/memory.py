"""A memory as a module of its own, so that a block RAM or a macro of a memory compiler can take its place."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

_TEXT = """\
// {purpose}
module {name} (
  input  wire {clk}clk,
  input  wire {one}write,          // write_data goes to write_address
  input  wire {address} write_address,
  input  wire {data} write_data,
  input  wire {one}read,           // read_data follows a cycle later, and stays without it
  input  wire {address} read_address,
  output reg  {data} read_data
);

  reg {data} words [0:{top}];  // no reset, any value after power-up

  always @(posedge clk) begin
    if (write) words[write_address] <= write_data;
    if (read) read_data <= words[read_address];
  end
endmodule
"""


class TwoPortMemory(wiring.Component):
    """A memory of one port to write and one to read, which never meet at an address.

    It says its Verilog itself: a shape that tools know for a memory.

    Members:
        write: `write_data` goes to `write_address`.
        write_address, write_data: of the port to write.
        read: `read_data` follows a cycle later, and stays without it.
        read_address, read_data: of the port to read.

    Parameters:
        depth: words.
        width: bits of a word.
    """

    clocks = ("clk",)

    def __init__(self, depth: int, width: int) -> None:
        self.depth, self.width = depth, width
        address = max((depth - 1).bit_length(), 1)
        super().__init__(
            {
                "write": In(1),
                "write_address": In(address),
                "write_data": In(width),
                "read": In(1),
                "read_address": In(address),
                "read_data": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.words = words = memory.Memory(shape=self.width, depth=self.depth, init=[])
        write: Any = words.write_port()
        read: Any = words.read_port()
        m.d.comb += [
            write.en.eq(self.write),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            read.en.eq(self.read),
            read.addr.eq(self.read_address),
            self.read_data.eq(read.data),
        ]
        return m

    def verilog(self, name: str, purpose: str) -> str:
        """Return the text of the module.

        Parameters:
            name: the module's.
            purpose: what it is, for the comment before it.
        """
        ranges = [f"[{bits - 1}:0]" if bits > 1 else "" for bits in (len(self.write_address), self.width)]
        size = max(map(len, ranges))
        address, data = (text.rjust(size) for text in ranges)
        blank = " " * (size + 1)
        return _TEXT.format(
            name=name, purpose=purpose, clk=blank, one=blank, address=address, data=data, top=self.depth - 1
        )
