"""How few random bits do: `python benchmarks/random_bits.py [--length K] [--sums T]`.

Long sums of E5M2 products in E6M5, without chunks, rounded at random by several rules: how many bits, and what becomes
of what lies beneath them. Only some of these rules are macgen's; the others are what it might have had instead. All
rules sum the same products, quantised normal numbers. For each: the slope of the sums over the exact ones, and the
noise-to-signal ratio, with standard errors.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from macgen.interrupts import run_program
from macgen.numerics import FloatFormat

Values = NDArray[Any]

OPERANDS, MAN_BITS = FloatFormat(5, 2), 5

BENEATH: dict[str, Callable[[Values], Values]] = {
    "cut: stochastic:r": np.floor,
    "to nearest, ties to even: stochastic:r:nearest": np.rint,
    "to nearest, ties to odd": lambda x: np.rint(x + 1) - 1,
    "to nearest, ties up": lambda x: np.floor(x + 0.5),
    "to nearest, ties down": lambda x: np.ceil(x - 0.5),
    "to odd": lambda x: np.where(x == np.floor(x), x, 2 * np.floor(x / 2) + 1),
}
"""How a magnitude in units of the last random bit becomes an integer, by what its users call that."""

RULES = [
    (0, "to nearest, ties to even: stochastic:r:nearest"),  # to nearest altogether
    (13, "cut: stochastic:r"),
    *((4, beneath) for beneath in BENEATH),
    *((bits, "to nearest, ties to even: stochastic:r:nearest") for bits in (1, 2, 3, 6)),
    (1, "to nearest, ties to odd"),
]


def rounded(total: Values, bits: int, beneath: Callable[[Values], Values], rng: np.random.Generator) -> Values:
    """Return sums rounded to E6M5 with so many random bits; none of these is beyond its range."""
    magnitude = np.abs(total)
    place = np.frexp(magnitude)[1] - 1 - MAN_BITS
    first = beneath(np.ldexp(magnitude, bits - place))
    kept = np.floor(np.ldexp(first + rng.integers(0, 1 << bits, total.shape), -bits))
    return np.asarray(np.copysign(np.ldexp(kept, place), total))


def summed(length: int, count: int, seed: int) -> tuple[Values, list[Values]]:
    """Return exact sums, and those of each rule."""
    operands, numbers = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    exact, sums = np.zeros(count), [np.zeros(count) for _ in RULES]
    for _ in range(length):
        product = np.prod(OPERANDS.quantize(operands.standard_normal((2, count))), axis=0)
        exact += product
        sums = [
            rounded(total + product, bits, BENEATH[beneath], numbers)
            for (bits, beneath), total in zip(RULES, sums, strict=True)
        ]
    return exact, sums


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Slope and noise of long sums that are rounded at random.")
    parser.add_argument("--length", type=int, default=2048, help="products of a sum")
    parser.add_argument("--sums", type=int, default=20_000, help="how many")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    exact, sums = summed(options.length, options.sums, options.seed)
    power = (exact**2).mean()
    table = Table(title=f"{options.sums} sums of {options.length} products, e5m2 into e6m5")
    for heading in ("r", "beneath the random bits", "slope", "NSR"):
        table.add_column(heading)
    for (bits, beneath), found in zip(RULES, sums, strict=True):
        slope = (exact * found).mean() / power
        rest, error = (found - slope * exact) * exact, (found - exact) ** 2
        of_slope, of_noise = (np.sqrt(values.var() / options.sums) / power for values in (rest, error))
        figures = f"{slope:.3f} +- {of_slope:.3f}", f"{error.mean() / power:.3f} +- {of_noise:.3f}"
        table.add_row(str(bits), beneath, *figures)
    Console().print(table)


if __name__ == "__main__":
    run_program(main)
