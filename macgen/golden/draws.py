"""Which random numbers stochastic rounding takes (docs/arithmetic.md section 7)."""

from collections.abc import Iterator
from itertools import repeat

from macgen.errors import check_flag, check_integer
from macgen.numerics import Lfsr
from macgen.spec import MacSpec, check_spec


def draws(spec: MacSpec, length: int, *, complete: bool = True) -> int:
    """Return how many random numbers a register gives for a tile, of one turn.

    That is how often its PE rounds at random for a dot product: as many steps and folds, or chunk sums; for the
    conversion of results a register of a column gives one for each row.

    Parameters:
        spec: the array.
        length: products of each dot product.
        complete: whether they end with them; if they are dropped after them, the last chunk is folded only when full.

    Raises:
        MacgenError: an argument is refused.
    """
    check_spec(spec)
    length, complete = check_integer("length", length, 0), check_flag("complete", complete)
    chunks = 1
    if spec.chunk is not None:
        chunks = -(-length // spec.chunk) if complete else length // spec.chunk
    match spec.random_place:
        case "chunks":
            return chunks if complete or spec.chunk is not None else 0
        case "out":
            return spec.rows if complete else 0
    steps = -(-length // spec.lanes)
    if spec.has_outer_adder or spec.chunk is None:
        return steps
    return steps + (chunks if spec.preload else max(chunks - 1, 0))  # else the first chunk's sum is copied


def random_numbers(spec: MacSpec, pe: tuple[int, int] = (0, 0), start: int = 0, turn: int = 0) -> Iterator[int]:
    """Return the random numbers that one turn of a PE takes, one after the other; zeros where it needs none.

    Parameters:
        spec: the array.
        pe: row and column of the PE; of the conversion of results the row is 0.
        start: numbers that the turn has taken since the reset.
        turn: which of the interleaved accumulations.
    """
    bits = spec.random_bits
    return _sequence(bits, pe, start * spec.interleave + turn, spec.interleave) if bits else repeat(0)


def _sequence(bits: int, pe: tuple[int, int], first: int, stride: int) -> Iterator[int]:
    lfsr = Lfsr.of(bits)
    state, advance = lfsr.advance(lfsr.seed(*pe), bits * first), lfsr.advancing(bits * stride)
    mask = (1 << bits) - 1
    while True:
        yield state & mask
        state = advance(state)
