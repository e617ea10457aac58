"""What stands round an array on the FPGA: a register at every port, and three pins.

The inputs' registers are one long shift register. The outputs' registers are followed by another one, into which all of
them go as an exclusive or, so that each stays in the design. All arrays fit all packages so, and every path that is
timed begins and ends at a register.
"""

from collections.abc import Sequence

from macgen.bundle.subject import Port


def harness_verilog(ports: Sequence[Port], clock: str, top: str, name: str) -> str:
    """Return the module round an array, in Verilog.

    Parameters:
        ports: of the array.
        clock: the one that is its clock.
        top: the array's module.
        name: of the module.
    """
    inputs = [port for port in ports if port.direction == "input" and port.name != clock]
    outputs = [port for port in ports if port.direction == "output"]
    taken, given = (sum(port.width for port in side) for side in (inputs, outputs))
    connections = [f".{clock}(clk)"]
    for vector, side in (("taken", inputs), ("given", outputs)):
        low = 0
        for port in side:
            connections.append(f".{port.name}({vector}[{low + port.width - 1}:{low}])")
            low += port.width
    return f"""\
module {name} (input wire clk, input wire serial_in, output wire serial_out);
  reg [{taken - 1}:0] taken;
  wire [{given - 1}:0] given;
  reg [{given - 1}:0] caught, shifted;
  assign serial_out = shifted[{given - 1}];
  always @(posedge clk) begin
    taken <= {{taken[{taken - 2}:0], serial_in}};
    caught <= given;
    shifted <= caught ^ {{shifted[{given - 2}:0], 1'b0}};
  end
  {top} dut ({", ".join(connections)});
endmodule
"""
