"""Figures of what layers see of their operands, over all runs of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from macgen.errors import MacgenError, shown
from macgen.network.measurement import Measurement, OperandStatistics
from macgen.network.onnx_file import onnx_module
from macgen.network.operand_views import View
from macgen.network.weight_sums import sums_by_sign

if TYPE_CHECKING:
    from onnx import ModelProto

Array = NDArray[Any]

_COUNTED_BYTES = 4  # of integers that are counted with; sums of longer ones do not fit 64 bits


@dataclass
class _Sums:
    """Figures of one view over all runs."""

    count: int = 0
    nonzero: int = 0
    lowest: float = float("inf")
    highest: float = float("-inf")
    smallest: float = float("inf")
    squares: float = 0.0
    dtype: str = ""
    l1: int | None = None
    negative: int = 0
    positive: int = 0


class Gathered:
    """Figures of all views.

    Parameters:
        model: the model; its initializers are read.
    """

    def __init__(self, model: ModelProto) -> None:
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._sums: dict[View, _Sums] = {}

    def add(self, view: View, tensors: Mapping[str, Array]) -> None:
        """Take in a view's values of one run.

        Raises:
            MacgenError: weights have no readable values.
        """
        sums = self._sums.setdefault(view, _Sums())
        x = self._values(view.tensor, tensors)
        sums.dtype = x.dtype.name
        integer = sums.dtype.startswith(("int", "uint")) and x.dtype.itemsize <= _COUNTED_BYTES
        x = x.astype(np.int64 if integer else np.float64)
        zero = self._values(view.zero, tensors).astype(x.dtype) if view.zero else None
        x = view.values(x, zero)
        magnitudes = np.abs(x)
        nonzero = magnitudes[magnitudes != 0]
        sums.count += x.size
        sums.nonzero += nonzero.size
        if x.size:
            sums.lowest = min(sums.lowest, float(x.min()))
            sums.highest = max(sums.highest, float(x.max()))
        if nonzero.size:
            sums.smallest = min(sums.smallest, float(nonzero.min()))
            with np.errstate(over="ignore"):
                sums.squares += float(np.square(nonzero.astype(np.float64)).sum())
        if integer and view.outputs is not None:
            negative, positive = sums_by_sign(x, view.outputs)
            sums.l1 = max(sums.l1 or 0, int((negative + positive).max()))
            sums.negative = max(sums.negative, int(negative.max()))
            sums.positive = max(sums.positive, int(positive.max()))

    def measurement(self, a: View, b: View) -> Measurement:
        """Return what was measured of a layer's operands, the activations first."""
        plain = self._measurement(a, b)
        codes = self._measurement(a.codes, b.codes)
        return plain if codes == plain else replace(plain, codes=codes)

    def _measurement(self, a: View, b: View) -> Measurement:
        weights = self._sums[a if a.outputs is not None else b]
        by_sign = None if weights.l1 is None else (weights.negative, weights.positive)
        return Measurement(self._statistics(a), self._statistics(b), weights.l1, by_sign)

    def _statistics(self, view: View) -> OperandStatistics:
        sums = self._sums[view]
        return OperandStatistics(
            nonzero=sums.nonzero / sums.count,
            lowest=sums.lowest,
            highest=sums.highest,
            smallest=sums.smallest if sums.nonzero else 0.0,
            rms=float(np.sqrt(sums.squares / sums.count)),
            dtype=sums.dtype,
        )

    def _values(self, name: str, tensors: Mapping[str, Array]) -> Array:
        if name in tensors:
            return np.asarray(tensors[name])
        try:
            return np.asarray(onnx_module("onnx.numpy_helper").to_array(self._weights[name]))
        except Exception:  # by type and kind of damage: ValueError, TypeError, KeyError, ...
            raise MacgenError(
                f"weight {shown(name)} has no readable values; accepted are dense weights that are complete"
            ) from None
