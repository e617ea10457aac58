"""Matrices of values, checked and made the words of the operand streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macgen.errors import MacgenError
from macgen.numerics import Format
from macgen.numerics.arrays import plain_array
from macgen.numerics.embedding import embedded
from macgen.spec import MacSpec
from macgen.spec_fields import Scale
from macgen.system.tiling import MatrixProduct, Tiling
from macgen.system.words import Words, operand_bands


@dataclass(frozen=True)
class Operands:
    """The operands of a matrix product.

    Attributes:
        tiling: its tiles.
        a: words of stream a, (rows of tiles and one of zeros, steps, words).
        b: words of stream b, (columns of tiles and one of zeros, steps, words).
        mode: number of the array's mode.
    """

    tiling: Tiling
    a: Words
    b: Words
    mode: int

    @classmethod
    def of(
        cls,
        spec: MacSpec,
        A: ArrayLike,
        B: ArrayLike,
        A_scales: ArrayLike | None,
        B_scales: ArrayLike | None,
        mode: int | str = 0,
    ) -> Self:
        """Return the operands of values; parameters as of `macgen.system.matmul`.

        Raises:
            MacgenError: there is no such mode, the shapes do not fit or are empty, or a value is not on its format's
                grid.
        """
        number, narrow, spec = spec.mode_number(mode), spec.mode(mode), spec.on_wires(mode)
        a = embedded(_codes("A", A, narrow.a), narrow.a, spec.a)
        b = embedded(_codes("B", B, narrow.b), narrow.b, spec.b)
        if a.shape[1] != b.shape[0]:
            raise MacgenError(
                f"B has {b.shape[0]} rows and A {a.shape[1]} columns; accepted are A of shape (M, K) and B of shape "
                f"(K, N)"
            )
        tiling = Tiling(spec, MatrixProduct(a.shape[0], a.shape[1], b.shape[1]))
        count = spec.scale_count(a.shape[1])
        a_scales = _scales(spec, "A_scales", A_scales, (a.shape[0], count))
        b_scales = _scales(spec, "B_scales", B_scales, (count, b.shape[1]))
        of_b = None if b_scales is None else b_scales.T
        return cls(
            tiling,
            operand_bands(tiling, a, a_scales, side=spec.rows, fmt=spec.a),
            operand_bands(tiling, b.T, of_b, side=spec.cols, fmt=spec.b),
            number,
        )


def _codes(name: str, values: ArrayLike, fmt: Format | Scale) -> NDArray[Any]:
    """Return the codes of a matrix of values."""
    matrix = plain_array(name, values)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise MacgenError(f"{name} has the shape {matrix.shape}; accepted are matrices with rows and columns")
    try:
        return np.asarray(fmt.encode(matrix), np.int64)
    except MacgenError as error:
        raise MacgenError(f"{name}: {error}") from None


def _scales(spec: MacSpec, name: str, values: ArrayLike | None, shape: tuple[int, int]) -> NDArray[Any] | None:
    if (values is None) != (spec.scale is None):
        given = "missing" if values is None else "given, but the array has no scales"
        wanted = "none" if spec.scale is None else f"values of {spec.scale} in the shape {shape}"
        raise MacgenError(f"{name} is {given}; accepted is {wanted}")
    if values is None or spec.scale is None:
        return None
    codes = _codes(name, values, spec.scale)
    if codes.shape != shape:
        each = "block" if spec.scales_lanes else "chunk"
        raise MacgenError(f"{name} has the shape {codes.shape}; accepted is {shape}, one scale for each {each}")
    return codes
