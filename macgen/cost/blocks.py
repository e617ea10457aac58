"""What each module of an array costs, of a synthesis that keeps them all.

The array that is priced has its modules dissolved into each other, so that no gate of it belongs to one. Here nothing
is optimised across modules, so that the whole differs by some per cent; what counts are the shares.
"""

from dataclasses import dataclass
from pathlib import Path

from macgen.cost import power
from macgen.cost.synthesize import synthesize_gates
from macgen.cost.workload import Workload, simulate
from macgen.spec import MacSpec


@dataclass(frozen=True)
class Block:
    """What the instances of one module of an array cost together, the modules inside them apart.

    Attributes:
        name: the module's, without the array's name before it; empty for the array itself.
        instances: how often it stands in the array.
        gate_equivalents: size of all of them in two-input NAND gates.
        area_um2: cell area of all of them; None without a Liberty file.
        power_mw: of all of them.
    """

    name: str
    instances: int
    gate_equivalents: float
    area_um2: float | None
    power_mw: float


def blocks_of(
    spec: MacSpec,
    verilog: Path,
    top: str,
    *,
    workload: Workload,
    workdir: Path,
    liberty: Path | None,
    clock_mhz: float,
    clock_gating: bool = False,
) -> tuple[Block, ...]:
    """Return what each module of an array costs, the largest first.

    Parameters:
        spec: the array.
        verilog: its Verilog.
        top: its top module.
        workload: what it computes while its power is estimated.
        workdir: directory for the synthesis, made if need be.
        liberty: Liberty file, plain or gzipped; None for generic gates.
        clock_mhz: clock that synthesis aims at and power is for.
        clock_gating: as of `synthesize_gates`.

    Raises:
        MacgenError: the Liberty file is refused.
        ToolError: Yosys failed, its log is in `workdir`; or the netlist computes something else.
    """
    gates = synthesize_gates(
        [verilog],
        top,
        workdir=workdir,
        liberty_file=liberty,
        period_ns=1e3 / clock_mhz,
        keep_modules=True,
        clock_gating=clock_gating,
    )
    netlist, cells = gates.netlist, gates.netlist.library.cells
    used = power.estimate(netlist, simulate(spec, netlist, workload).activity, clock_mhz=clock_mhz).modules
    sizes = netlist.by_module({kind: cells[kind].area for kind in netlist.pins})
    found = [
        Block(
            name=module.removeprefix(top).removeprefix("_"),
            instances=instances,
            gate_equivalents=size / netlist.library.nand2.area,
            area_um2=None if liberty is None else size,
            power_mw=used[module],
        )
        for module, instances, size in zip(netlist.modules, netlist.instances, sizes.tolist(), strict=True)
        if size
    ]
    return tuple(sorted(found, key=lambda block: (-block.gate_equivalents, block.name)))
