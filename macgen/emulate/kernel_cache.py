"""Compiled kernels, kept in the user's cache folder from run to run.

What only compiling and looking into the folder takes is imported there: most programs never come so far.
"""

import atexit
import ctypes
import os
import stat
import sys
import threading
import warnings
from functools import cache
from pathlib import Path

from macgen.emulate.compiler import HEADERS, Compiler, compilers
from macgen.errors import ToolError

SLOWER = "some 10 to 3000 times"
"""How much slower results are without a kernel, as the notice says it: on NumPy's arrays 10 to 40 times, in Python's
fractions 2000 to 3000 times."""

_lock = threading.Lock()
_loaded: dict[tuple[str, str], ctypes.CDLL | None] = {}
_failed: dict[Compiler, str] = {}  # a compiler that failed once is not waited for again
_told: set[str] = set()


def load(source: str, *, optimise: str = "-O3") -> ctypes.CDLL | None:
    """Return a source as a loaded shared library, compiled unless an earlier run has done so.

    Calls of its functions release the GIL. Where there is no compiler, or none that manages it, the answer is None; a
    warning then says so, once a process.

    Parameters:
        source: C++17; it may include what stands in `compiler.HEADERS`.
        optimise: the compiler's option.
    """
    key = source, optimise
    if key not in _loaded:
        with _lock:
            if key not in _loaded:
                _loaded[key] = _load(source, optimise)
    return _loaded[key]


def _load(source: str, optimise: str) -> ctypes.CDLL | None:
    library, reasons = None, []
    for compiler in compilers():
        if compiler not in _failed:
            try:
                library = _of_compiler(compiler, source, optimise)
                break
            except (ToolError, OSError) as error:
                _failed[compiler] = str(error)
        reasons.append((compiler, _failed[compiler]))
    if library is None:
        why = "; ".join(reason for _, reason in reasons)
        why = why or "no C++ compiler was found (looked for $CXX, g++, clang++ and the ziglang wheel)"
        _tell(
            f"{why}. macgen.emulate computes with NumPy instead, {SLOWER} slower; install a compiler with `apt install "
            f"g++` or `pip install macgen[fast]`"
        )
    elif reasons and reasons[0][0].name.startswith("$CXX"):
        _tell(f"{reasons[0][1]}. macgen.emulate compiles with {compiler.name} instead")
    return library


def _tell(text: str) -> None:
    if text not in _told:
        _told.add(text)
        warnings.warn(text, RuntimeWarning, stacklevel=2)


def _of_compiler(compiler: Compiler, source: str, optimise: str) -> ctypes.CDLL:
    """Return the library that a compiler makes of a source, or made of it before."""
    import hashlib

    named = "\0".join((source, optimise, compiler.identity, _processor(), _headers()))
    name = hashlib.sha256(named.encode()).hexdigest()[:32]
    folder = _folder()
    if (library := _open(folder / f"{name}.so")) is not None:
        return library
    try:
        return _make(compiler, source, optimise, folder / f"{name}.so")
    except OSError:  # no space left, or nothing there may be executed
        return _make(compiler, source, optimise, _temporary_folder() / f"{name}.so")


def _make(compiler: Compiler, source: str, optimise: str, path: Path) -> ctypes.CDLL:
    """Compile a source and put the library where it stays, whole or not at all."""
    mark = f"{os.getpid()}-{threading.get_ident()}"
    part, note = path.with_suffix(f".{mark}.so"), path.with_suffix(f".{mark}.sha256")
    try:
        compiler.compile(source, part, optimise)
        digest = _digest(part)
        note.write_text(digest, encoding="ascii")
        part.replace(path)
        note.replace(path.with_suffix(".sha256"))
    finally:
        part.unlink(missing_ok=True)
        note.unlink(missing_ok=True)
    return ctypes.CDLL(str(path))


def _open(path: Path) -> ctypes.CDLL | None:
    """Return a kept library; None where there is none, or not the one that was put there."""
    try:
        if path.with_suffix(".sha256").read_text(encoding="ascii") != _digest(path):
            return None  # half a library may open, and end the process later
        return ctypes.CDLL(str(path))
    except (OSError, ValueError):
        return None


def _digest(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


# -- where kernels are kept ----------------------------------------------------------------------------------------


def _folder() -> Path:
    """Return the folder of kernels: the user's, or one of this process where that cannot be used."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    try:
        base = Path(home) if Path(home).is_absolute() else Path.home() / ".cache"
        folder = (base / "macgen" / "kernels").resolve()
        for place in (folder.parent.parent, folder.parent, folder):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            return _temporary_folder()
        if (open_to_others := _open_to_others(folder)) is not None:
            _tell(
                f"others may write to {open_to_others}, so macgen.emulate compiles its kernels anew in each process; "
                f"`chmod go-w` that folder"
            )
            return _temporary_folder()
    except (OSError, RuntimeError):  # no home, or it cannot be written
        return _temporary_folder()
    return folder


def _open_to_others(folder: Path) -> Path | None:
    """Return the folder, of this one and those it is in, in which others may replace something; None if in none."""
    own, shared = os.geteuid(), stat.S_IWGRP | stat.S_IWOTH
    trusted = own, 0, Path("/").stat().st_uid
    for place in (folder, *folder.parents):
        status = place.stat()
        kept_apart = place != folder and status.st_mode & stat.S_ISVTX  # as /tmp
        if status.st_uid not in trusted or (status.st_mode & shared and not kept_apart):
            return place
    return None if folder.stat().st_uid == own else folder


_temporary: dict[int, Path] = {}  # by process, as a forked one must not remove its parent's


def _temporary_folder() -> Path:
    """Return a folder that goes with this process."""
    import tempfile

    process = os.getpid()
    if process not in _temporary:
        _temporary[process] = Path(tempfile.mkdtemp(prefix="macgen-kernels-"))
        atexit.register(_remove_temporary_folder)
    return _temporary[process]


def _remove_temporary_folder() -> None:
    import shutil

    if (folder := _temporary.pop(os.getpid(), None)) is not None:
        shutil.rmtree(folder, ignore_errors=True)


# -- what a kernel depends on ------------------------------------------------------------------------------------


@cache
def _processor() -> str:
    """Return what tells processors apart for which compilers write different code."""
    machine = os.uname().machine if hasattr(os, "uname") else ""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            first = list(iter(lambda: lines.readline().strip(), ""))
        told = ("model name", "flags", "Features", "CPU part", "CPU implementer", "isa", "cpu")
        return "\n".join([machine, *(line for line in first if line.partition("\t")[0].strip() in told)])
    except OSError:
        return f"{machine} {os.uname() if machine else sys.platform}"


@cache
def _headers() -> str:
    """Return all headers' text."""
    return "\0".join(path.read_text(encoding="utf-8") for path in sorted(HEADERS.glob("*.h")))
