"""LSTM, GRU and RNN: the products with inputs and states on two layers, gates and states in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.errors import MacgenError, shown
from macgen.nn.arithmetic import Products, working_type

Array = NDArray[Any]


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-x)))


_ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
}
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}

Step = Callable[[Array, Array, Array], tuple[Array, Array]]
"""A step of a cell: the inputs' products, h and c to the next h and c."""


def recur(
    op: str, products: Sequence[Products], inputs: Sequence[Array | None], given: Mapping[str, Any], what: str
) -> list[Array]:
    """Return the results of an LSTM, GRU or RNN: Y, Y_h and, of an LSTM, Y_c.

    Parameters:
        op: which.
        products: those with the inputs, and those with the states.
        inputs: X, W, R, B, sequence_lens, initial_h, initial_c and P of ONNX; None: left out.
        given: the node's attributes.
        what: how sentences call the node.

    Raises:
        MacgenError: an attribute or sequences of different lengths, which are not supported.
    """
    x, w, r = (np.asarray(y) for y in inputs[:3] if y is not None)
    bias, lengths, h0, c0, peepholes = inputs[3:8]
    directions = w.shape[0]
    functions = _activations(op, given, directions, what)
    if given.get("layout"):
        x = x.swapaxes(0, 1)
        h0, c0 = (None if state is None else state.swapaxes(0, 1) for state in (h0, c0))
    steps, batch, _ = x.shape
    hidden = r.shape[-1]
    if lengths is not None and (lengths != steps).any():
        raise MacgenError(f"{what} has sequences of different lengths; accepted are equal ones")
    bias = np.zeros((directions, 2 * _GATES[op] * hidden), np.float32) if bias is None else bias
    p = np.zeros((directions, 3 * hidden), np.float32) if peepholes is None else peepholes
    a, b = products[0].operands(x.reshape(steps * batch, -1), np.swapaxes(w, 1, 2))
    y = np.zeros((steps, directions, batch, hidden), working_type(x))
    last = np.zeros((2, directions, batch, hidden), working_type(x))
    for direction in range(directions):
        of_inputs = products[0].matmul(a, b[direction], (direction,)).reshape(steps, batch, -1)
        w_bias, r_bias = np.split(bias[direction], 2)
        cell = _CELLS[op](_states(products[1], r, direction), r_bias, p[direction], functions[direction], given)
        h, c = (np.zeros((batch, hidden), np.float32) if state is None else state[direction] for state in (h0, c0))
        backward = direction == 1 or given.get("direction", b"forward") == b"reverse"
        for step in reversed(range(steps)) if backward else range(steps):
            h, c = cell(of_inputs[step] + w_bias, h, c)
            y[step, direction] = h
        last[:, direction] = h, c
    if given.get("layout"):
        y, last = y.transpose(2, 0, 1, 3), last.swapaxes(1, 2)
    results = [y, last[0], last[1]][: 3 if op == "LSTM" else 2]
    return [result.astype(x.dtype) for result in results]


def _activations(op: str, given: Mapping[str, Any], directions: int, what: str) -> list[list[Callable[[Array], Array]]]:
    count = len(_DEFAULTS[op])
    names = [name.decode() for name in given.get("activations") or [f.encode() for f in _DEFAULTS[op]] * directions]
    unknown = [name for name in names if name.lower() not in _ACTIVATIONS]
    if unknown or len(names) != count * directions:
        raise MacgenError(
            f"{what} has the activations {shown(names)}; accepted are {count} of Sigmoid, Tanh and Relu a direction"
        )
    for attribute, accepted in (("clip", 0.0), ("input_forget", 0)):
        if given.get(attribute, accepted) != accepted:
            raise MacgenError(f"{what} has {attribute} {shown(given[attribute])}; accepted is it without")
    functions = [_ACTIVATIONS[name.lower()] for name in names]
    return [functions[count * direction :][:count] for direction in range(directions)]


def _states(products: Products, r: Array, direction: int) -> Callable[[Array, slice], Array]:
    """Return what multiplies states by a part of the recurrent weights' rows."""

    turned = np.swapaxes(r, 1, 2)

    def times(h: Array, rows: slice) -> Array:
        a, b = products.operands(h, turned)
        return products.matmul(a, b[direction][:, rows], (direction,), rows)

    return times


def _lstm(
    times: Callable[[Array, slice], Array],
    bias: Array,
    peepholes: Array,
    functions: Sequence[Callable[[Array], Array]],
    given: Mapping[str, Any],
) -> Step:
    f, g, h_ = functions
    p_i, p_o, p_f = np.split(peepholes, 3)

    def step(x: Array, h: Array, c: Array) -> tuple[Array, Array]:
        i, o, forget, cell = np.split(x + times(h, slice(None)) + bias, 4, axis=1)
        i, forget = f(i + p_i * c), f(forget + p_f * c)
        c = forget * c + i * g(cell)
        return f(o + p_o * c) * h_(c), c

    return step


def _gru(
    times: Callable[[Array, slice], Array],
    bias: Array,
    peepholes: Array,
    functions: Sequence[Callable[[Array], Array]],
    given: Mapping[str, Any],
) -> Step:
    f, g = functions
    size = len(bias) // 3
    after = bool(given.get("linear_before_reset", 0))

    def step(x: Array, h: Array, c: Array) -> tuple[Array, Array]:
        x_z, x_r, x_h = np.split(x, 3, axis=1)
        b_z, b_r, b_h = np.split(bias, 3)
        if after:
            s_z, s_r, s_h = np.split(times(h, slice(None)), 3, axis=1)
            z, r = f(x_z + s_z + b_z), f(x_r + s_r + b_r)
            new = g(x_h + r * (s_h + b_h))
        else:
            s_z, s_r = np.split(times(h, slice(0, 2 * size)), 2, axis=1)
            z, r = f(x_z + s_z + b_z), f(x_r + s_r + b_r)
            new = g(x_h + times(r * h, slice(2 * size, None)) + b_h)
        return (1 - z) * new + z * h, c

    return step


def _rnn(
    times: Callable[[Array, slice], Array],
    bias: Array,
    peepholes: Array,
    functions: Sequence[Callable[[Array], Array]],
    given: Mapping[str, Any],
) -> Step:
    (f,) = functions

    def step(x: Array, h: Array, c: Array) -> tuple[Array, Array]:
        return f(x + times(h, slice(None)) + bias), c

    return step


_CELLS = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}
