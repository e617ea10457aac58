"""The grammar of Liberty files: nested groups with attributes, and the line on which each group starts."""

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from macgen.errors import MacgenError

MAX_BYTES = 1 << 29
"""Of a file, unpacked; the largest of libraries with current-source tables come near."""

_DEEPEST = 40  # groups within groups; real libraries need about six


@dataclass
class Group:
    """A Liberty group: `kind (arguments) { attributes and groups }`."""

    kind: str
    arguments: list[str]
    line: int
    attributes: dict[str, list[str]] = field(default_factory=dict)
    groups: list["Group"] = field(default_factory=list)

    def find(self, *kinds: str) -> Iterator["Group"]:
        """Yield the direct subgroups of some kinds."""
        return (group for group in self.groups if group.kind in kinds)

    def text(self, attribute: str, default: str = "") -> str:
        """Return a simple attribute's value."""
        values = self.attributes.get(attribute)
        return values[0] if values else default


_TOKEN = re.compile(
    r"""(?P<skip>(?:\s+|/\*.*?\*/|//[^\n]*|\\\s*?\n)+)
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<sign>[{}();:,])
      | (?P<word>(?:[^\s{}();:,"/]|/(?![*/]))+)""",
    re.VERBOSE | re.DOTALL,
)


class _Reader:
    """One pass over a file's text. Lines are counted only where a group starts or an error is reported."""

    def __init__(self, text: str, path: Path) -> None:
        self.text = text
        self.path = path
        self.end = len(text)
        self.position = 0
        self.token = ""
        self.start = 0
        self.depth = 0
        self.counted_to = 0
        self.lines = 1
        self.advance()

    def line_of_group(self, position: int) -> int:
        """The line of a position; called with ascending positions, so that the file is counted through once."""
        self.lines += self.text.count("\n", self.counted_to, position)
        self.counted_to = position
        return self.lines

    def error(self, problem: str) -> MacgenError:
        line = 1 + self.text.count("\n", 0, self.start)
        return MacgenError(f"Liberty file {self.path} line {line}: {problem}")

    def advance(self) -> str:
        """Move to the next token (an empty one at the end) and return the one left behind."""
        left = self.token
        while self.position < self.end:
            match = _TOKEN.match(self.text, self.position)
            self.start = self.position
            if match is None:
                raise self.error(f"unexpected {self.text[self.position]!r}, as in a string or comment without an end")
            self.position = match.end()
            if match.lastgroup != "skip":
                self.token = match[0]
                return left
        self.start = self.end
        self.token = ""
        return left

    def expect(self, sign: str) -> None:
        if self.token != sign:
            raise self.error(f"{sign!r} expected, found {self.token or 'the end of the file'!r}")
        self.advance()

    def statements(self, parent: Group, until: str) -> None:
        """Read attributes and groups up to a token, or to the end of the file if that is the empty string."""
        while self.token != until:
            if self.token == ";":
                self.advance()
            else:
                self.statement(parent)

    def statement(self, parent: Group) -> None:
        """Read one attribute or group into its parent."""
        if self.token == "" or self.token in "{}():,":
            raise self.error(
                f"the name of an attribute or group expected, found {self.token or 'the end of the file'!r}"
            )
        start = self.start
        name = _unquoted(self.advance())
        if self.token == ":":
            self.advance()
            parent.attributes[name] = [self.simple_value()]
            return
        self.expect("(")
        arguments: list[str] = []
        while self.token != ")":
            if self.token == "" or self.token in "{};":
                raise self.error(f"')' expected, found {self.token or 'the end of the file'!r}")
            value = self.advance()
            if value not in ",:":
                arguments.append(_unquoted(value))
        self.advance()
        if self.token != "{":
            # Attributes that may be stated several times, such as voltage_map, keep their last value; none is needed.
            parent.attributes[name] = arguments
            if self.token == ";":
                self.advance()
            return
        group = Group(name, arguments, self.line_of_group(start))
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.error(f"groups are nested more than {_DEEPEST} deep")
        self.advance()
        self.statements(group, until="}")
        self.expect("}")
        self.depth -= 1
        parent.groups.append(group)

    def simple_value(self) -> str:
        """Read a value up to its semicolon, which may be missing at the end of the line."""
        parts: list[str] = []
        end = self.position
        while self.token not in (";", "}", ""):
            if parts and "\n" in self.text[end : self.start]:
                return " ".join(parts)
            if self.token in "{(":
                raise self.error(f"the value of an attribute expected, found {self.token!r}")
            end = self.position
            parts.append(_unquoted(self.advance()))
        if self.token == ";":
            self.advance()
        return " ".join(parts)


def _unquoted(token: str) -> str:
    if token[:1] != '"':
        return token
    return re.sub(r"\\\s*?\n|\\(.)", r"\1", token[1:-1], flags=re.DOTALL)


def read_text(path: Path) -> str:
    """Return the text of a Liberty file, plain or gzipped.

    Raises:
        MacgenError: the file cannot be read, or has more than `MAX_BYTES`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if data[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as unpacked:
                data = unpacked.read(MAX_BYTES + 1)
    except OSError as error:
        raise MacgenError(f"Liberty file {path} cannot be read: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise MacgenError(f"Liberty file {path} is a damaged gzip file: {error}") from error
    if len(data) > MAX_BYTES:
        raise MacgenError(
            f"Liberty file {path} has more than {MAX_BYTES} bytes, unpacked; accepted are at most as many"
        )
    return data.decode("utf-8", errors="replace")


def parse(path: Path) -> Group:
    """Return a Liberty file's groups inside one nameless group.

    Raises:
        MacgenError: the file cannot be read or is malformed; the sentence names file and line.
    """
    reader = _Reader(read_text(path), path)
    root = Group("", [], 1)
    reader.statements(root, until="")
    return root
