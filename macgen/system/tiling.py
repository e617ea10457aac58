"""How a matrix product is cut into tiles: their order, what pads them, the rounds that turns share."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from macgen.errors import MacgenError, check_integer, check_type
from macgen.spec import MacSpec, check_spec


@dataclass(frozen=True)
class MatrixProduct:
    """A matrix product A B, or several of one shape.

    Attributes:
        rows: M, rows of A.
        length: K, products of each dot product.
        cols: N, columns of B.
        count: products of this shape, each with matrices of its own (groups of a convolution, heads of attention).

    Raises:
        MacgenError: a size is no positive integer.
    """

    rows: int
    length: int
    cols: int
    count: int = 1

    def __post_init__(self) -> None:
        for name in ("rows", "length", "cols", "count"):
            object.__setattr__(self, name, check_integer(name, getattr(self, name), 1))

    def __str__(self) -> str:
        shape = f"{self.rows}x{self.cols}x{self.length}"
        return shape if self.count == 1 else f"{self.count}*{shape}"

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.rows * self.length * self.cols * self.count


@dataclass(frozen=True)
class Tile:
    """A tile's place.

    Attributes:
        product: which of the products it is of.
        row, col: its row of tiles, and its column.
    """

    product: int
    row: int
    col: int


@dataclass(frozen=True)
class Tiling:
    """The tiles of matrix products on an array.

    Tiles go row by row (docs/arithmetic.md section 7, rule 6, which random numbers depend on), one product after the
    other. With turns, as many tiles as there are turns make a round, whose beats alternate.

    Attributes:
        spec: the array.
        product: what is computed.

    Raises:
        MacgenError: a field is of another type, or the array has preloaded accumulators.
    """

    spec: MacSpec
    product: MatrixProduct

    def __post_init__(self) -> None:
        check_spec(self.spec)
        if self.spec.preload:
            raise MacgenError(
                "preload does not go with products larger than the array; accepted are arrays without preloaded "
                "accumulators"
            )
        check_type("product", self.product, MatrixProduct, "a MatrixProduct")

    @cached_property
    def tile_rows(self) -> int:
        """Rows of tiles of a product; zeros fill up the last one."""
        return -(-self.product.rows // self.spec.rows)

    @cached_property
    def tile_cols(self) -> int:
        """Columns of tiles of a product; zeros fill up the last one."""
        return -(-self.product.cols // self.spec.cols)

    @cached_property
    def tiles(self) -> int:
        """Tiles of all products."""
        return self.product.count * self.tile_rows * self.tile_cols

    @cached_property
    def rounds(self) -> int:
        """Rounds of tiles; tiles of zeros fill up the last one."""
        return -(-self.tiles // self.spec.interleave)

    @cached_property
    def steps(self) -> int:
        """Beats of a tile; zeros fill up the lanes of the last one."""
        return -(-self.product.length // self.spec.lanes)

    @cached_property
    def chunks(self) -> int:
        """Chunks of a dot product."""
        return 1 if self.spec.chunk is None else -(-self.product.length // self.spec.chunk)

    @property
    def beats(self) -> int:
        """Beats of all rounds."""
        return self.rounds * self.spec.interleave * self.steps

    def order(self) -> Iterator[tuple[Tile | None, ...]]:
        """Yield the rounds: a tile for each turn, None for one of zeros."""
        turns = self.spec.interleave
        for start in range(0, self.rounds * turns, turns):
            yield tuple(self._tile(number) for number in range(start, start + turns))

    def _tile(self, number: int) -> Tile | None:
        if number >= self.tiles:
            return None
        product, rest = divmod(number, self.tile_rows * self.tile_cols)
        return Tile(product, *divmod(rest, self.tile_cols))
