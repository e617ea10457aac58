"""The file of an interrupted run: what it holds is not computed again, what it cannot be is refused."""

import os

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
    second.close()
    assert path.exists()


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
    record.close()


@pytest.mark.parametrize("content", [
    b'{"macgen emulate": "another"}\n12345678 ["one", 1]\n', b"my notes\n", b"my notes", b"\xff\xfe\n", b"\n",
    b"0" * 100_000, b'{"macgen emulate": "another", "more": 1}\n', b'[{"macgen emulate": "run"}]\n',
], ids=lambda content: content[:12].hex())  # fmt: skip
def test_another_file_is_not_written_over(content, tmp_path):
    path = tmp_path / "run.part"
    path.write_bytes(content)
    with pytest.raises(MacgenError, match=r"run.part' is there, and not of this run; accepted is it deleted"):
        Record(path, "run")
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [
    b"", b'{"macg', b'{"macgen emulate": "ru', b'{"macgen emulate": "another"}', b'{"macgen emulate": "another"}\n',
    b'{"macgen emulate": "another"}\n12345678 ["on', b'{"macgen emulate": "run"}\n',
])  # fmt: skip
def test_a_file_without_pieces_is_as_good_as_none(content, tmp_path):
    path = tmp_path / "run.part"
    path.write_bytes(content)
    first = Record(path, "run")
    assert first.found == 0
    first.put("one", 1)
    first.close()
    second = Record(path, "run")
    assert second.get("one") == 1
    second.close()


def test_nothing_stays_of_a_run_without_pieces(tmp_path):
    Record(tmp_path / "run.part", "run").close()
    assert not list(tmp_path.iterdir())


def test_one_run_at_a_time(tmp_path):
    first = Record(tmp_path / "run.part", "run")
    with pytest.raises(MacgenError, match=r"run.part' is being written by another run; accepted is one at a time$"):
        Record(tmp_path / "run.part", "run")
    first.close()
    Record(tmp_path / "run.part", "run").close()


@pytest.mark.parametrize("line", [
    b"nonsense", b"5", b'["one", 1]', b'00000000 ["one", 1]', b"", b"6f9b9af8", b'{"a": 1, "b": 2}', b"\xff",
])  # fmt: skip
def test_a_damaged_file(line, tmp_path):
    path = tmp_path / "run.part"
    record = Record(path, "run")
    record.put("one", 1)
    record.close()
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(MacgenError, match=r"run.part' is damaged; accepted is what an interrupted run left"):
        Record(path, "run")


def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(MacgenError, match=r"cannot be written \(No such file or directory\); accepted is a file in a"):
        Record(tmp_path / "nowhere" / "run.part", "run")
    with pytest.raises(MacgenError, match=r"is there, and no file; accepted is it deleted, or another name$"):
        Record(tmp_path, "run")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MacgenError, match=r"pipe' is there, and no file"):
        Record(tmp_path / "pipe", "run")
