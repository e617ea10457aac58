from pathlib import Path

import pytest

from macgen.errors import MacgenError
from macgen.tools import work_directory


def test_the_directory_of_an_earlier_run_is_replaced(tmp_path):
    for _ in range(2):
        with work_directory(tmp_path / "work", "icarus") as work:
            assert work.path == tmp_path / "work" / "icarus"
            assert not (work.path / "log.txt").exists()
            (work.path / "log.txt").touch()
    assert (tmp_path / "work" / "icarus" / "log.txt").exists()


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
