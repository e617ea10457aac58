"""What each output of a convolution sums, as the rows of a matrix: gathered, and added back to where it came from."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.emulate.kernel_cache import load
from macgen.emulate.side_by_side import available_processors, side_by_side

Array = NDArray[Any]

_RANK = 3
"""Most dimensions that the compiled code knows; NumPy does the others."""


@dataclass(frozen=True)
class Reach:
    """Where the outputs along one dimension find their inputs.

    Attributes:
        outputs: their places in the result.
        taps: the taps of the kernel that take part.
        inputs: (outputs, taps) places in the input, -1 where there is padding.
    """

    outputs: NDArray[np.intp]
    taps: NDArray[np.intp]
    inputs: NDArray[np.intp]


class _Windows(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("channels", "all_channels", "image")),
        *((name, ctypes.c_int64 * _RANK) for name in ("outputs", "taps", "stride")),
        ("inputs", ctypes.c_void_p * _RANK),
    )


def gather(x: Array, places: Sequence[Reach], groups: int = 1, threads: int | None = None) -> Array:
    """Return the rows of the matrices that a convolution multiplies with its weights.

    Parameters:
        x: (N, C, ...) inputs, of any type.
        places: of each dimension.
        groups: of channels.
        threads: in which examples are gathered; None: one per available processor.

    Returns:
        (groups, N * outputs, C / groups * taps): rows by example and output, columns by channel and tap.
    """
    outputs, taps = _sizes(places)
    examples, channels = x.shape[0], x.shape[1] // groups
    x = np.ascontiguousarray(x)
    library = _library(len(places)) if x.itemsize in (1, 2, 4, 8) else None
    if library is None:
        return _gathered(x, places, groups)
    rows = np.empty((groups, examples * outputs, channels * taps), x.dtype)
    if rows.size:
        _each(library, f"gather_{x.itemsize}", x, rows, places, threads)
    return rows


def scatter(
    rows: Array, places: Sequence[Reach], shape: Sequence[int], groups: int = 1, threads: int | None = None
) -> Array:
    """Return inputs, each the sum of what stands in its places of the rows: what `gather` does, transposed.

    Parameters:
        rows: as `gather` returns them, float32 or float64.
        places: of each dimension.
        shape: of the inputs, (N, C, ...).
        groups: of channels.
        threads: as of `gather`; the sums do not depend on them.
    """
    rows = np.ascontiguousarray(rows)
    x = np.zeros(shape, rows.dtype)
    library = _library(len(places))
    if library is None:
        _add_back(rows, places, x, groups)
    elif rows.size:
        _each(library, f"scatter_{rows.itemsize}", x, rows, places, threads)
    return x


def _sizes(places: Sequence[Reach]) -> tuple[int, int]:
    return math.prod(each.inputs.shape[0] for each in places), math.prod(each.inputs.shape[1] for each in places)


# -- compiled ----------------------------------------------------------------------------------------------------------


@cache
def _source() -> str:
    return (Path(__file__).parent / "cpp" / "windows.cpp").read_text(encoding="utf-8")


def _library(rank: int) -> ctypes.CDLL | None:
    return load(_source()) if rank <= _RANK else None


def _each(library: ctypes.CDLL, name: str, x: Array, rows: Array, places: Sequence[Reach], threads: int | None) -> None:
    """Call a function for some examples of each group at a time."""
    groups, (outputs, taps) = len(rows), _sizes(places)
    examples, channels = x.shape[0], x.shape[1] // groups
    windows = _Windows(channels=channels, all_channels=x.shape[1], image=math.prod(x.shape[2:]))
    tables = [np.ascontiguousarray(each.inputs, np.int64) for each in places]
    for axis in range(_RANK):
        own = axis - (_RANK - len(places))
        table = tables[own] if own >= 0 else _ONE
        windows.outputs[axis], windows.taps[axis] = table.shape
        windows.stride[axis] = math.prod(x.shape[3 + own :]) if own >= 0 else 0
        windows.inputs[axis] = table.ctypes.data
    function = library[name]
    count = available_processors() if threads is None else threads
    step = max(1, -(-examples // (4 * count)))

    def some(group: int, first: int) -> None:
        found = np.empty(taps, np.int64)
        function(
            ctypes.byref(windows),
            ctypes.c_void_p(x.ctypes.data + (first * x.shape[1] + group * channels) * windows.image * x.itemsize),
            ctypes.c_void_p(rows[group, first * outputs :].ctypes.data),
            ctypes.c_int64(min(step, examples - first)),
            ctypes.c_void_p(found.ctypes.data),
        )

    side_by_side([(some, (group, first)) for group in range(groups) for first in range(0, examples, step)], count)


_ONE = np.zeros((1, 1), np.int64)


# -- without a compiler ------------------------------------------------------------------------------------------------


def _gathered(x: Array, places: Sequence[Reach], groups: int) -> Array:
    rank = len(places)
    found = np.pad(x, [(0, 0), (0, 0), *[(0, 1)] * rank])  # -1 is the zero at the end
    for axis, reach in enumerate(places):
        found = np.take(found, reach.inputs, axis=2 + 2 * axis)
    found = found.reshape(x.shape[0], groups, -1, *found.shape[2:])
    order = (1, 0, *(3 + 2 * axis for axis in range(rank)), 2, *(4 + 2 * axis for axis in range(rank)))
    _, taps = _sizes(places)
    return np.ascontiguousarray(found.transpose(order)).reshape(groups, -1, x.shape[1] // groups * taps)


def _add_back(rows: Array, places: Sequence[Reach], x: Array, groups: int) -> None:
    image = np.arange(math.prod(x.shape[2:])).reshape(1, 1, *x.shape[2:]) + 1  # 0 is padding
    found = _gathered(image, places, 1)[0] - 1  # (outputs, taps)
    outputs, taps = found.shape
    channels = x.shape[1] // groups
    parts = rows.reshape(groups, x.shape[0], outputs, channels, taps)
    flat = x.reshape(x.shape[0], groups, channels, -1)
    for output, tap in np.argwhere(found >= 0):
        flat[..., found[output, tap]] += np.moveaxis(parts[:, :, output, :, tap], 0, 1)
