"""The three GEMMs of a layer, as matrix products: of rows with weights, and of convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from macgen.nn.arithmetic import Products
from macgen.nn.convolutions import (
    by_channel,
    convolve,
    convolve_gradient,
    convolve_transposed,
    forward_places,
)
from macgen.nn.training.lost import Gradients
from macgen.nn.windows import gather, scatter

Array = NDArray[Any]


class Operation(Protocol):
    """What a layer computes of inputs and weights, and the gradients of both.

    In `forward` the operands of the products are (inputs, weights), in `backward` (gradient of outputs, weights), in
    `gradient` (gradient of outputs, inputs).

    Attributes:
        channel: the axis of the outputs that counts their channels.
    """

    @property
    def channel(self) -> int:
        """See above."""

    def forward(self, products: Products, x: Array, w: Array) -> Array:
        """Return the outputs."""

    def backward(self, products: Products, g: Array, w: Array, shape: Sequence[int]) -> Array:
        """Return the gradient of inputs of a shape."""

    def gradient(self, products: Products, g: Array, x: Array, w: Array) -> Array:
        """Return the gradient of the weights, of whose values nothing depends."""

    def approximate(self, gradients: Gradients, g: Array, x: Array, w: Array) -> tuple[Array, Array]:
        """Return the gradients of inputs and weights without the products that the forward accumulator lost."""

    def forward_sums(self, w: Array) -> float:
        """Return the largest sum of magnitudes of the weights of an output."""

    def backward_sums(self, w: Array) -> float:
        """Return the largest sum of magnitudes of the weights of an input."""


def gradient_sums(g: Array, channel: int) -> float:
    """Return the largest sum of magnitudes of a channel of the gradient of outputs."""
    axes = tuple(axis for axis in range(g.ndim) if axis != channel)
    return float(np.abs(g).sum(axis=axes, dtype=np.float64).max(initial=0.0))


class RowsTimesWeights:
    """x (M, K) times w (N, K) transposed: a fully connected layer."""

    @property
    def channel(self) -> int:
        """The axis of the outputs that counts their channels."""
        return 1

    def forward(self, products: Products, x: Array, w: Array) -> Array:
        """Return the outputs, (M, N)."""
        return products.matmul(*products.operands(x, w.T))

    def backward(self, products: Products, g: Array, w: Array, shape: Sequence[int]) -> Array:
        """Return the gradient of inputs, (M, K)."""
        return products.matmul(*products.operands(g, w))

    def gradient(self, products: Products, g: Array, x: Array, w: Array) -> Array:
        """Return the gradient of the weights, (N, K)."""
        return products.matmul(*products.operands(g.T, x))

    def approximate(self, gradients: Gradients, g: Array, x: Array, w: Array) -> tuple[Array, Array]:
        """Return the gradients of inputs and weights without what was lost."""
        x, columns = gradients.operands(x, w.T)
        return gradients(x, np.ascontiguousarray(columns.T), g)

    def forward_sums(self, w: Array) -> float:
        """Return the largest sum of magnitudes of a row of weights."""
        return float(np.abs(w).sum(axis=1, dtype=np.float64).max(initial=0.0))

    def backward_sums(self, w: Array) -> float:
        """Return the largest sum of magnitudes of a column of weights."""
        return float(np.abs(w).sum(axis=0, dtype=np.float64).max(initial=0.0))


@dataclass(frozen=True)
class Convolution:
    """A convolution of x (N, C, ...) with w (M, C / groups, ...).

    Attributes:
        strides, dilations: of each dimension.
        pads: zeros before and after, of each dimension.
        groups: of channels.
        what: how sentences call the layer.
    """

    strides: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    dilations: tuple[int, ...]
    groups: int
    what: str

    @property
    def channel(self) -> int:
        """The axis of the outputs that counts their channels."""
        return 1

    @property
    def _given(self) -> dict[str, Any]:
        pads = [before for before, _ in self.pads] + [after for _, after in self.pads]
        strides, dilations = list(self.strides), list(self.dilations)
        return {"strides": strides, "pads": pads, "dilations": dilations, "group": self.groups}

    def forward(self, products: Products, x: Array, w: Array) -> Array:
        """Return the outputs, (N, M, ...)."""
        return convolve(products, x, w, self._given, self.what, None)

    def backward(self, products: Products, g: Array, w: Array, shape: Sequence[int]) -> Array:
        """Return the gradient of inputs, (N, C, ...)."""
        given: Mapping[str, Any] = self._given
        extra = [
            size - ((count - 1) * stride + dilation * (taps - 1) + 1 - before - after)
            for size, count, stride, dilation, taps, (before, after) in zip(
                shape[2:], g.shape[2:], self.strides, self.dilations, w.shape[2:], self.pads, strict=True
            )
        ]
        return convolve_transposed(products, g, w, {**given, "output_padding": extra}, self.what, None)

    def gradient(self, products: Products, g: Array, x: Array, w: Array) -> Array:
        """Return the gradient of the weights, (M, C / groups, ...)."""
        return convolve_gradient(products, x, g, w.shape[2:], self._given, self.what)

    def approximate(self, gradients: Gradients, g: Array, x: Array, w: Array) -> tuple[Array, Array]:
        """Return the gradients of inputs and weights without what was lost."""
        places, _ = forward_places(self._given, w.shape[2:], x.shape[2:], self.what)
        a, b = gradients.operands(x, w.reshape(self.groups, w.shape[0] // self.groups, -1).transpose(0, 2, 1))
        rows = gather(a, places, self.groups)
        of_outputs = by_channel(g, self.groups).transpose(0, 2, 1)
        of_rows, of_w = [], []
        for group in range(self.groups):
            columns = np.ascontiguousarray(b[group].T)
            row_gradient, weight_gradient = gradients(rows[group], columns, np.ascontiguousarray(of_outputs[group]))
            of_rows.append(row_gradient)
            of_w.append(weight_gradient)
        return scatter(np.stack(of_rows), places, x.shape, self.groups), np.concatenate(of_w).reshape(w.shape)

    def forward_sums(self, w: Array) -> float:
        """Return the largest sum of magnitudes of the weights of an output channel."""
        return float(np.abs(w).reshape(w.shape[0], -1).sum(axis=1, dtype=np.float64).max(initial=0.0))

    def backward_sums(self, w: Array) -> float:
        """Return the largest sum of magnitudes of the weights of an input channel."""
        by_group = np.abs(w).reshape(self.groups, w.shape[0] // self.groups, w.shape[1], -1)
        return float(by_group.sum(axis=(1, 3), dtype=np.float64).max(initial=0.0))
