"""The strides, dilations and paddings of an ONNX convolution, as the positions that its kernel scatters to."""

from collections.abc import Mapping, Sequence
from typing import Any

from macgen.errors import MacgenError, shown
from macgen.network.onnx_file import MAX_DIMENSION
from macgen.network.taps import Scatter

AUTO_PADS = (b"NOTSET", b"SAME_UPPER", b"SAME_LOWER", b"VALID")


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
        MacgenError: strides, dilations or pads are no integers in range, or not as many as there are dimensions;
            auto_pad is not known.
    """
    strides, dilations = strides_of(given, len(kernel), what)
    if transposed:
        narrow, wide = in_size, out_size
        firsts = _cut_at_first(given, kernel, in_size, out_size, what)
    else:
        narrow, wide = out_size, in_size
        firsts = [first for first, _ in paddings(given, kernel, in_size, what)]
    return tuple(
        Scatter(k, s, d, n, first, w)
        for k, s, d, n, first, w in zip(kernel, strides, dilations, narrow, firsts, wide, strict=True)
    )


def strides_of(given: Mapping[str, Any], rank: int, what: str) -> tuple[list[int], list[int]]:
    """Return the strides and the dilations of a convolution or pooling of so many dimensions.

    Raises:
        MacgenError: they are no integers in range, or not as many as there are dimensions.
    """
    return _integers(given, "strides", [1] * rank, 1, what), _integers(given, "dilations", [1] * rank, 1, what)


def paddings(given: Mapping[str, Any], kernel: Sequence[int], size: Sequence[int], what: str) -> list[tuple[int, int]]:
    """Return how much a convolution or pooling pads on both sides of each dimension.

    Parameters:
        given: the node's attributes.
        kernel: taps in each dimension.
        size: the input's size in each dimension; only `SAME_UPPER` and `SAME_LOWER` depend on it.
        what: how sentences call the node.

    Raises:
        MacgenError: strides, dilations, pads or auto_pad are refused.
    """
    rank = len(kernel)
    pads = _integers(given, "pads", [0] * (2 * rank), 0, what)
    strides, dilations = strides_of(given, rank, what)
    auto = _auto_pad(given, what)
    if auto == b"NOTSET":
        return list(zip(pads[:rank], pads[rank:], strict=True))
    if auto == b"VALID":
        return [(0, 0)] * rank
    found = []
    for k, s, d, n in zip(kernel, strides, dilations, size, strict=True):
        outputs = -(-n // s)
        found.append(_halves(s * (outputs - 1) + d * (k - 1) + 1 - n, auto == b"SAME_LOWER"))
    return found


def _cut_at_first(
    given: Mapping[str, Any], kernel: Sequence[int], in_size: Sequence[int], out_size: Sequence[int], what: str
) -> list[int]:
    """Return how much of a transposed convolution's result is cut off at the first side of each dimension."""
    rank = len(kernel)
    pads = _integers(given, "pads", [0] * (2 * rank), 0, what)
    strides, dilations = strides_of(given, rank, what)
    auto = _auto_pad(given, what)
    if auto == b"NOTSET" and not given.get("output_shape"):
        return pads[:rank]
    if auto == b"VALID":
        return [0] * rank
    extra = _integers(given, "output_padding", [0] * rank, 0, what)
    return [
        _halves(s * (n - 1) + d * (k - 1) + 1 + e - w, auto != b"SAME_UPPER")[0]
        for k, s, d, n, w, e in zip(kernel, strides, dilations, in_size, out_size, extra, strict=True)
    ]


def _auto_pad(given: Mapping[str, Any], what: str) -> bytes:
    auto = given.get("auto_pad") or b"NOTSET"
    if auto not in AUTO_PADS:
        raise MacgenError(
            f"{what} has auto_pad {shown(auto)}; accepted are {', '.join(each.decode() for each in AUTO_PADS)}"
        )
    return bytes(auto)


def _halves(total: int, first_larger: bool) -> tuple[int, int]:
    """Return a padding's halves; of an odd number, one side gets the larger one."""
    total = max(total, 0)
    smaller = total // 2
    return (total - smaller, smaller) if first_larger else (smaller, total - smaller)


def _integers(given: Mapping[str, Any], name: str, default: list[int], least: int, what: str) -> list[int]:
    values = given.get(name) or default
    values = list(values) if isinstance(values, tuple) else values
    sound = isinstance(values, list) and all(isinstance(x, int) and least <= x <= MAX_DIMENSION for x in values)
    if not sound or len(values) != len(default):
        raise MacgenError(
            f"{what} has {name} {shown(values)}; accepted are {len(default)} integers from {least} to {MAX_DIMENSION}"
        )
    return list(values)
