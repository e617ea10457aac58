"""The gradients that examples/gradients.py recorded, and what compression they allow."""

import numpy as np
import pytest

from macgen.compress import CompressSpec, Learner
from macgen.compress.definition import Kept, compress
from tests.examples.runner import EXAMPLES, output_of

RECORDED = EXAMPLES / "gradients.npz"


@pytest.fixture(scope="module")
def recorded():
    with np.load(RECORDED) as file:
        return {name: file[name] for name in file.files}


def test_the_recorded_gradients_are_of_five_steps_of_both_layers(recorded):
    assert RECORDED.stat().st_size < 1 << 20
    assert sorted(recorded) == sorted(f"step{step}_layer{layer}" for step in range(0, 300, 60) for layer in range(2))
    assert {values.shape for values in recorded.values()} == {(65, 96), (97, 10)}
    assert all(values.any() for values in recorded.values())


@pytest.mark.parametrize(("bin_", "least"), [(50, 30), (500, 150)])
def test_real_gradients_are_compressed(recorded, bin_, least):
    learner = Learner(CompressSpec("fix4.12", bin_), (65, 96))
    rates = [learner.step(values).compression for name, values in recorded.items() if name.endswith("layer0")]
    assert np.mean(rates) > least


def test_the_definition_does_the_same_with_them(recorded):
    spec = CompressSpec("fix4.12", 50)
    learner, kept, scale = Learner(spec, (97, 10)), [Kept()] * 970, 0
    for name, values in recorded.items():
        if name.endswith("layer1"):
            layer = compress(spec, kept, scale, values.ravel().tolist())
            sent = learner.step(values)
            kept, scale = layer.kept, layer.scale
            assert (sent.bits, sent.scale) == (layer.bits(spec), scale)
            assert learner.sent.ravel().tolist() == [item.sent for item in kept]


@pytest.mark.prove
def test_the_example_runs(tmp_path):
    printed = output_of("gradients.py", "--output", tmp_path / "gradients.npz")
    assert "10 layers' gradients" in printed
    assert (tmp_path / "gradients.npz").stat().st_size < 1 << 20
