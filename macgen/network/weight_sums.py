"""Which weights each output of a layer sums, and what their magnitudes come to."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.network.taps import Scatter


@dataclass(frozen=True)
class TransposedKernel:
    """Weights (C, M / groups, k1, ...) of a transposed convolution: an output sums the taps that meet in its group.

    Attributes:
        groups: channel groups.
        scatters: the dimensions of the kernel.
    """

    groups: int
    scatters: tuple[Scatter, ...]


Outputs = tuple[int, ...] | TransposedKernel
"""Which weights an output sums: those of one index along these dimensions (from the end if negative), or as the class
says."""


def sums_by_sign(weights: NDArray[Any], outputs: Outputs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, of each output, the magnitude of the sum of its negative weights and the sum of its positive ones.

    Parameters:
        weights: integers.
        outputs: which of them each output sums.
    """
    return _sums(-np.minimum(weights, 0), outputs), _sums(np.maximum(weights, 0), outputs)


def _sums(x: NDArray[np.int64], outputs: Outputs) -> NDArray[np.int64]:
    if isinstance(outputs, tuple):
        kept = {axis % x.ndim for axis in outputs}
        return np.asarray(x.sum(axis=tuple(axis for axis in range(x.ndim) if axis not in kept)))
    channels, *rest = x.shape
    x = x.reshape(outputs.groups, channels // outputs.groups, *rest).sum(axis=1)
    by_set = []
    for taps in itertools.product(*(scatter.sets() for scatter in outputs.scatters)):
        met = x
        for axis, each in enumerate(taps, start=2):
            met = np.take(met, each, axis)
        by_set.append(met.sum(axis=tuple(range(2, x.ndim))))
    return np.stack(by_set)
