"""Stops a command at some moment and looks for what it left: processes, temporary files, half-written output."""

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
        code: its exit code.
        stdout: what it printed.
        stderr: the same.
        seconds: from the signal to its end.
        processes: command lines that outlived it.
        files: files and directories left in its temporary directory.
    """

    caught: bool
    code: int
    stdout: str
    stderr: str
    seconds: float
    processes: tuple[str, ...]
    files: tuple[str, ...]


def stop(args, number: int, delay: float, directory: Path, temporary: Path) -> Outcome:
    """Run macgen in a directory and send it a signal: Ctrl-C to its whole process group, others to it alone.

    Parameters:
        args: the command line.
        number: the signal.
        delay: seconds from the start to the signal.
        directory: where to run.
        temporary: TMPDIR, made if need be.
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
    time.sleep(delay)
    caught = catches(process.pid, signal.SIGTERM)
    if process.poll() is None:
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    sent = time.monotonic()
    stdout, stderr = process.communicate(timeout=120)
    seconds = time.monotonic() - sent
    while time.monotonic() - sent < seconds + GRACE_S and (marked(mark) or any(temporary.iterdir())):
        time.sleep(0.02)
    processes = marked(mark)
    for pid in processes:
        os.kill(pid, signal.SIGKILL)
    files = sorted(str(path.relative_to(temporary)) for path in temporary.rglob("*"))
    return Outcome(caught, process.returncode, stdout, stderr, seconds, tuple(processes.values()), tuple(files))


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
