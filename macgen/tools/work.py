"""Directories to work in: temporary ones that go, or stay where a log in them is named."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from macgen.errors import MacgenError, shown_path


@dataclass
class Work:
    """A directory to work in; a temporary one is removed afterwards unless it is to be kept."""

    path: Path
    keep: bool = True


_MARK = ".macgen-work"
"""A file in directories of this kind: what lacks it is someone else's and not deleted."""


@contextlib.contextmanager
def work_directory(workdir: str | Path | None, simulator: str) -> Iterator[Work]:
    """Give a fresh directory; after an error that names a log, or when told so, a temporary one stays.

    In `workdir` it has the simulator's name, and replaces that of an earlier run.

    Raises:
        MacgenError: `workdir` cannot be written, or has something else of that name.
    """
    if workdir is not None:
        path = Path(workdir).resolve() / simulator
        try:
            if path.exists() and any(path.iterdir()) and not (path / _MARK).exists():
                raise MacgenError(
                    f"workdir {shown_path(workdir)} has a {simulator!r} that is not of an earlier run; accepted is a "
                    f"directory without it"
                )
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)
            (path / _MARK).touch()
        except OSError as error:
            raise MacgenError(
                f"workdir {shown_path(workdir)} cannot be written ({error.strerror}); accepted is a writable directory"
            ) from None
        yield Work(path)
        return
    work = Work(Path(tempfile.mkdtemp(prefix="macgen-")))
    try:
        yield work
    except MacgenError:
        raise
    except BaseException:
        work.keep = False
        raise
    finally:
        if not work.keep:
            shutil.rmtree(work.path, ignore_errors=True)
