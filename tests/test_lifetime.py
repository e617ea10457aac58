"""What ends with its process, seen from another one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from macgen.errors import MacgenError, ToolError
from macgen.lifetime import started, temporary_directory

FAMILY = (
    "import os, subprocess, sys, time; subprocess.Popen(['sleep', '60']); open('begun', 'w').close(); time.sleep(60)"
)
"""A command with a child of its own."""


def in_session(session: int) -> list[int]:
    """Return the processes of a session that are not dead."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of_session = file.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # ended meanwhile
            continue
        if int(of_session) == session and state not in "XZ":
            found.append(int(file.parent.name))
    return found


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def parent(directory: Path, body: str) -> subprocess.Popen[str]:
    """Start a process, in a session of its own, that does something while it has a temporary directory."""
    script = (
        "import os, sys, time\nfrom macgen.lifetime import started, temporary_directory\n"
        f"with temporary_directory() as directory:\n    print(directory.path, flush=True)\n    {body}"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


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
    process.stdout.close()


def test_a_directory_goes_although_its_last_file_comes_late(tmp_path):
    """Something that is no command of ours may write a little longer."""
    late = "for i in 1 2 3 4 5 6 7 8; do mkdir -p $0/x$i; sleep 0.1; done"
    begin = f"import subprocess; subprocess.Popen(['/bin/sh', '-c', {late!r}, str(directory.path)])"
    process = parent(tmp_path, f"{begin}; time.sleep(60)")
    process.stdout.readline()
    process.kill()
    process.wait(60)
    wait_until(lambda: not in_session(process.pid))
    assert list(tmp_path.iterdir()) == []
    process.stdout.close()


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
