"""What the operands of a layer were while the network computed sample inputs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OperandStatistics:
    """What the values of one operand were.

    Attributes:
        nonzero: share of values that are not zero, 0 to 1; padding that a convolution adds is not counted.
        lowest: the lowest value.
        highest: the highest value.
        smallest: smallest non-zero magnitude; 0 if there is none.
        rms: root of the mean square, zeros included.
        dtype: NumPy's name of the element type; for integers, all figures are of the integers, not of the real values
            that they stand for.
    """

    nonzero: float
    lowest: float
    highest: float
    smallest: float
    rms: float
    dtype: str

    @property
    def integers(self) -> bool:
        """Whether the values are integers."""
        return self.dtype.startswith(("int", "uint"))

    @property
    def largest(self) -> float:
        """The largest magnitude."""
        return max(abs(self.lowest), abs(self.highest))


@dataclass(frozen=True, slots=True)
class Measurement:
    """The operands of a layer's forward GEMM on sample inputs; integers less their zero points.

    Attributes:
        a: the activation operand; of a product of two activations, the left one.
        b: the weights; of a product of two activations, the right one.
        weight_l1: of integer weights, the largest sum of magnitudes that one output uses, sum |w - zero point|.
        weight_range: of integer weights, the largest magnitude of the sum of the negative ones that one output uses and
            the largest sum of the positive ones, each less the zero point; the two may be of different outputs.
        codes: the same of the integers as they are stored, zero points not subtracted; None where that is the same.
    """

    a: OperandStatistics
    b: OperandStatistics
    weight_l1: int | None = None
    weight_range: tuple[int, int] | None = None
    codes: Measurement | None = None

    @property
    def nonzero_products(self) -> float:
        """Estimated share of non-zero products: the two operands' shares multiplied, as if zeros fell independently."""
        return self.a.nonzero * self.b.nonzero
