"""The experiments of training: each runs on a few images, and goes on where it was."""

import gzip
import json

import numpy as np
import pytest

from tests.examples.runner import EXAMPLES, output_of
from tests.optional import need_package

need_package("torch")


@pytest.fixture
def common(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES / "experiments")
    import common

    return common


def write_images(folder, *, packed):
    random = np.random.default_rng(1)
    for name, count in (("train", 1300), ("t10k", 300)):
        for kind, values in (
            ("images-idx3", random.integers(0, 256, (count, 28, 28))),
            ("labels-idx1", np.arange(count) % 10),
        ):
            sizes = np.array(values.shape, ">i4").tobytes()
            content = bytes([0, 0, 8, values.ndim]) + sizes + values.astype(np.uint8).tobytes()
            file = folder / f"{name}-{kind}-ubyte"
            if packed:
                file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(content))
            else:
                file.write_bytes(content)


@pytest.mark.parametrize("packed", [True, False])
def test_images_of_a_folder(common, tmp_path, packed):
    write_images(tmp_path, packed=packed)
    images = common.load_images(tmp_path)
    assert images.train_x.shape == (1300, 1, 28, 28)
    assert images.test_y[:12].tolist() == [*range(10), 0, 1]
    assert 0 <= float(images.train_x.min()) < float(images.train_x.max()) <= 1


def test_folders_without_the_files_are_refused(common, tmp_path):
    from macgen.errors import MacgenError

    with pytest.raises(
        MacgenError, match=r"has no train-images-idx3-ubyte.gz; accepted is a folder with the four files"
    ):
        common.load_images(tmp_path)
    write_images(tmp_path, packed=False)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x09half")
    with pytest.raises(MacgenError, match="is no IDX file of bytes; accepted is one as MNIST's"):
        common.load_images(tmp_path)


@pytest.mark.prove
@pytest.mark.parametrize("name", ["fixed_point", "training_widths", "narrow_floats"])
def test_experiments_run_and_go_on(name, tmp_path):
    write_images(tmp_path, packed=True)
    arguments = ["--quick", "--data", tmp_path, "--output", tmp_path]
    first = output_of(f"experiments/{name}.py", *arguments)
    record = json.loads((tmp_path / f"{name}_quick.json").read_text("utf-8"))
    assert all(0 <= run["accuracy" if "accuracy" in run else "tuned"] <= 1 for run in record.values())
    assert "seed 0: " in first
    assert (tmp_path / f"{name}.svg").is_file()
