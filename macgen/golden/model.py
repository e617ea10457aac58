"""One MacSpec's arithmetic, sentence by sentence as in docs/arithmetic.md sections 2 to 5."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import repeat

from macgen.errors import MacgenError
from macgen.numerics import Flags, FloatFormat, Format, Lfsr, Number, Rounding, Stochastic, shift_right
from macgen.spec import MacSpec

_CACHED_CODES = 1 << 16
_NO_FLAGS, _OVERFLOW, _UNDERFLOW, _INVALID = 0, int(Flags.OVERFLOW), int(Flags.UNDERFLOW), int(Flags.INVALID)

Result = tuple[int, int]
"""A code and its flags as a plain integer."""


class Model:
    """The golden model of one spec, for callers that take very many steps; `golden.step` and its like check more.

    Its methods take codes as Python integers and return flags as plain integers (bits of `Flags`); they raise
    MacgenError for a code that its format does not have. Random numbers are those of stochastic rounding.

    Parameters:
        spec: formats, rounding, overflow and chunk length; rows, cols, pipeline and fold do not change results.
    """

    def __init__(self, spec: MacSpec) -> None:
        self.spec = spec
        self._acc = spec.acc
        self._drops = spec.rounding == "drop"
        self._rounding: Rounding = "rne" if spec.rounding == "rne" else "rtz"
        self._random_bits = spec.random_bits
        self._decode_a = _decoder("a", spec.a)
        self._decode_b = _decoder("b", spec.b)
        self._decode_acc = _decoder("acc", spec.acc)
        few = 1 << spec.a.width + spec.b.width <= _CACHED_CODES
        self._product = lru_cache(_CACHED_CODES)(self._multiply) if few else self._multiply

    # -- section 2: chunks and steps -----------------------------------------------------------------------------

    def step(self, acc_code: int, a_code: int, b_code: int, random: int = 0) -> Result:
        """Return R(accumulator + a * b), rounded with a random number."""
        return self._add(self._decode_acc(acc_code), self._product(a_code, b_code), random)

    def _multiply(self, a_code: int, b_code: int) -> Number:
        return multiply(self._decode_a(a_code), self._decode_b(b_code))

    def fold(self, outer_code: int, inner_code: int, random: int = 0) -> Result:
        """Return R(outer + inner), rounded with a random number."""
        return self._add(self._decode_acc(outer_code), self._decode_acc(inner_code), random)

    def dot(self, a_codes: Sequence[int], b_codes: Sequence[int], random: Iterator[int] | None = None) -> Result:
        """Return the dot product of two equally long, non-empty sequences, and the flags of all its roundings.

        Random numbers are those of PE (0, 0) after a reset, unless others are given.
        """
        numbers = random_numbers(self.spec) if random is None else random
        length = len(a_codes)
        chunk = self.spec.chunk or length
        outer, flags = self._chunk_sum(a_codes[:chunk], b_codes[:chunk], numbers)
        for start in range(chunk, length, chunk):
            part = slice(start, start + chunk)
            inner, inner_flags = self._chunk_sum(a_codes[part], b_codes[part], numbers)
            outer, fold_flags = self.fold(outer, inner, next(numbers))
            flags |= inner_flags | fold_flags
        return outer, flags

    def _chunk_sum(self, a_codes: Sequence[int], b_codes: Sequence[int], random: Iterator[int]) -> Result:
        inner, flags = self._acc.zero_code(), _NO_FLAGS
        for a_code, b_code in zip(a_codes, b_codes, strict=True):
            inner, step_flags = self.step(inner, a_code, b_code, next(random))
            flags |= step_flags
        return inner, flags

    # -- sections 3 and 4: one addition --------------------------------------------------------------------------

    def _add(self, acc: Number, addend: Number, random: int) -> Result:
        if acc.kind == "finite" and addend.kind == "finite":
            return self._add_finite(acc, addend, random)
        if acc.kind == "signalling" or addend.kind == "signalling":
            return self._nan(_INVALID)
        if acc.kind == "nan" or addend.kind == "nan":
            return self._nan(_NO_FLAGS)
        if acc.kind == "infinite" and addend.kind == "infinite" and acc.sign != addend.sign:
            return self._nan(_INVALID)
        infinite = acc if acc.kind == "infinite" else addend
        if isinstance(self._acc, FloatFormat) and self._acc.has_infinity:
            return self._acc.infinity_code(infinite.sign), _NO_FLAGS
        return self._acc.largest_code(infinite.sign), _OVERFLOW

    def _add_finite(self, acc: Number, addend: Number, random: int) -> Result:
        if self._drops:
            last_place = self._last_place(acc, addend)
            acc, addend = _cut(acc, last_place), _cut(addend, last_place)
        lsb = min(acc.exponent, addend.exponent)
        acc_magnitude = acc.significand << (acc.exponent - lsb)
        addend_magnitude = addend.significand << (addend.exponent - lsb)
        total = (-acc_magnitude if acc.sign else acc_magnitude) + (
            -addend_magnitude if addend.sign else addend_magnitude
        )
        if total == 0:
            return self._acc.zero_code(), _NO_FLAGS
        rounding = Stochastic(self._random_bits, random) if self._random_bits else self._rounding
        rounded = self._acc.round(int(total < 0), abs(total), lsb, rounding, self.spec.overflow)
        flags = (_OVERFLOW if rounded.overflow else 0) | (_UNDERFLOW if rounded.underflow else 0)
        return rounded.code, flags

    def _last_place(self, *addends: Number) -> int:
        """Return the exponent of the last place at which `drop` cuts the addends of a sum."""
        if not isinstance(self._acc, FloatFormat):
            return self._acc.lsb_exponent
        exponents = [x.exponent + x.significand.bit_length() - 1 for x in addends if x.significand]
        if self._acc.subnormals == "gradual":
            exponents.append(self._acc.min_exponent)
        return max(exponents, default=0) - self._acc.man_bits

    def _nan(self, flags: int) -> Result:
        if isinstance(self._acc, FloatFormat) and self._acc.has_nan:
            return self._acc.nan_code, flags
        return self._acc.largest_code(0), _INVALID


def additions(spec: MacSpec, length: int, *, complete: bool = True) -> int:
    """Return how many additions, steps and folds, a dot product takes (docs/arithmetic.md section 7).

    Parameters:
        spec: the chunk length.
        length: its products.
        complete: whether it ends with them; if it is dropped after them, its last chunk is folded only when full.
    """
    if spec.chunk is None:
        return length
    chunks = -(-length // spec.chunk) if complete else length // spec.chunk
    return length + max(chunks - 1, 0)


def random_numbers(spec: MacSpec, pe: tuple[int, int] = (0, 0), start: int = 0) -> Iterator[int]:
    """Return the random numbers that a PE's additions take, one after the other; zeros where it needs none.

    Parameters:
        spec: the rounding.
        pe: row and column of the PE.
        start: additions that it has done since the reset.
    """
    return _sequence(spec.random_bits, pe, start) if spec.random_bits else repeat(0)


def _sequence(bits: int, pe: tuple[int, int], start: int) -> Iterator[int]:
    lfsr = Lfsr.of(bits)
    state, advance = lfsr.advance(lfsr.seed(*pe), bits * start), lfsr.advancing(bits)
    mask = (1 << bits) - 1
    while True:
        yield state & mask
        state = advance(state)


def multiply(a: Number, b: Number) -> Number:
    """Return the exact product; `signalling` stands for a NaN that raises `invalid` (also 0 times infinity)."""
    sign = a.sign ^ b.sign
    if a.kind == "finite" and b.kind == "finite":
        return Number("finite", sign, a.significand * b.significand, a.exponent + b.exponent)
    zero_times_infinity = "infinite" in (a.kind, b.kind) and (_is_zero(a) or _is_zero(b))
    if "signalling" in (a.kind, b.kind) or zero_times_infinity:
        return Number("signalling", sign)
    if "nan" in (a.kind, b.kind):
        return Number("nan", sign)
    return Number("infinite", sign)


def _cut(x: Number, last_place: int) -> Number:
    """Return a finite number without what lies below a place."""
    if x.exponent >= last_place:
        return x
    kept, _ = shift_right(x.significand, last_place - x.exponent, "rtz")
    return Number("finite", x.sign, kept, last_place)


def _is_zero(x: Number) -> bool:
    return x.kind == "finite" and x.significand == 0


def _decoder(name: str, fmt: Format) -> Callable[[int], Number]:
    """Return the format's scalar decoder with a memory, its errors naming the operand."""

    @lru_cache(_CACHED_CODES)
    def decode(code: int) -> Number:
        try:
            return fmt.number(code)
        except MacgenError as error:
            raise MacgenError(f"{name}: {error}") from None

    return decode
