"""Files that figures rest on, so that it can be said which they were."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from macgen.errors import MacgenError, shown_path


@dataclass(frozen=True)
class InputFile:
    """A file that a report rests on: its name, and the SHA-256 of its content in hexadecimal."""

    name: str
    sha256: str

    @classmethod
    def of(cls, field: str, path: Path) -> Self:
        """Return the record of a file.

        Parameters:
            field: names it in an error.
            path: where it is.

        Raises:
            MacgenError: it cannot be read.
        """
        try:
            with path.open("rb") as file:
                return cls(path.name, hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as error:
            raise MacgenError(
                f"{field} {shown_path(path)} cannot be read ({error.strerror}); accepted is a file"
            ) from None
