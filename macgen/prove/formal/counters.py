"""Verilog harness for the proof of the counters at an array's edge: they are the sums of what leaves."""

from __future__ import annotations

from collections.abc import Mapping

from macgen.prove.formal.harness import BEGUN, Harness, Property, clocks, harness_module
from macgen.prove.verilog_text import Ports, conjunction, delayed, instance, wire
from macgen.rtl import Design

_EVENTS = "counters: which events each addition has (--exhaustive compares those of steps and of an outer adder)"


def counters_harness(design: Design, name: str, modules: Mapping[str, Ports]) -> Harness | None:
    """Return the proof that the counters add what results bring that are taken, saturate, and can be cleared.

    Parameters:
        design: the array.
        name: its top module's name.
        modules: ports of the emitted modules.

    Returns:
        The proof; None for an array without counters.
    """
    if design.spec.counters is None:
        return None
    ports, cols, bits = modules[f"{name}_counters"], design.spec.cols, design.pe_count_bits
    of_column, levels = design.all_count_bits, (design.spec.cols - 1).bit_length()
    nets = {"taken": "taken", "counts": "counts", "clear": "clear"} | {port: port for port in design.count_ports}
    body = [
        *(wire(port, width) for port, width in design.count_ports.items()),
        BEGUN,
        instance(f"{name}_counters", "dut", clocks(ports) | nets),
        delayed("taken", 1, True),
    ]
    same = []
    for index, (port, width) in enumerate(design.count_ports.items()):
        net, sum_bits = f"leaving_{index}", bits + levels
        columns = [f"counts[{low + bits - 1}:{low}]" for low in range(index * bits, cols * of_column, of_column)]
        wide = [f"{{{levels}'d0, {column}}}" if levels else column for column in columns]
        total_bits = max(width, sum_bits) + 1
        largest = f"{{{width}{{1'b1}}}}"
        body += [
            f"  wire [{sum_bits - 1}:0] {net} = taken_1 ? {_tree(wide)} : {sum_bits}'d0;\n",
            delayed(net, levels, True, sum_bits),
            f"  reg [{width - 1}:0] shown_{index} = 0;\n",
            f"  wire [{total_bits - 1}:0] next_{index} = (clear ? {width}'d0 : shown_{index}) + {net}_{levels};\n",
            f"  always @(posedge clk) shown_{index} <= ~begun ? {width}'d0 : next_{index} > {largest} ? {largest}"
            f" : next_{index};\n",
        ]
        same.append(f"({port} == shown_{index})")
    claim = (
        "each counter is the sum of what the taken results brought since it was cleared, or all ones where that is more"
    )
    body.append(f"  wire ok_counts = ~begun | {conjunction(same)};\n")
    properties = (Property("counts", claim),)
    inputs = {"taken": 1, "counts": cols * of_column, "clear": 1}
    return Harness(
        name="counters",
        verilog=harness_module(inputs, body, properties),
        properties=properties,
        depth=levels + 4,
        unproved=(_EVENTS,),
    )


def _tree(addends: list[str]) -> str:
    """Return Verilog that adds pairwise, so that the solver finds the array's own sums again."""
    while len(addends) > 1:
        pairs = [addends[place : place + 2] for place in range(0, len(addends), 2)]
        addends = [f"({' + '.join(pair)})" for pair in pairs]
    return addends[0]
