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
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from macgen.emulate.compiler import HEADERS, Compiler, compilers
from macgen.errors import MacgenError

SLOWER = "some 3 to 3000 times"
"""How much slower results are without a kernel, as the notice says it. On NumPy's arrays it was 3 times (fixed point
whose sums are exact) to 130 times, 15 to 50 mostly; in Python's fractions, flags among them, 1200 to 3000 times."""

FAILURES = 2
"""A compiler that failed so many times, one after the other, is not waited for again."""

KEPT_BYTES = 64 << 20
"""Most that is kept; of what is more, that goes which has not been used for the longest time."""

LEFTOVER_S = 3600.0
"""A file that is only begun, and so old, is nobody's any more."""

_lock = threading.Lock()
_loaded: dict[tuple[str, str], ctypes.CDLL | None] = {}
_failures: dict[Compiler, list[str]] = {}  # since it last made something
_unusable: set[Path] = set()  # folders in which something failed that went well elsewhere
_told: set[str] = set()


def _new_lock() -> None:
    """Forget who compiles: in a forked process the thread that does is missing."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


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
        failures = _failures.setdefault(compiler, [])
        try:
            library = _of_compiler(compiler, source, optimise, may_compile=len(failures) < FAILURES)
        except (MacgenError, OSError) as error:
            failures.append(str(error))
        if library is not None:
            break
        reasons.append((compiler, failures[-1]))
    if library is None:
        why = "; ".join(reason for _, reason in reasons)
        why = why or "no C++ compiler was found (looked for $CXX, g++, clang++ and the ziglang wheel)"
        _tell(
            "none",
            f"{why}. macgen.emulate computes with NumPy instead, {SLOWER} slower; install a compiler with `apt install "
            f"g++` or `pip install macgen[fast]`",
        )
    elif reasons and reasons[0][0].name.startswith("$CXX"):
        _tell("another", f"{reasons[0][1]}. macgen.emulate compiles with {compiler.name} instead")
    return library


def _tell(subject: str, text: str) -> None:
    """Warn of a subject, once a process."""
    if subject not in _told:
        _told.add(subject)
        warnings.warn(text, RuntimeWarning, stacklevel=2)


def _of_compiler(compiler: Compiler, source: str, optimise: str, *, may_compile: bool) -> ctypes.CDLL | None:
    """Return the library that a compiler made of a source before, or else makes of it if it may."""
    import hashlib

    named = "\0".join((source, optimise, compiler.identity, _processor(), _headers()))
    name = hashlib.sha256(named.encode()).hexdigest()[:32]
    folder = _folder()
    if (library := _open(folder / f"{name}.so")) is not None or not may_compile:
        return library
    if folder in _unusable:
        library = _make(compiler, source, optimise, _temporary_folder() / f"{name}.so")
    else:
        try:
            library = _make(compiler, source, optimise, folder / f"{name}.so")
        except OSError:  # no space left, or nothing there may be executed
            library = _make(compiler, source, optimise, _temporary_folder() / f"{name}.so")
            _unusable.add(folder)
    _failures.pop(compiler, None)
    return library


def _make(compiler: Compiler, source: str, optimise: str, path: Path) -> ctypes.CDLL:
    """Compile a source and put the library where it stays, whole or not at all."""
    _remove_leftovers(path.parent)
    mark = f"{os.getpid()}-{threading.get_ident()}"
    part, note = path.with_suffix(f".{mark}.so"), path.with_suffix(f".{mark}.sha256")
    try:
        compiler.compile(source, part, optimise)
        part.chmod(0o700)
        digest = _digest(part.read_bytes())
        note.write_text(digest, encoding="ascii")
        note.chmod(0o600)
        part.replace(path)
        note.replace(path.with_suffix(".sha256"))
        _remove_unused(path)
    finally:
        part.unlink(missing_ok=True)
        note.unlink(missing_ok=True)
    return ctypes.CDLL(str(path))


def _remove_leftovers(folder: Path) -> None:
    """Remove what processes had begun that were killed."""
    import time

    for path in folder.glob("*.*-*.*"):
        try:
            if time.time() - path.stat().st_mtime > LEFTOVER_S:
                path.unlink()
        except OSError:
            continue


def _remove_unused(newest: Path) -> None:
    """Remove the libraries that were not used for the longest time, where there are too many beside the newest.

    Processes that have one loaded keep it, and one that is about to open it compiles it again.
    """
    used = []
    for path in newest.parent.glob("*.so"):
        try:
            status = path.stat()
            used.append((path == newest, status.st_mtime_ns, status.st_size, path))
        except OSError:  # another process was quicker
            continue
    total = 0
    for _, _, size, path in sorted(used, reverse=True):
        total += size
        if total > KEPT_BYTES and path != newest:
            try:
                path.unlink(missing_ok=True)
                path.with_suffix(".sha256").unlink(missing_ok=True)
            except OSError:
                continue


def _open(path: Path) -> ctypes.CDLL | None:
    """Return a kept library; None where there is none, or not the one that was put there."""
    try:
        if _own_bytes(path.with_suffix(".sha256")).decode("ascii") != _digest(_own_bytes(path)):
            return None  # half a library may open, and end the process later
        os.utime(path)  # that it was used
        return ctypes.CDLL(str(path))
    except (OSError, ValueError):
        return None


def _own_bytes(path: Path) -> bytes:
    """Return what is in a file.

    Raises:
        PermissionError: it is no file of the user's own, or others may write to it.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        mine = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        if not mine or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"others may write to {path}")
        return file.read()


def _digest(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


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
                "folder",
                f"others may write to {open_to_others}, so macgen.emulate compiles its kernels anew in each process; "
                f"`chmod go-w` that folder",
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


_temporary: dict[int, tuple[Path, ExitStack]] = {}  # by process, as a forked one must not remove its parent's


def _temporary_folder() -> Path:
    """Return a folder that goes with this process, however that ends.

    Raises:
        MacgenError: there is no place for it.
    """
    from macgen.lifetime import temporary_directory

    process = os.getpid()
    if process not in _temporary:
        lifetime = ExitStack()
        _temporary[process] = lifetime.enter_context(temporary_directory()).path, lifetime
        atexit.register(_remove_temporary_folder)
    return _temporary[process][0]


def _remove_temporary_folder() -> None:
    if os.getpid() in _temporary:
        _, lifetime = _temporary.pop(os.getpid())
        lifetime.close()


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
    names = sorted(str(path) for path in HEADERS.iterdir() if path.suffix == ".h")
    return "\0".join(Path(name).read_text(encoding="utf-8") for name in names)
