"""One block of results: products, lanes, chunks and the outer accumulator, on arrays.

This is the way without a compiler; with one, vector kernels take it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.emulate.dispatch import Adder, KernelChoice, Shape
from macgen.emulate.float_adder import FloatAdder
from macgen.emulate.random_numbers import RandomNumbers, States, shifts_to_next
from macgen.spec import MacSpec
from macgen.spec_fields import RandomPlace

Multiply = Callable[[int, NDArray[Any]], object]
"""`multiply(k, out)` writes a block's k-th products."""

Scale = Callable[[int, NDArray[Any]], NDArray[Any] | None]
"""`scale(c, sums)` multiplies a block's c-th chunk sums by their scales; returns what remains where that is split."""


def accumulate(
    spec: MacSpec,
    kernels: KernelChoice,
    shape: Shape,
    length: int,
    multiply: Multiply,
    scale: Scale | None,
    states: States | None,
) -> NDArray[np.float64]:
    """Return a block's outer accumulators as values; states of random numbers, of results of this shape."""
    numbers = None if states is None else RandomNumbers(spec.random_bits, shifts_to_next(spec), states)

    def random(place: RandomPlace) -> States | None:
        return numbers() if numbers is not None and spec.random_place == place else None

    adder, chunk = kernels.inner(shape), spec.chunk or length
    take = _steps(spec, kernels, adder, shape, multiply)
    outer_adder = adder if kernels.outer is None else kernels.outer(shape)
    inner, outer = np.empty(shape, adder.dtype), np.zeros(shape, outer_adder.dtype)
    with np.errstate(all="ignore"):  # infinities and NaN are wanted where they arise
        for index, start in enumerate(range(0, length, chunk)):
            inner.fill(0)
            stop = min(start + chunk, length)
            for first in range(start, stop, spec.lanes):
                take(inner, first, min(first + spec.lanes, stop), random("steps"))
            if kernels.outer is None:
                if index == 0:
                    outer[...] = inner
                else:
                    adder.fold(outer, inner, random("steps"))
                continue
            sums = adder.values(inner).astype(outer_adder.dtype)
            rest = None if scale is None else scale(index, sums)
            if rest is not None:
                assert isinstance(outer_adder, FloatAdder)
                outer_adder.step(outer, sums, random("chunks"), rest)
            elif spec.has_outer_adder:
                outer_adder.fold(outer, sums, random("chunks"))
            elif index == 0:
                outer[...] = sums
            else:
                outer_adder.fold(outer, sums, random("steps"))
        return outer_adder.values(outer)


Take = Callable[[NDArray[Any], int, int, States | None], None]
"""`take(acc, first, stop, random)` takes a step of the products from `first` up to `stop`."""


def _steps(spec: MacSpec, kernels: KernelChoice, adder: Adder, shape: Shape, multiply: Multiply) -> Take:
    """Return what takes a block's steps."""
    rounder = None if kernels.product is None else kernels.product(shape)
    buffer = np.empty(shape, adder.dtype)

    def product(k: int, out: NDArray[Any]) -> NDArray[Any]:
        multiply(k, out)
        if rounder is not None:
            rounder.round(out)
        return out

    def fused(acc: NDArray[Any], first: int, stop: int, random: States | None) -> None:
        addend = product(first, buffer)
        for k in range(first + 1, stop):
            np.add(addend, product(k, more), out=addend)  # exact
        adder.step(acc, addend, random)

    def aligned(acc: NDArray[Any], first: int, stop: int, random: States | None) -> None:
        assert isinstance(adder, FloatAdder)
        assert spec.aligned_bits is not None
        addends = [product(k, lanes[k - first]) for k in range(first, stop)]
        adder.step_aligned(acc, addends, spec.aligned_bits, random)

    def node(first: int, count: int, stop: int) -> NDArray[Any]:
        if count == 1:
            out = np.zeros(shape, adder.dtype)
            return product(first, out) if first < stop else out
        left, right = (node(begin, count // 2, stop) for begin in (first, first + count // 2))
        adder.step(left, right)
        return left

    def tree(acc: NDArray[Any], first: int, stop: int, random: States | None) -> None:
        adder.step(acc, node(first, spec.lanes, stop), random)

    if spec.aligned_bits is not None:
        lanes = [np.empty(shape, adder.dtype) for _ in range(spec.lanes)]
        return aligned
    if spec.lane_sum == "tree":
        return tree
    more = np.empty(shape if spec.lanes > 1 else (0, 0), adder.dtype)
    return fused
