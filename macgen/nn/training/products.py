"""The products of one GEMM of a layer that is trained: scales from its own operands, roundings, counters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from macgen.emulate import Counts, numbers_taken
from macgen.errors import MacgenError, shown
from macgen.network.gemm import Kind
from macgen.nn.arithmetic import Float32, OnSpec, Products
from macgen.nn.random_source import PLACE_OF_OPERANDS, RandomSource
from macgen.nn.scaling import ScaleRule, Scales, Seen, check_signs, choose_scales, ends
from macgen.nn.training.counters import EXPLODED_SHARE, GemmCounters, NotFiniteError, Watch
from macgen.nn.training.history import History
from macgen.nn.training.rules import Arithmetic
from macgen.numerics import FixedFormat, FloatFormat, Format, Rounding
from macgen.numerics.at_random import quantize_at_random
from macgen.numerics.nearest import held_by_float32
from macgen.spec import MacSpec

Array = NDArray[Any]
Which = Literal["a", "b"]
Compute = Callable[[Products], Array]
_BOTH: tuple[Which, Which] = ("a", "b")


class _Counted(OnSpec):
    """Products on a spec, with counters of operands, and operands rounded as training asks for it."""

    def __init__(
        self,
        name: str,
        spec: MacSpec,
        scales: Scales,
        counters: GemmCounters,
        sources: dict[Which, RandomSource],
        roundings: dict[Which, Rounding],
        *,
        taken: int,
        exact: bool,
        counts: bool,
        threads: int | None,
    ) -> None:
        super().__init__(name, spec, scales, exact=exact, counts=counts, compare=False, threads=threads)
        self._counters = counters
        self._sources, self._roundings = sources, roundings
        self.taken = taken
        self.given = (np.empty(0), np.empty(0))

    def operands(self, a: Array, b: Array) -> tuple[Array, Array]:
        """Return both scaled and rounded; they stay in `given`."""
        self.given = super().operands(a, b)
        return self.given

    def _rounded(self, which: str, x: Array, fmt: Format) -> Array:
        of: Which = "a" if which == "a" else "b"
        least, most = ends(fmt)
        slack = 1 + 2.0**-50  # what scales of any number may be rounded by
        saturated = np.count_nonzero(x > most * slack) + np.count_nonzero(x < least * slack)
        if of in self._sources:
            source = self._sources[of]
            rounded = quantize_at_random(fmt, x, self._roundings[of], source.take(x.size).reshape(x.shape))
            if isinstance(fmt, FloatFormat) and held_by_float32(fmt):
                rounded = rounded.astype(np.float32)
        else:
            rounded = super()._rounded(which, x, fmt)
        flushed = np.count_nonzero(x) - np.count_nonzero(rounded)
        getattr(self._counters, of).add(x.size, int(saturated), int(flushed))
        return rounded

    def _numbers_taken(self, a: Array, b: Array, *, pairwise: bool) -> int:
        spec, before = self._spec, self.taken
        if spec.random_bits and pairwise:  # one after the other in one PE
            self.taken += len(a) * numbers_taken(spec.replace(rows=1, cols=1, interleave=1), 1, 1, a.shape[1])
        elif spec.random_bits:
            self.taken += numbers_taken(spec, len(a), b.shape[1], a.shape[1])
        return before

    def _note_counts(self, counts: Counts) -> None:
        self._counters.count(counts)


class _Largest(Float32):
    """Products in float32, and the largest magnitude of a result."""

    def __init__(self) -> None:
        self.most = 0.0

    def matmul(self, a: Array, b: Array, index: tuple[int, ...] = (), columns: slice = slice(None)) -> Array:
        """Return the product."""
        return self._noted(super().matmul(a, b, index, columns))

    def each(self, a: Array, b: Array) -> Array:
        """Return the dot products."""
        return self._noted(super().each(a, b))

    def _noted(self, y: Array) -> Array:
        self.most = max(self.most, float(np.abs(y).max(initial=0.0)))
        return y


class TrainedGemm:
    """One GEMM of a layer on a spec.

    Parameters:
        layer: its name.
        kind: of the GEMM.
        arithmetic: of the layer; it has a spec for this GEMM.
        watch: of the model.
        place: of the layer in the model, by which its random numbers differ from those of others.

    Attributes:
        counters: what happened so far.
        histories: of the operands' sizes, from which scales follow with `history`.
        sources: of the random numbers that round the operands.
        taken: random numbers that each of the array's registers has given; products go on where the one before ended.
        kept: both operands of the last product as they were multiplied, and their scales, where they were to be kept.
    """

    def __init__(self, layer: str, kind: Kind, arithmetic: Arithmetic, watch: Watch, place: int) -> None:
        spec = arithmetic.spec(kind)
        assert spec is not None
        self._layer, self._kind, self._arithmetic, self._watch, self._spec = layer, kind, arithmetic, watch, spec
        self.counters = GemmCounters()
        self.taken = 0
        self.kept: tuple[Array, Array, tuple[float, float]] | None = None
        self.histories: dict[Which, History] = {"a": History(), "b": History()}
        self.sources: dict[Which, RandomSource] = {}
        self._roundings: dict[Which, Rounding] = {}
        for number, which in enumerate(("a", "b")):
            of: Which = "a" if which == "a" else "b"
            self._roundings[of] = arithmetic.rounding_of(kind, of)
            if bits := self._roundings[of].random_bits:
                within = 2 * ("forward", "backward", "gradient").index(kind) + number
                self.sources[of] = RandomSource(bits, arithmetic.seed, PLACE_OF_OPERANDS + 6 * place + within)

    def go_on_from(self, before: TrainedGemm) -> None:
        """Take over counters, and what is remembered and drawn, from a GEMM of another arithmetic.

        Registers of another number of random bits begin anew.
        """
        self.counters, self.histories = before.counters, before.histories
        if before._spec.random_bits == self._spec.random_bits:
            self.taken = before.taken
        for which, source in self.sources.items():
            if which in before.sources and before.sources[which].bits == source.bits:
                source.state = before.sources[which].state

    def run(
        self,
        compute: Compute,
        a: Array,
        b: Array,
        largest_sum: float,
        threads: int | None = None,
        *,
        keep: bool = False,
    ) -> Array:
        """Return results in the units of the network.

        Parameters:
            compute: returns results, given how products are computed.
            a, b: the operands as they will be given to these products.
            largest_sum: a bound of the magnitudes of all sums, also of parts of them.
            threads: as for `macgen.emulate.matmul`.
            keep: whether the operands are kept, as they were multiplied.

        Raises:
            MacgenError: an operand is infinite or NaN, or negative where its format has no negative numbers.
        """
        counters, count_every = self.counters, self._arithmetic.count_every
        scales = self._scales(compute, a, b, largest_sum)
        counted = count_every > 0 and counters.calls % count_every == 0
        products = _Counted(
            self._layer,
            self._spec,
            scales,
            counters,
            self.sources,
            self._roundings,
            taken=self.taken,
            exact=self._arithmetic.exact,
            counts=counted,
            threads=threads,
        )
        y = compute(products)
        self.taken = products.taken
        self.kept = (*products.given, (scales.a, float(scales.b[0, 0]))) if keep else None
        self._look_at(y, float(scales.both.reshape(-1)[0]))
        counters.calls += 1
        counters.counted += products.counts
        counters.macs += products.tally.macs
        return y

    def _scales(self, compute: Compute, a: Array, b: Array, largest_sum: float) -> Scales:
        seen = Seen(
            a_least=float(a.min(initial=0.0)),
            a_most=float(a.max(initial=0.0)),
            b_least=np.full((1, 1), b.min(initial=0.0), np.float64),
            b_most=np.full((1, 1), b.max(initial=0.0), np.float64),
        )
        assert seen.b_least is not None
        assert seen.b_most is not None
        for which, least, most in (("a", seen.a_least, seen.a_most), ("b", seen.b_least[0, 0], seen.b_most[0, 0])):
            if not np.isfinite(least + most):
                self._watch.note(self._layer, self._kind, f"its operand {which} is infinite or NaN")
                refused = MacgenError if self._kind == "forward" else NotFiniteError
                raise refused(
                    f"layer {shown(self._layer)} got an operand {which} that is infinite or NaN in its {self._kind} "
                    f"GEMM in step {self._watch.step}; {self._watch.reason()}"
                )
        check_signs(self._layer, self._spec, seen)
        kind = self._arithmetic.scale_kind
        sizes = [max(-seen.a_least, seen.a_most), float(np.maximum(-seen.b_least, seen.b_most)[0, 0])]
        if self._arithmetic.scales == "history":
            found = [
                self.histories[which].scale(size, min(fmt.max, -fmt.min or fmt.max))
                for which, size, fmt in zip(_BOTH, sizes, _fixed(self._spec), strict=True)
            ]
            return Scales(found[0], np.full((1, 1), found[1]))
        if kind is None:
            return Scales(1.0, np.ones((1, 1)))
        if self._arithmetic.headroom == "measured" and not self._arithmetic.exact and self._spec.scale is None:
            measured = _Largest()
            compute(measured)
            largest_sum = measured.most
        seen.product, seen.result = np.full((1, 1), sizes[0] * sizes[1]), np.full((1, 1), largest_sum)
        return choose_scales(self._spec, seen, ScaleRule(kind), weights=False)

    def _look_at(self, y: Array, unit: float) -> None:
        """Count results that went wrong."""
        fmt, counters = self._spec.out_format, self.counters
        lost = int(y.size - np.count_nonzero(np.isfinite(y)))
        with np.errstate(over="ignore"):  # in the type of the results, which may end before the format does
            most = np.asarray(fmt.max / unit, y.dtype)
            least = np.asarray((fmt.min if isinstance(fmt, FixedFormat) else -fmt.max) / unit, y.dtype)
        at_the_end = 0
        if not self._arithmetic.exact and np.isfinite(most):
            at_the_end = int(np.count_nonzero(y >= most))
            if least < 0:
                at_the_end += int(np.count_nonzero(y <= least))
        counters.results += y.size
        counters.lost += lost
        counters.at_the_end += at_the_end
        if lost:
            self._watch.note(self._layer, self._kind, f"{lost} of {y.size} results are infinite or NaN")
        elif at_the_end > EXPLODED_SHARE * y.size:
            self._watch.note(
                self._layer, self._kind, f"{at_the_end} of {y.size} results are as large as {fmt} has numbers"
            )


def _fixed(spec: MacSpec) -> tuple[FixedFormat, FixedFormat]:
    assert isinstance(spec.a, FixedFormat)
    assert isinstance(spec.b, FixedFormat)
    return spec.a, spec.b
