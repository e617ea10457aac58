"""What ends with this process, however that ends: the commands that it runs, and its temporary directories.

A process that is killed cannot tidy up. So each command and each directory has a shell of its own, which reads from a
pipe that this process holds. The system closes the pipe when the process is gone; then the shell ends the command with
all that it started, or removes the directory. Nothing else is needed of the system than POSIX.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from macgen.errors import MacgenError, ToolError, shown_path

# A shell acts on any line but `done`, and at the end of its pipe. What asks macgen to end may reach it too: it stays.
_STAY = "trap '' HUP INT TERM"

# Its process group is the command's, which it leads: the group's number stays its own until it has been waited for.
_END_GROUP = f"{_STAY}; read -r line; kill -KILL 0"

_DONE = b"done\n"

# A command that is ended at the same time may still write: so the directory is looked for once more.
_REMOVE = f"""\
{_STAY}
read -r line
test "$line" = done && exit
for attempt in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20
do
    rm -rf -- "$1"
    sleep 0.2
    test -e "$1" || exit
done
"""


@contextlib.contextmanager
def started(command: Sequence[str | Path], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Start a command in a process group of its own, all of which is killed when the block or this process ends.

    Parameters:
        command: the executable and its arguments.
        options: those of `subprocess.Popen`, but for its group and session.

    Yields:
        The process.

    Raises:
        OSError: the command cannot be started.
    """
    owner = os.getpid()
    with _shell(_END_GROUP) as watcher:
        process = None
        try:
            # The child joins the group before it closes its copy of the pipe: no moment is left in which it is alone.
            process = subprocess.Popen(command, process_group=watcher.pid, **options)
            yield process
        finally:
            if os.getpid() == owner:  # what was forked in the block leaves it, too
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(watcher.pid, signal.SIGKILL)
                if process is not None:
                    process.wait()
                    for pipe in (process.stdin, process.stdout, process.stderr):
                        if pipe is not None:
                            pipe.close()


@dataclass
class TemporaryDirectory:
    """A directory that goes when it is no longer needed, unless it is to be kept."""

    path: Path
    keep: bool = False


@contextlib.contextmanager
def temporary_directory() -> Iterator[TemporaryDirectory]:
    """Give a fresh directory, which goes with the block (unless `keep` is set then) or with this process.

    Raises:
        MacgenError: there is no place for it.
    """
    accepted = "accepted is the environment variable TMPDIR with a writable directory"
    try:
        parent = Path(tempfile.gettempdir()).absolute()
    except OSError as error:
        raise MacgenError(f"no temporary directory can be made ({error.strerror}); {accepted}") from None
    owner = os.getpid()
    directory = TemporaryDirectory(parent / f"macgen-{secrets.token_hex(6)}")
    with _shell(_REMOVE, str(directory.path)) as keeper:
        try:
            directory.path.mkdir(mode=0o700)
        except OSError as error:
            _write(keeper, _DONE)  # what is there is not ours
            raise MacgenError(
                f"no temporary directory can be made in {shown_path(parent)} ({error.strerror}); {accepted}"
            ) from None
        try:
            with told_if_full(directory.path):
                yield directory
        finally:
            if os.getpid() == owner:
                if not directory.keep:
                    shutil.rmtree(directory.path, ignore_errors=True)
                _write(keeper, _DONE)


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_LEAST_FREE = 1 << 16
"""Bytes that are free on a disk that is not full. What a tool could not write whole it may have cut to anything."""


@contextlib.contextmanager
def told_if_full(directory: Path) -> Iterator[None]:
    """Say of whatever goes wrong while a directory is worked in that its disk is full, if it is.

    Files that could not be written whole make tools fail with other words, or not fail at all until they are read.

    Raises:
        ToolError: something went wrong, and the disk is full.
    """
    try:
        yield
    except Exception as error:
        refused = isinstance(error, MacgenError) and not isinstance(error, ToolError)
        told = isinstance(error, OSError) and error.errno in _FULL
        if refused or not (told or _free(directory) < _LEAST_FREE):
            raise
        reason = ""
        if isinstance(error, OSError | ToolError):
            reason = f" ({error.strerror if isinstance(error, OSError) else error})"
        raise ToolError(
            f"the disk of {shown_path(directory.parent)} is full{reason}; accepted is the environment variable TMPDIR "
            f"with a directory that has room"
        ) from None


def _free(directory: Path) -> float:
    """Return the bytes that are free where a directory is."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return float("inf")
    # Some file systems, such as those in memory, tell no sizes.
    return found.f_bavail * found.f_frsize if found.f_blocks else float("inf")


@contextlib.contextmanager
def _shell(script: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a shell at the other end of a pipe, as the leader of a process group, which Ctrl-C does not reach."""
    try:
        shell = subprocess.Popen(
            ["/bin/sh", "-c", script, "macgen", *arguments],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
            bufsize=0,
        )
    except OSError as error:
        raise ToolError(f"/bin/sh cannot be started: {error.strerror}") from None
    owner = os.getpid()
    try:
        yield shell
    finally:
        if os.getpid() == owner:
            _write(shell, b"\n")  # a forked process may hold the pipe open
        assert shell.stdin is not None
        with contextlib.suppress(OSError):
            shell.stdin.close()
        if os.getpid() == owner:
            shell.wait()


def _write(shell: subprocess.Popen[bytes], line: bytes) -> None:
    """Write to a shell, if it still reads."""
    assert shell.stdin is not None
    with contextlib.suppress(OSError):
        shell.stdin.write(line)
