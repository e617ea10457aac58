"""Operands of `exponents:F` as kernels take them: with the scales of their lanes, and with reference exponents."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.emulate.alignment import zero_reference
from macgen.emulate.operands import reference_exponents
from macgen.numerics import FloatFormat, Format
from macgen.spec import MacSpec

Packed = NDArray[Any]


def by_exponents(
    spec: MacSpec, fmt: Format, packed: Packed, scales: NDArray[np.float64] | None, threads: int
) -> tuple[Packed, Packed]:
    """Return an operand times its scales, and the reference exponents of its terms (docs/arithmetic.md section 2).

    A product with two scales is that of two operands with one each, and its reference exponent their sum.

    Parameters:
        spec: the array.
        fmt: the operand's format.
        packed: its rows (lines, products) or panels (panels, products, width); with scales, whole blocks of products.
        scales: (lines, blocks) of these products, where lanes have any.
        threads: how many.

    Returns:
        Numbers of the shape of `packed`; exponents of as many products or groups: of rows words of 32 bits that have
        them twice, of panels 16-bit integers.
    """
    group, rows = spec.lane_sum.group, packed.ndim == 2
    if scales is None or spec.block is None:
        return packed, reference_exponents(packed, fmt, threads, twice=rows)
    references = _references_of_scales(spec, scales)
    if not rows:
        scales, references = (_in_panels(values, packed.shape) for values in (scales, references))
    blocks = (len(packed), scales.shape[1], spec.block, *packed.shape[2:])
    times = packed.reshape(blocks) * scales.astype(packed.dtype)[:, :, np.newaxis]
    if group == 1:
        exponents = reference_exponents(packed, fmt, threads)
        exponents.reshape(blocks)[...] += references[:, :, np.newaxis]
    else:
        exponents = np.repeat(references, spec.block // group, axis=1)
    if rows:
        exponents = exponents.astype(np.uint16) * np.uint32(0x10001)
    return times.reshape(packed.shape), exponents


def _references_of_scales(spec: MacSpec, scales: NDArray[np.float64]) -> NDArray[np.int16]:
    exponents = np.frexp(scales)[1] - 1
    if isinstance(spec.scale, FloatFormat):
        exponents = np.where(scales == 0, zero_reference(spec.scale), np.maximum(exponents, spec.scale.min_exponent))
    return exponents.astype(np.int16)


def _in_panels(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return (lines, blocks) as (panels, blocks, width)."""
    panels, _, width = shape
    filled = np.zeros((panels * width, values.shape[1]), values.dtype)
    filled[: len(values)] = values
    return np.ascontiguousarray(filled.reshape(panels, width, -1).swapaxes(1, 2))
