"""What ends with this process, however that ends: the commands that it runs, and its temporary directories.

A process that is killed cannot tidy up. So beside each command and each directory stands a shell, which reads from a
pipe that this process holds. The system closes the pipe when the process is gone; then the shell ends the command with
all that it started, or removes the directory. Nothing else is needed of the system than POSIX.
"""

from __future__ import annotations

import contextlib
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

# Its process group is the command's, which it leads: the group's number stays its own until it has been waited for.
_END_GROUP = "read -r line; kill -KILL 0"

# A command that is ended at the same time may still write: so the directory is looked for once more.
_REMOVE = """\
read -r line && exit
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
    with _shell(_END_GROUP) as watcher:
        process = None
        try:
            # The child joins the group before it closes its copy of the pipe: no moment is left in which it is alone.
            process = subprocess.Popen(command, process_group=watcher.pid, **options)
            yield process
        finally:
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
    directory = TemporaryDirectory(parent / f"macgen-{secrets.token_hex(6)}")
    with _shell(_REMOVE, str(directory.path)) as keeper:
        try:
            directory.path.mkdir(mode=0o700)
        except OSError as error:
            raise MacgenError(
                f"no temporary directory can be made in {shown_path(parent)} ({error.strerror}); {accepted}"
            ) from None
        try:
            yield directory
        finally:
            if not directory.keep:
                shutil.rmtree(directory.path, ignore_errors=True)
            assert keeper.stdin is not None
            keeper.stdin.write(b"\n")  # all is done; without it the keeper would remove the directory


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
    try:
        yield shell
    finally:
        assert shell.stdin is not None
        with contextlib.suppress(OSError):
            shell.stdin.close()
        shell.wait()
