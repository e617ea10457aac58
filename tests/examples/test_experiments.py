"""The experiments of training: each runs on a few images, and goes on where it was."""

import gzip
import json
import os
import subprocess
import sys

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
@pytest.mark.parametrize(
    "name",
    [
        "adacomp",
        "few_random_bits",
        "fixed_point",
        "narrow_floats",
        "per_tensor",
        "schedules",
        "training_widths",
    ],
)
def test_experiments_run_and_go_on(name, tmp_path):
    write_images(tmp_path, packed=True)
    arguments = ["--quick", "--data", tmp_path, "--output", tmp_path]
    first = output_of(f"experiments/{name}.py", *arguments)
    record = json.loads((tmp_path / f"{name}_quick.json").read_text("utf-8"))
    shares = [run[key] for run in record.values() for key in ("accuracy", "tuned") if key in run]
    assert shares
    assert all(0 <= share <= 1 for share in shares)
    assert "seed 0: " in first
    plots = [f"{name}_fully", f"{name}_convolutional"] if name == "per_tensor" else [name]
    assert all((tmp_path / f"{plot}.svg").is_file() for plot in plots)


def test_kept_runs_on_plans_are_of_the_same_plan(common):
    import per_tensor

    from tests.width.test_tensors import FOUND

    plan = per_tensor.plan_tensors(FOUND)
    plans = (None, plan, per_tensor.plan_tensors(FOUND, mismatch=1e-4), plan.fewer("weights", 1))
    assert len({per_tensor.kind_name("convolutional", "as planned", each) for each in plans}) == 4
    assert per_tensor.kind_name("convolutional", "float32", None) == "convolutional, float32"
    again = per_tensor.plan_tensors(FOUND)
    assert per_tensor.kind_name("a", "b", again) == per_tensor.kind_name("a", "b", plan)


def test_what_learners_send_and_keep_is_what_they_computed(common, tmp_path):
    import adacomp
    import torch

    from macgen import nn

    write_images(tmp_path, packed=False)
    images = common.load_images(tmp_path).first(64, 1)
    model = nn.convert(adacomp.network("convolutional", 0), nn.Arithmetic())
    exchange = adacomp.Exchange(model, images, 2)
    rows = torch.arange(48)
    loss = exchange.gradients(rows)
    whole = common.loss_of(model, images, rows)
    assert abs(float(loss) - float(whole.detach())) < 1e-5
    found = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    whole.backward()
    for (name, parameter), sent in zip(model.named_parameters(), found, strict=True):
        if name.endswith("bias"):
            kept = torch.zeros_like(sent)
        else:
            kept = torch.from_numpy(sum(each.residue for each in exchange.learners[name]) / 2 / 2**14).float()
        assert (sent + kept - parameter.grad).abs().max() <= 0.5**15 + 1e-6  # each gradient is rounded to the format
    assert exchange.counts["convolutions"]["elements"] == 2 * (16 * 9 + 32 * 16 * 9)
    assert 0 < exchange.counts["convolutions"]["sent"] < exchange.counts["convolutions"]["elements"] / 5


def test_more_learners_than_images(common, tmp_path):
    import adacomp
    import torch

    from macgen import nn

    write_images(tmp_path, packed=False)
    images = common.load_images(tmp_path).first(5, 1)
    exchange = adacomp.Exchange(nn.convert(adacomp.network("convolutional", 0), nn.Arithmetic()), images, 8)
    assert torch.isfinite(exchange.gradients(torch.arange(5)))
    assert exchange.counts["fully connected layers"]["elements"] == 5 * (1568 * 64 + 640)


def test_sums_of_few_random_bits_keep_what_the_rounding_says(common, tmp_path):
    import few_random_bits

    write_images(tmp_path, packed=False)
    images = common.load_images(tmp_path).first(128, 1)
    found = {
        rounding: few_random_bits.slopes(images, rounding, 0, 1)["slopes"]
        for rounding in ("stochastic:4", "stochastic:4:nearest")
    }
    assert all(len(each) == 4 for each in found.values())
    assert found["stochastic:4"][1] < 0.5 < 0.8 < found["stochastic:4:nearest"][1] < 1.2


@pytest.mark.parametrize(
    "content", [b"", b"\0\0", b"\0\0\x08", b"\0\0\x08\x03\0\0", b"\0\0\x08\0", b"\0\0\x08\x01\0\0\0\x09half"]
)
def test_broken_files_of_images_are_refused(common, tmp_path, content):
    from macgen.errors import MacgenError

    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(content)
    with pytest.raises(MacgenError, match="is no IDX file of bytes; accepted is one as MNIST's"):
        common.load_images(tmp_path)
    packed = gzip.compress(bytes(100))
    for broken in (b"no gzip", packed[:-9], packed[:12] + b"\xff\xff\xff" + packed[15:]):
        file.with_name(f"{file.name}.gz").write_bytes(broken)
        with pytest.raises(MacgenError, match=r"cannot be read .*; accepted is one as MNIST's"):
            common.load_images(tmp_path)


def test_images_and_labels_must_fit(common, tmp_path):
    from macgen.errors import MacgenError

    write_images(tmp_path, packed=False)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x04abcd")
    with pytest.raises(MacgenError, match=r"images of the shape \(300, 28, 28\) and labels of \(4,\); accepted are"):
        common.load_images(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "[1]", '{"run": 3}', '{"run": {}}', "\0"])
def test_broken_records_are_refused(common, tmp_path, content):
    from macgen.errors import MacgenError

    (tmp_path / "runs.json").write_text(content, "utf-8")
    with pytest.raises(MacgenError, match="is none of an experiment's; delete it to begin anew"):
        common.Record(tmp_path / "runs.json")


def test_records_that_cannot_be_written_are_one_sentence(common, tmp_path):
    from macgen.errors import MacgenError

    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(MacgenError, match=r"record '.*runs.json' cannot be written \("):
        common.Record(tmp_path / "file" / "runs.json").run("one", dict)


def test_a_run_is_known_by_its_settings(common, tmp_path):
    write_images(tmp_path, packed=False)
    images = common.load_images(tmp_path)
    names = {
        common.run_name(images.first(train, 300), epochs, "float32", seed)
        for train in (100, 200)
        for epochs in (1, 2)
        for seed in (0, 1)
    }
    assert len(names) == 8


@pytest.mark.parametrize("option", ["--seeds", "--images"])
def test_at_least_one_of_each(common, monkeypatch, option):
    from macgen.errors import MacgenError

    monkeypatch.setattr("sys.argv", ["experiment", option, "0"])
    with pytest.raises(MacgenError, match=f"{option} 0 "):
        common.options("")


def test_stopped_runs_are_counted_beside_the_mean(common):
    runs = [{"accuracy": 0.75, "stopped": ""}, {"accuracy": 0.25, "stopped": "loss is nan"}]
    assert common.right(runs) == "50.0% ± 35.4%, 1 of 2 stopped"
    assert common.right(runs[:1]) == "75.0% ± 0.0%"


def test_a_network_that_explodes_in_its_test_stops(common, tmp_path):
    import torch

    from macgen import nn
    from macgen.spec import MacSpec

    class Exploding(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(784, 10)

        def forward(self, x):
            return self.layer(x.flatten(1) if self.training else x.flatten(1) / 0)

    write_images(tmp_path, packed=False)
    images = common.load_images(tmp_path).first(20, 20)
    model = nn.convert(Exploding(), MacSpec(a="e5m2", b="e5m2", acc="e8m9"))
    optimizer = nn.Optimizer(model, lambda p: torch.optim.SGD(p, lr=0.1))
    curve = common.train(model, optimizer, images, epochs=2, batch=10, seed=0)
    assert "operand a that is infinite or NaN in its forward GEMM" in curve.stopped
    assert curve.accuracies == (0.1, 0.1)
    assert np.isnan(curve.losses).all()


def test_without_torch_it_is_one_sentence(tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n")
    script = EXAMPLES / "experiments" / "fixed_point.py"
    ended = subprocess.run(
        [sys.executable, script], env={**os.environ, "PYTHONPATH": f"{tmp_path}:{EXAMPLES.parent}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr == "fixed_point.py: the package torch is missing: pip install 'macgen[torch]'\n"
