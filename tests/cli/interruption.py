"""Stops a command at some moment and looks for what it left: processes, temporary files, half-written output."""

import contextlib
import os
import re
import secrets
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from macgen.interrupts import SIGNALS
from tests.cli.runner import command

MARK = "MACGEN_TEST_MARK"
"""Environment variable by which all that a command starts is found."""

GRACE_S = 15.0
"""Seconds in which what a killed command had started has to notice, on a machine that is busy with other tests."""


@dataclass(frozen=True)
class Outcome:
    """What became of a command that was sent a signal.

    Attributes:
        caught: whether its handlers stood when the signal was sent.
        running: command lines of what it had started by then.
        code: its exit code.
        stdout: what it printed.
        stderr: the same.
        seconds: from the signal to its end.
        processes: command lines that outlived it.
        files: files and directories left in its temporary directory.
    """

    caught: bool
    running: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    seconds: float
    processes: tuple[str, ...]
    files: tuple[str, ...]


def stop(args, number: int, moment: float | str, directory: Path, temporary: Path, *, to_all: bool = False) -> Outcome:
    """Run macgen in a directory and send it a signal: Ctrl-C to its whole process group, others to it alone.

    Parameters:
        args: the command line.
        number: the signal.
        moment: seconds from the start to the signal, or part of the command line of a process whose start it follows.
        directory: where to run.
        temporary: TMPDIR, made if need be.
        to_all: whether all that the command has started gets the signal, too, as when a session ends.
    """
    temporary.mkdir(exist_ok=True)
    mark = secrets.token_hex(8)
    process = subprocess.Popen(
        command(*args),
        cwd=directory,
        env={**os.environ, MARK: mark, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_signals,
    )
    if not isinstance(moment, str):
        time.sleep(moment)
    found = marked(mark)
    while isinstance(moment, str) and process.poll() is None and not any(moment in line for line in found.values()):
        time.sleep(0.02)
        found = marked(mark)
    caught = catches(process.pid, signal.SIGTERM)
    started = {pid: line for pid, line in found.items() if pid != process.pid}
    if process.poll() is None:
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        for pid in started if to_all else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
    sent = time.monotonic()
    stdout, stderr = process.communicate(timeout=120)
    seconds = time.monotonic() - sent
    while time.monotonic() - sent < seconds + GRACE_S and (marked(mark) or any(temporary.iterdir())):
        time.sleep(0.02)
    processes = marked(mark)
    for pid in processes:
        os.kill(pid, signal.SIGKILL)
    files = sorted(str(path.relative_to(temporary)) for path in temporary.rglob("*"))
    ends = (process.returncode, stdout, stderr, seconds, tuple(processes.values()), tuple(files))
    return Outcome(caught, tuple(started.values()), *ends)


def heed_signals() -> None:
    """Have a new process heed what a shell in the background, or nohup, ignores."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def catches(pid: int, number: int) -> bool:
    """Return whether a process has a handler for a signal."""
    try:
        caught = re.search(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return False
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)


def marked(mark: str) -> dict[int, str]:
    """Return the processes that inherited a mark, and their command lines."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[int(folder.name)] = words.strip()
        except OSError:  # ended meanwhile
            continue
    return found
