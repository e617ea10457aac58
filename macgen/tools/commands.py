"""How an external command is run: without a shell, with a time limit, a log, and no process left behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from macgen.errors import MacgenError, ToolError, is_real, shown
from macgen.lifetime import started

T = TypeVar("T")

_BLANK = 64
"""Bytes at the end of a netlist among which is its last brace."""


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    log: Path,
    timeout: float,
    env: Mapping[str, str] | None = None,
    name: str | None = None,
    check: bool = True,
    order: Callable[[], str] | None = None,
) -> int:
    """Run a command without a shell, with its output in a log file.

    The command gets a process group of its own, all of which is killed when the time is up, the caller is interrupted
    or this process ends. Its temporary files go to `cwd`, and what it prints in Python is UTF-8, as the log is.

    Parameters:
        command: the executable and its arguments.
        cwd: directory to run in.
        log: file that receives the command line, then standard output and standard error; overwritten.
        timeout: limit in seconds, from when the command has its order.
        env: the environment but for that; None passes this process's on.
        name: what to call the command in messages; by default the executable's name.
        check: whether an exit code other than 0 is an error.
        order: prepares what the command is to do while it starts, and returns a line that it waits for on its standard
            input. By default that is empty.

    Returns:
        The exit code (negative: the signal that ended the command).

    Raises:
        ToolError: the command cannot be started, exceeds its time or (with `check`) fails; the sentence names the log.
        Exception: what `order` raised. The command has been ended then.
    """
    name = name or Path(command[0]).name
    words = [str(word) for word in command]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8", errors="surrogateescape") as output:
        output.write(f"$ {' '.join(words)}\n")
        output.flush()
        with contextlib.ExitStack() as stack:
            try:
                process = stack.enter_context(
                    started(
                        words,
                        cwd=cwd,
                        env={
                            **(os.environ if env is None else env),
                            "TMPDIR": str(cwd.absolute()),
                            "PYTHONIOENCODING": "utf-8:backslashreplace",
                        },
                        stdin=subprocess.DEVNULL if order is None else subprocess.PIPE,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                    )
                )
            except OSError as error:
                raise ToolError(f"{name} cannot be started: {error.strerror or error} ({words[0]})") from error
            if order is not None:
                _give(process, order())
            try:
                code = _wait(process, timeout)
            except subprocess.TimeoutExpired:
                raise ToolError(f"{name} was stopped after its limit of {timeout:g} s; its log is {log}") from None
    if check and code != 0:
        raise ToolError(f"{name} {ended(code)}: {last_message(log)}; its log is {log}")
    return code


def check_written(script: Sequence[str], *, cwd: Path, log: Path, name: str) -> None:
    """Refuse to go on where a script of Yosys wrote no whole netlist: on a full disk it may end with exit code 0.

    Parameters:
        script: its commands, those of `write_json` among them.
        cwd: directory in which it ran.
        log: what it printed there.
        name: what to call the command in messages.

    Raises:
        ToolError: a file is missing or was cut short.
    """
    for command in script:
        if (found := re.fullmatch(r"write_json (\S+)", command)) is None:
            continue
        try:
            text = (cwd / found[1]).read_bytes()
        except OSError:
            text = b""
        if text[-_BLANK:].rstrip()[-1:] != b"}":
            raise ToolError(f"{name} gave no {found[1]} that is whole; its log is {log}")


def ended(code: int) -> str:
    """Return how a command that failed has ended, as `run` returns it."""
    if code >= 0:
        return f"failed with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


class _StoppedError(Exception):
    """Another job failed, or all were interrupted. `side_by_side` raises the first error, and keeps no log of this."""


_job = threading.local()  # `stop`: the event that tells this thread's job to stop, see `side_by_side`


_POLL_S = 0.1


def _give(process: subprocess.Popen[bytes], line: str) -> None:
    """Write a line to a command's standard input, and close that. A pipe has room for it, whoever reads."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:  # broken: its exit code and its log say why
        pipe.write(f"{line}\n".encode())


def _wait(process: subprocess.Popen[bytes], timeout: float) -> int:
    stop: threading.Event | None = getattr(_job, "stop", None)
    end = time.monotonic() + timeout
    while stop is not None and not stop.is_set() and (left := end - time.monotonic()) > _POLL_S:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(min(left, _POLL_S))
    if stop is not None and stop.is_set():
        raise _StoppedError
    return process.wait(max(0.0, end - time.monotonic()))


def side_by_side(*jobs: Callable[[], T]) -> list[T]:
    """Do jobs at the same time, each in a thread, and return their results in order.

    When one fails or the caller is interrupted, the commands that the others `run` are stopped, and they start no more.

    Raises:
        Exception: the first one that a job raised.
    """
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait  # loads the module of logs

    stop = threading.Event()

    def work(job: Callable[[], T]) -> T:
        _job.stop = stop
        return job()

    with ThreadPoolExecutor(max(1, len(jobs))) as pool:
        try:
            futures = [pool.submit(work, job) for job in jobs]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                if (error := future.exception()) is not None:
                    raise error
        except BaseException:
            stop.set()
            raise
    return [future.result() for future in futures]


def last_message(log: Path, longest: int = 200) -> str:
    """What a log says about a failure: the last line with the word error in it, or else the last one."""
    output = log.read_text(encoding="utf-8", errors="replace").splitlines()[1:]
    lines = [line.strip().rstrip(".") for line in output if line.strip()]
    errors = [line for line in lines if re.search(r"\berror\b", line, re.IGNORECASE)]
    message = errors[-1] if errors else f"the last it printed is {lines[-1]!r}" if lines else "it printed nothing"
    return message if len(message) <= longest else message[:longest] + "..."


def check_timeout(timeout: float) -> None:
    """Refuse a time limit that is no positive number of seconds.

    Raises:
        MacgenError: it is none.
    """
    if not is_real(timeout) or not timeout > 0:
        raise MacgenError(f"timeout {shown(timeout)} is not a positive number of seconds")
