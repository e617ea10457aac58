"""Operands to test with: special codes, random codes of several kinds, tiles of random lengths. Needs no simulator."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from macgen.numerics import FixedFormat, FloatFormat, Format, ScaleFormat
from macgen.spec import MacSpec
from macgen.spec_fields import Scale

Codes = NDArray[np.int64]

Kind = Literal["uniform", "finite", "normal", "window", "lengths", "special", "rare"]
"""How codes are drawn: `uniform` over all codes; `finite`, uniform over the finite ones; `normal`, values of a normal
distribution, quantised; `window`, of like magnitude (ties and cancellation); `lengths`, codes of every length in bits
(subnormal numbers of every precision); `special`, mostly special codes; `rare`, finite with a special code here and
there."""

MOST_DISTINCT = 16
"""Most distinct rows of a random tile (and columns); more would only cost time in the golden model."""

MOST_DRAWN_BITS = 62
"""Codes of more bits are drawn one by one, uniformly."""

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
        a_scales: codes of their scales, (rows, chunks), where the spec has scales; of lanes (rows, blocks).
        b_scales: the same, (chunks, cols) or (blocks, cols).
        mode: the number of the mode in which the array computes it, whose formats the codes are of.
        starts: codes of the start values, (rows, cols), where the array has preloaded accumulators; None: +0.
    """

    name: str
    a: Codes
    b: Codes
    a_scales: Codes | None = None
    b_scales: Codes | None = None
    mode: int = 0
    starts: NDArray[Any] | None = None

    @property
    def length(self) -> int:
        """K, the elements of each dot product."""
        return int(self.a.shape[1])

    @property
    def steps(self) -> int:
        """Golden steps that the results take; equal rows and equal columns are computed once."""
        return len(self.distinct_rows[0]) * len(self.distinct_columns[0]) * self.length

    @property
    def distinct_rows(self) -> tuple[list[int], list[int]]:
        """The indices of the first of each group of equal rows (scales too), and for each row which of them it is."""
        return _distinct(self.a, self.a_scales)

    @property
    def distinct_columns(self) -> tuple[list[int], list[int]]:
        """The same of the columns."""
        return _distinct(self.b.T, None if self.b_scales is None else self.b_scales.T)


def _distinct(operands: Codes, scales: Codes | None) -> tuple[list[int], list[int]]:
    keys = operands if scales is None else np.hstack((operands, scales))
    groups: dict[bytes, int] = {}
    group_of = [groups.setdefault(key.tobytes(), len(groups)) for key in keys]
    return [group_of.index(group) for group in range(len(groups))], group_of


def chunks_of(spec: MacSpec, length: int) -> int:
    """Return how many chunks a dot product has."""
    return 1 if spec.chunk is None else -(-length // spec.chunk)


def steps_of(spec: MacSpec, length: int) -> int:
    """Return how many steps a dot product takes: as many beats has each turn."""
    return -(-length // spec.lanes)


def special_codes(fmt: Format | ScaleFormat) -> list[int]:
    """Return the codes at which a format changes its behaviour: zeros, ends of every range, infinities, NaNs."""
    if isinstance(fmt, ScaleFormat):
        return sorted({0, 1, fmt.bias - 1, fmt.bias, fmt.bias + 1, fmt.nan_code - 1, fmt.nan_code})
    if isinstance(fmt, FixedFormat):
        integers = {0, 1, 2, fmt.max_integer // 2, fmt.max_integer // 2 + 1, fmt.max_integer - 1, fmt.max_integer}
        if fmt.signed:
            integers |= {-1, -2, fmt.min_integer // 2, fmt.min_integer + 1, fmt.min_integer}
        in_range = (i for i in integers if fmt.min_integer <= i <= fmt.max_integer)
        return sorted({i & ((1 << fmt.width) - 1) for i in in_range})
    hidden, top, one = 1 << fmt.man_bits, (1 << (fmt.width - 1)) - 1, fmt.bias << fmt.man_bits
    magnitudes = {0, 1, hidden - 1, hidden, hidden + 1, one, one + 1, one + hidden // 2, fmt.max_code - 1, fmt.max_code}
    if fmt.has_infinity:
        infinity = fmt.max_code + 1
        magnitudes |= {infinity, infinity + 1, fmt.nan_code - 1, fmt.nan_code, fmt.nan_code + 1}
    magnitudes |= {top}
    in_range = (m for m in magnitudes if 0 <= m <= top)
    return sorted({m | sign << (fmt.width - 1) for m in in_range for sign in (0, 1)})


def draw(kind: Kind, rng: Generator, fmt: Format, shape: tuple[int, ...]) -> Codes:
    """Return random codes of a kind and shape, all of them numbers where the format is narrow."""
    codes = _drawn(kind, rng, fmt, shape)
    if isinstance(fmt, FixedFormat) and fmt.narrow:
        codes[codes == fmt.missing_code] = fmt.largest_code(1)
    return codes


def _drawn(kind: Kind, rng: Generator, fmt: Format, shape: tuple[int, ...]) -> Codes:
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


def draw_scales(kind: Kind, rng: Generator, fmt: Scale, shape: tuple[int, ...]) -> Codes:
    """Return random codes of scales, of a kind and shape; but for `uniform`, most are about 1."""
    if isinstance(fmt, FloatFormat):
        codes = draw(kind, rng, fmt, shape)
        if kind in ("uniform", "special", "lengths") or fmt.exp_bits < 5:
            return codes
        moderate = fmt.quantize(np.ldexp(rng.uniform(-2, 2, shape), rng.integers(-12, 13, shape)))
        finite = np.isfinite(fmt.decode(codes))  # of the special codes that `rare` draws, infinities and NaN stay
        return np.where(finite, fmt.encode(moderate), codes).astype(np.int64)
    match kind:
        case "uniform":
            return rng.integers(0, fmt.nan_code + 1, shape, dtype=np.int64)
        case "special":
            return rng.choice(np.array(special_codes(fmt), dtype=np.int64), shape)
        case "lengths":  # up to the ends of the range, all finite
            return rng.integers(0, fmt.nan_code, shape, dtype=np.int64)
    near = fmt.bias + rng.integers(-3 if kind == "normal" else -12, 4 if kind == "normal" else 13, shape)
    codes = np.clip(near, 0, fmt.nan_code - 1).astype(np.int64)
    return np.where(rng.random(shape) < (1 / 40 if kind == "rare" else 0), fmt.nan_code, codes)


def one_of(fmt: Scale) -> int:
    """Return the code of the scale 1."""
    return int(fmt.encode(1.0))


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


def boundary_lengths(chunk: int | None, longest: int, lanes: int = 1) -> list[int]:
    """Return the dot product lengths at which chunking and lanes behave differently, up to a longest one."""
    if chunk is None:
        lengths = {1, 2, 3, 17, 64, 100, 257}
    else:
        lengths = {1, 2, chunk - 1, chunk, chunk + 1, 2 * chunk - 1, 2 * chunk, 2 * chunk + 1, 5 * chunk + 3}
    if lanes > 1:
        lengths |= {lanes - 1, lanes, lanes + 1, 2 * lanes - 1, 2 * lanes + 1, (chunk or 0) + lanes}
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
    a, a_scales = _operands(spec, kind, rng, spec.a, spec.rows, length)
    b, b_scales = _operands(spec, kind, rng, spec.b, spec.cols, length)
    starts = draw_starts(spec, kind, rng) if spec.preload else None
    return Tile(name or f"{kind} K={length}", a, b.T, a_scales, None if b_scales is None else b_scales.T, starts=starts)


def draw_starts(spec: MacSpec, kind: Kind, rng: Generator) -> NDArray[Any]:
    """Return random codes of start values of a tile, of a kind."""
    fmt, shape = spec.outer_format, (spec.rows, spec.cols)
    if fmt.width <= MOST_DRAWN_BITS:
        return draw(kind, rng, fmt, shape)
    codes = np.array(
        [int.from_bytes(rng.bytes(-(-fmt.width // 8))) >> -fmt.width % 8 for _ in range(shape[0] * shape[1])]
    )
    codes = codes.astype(object).reshape(shape)
    if isinstance(fmt, FixedFormat) and fmt.narrow:
        codes[codes == fmt.missing_code] = fmt.largest_code(1)
    return codes


def _operands(
    spec: MacSpec, kind: Kind, rng: Generator, fmt: Format, count: int, length: int
) -> tuple[Codes, Codes | None]:
    """Draw each row by itself, so that a window differs between them; many rows repeat some in random order."""
    drawn = range(min(count, MOST_DISTINCT))
    codes = np.stack([draw(kind, rng, fmt, (length,)) for _ in drawn])
    scales = None
    if spec.scale is not None:
        shape = (spec.scale_count(length),)
        scales = np.stack([draw_scales(kind, rng, spec.scale, shape) for _ in drawn])
    if count > MOST_DISTINCT:
        order = rng.integers(0, MOST_DISTINCT, count)
        codes, scales = codes[order], None if scales is None else scales[order]
    return codes, scales


def random_tiles(
    spec: MacSpec, rng: Generator, count: int, longest: int, kinds: Sequence[Kind] = KINDS
) -> Iterator[Tile]:
    """Yield tiles of random kinds and lengths."""
    for _ in range(count):
        kind = kinds[int(rng.integers(len(kinds)))]
        yield random_tile(spec, rng, random_length(rng, spec.chunk, longest), kind)


def special_tiles(spec: MacSpec) -> Iterator[Tile]:
    """Yield tiles of length 1 in which every special code of `a` meets every special code of `b`.

    Where the spec has scales, then also tiles in which every special scale meets every other.
    """
    for a, b in _meetings(spec, special_codes(spec.a), special_codes(spec.b)):
        if spec.scale is None:
            yield Tile("special codes, K=1", a, b)
        else:
            a_scales, b_scales = (np.full_like(codes, one_of(spec.scale)) for codes in (a, b))
            yield Tile("special codes, K=1", a, b, a_scales, b_scales)
    if spec.scale is not None:
        scales = special_codes(spec.scale)
        for values in ("zero", "largest"):
            a_code, b_code = (fmt.zero_code() if values == "zero" else fmt.largest_code(0) for fmt in (spec.a, spec.b))
            for a_scales, b_scales in _meetings(spec, scales, scales):
                a, b = np.full_like(a_scales, a_code), np.full_like(b_scales, b_code)
                yield Tile(f"special scales of {values} products, K=1", a, b, a_scales, b_scales)


def _meetings(spec: MacSpec, left: Sequence[int], right: Sequence[int]) -> Iterator[tuple[Codes, Codes]]:
    """Yield (rows, 1) and (1, cols) codes until every one on the left has met every one on the right."""
    for row in range(0, len(left), spec.rows):
        for col in range(0, len(right), spec.cols):
            a = np.take(left, np.arange(row, row + spec.rows), mode="wrap").reshape(spec.rows, 1)
            b = np.take(right, np.arange(col, col + spec.cols), mode="wrap").reshape(1, spec.cols)
            yield a.astype(np.int64), b.astype(np.int64)


def start_tiles(spec: MacSpec, rng: Generator) -> Iterator[Tile]:
    """Yield short tiles in which each special code starts a sum, with products of 0 and of random kinds."""
    specials, count = special_codes(spec.outer_format), spec.rows * spec.cols
    for low in range(0, len(specials), count):
        chosen = np.take(np.array(specials, dtype=object), np.arange(low, low + count), mode="wrap")
        starts = chosen.reshape(spec.rows, spec.cols)
        kinds: tuple[Kind, ...] = ("special", "finite", "normal", "lengths")
        for kind, length in zip(kinds, (1, 1, 2, (spec.chunk or 2) + 1), strict=True):
            if length <= MOST_RANDOM_CHUNK:
                tile = random_tile(spec, rng, length, kind, f"special start values, {kind} K={length}")
                yield replace(tile, starts=starts)
        tile = random_tile(spec, rng, 1, "finite", "special start values, zeros")
        a, b = (np.full_like(codes, fmt.zero_code()) for codes, fmt in ((tile.a, spec.a), (tile.b, spec.b)))
        yield replace(tile, a=a, b=b, starts=starts)


def length_tiles(spec: MacSpec, rng: Generator, longest: int) -> Iterator[Tile]:
    """Yield tiles of every length at which chunking behaves differently, with two kinds of operands."""
    for length in boundary_lengths(spec.chunk, longest, spec.lanes):
        for kind in ("finite", "normal"):
            yield random_tile(spec, rng, length, kind, f"boundary length K={length}, {kind}")
