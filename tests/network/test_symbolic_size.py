"""Sizes that are calculated from others, against Python's own arithmetic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen.errors import MacgenError
from macgen.network import from_onnx
from macgen.network.operand_statistics import measure_here
from macgen.network.symbolic_size import parts, symbolic_size
from tests.network.models import model, node, saved, value, weight

SIZES = {"past_sequence_length": 3, "sequence_length": 5, "s0": 7, "batch.size": 2}


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("past_sequence_length + sequence_length", 8),
        ("past_sequence_length+1", 4),
        ("2*s0", 14),
        ("(s0 - 1)//2 + 1", 4),
        ("s0/7", 1),
        ("s0/2", None),
        ("s0 // 0", None),
        ("-s0 + 10", 3),
        ("3 - s0", None),
        ("batch.size * s0", 14),
        ("s0 + s1", None),
        ("s0 s0", None),
        ("(s0", None),
        ("s0)", None),
        ("s0 +", None),
        ("* s0", None),
        ("", None),
        ("?", None),
        ("s0 % 2", None),
        ("²+s0", None),
        ("(" * 300 + "s0" + ")" * 300, None),
    ],
)
def test_texts(text, size):
    assert symbolic_size(text, SIZES) == size


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("seq/2", {"seq"}),
        ("n//(m-1)", {"n", "m"}),
        ("past + seq", {"past", "seq"}),
        ("past + 1", {"past"}),
        ("?", set()),
        ("a b", set()),
        ("seq", set()),
        ("seq +", set()),
        ("7", set()),
    ],
)
def test_parts(text, names):
    """Whatever sizes they have: no division is carried out."""
    assert parts(text) == names


def test_the_whole_counts_more_than_its_parts():
    assert symbolic_size("a + b", {"a + b": 9, "a": 1, "b": 2}) == 9
    assert symbolic_size("seq-len", {"seq-len": 4}) == 4


sums = st.recursive(
    st.integers(0, 9).map(str) | st.sampled_from(["a", "b"]),
    lambda inner: (
        st.tuples(inner, st.sampled_from([" + ", "-", " * ", "//"]), inner).map(lambda t: f"({''.join(t)})")
        | inner.map(lambda text: f"-{text}")
    ),
    max_leaves=12,
)


@given(sums, st.integers(0, 9), st.integers(0, 9))
def test_any_calculation(text, a, b):
    try:
        expected = eval(text, {}, {"a": a, "b": b})
    except ZeroDivisionError:
        expected = None
    if len(text) <= 200:
        assert symbolic_size(text, {"a": a, "b": b}) == (None if expected is None or expected < 0 else expected)


@given(st.text("ab01+-*/() .²", max_size=12))
def test_any_text(text):
    size = symbolic_size(text, {"a": 2, "b": 3})
    assert size is None or size >= 0


# -- models ------------------------------------------------------------------------------------------------------------


def decoder(total="past + seq", scores=None):
    """Return scores of a decoder: present queries (N, seq, 4) and keys of all positions (N, 4, total)."""
    nodes = [node("MatMul", "x w", "q"), node("MatMul", "q keys", "s"), node("Mystery", "s", "m", domain="foo"),
             node("MatMul", "m values", "y")]  # fmt: skip
    inputs = [value("x", ("N", "seq", 4)), value("cache", ("N", "past", 4)), value("keys", ("N", 4, total)),
              value("values", ("N", total, 4))]  # fmt: skip
    made = model(nodes, inputs, [weight("w", 4, 4)], domains=["foo"])
    if scores is not None:
        made.graph.value_info.append(value("m", scores))
    return made


def test_a_sum_follows_from_its_parts(tmp_path):
    path = saved(tmp_path, decoder(scores=("N", "seq", "past + seq")))
    network = from_onnx(path, batch=2, dims={"past": 3, "seq": 5})
    assert [layer.forward.length for layer in network.layers] == [4, 4, 8]
    assert network.layers[1].forward.outputs == 2 * 5 * 8
    assert network == from_onnx(path, batch=2, dims={"past": 3, "seq": 5, "past + seq": 8})
    assert from_onnx(path, batch=1, dims={"past": 0, "seq": 5}).layers[2].forward.length == 5


def test_half_a_size_is_calculated(tmp_path):
    network = from_onnx(saved(tmp_path, decoder("seq/2")), batch=2, dims={"past": 3, "seq": 8})
    assert network.layers[1].forward.outputs == 2 * 8 * 4


def test_a_stated_shape_is_calculated(tmp_path):
    """Behind an unknown operation, from sizes that no input has as a sum."""
    path = saved(tmp_path, decoder("total", scores=("N", "seq", "past + 2*seq - 5")))
    network = from_onnx(path, batch=2, dims={"past": 3, "seq": 5, "total": 8})
    assert [layer.forward.length for layer in network.layers] == [4, 4, 8]


@pytest.mark.parametrize(
    ("total", "dims", "said"),
    [
        ("past + seq", {"past": 3}, "accepted with --dim seq=SIZE$"),
        ("past + seq", {"past": 3, "total": 3}, "dim 'total' is no dimension of model"),
        ("past + more", {"past": 3, "seq": 5}, "accepted with --dim '?past . more=SIZE'?$"),
    ],
)
def test_what_is_missing(total, dims, said, tmp_path):
    with pytest.raises(MacgenError, match=said):
        from_onnx(saved(tmp_path, decoder(total)), batch=2, dims=dims)


def test_a_part_that_is_no_dimension_can_be_given(tmp_path):
    path = saved(tmp_path, decoder("seq + more"))
    network = from_onnx(path, batch=2, dims={"past": 3, "seq": 5, "more": 4})
    assert network.layers[1].forward.outputs == 2 * 5 * 9


def test_samples_that_contradict_a_sum(tmp_path):
    nodes = [node("MatMul", "x w", "q"), node("MatMul", "q keys", "y")]
    made = model(nodes, [value("x", ("N", "seq", 4)), value("keys", ("N", 4, "seq + 1"))], [weight("w", 4, 4)])
    path = saved(tmp_path, made)
    x = np.ones((1, 5, 4))
    (_, scores) = measure_here(path, {"x": x, "keys": np.ones((1, 4, 6))}, engine="reference").layers
    assert scores.forward.outputs == 5 * 6
    with pytest.raises(
        MacgenError, match=r"^samples of input 'keys' have 7 where 'seq \+ 1' is 6 by those of the other"
    ):
        measure_here(path, {"x": x, "keys": np.ones((1, 4, 7))}, engine="reference")
