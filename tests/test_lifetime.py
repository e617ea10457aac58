"""What ends with its process, seen from another one."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from macgen import lifetime
from macgen.errors import MacgenError, ToolError
from macgen.interrupts import SIGNALS
from macgen.lifetime import started, temporary_directory
from tests.processes import in_session, wait_until

FAMILY = (
    "import os, subprocess, sys, time; subprocess.Popen(['sleep', '60']); open('begun', 'w').close(); time.sleep(60)"
)
"""A command with a child of its own."""


def parent(directory: Path, body: str) -> subprocess.Popen[str]:
    """Start a process, in a session of its own, that does something while it has a temporary directory."""
    script = (
        "import os, sys, time\nfrom macgen.lifetime import started, temporary_directory\n"
        f"with temporary_directory() as directory:\n    print(directory.path, flush=True)\n    {body}"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "TMPDIR": str(directory)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_shells_outlive_what_asks_all_of_a_session_to_end(tmp_path):
    """And where one did not, the process ends as if nothing had been."""
    body = "with started(['sleep', '60']) as process: sys.stdin.readline()"
    ends = [parent(tmp_path, body), parent(tmp_path, body)]
    for process in ends:
        directory = Path(process.stdout.readline().strip())
        wait_until(lambda process=process: len(shells := in_session(process.pid)) == 4 and all(map(settled, shells)))
        for pid in set(in_session(process.pid)) - {process.pid}:
            for number in SIGNALS:
                os.kill(pid, number)
        time.sleep(0.1)
        assert len(in_session(process.pid)) == 3  # without the command
    ends[0].kill()
    wait_until(lambda: not in_session(ends[0].pid))
    assert list(tmp_path.iterdir()) == [directory]
    for pid in set(in_session(ends[1].pid)) - {ends[1].pid}:
        os.kill(pid, signal.SIGKILL)
    assert ends[1].communicate("go on\n", timeout=60) == ("", None)
    assert ends[1].returncode == 0
    assert list(tmp_path.iterdir()) == []
    ends[0].communicate()


def settled(pid: int) -> bool:
    """Return whether a process waits for something."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


@pytest.mark.parametrize("way_out", ["sys.exit(0)", "raise KeyboardInterrupt", "os._exit(0)", "time.sleep(60)"])
def test_a_forked_process_leaves_what_its_parent_has(tmp_path, way_out):
    """Nor does the parent wait for it, which has the other end of every pipe."""
    script = f"""
import os, sys, time
from macgen.lifetime import started, temporary_directory
sys.stderr = None
with temporary_directory() as directory:
    with started(["sleep", "60"]) as process:
        child = os.fork()
        if child == 0:
            {way_out}
        if "sleep" not in {way_out!r}:
            os.waitpid(child, 0)
        time.sleep(0.1)
        assert process.poll() is None
        assert directory.path.is_dir()
assert not directory.path.exists()
print("left", flush=True)
os.kill(child, 9) if "sleep" in {way_out!r} else None
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", script]
    process = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=20)
    assert (process.returncode, process.stdout) == (0, "left\n")
    assert list(tmp_path.iterdir()) == []


def test_what_has_a_directorys_name_is_not_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("secrets.token_hex", lambda _: "taken")
    (tmp_path / "macgen-taken").mkdir()
    with pytest.raises(MacgenError, match=r"\(File exists\)"), temporary_directory():
        pass
    assert (tmp_path / "macgen-taken").is_dir()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_commands_and_directories_end_with_a_process_that_cannot_tidy_up(tmp_path, number):
    body = f"with started([sys.executable, '-c', {FAMILY!r}], cwd=directory.path) as process: process.wait()"
    process = parent(tmp_path, body)
    directory = Path(process.stdout.readline().strip())
    wait_until((directory / "begun").exists)
    assert len(in_session(process.pid)) == 5  # itself, the command and its child, a shell beside each
    process.send_signal(number)
    assert process.wait(60) == -number
    wait_until(lambda: not in_session(process.pid))
    assert list(tmp_path.iterdir()) == []
    process.communicate()


def test_a_directory_goes_although_its_last_file_comes_late(tmp_path):
    """Something that is no command of ours may write a little longer: here once while the directory is removed."""
    directory, tools = tmp_path / "directory", tmp_path / "tools"
    directory.mkdir()
    tools.mkdir()
    remover = tools / "rm"
    remover.write_text(
        f'#!/bin/sh\n{shutil.which("rm")} "$@"\nmkdir {tmp_path}/late 2>/dev/null && mkdir {directory}\n'
    )
    remover.chmod(0o755)
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"}
    command = ["/bin/sh", "-c", lifetime._REMOVE, "macgen", str(directory)]
    subprocess.run(command, input=b"", env=environment, timeout=60, check=False)
    assert (tmp_path / "late").exists()
    assert not directory.exists()


def test_all_of_a_command_ends_with_the_block(tmp_path):
    with started([sys.executable, "-c", FAMILY], cwd=tmp_path) as process:
        wait_until((tmp_path / "begun").exists)
        group = os.getpgid(process.pid)
        assert group != os.getpgid(0)
    with pytest.raises(ProcessLookupError):
        wait_until(lambda: os.killpg(group, 0))


def test_a_command_that_ends_by_itself_has_its_own_exit_code():
    with started(["/bin/sh", "-c", "exit 7"]) as process:
        assert process.wait(60) == 7
    with started(["/bin/sh", "-c", "kill -TERM $$"]) as process:
        assert process.wait(60) == -signal.SIGTERM


def test_a_command_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError), started([tmp_path / "nothing"]):
        pass


def test_directories_are_private_and_go_or_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with temporary_directory() as directory:
        assert directory.path.parent == tmp_path
        assert directory.path.stat().st_mode & 0o777 == 0o700
        (directory.path / "x").mkdir()
    assert not directory.path.exists()
    with pytest.raises(KeyError), temporary_directory() as directory:
        raise KeyError
    assert not directory.path.exists()
    with temporary_directory() as directory:
        directory.keep = True
    time.sleep(0.3)
    assert directory.path.is_dir()


def test_without_a_place_for_temporary_files_there_is_a_sentence(tmp_path, monkeypatch):
    accepted = "accepted is the environment variable TMPDIR with a writable directory"
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: [str(tmp_path / "nowhere")])
    with pytest.raises(MacgenError) as caught, temporary_directory():
        pass
    assert str(caught.value) == (
        f"no temporary directory can be made (No usable temporary directory found in ['{tmp_path}/nowhere']); "
        f"{accepted}"
    )
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(MacgenError) as caught, temporary_directory():
        pass
    assert str(caught.value) == (
        f"no temporary directory can be made in '{tmp_path}/gone' (No such file or directory); {accepted}"
    )


def test_without_a_shell_there_is_a_sentence(monkeypatch):
    def refuse(*args, **options):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("subprocess.Popen", refuse)
    message = r"^/bin/sh cannot be started: Resource temporarily unavailable$"
    with pytest.raises(ToolError, match=message), temporary_directory():
        pass
