"""A long run's results as it goes: a file of lines, from which a run that was stopped goes on."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from macgen.errors import MacgenError, shown_path

MAX_BYTES = 1 << 30


class Record:
    """Pieces of a run by their names, in memory and, if there is a file, in it.

    The first line says which run it is, each other one is a piece. A line that was not finished is dropped.

    Parameters:
        path: the file; None: none.
        run: what tells this run from others.

    Attributes:
        found: how many pieces the file had.

    Raises:
        MacgenError: the file cannot be read or written, or is of another run.
    """

    def __init__(self, path: Path | None, run: str) -> None:
        self._path = path
        self._pieces: dict[str, Any] = {}
        self._file = None
        if path is None:
            self.found = 0
            return
        head = json.dumps({"macgen emulate": run})
        with self._refused("read"):
            data = path.read_bytes() if path.exists() else b""
        lines, _, _ = data.rpartition(b"\n")
        if lines:
            first, *rest = lines.split(b"\n")
            if first.decode("utf-8", "replace") != head:
                raise MacgenError(
                    f"{shown_path(path)} is there, and not of this run; accepted is it deleted, or the model, data and "
                    f"options that it was begun with"
                )
            self._read(rest)
        self.found = len(self._pieces)
        with self._refused("written"):
            self._file = path.open("r+b" if lines else "wb")
            if lines:
                self._file.truncate(len(lines) + 1)
                self._file.seek(0, os.SEEK_END)
            else:
                self._write(head)

    def get(self, name: str) -> Any | None:
        """Return a piece, or None if it has not been computed."""
        return self._pieces.get(name)

    def put(self, name: str, piece: Any) -> None:
        """Keep a piece.

        Raises:
            MacgenError: the file cannot be written.
        """
        self._pieces[name] = piece
        if self._file is not None:
            with self._refused("written"):
                self._write(json.dumps([name, piece]))

    def close(self) -> None:
        """Close the file; it stays where it is."""
        if self._file is not None:
            self._file.close()

    def remove(self) -> None:
        """Delete the file: all that it has is elsewhere."""
        self.close()
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _read(self, lines: list[bytes]) -> None:
        for line in lines:
            try:
                name, piece = json.loads(line)
            except ValueError:
                raise MacgenError(
                    f"{shown_path(self._path)} is damaged; accepted is what an interrupted run left, or no such file"
                ) from None
            self._pieces[name] = piece

    def _write(self, line: str) -> None:
        assert self._file is not None
        self._file.write(line.encode() + b"\n")
        self._file.flush()

    @contextlib.contextmanager
    def _refused(self, what: str) -> Any:
        try:
            yield
        except OSError as error:
            raise MacgenError(
                f"{shown_path(self._path)} cannot be {what} ({error.strerror}); accepted is a file in a writable "
                f"directory"
            ) from None
