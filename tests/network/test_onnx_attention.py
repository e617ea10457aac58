"""Attention as layers: lengths by hand, shapes as ONNX and onnxruntime define the operators."""

import pytest
from onnx import helper

from macgen.errors import MacgenError
from macgen.network import from_onnx
from macgen.network.onnx_attention import seen_keys
from tests.network.models import constant, model, saved, value, weight
from tests.network.test_foreign_shapes import foreign


def forward(folder, item, inputs, weights=(), opset=25):
    """Return kind and sizes of each layer of a model with one operation."""
    domains = [item.domain] if item.domain else []
    made = model([item], inputs, weights, [value("y")], opset=opset, domains=domains)
    network = from_onnx(saved(folder, made))
    assert network.uncounted == network.unknown == ()
    return {layer.name: (layer.forward.length, layer.forward.outputs) for layer in network.layers}


def attention(inputs="q k v", **attributes):
    return foreign("Attention", inputs, domain="", **attributes)


FLAT = [value(name, (3, 40, 64)) for name in "qkv"]


@pytest.mark.parametrize(
    ("item", "inputs", "scores", "values"),
    [
        (attention(q_num_heads=2, kv_num_heads=2), FLAT, (32, 3 * 2 * 40 * 40), (40, 3 * 2 * 40 * 32)),
        # heads of their own dimension; three heads of queries share one of keys and values; values of another size
        (attention(), [value("q", (2, 6, 5, 16)), value("k", (2, 2, 9, 16)), value("v", (2, 2, 9, 24))],
         (16, 2 * 6 * 5 * 9), (9, 2 * 6 * 5 * 24)),
        # keys of the past
        (attention("q k v - pk pv"), [*[value(name, (2, 4, 1, 8)) for name in "qkv"],
                                      *[value(name, (2, 4, 70, 8)) for name in ("pk", "pv")]],
         (8, 2 * 4 * 71), (71, 2 * 4 * 8)),
        # a window of three keys to the left: four with its own
        (attention(q_num_heads=2, kv_num_heads=2, left_window_size=3, is_causal=1), FLAT, (32, 3 * 2 * 40 * 4),
         (4, 3 * 2 * 40 * 32)),
        (foreign("FlexAttention", "q k v", domain="ai.onnx.preview"),
         [value("q", (2, 4, 5, 16)), value("k", (2, 2, 9, 16)), value("v", (2, 2, 9, 8))],
         (16, 2 * 4 * 5 * 9), (9, 2 * 4 * 5 * 8)),
        (foreign("MultiHeadAttention", "q k v", num_heads=4),
         [value("q", (2, 5, 32)), value("k", (2, 7, 32)), value("v", (2, 7, 48))], (8, 2 * 4 * 5 * 7),
         (7, 2 * 4 * 5 * 12)),
        (foreign("MultiHeadAttention", "q k v", num_heads=4),
         [value("q", (2, 5, 32)), value("k", (2, 4, 7, 8)), value("v", (2, 4, 7, 8))], (8, 2 * 4 * 5 * 7),
         (7, 2 * 4 * 5 * 8)),
        (foreign("MultiHeadAttention", "q k v - - - pk pv", num_heads=4),
         [*[value(name, (2, 5, 32)) for name in "qkv"], *[value(name, (2, 4, 6, 8)) for name in ("pk", "pv")]],
         (8, 2 * 4 * 5 * 11), (11, 2 * 4 * 5 * 8)),
        (foreign("MultiHeadAttention", "q", num_heads=4), [value("q", (2, 5, 4, 3, 8))], (8, 2 * 4 * 5 * 5),
         (5, 2 * 4 * 5 * 8)),
        (foreign("GroupQueryAttention", "q k v pk pv n t", num_heads=4, kv_num_heads=2),
         [value("q", (2, 1, 32)), value("k", (2, 1, 16)), value("v", (2, 1, 16)),
          *[value(name, (2, 2, 70, 8)) for name in ("pk", "pv")]], (8, 2 * 4 * 71), (71, 2 * 4 * 8)),
        (foreign("GroupQueryAttention", "q - - - - n t", num_heads=4, kv_num_heads=2), [value("q", (2, 5, 64))],
         (8, 2 * 4 * 5 * 5), (5, 2 * 4 * 5 * 8)),
        (foreign("GroupQueryAttention", "q - - - - n t", num_heads=4, kv_num_heads=2, local_window_size=3),
         [value("q", (2, 5, 64))], (8, 2 * 4 * 5 * 3), (3, 2 * 4 * 5 * 8)),
    ],
)  # fmt: skip
def test_two_products(item, inputs, scores, values, tmp_path):
    weights = [w for w in (constant("n", [4, 4], "int32"), constant("t", 5, "int32")) if w.name in item.input]
    assert forward(tmp_path, item, inputs, weights) == {"y.scores": scores, "y.values": values}


@pytest.mark.parametrize(
    ("item", "inputs", "weights", "size"),
    [
        (foreign("Attention", "x w b", num_heads=4, qkv_hidden_sizes=[32, 32, 64]), [value("x", (2, 5, 48))],
         [weight("w", 48, 128), weight("b", 128)], 16),
        (foreign("QAttention", "x w b s s - z z", num_heads=4), [value("x", (2, 5, 48), 2)],
         [weight("w", 48, 96, dtype="uint8"), weight("b", 96), constant("s", 1.0, "float32"),
          constant("z", 0, "uint8")], 8),
    ],
)  # fmt: skip
def test_projection_of_one_input(item, inputs, weights, size, tmp_path):
    assert forward(tmp_path, item, inputs, weights) == {
        "y.projection": (48, 2 * 5 * (32 + 32 + 4 * size)),
        "y.scores": (8, 2 * 4 * 5 * 5),
        "y.values": (5, 2 * 4 * 5 * size),
    }


def test_gradients_of_shared_keys(tmp_path):
    """The gradient of keys that three heads share sums over these heads and the queries."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["q"]), attention("q q4 q4", q_num_heads=6, kv_num_heads=2)]
    nodes[1].input[:] = ["q", "k", "k"]
    made = model(nodes, [value("x", (1, 5, 8)), value("k", (1, 9, 8))], [weight("w", 8, 24)], [value("y")], opset=23)
    _, scores, values = from_onnx(saved(tmp_path, made)).layers
    lengths = {layer.name: [(g.kind, g.length) for g in layer.gemms] for layer in (scores, values)}
    assert lengths == {
        "y.scores": [("forward", 4), ("backward", 9), ("backward", 3 * 5)],
        "y.values": [("forward", 9), ("backward", 4), ("backward", 3 * 5)],
    }


def attended(total, before, queries, left, right):
    """Return the most keys of any query by counting."""
    return max(
        sum((left < 0 or k >= p - left) and (right < 0 or k <= p + right) for k in range(total))
        for p in range(before, before + queries)
    )


def test_keys_that_a_query_sees():
    for total in range(1, 9):
        for queries in range(1, total + 1):
            before = total - queries
            for left in range(-1, 6):
                for right in range(-1, 6):
                    sizes = total, before, queries, left, right
                    assert seen_keys(*sizes) == max(1, attended(*sizes)), sizes


@pytest.mark.parametrize(
    ("item", "inputs", "sentence"),
    [
        (foreign("MultiHeadAttention", "q k v"), FLAT, r"MultiHeadAttention 'y' .* num_heads None is not a positive"),
        (foreign("MultiHeadAttention", "q k v", num_heads=6), FLAT,
         r"MultiHeadAttention 'y' .* cannot have operands of shapes \(3, 40, 64\) and \(3, 40, 64\); accepted are "),
        (foreign("MultiHeadAttention", "q k v", num_heads=4, unidirectional="yes"), FLAT,
         r"has unidirectional b'yes'; accepted are integers$"),
    ],
)  # fmt: skip
def test_refused(item, inputs, sentence, tmp_path):
    with pytest.raises(MacgenError, match=sentence):
        forward(tmp_path, item, inputs)
