"""What an array costs, next to the same array with an accumulator of 32 bits."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from macgen import tools
from macgen.bundle.contents import verilog_of
from macgen.bundle.opening import digest, open_bundle
from macgen.cost.baseline import baseline_spec
from macgen.cost.corners import without_cells
from macgen.cost.input_file import InputFile
from macgen.cost.pricing import Cost, Pricer
from macgen.cost.workload import Workload, data_workload, random_workload
from macgen.errors import (
    MAX_COUNT,
    MacgenError,
    ToolError,
    check_flag,
    check_function,
    check_integer,
    check_path,
    check_type,
    is_real,
    shown,
)
from macgen.spec import MacSpec

DEFAULT_CLOCK_MHZ = 500.0


@dataclass(frozen=True)
class Report:
    """The cost of a bundle's array and of its baseline.

    Attributes:
        name: of the array.
        spec: as JSON values.
        cost: of the array.
        baseline: of the same array with an accumulator of 32 bits; None if the operands do not fit one.
        baseline_unavailable: why there is no baseline.
        conditions: what the figures hold for: tools, library, data, clock, delay model.
        notes: sentences on what is unusual.
        tools: versions of what wrote the Verilog, as the bundle says them.
        files: what the figures rest on: the Verilog, Liberty files, operands.
    """

    name: str
    spec: dict[str, Any]
    cost: Cost
    baseline: Cost | None
    baseline_unavailable: str | None
    conditions: dict[str, Any]
    notes: tuple[str, ...]
    tools: dict[str, str] = field(default_factory=dict)
    files: tuple[InputFile, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values, with the ratios to the baseline."""
        return {**asdict(self), "ratios": self.ratios}

    @property
    def ratios(self) -> dict[str, float]:
        """Cost of the array divided by the baseline's, of every figure that both have."""
        if self.baseline is None:
            return {}
        own, other = figures(self.cost), figures(self.baseline)
        return {name: own[name] / other[name] for name in own if other.get(name)}


def figures(cost: Cost) -> dict[str, float]:
    """Return the figures of a cost that can be compared, by name."""
    values: dict[str, float | None] = {
        "cells": cost.total_cells,
        "gate_equivalents": cost.gate_equivalents,
        "flip_flops": cost.flip_flops,
        "counter_gate_equivalents": None if cost.counters is None else cost.counters.gate_equivalents,
        "counter_flip_flops": None if cost.counters is None else cost.counters.flip_flops,
        "counter_area_um2": None if cost.counters is None else cost.counters.area_um2,
        "depth": cost.depth,
        "area_um2": cost.area_um2,
        "minimum_period_ns": cost.minimum_period_ns,
        **{f"luts_{family}": count for family, count in cost.luts.items()},
        **{f"dsps_{family}": count for family, count in cost.dsps.items() if family != "ice40"},
        "power_mw": cost.power_mw["total"],
        "energy_per_mac_pj": cost.energy_per_mac_pj,
    }
    return {name: value for name, value in values.items() if value is not None}


def report(
    bundle: str | os.PathLike[str],
    *,
    liberty: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    dont_use: Sequence[str] = (),
    data: str | os.PathLike[str] | None = None,
    clock_mhz: float = DEFAULT_CLOCK_MHZ,
    seed: int = 1,
    clock_gating: bool = False,
    by_block: bool = False,
    trust: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Report:
    """Synthesize a bundle's Verilog and its baseline's, and estimate their power.

    Parameters:
        bundle: what `build` returned, or its directory; only read.
        liberty: Liberty file, plain or gzipped; None for generic gates with built-in energies. Of several, which have
            the same cells at other corners, the array is mapped to the first.
        dont_use: patterns of names of cells that synthesis is not to use, with * and ?.
        data: .npz file with the operands for the power estimate; None for random ones.
        clock_mhz: clock for the power figures, and the one that synthesis aims at.
        seed: of the random operands, or of the choice among the given ones.
        clock_gating: put registers with a common enable behind a clock gate of the Liberty file, in both arrays.
        by_block: synthesize the array once more, with its modules kept, and say what each of them costs.
        trust: accept Verilog that macgen did not write; it is run as it is, see `macgen.bundle.open_bundle`.
        progress: is called with what is being done.

    Raises:
        MacgenError: an argument is refused.
        ToolError: Yosys or OpenSTA failed; its log is kept and named.
    """
    check_function("progress", progress)
    clock_gating = check_flag("clock_gating", clock_gating)
    by_block = check_flag("by_block", by_block)
    seed = check_integer("seed", seed, 0, MAX_COUNT)
    opened = open_bundle(bundle, trust=trust)
    manifest = opened.manifest
    spec = manifest.spec.core
    if trust and spec != manifest.spec:
        raise MacgenError(
            f"trust does not go with {manifest.name}'s ports ({', '.join(_ports_of(manifest.spec))}); accepted are "
            f"bundles with native ports, a synchronous reset, active high, and no clock enable"
        )
    if not is_real(clock_mhz) or not 1e-3 <= clock_mhz <= 1e5:
        raise MacgenError(f"clock-mhz {shown(clock_mhz)} is not from 0.001 to 100000")
    libraries = [] if liberty is None else list(liberty) if isinstance(liberty, list | tuple) else [liberty]
    files = [check_path("liberty", file) for file in libraries]
    patterns: list[Any] = list(dont_use) if isinstance(dont_use, list | tuple) else [dont_use]
    for pattern in patterns:
        check_type("dont-use", pattern, str, "names of cells, with * and ?")
    if patterns and not files:
        raise MacgenError(f"dont-use {shown(patterns[0])} is given without liberty; accepted is it with a Liberty file")
    file = None if data is None else check_path("data", data)

    if clock_gating and not files:
        raise MacgenError("clock-gating is given without liberty; accepted is it with a Liberty file")

    def workload_of(of: MacSpec) -> Workload:
        return random_workload(of, seed) if file is None else data_workload(of, file, seed)

    workload = workload_of(spec.mode(0))
    given = [InputFile.of("liberty", path) for path in files]
    given += [] if file is None else [InputFile.of("data", file)]
    notes = list(opened.notes)
    if spec != manifest.spec:
        notes.append(
            f"priced is the array without its ports ({', '.join(_ports_of(manifest.spec))}): as with native ports, a "
            f"synchronous reset, active high, and no clock enable"
        )
    try:
        other, unavailable = baseline_spec(spec), None
    except MacgenError as error:
        other, unavailable = None, str(error)
    with tools.work_directory(None, "report") as work:
        mapped = [] if not patterns else [without_cells(files[0], patterns, work.path / "library.lib")]
        price = Pricer(
            work=work.path,
            libraries=[*mapped, *files[len(mapped) :]],
            files=files,
            clock_mhz=float(clock_mhz),
            workload=workload,
            workload_of=workload_of,
            progress=progress,
            clock_gating=clock_gating,
        )

        def price_own() -> tuple[Cost, dict[str, Any]]:
            verilog = work.path / "array.v"
            own = opened.verilog if spec == manifest.spec else verilog_of(spec, manifest.name).encode()
            verilog.write_bytes(own)
            cost, conditions = price.cost("array", spec, verilog, manifest.top)
            if spec.counters is not None:
                cost = replace(cost, counters=price.counters(spec, cost))
            if by_block:
                cost = replace(cost, blocks=price.blocks("array", spec, verilog, manifest.top))
            return cost, conditions

        def price_baseline() -> tuple[Cost, dict[str, Any]]:
            assert other is not None
            verilog = work.path / "baseline.v"
            verilog.write_text(verilog_of(other, "baseline"), encoding="utf-8")
            return price.cost("baseline", other, verilog, "baseline")

        jobs = [price_own] if other is None or other == spec else [price_own, price_baseline]
        work.keep = False
        try:
            (cost, conditions), *others = tools.side_by_side(*jobs)
        except ToolError:
            work.keep = True  # with the log that it names
            raise
    baseline = others[0][0] if others else cost if other == spec else None
    if cost.minimum_period_ns is not None and cost.minimum_period_ns > 1e3 / clock_mhz:
        notes.append(
            f"the array does not reach {clock_mhz:g} MHz: its minimum period is {cost.minimum_period_ns:.2f} ns"
        )
    return Report(
        name=manifest.name,
        spec=manifest.spec.to_dict(),
        cost=cost,
        baseline=baseline,
        baseline_unavailable=unavailable,
        conditions=conditions,
        notes=tuple(notes),
        tools=dict(manifest.tools),
        files=(InputFile(manifest.verilog, digest(opened.verilog)), *given),
    )


def _ports_of(spec: MacSpec) -> tuple[str, ...]:
    """Return what a spec says of its ports, in a few words each."""
    return spec.extras[len(spec.core.extras) :]
