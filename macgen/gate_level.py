"""The synthesized netlist of a bundle, of cells that do what their Liberty functions say, in the testbench."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from macgen import tools
from macgen.bundle.opening import open_bundle
from macgen.cost.estimate import DEFAULT_CLOCK_MHZ
from macgen.cost.synthesize import gate_level_verilog, synthesize_gates
from macgen.errors import ToolError, check_flag, check_function, check_path
from macgen.simulate.session import DEFAULT_TIMEOUT
from macgen.simulate.simulators import SimulatorChoice, check_simulator
from macgen.simulate.verify import VerifyResult, checked_draws, verify_opened


def verify_netlist(
    bundle: str | os.PathLike[str],
    *,
    liberty: str | os.PathLike[str] | None = None,
    clock_gating: bool = False,
    simulator: SimulatorChoice = "auto",
    seed: int = 1,
    tiles: int | None = None,
    trust: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
    progress: Callable[[str], None] = lambda _: None,
) -> VerifyResult:
    """Synthesize a bundle's Verilog as `macgen report` does, and test the netlist against the golden model.

    Cells have no delays, and flip-flops start with random states.

    Parameters:
        bundle: what `build` returned, or its directory; only read.
        liberty: Liberty file, plain or gzipped; None for generic gates.
        clock_gating: put registers with a common enable behind a clock gate of the Liberty file.
        simulator: which simulator, see SimulatorChoice.
        seed: seed of all random choices of the testbench.
        tiles: random tiles of the main random test; None for the testbench's default.
        trust: accept Verilog that macgen did not write; it is run as it is, see `macgen.bundle.open_bundle`.
        timeout: limit in seconds of each tool.
        progress: is called with what is being done.

    Returns:
        What was tested and found; a note says of which cells the netlist was.

    Raises:
        MacgenError: the bundle, the library or an argument is refused.
        ToolError: a tool is missing, failed or ran out of time; the sentence names the log.
    """
    check_function("progress", progress)
    check_simulator(simulator)
    tools.check_timeout(timeout)
    seed, tiles = checked_draws(seed, tiles)
    clock_gating = check_flag("clock_gating", clock_gating)
    library = None if liberty is None else check_path("liberty", liberty)
    opened = open_bundle(check_path("bundle", bundle).resolve(), trust=trust)
    manifest = opened.manifest
    progress("synthesis")
    with tools.work_directory(None, "netlist") as work:
        verilog = work.path / "array.v"
        verilog.write_bytes(opened.verilog)
        work.keep = False
        try:
            gates = synthesize_gates(
                [verilog],
                manifest.top,
                workdir=work.path / "gates",
                liberty_file=library,
                period_ns=1e3 / DEFAULT_CLOCK_MHZ,
                clock_gating=clock_gating,
                timeout=timeout,
            )
        except ToolError:
            work.keep = True  # with the log that it names
            raise
        text = gate_level_verilog(work.path / "gates", manifest.top, library)
    progress("simulation")
    cells = f"{gates.total_cells:,} cells of {gates.library}{', with gated clocks' if clock_gating else ''}"
    note = f"what was simulated is a netlist of {cells}, synthesized by {gates.tool}"
    netlist = replace(
        opened, contents={**opened.contents, manifest.verilog: text.encode()}, notes=(*opened.notes, note)
    )
    return verify_opened(netlist, simulator=simulator, seed=seed, tiles=tiles, workdir=None, timeout=timeout)
