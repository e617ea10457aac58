from pathlib import Path

import pytest

from macgen.errors import MacgenError
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
