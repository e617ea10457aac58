"""How many bytes a matrix product moves through the array's ports, and how many it has."""

from dataclasses import dataclass

from macgen.spec import MacSpec
from macgen.system.tiling import Tiling


@dataclass(frozen=True)
class Traffic:
    """Bytes of codes and scales; flags, three bits for each result, are not counted.

    Attributes:
        operands: that enter at the ports: a row of A once for each column of tiles, a column of B for each row of
            tiles, and what pads them.
        results: that leave at the ports, those of padding included.
        once: of the matrices, each operand and each result once: what memory moves if all else is kept on chip.
    """

    operands: float
    results: float
    once: float


def operand_bytes(spec: MacSpec) -> float:
    """Return the bytes of a beat of both operand streams."""
    scale = 0 if spec.scale is None else spec.scales_in_beat * spec.scale.width
    return (spec.rows * (spec.lanes * spec.a.width + scale) + spec.cols * (spec.lanes * spec.b.width + scale)) / 8


def result_bytes(spec: MacSpec) -> float:
    """Return the bytes of a result beat."""
    return spec.cols * spec.out_format.width / 8


def traffic(tiling: Tiling) -> Traffic:
    """Return the bytes that a matrix product moves."""
    spec, product = tiling.spec, tiling.product
    scales = 0 if spec.scale is None else spec.scale_count(product.length) * spec.scale.width
    of_a = product.rows * (product.length * spec.a.width + scales)
    of_b = product.cols * (product.length * spec.b.width + scales)
    of_c = product.rows * product.cols * spec.out_format.width
    return Traffic(
        operands=tiling.beats * operand_bytes(spec),
        results=tiling.rounds * spec.interleave * spec.rows * result_bytes(spec),
        once=product.count * (of_a + of_b + of_c) / 8,
    )
