"""Attention as its two matrix products: queries with keys, and the weights that come of them with values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from macgen.network.gemm import Layer, contraction_layer, matmul_layer
from macgen.network.onnx_operation import Built, Operands, Operation, Shape


@dataclass(frozen=True)
class Heads:
    """The sizes of an attention.

    Attributes:
        batch: examples.
        heads: heads of the queries.
        shared: heads of the queries that share keys and values.
        queries: positions that ask.
        keys: positions that one query sees at most.
        size: features of a query's and a key's head.
        value_size: features of a value's head.
    """

    batch: int
    heads: int
    shared: int
    queries: int
    keys: int
    size: int
    value_size: int


def attention_layers(operation: Operation, heads: Heads) -> list[Layer]:
    """Return the two products; their lengths are the head's size and the number of keys.

    Where a mask hides keys from some queries, the sizes are those of the query that sees most, as dense products
    compute them.
    """
    sizes = {
        "b": heads.batch,
        "h": heads.heads // heads.shared,
        "g": heads.shared,
        "q": heads.queries,
        "k": heads.keys,
        "d": heads.size,
        "v": heads.value_size,
    }

    def product(name: str, a: str, b: str, out: str) -> Layer:
        used = {label: sizes[label] for label in {*a, *b, *out}}
        return contraction_layer(
            f"{operation.name}.{name}",
            operation.node.op_type,
            used,
            (a, b, out),
            input_gradient=operation.input_gradient,
        )

    return [product("scores", "bhgqd", "bhkd", "bhgqk"), product("values", "bhgqk", "bhkv", "bhgqv")]


def seen_keys(total: int, before: int, queries: int, left: int, right: int) -> int:
    """Return how many keys a query sees at most.

    Parameters:
        total: keys.
        before: keys that precede the first query's own position.
        queries: positions that ask.
        left: keys before its own position that a query sees; negative: all.
        right: keys behind it, likewise.
    """
    first, last, all_ = before, before + queries - 1, total + before + queries
    left, right = (all_ if side < 0 else side for side in (left, right))

    def seen(position: int) -> int:
        return min(total - 1, position + right) - max(0, position - left) + 1

    # Linear between the ends and the two positions where a side begins to limit.
    corners = (min(max(position, first), last) for position in (first, last, left, total - 1 - right))
    return max(1, *map(seen, corners))


# -- ONNX ----------------------------------------------------------------------------------------------------------


def _standard(operation: Operation) -> Built:
    """Q, K and V as (N, positions, heads * size) or (N, heads, positions, size); past keys as the latter."""

    def split(shape: Shape, attribute: str) -> tuple[int, int, int, int]:
        """Return batch, heads, positions and features of a head."""
        if len(shape) == 4:
            return shape[0], shape[1], shape[2], shape[3]
        heads = operation.count(attribute)
        if len(shape) != 3 or shape[2] % heads:
            raise operation.refusal(f"Q, K and V of 4 dimensions, or of 3 whose last is a multiple of {attribute}")
        return shape[0], heads, shape[1], shape[2] // heads

    batch, heads, queries, size = split(operation.a, "q_num_heads")
    _, kv_heads, keys, key_size = split(operation.b, "kv_num_heads")
    value_shape = _input(operation, 2)
    _, _, _, value_size = split(value_shape or operation.b, "kv_num_heads")
    if size != key_size or heads % kv_heads:
        raise operation.refusal("heads of equal size in both, those of Q a multiple of those of K")
    past = _input(operation, 4)
    before = past[2] if past is not None and len(past) == 4 else 0
    total = before + keys
    unpadded = len(operation.node.input) > 6 and bool(operation.node.input[6])
    if unpadded:  # of the keys, any number may precede the queries
        before = max(0, keys - queries)
    right = 0 if operation.integer("is_causal", 0) else operation.integer("right_window_size", -1)
    most = seen_keys(total, before, queries, operation.integer("left_window_size", -1), right)
    return attention_layers(operation, Heads(batch, heads, heads // kv_heads, queries, most, size, value_size)), ()


# -- onnxruntime -----------------------------------------------------------------------------------------------------


def _grouped(operation: Operation) -> Built:
    """GroupQueryAttention: (N, positions, heads * size), all three in one where there is no key."""
    heads, kv_heads = operation.count("num_heads"), operation.count("kv_num_heads")
    packed = _input(operation, 1) is None
    together = heads + 2 * kv_heads if packed else heads
    if len(operation.a) != 3 or operation.a[2] % together or heads % kv_heads:
        raise operation.refusal(f"queries (N, positions, features), the features a multiple of {together}")
    batch, queries, features = operation.a
    size = features // together
    new = operation.b[1] if len(operation.b) == 3 else queries
    if not packed and operation.b[-1] != kv_heads * size:
        raise operation.refusal(f"keys of {kv_heads} heads of {size} features")
    past = _input(operation, 3)
    before = past[2] if past is not None and len(past) == 4 else 0
    window = operation.integer("local_window_size", -1)
    causal = operation.integer("causal", 1)
    most = seen_keys(before + new, before, queries, window - 1 if window > 0 else -1, 0 if causal else -1)
    return attention_layers(operation, Heads(batch, heads, heads // kv_heads, queries, most, size, size)), ()


def _multi_head(operation: Operation) -> Built:
    """MultiHeadAttention: queries (N, positions, features), or all three in one (N, positions, heads, 3, size)."""
    heads = operation.count("num_heads")
    accepted = f"queries (N, positions, features) of {heads} heads, and keys and values like them"
    if len(operation.a) == 5:
        batch, queries, _, _, size = operation.a
        keys, value_size = queries, size
    else:
        if len(operation.a) != 3 or operation.a[2] % heads:
            raise operation.refusal(accepted)
        batch, queries, features = operation.a
        size = value_size = features // heads
        value = _input(operation, 2)
        if len(operation.b) in (3, 5):
            keys = operation.b[1]
        elif len(operation.b) == 4:
            keys = operation.b[2]
        else:
            raise operation.refusal(accepted)
        if value is not None:
            value_size = value[3] if len(value) == 4 else value[-1] // heads
    past = _input(operation, 6)
    before = past[2] if past is not None and len(past) == 4 else 0
    right = 0 if operation.integer("unidirectional", 0) else -1
    most = seen_keys(before + keys, before, queries, -1, right)
    return attention_layers(operation, Heads(batch, heads, 1, queries, most, size, value_size)), ()


def _with_projection(past_index: int) -> Callable[[Operation], Built]:
    """Return the rule of an attention that computes queries, keys and values from one input (N, positions, I)."""

    def build(operation: Operation) -> Built:
        heads = operation.count("num_heads")
        if len(operation.a) != 3 or len(operation.b) != 2 or operation.a[2] != operation.b[0]:
            raise operation.refusal("an input (N, positions, I) and weights (I, features of queries, keys and values)")
        batch, queries, _ = operation.a
        given = operation.given.get("qkv_hidden_sizes")
        hidden = given if isinstance(given, list) else [operation.b[1] // 3] * 3
        whole = all(isinstance(size, int) and size >= 1 and size % heads == 0 for size in hidden)
        if not whole or len(hidden) != 3 or sum(hidden) != operation.b[1]:
            raise operation.refusal(f"weights of three times as many features, each a multiple of {heads} heads")
        past = _input(operation, past_index)
        before = past[3] if past is not None and len(past) == 5 else 0
        total = before if operation.integer("past_present_share_buffer", 0) and before else before + queries
        right = 0 if operation.integer("unidirectional", 0) else -1
        most = seen_keys(total, before, queries, -1, right)
        projection = matmul_layer(
            f"{operation.name}.projection",
            a_shape=operation.a,
            b_shape=operation.b,
            weight=operation.weight,
            input_gradient=operation.input_gradient,
            op=operation.node.op_type,
        )
        sizes = Heads(batch, heads, 1, queries, most, hidden[0] // heads, hidden[2] // heads)
        learned = replace(operation, input_gradient=True)  # queries, keys and values depend on the weights
        return [projection, *attention_layers(learned, sizes)], (1,)

    return build


def _input(operation: Operation, index: int) -> Shape | None:
    return operation.inputs[index] if index < len(operation.inputs) else None


@dataclass(frozen=True)
class Rule:
    """How an attention is counted.

    Attributes:
        operands: the operands a and b, and what else must be known.
        build: returns its layers.
    """

    operands: Operands
    build: Callable[[Operation], Built]


ATTENTIONS: Mapping[str, Rule] = {
    "Attention": Rule(Operands(needed=(2, 4)), _standard),
    "ai.onnx.preview::FlexAttention": Rule(Operands(needed=(2,)), _standard),
    "com.microsoft::Attention": Rule(Operands(needed=(4,)), _with_projection(4)),
    "com.microsoft::QAttention": Rule(Operands(a_zero=6, b_zero=7, needed=(8,)), _with_projection(8)),
    "com.microsoft::GroupQueryAttention": Rule(Operands(packed=True, needed=(3,)), _grouped),
    "com.microsoft::MultiHeadAttention": Rule(Operands(packed=True, needed=(2, 6)), _multi_head),
}
"""By their key in the tables of operators."""
