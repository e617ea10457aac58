"""Spec files that commands start from."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from macgen.errors import MacgenError, shown

if TYPE_CHECKING:
    from macgen.spec import MacSpec

MAX_SPEC_BYTES = 1 << 20


def read_spec(path: str) -> "MacSpec":
    """Return the spec in a JSON file; `-` reads standard input.

    Raises:
        MacgenError: it cannot be read, or is no spec.
    """
    from macgen.spec import MacSpec

    accepted = f"accepted is a JSON file of up to {MAX_SPEC_BYTES} bytes"
    try:
        with nullcontext(standard_input("spec")) if path == "-" else Path(path).open("rb") as file:
            data = file.read(MAX_SPEC_BYTES + 1)
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise MacgenError(f"spec {shown(path)} is not UTF-8 text; {accepted}") from None
    except OSError as error:
        raise MacgenError(f"spec {shown(path)} cannot be read ({error.strerror}); {accepted}") from None
    if len(data) > MAX_SPEC_BYTES:
        raise MacgenError(f"spec {shown(path)} is larger than {MAX_SPEC_BYTES} bytes; {accepted}")
    try:
        return MacSpec.from_json(text)
    except MacgenError as error:
        raise MacgenError(f"spec {shown(path)}: {error}") from None


def standard_input(option: str) -> BinaryIO:
    """Return standard input, which an option asks for.

    Raises:
        MacgenError: it is closed.
    """
    if sys.stdin is None:
        raise MacgenError(f"{option} '-' cannot be read (standard input is closed); accepted is a file, or one there")
    return sys.stdin.buffer
