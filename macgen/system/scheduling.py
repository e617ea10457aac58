"""Matrix products on an array: tiles, cycles, utilisation, bytes and energy, before anything runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from macgen.bundle.manifest import load_manifest
from macgen.cost.estimate import Report
from macgen.errors import MacgenError, check_choices, check_function, check_path, check_type, shown, shown_path
from macgen.network.gemm import KINDS, Gemm, Layer, Network
from macgen.network.papers import paper_network
from macgen.spec import MacSpec
from macgen.spec_fields import Interface
from macgen.system.energy import Energy, energy_of
from macgen.system.tiling import MatrixProduct, Tiling
from macgen.system.timing import Cycles, cycles
from macgen.system.traffic import Traffic, traffic

SCHEMA = 1

_Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Row:
    """A matrix product on the array.

    Attributes:
        layer: the layer's name; empty for a product of its own.
        kind: `forward`, `backward` or `gradient`.
        tiling: its tiles.
        macs: multiply-accumulates; fewer than its shape has where many dot products are shorter than the longest.
        cycles: clock cycles without stalls, from the first beat to the last result.
        traffic: bytes of operands and results.
        energy_uj: energy of the array; None without a report.
    """

    layer: str
    kind: str
    tiling: Tiling
    macs: int
    cycles: Cycles
    traffic: Traffic
    energy_uj: float | None

    @property
    def utilisation(self) -> float:
        """Share of the multiply-accumulates that the array could do in these cycles."""
        return self.macs / (self.cycles.total * peak(self.tiling.spec))

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        tiling, product, of_cycles, moved = self.tiling, self.tiling.product, self.cycles, self.traffic
        total = of_cycles.total
        return {
            "layer": self.layer,
            "kind": self.kind,
            **asdict(product),
            "macs": self.macs,
            "tile_rows": tiling.tile_rows,
            "tile_cols": tiling.tile_cols,
            "tiles": tiling.tiles,
            "rounds": tiling.rounds,
            "steps": tiling.steps,
            "cycles": {
                "total": total,
                "beats": of_cycles.beats,
                "folds": of_cycles.folds,
                "held": of_cycles.held,
                "drain": of_cycles.drain,
                "of_a_stall": of_cycles.turns,
            },
            "utilisation": self.utilisation,
            "padding": 1 - product.macs / (of_cycles.beats * peak(tiling.spec)),
            "bytes": {
                **asdict(moved),
                "operands_a_cycle": moved.operands / total,
                "results_a_cycle": moved.results / total,
                "once_a_cycle": moved.once / total,
            },
            "energy_uj": self.energy_uj,
        }


@dataclass(frozen=True)
class Schedule:
    """Matrix products that an array computes one after the other.

    Attributes:
        name: of the array's bundle; empty for a spec.
        network: of the network; empty without one.
        batch: examples computed together; 0 without a network.
        spec: the array.
        rows: in the order of computation.
        energy: of the array's cycles; None without a report.
        uncounted: operations of the network that have multiply-accumulates, or may have, and no row, by name, and how
            often each occurs.
    """

    name: str
    network: str
    batch: int
    spec: MacSpec
    rows: tuple[Row, ...]
    energy: Energy | None
    uncounted: Mapping[str, int]

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences (without their full stops) on what the figures leave out."""
        if self.spec.interface != Interface.AXI_STREAM:
            return ()
        return ("cycles and bytes are those of the core, without its AXI4-Stream ports, whose fields are whole bytes",)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all products."""
        return sum(row.macs for row in self.rows)

    @property
    def cycles(self) -> int:
        """Cycles of all products; each begins when the results of the one before have left."""
        return sum(row.cycles.total for row in self.rows)

    @property
    def utilisation(self) -> float:
        """Share of the multiply-accumulates that the array could do in these cycles."""
        return self.macs / (self.cycles * peak(self.spec))

    @property
    def energy_uj(self) -> float | None:
        """Energy of the array; None without a report."""
        return None if self.energy is None else sum(row.energy_uj or 0.0 for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the schedule as JSON values."""
        energy = self.energy
        return {
            "schema": SCHEMA,
            "name": self.name,
            "network": self.network,
            "batch": self.batch,
            "spec": self.spec.to_dict(),
            "peak_macs_a_cycle": peak(self.spec),
            "rows": [row.to_dict() for row in self.rows],
            "macs": self.macs,
            "cycles": self.cycles,
            "utilisation": self.utilisation,
            "energy_uj": self.energy_uj,
            "energy_a_cycle_pj": None if energy is None else {"busy": energy.busy_pj, "idle": energy.idle_pj},
            "conditions": None if energy is None else dict(energy.conditions),
            "uncounted": dict(self.uncounted),
            "notes": list(self.notes),
        }


def peak(spec: MacSpec) -> int:
    """Return the most multiply-accumulates that an array does in a cycle."""
    return spec.rows * spec.cols * spec.lanes


def schedule(
    array: MacSpec | str | os.PathLike[str],
    *,
    gemms: Iterable[_Shape | MatrixProduct] = (),
    network: str | Network | None = None,
    model: str | os.PathLike[str] | None = None,
    batch: int | None = None,
    dims: Mapping[str, int] | None = None,
    only: Collection[str] | None = None,
    report: Report | str | os.PathLike[str] | None = None,
    mode: int | str = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Schedule:
    """Compute how an array works through matrix products, or through every layer of a network.

    Parameters:
        array: what `build` returned, its directory, or a spec.
        gemms: products, each (M, N, K) for an M x K matrix times a K x N matrix, or a MatrixProduct.
        network: instead, a network of the papers, by its name, or one of your own.
        model: instead, an ONNX file.
        batch: examples computed together, with a network's name or a model; None: 1, or as the model says.
        dims: sizes of a model's open dimensions, by name.
        only: kinds of GEMMs, of `forward`, `backward`, `gradient`, with a network or a model; None: `forward`.
        report: the record of `macgen.report`, or the file that `macgen report --json` wrote: it gives the energy.
        mode: number or name of the mode in which the array works; without `report`, unless it is `full`.
        progress: is called with what is being done.

    Raises:
        MacgenError: an argument is refused, or does not go with another.
        ToolError: the package onnx, which a model needs, is missing.
    """
    check_function("progress", progress)
    name, spec = ("", array) if isinstance(array, MacSpec) else _of_bundle(array)
    products = _products(gemms)
    sources = {"gemm": bool(products), "network": network is not None, "model": model is not None}
    given = [what for what, is_given in sources.items() if is_given]
    if len(given) != 1:
        raise MacgenError(
            f"{' and '.join(given) or 'nothing'} given to compute; accepted is one of --gemm MxNxK, --network NAME and "
            f"a file MODEL.onnx"
        )
    kinds = check_choices("only", ("forward",) if only is None else only, KINDS)
    energy = None if report is None else energy_of(report, spec)
    if number := spec.mode_number(mode):
        if report is not None:
            raise MacgenError(
                f"report does not go with mode {spec.mode_names[number]}: its energy is that of mode full; accepted is "
                f"one of the two"
            )
        spec = spec.mode(number)
    if products:
        kind = None if only is None else " ".join(kinds)
        for what, value in (("batch", batch), ("dim", next(iter(dims or {}), None)), ("only", kind)):
            if value is not None:
                raise MacgenError(
                    f"{what} {shown(value)} does not go with gemm; accepted is it with a network or model"
                )
        rows = tuple(_row(spec, "", "forward", product, product.macs, energy) for product in products)
        return Schedule(name, "", 0, spec, rows, energy, {})
    found = _network(network, model, batch, dims, progress)
    progress("laying out tiles")
    rows = tuple(
        _row(spec, layer.name, gemm.kind, _product(layer, gemm), gemm.macs, energy)
        for layer, gemm in found.gemms()
        if gemm.kind in kinds
    )
    if not rows:
        raise MacgenError(
            f"network {shown(found.name)} has no GEMMs that are {' or '.join(kinds) or 'of no kind'}; accepted are "
            f"some of {', '.join(KINDS)}"
        )
    uncounted = {what: found.skipped[what] for what in (*found.uncounted, *found.unknown)}
    return Schedule(name, found.name, found.batch, spec, rows, energy, uncounted)


def _of_bundle(bundle: str | os.PathLike[str]) -> tuple[str, MacSpec]:
    manifest = load_manifest(check_path("bundle", bundle))
    return manifest.name, manifest.spec


def _products(gemms: Iterable[_Shape | MatrixProduct]) -> Sequence[MatrixProduct]:
    try:
        given = tuple(gemms)
    except TypeError:
        raise MacgenError(f"gemms {shown(gemms)} is no collection; accepted are tuples (M, N, K)") from None
    products = []
    for gemm in given:
        if isinstance(gemm, MatrixProduct):
            products.append(gemm)
            continue
        if not isinstance(gemm, tuple | list) or len(gemm) != 3:
            raise MacgenError(f"gemm {shown(gemm)} is no size; accepted is a tuple (M, N, K)")
        try:
            products.append(MatrixProduct(gemm[0], gemm[2], gemm[1]))
        except MacgenError as error:
            raise MacgenError(f"gemm {shown(gemm)}: {error}") from None
    return products


def _network(
    network: str | Network | None,
    model: str | os.PathLike[str] | None,
    batch: int | None,
    dims: Mapping[str, int] | None,
    progress: Callable[[str], None],
) -> Network:
    if dims is not None:
        check_type("dims", dims, Mapping, "a mapping of names to sizes")
    if model is not None:
        from macgen.network.onnx_model import from_onnx

        file = check_path("model", model)
        progress(f"reading {shown_path(file)}")
        return from_onnx(file, batch=batch, dims=dims)
    if dims:
        raise MacgenError(f"dim {shown(next(iter(dims)))} does not go with network; accepted is it with a model")
    if not isinstance(network, Network):
        return paper_network(network, 1 if batch is None else batch)  # type: ignore[arg-type]  # refused there
    if batch is not None:
        raise MacgenError(f"batch {shown(batch)} does not go with a network of your own, which has one already")
    return network


def _product(layer: Layer, gemm: Gemm) -> MatrixProduct:
    if not gemm.products:
        raise MacgenError(
            f"{gemm.kind} GEMM of layer {shown(layer.name)} has no rows and cols; accepted is one that says of which "
            f"matrices its {gemm.outputs} dot products are"
        )
    return MatrixProduct(gemm.rows, gemm.length, gemm.cols, gemm.products)


def _row(spec: MacSpec, layer: str, kind: str, product: MatrixProduct, macs: int, energy: Energy | None) -> Row:
    tiling = Tiling(spec, product)
    of_cycles = cycles(tiling)
    return Row(layer, kind, tiling, macs, of_cycles, traffic(tiling), None if energy is None else energy.of(of_cycles))
