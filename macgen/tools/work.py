"""Directories to work in: temporary ones that go, or stay where a log in them is named."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from macgen.errors import MacgenError
from macgen.lifetime import temporary_directory


@dataclass
class Work:
    """A directory to work in; a temporary one is removed afterwards unless it is to be kept."""

    path: Path
    keep: bool = True


@contextlib.contextmanager
def work_directory(workdir: str | Path | None, simulator: str) -> Iterator[Work]:
    """Give a fresh directory; after an error that names a log, or when told so, a temporary one stays."""
    if workdir is not None:
        path = Path(workdir).resolve() / simulator
        try:
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)
        except OSError as error:
            raise MacgenError(
                f"workdir {workdir} cannot be written ({error.strerror}); accepted is a writable directory"
            ) from None
        yield Work(path)
        return
    with temporary_directory() as directory:
        work = Work(directory.path)
        try:
            yield work
        except MacgenError:
            directory.keep = work.keep
            raise
        directory.keep = work.keep
