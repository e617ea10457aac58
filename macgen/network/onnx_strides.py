"""The strides, dilations and paddings of an ONNX convolution, as the positions that its kernel scatters to."""

from collections.abc import Mapping, Sequence
from typing import Any

from macgen.errors import MacgenError, shown
from macgen.network.onnx_file import MAX_DIMENSION
from macgen.network.taps import Scatter


def scatters(
    given: Mapping[str, Any],
    kernel: Sequence[int],
    in_size: Sequence[int],
    out_size: Sequence[int],
    *,
    transposed: bool,
    what: str,
) -> tuple[Scatter, ...]:
    """Return what each dimension scatters: a transposed convolution its inputs, a convolution's gradient its outputs.

    Parameters:
        given: the node's attributes.
        kernel: taps in each dimension.
        in_size: the input's size in each dimension.
        out_size: the output's size in each dimension.
        transposed: whether it is a transposed convolution.
        what: how sentences call the node.

    Raises:
        MacgenError: strides, dilations or pads are no integers in range, or not as many as there are dimensions.
    """
    rank = len(kernel)
    strides = _integers(given, "strides", [1] * rank, 1, what)
    dilations = _integers(given, "dilations", [1] * rank, 1, what)
    pads = _integers(given, "pads", [0] * (2 * rank), 0, what)
    narrow, wide = (in_size, out_size) if transposed else (out_size, in_size)
    auto = given.get("auto_pad", b"NOTSET")
    if auto not in (b"NOTSET", b"") or (transposed and given.get("output_shape")):
        # What is padded altogether follows from the sizes. Of an odd number, one side gets the larger half: the first
        # one with SAME_LOWER, in transposed convolutions with all but SAME_UPPER.
        extra = _integers(given, "output_padding", [0] * rank, 0, what) if transposed else [0] * rank
        first_larger = auto != b"SAME_UPPER" if transposed else auto == b"SAME_LOWER"
        pads = []
        for k, s, d, n, w, e in zip(kernel, strides, dilations, narrow, wide, extra, strict=True):
            total = max(s * (n - 1) + d * (k - 1) + 1 + e - w, 0) if auto != b"VALID" else 0
            pads.append(total - total // 2 if first_larger else total // 2)
    return tuple(
        Scatter(k, s, d, n, first, w)
        for k, s, d, n, first, w in zip(kernel, strides, dilations, narrow, pads[:rank], wide, strict=True)
    )


def _integers(given: Mapping[str, Any], name: str, default: list[int], least: int, what: str) -> list[int]:
    values = given.get(name) or default
    sound = isinstance(values, list) and all(isinstance(x, int) and least <= x <= MAX_DIMENSION for x in values)
    if not sound or len(values) != len(default):
        raise MacgenError(
            f"{what} has {name} {shown(values)}; accepted are {len(default)} integers from {least} to {MAX_DIMENSION}"
        )
    return list(values)
