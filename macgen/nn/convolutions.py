"""Convolutions as matrix products: which inputs each output sums, gathered position by position.

A convolution and a transposed one differ only in these places. Products are summed in the order of the weights:
channel by channel, the taps of each in their order; padding takes part as zeros.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.network.onnx_strides import paddings, scatters, strides_of
from macgen.nn.arithmetic import Products, working_type
from macgen.nn.windows import Reach, gather

Array = NDArray[Any]

BLOCK_VALUES = 1 << 20
"""Gathered inputs that are held at a time, where nothing depends on how many."""


def convolve(
    products: Products, x: Array, w: Array, given: Mapping[str, Any], what: str, block: int | None = BLOCK_VALUES
) -> Array:
    """Return a convolution's sums, (N, M, ...).

    Parameters:
        products: how they are computed.
        x: (N, C, ...) inputs.
        w: (M, C / group, ...) weights.
        given: the node's attributes.
        what: how sentences call the node.
        block: inputs that are gathered at a time; None: all, so that there is one product for each group.

    Raises:
        MacgenError: the strides, dilations or pads are refused.
    """
    groups, kernel, size = given.get("group", 1), w.shape[2:], x.shape[2:]
    places, out_size = forward_places(given, kernel, size, what)
    channels = w.shape[0] // groups
    b = w.reshape(groups, channels, -1).transpose(0, 2, 1)
    a, b = products.operands(x, b)
    y = np.zeros((x.shape[0], w.shape[0], *out_size), dtype=working_type(x))
    _accumulate(products, a, b, places, y, block)
    return y


def convolve_transposed(
    products: Products, x: Array, w: Array, given: Mapping[str, Any], what: str, block: int | None = BLOCK_VALUES
) -> Array:
    """Return a transposed convolution's sums, (N, M, ...): for each position of the result over the taps that meet.

    Parameters:
        products: how they are computed.
        x: (N, C, ...) inputs.
        w: (C, M / group, ...) weights.
        given: the node's attributes.
        what: how sentences call the node.
        block: inputs that are gathered at a time; None: all, so that there is one product for each group.

    Raises:
        MacgenError: the strides, dilations or pads are refused.
    """
    groups, kernel, size = given.get("group", 1), w.shape[2:], x.shape[2:]
    out_size = _transposed_size(given, kernel, size)
    dimensions = scatters(given, kernel, size, out_size, transposed=True, what=what)
    inner, channels = w.shape[0] // groups, w.shape[1]
    b = w.reshape(groups, inner, channels, -1).transpose(0, 1, 3, 2).reshape(groups, -1, channels)
    a, b = products.operands(x, b)
    y = np.zeros((x.shape[0], groups * channels, *out_size), dtype=working_type(x))
    by_tap = b.reshape(groups, inner, *kernel, channels)
    phases = []
    for d in dimensions:
        reaches = []
        for phase in range(d.stride):
            outputs = np.arange(d.kept)[(np.arange(d.kept) + d.first) % d.stride == phase]
            taps = np.arange(d.kernel)[np.arange(d.kernel) * d.dilation % d.stride == phase]
            inputs = (outputs[:, np.newaxis] + d.first - taps * d.dilation) // d.stride
            inputs[(inputs < 0) | (inputs >= d.size)] = -1
            if outputs.size and taps.size:
                reaches.append(Reach(outputs, taps, inputs))
        phases.append(reaches)
    for places in itertools.product(*phases):
        part = by_tap[
            np.ix_(np.arange(groups), np.arange(inner), *(reach.taps for reach in places), np.arange(channels))
        ]
        _accumulate(products, a, part.reshape(groups, -1, channels), places, y, block)
    return y


def convolve_gradient(
    products: Products, x: Array, g: Array, kernel: Sequence[int], given: Mapping[str, Any], what: str
) -> Array:
    """Return the gradient of a convolution's weights, (M, C / group, ...): sums over all examples and outputs.

    Parameters:
        products: how they are computed; their operands are the outputs' gradient and the inputs.
        x: (N, C, ...) inputs.
        g: (N, M, ...) gradient of the outputs.
        kernel: the weights' size in each dimension.
        given: the node's attributes.
        what: how sentences call the node.

    Raises:
        MacgenError: the strides, dilations or pads are refused.
    """
    groups = given.get("group", 1)
    places, _ = forward_places(given, kernel, x.shape[2:], what)
    a, b = products.operands(g, x)
    rows = gather(b, places, groups)
    left = by_channel(a, groups)
    sums = np.stack([products.matmul(left[group], rows[group], (group,)) for group in range(groups)])
    return sums.reshape(g.shape[1], x.shape[1] // groups, *kernel)


def by_channel(y: Array, groups: int) -> Array:
    """Return results (N, M, ...) as (groups, M / group, N * outputs)."""
    parts = y.reshape(y.shape[0], groups, y.shape[1] // groups, -1)
    return np.ascontiguousarray(parts.transpose(1, 2, 0, 3)).reshape(groups, y.shape[1] // groups, -1)


def _accumulate(products: Products, x: Array, b: Array, places: Sequence[Reach], y: Array, block: int | None) -> None:
    """Compute the outputs at these places.

    Parameters:
        products: how sums are computed.
        x: (N, C, ...) operands.
        b: (groups, C / group * taps, M / group) operands.
        places: of each dimension.
        y: (N, M, ...), filled in.
        block: gathered inputs that are held at a time; None: all, so that there is one product for each group.
    """
    groups, length, channels = b.shape
    sizes = [reach.outputs.size for reach in places]
    for examples, first in _blocks(x.shape[0], sizes, groups * length, block):
        cut = (Reach(places[0].outputs[first], places[0].taps, places[0].inputs[first]), *places[1:])
        rows = gather(x[examples], cut, groups)
        count, outputs = x[examples].shape[0], [reach.outputs.size for reach in cut]
        if channels == 1 and groups > 1:
            sums = products.each(rows, b)[..., np.newaxis]
        else:
            sums = np.stack([products.matmul(rows[group], b[group], (group,)) for group in range(groups)])
        result = sums.reshape(groups, count, *outputs, channels)
        result = np.moveaxis(np.moveaxis(result, 0, 1), -1, 2).reshape(count, groups * channels, *outputs)
        y[(examples, slice(None), *(_slice(reach.outputs) for reach in cut))] = result


def _slice(places: Array) -> slice:
    """Return evenly spaced places as a slice, by which arrays are written much faster."""
    step = int(places[1] - places[0]) if places.size > 1 else 1
    return slice(int(places[0]), int(places[-1]) + 1, step)


def _blocks(count: int, sizes: Sequence[int], length: int, block: int | None) -> Iterator[tuple[slice, slice]]:
    """Yield examples and outputs along the first dimension that are computed at a time."""
    if block is None:
        yield slice(None), slice(None)
        return
    line = math.prod(sizes[1:]) * length
    lines = max(1, block // line)
    if lines < sizes[0]:
        for example in range(count):
            for first in range(0, sizes[0], lines):
                yield slice(example, example + 1), slice(first, first + lines)
        return
    step = max(1, lines // sizes[0])
    for example in range(0, count, step):
        yield slice(example, example + step), slice(None)


def forward_places(
    given: Mapping[str, Any], kernel: Sequence[int], size: Sequence[int], what: str
) -> tuple[list[Reach], list[int]]:
    """Return where a convolution's outputs find their inputs, and how many there are, by dimension.

    Raises:
        MacgenError: the strides, dilations or pads are refused.
    """
    strides, dilations = strides_of(given, len(kernel), what)
    out_size = [
        (n + sum(sides) - d * (k - 1) - 1) // s + 1
        for n, sides, d, k, s in zip(size, paddings(given, kernel, size, what), dilations, kernel, strides, strict=True)
    ]
    places = []
    for d in scatters(given, kernel, size, out_size, transposed=False, what=what):
        # Seen from the gradient, outputs scatter to inputs; so its size is that of the outputs, `kept` of the inputs.
        outputs, taps = np.arange(d.size), np.arange(d.kernel)
        inputs = outputs[:, np.newaxis] * d.stride + taps * d.dilation - d.first
        inputs[(inputs < 0) | (inputs >= d.kept)] = -1
        places.append(Reach(outputs, taps, inputs))
    return places, out_size


def _transposed_size(given: Mapping[str, Any], kernel: Sequence[int], size: Sequence[int]) -> list[int]:
    rank = len(kernel)
    if given.get("output_shape"):
        return list(given["output_shape"])
    strides, dilations = given.get("strides") or [1] * rank, given.get("dilations") or [1] * rank
    extra = given.get("output_padding") or [0] * rank
    pads = given.get("pads") or [0] * (2 * rank)
    auto = given.get("auto_pad", b"NOTSET")
    if auto in (b"SAME_UPPER", b"SAME_LOWER"):
        return [n * s for n, s in zip(size, strides, strict=True)]
    both = [0] * rank if auto == b"VALID" else [pads[axis] + pads[axis + rank] for axis in range(rank)]
    return [
        s * (n - 1) + e + d * (k - 1) + 1 - p
        for s, n, e, d, k, p in zip(strides, size, extra, dilations, kernel, both, strict=True)
    ]
