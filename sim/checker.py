"""Compares what comes out with what golden expects, and explains the first differences. Needs no simulator."""

from collections import deque

from macgen.numerics import Format
from macgen.numerics.flags import FLAG_BITS, Flags
from macgen.spec import MacSpec
from sim.model import Expected, unpack

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
    """

    def __init__(self, spec: MacSpec) -> None:
        self._spec = spec
        self._expected: deque[Expected] = deque()
        self._row = 0
        self.comparisons = 0
        self.tiles = 0

    @property
    def pending(self) -> int:
        """Tiles that have not come out completely."""
        return len(self._expected)

    def expect(self, expected: Expected) -> None:
        """Add the next tile to come out."""
        self._expected.append(expected)

    def forget(self) -> None:
        """Drop everything still expected, as a reset does."""
        self._expected.clear()
        self._row = 0

    def beat(self, data: int, flags: int, first: int, last: int) -> None:
        """Take one result beat.

        Raises:
            MismatchError: it is not the one expected; the message names tile, element, operands, expected and got.
        """
        if not self._expected:
            raise MismatchError(f"a result beat (data {data:#x}, flags {flags:#x}) came though none was expected")
        expected = self._expected[0]
        row = self._row
        if (data, flags) != expected.beats[row]:
            raise MismatchError(self._explain(expected, row, data, flags))
        last_row = row == self._spec.rows - 1
        for name, mark, wanted in (("first", first, row == 0), ("last", last, last_row)):
            if mark != wanted:
                raise MismatchError(f"tile {expected.tile.name!r}, row {row}: the mark {name} is {mark}")
        self.comparisons += 2 * self._spec.cols
        self._row = 0 if last_row else row + 1
        if last_row:
            self._expected.popleft()
            self.tiles += 1

    def _explain(self, expected: Expected, row: int, data: int, flags: int) -> str:
        spec = self._spec
        got_codes = unpack(data, spec.acc.width, spec.cols)
        got_flags = unpack(flags, FLAG_BITS, spec.cols)
        wrong = [
            col
            for col in range(spec.cols)
            if (got_codes[col], got_flags[col]) != (int(expected.codes[row, col]), int(expected.flags[row, col]))
        ]
        lines = [f"tile {expected.tile.name!r}: {len(wrong)} of {spec.cols} results of row {row} are wrong"]
        for col in wrong[:MOST_REPORTED]:
            want = _result_text(spec.acc, int(expected.codes[row, col]), int(expected.flags[row, col]))
            got = _result_text(spec.acc, got_codes[col], got_flags[col])
            lines.append(f"  [{row}, {col}] expected {want}, got {got}; {self._operands_text(expected, row, col)}")
        return "\n".join(lines)

    def _operands_text(self, expected: Expected, row: int, col: int) -> str:
        spec, tile = self._spec, expected.tile
        a_codes, b_codes = tile.a[row].tolist(), tile.b[:, col].tolist()
        shown = [
            f"{_code_text(spec.a, a)} * {_code_text(spec.b, b)}"
            for a, b in zip(a_codes[:MOST_OPERANDS], b_codes[:MOST_OPERANDS], strict=True)
        ]
        more = f", and {tile.length - MOST_OPERANDS} more" if tile.length > MOST_OPERANDS else ""
        return f"K={tile.length}: {', '.join(shown)}{more}"


def _code_text(fmt: Format, code: int) -> str:
    return f"{code:#x} ({float(fmt.decode(code)):g})"


def _result_text(fmt: Format, code: int, flags: int) -> str:
    raised = [str(flag.name).lower() for flag in Flags if flags & flag]
    return f"{_code_text(fmt, code)} [{', '.join(raised) or 'no flag'}]"
