"""The data of examples/accuracy.py, and its main job on a few examples."""

import json

import numpy as np
import pytest

from tests.examples.runner import EXAMPLES, output_of


@pytest.fixture
def data(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import accuracy_data

    return accuracy_data


def test_files_are_found_by_kind(data, tmp_path):
    for number in range(9):
        (tmp_path / f"{number}.py").write_text(f"number = {number}\n" * 20)
        (tmp_path / f"{number}.png").write_bytes(b"too small")
    (tmp_path / "notes").write_text("no ending" * 20)
    (tmp_path / "again.py").symlink_to(tmp_path / "0.py")
    found = data._files_by_kind([tmp_path], {"python", "png"})
    assert list(found) == ["python"]
    assert sorted(path.name for path in found["python"]) == [f"{number}.py" for number in range(9)]
    assert found == data._files_by_kind([tmp_path], {"python", "png"})


def test_what_the_network_sees_of_a_file(data, tmp_path):
    config = {"block_size": 16, "beg_size": 6, "end_size": 6, "padding_token": 256}
    path = tmp_path / "file"
    path.write_bytes(b"  abcdefghijklmnopqrstuvwxyz\n\n")
    assert bytes(data._bytes_of(path, config)) == b"abcdefuvwxyz"
    path.write_bytes(b" abc\n")
    assert data._bytes_of(path, config) == [97, 98, 99, 10, 256, 256, 256, 256, 32, 97, 98, 99]


def test_lines_of_text(data):
    task = data.direction(4)
    pictures = task.samples["x"]
    assert pictures.shape == (4, 3, 48, 192)
    assert np.abs(pictures).max() <= 1
    assert task.labels.tolist() == [0, 1, 0, 1]
    assert task.chance == 0.5
    np.testing.assert_array_equal(pictures, data.direction(4).samples["x"])


def test_words_are_read(data):
    """Repetitions once, blanks left out; the network itself reads four words in float32."""
    task = data.recognition(4)
    signs = np.zeros((1, 6, 4))
    for place, sign in enumerate((1, 1, 0, 1, 2, 0)):
        signs[0, place, sign] = 1
    (word,) = task.decide(signs)
    assert len(word) == 3
    assert word[0] == word[1] != word[2]


@pytest.mark.prove
def test_accuracy_of_the_text_direction(tmp_path):
    output = tmp_path / "accuracy"
    printed = output_of("accuracy.py", "direction", "--examples", 8, "--widths", 2, 6, "--output", output)
    assert "| e6m6, chunks of 64 |" in printed
    values = json.loads((output / "direction.json").read_text())
    accuracy = {run["label"]: run["accuracy"] for run in values["runs"]}
    assert accuracy["e6m6, chunks of 64"] >= values["exact_sums"]["accuracy"] - 0.13
    assert accuracy["e6m2, no chunks"] < accuracy["e6m6, no chunks"]
    assert (output / "direction.svg").exists()
