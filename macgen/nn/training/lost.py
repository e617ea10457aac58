"""Gradients of sums through an accumulator that loses products.

A result is a chain of additions, acc' = R(acc + product). Each passes on the gradient of its addend times alpha, which
is 0 where the addition lost the addend and else 1 (Blumenfeld, Hubara and Soudry, ICLR 2024, arXiv 2401.14110,
section 4). `overflow`: it is lost where the addition, or the rounding of its product, overflows.
`difference`: where the accumulator stays as it was or moves against the product's sign; of a product that is exactly 0
nothing can be lost. With chunks, the fold that adds a chunk's sum is such an addition, too, for all of its products.
In the recursive forms an addition that loses its addend cuts off all that was in the accumulator before, too: alphas of
later additions multiply.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.emulate.elements import matrix_of
from macgen.emulate.exact_records import spec_record, sum_bits
from macgen.emulate.kernel_cache import load
from macgen.emulate.side_by_side import available_processors, side_by_side
from macgen.errors import ToolError
from macgen.nn.training.rules import Approximation
from macgen.spec import MacSpec

Array = NDArray[Any]

_PARTS = 16
"""Parts of rows whose gradients are summed apart, so that the sums do not depend on threads."""

_INTEGERS = ((64, "Word"), (128, "Double"), (384, "Long<6>"))


class Gradients:
    """The gradients of one product's operands, which were kept when it was computed.

    Parameters:
        spec: of the product.
        a, b: its operands, scaled and rounded.
        scales: of both, by which the gradients are divided crosswise.
        approximation: other than `identity`.
        threads: as for `macgen.emulate.matmul`.
    """

    def __init__(
        self,
        spec: MacSpec,
        a: Array,
        b: Array,
        scales: tuple[float, float],
        approximation: Approximation,
        threads: int | None = None,
    ) -> None:
        self._spec, self._a, self._b, self._scales, self._threads = spec, a, b, scales, threads
        self._approximation = approximation

    def operands(self, x: Array, w: Array) -> tuple[Array, Array]:
        """Return the operands as they were, in place of those in the units of the network."""
        return self._a, self._b

    def __call__(self, a: Array, b: Array, g: Array) -> tuple[Array, Array]:
        """Return the gradients of a (M, K) and b (N, K), given that of the results, (M, N), in the network's units."""
        of_a, of_b = kept_gradients(self._spec, a, b, g, self._approximation, self._threads)
        return of_a / self._scales[1], of_b / self._scales[0]


def kept_gradients(
    spec: MacSpec, a: Array, b: Array, g: Array, approximation: Approximation, threads: int | None = None
) -> tuple[Array, Array]:
    """Return the gradients of both operands of a product, without the products that its accumulator lost.

    Parameters:
        spec: with one lane, without block scales, aligned sums and random numbers.
        a: (M, K) values of `spec.a`.
        b: (N, K) values of `spec.b`; B transposed.
        g: (M, N) gradient of the results.
        approximation: other than `identity`.
        threads: as for `macgen.emulate.matmul`.

    Returns:
        (M, K) and (N, K), float64 sums.

    Raises:
        ToolError: there is no C++ compiler.
    """
    library = load(_source(_integer(spec)), optimise="-O2")
    if library is None:
        raise ToolError(
            "gradients through an accumulator need a C++ compiler, and none works: apt install g++, or pip install "
            "'macgen[fast]'"
        )
    a, b, g = (np.ascontiguousarray(x, np.float64) for x in (a, b, g))
    rows, record = len(a), spec_record(spec)
    of_a = np.zeros_like(a)
    step = max(1, -(-rows // _PARTS))
    firsts = range(0, rows, step)
    of_b = np.zeros((len(firsts), *b.shape))
    matrices = matrix_of(a), matrix_of(b)

    def some(part: int, first: int) -> None:
        failed = library.gradients(
            ctypes.c_void_p(record.ctypes.data),
            *map(ctypes.byref, matrices),
            ctypes.c_void_p(g.ctypes.data),
            ctypes.c_int64(first),
            ctypes.c_int64(min(step, rows - first)),
            ctypes.c_int64(int(approximation.endswith("difference"))),
            ctypes.c_int64(int(approximation.startswith("recursive"))),
            ctypes.c_void_p(of_a.ctypes.data),
            ctypes.c_void_p(of_b[part].ctypes.data),
        )
        if failed:
            raise MemoryError

    side_by_side(
        [(some, (part, first)) for part, first in enumerate(firsts)],
        available_processors() if threads is None else threads,
    )
    return of_a, of_b.sum(axis=0)


def _integer(spec: MacSpec) -> str:
    needed = sum_bits(spec)
    return next(name for bits, name in _INTEGERS if bits >= needed)


@cache
def _source(integer: str) -> str:
    text = (Path(__file__).parent.parent / "cpp" / "lost.cpp").read_text(encoding="utf-8")
    inline = "#define INLINE inline\n" if integer.startswith("Long") else ""
    return f'{inline}#include "exact.h"\n#define SUM {integer}\n{text}'
