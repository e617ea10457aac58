"""The cells that synthesis for an FPGA family leaves: look-up tables, carries, flip-flops, multipliers, memories."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from macgen import tools
from macgen.cost.netlist.hierarchy import total_cells
from macgen.errors import MacgenError

Family = Literal["ice40", "ecp5", "xilinx", "gowin", "nexus"]

# What each family's cells are. A CCU2C is two LUT4 with their carry; an SRL takes a LUT; iCE40's carry stands beside a
# LUT that is counted by itself, as does Xilinx's CARRY4, which serves four.
# Gowin's ALU is a LUT with its carry.
_LUTS = {r"SB_LUT4": 1, r"LUT\d": 1, r"CCU2[CD]?": 2, r"ALU": 1, r"INV": 1, r"SRL.*": 1}
_CARRIES = r"SB_CARRY|CCU2[CD]?|CARRY4|ALU"
_FLIP_FLOPS = r"SB_DFF.*|TRELLIS_FF|FD[RSCP]E(_1)?|DFF[NRSCPE]*|FD1P3[BDIJ]X"
_DSPS = r"SB_MAC16|MULT\d+X\d+\w*|ALU54B|DSP48E1|MULT(ADD|PREADD|ALU)\w+|PREADD\w+|ACC54\w*"
_MEMORIES = r"SB_RAM.*|TRELLIS_DPR16X4|DPR16X4|DP16K|DP16KD|PDPW?\d+KD?|PDPSC\w*|RAM\d.*|RAMB.*|[SD]PX?9?B?"
_IGNORED = r"PFUMX|L6MUX21|MUXF[78]|MUX2_LUT\d|WIDEFN9|GND|VCC|VLO|VHI|GSR"


@dataclass(frozen=True)
class LutSynthesis:
    """A design in the cells of an FPGA family, before packing.

    Attributes:
        tool: Yosys's version.
        family: the FPGA family.
        cells: number of cells of each type, in the whole hierarchy.
        luts: look-up tables (LUT4, or LUT6 on Xilinx), those inside carry chains included.
        carries: carry cells.
        flip_flops: flip-flops.
        dsps: multiplier blocks.
        memories: memory cells.
    """

    tool: str
    family: Family
    cells: Mapping[str, int]
    luts: int
    carries: int
    flip_flops: int
    dsps: int
    memories: int


def counted_cells(modules: Mapping[str, Any], top: str, family: Family) -> LutSynthesis:
    """Return what a netlist of a family's cells holds.

    Parameters:
        modules: of Yosys's JSON.
        top: the top module.
        family: the FPGA family.

    Raises:
        MacgenError: there are cells that macgen does not know.
    """
    cells = total_cells(modules, top)

    def count(pattern: str) -> int:
        return sum(number for name, number in cells.items() if re.fullmatch(pattern, name))

    known = "|".join([*_LUTS, _CARRIES, _FLIP_FLOPS, _DSPS, _MEMORIES, _IGNORED])
    if unknown := [name for name in cells if not re.fullmatch(known, name)]:
        raise MacgenError(f"synthesis for {family} gave cells that macgen does not know: {', '.join(sorted(unknown))}")
    return LutSynthesis(
        tool=f"Yosys {tools.require('yosys').version}",
        family=family,
        cells=cells,
        luts=sum(weight * count(pattern) for pattern, weight in _LUTS.items()),
        carries=count(_CARRIES),
        flip_flops=count(_FLIP_FLOPS),
        dsps=count(_DSPS),
        memories=count(_MEMORIES),
    )
