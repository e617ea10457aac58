"""The data of examples/accuracy.py, and its main job on a few examples."""

import json

import numpy as np
import pytest

from tests.examples.runner import EXAMPLES, output_of
from tests.presentation.test_emulation import emulation, layer, run


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


def test_what_is_enough_and_how_near_predictions_are(monkeypatch):
    """Exact sums are right in 94 of 100; 0.541 / 24 * 641 / 4^6 is predicted for six bits, beyond 0.05 for four."""
    monkeypatch.syspath_prepend(EXAMPLES)
    import accuracy

    def of_width(bits, right, noise):
        return run(f"e6m{bits}, no chunks", layer("one", noise, man_bits=bits), man_bits=bits, right=right)

    runs = [of_width(4, 94, 0.02), of_width(5, 92, 0.0141), of_width(6, 93, 0.00141), of_width(7, 94, 0.00088)]
    exact = emulation(*runs).exact
    assert accuracy.enough(exact, runs) == "Within a point of exact sums are 6 bits and more."
    assert accuracy.enough(exact, runs[:2]) == "Within a point of exact sums is none of these widths."
    assert accuracy.ratios(runs).startswith(
        "Measured over predicted NSR, of 3 layers and widths with at most 0.05 predicted: median 1.0, 5th to 95th"
    )
    assert accuracy.ratios(runs[:1]) == "No prediction is in the range in which the formulas hold."


@pytest.mark.prove
def test_accuracy_of_the_text_direction(tmp_path):
    output = tmp_path / "accuracy"
    printed = output_of("accuracy.py", "direction", "--examples", 4, "--widths", 2, 6, "--output", output)
    assert "| e6m6, chunks of 64 |" in printed
    values = json.loads((output / "direction.json").read_text())
    accuracy = {run["label"]: run["accuracy"] for run in values["runs"]}
    assert accuracy["e6m6, chunks of 64"] >= values["exact_sums"]["accuracy"] - 0.26
    assert accuracy["e6m2, no chunks"] < accuracy["e6m6, no chunks"]
    assert (output / "direction.svg").exists()
