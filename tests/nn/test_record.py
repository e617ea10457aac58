"""The file of an interrupted run: what it holds is not computed again, what it cannot be is refused."""

import pytest

from macgen.errors import MacgenError
from macgen.nn.record import Record


def test_pieces_are_found_again(tmp_path):
    path = tmp_path / "run.part"
    first = Record(path, "run")
    first.put("one", {"error": 0.1})
    first.put("two", [1, 2])
    first.close()
    second = Record(path, "run")
    assert (second.found, second.get("one"), second.get("two"), second.get("three")) == (
        2,
        {"error": 0.1},
        [1, 2],
        None,
    )
    second.remove()
    assert not path.exists()


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_line_that_was_not_finished_is_dropped(cut, tmp_path):
    path = tmp_path / "run.part"
    record = Record(path, "run")
    record.put("one", 1)
    record.put("two", "a longer piece")
    record.close()
    path.write_bytes(path.read_bytes()[:-cut])
    again = Record(path, "run")
    assert (again.get("one"), again.get("two")) == (1, None)
    again.put("two", 2)
    again.close()
    last = Record(path, "run")
    assert (last.get("one"), last.get("two")) == (1, 2)
    last.close()


def test_without_a_file():
    record = Record(None, "run")
    record.put("one", 1)
    assert record.get("one") == 1
    record.remove()


@pytest.mark.parametrize("content", [b'{"macgen emulate": "another"}\n', b"my notes\n", b"\xff\xfe\n"])
def test_another_file_is_not_written_over(content, tmp_path):
    path = tmp_path / "run.part"
    path.write_bytes(content)
    with pytest.raises(MacgenError, match=r"run.part' is there, and not of this run; accepted is it deleted"):
        Record(path, "run")
    assert path.read_bytes() == content


def test_a_damaged_file(tmp_path):
    path = tmp_path / "run.part"
    path.write_bytes(b'{"macgen emulate": "run"}\nnonsense\n')
    with pytest.raises(MacgenError, match=r"run.part' is damaged; accepted is what an interrupted run left"):
        Record(path, "run")


def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(MacgenError, match=r"cannot be written \(No such file or directory\); accepted is a file in a"):
        Record(tmp_path / "nowhere" / "run.part", "run")
    with pytest.raises(MacgenError, match=r"cannot be read \(Is a directory\)"):
        Record(tmp_path, "run")
