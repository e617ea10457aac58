"""Operands to test with: special codes, random codes of several kinds, tiles of random lengths. Needs no simulator."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from macgen.numerics import FixedFormat, FloatFormat, Format
from macgen.spec import MacSpec

Codes = NDArray[np.int64]

Kind = Literal["uniform", "finite", "normal", "window", "lengths", "special", "rare"]
"""How codes are drawn: `uniform` over all codes; `finite`, uniform over the finite ones; `normal`, values of a normal
distribution, quantised; `window`, of like magnitude (ties and cancellation); `lengths`, codes of every length in bits
(subnormal numbers of every precision); `special`, mostly special codes; `rare`, finite with a special code here and
there."""

MOST_DISTINCT = 16
"""Most distinct rows of a random tile (and columns); more would only cost time in the golden model."""

MOST_RANDOM_CHUNK = 256
"""Longer chunks are crossed by the tiles of boundary lengths only."""

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Tile:
    """Operands of rows x cols dot products.

    Attributes:
        name: what the tile is for, shown when it fails.
        a: codes of the left operands, (rows, K).
        b: codes of the right operands, (K, cols).
    """

    name: str
    a: Codes
    b: Codes

    @property
    def length(self) -> int:
        """K, the elements of each dot product."""
        return int(self.a.shape[1])

    @property
    def steps(self) -> int:
        """Golden steps that the results take; equal rows and equal columns are computed once."""
        return len(distinct(self.a)[0]) * len(distinct(self.b.T)[0]) * self.length


def distinct(lanes: Codes) -> tuple[list[int], list[int]]:
    """Return the indices of the first of each group of equal rows, and for each row which of them it equals."""
    groups: dict[bytes, int] = {}
    group_of = [groups.setdefault(lane.tobytes(), len(groups)) for lane in lanes]
    return [group_of.index(group) for group in range(len(groups))], group_of


def special_codes(fmt: Format) -> list[int]:
    """Return the codes at which a format changes its behaviour: zeros, ends of every range, infinities, NaNs."""
    if isinstance(fmt, FixedFormat):
        integers = {0, 1, 2, fmt.max_integer // 2, fmt.max_integer // 2 + 1, fmt.max_integer - 1, fmt.max_integer}
        if fmt.signed:
            integers |= {-1, -2, fmt.min_integer // 2, fmt.min_integer + 1, fmt.min_integer}
        in_range = (i for i in integers if fmt.min_integer <= i <= fmt.max_integer)
        return sorted({i & ((1 << fmt.width) - 1) for i in in_range})
    hidden, top, one = 1 << fmt.man_bits, (1 << (fmt.width - 1)) - 1, fmt.exponent_bias << fmt.man_bits
    magnitudes = {0, 1, hidden - 1, hidden, hidden + 1, one, one + 1, one + hidden // 2, fmt.max_code - 1, fmt.max_code}
    if fmt.has_infinity:
        infinity = fmt.max_code + 1
        magnitudes |= {infinity, infinity + 1, fmt.nan_code - 1, fmt.nan_code, fmt.nan_code + 1}
    magnitudes |= {top}
    in_range = (m for m in magnitudes if 0 <= m <= top)
    return sorted({m | sign << (fmt.width - 1) for m in in_range for sign in (0, 1)})


def draw(kind: Kind, rng: Generator, fmt: Format, shape: tuple[int, ...]) -> Codes:
    """Return random codes of a kind and shape."""
    match kind:
        case "uniform":
            return rng.integers(0, 1 << fmt.width, shape, dtype=np.int64)
        case "finite":
            return _finite(rng, fmt, shape)
        case "normal":
            return _normal(rng, fmt, shape)
        case "window":
            return _window(rng, fmt, shape)
        case "lengths":
            return _lengths(rng, fmt, shape)
        case "special":
            return _with_specials(rng, fmt, shape, 0.8)
        case "rare":
            return _with_specials(rng, fmt, shape, 1 / (8 + 2 * shape[-1]))


def _finite(rng: Generator, fmt: Format, shape: tuple[int, ...]) -> Codes:
    if isinstance(fmt, FixedFormat):
        return rng.integers(0, 1 << fmt.width, shape, dtype=np.int64)
    return _signed(rng, fmt, rng.integers(0, fmt.max_code + 1, shape, dtype=np.int64))


def _normal(rng: Generator, fmt: Format, shape: tuple[int, ...]) -> Codes:
    """Normal values about as large as real data: 1 in the middle of the range, a third of it in fixed point."""
    values = rng.standard_normal(shape)
    if isinstance(fmt, FixedFormat):
        values = values * fmt.max / 3
        values = values if fmt.signed else np.abs(values)
    else:
        scale = min(max(0, fmt.min_exponent + 2), fmt.max_exponent - 2)
        values = np.ldexp(values, scale)
    return np.asarray(fmt.encode(fmt.quantize(values)), dtype=np.int64)


def _window(rng: Generator, fmt: Format, shape: tuple[int, ...]) -> Codes:
    if isinstance(fmt, FixedFormat):
        bits = int(rng.integers(1, fmt.width + 1))
        magnitude = rng.integers(0, 1 << bits, shape, dtype=np.int64)
        integers = np.where(rng.integers(0, 2, shape) == 1, -magnitude, magnitude) if fmt.signed else magnitude
        return np.asarray(np.clip(integers, fmt.min_integer, fmt.max_integer) & ((1 << fmt.width) - 1))
    fields = (fmt.max_code >> fmt.man_bits) + 1
    low = int(rng.integers(0, fields))
    high = low + int(rng.integers(1, 4))
    codes = rng.integers(low << fmt.man_bits, min(high << fmt.man_bits, fmt.max_code + 1), shape, dtype=np.int64)
    return _signed(rng, fmt, codes)


def _lengths(rng: Generator, fmt: Format, shape: tuple[int, ...]) -> Codes:
    magnitude = rng.integers(0, 1 << rng.integers(0, fmt.width, shape), dtype=np.int64)
    if isinstance(fmt, FloatFormat):
        return _signed(rng, fmt, np.minimum(magnitude, fmt.max_code))
    negative = (rng.integers(0, 2, shape) == 1) & fmt.signed
    return np.asarray(np.where(negative, -magnitude, magnitude) & ((1 << fmt.width) - 1))


def _with_specials(rng: Generator, fmt: Format, shape: tuple[int, ...], probability: float) -> Codes:
    specials = rng.choice(np.array(special_codes(fmt), dtype=np.int64), shape)
    return np.where(rng.random(shape) < probability, specials, _finite(rng, fmt, shape))


def _signed(rng: Generator, fmt: FloatFormat, magnitudes: Codes) -> Codes:
    """Give magnitudes random signs, but no `fnuz` zero, whose negative is NaN."""
    negative = rng.integers(0, 2, magnitudes.shape) == 1
    if fmt.encoding == "fnuz":
        negative &= magnitudes != 0
    return np.where(negative, magnitudes | 1 << (fmt.width - 1), magnitudes)


def boundary_lengths(chunk: int | None, longest: int) -> list[int]:
    """Return the dot product lengths at which chunking behaves differently, up to a longest one."""
    if chunk is None:
        lengths = {1, 2, 3, 17, 64, 100, 257}
    else:
        lengths = {1, 2, chunk - 1, chunk, chunk + 1, 2 * chunk - 1, 2 * chunk, 2 * chunk + 1, 5 * chunk + 3}
    return sorted(length for length in lengths if 1 <= length <= longest)


def random_length(rng: Generator, chunk: int | None, longest: int) -> int:
    """Return a random length: often short, often about a multiple of the chunk."""
    choice = rng.random()
    if choice < 0.3:
        length = int(rng.integers(1, 5))
    elif chunk is None or chunk > MOST_RANDOM_CHUNK:
        length = int(rng.integers(1, 100))
    elif choice < 0.7:
        length = int(rng.integers(1, 2 * chunk + 3))
    else:
        length = int(rng.integers(1, 4)) * chunk + int(rng.integers(-1, 2))
    return min(max(length, 1), longest)


def random_tile(spec: MacSpec, rng: Generator, length: int, kind: Kind, name: str | None = None) -> Tile:
    """Return a tile of random codes of one kind."""
    a, b = _lanes(kind, rng, spec.a, spec.rows, length), _lanes(kind, rng, spec.b, spec.cols, length)
    return Tile(name or f"{kind} K={length}", a, b.T)


def _lanes(kind: Kind, rng: Generator, fmt: Format, lanes: int, length: int) -> Codes:
    """Draw each lane by itself, so that a window differs between them; many lanes repeat some in random order."""
    distinct = np.stack([draw(kind, rng, fmt, (length,)) for _ in range(min(lanes, MOST_DISTINCT))])
    return distinct if lanes <= MOST_DISTINCT else distinct[rng.integers(0, MOST_DISTINCT, lanes)]


def random_tiles(
    spec: MacSpec, rng: Generator, count: int, longest: int, kinds: Sequence[Kind] = KINDS
) -> Iterator[Tile]:
    """Yield tiles of random kinds and lengths."""
    for _ in range(count):
        kind = kinds[int(rng.integers(len(kinds)))]
        yield random_tile(spec, rng, random_length(rng, spec.chunk, longest), kind)


def special_tiles(spec: MacSpec) -> Iterator[Tile]:
    """Yield tiles of length 1 in which every special code of `a` meets every special code of `b`."""
    left, right = (np.array(special_codes(fmt), dtype=np.int64) for fmt in (spec.a, spec.b))
    for row in range(0, len(left), spec.rows):
        for col in range(0, len(right), spec.cols):
            a = np.take(left, np.arange(row, row + spec.rows), mode="wrap").reshape(spec.rows, 1)
            b = np.take(right, np.arange(col, col + spec.cols), mode="wrap").reshape(1, spec.cols)
            yield Tile("special codes, K=1", a, b)


def length_tiles(spec: MacSpec, rng: Generator, longest: int) -> Iterator[Tile]:
    """Yield tiles of every length at which chunking behaves differently, with two kinds of operands."""
    for length in boundary_lengths(spec.chunk, longest):
        for kind in ("finite", "normal"):
            yield random_tile(spec, rng, length, kind, f"boundary length K={length}, {kind}")
