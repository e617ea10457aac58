import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from macgen.errors import MacgenError, ToolError
from macgen.lifetime import temporary_directory
from macgen.tools import work as work_module
from macgen.tools import work_directory


def test_the_directory_of_an_earlier_run_is_replaced(tmp_path):
    for _ in range(2):
        with work_directory(tmp_path / "work", "icarus") as work:
            assert work.path == tmp_path / "work" / "icarus"
            assert not (work.path / "log.txt").exists()
            (work.path / "log.txt").touch()
    assert (tmp_path / "work" / "icarus" / "log.txt").exists()


def test_an_interrupted_deletion_can_be_gone_on_with(tmp_path, monkeypatch):
    """Whatever it has not come to is still known for an earlier run's."""
    with work_directory(tmp_path, "icarus") as work:
        for name in "abc":
            (work.path / name).touch()
            (work.path / f"of-{name}").mkdir()
    left = len(list(work.path.iterdir())) - 1
    for moment in range(left):
        for owner, name in ((Path, "unlink"), (work_module.shutil, "rmtree")):
            monkeypatch.setattr(owner, name, interrupted(getattr(owner, name)))
        with pytest.raises(KeyboardInterrupt), work_directory(tmp_path, "icarus"):
            pass
        monkeypatch.undo()
        assert len(list(work.path.iterdir())) == left - moment
    with work_directory(tmp_path, "icarus"):
        assert [path.name for path in work.path.iterdir()] == [work_module._MARK]


def interrupted(delete):
    """Delete, and be interrupted then."""

    def delete_and_stop(path):
        delete(path)
        raise KeyboardInterrupt

    return delete_and_stop


def test_the_cache_outlives_forked_processes_and_goes_with_its_own(tmp_path):
    script = """
import os, sys
from pathlib import Path
from macgen.tools import cache_variables
place = Path(cache_variables()["HOME"])
child = os.fork()
if child:
    assert os.waitpid(child, 0)[1] == 0
    print(place.is_dir())
sys.exit(0)
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null/none"}
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout == "True\n"
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_not_followed(tmp_path):
    with work_directory(tmp_path / "other", "icarus") as work:
        (work.path / "log.txt").touch()
    (tmp_path / "icarus").symlink_to(work.path)
    with pytest.raises(MacgenError, match="is not of an earlier run"), work_directory(tmp_path, "icarus"):
        pass
    assert (work.path / "log.txt").exists()


def test_an_empty_directory_is_used(tmp_path):
    (tmp_path / "icarus").mkdir()
    with work_directory(tmp_path, "icarus") as work:
        assert work.path == tmp_path / "icarus"


@pytest.mark.parametrize("name", ["icarus", "formal"])
def test_a_directory_of_someone_else_is_kept(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.tex").write_text("years of work")
    message = (
        rf"^workdir '{tmp_path}' has a '{name}' that is not of an earlier run; accepted is a directory without it$"
    )
    with pytest.raises(MacgenError, match=message), work_directory(tmp_path, name):
        pass
    assert (tmp_path / name / "thesis.tex").read_text() == "years of work"


def test_a_file_of_someone_else_is_kept(tmp_path):
    (tmp_path / "icarus").write_text("mine")
    with pytest.raises(MacgenError, match=r"cannot be written"), work_directory(tmp_path, "icarus"):
        pass
    assert Path(tmp_path / "icarus").read_text() == "mine"


def test_what_tests_leave_lies_where_pytest_deletes_it(tmp_path_factory):
    with temporary_directory() as directory:
        assert tmp_path_factory.getbasetemp() in directory.path.parents
    script = "import tempfile; print(tempfile.gettempdir())"
    place = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert Path(place.strip()) == directory.path.parent


def test_after_an_error_a_temporary_directory_stays_if_it_holds_anything(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(MacgenError), work_directory(None, "icarus"):
        raise MacgenError
    assert list(tmp_path.iterdir()) == []

    def fail(work):
        (work.path / "log.txt").touch()
        raise MacgenError

    with pytest.raises(MacgenError), work_directory(None, "icarus") as work:
        fail(work)
    assert list(tmp_path.iterdir()) == [work.path]


# -- a disk that is full -----------------------------------------------------------------------------------------------

FULL = "the disk of '{}' is full{}; accepted is the environment variable TMPDIR with a directory that has room"


@pytest.fixture
def _full(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("os.statvfs", lambda _: SimpleNamespace(f_blocks=1, f_bavail=0, f_frsize=4096))


@pytest.mark.usefixtures("_full")
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("Expecting value: line 1"), ""),  # what a tool could not write whole
        (ToolError("Yosys failed; its log is /x"), " (Yosys failed; its log is /x)"),
        (OSError(errno.EIO, "Input/output error"), " (Input/output error)"),
    ],
)
def test_what_goes_wrong_on_a_full_disk_is_told_as_that(error, reason, tmp_path):
    with pytest.raises(ToolError) as caught, work_directory(None, "icarus"):
        raise error
    assert str(caught.value) == FULL.format(tmp_path, reason)


@pytest.mark.usefixtures("_full")
@pytest.mark.parametrize("error", [MacgenError("rows 0 is refused"), KeyboardInterrupt()])
def test_what_is_refused_has_nothing_to_do_with_the_disk(error):
    with pytest.raises(type(error)) as caught, work_directory(None, "icarus"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
def test_a_file_that_cannot_be_written_says_that_the_disk_is_full(number, tmp_path):
    with pytest.raises(ToolError) as caught, work_directory(tmp_path, "icarus"):
        raise OSError(number, os.strerror(number))
    assert str(caught.value) == FULL.format(tmp_path, f" ({os.strerror(number)})")


def test_a_file_system_that_tells_no_sizes_is_not_full(monkeypatch):
    monkeypatch.setattr("os.statvfs", lambda _: SimpleNamespace(f_blocks=0, f_bavail=0, f_frsize=4096))
    with pytest.raises(KeyError), work_directory(None, "icarus"):
        raise KeyError("x")


def test_other_faults_stay_what_they_are(tmp_path):
    with pytest.raises(KeyError), work_directory(tmp_path, "icarus"):
        raise KeyError("x")
