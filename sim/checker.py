"""Compares what comes out with what golden expects, and explains the first differences. Needs no simulator."""

from collections import deque

from macgen.numerics import Format
from macgen.numerics.flags import FLAG_BITS, Flags
from macgen.spec import MacSpec
from macgen.spec_fields import Scale
from sim.counters import ExpectedCounters
from sim.model import Expected, unpack
from sim.operands import Tile

MOST_REPORTED = 3
MOST_OPERANDS = 6


class MismatchError(AssertionError):
    """The array answered something else than the golden model."""


class Checker:
    """Takes result beats in order and compares each code, flag and mark.

    Parameters:
        spec: the array.

    Attributes:
        comparisons: result codes and flags compared, 1 each per element of the result.
        tiles: tiles compared completely.
        counters: what the array's counters have to show; None where it has none.
    """

    def __init__(self, spec: MacSpec) -> None:
        self._spec = spec
        self.counters = None if spec.counters is None else ExpectedCounters(spec)
        self._expected: deque[Expected] = deque()
        self._beat = 0
        self.comparisons = 0
        self.tiles = 0

    @property
    def pending(self) -> int:
        """Expectations that have not come out completely."""
        return len(self._expected)

    def expect(self, expected: Expected) -> None:
        """Add the next tiles to come out."""
        self._expected.append(expected)

    def forget(self) -> None:
        """Drop everything still expected, as a reset does."""
        self._expected.clear()
        self._beat = 0
        if self.counters is not None:
            self.counters.clear()

    def beat(self, data: int, flags: int, first: int, last: int) -> None:
        """Take one result beat.

        Raises:
            MismatchError: it is not the one expected; the message names tile, element, operands, expected and got.
        """
        if not self._expected:
            raise MismatchError(f"a result beat (data {data:#x}, flags {flags:#x}) came though none was expected")
        expected = self._expected[0]
        row, turn = divmod(self._beat, self._spec.interleave)
        if (data, flags) != expected.beats[self._beat]:
            raise MismatchError(self._explain(expected, row, turn, data, flags))
        ends = self._beat == 0, self._beat == len(expected.beats) - 1
        for name, mark, wanted in (("first", first, ends[0]), ("last", last, ends[1])):
            if mark != wanted:
                raise MismatchError(f"{self._place(expected, turn)}, row {row}: the mark {name} is {mark}")
        if self.counters is not None and expected.counts is not None:
            self.counters.add(expected.counts[turn, row])
        self.comparisons += 2 * self._spec.cols
        self._beat += 1
        if ends[1]:
            self._expected.popleft()
            self._beat = 0
            self.tiles += len(expected.tiles)

    def _place(self, expected: Expected, turn: int) -> str:
        name = f"tile {expected.tiles[turn].name!r}"
        return name if self._spec.interleave == 1 else f"{name} (turn {turn})"

    def _explain(self, expected: Expected, row: int, turn: int, data: int, flags: int) -> str:
        spec = self._spec
        got_codes = unpack(data, spec.out_format.width, spec.cols)
        got_flags = unpack(flags, FLAG_BITS, spec.cols)
        codes, raised = expected.codes[turn, row].tolist(), expected.flags[turn, row].tolist()
        wrong = [
            col for col in range(spec.cols) if (got_codes[col], got_flags[col]) != (int(codes[col]), int(raised[col]))
        ]
        lines = [f"{self._place(expected, turn)}: {len(wrong)} of {spec.cols} results of row {row} are wrong"]
        for col in wrong[:MOST_REPORTED]:
            want = _result_text(spec.out_format, int(codes[col]), int(raised[col]))
            got = _result_text(spec.out_format, got_codes[col], got_flags[col])
            operands = self._operands_text(expected.tiles[turn], row, col)
            lines.append(f"  [{row}, {col}] expected {want}, got {got}; {operands}")
        return "\n".join(lines)

    def _operands_text(self, tile: Tile, row: int, col: int) -> str:
        spec = self._spec.mode(tile.mode)
        a_codes, b_codes = tile.a[row].tolist(), tile.b[:, col].tolist()
        shown = [
            f"{_code_text(spec.a, a)} * {_code_text(spec.b, b)}"
            for a, b in zip(a_codes[:MOST_OPERANDS], b_codes[:MOST_OPERANDS], strict=True)
        ]
        more = f", and {tile.length - MOST_OPERANDS} more" if tile.length > MOST_OPERANDS else ""
        text = f"K={tile.length}: {', '.join(shown)}{more}"
        if spec.scale is None or tile.a_scales is None or tile.b_scales is None:
            return text
        pairs = list(zip(tile.a_scales[row].tolist(), tile.b_scales[:, col].tolist(), strict=True))
        shown = [f"{_code_text(spec.scale, a)} * {_code_text(spec.scale, b)}" for a, b in pairs[:MOST_OPERANDS]]
        more = f", and {len(pairs) - MOST_OPERANDS} more" if len(pairs) > MOST_OPERANDS else ""
        return f"{text}; scales {', '.join(shown)}{more}"


def _code_text(fmt: Format | Scale, code: int) -> str:
    return f"{code:#x} ({float(fmt.decode(code)):g})"


def _result_text(fmt: Format, code: int, flags: int) -> str:
    raised = [str(flag.name).lower() for flag in Flags if flags & flag]
    return f"{_code_text(fmt, code)} [{', '.join(raised) or 'no flag'}]"
