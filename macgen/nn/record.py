"""A long run's results as it goes: a file of lines, from which a run that was stopped goes on."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import zlib
from collections.abc import Iterator
from io import BufferedRandom
from pathlib import Path
from typing import Any

from macgen.errors import MacgenError, shown_path

_START = b'{"macgen emulate": "'
_HEAD = re.compile(re.escape(_START) + rb'[^"\\]*"\}\n')
_LONGEST_HEAD = 1 << 12


class Record:
    """Pieces of a run by their names, in memory and, if there is a file, in it.

    The first line says which run it is, each other one is a piece with its checksum. A line that was not finished is
    dropped. A file that has no pieces is as good as none, whichever run it was begun for; so `close` removes it.

    Parameters:
        path: the file; None: none.
        run: what tells this run from others.

    Attributes:
        found: how many pieces the file had.

    Raises:
        MacgenError: the file cannot be read or written, is of another run, or another process is writing it.
    """

    def __init__(self, path: Path | None, run: str) -> None:
        self._path = path
        self._pieces: dict[str, Any] = {}
        self._file: BufferedRandom | None = None
        if path is not None:
            head = json.dumps({"macgen emulate": run}).encode()
            with contextlib.ExitStack() as until_read:
                self._file = self._opened(path)
                until_read.callback(self._file.close)
                self._take_up(self._file, head)
                until_read.pop_all()
        self.found = len(self._pieces)

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
                line = json.dumps([name, piece]).encode()
                self._file.write(b"%08x %s\n" % (zlib.crc32(line), line))
                self._file.flush()

    def check(self, name: str, piece: Any) -> None:
        """Keep a piece that is the same in every process of the run.

        Raises:
            MacgenError: the file has another one, or cannot be written.
        """
        if name not in self._pieces:
            self.put(name, piece)
        elif self._pieces[name] != piece:
            raise self._of_another_run()

    def close(self) -> None:
        """Close the file; it stays where it is if there are pieces in it."""
        if self._file is not None and not self._file.closed:
            if not self._pieces and self._path is not None:
                with contextlib.suppress(OSError):
                    self._path.unlink()
            self._file.close()

    # -- the file ------------------------------------------------------------------------------------------------------

    def _opened(self, path: Path) -> BufferedRandom:
        with self._refused("written"):
            if path.exists() and not path.is_file():
                raise MacgenError(f"{shown_path(path)} is there, and no file; accepted is it deleted, or another name")
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise MacgenError(
                    f"{shown_path(path)} is being written by another run; accepted is one at a time"
                ) from None
            except OSError:  # a file system without locks
                pass
            return os.fdopen(descriptor, "r+b")

    def _take_up(self, file: BufferedRandom, head: bytes) -> None:
        """Read what an earlier run left, and have the file end behind it."""
        with self._refused("read"):
            first = file.readline(_LONGEST_HEAD)
            ours = first == head + b"\n"
            of_some_run = _HEAD.fullmatch(first) is not None
            rest = file.read() if of_some_run else b""
            unfinished_head = b"\n" not in first and (_START.startswith(first) or first.startswith(_START))
            if not (ours or unfinished_head or (of_some_run and b"\n" not in rest)):
                raise self._of_another_run()
        *lines, unfinished = rest.split(b"\n")
        if ours:
            for line in lines:
                name, piece = self._piece(line)
                self._pieces[name] = piece
        with self._refused("written"):
            if ours:
                file.seek(-len(unfinished), os.SEEK_END)
                file.truncate()
            else:
                file.seek(0)
                file.truncate()
                file.write(head + b"\n")
                file.flush()

    def _of_another_run(self) -> MacgenError:
        return MacgenError(
            f"{shown_path(self._path)} is there, and not of this run; accepted is it deleted, or the model, data and "
            f"options that it was begun with"
        )

    def _piece(self, line: bytes) -> tuple[str, Any]:
        checksum, _, text = line.partition(b" ")
        if checksum != b"%08x" % zlib.crc32(text):
            raise MacgenError(
                f"{shown_path(self._path)} is damaged; accepted is what an interrupted run left, or no such file"
            )
        name, piece = json.loads(text)
        return name, piece

    @contextlib.contextmanager
    def _refused(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise MacgenError(
                f"{shown_path(self._path)} cannot be {what} ({error.strerror}); accepted is a file in a writable "
                f"directory"
            ) from None
