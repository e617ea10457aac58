"""The products of one layer: in float32, in float32 while its values are watched, exactly, or on a spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from macgen import emulate
from macgen.emulate import Counts
from macgen.emulate.exact import kernel
from macgen.errors import MacgenError, shown
from macgen.nn.scaling import Scales, Seen, block_scales, ends
from macgen.numerics import FloatFormat, Format
from macgen.numerics.nearest import applies, held_by_float32, nearest
from macgen.spec import MacSpec

Array = NDArray[Any]
Index = tuple[int, ...]
ALL = slice(None)


class Products(Protocol):
    """How the products of one layer are computed.

    An operation gives its operands to `operands` once, and multiplies matrices that it makes of what comes back.
    """

    def operands(self, a: Array, b: Array) -> tuple[Array, Array]:
        """Return both operands as they are multiplied.

        Parameters:
            a: of any shape.
            b: (..., K, N), the last axis the output channels.
        """

    def matmul(self, a: Array, b: Array, index: Index = (), columns: slice = ALL) -> Array:
        """Return the product of matrices (M, K) and (K, N) in the units of the network.

        Parameters:
            a, b: of what `operands` returned.
            index: where b stands in a stack.
            columns: which of its columns are given.
        """

    def each(self, a: Array, b: Array) -> Array:
        """Return (G, M) dot products of rows (G, M, K) with columns (G, K, 1): a depthwise convolution's."""


def working_type(x: Array) -> type[np.float32 | np.float64]:
    """Return the type in which sums of a network's tensors are held; float32 would round integers and float64."""
    return np.float64 if x.dtype.kind in "iu" or x.dtype == np.float64 else np.float32


class Float32:
    """Products in float32, as NumPy's BLAS computes them; of integers and float64 in float64."""

    def operands(self, a: Array, b: Array) -> tuple[Array, Array]:
        """Return both in their working type."""
        return np.asarray(a, dtype=working_type(a)), np.asarray(b, dtype=working_type(b))

    def matmul(self, a: Array, b: Array, index: Index = (), columns: slice = ALL) -> Array:
        """Return the product."""
        with np.errstate(all="ignore"):
            return np.asarray(a @ b)

    def each(self, a: Array, b: Array) -> Array:
        """Return the dot products."""
        with np.errstate(all="ignore"):
            return np.asarray(np.einsum("gmk,gk->gm", a, b[..., 0]))


class Watched(Float32):
    """The same, and `seen` is filled in.

    Parameters:
        name: of the layer.
        weights: whether b holds weights; if not, nothing is told apart by channel.

    Attributes:
        seen: the ends of its values.
    """

    def __init__(self, name: str, weights: bool) -> None:
        self._name = name
        self._weights = weights
        self.seen = Seen()

    def operands(self, a: Array, b: Array) -> tuple[Array, Array]:
        """Note the ends of the operands.

        Raises:
            MacgenError: one is infinite or NaN.
        """
        seen = self.seen
        seen.integers = all(x.dtype.kind in "iu" for x in (a, b))
        # A minimum or maximum with NaN in it is NaN, so the ends show every operand that is not finite.
        seen.a_least = float(np.minimum(seen.a_least, a.min(initial=0)))
        seen.a_most = float(np.maximum(seen.a_most, a.max(initial=0)))
        wide = np.asarray(b, dtype=np.float64)
        least, most = (end(axis=-2, keepdims=True, initial=0) for end in (wide.min, wide.max))
        if not all(np.isfinite(end).all() for end in (seen.a_least, seen.a_most, least, most)):
            raise MacgenError(
                f"layer {shown(self._name)} has operands that are infinite or NaN on the samples in float32; accepted "
                f"are finite ones"
            )
        if not self._weights:
            least, most = least.min(initial=0).reshape(1, 1), most.max(initial=0).reshape(1, 1)
        seen.b_least = least if seen.b_least is None else np.minimum(seen.b_least, least)
        seen.b_most = most if seen.b_most is None else np.maximum(seen.b_most, most)
        return super().operands(a, b)

    def matmul(self, a: Array, b: Array, index: Index = (), columns: slice = ALL) -> Array:
        """Note the largest results and an upper bound of the products."""
        y = super().matmul(a, b, index)
        products = (np.abs(a).max(axis=0, initial=0)[:, np.newaxis] * np.abs(b)).max(axis=0, initial=0)
        self._note(np.abs(y).max(axis=0, initial=0), products, index, columns)
        return y

    def each(self, a: Array, b: Array) -> Array:
        """Note the same of dot products."""
        y = super().each(a, b)
        products = (np.abs(a).max(axis=1, initial=0) * np.abs(b[..., 0])).max(axis=1, initial=0)
        self._note(np.abs(y).max(axis=1, initial=0)[:, np.newaxis], products[:, np.newaxis], (slice(None),), ALL)
        return y

    def _note(self, results: Array, products: Array, index: tuple[int | slice, ...], columns: slice) -> None:
        seen = self.seen
        assert seen.b_most is not None
        if seen.result is None or seen.product is None:
            seen.result, seen.product = np.zeros_like(seen.b_most), np.zeros_like(seen.b_most)
        place = (*(index if seen.b_most.ndim > 2 else ()), 0, columns if self._weights else ALL)
        for total, values in ((seen.result, results), (seen.product, products)):
            values = values if self._weights else values.max(initial=0)
            total[place] = np.maximum(total[place], values)


@dataclass
class Tally:
    """Sums over the products of a layer, in the units of the network; they add up over runs.

    Attributes:
        macs: multiply-accumulates.
        nonzero: those of them whose product is not zero.
        noise: squares of the differences of results from the exact sums of the same operands.
        signal: squares of the exact sums.
        results: dot products.
        lost: results that are infinite or NaN; they are in neither sum of squares.
        counts: additions, and those that saturated, were flushed or swamped, by name; empty where not counted.
    """

    macs: int = 0
    nonzero: int = 0
    noise: float = 0.0
    signal: float = 0.0
    results: int = 0
    lost: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def lost_share(self) -> float:
        """Share of results that are infinite or NaN."""
        return self.lost / self.results if self.results else 0.0

    def add(self, other: Tally) -> None:
        """Add another one."""
        for name in ("macs", "nonzero", "noise", "signal", "results", "lost"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name, count in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count


class OnSpec:
    """Products on a spec, compared with the exact sums of the same operands.

    Parameters:
        name: of the layer.
        spec: the arithmetic.
        scales: of its operands.
        exact: whether sums are exact, so that only the operands' formats count.
        counts: whether additions are counted, where a kernel does that: it is slower than the one that does not.
        compare: whether exact sums are computed, too, for the tally's noise and signal.
        threads: as for `macgen.emulate.matmul`.

    Attributes:
        tally: what happened so far.
    """

    def __init__(
        self,
        name: str,
        spec: MacSpec,
        scales: Scales,
        *,
        exact: bool = False,
        counts: bool = False,
        compare: bool = True,
        threads: int | None = None,
    ) -> None:
        if spec.preload:
            raise MacgenError("preload does not go with networks; accepted are specs without preloaded accumulators")
        self._name = name
        self._spec = spec
        self._scales = scales
        self._exact = exact
        self._counts = counts and not exact and kernel(spec) is not None
        self._compare = compare or exact
        self._threads = threads
        self._given_b, self._made_b = np.empty(0), np.empty(0)
        self.tally = Tally()

    @property
    def counts(self) -> bool:
        """Whether additions are counted."""
        return self._counts

    def operands(self, a: Array, b: Array) -> tuple[Array, Array]:
        """Return both scaled, and rounded to their formats unless chunks or blocks have scales of their own.

        Raises:
            MacgenError: an operand is NaN and its format has none.
        """
        if b is not self._given_b:  # a recurrent layer gives the same weights at each step
            self._given_b, self._made_b = b, self._made("b", b, self._scales.b, self._spec.b)
        return self._made("a", a, self._scales.a, self._spec.a), self._made_b

    def _made(self, which: str, x: Array, scale: Array | float, fmt: Format) -> Array:
        scaled = np.asarray(np.asarray(x, dtype=np.float64) * scale)
        return scaled if self._spec.scale is not None else self._rounded(which, scaled, fmt)

    def matmul(self, a: Array, b: Array, index: Index = (), columns: slice = ALL) -> Array:
        """Return the product in the units of the network."""
        spec, unit = self._spec, self._unit(index, columns)
        scales: dict[str, Array] = {}
        exact_a, exact_b = a, b
        if spec.scale is not None:
            block = spec.block or spec.chunk
            a, scales["A_scales"] = block_scales(a, spec.a, spec.scale, block)
            turned, of_b = block_scales(b.T, spec.b, spec.scale, block)
            a, b = self._rounded("a", a, spec.a), self._rounded("b", turned.T, spec.b)
            scales["B_scales"] = of_b.T
            exact_a = a * _spread(scales["A_scales"], block, a.shape[1])
            exact_b = b * _spread(of_b, block, b.shape[0]).T
        ideal = None
        if self._compare:
            with np.errstate(all="ignore"):
                ideal = np.asarray(exact_a, np.float64) @ np.asarray(exact_b, np.float64)
        sums = ideal if self._exact else None
        y = self._counted(emulate.matmul, a, b, scales) if sums is None else sums
        nonzero = np.count_nonzero(a, axis=0).astype(np.int64) @ np.count_nonzero(b, axis=1).astype(np.int64)
        return self._tallied(y, ideal, unit, a.shape[1], int(nonzero))

    def each(self, a: Array, b: Array) -> Array:
        """Return dot products in the units of the network."""
        groups, rows, length = a.shape
        if self._spec.scale is not None:
            return np.stack([self.matmul(a[group], b[group], (group,))[:, 0] for group in range(groups)])
        columns = np.repeat(b[..., 0], rows, axis=0)
        left = a.reshape(groups * rows, length)
        ideal = None
        if self._compare:
            with np.errstate(all="ignore"):
                ideal = np.einsum("gmk,gk->gm", np.asarray(a, np.float64), np.asarray(b[..., 0], np.float64))
        sums = ideal if self._exact else None
        y = self._counted(emulate.dots, left, columns, {}).reshape(groups, rows) if sums is None else sums
        unit = np.broadcast_to(self._scales.both, (groups, 1, 1))[..., 0]
        nonzero = int((np.count_nonzero(a, axis=1) * (b[..., 0] != 0)).sum())
        return self._tallied(y, ideal, unit, length, nonzero)

    def _counted(self, function: Callable[..., Any], a: Array, b: Array, scales: Mapping[str, Array]) -> Array:
        """Return products or dot products, their additions counted if they are to be."""
        taken = self._numbers_taken(a, b, pairwise=function is emulate.dots)
        if not self._counts:
            return np.asarray(function(self._spec, a, b, self._threads, **scales, taken=taken))
        y, counts = function(self._spec, a, b, self._threads, **scales, counts=True, taken=taken)
        self._note_counts(counts)
        return np.asarray(y)

    def _numbers_taken(self, a: Array, b: Array, *, pairwise: bool) -> int:
        """Return how many random numbers each register gave before this product: here, each begins anew."""
        return 0

    def _note_counts(self, counts: Counts) -> None:
        self.tally.add(Tally(counts=asdict(counts.all)))

    def _tallied(self, y: Array, ideal: Array | None, unit: Array, length: int, nonzero: int) -> Array:
        # In place: new memory costs more here than the arithmetic.
        lost = 0
        if ideal is None:
            y /= unit
            self.tally.add(Tally(macs=y.size * length, nonzero=nonzero, results=y.size))
            return y
        with np.errstate(all="ignore"):
            wrong = np.zeros(1) if y is ideal else y - ideal
            if y is not ideal:
                wrong /= unit
                y /= unit
            ideal /= unit
            noise, signal = float(np.vdot(wrong, wrong)), float(np.vdot(ideal, ideal))
            if not np.isfinite(noise + signal):
                kept = np.isfinite(y) & np.isfinite(ideal)
                lost = y.size - int(kept.sum())
                right, wrong = ideal[kept], (y - ideal)[kept]
                noise, signal = float(np.vdot(wrong, wrong)), float(np.vdot(right, right))
        self.tally.add(
            Tally(macs=y.size * length, nonzero=nonzero, noise=noise, signal=signal, results=y.size, lost=lost)
        )
        return y

    def _unit(self, index: Index, columns: slice) -> Array:
        both = self._scales.both
        both = both[index] if both.ndim > 2 else both
        return np.asarray(both[:, columns] if both.shape[1] > 1 else both)

    def _rounded(self, which: str, x: Array, fmt: Format) -> Array:
        lost = bool(np.isnan(x).any())
        if lost and not fmt.has_nan:
            raise MacgenError(
                f"layer {shown(self._name)} has operands {which} that are NaN, which format {fmt} cannot hold; "
                f"accepted are specs whose sums stay finite, or formats with NaN"
            )
        least, most = ends(fmt)
        x = np.clip(x, least, most)  # infinities are the format's ends
        if isinstance(fmt, FloatFormat) and applies(fmt) and not lost:
            return nearest(fmt, x)
        rounded = fmt.quantize(x)
        return rounded.astype(np.float32) if isinstance(fmt, FloatFormat) and held_by_float32(fmt) else rounded


def _spread(scales: Array, block: int | None, length: int) -> Array:
    """Return each scale for every product of its chunk or block: (rows, K)."""
    return np.repeat(scales, length if block is None else block, axis=1)[:, :length]
