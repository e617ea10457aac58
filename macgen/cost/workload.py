"""What an array computes while its power is estimated: operands at full rate, through the synthesized netlist."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen import golden
from macgen.cost.netlist.netlist import Netlist
from macgen.cost.netlist.simulator import Activity, NetlistSimulator
from macgen.errors import MacgenError, ToolError, shown
from macgen.network.numpy_file import NumpyFile
from macgen.numerics import FloatFormat, Format
from macgen.numerics.embedding import embedded
from macgen.numerics.flags import FLAG_BITS
from macgen.spec import MacSpec

LANES = 64
"""Independent tiles that are simulated at once, each with operands of its own."""

_LEAST_PRODUCTS, _MOST_PRODUCTS = 128, 512
_ROUNDS = 2  # of a tile for each turn: the first fills the array, the second is counted


@dataclass(frozen=True, eq=False)
class Workload:
    """Operand codes of the tiles that are streamed, back to back, those of the turns alternately.

    Attributes:
        description: one line that a report can print.
        a: (tiles, lanes, rows, products) codes.
        b: (tiles, lanes, products, cols) codes.
        a_scales: (tiles, lanes, rows, chunks) codes, where the array takes scales; with those of lanes a scale for each
            block.
        b_scales: (tiles, lanes, chunks, cols) codes.
        starts: (tiles, lanes, rows, cols) codes of start values, where the array takes them.
    """

    description: str
    a: NDArray[Any]
    b: NDArray[Any]
    a_scales: NDArray[Any] | None = None
    b_scales: NDArray[Any] | None = None
    starts: NDArray[Any] | None = None

    @property
    def products(self) -> int:
        """Products in each sum."""
        return int(self.a.shape[3])


@dataclass(frozen=True, eq=False)
class Run:
    """A netlist's activity under a workload.

    Attributes:
        activity: toggles of every net.
        cycles_per_mac: clock cycles in which one PE takes one product, bubbles counted.
        results_checked: results of the netlist that were compared with the golden model, all equal.
    """

    activity: Activity
    cycles_per_mac: float
    results_checked: int


def random_workload(spec: MacSpec, seed: int) -> Workload:
    """Return normal random operands: of standard deviation 1, or a quarter of the format's range if that is less.

    Integer and fixed-point operands always use a quarter of their range. Start values are drawn likewise.
    """
    rng = np.random.default_rng(seed)
    products = min(max(_LEAST_PRODUCTS, 2 * (spec.chunk or 0)), _MOST_PRODUCTS)
    tiles = _ROUNDS * spec.interleave
    a = _normal_codes(rng, spec.a, (tiles, LANES, spec.rows, products))
    b = _normal_codes(rng, spec.b, (tiles, LANES, products, spec.cols))
    described = "" if spec.scale is None else ", scales from 1/2 to 2"
    likewise = ", start values likewise" if spec.preload else ""
    a_scales, b_scales = _scales(spec, products, rng.integers(-1, 2, (tiles, LANES, spec.rows + spec.cols)))
    return Workload(
        f"random normal operands{described}{likewise}, {tiles} x {LANES} tiles of {products} products, seed {seed}",
        a,
        b,
        a_scales,
        b_scales,
        _starts(spec, rng, tiles),
    )


def _normal_codes(rng: np.random.Generator, fmt: Format, shape: tuple[int, ...]) -> NDArray[Any]:
    deviation = fmt.max / 4
    if isinstance(fmt, FloatFormat):
        deviation = min(1.0, deviation)
    return np.asarray(fmt.encode(fmt.quantize(rng.normal(0, deviation, shape))))


def _starts(spec: MacSpec, rng: np.random.Generator, tiles: int) -> NDArray[Any] | None:
    """Return random start values, if the array takes any."""
    return _normal_codes(rng, spec.outer_format, (tiles, LANES, spec.rows, spec.cols)) if spec.preload else None


def _scales(
    spec: MacSpec, products: int, exponents: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]] | tuple[None, None]:
    """Return a workload's scales, if it has any: the same for each chunk or block.

    Parameters:
        spec: the array.
        products: in each sum.
        exponents: of two, (tiles, lanes, rows + cols).
    """
    if spec.scale is None:
        return None, None
    values = np.exp2(exponents)
    if isinstance(spec.scale, FloatFormat):
        values = spec.scale.quantize(values)
    codes = spec.scale.encode(values)
    count = spec.scale_count(products)
    a, b = codes[..., : spec.rows], codes[..., spec.rows :]
    return np.repeat(a[..., :, None], count, axis=-1), np.repeat(b[..., None, :], count, axis=-2)


def data_workload(spec: MacSpec, file: Path, seed: int) -> Workload:
    """Return operands from the matrices `a` (M, K) and `b` (K, N) of real numbers in an .npz file, quantised.

    Each tile takes random rows of a and columns of b; of longer sums the first 512 products. The rest of the matrices
    is not looked at.

    Raises:
        MacgenError: the file cannot be read, does not hold two such matrices, or what is taken of them is not finite.
    """
    stored = NumpyFile(file, "an .npz of NumPy")
    matrices = []
    for key in "ab":
        if not stored.packed or key not in stored.names:
            raise MacgenError(f"{stored.name} has no array {key!r}; accepted are arrays a and b")
        matrices.append(stored.array(key))
    a, b = matrices
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[1] != b.shape[0] or 0 in a.shape + b.shape:
        raise MacgenError(
            f"{stored.name} has a of shape {shown(a.shape)} and b of shape {shown(b.shape)}; accepted are (M, K) and "
            f"(K, N)"
        )
    rng = np.random.default_rng(seed)
    products = min(a.shape[1], _MOST_PRODUCTS)
    tiles = _ROUNDS * spec.interleave
    rows = rng.integers(0, a.shape[0], (tiles, LANES, spec.rows))
    cols = rng.integers(0, b.shape[1], (tiles, LANES, spec.cols))
    taken_rows, row_of = np.unique(rows.ravel(), return_inverse=True)
    taken_cols, col_of = np.unique(cols.ravel(), return_inverse=True)
    a_codes = _codes(stored, spec.a, a.part(taken_rows, np.arange(products)))
    b_codes = _codes(stored, spec.b, b.part(np.arange(products), taken_cols))
    described = "" if spec.scale is None else ", scales of 1"
    random = ", random normal start values" if spec.preload else ""
    a_scales, b_scales = _scales(spec, products, np.zeros((tiles, LANES, spec.rows + spec.cols)))
    return Workload(
        f"{file.name}: {tiles} x {LANES} tiles of random rows and columns{described}{random}, {products} products, "
        f"seed {seed}",
        a_codes[row_of.reshape(rows.shape)],
        np.moveaxis(b_codes.T[col_of.reshape(cols.shape)], -1, -2),
        a_scales,
        b_scales,
        _starts(spec, rng, tiles),
    )


def _codes(stored: NumpyFile, fmt: Format, numbers: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(all="ignore"):  # of reals wider than binary64
        values = np.asarray(numbers, np.float64)
    if not np.isfinite(values).all():
        raise MacgenError(f"{stored.name} holds infinities or NaN; accepted are finite numbers")
    return np.asarray(fmt.encode(fmt.quantize(values)))


def simulate(spec: MacSpec, netlist: Netlist, workload: Workload, mode: int = 0) -> Run:
    """Stream a workload through a netlist of the array, in the mode whose codes it has, and count toggles.

    Counted are the cycles from the first to the last operands of the last round of tiles; the results of the round
    before leave meanwhile. The results of one lane are compared with the golden model.

    Raises:
        ToolError: the netlist computes something else, which would make its cost meaningless.
    """
    run = NetlistSimulator(netlist, LANES)
    for port in ("a_valid", "b_valid", "a_first", "a_last"):
        run.set(port, [[0]])
    if spec.modes:
        run.set("a_mode", [[mode >> bit & 1] for bit in range((len(spec.mode_names) - 1).bit_length())])
    if spec.counters is not None:
        run.set("count_clear", [[0]])
    starts = _start_beats(spec, workload)
    if spec.preload:
        run.set("d_valid", [[1]])
        run.set("d_data", next(starts))
    run.set("c_ready", [[1]])
    run.set("rst", [[1]])
    run.tick()
    run.set("rst", [[0]])
    run.set("a_valid", [[1]])
    run.set("b_valid", [[1]])
    results: list[list[int]] = []
    counted = 0
    limit = 4 * spec.interleave * (workload.products + 4 * (spec.rows + spec.cols) + 64)

    def tick() -> None:
        if run.get("c_valid")[0, 0]:
            results.append(
                _words(run.get("c_data")[:, 0], spec.out_format.width) + _words(run.get("c_flags")[:, 0], FLAG_BITS)
            )
        taken = spec.preload and run.get("d_ready")[0, 0]
        run.tick()
        if taken:
            run.set("d_data", next(starts))

    tiles, turns, beats = len(workload.a), spec.interleave, -(-workload.products // spec.on_wires(mode).lanes)
    for first in range(0, tiles, turns):
        counts = first == tiles - turns
        for beat, tile in product(range(beats), range(first, first + turns)):
            for port, value in _beat(spec, workload, tile, beat, mode).items():
                run.set(port, value)
            run.set("a_last", [[beat == beats - 1]])
            if counts and beat == 0 and tile == first:
                run.start_counting()
            for _ in range(limit):
                accepted = run.get("a_ready")[0, 0]
                counted += counts
                tick()
                if accepted:
                    break
            else:
                raise MacgenError(f"netlist {netlist.top} takes no operands; accepted is a netlist of a macgen array")
    activity = run.activity()
    run.set("a_valid", [[0]])
    for _ in range(limit):
        if len(results) == tiles * spec.rows:
            break
        tick()
    _check(spec, netlist, workload, results, mode)
    return Run(activity, counted / (turns * workload.products), len(results) * spec.cols)


def _beat(spec: MacSpec, workload: Workload, tile: int, beat: int, mode: int) -> dict[str, NDArray[np.uint8]]:
    """Return the bits of one beat's ports; the lanes that it does not need hold zero."""
    of_mode, spec = spec.mode(mode), spec.on_wires(mode)
    products = slice(beat * spec.lanes, min((beat + 1) * spec.lanes, workload.products))
    a, b = workload.a[tile, :, :, products], np.moveaxis(workload.b[tile, :, products, :], 1, 2)
    unused = ((0, 0), (0, 0), (0, spec.lanes - a.shape[2]))
    a, b = embedded(a, of_mode.a, spec.a), embedded(b, of_mode.b, spec.b)
    a, b = np.pad(a, unused, constant_values=spec.a.zero_code()), np.pad(b, unused, constant_values=spec.b.zero_code())
    ports = {"a_data": _bits(a.reshape(LANES, -1), spec.a.width), "b_data": _bits(b.reshape(LANES, -1), spec.b.width)}
    if workload.a_scales is not None and workload.b_scales is not None and spec.scale is not None:
        count = spec.scales_in_beat
        first = beat * count if spec.scales_lanes else products.start // (spec.chunk or workload.products)
        a, b = workload.a_scales[tile, :, :, first : first + count], workload.b_scales[tile, :, first : first + count]
        unused = ((0, 0), (0, 0), (0, count - a.shape[2]))  # blocks without an element have scales of code 0
        ports["a_scale"] = _bits(np.pad(a, unused).reshape(LANES, -1), spec.scale.width)
        ports["b_scale"] = _bits(np.pad(np.moveaxis(b, 1, 2), unused).reshape(LANES, -1), spec.scale.width)
    return ports


def _start_beats(spec: MacSpec, workload: Workload) -> Iterator[NDArray[np.uint8]]:
    """Yield the bits of the beats of start values: after the last tiles' the first ones' again, as rounds go on."""
    tiles, turns = len(workload.a), spec.interleave
    if workload.starts is None:
        return
    for first in cycle(range(0, tiles, turns)):
        for row, turn in product(range(spec.rows), range(turns)):
            yield _bits(workload.starts[first + turn, :, row], spec.outer_format.width)


def _check(array: MacSpec, netlist: Netlist, workload: Workload, results: list[list[int]], mode: int) -> None:
    spec = array.mode(mode)
    expected: list[list[int]] = []
    for first in range(0, len(workload.a), spec.interleave):
        before = first // spec.interleave * golden.draws(spec, workload.products)
        for row, turn in product(range(spec.rows), range(spec.interleave)):
            dots = [_dot(spec, workload, first + turn, row, col, before, turn) for col in range(spec.cols)]
            codes = [embedded(code, spec.out_format, array.out_format) for code, _ in dots]
            expected.append(codes + [int(flags) for _, flags in dots])
    if results != expected:
        raise ToolError(f"netlist {netlist.top} computes other results than the golden model: it is not priced")


def _dot(
    spec: MacSpec, workload: Workload, tile: int, row: int, col: int, before: int, turn: int
) -> tuple[int, golden.Flags]:
    scales: dict[str, Any] = {}
    if workload.starts is not None:
        scales["preload"] = int(workload.starts[tile, 0, row, col])
    if workload.a_scales is not None and workload.b_scales is not None:
        scales |= {"a_scales": workload.a_scales[tile, 0, row], "b_scales": workload.b_scales[tile, 0, :, col]}
    pe, start = ((0, col), before + row) if spec.random_place == "out" else ((row, col), before)
    return golden.dot(spec, workload.a[tile, 0, row], workload.b[tile, 0, :, col], pe, start, turn, **scales)


def _bits(codes: NDArray[Any], width: int) -> NDArray[np.uint8]:
    """Return the bits of (lanes, n) codes as (n * width, lanes)."""
    kind = np.dtype(np.uint64 if width <= 64 else object)
    wide = codes.T.astype(kind)[:, None, :] >> np.arange(width).astype(kind)[None, :, None]
    return (wide & 1).astype(np.uint8).reshape(-1, codes.shape[0])


def _words(bits: NDArray[np.uint8], width: int) -> list[int]:
    """Return the integers of `width` bits that a port's bits hold."""
    digits = "".join(map(str, bits[::-1]))
    return [int(digits[len(digits) - low - width : len(digits) - low], 2) for low in range(0, len(digits), width)]
