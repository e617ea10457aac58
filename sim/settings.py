"""What the environment tells the testbench; each value has a default but the bundle."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self, overload

from macgen.errors import MacgenError

DEFAULT_SEED = 1
DEFAULT_LONGEST = 6000
DEFAULT_BUDGET = 500_000


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one run, each from the environment variable `MACGEN_` and its name.

    Attributes:
        bundle: directory of the bundle.
        seed: seed of all random choices.
        tiles: random tiles of the main random test, to which the others are proportioned; None: by the array's size.
        longest: longest dot product to test.
        budget: golden steps (products) that one test may take; larger tests leave tiles out and say so.
        statistics: JSON file that receives what was done; None: none.
        operands: .npz file with the codes `a` (M, K) and `b` (K, N) that test_matmul multiplies, and where the spec has
            scales theirs, `a_scales` (M, chunks) and `b_scales` (chunks, N).
        mode: number of the mode in which test_matmul has the array multiply; the codes are of that mode's formats.
        results: .npz file that receives the `codes` and `flags` of its product, (M, N) each.
    """

    bundle: Path
    seed: int = DEFAULT_SEED
    tiles: int | None = None
    longest: int = DEFAULT_LONGEST
    budget: int = DEFAULT_BUDGET
    statistics: Path | None = None
    operands: Path | None = None
    results: Path | None = None
    mode: int = 0

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment.

        Raises:
            MacgenError: the bundle is not named, or a number is none.
        """
        bundle = os.environ.get("MACGEN_BUNDLE")
        if not bundle:
            raise MacgenError("MACGEN_BUNDLE is not set; accepted is the directory of a bundle that macgen built")
        return cls(
            bundle=Path(bundle),
            seed=_number("MACGEN_SEED", DEFAULT_SEED),
            tiles=_number("MACGEN_TILES", None),
            longest=_number("MACGEN_LONGEST", DEFAULT_LONGEST),
            budget=_number("MACGEN_BUDGET", DEFAULT_BUDGET),
            statistics=_path("MACGEN_STATISTICS"),
            operands=_path("MACGEN_OPERANDS"),
            results=_path("MACGEN_RESULTS"),
            mode=_number("MACGEN_MODE", 0),
        )

    def product_files(self) -> tuple[Path, Path]:
        """Return the files of a matrix product, operands and results.

        Raises:
            MacgenError: one of them is not named. An assertion would say that the array is wrong.
        """
        if self.operands is None:
            raise MacgenError("MACGEN_OPERANDS is not set; accepted is an .npz file with the codes a and b")
        if self.results is None:
            raise MacgenError("MACGEN_RESULTS is not set; accepted is a path for an .npz file")
        return self.operands, self.results


@overload
def _number(variable: str, default: int) -> int: ...


@overload
def _number(variable: str, default: None) -> int | None: ...


def _number(variable: str, default: int | None) -> int | None:
    text = os.environ.get(variable)
    if not text:
        return default
    if not text.isdecimal():
        raise MacgenError(f"{variable} is {text!r}; accepted is a non-negative integer")
    return int(text)


def _path(variable: str) -> Path | None:
    text = os.environ.get(variable)
    return Path(text) if text else None
