import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macgen.compress import CompressSpec, Learner
from macgen.compress.definition import Kept, compress
from macgen.errors import MacgenError
from tests.compress.strategies import specs, steps

SPEC = CompressSpec("fix4.12", 4)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_step_is_that_of_the_definition(data):
    spec = data.draw(specs())
    kept, scale, gradients = data.draw(steps(spec))
    expected = compress(spec, kept, scale, gradients)
    codes, flags = [item.code for item in kept], [item.sent for item in kept]
    learner = Learner.resumed(spec, codes, flags, scale)
    sent = learner.step(gradients)
    assert [Kept(int(code), bool(flag)) for code, flag in zip(learner.accumulated, learner.sent, strict=True)] == [
        Kept(item.code, item.sent) for item in expected.kept
    ]
    assert (sent.scale, learner.scale) == (expected.scale, expected.scale)
    assert sent.bits == expected.bits(spec)
    assert sent.overflows == sum(item.overflow for item in expected.kept)
    assert sent.signs.tolist() == [item.sent * ((item.code > 0) - (item.code < 0)) for item in expected.kept]


def test_over_many_steps_nothing_is_lost():
    spec = CompressSpec("fix8.12", 50)
    rng = np.random.default_rng(1)
    learner, came_in, went_out = Learner(spec, (30, 40)), np.zeros((30, 40), np.int64), np.zeros((30, 40), np.int64)
    for _ in range(30):
        gradients = rng.normal(0, 100, (30, 40)).round().astype(np.int64)
        sent = learner.step(gradients)
        assert sent.overflows == 0
        came_in += gradients
        went_out += sent.gradients
    assert np.array_equal(went_out + learner.residue, came_in)
    assert sent.compression > 10


def test_real_gradients_are_rounded_to_the_format():
    learner = Learner(SPEC, 4)
    learner.step_real([1.5 / 4096, 2.5 / 4096, 9.0, -9.0])
    assert learner.accumulated.tolist() == [2, 2, 32767, -32768]


@pytest.mark.parametrize(
    ("gradients", "sentence"),
    [
        ([1, 2, 3], "gradients have the shape (3,); accepted is (4,)"),
        ([0.5] * 4, "gradients are of type float64; accepted are integers of fix4.12"),
        ([0, 0, 40000, 0], "gradients[2] is 40000; accepted are integers of fix4.12, -32768 to 32767"),
    ],
)
def test_refused_gradients(gradients, sentence):
    with pytest.raises(MacgenError) as error:
        Learner(SPEC, 4).step(gradients)
    assert str(error.value).startswith(sentence)
    with pytest.raises(MacgenError, match="accepted are finite numbers"):
        Learner(SPEC, 1).step_real([float("nan")])
    for others in (["a"], [1j], [True]):
        with pytest.raises(MacgenError, match="accepted are real numbers"):
            Learner(SPEC, 1).step_real(others)


@pytest.mark.parametrize("shape", [0, (), "wide", (2, -1)])
def test_refused_shapes(shape):
    if shape == ():
        assert Learner(SPEC, shape).accumulated.shape == ()
        return
    with pytest.raises(MacgenError, match="shape"):
        Learner(SPEC, shape)
